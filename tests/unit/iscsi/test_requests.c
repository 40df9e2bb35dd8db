/* Login, text, NOP and logout requests as they pass through a connection. */
#include "iscsi/connection_fixture.h"

/* ── login ───────────────────────────────────────────────────────────────────────────────────── */

static void test_login_numbers(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_open(world);
    peer->cmd_sn = 0xfffffffe; /* wraps soon */
    send_login(peer, TRANSIT(0, 1),
               "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\nAuthMethod=None\n");
    struct pdu pdu = expect_pdu(peer, OP_LOGIN_RESPONSE);
    assert_int_equal(pdu.bhs[1], TRANSIT(0, 1));
    assert_memory_equal(pdu.bhs + 8, peer->isid, ISCSI_ISID_BYTES);
    assert_int_equal(load_be16(pdu.bhs + 14), 0);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), peer->next_itt - 1);
    assert_int_equal(load_be32(pdu.bhs + BHS_EXP_CMD_SN), 0xfffffffe);
    send_login(peer, TRANSIT(1, 3), "");
    expect_logged_in(peer);
    assert_int_equal(peer->max_cmd_sn, 0xfffffffe + 255u);
    pass_unit_attention(peer);
    for (unsigned i = 0; i < 6; i++) {
        uint32_t itt = send_read(peer, i, 1);
        expect_data_in(peer, itt, i, BLOCK);
    }
    world_free(world);
}

/* A text of many PDUs with C=1. */
static void test_login_continued(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_open(world);
    peer->feeding = FEED_BYTES;
    send_login(peer, BHS_CONTINUE | 1 << 2, "InitiatorName=" INITIATOR "\nTargetN");
    struct pdu pdu = expect_pdu(peer, OP_LOGIN_RESPONSE);
    assert_int_equal(pdu.length, 0);
    assert_int_equal(pdu.bhs[1], 1 << 2);
    send_login(peer, BHS_CONTINUE | 1 << 2, "");
    expect_pdu(peer, OP_LOGIN_RESPONSE);
    send_login(peer, TRANSIT(1, 3), "ame=" TARGET "\n");
    expect_logged_in(peer);
    world_free(world);
}

static void test_refused_login_is_answered_and_closed(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        unsigned status;
    } cases[] = {
        {"TargetName=" TARGET "\n",                                             0x0207},
        {"InitiatorName=" INITIATOR "\nTargetName=iqn.2026-11.local:nothing\n", 0x0203},
        {"InitiatorName=" INITIATOR "\nTargetName=" TARGET "\n=\n",             0x0200},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_open(world);
        send_login(peer, TRANSIT(1, 3), cases[i].keys);
        struct pdu pdu = expect_pdu(peer, OP_LOGIN_RESPONSE);
        assert_int_equal(load_be16(pdu.bhs + 36), cases[i].status);
        assert_null(peer->connection);
        assert_int_equal(world->events[ISCSI_EVENT_LOGIN_REFUSED], 1);
        assert_int_equal(world->node->logins_in_progress, 0);
        world_free(world);
    }
}

/* ── NOP ─────────────────────────────────────────────────────────────────────────────────────── */

static void test_ping(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=262144\n");
    static const uint32_t lengths[] = {0, 1, 4, 4095, 262144};
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint8_t bhs[BHS_BYTES] = {OP_NOP_OUT, 0}; /* isboot sends it without F */
        uint32_t itt = number_request(peer, bhs);
        store_be32(bhs + BHS_TTT, RESERVED_TAG);
        memcpy(bhs + BHS_LUN, "\0\1\2\3\4\5\6\7", 8);
        send_pdu(peer, bhs, pattern(1), lengths[i]);
        struct pdu pdu = expect_pdu(peer, OP_NOP_IN);
        assert_int_equal(pdu.bhs[1], BHS_FINAL);
        assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
        assert_int_equal(pdu_ttt(&pdu), RESERVED_TAG);
        assert_memory_equal(pdu.bhs + BHS_LUN, "\0\1\2\3\4\5\6\7", 8);
        assert_int_equal(pdu.length, lengths[i]);
        assert_memory_equal(pdu.data, pattern(1), lengths[i]);
        assert_null(peer->connection->text.data); /* an idle session keeps no text */
    }
    world_free(world);
}

/* No more comes back than the initiator can take. */
static void test_ping_is_cut(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=512\n");
    send_nop(peer, true, pattern(1), 5000);
    struct pdu pdu = expect_pdu(peer, OP_NOP_IN);
    assert_int_equal(pdu.length, 512);
    assert_memory_equal(pdu.data, pattern(1), 512);
    world_free(world);
}

/* ITT ffffffff: an answer to a ping of ours, or a mere acknowledgement. */
static void test_pong_is_not_answered(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    static const uint32_t tags[] = {RESERVED_TAG, 0, 17};
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
        uint8_t bhs[BHS_BYTES] = {OP_NOP_OUT | BHS_IMMEDIATE, BHS_FINAL};
        number_request(peer, bhs);
        store_be32(bhs + BHS_ITT, RESERVED_TAG);
        store_be32(bhs + BHS_TTT, tags[i]);
        send_pdu(peer, bhs, "data", 4);
        expect_nothing(peer);
    }
    uint32_t itt = send_read(peer, 0, 1);
    expect_data_in(peer, itt, 0, BLOCK);
    world_free(world);
}

/* A peer that asks but does not read. */
static void test_unread_answers_are_bounded(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 8192};
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, "");
        unsigned sent = 0;
        for (; peer->connection && sent < 100000; sent++)
            send_nop(peer, true, pattern(1), lengths[i]);
        expect_closed(peer, "does not read");
        assert_true((size_t)sent * (lengths[i] + 48) <= RESPONSES_LIMIT_BYTES + 8192 + 48);
        world_free(world);
    }
    struct world *world = world_default();
    struct peer *peer = peer_new(world, ""); /* one that reads may ask for ever */
    for (unsigned i = 0; i < 2000; i++) {
        send_nop(peer, true, pattern(1), 8192);
        expect_pdu(peer, OP_NOP_IN);
    }
    assert_int_equal(peer->connection->responses_bytes, 0);
    world_free(world);
}

/* ── text ────────────────────────────────────────────────────────────────────────────────────── */

static struct peer *discovery_peer(struct world *world, const char *keys)
{
    char lines[512];
    struct peer *peer = peer_open(world);
    snprintf(lines, sizeof lines, "InitiatorName=" INITIATOR "\nSessionType=Discovery\n%s", keys);
    send_login(peer, TRANSIT(1, 3), lines);
    expect_logged_in(peer);
    return peer;
}

static void test_send_targets(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peers[] = {discovery_peer(world, ""), peer_new(world, "DataDigest=CRC32C\n")};
    for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
        uint32_t itt = send_text(peers[i], BHS_FINAL, RESERVED_TAG, "SendTargets=All\n");
        struct pdu pdu = expect_pdu(peers[i], OP_TEXT_RESPONSE);
        assert_int_equal(pdu.bhs[1], BHS_FINAL);
        assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
        assert_int_equal(pdu_ttt(&pdu), RESERVED_TAG);
        assert_string_equal(text_value(&pdu, "TargetName"), TARGET);
        assert_string_equal(text_value(&pdu, "TargetAddress"), "192.0.2.1:3260,1");
    }
    assert_int_equal(world->events[ISCSI_EVENT_DISCOVERY], 1);
    world_free(world);
}

/* More targets than one PDU can carry: the rest for empty requests with our tag. */
static void test_send_targets_over_several_pdus(void **state)
{
    (void)state;
    enum { OTHERS = 40 };
    struct world *world = world_default();
    struct iscsi_target *others[OTHERS];
    for (unsigned i = 0; i < OTHERS; i++) {
        char name[64];
        struct error error;
        snprintf(name, sizeof name, "iqn.2026-11.local:disk-number-%u", i);
        others[i] =
            iscsi_target_new(&(struct iscsi_target_options){.name = name}, world->scsi, &error);
        assert_int_equal(iscsi_node_add_target(world->node, others[i]), 0);
    }
    struct peer *peer = discovery_peer(world, "MaxRecvDataSegmentLength=512\n");
    for (unsigned round = 0; round < 2; round++) {
        char all[8192] = "";
        size_t length = 0;
        unsigned pdus = 1;
        send_text(peer, BHS_FINAL, RESERVED_TAG, "SendTargets=All\n");
        struct pdu pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
        for (;; pdus++) {
            assert_true(pdu.length <= 512);
            memcpy(all + length, pdu.data, pdu.length);
            length += pdu.length;
            if (pdu.bhs[1] & BHS_FINAL)
                break;
            assert_int_equal(pdu.bhs[1], BHS_CONTINUE);
            assert_int_equal(pdu.length, 512);
            assert_int_not_equal(pdu_ttt(&pdu), RESERVED_TAG);
            if (!round && pdus == 2) { /* a ping in between does not disturb */
                send_nop(peer, true, "ping", 4);
                assert_int_equal(expect_pdu(peer, OP_NOP_IN).length, 4);
            }
            send_text(peer, BHS_FINAL, pdu_ttt(&pdu), "");
            pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
        }
        assert_int_equal(pdu_ttt(&pdu), RESERVED_TAG);
        assert_int_equal(pdus, (length + 511) / 512);
        unsigned names = 0;
        for (size_t at = 0; at < length; at += strlen(all + at) + 1)
            names += !strncmp(all + at, "TargetName=", 11);
        assert_int_equal(names, OTHERS + 1);
    }
    /* Given up in the middle: a new request begins anew. */
    send_text(peer, BHS_FINAL, RESERVED_TAG, "SendTargets=All\n");
    expect_pdu(peer, OP_TEXT_RESPONSE);
    send_text(peer, BHS_FINAL, RESERVED_TAG, "SendTargets=" TARGET "\n");
    struct pdu pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
    assert_int_equal(pdu.bhs[1], BHS_FINAL);
    assert_string_equal(text_value(&pdu, "TargetName"), TARGET);
    for (unsigned i = 0; i < OTHERS; i++) {
        bool removed = false;
        iscsi_node_remove_target(world->node, others[i], note_removed, &removed);
        assert_true(removed);
        iscsi_target_free(others[i]);
    }
    world_free(world);
}

/* A request over several PDUs: cut in the middle of a pair (C=1), or not yet final (F=0). */
static void test_text_request_continued(void **state)
{
    (void)state;
    static const uint8_t flags[] = {BHS_CONTINUE, 0};
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        struct world *world = world_default();
        struct peer *peer = discovery_peer(world, "");
        send_text(peer, flags[i], RESERVED_TAG, i ? "" : "SendTar");
        struct pdu pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
        assert_int_equal(pdu.bhs[1], 0);
        assert_int_equal(pdu.length, 0);
        uint32_t ttt = pdu_ttt(&pdu);
        assert_int_not_equal(ttt, RESERVED_TAG);
        send_nop(peer, true, "ping", 4); /* no part of it */
        struct pdu pong = expect_pdu(peer, OP_NOP_IN);
        assert_int_equal(pong.length, 4);
        assert_memory_equal(pong.data, "ping", 4);
        send_text(peer, flags[i], ttt, i ? "SendTargets=All\n" : "gets=");
        pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
        assert_int_equal(pdu.length, 0);
        send_text(peer, BHS_FINAL, ttt, i ? "" : "All\n");
        pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
        assert_int_equal(pdu.bhs[1], BHS_FINAL);
        assert_string_equal(text_value(&pdu, "TargetName"), TARGET);
        world_free(world);
    }
}

/* The first half of a request that nobody goes on with is forgotten. */
static void test_text_request_begun_anew(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = discovery_peer(world, "");
    send_text(peer, BHS_CONTINUE, RESERVED_TAG, "Nonsense");
    expect_pdu(peer, OP_TEXT_RESPONSE);
    send_text(peer, BHS_FINAL, RESERVED_TAG, "SendTargets=All\n");
    struct pdu pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
    assert_string_equal(text_value(&pdu, "TargetName"), TARGET);
    world_free(world);
}

/* Reject carries the header of what it rejects; the session goes on. */
static void test_rejected_text(void **state)
{
    (void)state;
    static const struct {
        uint32_t ttt;
        const char *text;
    } cases[] = {
        {RESERVED_TAG, "SendTargets=Alle\n"     },
        {RESERVED_TAG, "SendTargetsPlease=All\n"},
        {RESERVED_TAG, "no pair"                },
        {4711,         "SendTargets=All\n"      },
        {4711,         ""                       },
    };
    struct world *world = world_default();
    struct peer *peers[] = {discovery_peer(world, ""), peer_new(world, "")};
    for (size_t p = 0; p < ARRAY_SIZE(peers); p++) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            uint32_t itt = send_text(peers[p], BHS_FINAL, cases[i].ttt, cases[i].text);
            struct pdu pdu = expect_pdu(peers[p], OP_REJECT);
            assert_int_equal(pdu.bhs[2], 4);
            assert_int_equal(load_be32(pdu.bhs + BHS_ITT), RESERVED_TAG);
            assert_int_equal(pdu.length, BHS_BYTES);
            assert_int_equal(bhs_opcode(pdu.data), OP_TEXT_REQUEST);
            assert_int_equal(load_be32(pdu.data + BHS_ITT), itt);
        }
    }
    world_free(world);
}

static void test_text_is_bounded(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = discovery_peer(world, "");
    static char pairs[8000];
    memset(pairs, 'a', sizeof pairs - 1);
    uint32_t ttt = RESERVED_TAG;
    for (unsigned i = 0; i < 100 && peer->connection; i++) {
        struct pdu pdu;
        send_text(peer, BHS_CONTINUE, ttt, pairs);
        if (next_pdu(peer, &pdu))
            ttt = pdu_ttt(&pdu);
    }
    expect_closed(peer, "bytes of text in one exchange");
    world_free(world);
}

/* ── logout ──────────────────────────────────────────────────────────────────────────────────── */

static void test_logout_reasons(void **state)
{
    (void)state;
    static const struct {
        uint8_t reason;
        uint16_t cid;
        uint8_t response;
        bool ends;
    } cases[] = {
        {0, 7, 0, true }, /* the session */
        {0, 0, 0, true }, /* which CID that is does not matter then */
        {1, 7, 0, true }, /* the connection */
        {1, 8, 1, false}, /* another connection: there is none */
        {2, 7, 2, false}, /* for recovery */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_open(world);
        peer->cid = 7;
        peer_log_in(peer, "");
        uint32_t itt = send_logout(peer, cases[i].reason, cases[i].cid);
        struct pdu pdu = expect_pdu(peer, OP_LOGOUT_RESPONSE);
        assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
        assert_int_equal(pdu.bhs[2], cases[i].response);
        assert_int_equal(!peer->connection, cases[i].ends);
        assert_int_equal(world->events[ISCSI_EVENT_SESSION_ENDED], cases[i].ends);
        world_free(world);
    }
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    send_logout(peer, 3, 0); /* reserved */
    assert_int_equal(expect_pdu(peer, OP_REJECT).bhs[2], 9);
    assert_non_null(peer->connection);
    world_free(world);
}

/* What is under way is dropped; what was ready leaves before the answer. */
static void test_logout_during_io(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint32_t ready = send_read(peer, 0, 16);
    hang(world, BLOCK_WRITE);
    for (unsigned i = 0; i < 10; i++)
        send_write(peer, i * 8, 8, pattern(1), 4096);
    send_write(peer, 1000, 8, NULL, 0);
    send_logout(peer, 0, 0);
    expect_data_in(peer, ready, 0, 16 * BLOCK);
    expect_pdu(peer, OP_R2T);
    struct pdu pdu = expect_pdu(peer, OP_LOGOUT_RESPONSE);
    assert_int_equal(pdu.bhs[2], 0);
    assert_null(peer->connection);
    assert_int_equal(iscsi_node_session_count(world->node), 1); /* the disk still writes */
    unhang(world);
    assert_int_equal(iscsi_node_session_count(world->node), 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login_numbers),
        cmocka_unit_test(test_login_continued),
        cmocka_unit_test(test_refused_login_is_answered_and_closed),
        cmocka_unit_test(test_ping),
        cmocka_unit_test(test_ping_is_cut),
        cmocka_unit_test(test_pong_is_not_answered),
        cmocka_unit_test(test_unread_answers_are_bounded),
        cmocka_unit_test(test_send_targets),
        cmocka_unit_test(test_send_targets_over_several_pdus),
        cmocka_unit_test(test_text_request_continued),
        cmocka_unit_test(test_text_request_begun_anew),
        cmocka_unit_test(test_rejected_text),
        cmocka_unit_test(test_text_is_bounded),
        cmocka_unit_test(test_logout_reasons),
        cmocka_unit_test(test_logout_during_io),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
