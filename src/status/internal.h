/* internal.h - what the three writers share. */
#pragma once
#include <netboot-target/status.h>

/*
 * Appends `text` as harmless UTF-8: what is not valid UTF-8 and ASCII control bytes as \xNN,
 * characters that draw nothing or turn the writing direction as \u{N}, so that no name can look
 * like another or hide something. `special`, if not NULL, may write a byte in its own way and
 * returns whether it did.
 */
void text_write(struct buffer *to, const char *text, bool (*special)(struct buffer *to, char byte));

/* An upper bound of the latency that `percent` of the commands stayed below, in µs; 0: none ran. */
uint64_t latency_percentile_us(const uint64_t latency[STATUS_LATENCY_BUCKETS], unsigned percent);

extern const char *const status_operation_names[STATUS_OPERATION_COUNT];
