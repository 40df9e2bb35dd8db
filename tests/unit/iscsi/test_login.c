/* Logins of every form that is allowed, and those that are refused. */
#include "iscsi/connection.h"
#include "login_fixture.h"
#include <netboot-target/util/array.h>

/* ── forms that are allowed ──────────────────────────────────────────────────────────────────── */

static void test_session_type_is_normal_by_default(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(
        send_text(&fixture, T(1, 3), "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\n"),
        ISCSI_LOGIN_COMPLETE);
    assert_ptr_equal(iscsi_login_result(fixture.login)->target, fixture.target);
    fixture_done(&fixture);
}

static void test_names_in_capitals(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(1, 3),
                               "InitiatorName=IQN.2010-04.org.iPXE:Client\n"
                               "TargetName=IQN.2026-11.LOCAL.netboot-target:DISK\n"),
                     ISCSI_LOGIN_COMPLETE);
    assert_string_equal(iscsi_login_initiator_name(fixture.login), INITIATOR);
    fixture_done(&fixture);
}

/* Straight from security to full feature: nothing is negotiated, so the defaults hold. */
static void test_no_operational_stage(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(0, 3), NAMES), ISCSI_LOGIN_COMPLETE);
    check_stage(&fixture, true, 0, 3);
    check_value(&fixture, "MaxRecvDataSegmentLength", NULL);
    assert_int_equal(iscsi_login_result(fixture.login)->parameters.max_receive_bytes, 8192);
    fixture_done(&fixture);
}

/* libiscsi and others send names and keys again; only contradictions are errors. */
static void test_repetitions(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, STAY(1), NAMES NAMES "MaxBurstLength=4096\n"),
                     ISCSI_LOGIN_ANSWER);
    check_value(&fixture, "MaxBurstLength", "4096");
    check_value(&fixture, "MaxRecvDataSegmentLength", "262144");
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES "MaxBurstLength=4096\n"),
                     ISCSI_LOGIN_COMPLETE);
    check_value(&fixture, "MaxBurstLength", "4096");
    check_value(&fixture, "MaxRecvDataSegmentLength", NULL); /* declared once */
    fixture_done(&fixture);
}

static void test_contradictions(void **state)
{
    (void)state;
    static const char *const texts[] = {
        NAMES "MaxBurstLength=4096\nMaxBurstLength=8192\n",
        NAMES "InitiatorName=iqn.2010-04.org.ipxe:other\n",
        NAMES "TargetName=iqn.2010-04.org.example:other\n",
        NAMES "SessionType=Discovery\n",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        struct fixture fixture;
        struct iscsi_target_options options = open_options();
        fixture_init(&fixture, &options);
        assert_int_equal(send_text(&fixture, T(1, 3), texts[i]), ISCSI_LOGIN_REFUSE);
        check_status(&fixture, 0x0200);
        assert_non_null(strstr(fixture.answer.reason, "different values"));
        fixture_done(&fixture);
    }
}

static void test_unknown_keys(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(1, 3),
                               NAMES "X-org.example.colour=blue\nFoo=\nRDMAExtensions=Yes\n"
                                     "Bar=NotUnderstood\n"),
                     ISCSI_LOGIN_COMPLETE);
    check_value(&fixture, "X-org.example.colour", "NotUnderstood");
    check_value(&fixture, "Foo", "NotUnderstood");
    check_value(&fixture, "RDMAExtensions", "NotUnderstood");
    check_value(&fixture, "Bar", NULL);
    fixture_done(&fixture);
}

/* CVE-2013-2850: the echo of unknown keys is bounded, and so are keys. */
static void test_many_and_long_unknown_keys(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 4096; length = length * 5 / 4 + 1) {
        struct fixture fixture;
        struct iscsi_target_options options = open_options();
        char text[8192] = NAMES;
        fixture_init(&fixture, &options);
        size_t at = strlen(text);
        memset(text + at, 'k', length);
        strcpy(text + at + length, "=1\n");
        enum iscsi_login_verdict verdict = send_text(&fixture, T(1, 3), text);
        assert_int_equal(verdict, length <= 63 ? ISCSI_LOGIN_COMPLETE : ISCSI_LOGIN_REFUSE);
        fixture_done(&fixture);
    }
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    char text[8192] = NAMES;
    fixture_init(&fixture, &options);
    for (unsigned i = 0; i < 100; i++)
        sprintf(text + strlen(text), "%063u=\n", i);
    assert_int_equal(send_text(&fixture, T(1, 3), text), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0200);
    fixture_done(&fixture);
}

/* §6.2: one text in several PDUs; a pair may be cut anywhere. */
static void test_continued_requests(void **state)
{
    (void)state;
    static const char text[] =
        "InitiatorName=" INITIATOR "\0TargetName=" TARGET "\0MaxBurstLength=4096";
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        struct fixture fixture;
        struct iscsi_target_options options = open_options();
        fixture_init(&fixture, &options);
        assert_int_equal(send_bytes(&fixture, MORE(1), text, cut), ISCSI_LOGIN_ANSWER);
        check_stage(&fixture, false, 1, 0);
        assert_int_equal(fixture.answer.text.length, 0);
        assert_int_equal(send_bytes(&fixture, T(1, 3), text + cut, sizeof text - cut),
                         ISCSI_LOGIN_COMPLETE);
        check_value(&fixture, "MaxBurstLength", "4096");
        check_value(&fixture, "TargetPortalGroupTag", "1");
        fixture_done(&fixture);
    }
}

static void test_continued_too_long(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    char text[8192];
    enum iscsi_login_verdict verdict = ISCSI_LOGIN_ANSWER;
    unsigned sent = 0;
    fixture_init(&fixture, &options);
    memset(text, 'x', sizeof text);
    while (verdict == ISCSI_LOGIN_ANSWER && ++sent < 1000)
        verdict = send_bytes(&fixture, MORE(1), text, sizeof text);
    assert_int_equal(verdict, ISCSI_LOGIN_REFUSE);
    assert_int_equal(sent, fixture.node->limits.text_bytes / sizeof text + 1);
    start_anew(&fixture);
    for (sent = 0, verdict = ISCSI_LOGIN_ANSWER; verdict == ISCSI_LOGIN_ANSWER && sent < 1000;
         sent++)
        verdict = send_bytes(&fixture, MORE(1), "", 0);
    assert_int_equal(verdict, ISCSI_LOGIN_REFUSE);
    assert_true(sent <= 64);
    fixture_done(&fixture);
}

static void test_empty_requests_wait(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, STAY(0), NAMES "AuthMethod=None\n"), ISCSI_LOGIN_ANSWER);
    assert_int_equal(send_text(&fixture, STAY(0), ""), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    assert_int_equal(fixture.answer.text.length, 0);
    assert_int_equal(send_text(&fixture, T(0, 1), ""), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, true, 0, 1);
    assert_int_equal(send_text(&fixture, T(1, 3), ""), ISCSI_LOGIN_COMPLETE);
    fixture_done(&fixture);
}

/* ── refusals ────────────────────────────────────────────────────────────────────────────────── */

static void test_refused_first_requests(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned flags;
        const char *text;
        unsigned status;
    } cases[] = {
        {"no names",                          T(1, 3),                "",                                                      0x0207},
        {"no initiator",                      T(1, 3),                "TargetName=" TARGET "\n",                               0x0207},
        {"no target",                         T(1, 3),                "InitiatorName=" INITIATOR "\n",                         0x0207},
        {"no initiator, discovery",           T(1, 3),                "SessionType=Discovery\n",                               0x0207},
        {"empty initiator",                   T(1, 3),                "InitiatorName=\nTargetName=" TARGET "\n",               0x0200},
        {"blank in the name",                 T(1, 3),                "InitiatorName=a b\nTargetName=" TARGET "\n",            0x0200},
        {"unknown target",                    T(1, 3),
         "InitiatorName=" INITIATOR "\nTargetName=iqn.2026-11.local.netboot-target:dis\n",                                     0x0203},
        {"longer target",                     T(1, 3),                "InitiatorName=" INITIATOR "\nTargetName=" TARGET "2\n", 0x0203},
        {"empty target",                      T(1, 3),                "InitiatorName=" INITIATOR "\nTargetName=\n",            0x0203},
        {"session type",                      T(1, 3),                NAMES "SessionType=Foo\n",                               0x0200}, /* contradicts NAMES */
        {"session type",                      T(1, 3),
         "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\nSessionType=normal\n",                                           0x0209},
        {"T and C",                           T(1, 3) | BHS_CONTINUE, NAMES,                                                   0x0200},
        {"NSG 2",                             T(1, 2),                NAMES,                                                   0x0200},
        {"NSG 2 from 0",                      T(0, 2),                NAMES,                                                   0x0200},
        {"NSG below CSG",                     T(1, 0),                NAMES,                                                   0x0200},
        {"NSG equals CSG",                    T(1, 1),                NAMES,                                                   0x0200},
        {"NSG 0 equals CSG",                  T(0, 0),                NAMES,                                                   0x0200},
        {"CSG 2",                             T(2, 3),                NAMES,                                                   0x0200},
        {"CSG 3",                             T(3, 3),                NAMES,                                                   0x0200},
        {"security key in operational stage", T(1, 3),                NAMES "AuthMethod=None\n",                               0x0200},
        {"CHAP in operational stage",         T(1, 3),                NAMES "CHAP_A=5\n",                                      0x0200},
        {"operational key in security stage", T(0, 1),                NAMES "MaxBurstLength=512\n",                            0x0200},
        {"SendTargets",                       T(1, 3),                NAMES "SendTargets=All\n",                               0x0200},
        {"only CHAP, which nobody set up",    T(0, 1),                NAMES "AuthMethod=CHAP\n",                               0x0201},
        {"unknown method",                    T(0, 1),                NAMES "AuthMethod=KRB5,SRP\n",                           0x0201},
        {"CHAP out of the blue",              T(0, 1),                NAMES "CHAP_A=5\n",                                      0x0201},
        {"response out of the blue",          T(0, 1),                NAMES "CHAP_N=a\nCHAP_R=0x00\n",                         0x0201},
        {"no NUL",                            T(1, 3),                NAMES "A=b",                                             0x0200},
        {"no value",                          T(1, 3),                NAMES "Foo\n",                                           0x0200},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture fixture;
        struct iscsi_target_options options = open_options();
        fixture_init(&fixture, &options);
        if (send_text(&fixture, cases[i].flags, cases[i].text) != ISCSI_LOGIN_REFUSE)
            fail_msg("%s was not refused", cases[i].name);
        check_status(&fixture, cases[i].status);
        fixture_done(&fixture);
    }
}

static void test_long_names(void **state)
{
    (void)state;
    for (size_t length = 220; length <= 260; length++) {
        struct fixture fixture;
        struct iscsi_target_options options = open_options();
        char name[300], text[700];
        fixture_init(&fixture, &options);
        memset(name, 'n', length);
        name[length] = '\0';
        snprintf(text, sizeof text, "InitiatorName=%s\nTargetName=" TARGET "\n", name);
        assert_int_equal(send_text(&fixture, T(1, 3), text),
                         length <= 223 ? ISCSI_LOGIN_COMPLETE : ISCSI_LOGIN_REFUSE);
        start_anew(&fixture);
        snprintf(text, sizeof text, "InitiatorName=" INITIATOR "\nTargetName=%s\n", name);
        assert_int_equal(send_text(&fixture, T(1, 3), text), ISCSI_LOGIN_REFUSE);
        check_status(&fixture, length <= 255 ? 0x0203 : 0x0200);
        fixture_done(&fixture);
    }
}

static void test_version_and_session(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    fixture.version_min = 1;
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0205);
    start_anew(&fixture);
    fixture.version_min = 0;
    fixture.tsih = 7;
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x020a);
    fixture_done(&fixture);
}

static void test_identity_must_stay(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        struct fixture fixture;
        struct iscsi_target_options options = open_options();
        fixture_init(&fixture, &options);
        send_text(&fixture, T(0, 1), NAMES);
        fixture.isid[5] ^= what == 0;
        fixture.tsih = what == 1;
        fixture.cid = what == 2;
        assert_int_equal(send_text(&fixture, T(1, 3), ""), ISCSI_LOGIN_REFUSE);
        check_status(&fixture, 0x0200);
        fixture_done(&fixture);
    }
}

static void test_stages_go_forward(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    send_text(&fixture, T(0, 1), NAMES);
    assert_int_equal(send_text(&fixture, T(0, 1), ""), ISCSI_LOGIN_REFUSE); /* it was left */
    check_status(&fixture, 0x0200);
    start_anew(&fixture);
    send_text(&fixture, STAY(0), NAMES);
    assert_int_equal(send_text(&fixture, T(1, 3), ""), ISCSI_LOGIN_REFUSE); /* it was not */
    check_status(&fixture, 0x0200);
    fixture_done(&fixture);
}

static void test_requests_are_bounded(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    enum iscsi_login_verdict verdict = send_text(&fixture, STAY(1), NAMES);
    for (unsigned i = 0; verdict == ISCSI_LOGIN_ANSWER && i < 1000; i++)
        verdict = send_text(&fixture, STAY(1), "");
    assert_int_equal(verdict, ISCSI_LOGIN_REFUSE);
    fixture_done(&fixture);
}

static void test_unavailable(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    iscsi_target_set_ready(fixture.target, false);
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0301); /* try again, and never a status of class 2 */
    start_anew(&fixture);
    iscsi_target_set_ready(fixture.target, true);
    send_text(&fixture, T(0, 1), NAMES);
    iscsi_target_set_ready(fixture.target, false); /* while the login goes on */
    assert_int_equal(send_text(&fixture, T(1, 3), ""), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0301);
    iscsi_target_set_ready(fixture.target, true);
    start_anew(&fixture);
    send_text(&fixture, T(0, 1), NAMES);
    iscsi_node_drain(fixture.node);
    assert_int_equal(send_text(&fixture, T(1, 3), ""), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0301);
    start_anew(&fixture);
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0301);
    start_anew(&fixture);
    assert_int_equal(send_text(&fixture, T(1, 3), DISCOVERY), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0301);
    fixture_done(&fixture);
}

/* While disks are still opening, a target that is not there may be one of theirs. */
static void test_unknown_target_while_incomplete(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    fixture.node->incomplete = true;
    assert_int_equal(send_text(&fixture, T(1, 3),
                               "InitiatorName=" INITIATOR "\nTargetName=iqn.2026-11.local:late\n"),
                     ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0301);
    fixture_done(&fixture);
}

/* A reload takes the target away between two requests. */
static void test_target_goes_during_login(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    bool removed = false;
    fixture_init(&fixture, &options);
    send_text(&fixture, T(0, 1), NAMES);
    iscsi_node_remove_target(fixture.node, fixture.target, note_removed, &removed);
    assert_true(removed);
    iscsi_target_free(fixture.target);
    assert_int_equal(send_text(&fixture, T(1, 3), ""), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0301);
    fixture.target = iscsi_target_new(&options, fixture.scsi, NULL);
    assert_int_equal(iscsi_node_add_target(fixture.node, fixture.target), 0);
    fixture_done(&fixture);
}

static void test_admission(void **state)
{
    (void)state;
    static const char *const names[] = {"iqn.2010-04.org.ipxe:*"};
    static const char *const networks[] = {"192.0.2.0/24"};
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    options.initiators = names;
    options.initiator_count = 1;
    options.addresses = networks;
    options.address_count = 1;
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_COMPLETE);
    start_anew(&fixture);
    assert_int_equal(send_text(&fixture, T(1, 3),
                               "InitiatorName=iqn.2010-04.org.other:x\nTargetName=" TARGET "\n"),
                     ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0202);
    start_anew(&fixture);
    fixture.peer = address("198.51.100.1");
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0202);
    fixture_done(&fixture);
}

static void test_digests_demanded(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    options.data_digest = ISCSI_DIGEST_REQUIRE_CRC32C;
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES "DataDigest=None\n"), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0200);
    start_anew(&fixture);
    assert_int_equal(send_text(&fixture, T(0, 3), NAMES), ISCSI_LOGIN_REFUSE);
    start_anew(&fixture);
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES "DataDigest=CRC32C,None\n"),
                     ISCSI_LOGIN_COMPLETE);
    check_value(&fixture, "DataDigest", "CRC32C");
    assert_true(iscsi_login_result(fixture.login)->parameters.data_digest);
    fixture_done(&fixture);
}

static void test_session_limit(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    struct iscsi_connection elsewhere = {
        .node = fixture.node, .phase = PHASE_FULL_FEATURE, .peer_text = "192.0.2.200:1000"};
    struct iscsi_session session = {.login.target = fixture.target, .connection = &elsewhere};
    strcpy(session.login.initiator, INITIATOR);
    fixture.node->limits.sessions_per_initiator = 1;
    session.prev = &session;
    fixture.node->sessions = &session;
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0302);
    start_anew(&fixture);
    memcpy(session.login.isid, fixture.isid, ISCSI_ISID_BYTES); /* it is the one that it replaces */
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_COMPLETE);
    start_anew(&fixture);
    session.login.isid[5]++; /* another one, but left behind by the same machine */
    const struct sockaddr_in *peer = (const struct sockaddr_in *)&fixture.peer;
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &peer->sin_addr, host, sizeof host);
    snprintf(elsewhere.peer_text, sizeof elsewhere.peer_text, "%s:1000", host);
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES), ISCSI_LOGIN_COMPLETE);
    assert_int_equal(elsewhere.phase, PHASE_ENDING);
    fixture.node->sessions = NULL;
    fixture_done(&fixture);
}

/* Every prefix of a good login, and every byte of it changed: no crash, no login by accident. */
static void test_damaged_texts(void **state)
{
    (void)state;
    static const char text[] = "InitiatorName=" INITIATOR "\0TargetName=" TARGET
                               "\0SessionType=Normal\0HeaderDigest=None,CRC32C\0MaxBurstLength=512";
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    for (size_t length = 0; length < sizeof text; length++) {
        enum iscsi_login_verdict verdict = send_bytes(&fixture, T(1, 3), text, length);
        bool whole = length == 0 || text[length - 1] == '\0';
        if (!whole)
            assert_int_equal(verdict, ISCSI_LOGIN_REFUSE);
        start_anew(&fixture);
    }
    for (size_t at = 0; at < sizeof text; at++) {
        for (unsigned byte = 0; byte < 256; byte += 5) {
            char damaged[sizeof text];
            memcpy(damaged, text, sizeof text);
            damaged[at] = (char)byte;
            send_bytes(&fixture, T(1, 3), damaged, sizeof damaged);
            start_anew(&fixture);
        }
    }
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_type_is_normal_by_default),
        cmocka_unit_test(test_names_in_capitals),
        cmocka_unit_test(test_no_operational_stage),
        cmocka_unit_test(test_repetitions),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_many_and_long_unknown_keys),
        cmocka_unit_test(test_continued_requests),
        cmocka_unit_test(test_continued_too_long),
        cmocka_unit_test(test_empty_requests_wait),
        cmocka_unit_test(test_refused_first_requests),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_version_and_session),
        cmocka_unit_test(test_identity_must_stay),
        cmocka_unit_test(test_stages_go_forward),
        cmocka_unit_test(test_requests_are_bounded),
        cmocka_unit_test(test_unavailable),
        cmocka_unit_test(test_unknown_target_while_incomplete),
        cmocka_unit_test(test_target_goes_during_login),
        cmocka_unit_test(test_admission),
        cmocka_unit_test(test_digests_demanded),
        cmocka_unit_test(test_session_limit),
        cmocka_unit_test(test_damaged_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
