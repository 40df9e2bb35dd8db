/* loop_memory.h - libev ends the process when it cannot grow its tables; this gives it a reserve
 * first. */
#pragma once

/* Before the first loop. Without memory for the reserve libev is as it was. */
void loop_memory_reserve(void);
