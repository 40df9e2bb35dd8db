/* login_fixture.h - a node with a target, and an initiator that logs in to it PDU by PDU. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "iscsi/login.h"
#include "iscsi/pdu.h"

#define TARGET    "iqn.2026-11.local.netboot-target:disk"
#define INITIATOR "iqn.2010-04.org.ipxe:client"
#define USER      "client"
#define SECRET    "initiator-secret"
#define PROVER    "server"
#define PROOF     "target-secret-of-16"

/* What a first request says of itself. */
#define NAMES     "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\nSessionType=Normal\n"
#define DISCOVERY "InitiatorName=" INITIATOR "\nSessionType=Discovery\n"

/* Flags of byte 1 */
#define T(csg, nsg) (BHS_FINAL | (csg) << 2 | (nsg))
#define STAY(csg)   ((csg) << 2)
#define MORE(csg)   (BHS_CONTINUE | (csg) << 2)

/* Counts: 0, 1, 2 … so that every challenge is known and none is like another. */
struct counting_random {
    struct random_source source;
    uint8_t next;
};

static inline void count(struct random_source *source, void *to, size_t length)
{
    struct counting_random *random = (struct counting_random *)source;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = random->next++;
}

static inline void ignore_event(void *context, const struct iscsi_event *event)
{
    (void)context;
    (void)event;
}

static inline void ignore_owner(void *context, void *owner)
{
    (void)context;
    (void)owner;
}

static inline uint64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static const struct iscsi_callbacks quiet = {
    .event = ignore_event, .output_ready = ignore_owner, .close = ignore_owner, .now_us = no_time};

struct fixture {
    struct counting_random random;
    struct iscsi_node *node;
    struct scsi_target *scsi;
    struct iscsi_target *target;
    struct sockaddr_storage peer;
    struct iscsi_login *login;
    struct iscsi_login_answer answer;
    uint8_t isid[ISCSI_ISID_BYTES];
    uint16_t tsih, cid;
    uint8_t version_min;
};

static inline struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        storage.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        storage.ss_family = AF_INET6;
    }
    return storage;
}

static const struct iscsi_credentials one_initiator[] = {
    {USER, SECRET}
};

static inline struct iscsi_target_options open_options(void)
{
    return (struct iscsi_target_options){.name = TARGET, .initial_r2t = true};
}

static inline struct iscsi_target_options chap_options(enum iscsi_auth_mode mode)
{
    struct iscsi_target_options options = open_options();
    options.auth = (struct iscsi_auth){
        .mode = mode, .initiators = one_initiator, .initiator_count = 1, .target = {PROVER, PROOF}
    };
    return options;
}

static inline void fixture_init(struct fixture *fixture, const struct iscsi_target_options *options)
{
    struct error error = {0};
    *fixture = (struct fixture){
        .random.source.fill = count, .isid = {0x40, 0, 0x27, 0x23, 0, 1}
    };
    fixture->node = iscsi_node_new(
        &(struct iscsi_node_options){.callbacks = &quiet, .random = &fixture->random.source});
    assert_non_null(fixture->node);
    fixture->scsi = scsi_target_new(options->name);
    fixture->target = iscsi_target_new(options, fixture->scsi, &error);
    assert_string_equal(error.text, "");
    assert_non_null(fixture->target);
    assert_int_equal(iscsi_node_add_target(fixture->node, fixture->target), 0);
    iscsi_target_set_ready(fixture->target, true);
    fixture->peer = address("192.0.2.7");
}

static inline void note_removed(void *context)
{
    *(bool *)context = true;
}

static inline void fixture_done(struct fixture *fixture)
{
    bool removed = false;
    iscsi_login_free(fixture->login);
    iscsi_node_remove_target(fixture->node, fixture->target, note_removed, &removed);
    assert_true(removed);
    iscsi_target_free(fixture->target);
    scsi_target_free(fixture->scsi);
    iscsi_node_free(fixture->node);
}

/* A login PDU with `length` bytes of text. */
static inline enum iscsi_login_verdict send_bytes(struct fixture *fixture, unsigned flags,
                                                  const void *text, size_t length)
{
    uint8_t bhs[BHS_BYTES] = {OP_LOGIN_REQUEST | BHS_IMMEDIATE, (uint8_t)flags};
    bhs[3] = fixture->version_min;
    memcpy(bhs + 8, fixture->isid, ISCSI_ISID_BYTES);
    store_be16(bhs + 14, fixture->tsih);
    store_be16(bhs + 20, fixture->cid);
    store_be24(bhs + BHS_DATA_LENGTH, (uint32_t)length);
    if (!fixture->login)
        fixture->login = iscsi_login_new(fixture->node, &fixture->peer, &fixture->peer);
    assert_non_null(fixture->login);
    /* An own copy of exactly this size, so that the sanitizer sees any step beyond. */
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    enum iscsi_login_verdict verdict =
        iscsi_login_receive(fixture->login, bhs, copy, length, 1000000, &fixture->answer);
    free(copy);
    if (verdict == ISCSI_LOGIN_REFUSE) {
        assert_true(fixture->answer.status_class != 0);
        assert_true(fixture->answer.reason[0] != '\0');
        assert_int_equal(fixture->answer.text.length, 0);
        assert_false(fixture->answer.transit);
    } else {
        assert_int_equal(fixture->answer.status_class, 0);
        assert_int_equal(fixture->answer.status_detail, 0);
    }
    return verdict;
}

/* A login PDU; the text's pairs are written with '\n' where the wire has a NUL. */
static inline enum iscsi_login_verdict send_text(struct fixture *fixture, unsigned flags,
                                                 const char *lines)
{
    size_t length = strlen(lines);
    char *text = strdup(lines);
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n')
            text[i] = '\0';
    enum iscsi_login_verdict verdict = send_bytes(fixture, flags, text, length);
    free(text);
    return verdict;
}

/* A new connection. */
static inline void start_anew(struct fixture *fixture)
{
    iscsi_login_free(fixture->login);
    fixture->login = NULL;
}

/* The value of a key in a text, or NULL; the same key twice fails the test. */
static inline const char *find_value(const struct buffer *text, const char *key)
{
    const char *found = NULL;
    size_t key_length = strlen(key);
    for (size_t at = 0; at < text->length;) {
        const char *pair = (const char *)text->data + at;
        if (strncmp(pair, key, key_length) == 0 && pair[key_length] == '=') {
            assert_null(found);
            found = pair + key_length + 1;
        }
        at += strlen(pair) + 1;
    }
    return found;
}

static inline void check_value(const struct fixture *fixture, const char *key, const char *value)
{
    const char *found = find_value(&fixture->answer.text, key);
    if (!value) {
        assert_null(found);
        return;
    }
    if (!found)
        fail_msg("no %s in the answer", key);
    assert_string_equal(found, value);
}

static inline void check_stage(const struct fixture *fixture, bool transit, unsigned csg,
                               unsigned nsg)
{
    assert_int_equal(fixture->answer.transit, transit);
    assert_int_equal(fixture->answer.csg, csg);
    assert_int_equal(fixture->answer.nsg, nsg);
    assert_false(fixture->answer.more);
}

static inline void check_status(const struct fixture *fixture, unsigned status)
{
    unsigned got = (unsigned)fixture->answer.status_class << 8 | fixture->answer.status_detail;
    if (got != status)
        fail_msg("status %04x instead of %04x: %s", got, status, fixture->answer.reason);
}

/* ── the initiator's side of CHAP ────────────────────────────────────────────────────────────── */

static inline size_t from_hex(const char *hex, uint8_t *to, size_t size)
{
    size_t length = 0;
    assert_memory_equal(hex, "0x", 2);
    for (hex += 2; hex[0] && hex[1]; hex += 2) {
        unsigned byte;
        assert_true(length < size);
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        to[length++] = (uint8_t)byte;
    }
    assert_int_equal(hex[0], '\0');
    return length;
}

/* "0x…" of digest(identifier, secret, challenge). */
static inline void chap_response(const char *digest, unsigned identifier, const char *secret,
                                 const char *challenge_hex, char to[128])
{
    uint8_t message[2048], result[64];
    size_t secret_length = strlen(secret), result_length = 0;
    message[0] = (uint8_t)identifier;
    memcpy(message + 1, secret, secret_length);
    size_t length =
        1 + secret_length +
        from_hex(challenge_hex, message + 1 + secret_length, sizeof message - 1 - secret_length);
    assert_true(EVP_Q_digest(NULL, digest, NULL, message, length, result, &result_length));
    strcpy(to, "0x");
    for (size_t i = 0; i < result_length; i++)
        sprintf(to + 2 + 2 * i, "%02X", result[i]);
}

/* What the initiator answers to the challenge in the fixture's last answer. */
static inline void respond_to_challenge(const struct fixture *fixture, const char *digest,
                                        const char *user, const char *secret, char to[512])
{
    char response[128];
    const struct buffer *text = &fixture->answer.text;
    const char *identifier = find_value(text, "CHAP_I"), *challenge = find_value(text, "CHAP_C");
    assert_non_null(identifier);
    assert_non_null(challenge);
    chap_response(digest, (unsigned)atoi(identifier), secret, challenge, response);
    snprintf(to, 512, "CHAP_N=%s\nCHAP_R=%s\n", user, response);
}
