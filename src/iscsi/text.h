/*
 * text.h - the text format of login and text PDUs, RFC 7143 §6.1: key=value pairs, each ended by a
 * NUL. Reading never runs past the text; writing goes through a bounded buffer.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/error.h>

#define TEXT_KEY_BYTES         64  /* 63 and a NUL, RFC 7143 §6.1 */
#define TEXT_VALUE_LIMIT       255 /* unless the key says otherwise */
#define TEXT_LARGE_VALUE_LIMIT 8191
#define TEXT_PAIRS_LIMIT       64 /* of one exchange; initiators send about 20 */

/* The answers that are no values, RFC 7143 §6.2 */
#define TEXT_NOT_UNDERSTOOD "NotUnderstood"
#define TEXT_IRRELEVANT     "Irrelevant"
#define TEXT_REJECT         "Reject"

struct iscsi_text_pair {
    char key[TEXT_KEY_BYTES];
    const char *value; /* in the text, with its NUL */
    size_t value_length;
};

struct iscsi_text_reader {
    const uint8_t *next;
    size_t left;
    unsigned pairs;
};

void iscsi_text_reader_init(struct iscsi_text_reader *reader, const uint8_t *text, size_t length);
/* 1: a pair, 0: the end, -EPROTO: malformed, and `error` says how. NULs between pairs are skipped:
 * some initiators count their padding as data. */
int iscsi_text_read(struct iscsi_text_reader *reader, struct iscsi_text_pair *ret_pair,
                    struct error *error);

/* Appends "key=value" and a NUL. What does not fit sets `failed`. */
void iscsi_text_put(struct buffer *buffer, const char *key, const char *value);
void iscsi_text_put_number(struct buffer *buffer, const char *key, uint32_t value);
void iscsi_text_put_hex(struct buffer *buffer, const char *key, const uint8_t *data, size_t length);

/* One of NotUnderstood, Irrelevant, Reject: an answer, never an offer. */
bool iscsi_text_is_answer(const char *value);

/* The value forms of §6.1. -EINVAL: not of this form; -ERANGE: more than 32 bits or `size`. */
int iscsi_text_number(const char *value, uint32_t *ret_number);
int iscsi_text_boolean(const char *value, bool *ret_boolean);
/* "0x…" or "0b…" (base64). `to` may be written even on failure. */
int iscsi_text_binary(const char *value, uint8_t *to, size_t size, size_t *ret_length);

/* Takes the next item off a list "a,b,c": false at its end. `*list` begins at the value and is
 * moved on. An item that does not fit in `item` or is empty becomes "", which is no item's name. */
bool iscsi_text_list_next(const char **list, char *item, size_t size);
