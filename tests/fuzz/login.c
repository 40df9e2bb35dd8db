/*
 * login.c - a login, PDU by PDU. First byte: what the target and discovery ask for. Then per PDU
 * the flags of byte 1, two bytes of length, the text. The flag 0x20, reserved on the wire, stands
 * for "and the right CHAP response", which no fuzzer would guess.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "iscsi/login.h"
#include "iscsi/pdu.h"
#include "leaving.h"

#define USER   "client"
#define SECRET "initiator-secret"
#define PROVE  0x20
#define PROOF  "target-secret-16"
#define TARGET "iqn.2026-11.local:disk"
#define ROOM   4096
#define NOW_US 1000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void count(struct random_source *source, void *to, size_t length)
{
    (void)source;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = (uint8_t)(i + 1);
}

static size_t append_response(uint8_t *to, const struct iscsi_login *login)
{
    static const char *const digests[] = {[16] = "MD5", [20] = "SHA1", [32] = "SHA256"};
    uint8_t message[128] = {1}, digest[64];
    size_t challenge_bytes = 0, digest_bytes = 0, length;
    const uint8_t *challenge = iscsi_login_challenge(login, &challenge_bytes);
    if (!challenge)
        return 0;
    memcpy(message + 1, SECRET, strlen(SECRET));
    memcpy(message + 1 + strlen(SECRET), challenge, challenge_bytes);
    check(EVP_Q_digest(NULL, digests[challenge_bytes], NULL, message,
                       1 + strlen(SECRET) + challenge_bytes, digest, &digest_bytes));
    length = (size_t)sprintf((char *)to, "CHAP_N=%s%cCHAP_R=0x", USER, 0);
    for (size_t i = 0; i < digest_bytes; i++)
        length += (size_t)sprintf((char *)to + length, "%02x", digest[i]);
    return length + 1;
}

static void check_answer(enum iscsi_login_verdict verdict, const struct iscsi_login_answer *answer)
{
    check(answer->text.length <= LOGIN_DATA_LIMIT && !answer->text.failed);
    check(answer->text.length == 0 || answer->text.data[answer->text.length - 1] == '\0');
    check_leaving(answer->text.data, answer->text.length);
    check(memchr(answer->reason, '\0', sizeof answer->reason));
    if (verdict == ISCSI_LOGIN_REFUSE)
        check(answer->status_class >= 2 && answer->status_class <= 3 && !answer->transit &&
              answer->reason[0] && answer->text.length == 0);
    else
        check(answer->status_class == 0 && answer->status_detail == 0);
    check(!answer->transit || answer->nsg > answer->csg);
}

static void check_result(const struct iscsi_login_result *result, bool proved, bool asked)
{
    const struct iscsi_parameters *parameters = &result->parameters;
    check(result->initiator[0] && !result->discovery == (result->target != NULL));
    check(!asked || (proved && result->auth != ISCSI_AUTH_NONE));
    check(parameters->first_burst_bytes >= 512);
    check(parameters->first_burst_bytes <= parameters->max_burst_bytes);
    check(parameters->max_burst_bytes <= 262144);
    check(parameters->max_send_bytes >= 512 && parameters->max_send_bytes <= ISCSI_OUTPUT_BYTES);
    check(parameters->max_receive_bytes >= 8192);
}

static void log_in(struct iscsi_node *node, const uint8_t *data, size_t size)
{
    const struct sockaddr_storage peer = {.ss_family = AF_INET};
    struct iscsi_login *login = iscsi_login_new(node, &peer, &peer);
    enum iscsi_login_verdict verdict = ISCSI_LOGIN_ANSWER;
    bool proved = false;
    while (verdict == ISCSI_LOGIN_ANSWER && size >= 3) {
        uint8_t bhs[BHS_BYTES] = {OP_LOGIN_REQUEST | BHS_IMMEDIATE, (uint8_t)(data[0] & ~PROVE)};
        size_t length = load_be16(data + 1) % ROOM;
        uint8_t *text = malloc(ROOM + 256);
        struct iscsi_login_answer answer;
        if (length > size - 3)
            length = size - 3;
        memcpy(text, data + 3, length);
        size_t added = data[0] & PROVE ? append_response(text + length, login) : 0;
        proved |= added > 0;
        verdict = iscsi_login_receive(login, bhs, text, length + added, NOW_US, &answer);
        check_answer(verdict, &answer);
        free(text);
        data += 3 + length;
        size -= 3 + length;
    }
    const struct iscsi_login_result *result = iscsi_login_result(login);
    if (verdict == ISCSI_LOGIN_COMPLETE)
        check_result(result, proved,
                     (result->discovery ? node->discovery_auth.mode : result->target->auth.mode) !=
                         ISCSI_AUTH_NONE);
    iscsi_login_free(login);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct iscsi_credentials initiator = {USER, SECRET};
    static struct random_source random = {count};
    if (size == 0)
        return 0;
    struct iscsi_auth auth = {
        .initiators = &initiator,
        .initiator_count = 1,
        .target = {"server", PROOF},
        .algorithms = 1u << ISCSI_CHAP_MD5 | 1u << ISCSI_CHAP_SHA1 | 1u << ISCSI_CHAP_SHA256,
    };
    struct iscsi_target target = {.name = TARGET, .alias = "disk", .auth = auth, .ready = true};
    struct iscsi_node node = {
        .limits = iscsi_default_limits,
        .random = &random,
        .discovery_auth = auth,
        .targets = &target,
    };
    target.auth.mode = (enum iscsi_auth_mode)((data[0] & 3) % 3);
    node.discovery_auth.mode = (enum iscsi_auth_mode)((data[0] >> 2 & 3) % 3);
    target.header_digest = target.data_digest = (enum iscsi_digest_policy)((data[0] >> 4 & 3) % 3);
    target.initial_r2t = data[0] >> 6 & 1;
    log_in(&node, data + 1, size - 1);
    return 0;
}
