/* test_negotiate.c - offers and answers: every result function, and the texts of real initiators.
 */
#include "iscsi/negotiate.h"
#include "iscsi/text.h"
#include "login_fixture.h"
#include <netboot-target/util/array.h>

struct talk {
    struct iscsi_negotiation negotiation;
    uint8_t memory[LOGIN_DATA_LIMIT];
    struct buffer answer;
};

static void begin(struct talk *talk, const struct iscsi_target *target)
{
    iscsi_negotiation_init(&talk->negotiation);
    iscsi_negotiation_for(&talk->negotiation, target);
    buffer_init_fixed(&talk->answer, talk->memory, sizeof talk->memory);
}

static const struct iscsi_target plain = {.initial_r2t = true};

static const char *offer(struct talk *talk, const char *key, const char *value)
{
    buffer_clear(&talk->answer);
    enum iscsi_key_id id = iscsi_key_find(key);
    assert_true(id < KEY_COUNT);
    iscsi_negotiate(&talk->negotiation, id, value, &talk->answer);
    assert_false(talk->answer.failed);
    return find_value(&talk->answer, key);
}

static void check_answer(const char *got, const char *expected, const char *key)
{
    if (!got != !expected || (got && strcmp(got, expected) != 0))
        fail_msg("%s: %s instead of %s", key, got ? got : "(none)", expected ? expected : "(none)");
}

static void test_defaults(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, &plain);
    const struct iscsi_parameters *parameters = &talk.negotiation.parameters;
    assert_false(parameters->header_digest);
    assert_false(parameters->data_digest);
    assert_true(parameters->initial_r2t);
    assert_true(parameters->immediate_data);
    assert_int_equal(parameters->max_send_bytes, 8192);
    assert_int_equal(parameters->max_receive_bytes, 8192);
    assert_int_equal(parameters->max_burst_bytes, 262144);
    assert_int_equal(parameters->first_burst_bytes, 65536);
    assert_int_equal(parameters->time_to_wait_seconds, 2);
    assert_int_equal(parameters->time_to_retain_seconds, 20);
}

static void test_each_result_function(void **state)
{
    (void)state;
    static const struct {
        const char *key, *offer, *answer; /* NULL: none */
    } cases[] = {
        {"MaxConnections",           "1",                               "1"            },
        {"MaxConnections",           "65535",                           "1"            },
        {"MaxConnections",           "0",                               "Reject"       },
        {"MaxConnections",           "65536",                           "Reject"       },
        {"InitialR2T",               "Yes",                             "Yes"          },
        {"InitialR2T",               "No",                              "Yes"          },
        {"InitialR2T",               "no",                              "Reject"       },
        {"ImmediateData",            "Yes",                             "Yes"          },
        {"ImmediateData",            "No",                              "No"           },
        {"ImmediateData",            "",                                "Reject"       },
        {"MaxRecvDataSegmentLength", "512",                             NULL           },
        {"MaxRecvDataSegmentLength", "16777215",                        NULL           },
        {"MaxRecvDataSegmentLength", "511",                             "Reject"       },
        {"MaxRecvDataSegmentLength", "16777216",                        "Reject"       },
        {"MaxBurstLength",           "16776192",                        "262144"       },
        {"MaxBurstLength",           "0x10000",                         "65536"        },
        {"MaxBurstLength",           "512",                             "512"          },
        {"MaxBurstLength",           "511",                             "Reject"       },
        {"MaxBurstLength",           "4294967808",                      "Reject"       }, /* 2^32 + 512 */
        {"FirstBurstLength",         "262144",                          "65536"        },
        {"FirstBurstLength",         "4096",                            "4096"         },
        {"DefaultTime2Wait",         "0",                               "2"            },
        {"DefaultTime2Wait",         "5",                               "5"            },
        {"DefaultTime2Wait",         "3601",                            "Reject"       },
        {"DefaultTime2Retain",       "0",                               "0"            },
        {"DefaultTime2Retain",       "60",                              "0"            },
        {"MaxOutstandingR2T",        "1",                               "1"            },
        {"MaxOutstandingR2T",        "16",                              "1"            },
        {"DataPDUInOrder",           "No",                              "Yes"          },
        {"DataPDUInOrder",           "Yes",                             "Yes"          },
        {"DataSequenceInOrder",      "No",                              "Yes"          },
        {"ErrorRecoveryLevel",       "0",                               "0"            },
        {"ErrorRecoveryLevel",       "2",                               "0"            },
        {"ErrorRecoveryLevel",       "3",                               "Reject"       },
        {"iSCSIProtocolLevel",       "1",                               "1"            },
        {"iSCSIProtocolLevel",       "31",                              "2"            },
        {"TaskReporting",            "RFC3720",                         "RFC3720"      },
        {"TaskReporting",            "FastAbort,ResponseFence,RFC3720", "ResponseFence"},
        {"TaskReporting",            "FastAbort",                       "Reject"       },
        {"HeaderDigest",             "None",                            "None"         },
        {"HeaderDigest",             "CRC32C",                          "CRC32C"       },
        {"HeaderDigest",             "CRC32C,None",                     "None"         },
        {"DataDigest",               "None,CRC32C",                     "None"         },
        {"DataDigest",               "CRC32,CRC64",                     "Reject"       },
        {"DataDigest",               "",                                "Reject"       },
        {"DataDigest",               "CRC32C2",                         "Reject"       },
 /* obsolete: RFC 7143 §13.25 */
        {"IFMarker",                 "Yes",                             "No"           },
        {"IFMarker",                 "No",                              "No"           },
        {"OFMarker",                 "No",                              "No"           },
        {"IFMarkInt",                "2048~8192",                       "Reject"       },
        {"OFMarkInt",                "2048",                            "Reject"       },
 /* ours to send */
        {"TargetPortalGroupTag",     "1",                               "Reject"       },
        {"TargetAddress",            "192.0.2.1:3260,1",                "Reject"       },
        {"TargetAlias",              "x",                               "Reject"       },
 /* answers of theirs are not offers */
        {"MaxBurstLength",           "Reject",                          NULL           },
        {"MaxRecvDataSegmentLength", "NotUnderstood",                   NULL           },
        {"TargetPortalGroupTag",     "NotUnderstood",                   NULL           },
        {"IFMarkInt",                "Irrelevant",                      NULL           },
        {"X#NodeArchitecture",       "x86",                             NULL           },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct talk talk;
        begin(&talk, &plain);
        check_answer(offer(&talk, cases[i].key, cases[i].offer), cases[i].answer, cases[i].key);
    }
}

static void test_results_reach_their_fields(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, &plain);
    offer(&talk, "HeaderDigest", "CRC32C");
    offer(&talk, "DataDigest", "CRC32C");
    offer(&talk, "ImmediateData", "No");
    offer(&talk, "MaxRecvDataSegmentLength", "65536");
    offer(&talk, "MaxBurstLength", "131072");
    offer(&talk, "FirstBurstLength", "8192");
    offer(&talk, "DefaultTime2Wait", "7");
    offer(&talk, "DefaultTime2Retain", "30");
    const struct iscsi_parameters *parameters = &talk.negotiation.parameters;
    assert_true(parameters->header_digest);
    assert_true(parameters->data_digest);
    assert_false(parameters->immediate_data);
    assert_int_equal(parameters->max_send_bytes, 65536);
    assert_int_equal(parameters->max_burst_bytes, 131072);
    assert_int_equal(parameters->first_burst_bytes, 8192);
    assert_int_equal(parameters->time_to_wait_seconds, 7);
    assert_int_equal(parameters->time_to_retain_seconds, 0);
}

static void test_rejected_offers_change_nothing(void **state)
{
    (void)state;
    struct talk talk, untouched;
    begin(&talk, &plain);
    begin(&untouched, &plain);
    for (enum iscsi_key_id id = 0; id < KEY_COUNT; id++)
        iscsi_negotiate(&talk.negotiation, id, "no such value", &talk.answer);
    assert_memory_equal(&talk.negotiation, &untouched.negotiation, sizeof talk.negotiation);
}

static void test_we_never_send_more_than_one_output(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, &plain);
    offer(&talk, "MaxRecvDataSegmentLength", "16777215");
    assert_int_equal(talk.negotiation.parameters.max_send_bytes, ISCSI_OUTPUT_BYTES);
}

static void test_first_burst_stays_below_max_burst(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, &plain);
    offer(&talk, "MaxBurstLength", "4096");
    assert_string_equal(offer(&talk, "FirstBurstLength", "65536"), "4096");
    assert_int_equal(talk.negotiation.parameters.first_burst_bytes, 4096);

    begin(&talk, &plain); /* the default of a key that was not offered */
    offer(&talk, "MaxBurstLength", "4096");
    assert_int_equal(talk.negotiation.parameters.first_burst_bytes, 4096);

    begin(&talk, &plain); /* in a later PDU */
    offer(&talk, "FirstBurstLength", "65536");
    offer(&talk, "MaxBurstLength", "4096");
    assert_int_equal(talk.negotiation.parameters.first_burst_bytes, 4096);
}

static void test_initial_r2t_is_the_targets_wish(void **state)
{
    (void)state;
    const struct iscsi_target eager = {.initial_r2t = false};
    struct talk talk;
    begin(&talk, &eager);
    assert_string_equal(offer(&talk, "InitialR2T", "No"), "No");
    assert_false(talk.negotiation.parameters.initial_r2t);
    begin(&talk, &eager);
    assert_string_equal(offer(&talk, "InitialR2T", "Yes"), "Yes");
    begin(&talk, &eager); /* not offered: the default stays */
    assert_true(talk.negotiation.parameters.initial_r2t);
}

static void test_digest_policies(void **state)
{
    (void)state;
    static const struct {
        enum iscsi_digest_policy policy;
        const char *offer, *answer;
        bool lacking;
    } cases[] = {
        {ISCSI_DIGEST_PREFER_NONE,    "CRC32C,None", "None",   false},
        {ISCSI_DIGEST_PREFER_NONE,    "CRC32C",      "CRC32C", false},
        {ISCSI_DIGEST_PREFER_CRC32C,  "None,CRC32C", "CRC32C", false},
        {ISCSI_DIGEST_PREFER_CRC32C,  "None",        "None",   false},
        {ISCSI_DIGEST_REQUIRE_CRC32C, "None,CRC32C", "CRC32C", false},
        {ISCSI_DIGEST_REQUIRE_CRC32C, "None",        "Reject", true },
        {ISCSI_DIGEST_REQUIRE_CRC32C, "None,Foo",    "Reject", true },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct talk talk;
        const struct iscsi_target target = {.header_digest = cases[i].policy};
        begin(&talk, &target);
        check_answer(offer(&talk, "HeaderDigest", cases[i].offer), cases[i].answer, "HeaderDigest");
        assert_int_equal(iscsi_negotiation_lacks_digest(&talk.negotiation), cases[i].lacking);
        check_answer(offer(&talk, "DataDigest", "None"), "None", "DataDigest");
    }
    struct talk talk; /* not offered at all */
    const struct iscsi_target strict = {.data_digest = ISCSI_DIGEST_REQUIRE_CRC32C};
    begin(&talk, &strict);
    assert_true(iscsi_negotiation_lacks_digest(&talk.negotiation));
}

static void test_discovery_finds_most_irrelevant(void **state)
{
    (void)state;
    static const char *const irrelevant[] = {
        "MaxConnections",     "InitialR2T",        "ImmediateData",  "MaxBurstLength",
        "FirstBurstLength",   "MaxOutstandingR2T", "DataPDUInOrder", "DataSequenceInOrder",
        "iSCSIProtocolLevel", "TaskReporting",
    };
    struct talk talk;
    begin(&talk, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(irrelevant); i++)
        check_answer(offer(&talk, irrelevant[i], "1"), "Irrelevant", irrelevant[i]);
    check_answer(offer(&talk, "HeaderDigest", "CRC32C,None"), "None", "HeaderDigest");
    check_answer(offer(&talk, "ErrorRecoveryLevel", "2"), "0", "ErrorRecoveryLevel");
    check_answer(offer(&talk, "DefaultTime2Wait", "0"), "2", "DefaultTime2Wait");
    check_answer(offer(&talk, "MaxRecvDataSegmentLength", "32768"), NULL, "its own");
    assert_int_equal(talk.negotiation.parameters.max_send_bytes, 32768);
    iscsi_negotiation_declare(&talk.negotiation, &talk.answer);
    assert_int_equal(talk.answer.length, 0);
    assert_int_equal(talk.negotiation.parameters.max_receive_bytes, 8192);
}

static void test_we_declare_once(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, &plain);
    iscsi_negotiation_declare(&talk.negotiation, &talk.answer);
    assert_string_equal(find_value(&talk.answer, "MaxRecvDataSegmentLength"), "262144");
    assert_int_equal(talk.negotiation.parameters.max_receive_bytes, 262144);
    iscsi_negotiation_declare(&talk.negotiation, &talk.answer);
    assert_string_equal(find_value(&talk.answer, "MaxRecvDataSegmentLength"), "262144");
}

/* iPXE gives up at any Reject; the others must not meet one either. */
static void test_real_offers_are_never_rejected(void **state)
{
    (void)state;
    static const char *const offers[][2] = {
  /* iPXE */
        {"HeaderDigest",             "None"       },
        {"DataDigest",               "None"       },
        {"ImmediateData",            "No"         },
        {"MaxRecvDataSegmentLength", "8192"       },
        {"FirstBurstLength",         "65536"      },
        {"DefaultTime2Wait",         "0"          },
        {"DefaultTime2Retain",       "0"          },
 /* open-iscsi */
        {"HeaderDigest",             "None,CRC32C"},
        {"DefaultTime2Wait",         "2"          },
        {"IFMarker",                 "No"         },
        {"OFMarker",                 "No"         },
        {"ErrorRecoveryLevel",       "0"          },
        {"InitialR2T",               "No"         },
        {"ImmediateData",            "Yes"        },
        {"MaxBurstLength",           "16776192"   },
        {"FirstBurstLength",         "262144"     },
        {"MaxOutstandingR2T",        "1"          },
        {"MaxConnections",           "1"          },
        {"DataPDUInOrder",           "Yes"        },
        {"DataSequenceInOrder",      "Yes"        },
        {"MaxRecvDataSegmentLength", "262144"     },
 /* isboot */
        {"DefaultTime2Retain",       "60"         },
        {"MaxBurstLength",           "1048576"    },
 /* Windows */
        {"MaxRecvDataSegmentLength", "65536"      },
        {"MaxBurstLength",           "262144"     },
        {"ErrorRecoveryLevel",       "2"          },
        {"MaxOutstandingR2T",        "16"         },
    };
    struct talk talk;
    begin(&talk, &plain);
    for (unsigned i = 0; i < ARRAY_SIZE(offers); i++) {
        const char *answer = offer(&talk, offers[i][0], offers[i][1]);
        assert_false(answer && iscsi_text_is_answer(answer));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_each_result_function),
        cmocka_unit_test(test_results_reach_their_fields),
        cmocka_unit_test(test_rejected_offers_change_nothing),
        cmocka_unit_test(test_we_never_send_more_than_one_output),
        cmocka_unit_test(test_first_burst_stays_below_max_burst),
        cmocka_unit_test(test_initial_r2t_is_the_targets_wish),
        cmocka_unit_test(test_digest_policies),
        cmocka_unit_test(test_discovery_finds_most_irrelevant),
        cmocka_unit_test(test_we_declare_once),
        cmocka_unit_test(test_real_offers_are_never_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
