/* options.h - the options we know, and walking encapsulated ones */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dhcp_option_row {
    uint8_t code;
    uint16_t minimum_bytes;
    uint16_t maximum_bytes;
    uint16_t multiple_bytes; /* the length is a multiple of this */
    const char *name;
};

/* NULL: an option that nobody here asks for. */
const struct dhcp_option_row *dhcp_option_find(uint8_t code);
const struct dhcp_option_row *dhcp_option_at(unsigned index);

/* Walks options inside an option (43, 175). Returns the value of `code` or NULL; sets
 * `ret_wellformed` (may be NULL) to whether all of them stayed inside. */
const uint8_t *dhcp_suboption_find(const uint8_t *data, size_t length, uint8_t code,
                                   size_t *ret_length, bool *ret_wellformed);
