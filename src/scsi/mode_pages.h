/* mode_pages.h - the mode pages and how they are laid out, SPC-4 §7.5 and SBC-3 §6.5. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scsi_lu;
struct mode_parameters;

#define MODE_PAGE_BYTES_LIMIT 32
#define MODE_ALL_PAGES        0x3f
#define MODE_ALL_SUBPAGES     0xff

struct mode_page {
    uint8_t code;
    uint8_t bytes; /* with its two header bytes */
    /* The page with `mode` in it. */
    void (*write)(const struct mode_parameters *mode, uint8_t *to);
    /* Takes the changeable bits out of a page; NULL: nothing can be changed. */
    void (*read)(const uint8_t *from, struct mode_parameters *mode);
};

extern const struct mode_page mode_pages[];
extern const size_t mode_page_count;

/* Bits that MODE SELECT may change, of `page`. */
void mode_page_changeable(const struct mode_page *page, uint8_t *to);
/* DEVICE-SPECIFIC PARAMETER of the mode parameter header, SBC-3 §6.5.1. */
uint8_t mode_device_specific(const struct scsi_lu *lu, bool is_view);
/* The block descriptor, short or (with LLBAA) long; returns its length. */
size_t mode_block_descriptor(const struct scsi_lu *lu, bool long_lba, uint8_t to[static 16]);
