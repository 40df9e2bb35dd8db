/* test_request.c - read requests of real clients, and what is refused */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/tftp.h>
#include <netboot-target/util/array.h>

/* The packet as exact heap bytes, so that a sanitizer sees every read beyond it. */
static int parse(const void *bytes, size_t length, struct tftp_request *request,
                 struct tftp_refusal *refusal)
{
    uint8_t *packet = malloc(length ? length : 1);
    memcpy(packet, bytes, length);
    int r = tftp_request_parse(packet, length, request, refusal);
    free(packet);
    return r;
}

/* `text` with a bar for each NUL. */
static int parse_text(uint8_t opcode, const char *text, struct tftp_request *request,
                      struct tftp_refusal *refusal)
{
    uint8_t packet[256] = {0, opcode};
    size_t length = strlen(text);
    memcpy(packet + 2, text, length);
    for (size_t i = 2; i < 2 + length; i++)
        packet[i] = packet[i] == '|' ? 0 : packet[i];
    return parse(packet, 2 + length, request, refusal);
}

static void assert_same(const struct tftp_request *request, const struct tftp_request *expected)
{
    assert_string_equal(request->name, expected->name);
    assert_int_equal(request->blksize_bytes, expected->blksize_bytes);
    assert_int_equal(request->windowsize_blocks, expected->windowsize_blocks);
    assert_int_equal(request->timeout_s, expected->timeout_s);
    assert_int_equal(request->wants_tsize, expected->wants_tsize);
}

static void test_real_clients(void **state)
{
    (void)state;
    // clang-format off
    static const struct {
        const char *text;
        struct tftp_request expected;
    } rows[] = {
        /* edk2: the size probe, then the file */
        {"snponly.efi|octet|tsize|0|blksize|1468|windowsize|4|",
         {.name = "snponly.efi", .blksize_bytes = 1468, .windowsize_blocks = 4,
          .wants_tsize = true}},
        {"snponly.efi|octet|blksize|1468|windowsize|4|",
         {.name = "snponly.efi", .blksize_bytes = 1468, .windowsize_blocks = 4}},
        /* iPXE, which sends the path as the URL has it */
        {"/autoexec.ipxe|octet|blksize|1432|tsize|0|",
         {.name = "autoexec.ipxe", .blksize_bytes = 1432, .wants_tsize = true}},
        /* a BIOS ROM of old: no options, or upper-case ones */
        {"undionly.kpxe|OCTET|", {.name = "undionly.kpxe"}},
        {"undionly.kpxe|octet|TSIZE|0|", {.name = "undionly.kpxe", .wants_tsize = true}},
        /* tftp-hpa with a timeout; unknown options are passed over */
        {"a/b..c/d|octet|timeout|255|rollover|0|", {.name = "a/b..c/d", .timeout_s = 255}},
    };
    // clang-format on
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct tftp_request request;
        struct tftp_refusal refusal;
        assert_int_equal(parse_text(1, rows[i].text, &request, &refusal), 0);
        assert_same(&request, &rows[i].expected);
    }
}

static void test_values_out_of_range_are_not_asked_for(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "f|octet|blksize|7|",        "f|octet|blksize|65465|",
        "f|octet|blksize|-8|",       "f|octet|blksize|+512|",
        "f|octet|blksize| 512|",     "f|octet|blksize|0x200|",
        "f|octet|blksize||",         "f|octet|timeout|0|",
        "f|octet|timeout|256|",      "f|octet|windowsize|0|",
        "f|octet|windowsize|65536|", "f|octet|tsize|x|",
        "f|octet|windowsize|4 |",    "f|octet|blksize|18446744073709552128|",
    };
    static const struct tftp_request expected = {.name = "f"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct tftp_request request;
        struct tftp_refusal refusal;
        assert_int_equal(parse_text(1, texts[i], &request, &refusal), 0);
        assert_same(&request, &expected);
    }
}

static void test_limits_of_values(void **state)
{
    (void)state;
    struct tftp_request request;
    struct tftp_refusal refusal;
    const char *text = "f|octet|blksize|8|timeout|1|windowsize|65535|";
    assert_int_equal(parse_text(1, text, &request, &refusal), 0);
    assert_int_equal(request.blksize_bytes, 8);
    assert_int_equal(request.timeout_s, 1);
    assert_int_equal(request.windowsize_blocks, 65535);
    assert_int_equal(parse_text(1, "f|octet|blksize|65464|", &request, &refusal), 0);
    assert_int_equal(request.blksize_bytes, 65464);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode;
        const char *text;
        enum tftp_error_code code;
    } rows[] = {
        {2, "file|octet|",                 TFTP_ERROR_ACCESS   },
        {1, "file|netascii|",              TFTP_ERROR_ILLEGAL  },
        {1, "file|mail|",                  TFTP_ERROR_ILLEGAL  },
        {1, "file||",                      TFTP_ERROR_ILLEGAL  },
        {1, "file|octet",                  TFTP_ERROR_ILLEGAL  }, /* no NUL */
        {1, "file",                        TFTP_ERROR_ILLEGAL  },
        {1, "file|",                       TFTP_ERROR_ILLEGAL  }, /* CVE-2009-2958: no mode at all */
        {1, "|octet|",                     TFTP_ERROR_NOT_FOUND},
        {1, "///|octet|",                  TFTP_ERROR_NOT_FOUND},
        {1, "../etc/shadow|octet|",        TFTP_ERROR_ACCESS   },
        {1, "/../etc/shadow|octet|",       TFTP_ERROR_ACCESS   },
        {1, "a/../b|octet|",               TFTP_ERROR_ACCESS   },
        {1, "a/..|octet|",                 TFTP_ERROR_ACCESS   },
        {1, "a//..|octet|",                TFTP_ERROR_ACCESS   },
        {1, "..|octet|",                   TFTP_ERROR_ACCESS   },
        {1, "boot\\file|octet|",           TFTP_ERROR_ACCESS   },
        {1, "a\nb|octet|",                 TFTP_ERROR_ACCESS   },
        {1, "file|octet|tsize|",           TFTP_ERROR_OPTION   },
        {1, "file|octet|tsize|0",          TFTP_ERROR_OPTION   },
        {1, "file|octet|tsize",            TFTP_ERROR_OPTION   },
        {1, "file|octet|tsize|0|TSIZE|0|", TFTP_ERROR_OPTION   },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct tftp_request request;
        struct tftp_refusal refusal = {0};
        int r = parse_text(rows[i].opcode, rows[i].text, &request, &refusal);
        assert_int_equal(r, -EPROTO);
        assert_int_equal(refusal.code, rows[i].code);
        assert_non_null(refusal.text);
    }
}

static void test_name_length(void **state)
{
    (void)state;
    uint8_t packet[600] = {0, 1};
    struct tftp_request request;
    struct tftp_refusal refusal;
    for (size_t name = 254; name <= 257; name++) {
        memset(packet + 2, 'n', name);
        memcpy(packet + 2 + name, "\0octet", 7);
        int r = parse(packet, 2 + name + 7, &request, &refusal);
        assert_int_equal(r, name <= 255 ? 0 : -EPROTO);
        if (r == 0)
            assert_int_equal(strlen(request.name), name);
    }
}

static void test_no_requests(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode;
        const char *text;
    } rows[] = {
        {1, ""           },
        {3, "||data"     },
        {4, "||"         },
        {5, "||gone|"    }, /* no error for an error */
        {6, "blksize|8|" },
        {0, "file|octet|"},
        {7, "file|octet|"},
    };
    struct tftp_request request;
    struct tftp_refusal refusal;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(parse_text(rows[i].opcode, rows[i].text, &request, &refusal), -EBADMSG);
    uint8_t long_packet[TFTP_REQUEST_BYTES_LIMIT + 1] = {0, 1, 'f'};
    assert_int_equal(parse(long_packet, sizeof long_packet, &request, &refusal), -EBADMSG);
    assert_int_equal(parse("", 0, &request, &refusal), -EBADMSG);
}

static void test_error_packet(void **state)
{
    (void)state;
    struct buffer out;
    uint8_t area[32];
    buffer_init_fixed(&out, area, sizeof area);
    tftp_error_write(&out, TFTP_ERROR_UNKNOWN_TRANSFER, "Who?");
    assert_int_equal(out.length, 9);
    assert_memory_equal(area, "\0\5\0\5Who?\0", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_clients),
        cmocka_unit_test(test_values_out_of_range_are_not_asked_for),
        cmocka_unit_test(test_limits_of_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_name_length),
        cmocka_unit_test(test_no_requests),
        cmocka_unit_test(test_error_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
