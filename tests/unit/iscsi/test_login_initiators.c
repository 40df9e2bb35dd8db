/* Whole logins of real initiators, PDU by PDU. */
#include "iscsi/connection.h"
#include "login_fixture.h"
#include <netboot-target/util/array.h>

#define IPXE_OPERATIONAL                                                                       \
    "HeaderDigest=None\nDataDigest=None\nMaxConnections=1\nInitialR2T=Yes\nImmediateData=No\n" \
    "MaxRecvDataSegmentLength=8192\nMaxBurstLength=262144\nFirstBurstLength=65536\n"           \
    "DefaultTime2Wait=0\nDefaultTime2Retain=0\nMaxOutstandingR2T=1\nDataPDUInOrder=Yes\n"      \
    "DataSequenceInOrder=Yes\nErrorRecoveryLevel=0\n"

static void finish_ipxe(struct fixture *fixture, enum iscsi_auth_mode auth)
{
    assert_int_equal(send_text(fixture, T(1, 3), IPXE_OPERATIONAL), ISCSI_LOGIN_COMPLETE);
    check_stage(fixture, true, 1, 3);
    check_value(fixture, "HeaderDigest", "None");
    check_value(fixture, "ImmediateData", "No");
    check_value(fixture, "MaxBurstLength", "262144");
    check_value(fixture, "MaxRecvDataSegmentLength", "262144");
    check_value(fixture, "DefaultTime2Wait", "2");
    check_value(fixture, "TargetAddress", NULL);
    assert_null(memmem(fixture->answer.text.data, fixture->answer.text.length, "Reject", 6));
    const struct iscsi_login_result *result = iscsi_login_result(fixture->login);
    assert_false(result->discovery);
    assert_ptr_equal(result->target, fixture->target);
    assert_string_equal(result->initiator, INITIATOR);
    assert_memory_equal(result->isid, fixture->isid, ISCSI_ISID_BYTES);
    assert_int_equal(result->auth, auth);
    assert_int_equal(result->parameters.max_send_bytes, 8192);
    assert_int_equal(result->parameters.max_receive_bytes, 262144);
    assert_false(result->parameters.immediate_data);
}

static void test_ipxe(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(0, 1), NAMES "AuthMethod=None\n"), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, true, 0, 1);
    check_value(&fixture, "AuthMethod", "None");
    check_value(&fixture, "TargetPortalGroupTag", "1");
    check_value(&fixture, "TargetAlias", NULL);
    check_value(&fixture, "MaxRecvDataSegmentLength", NULL);
    finish_ipxe(&fixture, ISCSI_AUTH_NONE);
    fixture_done(&fixture);
}

/* T is set in every request; before the response is checked it must be answered by staying. */
static void test_ipxe_with_chap(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
    char response[512];
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(0, 1), NAMES "AuthMethod=CHAP,None\n"),
                     ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    check_value(&fixture, "AuthMethod", "CHAP");
    check_value(&fixture, "TargetPortalGroupTag", "1");
    assert_int_equal(send_text(&fixture, T(0, 1), "CHAP_A=5\n"), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    check_value(&fixture, "CHAP_A", "5");
    respond_to_challenge(&fixture, "MD5", USER, SECRET, response);
    assert_int_equal(send_text(&fixture, T(0, 1), response), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, true, 0, 1);
    assert_int_equal(fixture.answer.text.length, 0);
    finish_ipxe(&fixture, ISCSI_AUTH_CHAP);
    fixture_done(&fixture);
}

static void test_ipxe_with_mutual_chap(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_MUTUAL);
    char response[512], proof[128];
    fixture_init(&fixture, &options);
    send_text(&fixture, T(0, 1), NAMES "AuthMethod=CHAP\n");
    send_text(&fixture, T(0, 1), "CHAP_A=5\n");
    respond_to_challenge(&fixture, "MD5", USER, SECRET, response);
    strcat(response, "CHAP_I=77\nCHAP_C=0xa1a2a3a4a5a6a7a8a9aaabacadaeaf00\n");
    assert_int_equal(send_text(&fixture, T(0, 1), response), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, true, 0, 1); /* in the same answer as the proof, or isboot gives up */
    check_value(&fixture, "CHAP_N", PROVER);
    chap_response("MD5", 77, PROOF, "0xa1a2a3a4a5a6a7a8a9aaabacadaeaf00", proof);
    assert_int_equal(strcasecmp(find_value(&fixture.answer.text, "CHAP_R"), proof), 0);
    finish_ipxe(&fixture, ISCSI_AUTH_MUTUAL);
    fixture_done(&fixture);
}

/* Stays in the security stage for CHAP_A, where iPXE already wants to leave it. */
static void test_open_iscsi(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
    char response[512];
    options.alias = "the laptop's disk";
    fixture_init(&fixture, &options);
    memcpy(fixture.isid, "\x00\x02\x3d\x00\x00\x01", ISCSI_ISID_BYTES);
    assert_int_equal(send_text(&fixture, T(0, 1),
                               "InitiatorName=" INITIATOR "\nInitiatorAlias=laptop\n"
                               "TargetName=" TARGET "\nSessionType=Normal\nAuthMethod=CHAP,None\n"),
                     ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    check_value(&fixture, "TargetAlias", "the laptop's disk");
    check_value(&fixture, "TargetPortalGroupTag", "1");
    assert_int_equal(send_text(&fixture, STAY(0), "CHAP_A=8,7,6,5\n"), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    check_value(&fixture, "CHAP_A", "8");
    respond_to_challenge(&fixture, "SHA3-256", USER, SECRET, response);
    assert_int_equal(send_text(&fixture, T(0, 1), response), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, true, 0, 1);
    assert_int_equal(
        send_text(&fixture, T(1, 3),
                  "HeaderDigest=None\nDataDigest=None\nDefaultTime2Wait=2\nDefaultTime2Retain=0\n"
                  "IFMarker=No\nOFMarker=No\nErrorRecoveryLevel=0\nInitialR2T=No\n"
                  "ImmediateData=Yes\nMaxBurstLength=16776192\nFirstBurstLength=262144\n"
                  "MaxOutstandingR2T=1\nMaxConnections=1\nDataPDUInOrder=Yes\n"
                  "DataSequenceInOrder=Yes\nMaxRecvDataSegmentLength=262144\n"),
        ISCSI_LOGIN_COMPLETE);
    check_stage(&fixture, true, 1, 3);
    check_value(&fixture, "InitialR2T", "Yes");
    check_value(&fixture, "MaxBurstLength", "262144");
    check_value(&fixture, "FirstBurstLength", "65536");
    check_value(&fixture, "IFMarker", "No");
    check_value(&fixture, "OFMarker", "No");
    check_value(&fixture, "TargetPortalGroupTag", NULL);
    assert_string_equal(iscsi_login_result(fixture.login)->alias, "laptop");
    fixture_done(&fixture);
}

#define ISBOOT_OPERATIONAL                                                                \
    "HeaderDigest=None,CRC32C\nDataDigest=None,CRC32C\nMaxRecvDataSegmentLength=262144\n" \
    "DefaultTime2Wait=2\nDefaultTime2Retain=60\nErrorRecoveryLevel=0\nMaxConnections=1\n" \
    "InitialR2T=Yes\nImmediateData=Yes\nMaxBurstLength=1048576\nMaxOutstandingR2T=1\n"    \
    "DataPDUInOrder=Yes\nDataSequenceInOrder=Yes\nFirstBurstLength=262144\n"

/* One PDU, straight in the operational stage; it must be over with one answer. */
static void test_isboot(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    fixture.cid = 1;
    assert_int_equal(send_text(&fixture, T(1, 3),
                               "InitiatorName=" INITIATOR "\nSessionType=Normal\n"
                               "TargetName=" TARGET "\n" ISBOOT_OPERATIONAL),
                     ISCSI_LOGIN_COMPLETE);
    check_stage(&fixture, true, 1, 3);
    check_value(&fixture, "TargetPortalGroupTag", "1");
    check_value(&fixture, "MaxRecvDataSegmentLength", "262144");
    check_value(&fixture, "MaxBurstLength", "262144");
    check_value(&fixture, "FirstBurstLength", "65536");
    assert_int_equal(iscsi_login_result(fixture.login)->cid, 1);
    fixture_done(&fixture);
}

/* NSG is set although T is not, and CHAP_A comes without T. */
static void test_isboot_with_mutual_chap(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_MUTUAL);
    char response[512];
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, STAY(0) | 1,
                               "InitiatorName=" INITIATOR "\nSessionType=Normal\n"
                               "TargetName=" TARGET "\nAuthMethod=CHAP,None\n"),
                     ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    assert_int_equal(send_text(&fixture, STAY(0) | 1, "CHAP_A=5\n"), ISCSI_LOGIN_ANSWER);
    /* its own challenge is as long as ours, which must be hexadecimal */
    assert_int_equal(strlen(find_value(&fixture.answer.text, "CHAP_C")), 2 + 32);
    respond_to_challenge(&fixture, "MD5", USER, SECRET, response);
    strcat(response, "CHAP_I=0\nCHAP_C=0xA1A2A3A4A5A6A7A8A9AAABACADAEAF00\n");
    assert_int_equal(send_text(&fixture, T(0, 1), response), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, true, 0, 1);
    check_value(&fixture, "CHAP_N", PROVER);
    assert_int_equal(send_text(&fixture, T(1, 3), ISBOOT_OPERATIONAL), ISCSI_LOGIN_COMPLETE);
    fixture_done(&fixture);
}

static void test_isboot_without_chap_where_it_is_needed(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(1, 3), NAMES ISBOOT_OPERATIONAL), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0201);
    fixture_done(&fixture);
}

/* Repeats nothing; without a user it begins in the operational stage. */
static void test_libiscsi(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_int_equal(
        send_text(&fixture, T(1, 3),
                  "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\nSessionType=Normal\n"
                  "HeaderDigest=None,CRC32C\nDataDigest=None\nInitialR2T=No\nImmediateData=Yes\n"
                  "MaxBurstLength=262144\nFirstBurstLength=262144\nDefaultTime2Wait=2\n"
                  "DefaultTime2Retain=0\nMaxOutstandingR2T=1\nErrorRecoveryLevel=0\nIFMarker=No\n"
                  "OFMarker=No\nMaxConnections=1\nMaxRecvDataSegmentLength=262144\n"
                  "DataPDUInOrder=Yes\nDataSequenceInOrder=Yes\n"),
        ISCSI_LOGIN_COMPLETE);
    check_value(&fixture, "InitialR2T", "Yes");
    check_value(&fixture, "HeaderDigest", "None");
    fixture_done(&fixture);
}

static void test_discovery_session(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
    fixture_init(&fixture, &options);
    assert_int_equal(send_text(&fixture, T(0, 1), DISCOVERY "AuthMethod=None\n"),
                     ISCSI_LOGIN_ANSWER);
    check_value(&fixture, "TargetPortalGroupTag", NULL);
    assert_int_equal(send_text(&fixture, T(1, 3),
                               "HeaderDigest=None\nDataDigest=None\nDefaultTime2Wait=2\n"
                               "DefaultTime2Retain=0\nIFMarker=No\nOFMarker=No\n"
                               "ErrorRecoveryLevel=0\nMaxRecvDataSegmentLength=32768\n"),
                     ISCSI_LOGIN_COMPLETE);
    const struct iscsi_login_result *result = iscsi_login_result(fixture.login);
    assert_true(result->discovery);
    assert_null(result->target);
    assert_int_equal(result->parameters.max_send_bytes, 32768);
    assert_int_equal(result->parameters.max_receive_bytes, 8192);
    fixture_done(&fixture);
}

static void test_discovery_with_chap(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    char response[512];
    fixture_init(&fixture, &options);
    fixture.node->discovery_auth = (struct iscsi_auth){
        .mode = ISCSI_AUTH_CHAP, .initiators = one_initiator, .initiator_count = 1};
    assert_int_equal(send_text(&fixture, T(0, 1), DISCOVERY "AuthMethod=None\n"),
                     ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0201);
    start_anew(&fixture);
    send_text(&fixture, T(0, 1), DISCOVERY "AuthMethod=CHAP\n");
    send_text(&fixture, STAY(0), "CHAP_A=7\n");
    respond_to_challenge(&fixture, "SHA256", USER, SECRET, response);
    assert_int_equal(send_text(&fixture, T(0, 3), response), ISCSI_LOGIN_COMPLETE);
    assert_int_equal(iscsi_login_result(fixture.login)->auth, ISCSI_AUTH_CHAP);
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipxe),
        cmocka_unit_test(test_ipxe_with_chap),
        cmocka_unit_test(test_ipxe_with_mutual_chap),
        cmocka_unit_test(test_open_iscsi),
        cmocka_unit_test(test_isboot),
        cmocka_unit_test(test_isboot_with_mutual_chap),
        cmocka_unit_test(test_isboot_without_chap_where_it_is_needed),
        cmocka_unit_test(test_libiscsi),
        cmocka_unit_test(test_discovery_session),
        cmocka_unit_test(test_discovery_with_chap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
