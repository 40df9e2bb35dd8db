/* test_router_help.c - router solicitations, and the answer that ends the wait */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/dhcp/router_help.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

static const uint8_t CLIENT_MAC[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t OWN_MAC[6] = {0x02, 0, 0, 0, 0, 0x10};
static const uint8_t ROUTER_MAC[6] = {0x02, 0, 0, 0, 0, 0x77};

/* iPXE: from its link-local address to all routers, with its link-layer address. */
static const uint8_t SOLICITATION[70] = {
    0x33, 0x33, 0,    0,    0, 2,    0x52, 0x54, 0,    0x12, 0x34, 0x56, 0x86, 0xdd,
    0x60, 0,    0,    0,    0, 16,   58,   255,  0xfe, 0x80, 0,    0,    0,    0,
    0,    0,    0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56, 0xff, 0x02, 0,    0,
    0,    0,    0,    0,    0, 0,    0,    0,    0,    0,    0,    2,    133,  0,
    0,    0,    0,    0,    0, 0,    1,    1,    0x52, 0x54, 0,    0x12, 0x34, 0x56};

enum { IPV6 = 14, ICMP = 54 };

/* An independent look at the checksum: the sum over pseudo header and message is 0xffff. */
static uint32_t checksum_of(const uint8_t *frame, size_t icmp_length)
{
    uint32_t sum = (uint32_t)icmp_length + 58;
    for (size_t i = 0; i < 32; i += 2)
        sum += load_be16(frame + IPV6 + 8 + i);
    for (size_t i = 0; i < icmp_length; i += 2)
        sum += load_be16(frame + ICMP + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void seal(uint8_t *frame)
{
    size_t length = load_be16(frame + IPV6 + 4);
    store_be16(frame + ICMP + 2, 0);
    store_be16(frame + ICMP + 2, (uint16_t)~checksum_of(frame, length));
}

static void solicitation(uint8_t frame[sizeof SOLICITATION])
{
    memcpy(frame, SOLICITATION, sizeof SOLICITATION);
    seal(frame);
}

/* A router's advertisement, as radvd sends it to all nodes. */
static size_t advertisement(uint8_t *frame)
{
    static const uint8_t head[] = {
        0x33, 0x33, 0,    0,  0,  1,    0x02, 0,    0,    0, 0,  0x77, 0x86, 0xdd, 0x60, 0,
        0,    0,    0,    24, 58, 255,  0xfe, 0x80, 0,    0, 0,  0,    0,    0,    0,    0,
        0,    0xff, 0xfe, 0,  0,  0x77, 0xff, 0x02, 0,    0, 0,  0,    0,    0,    0,    0,
        0,    0,    0,    0,  0,  1,    134,  0,    0,    0, 64, 0,    0x07, 0x08, 0,    0,
        0,    0,    0,    0,  0,  0,    1,    1,    0x02, 0, 0,  0,    0,    0x77};
    memcpy(frame, head, sizeof head);
    seal(frame);
    return sizeof head;
}

static int parse(const uint8_t *frame, size_t length, struct dhcp_router_solicitation *ret)
{
    uint8_t *copy = malloc(length ? length : 1); /* exact bytes, for the sanitizer */
    memcpy(copy, frame, length);
    int r = dhcp_router_solicitation_parse(copy, length, ret);
    free(copy);
    return r;
}

static void test_solicitation(void **state)
{
    (void)state;
    uint8_t frame[sizeof SOLICITATION];
    struct dhcp_router_solicitation s;
    solicitation(frame);
    assert_int_equal(parse(frame, sizeof frame, &s), 0);
    assert_memory_equal(s.mac, CLIENT_MAC, 6);
    assert_memory_equal(s.source, SOLICITATION + IPV6 + 8, 16);
    for (size_t length = 0; length < sizeof frame; length++)
        assert_int_equal(parse(frame, length, &s), -EBADMSG);

    solicitation(frame); /* before it has an address: no option then */
    memset(frame + IPV6 + 8, 0, 16);
    seal(frame);
    assert_int_equal(parse(frame, sizeof frame, &s), -EBADMSG);
    frame[IPV6 + 5] = 8;
    seal(frame);
    assert_int_equal(parse(frame, sizeof frame, &s), 0);
    assert_int_equal(s.source[0], 0);
}

static void test_solicitations_that_are_none(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } rows[] = {
        {13,       0xde}, /* not IPv6 */
        {IPV6,     0x40}, /* a version that is none */
        {IPV6 + 6, 17  }, /* UDP */
        {IPV6 + 7, 64  }, /* came through a router: forged */
        {IPV6 + 8, 0x20}, /* a global source address */
        {ICMP,     134 }, /* an advertisement */
        {ICMP + 1, 1   }, /* code */
        {ICMP + 9, 0   }, /* an option without a length */
        {ICMP + 9, 2   }, /* one that is too long */
        {6,        0x53}, /* from a group */
        {IPV6 + 5, 7   }, /* shorter than can be */
        {IPV6 + 4, 1   }, /* longer than the frame */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t frame[512] = {0};
        struct dhcp_router_solicitation s;
        solicitation(frame);
        frame[rows[i].at] = rows[i].value;
        seal(frame);
        assert_int_equal(parse(frame, sizeof SOLICITATION, &s), -EBADMSG);
    }
    uint8_t frame[sizeof SOLICITATION];
    struct dhcp_router_solicitation s;
    solicitation(frame);
    frame[ICMP + 3] ^= 1; /* the checksum */
    assert_int_equal(parse(frame, sizeof frame, &s), -EBADMSG);
}

static void test_answer(void **state)
{
    (void)state;
    uint8_t frame[sizeof SOLICITATION], answer[100];
    struct dhcp_router_solicitation s;
    struct buffer out;
    solicitation(frame);
    assert_int_equal(parse(frame, sizeof frame, &s), 0);
    buffer_init_fixed(&out, answer, sizeof answer);
    dhcp_router_advertisement_write(&out, OWN_MAC, &s);
    assert_int_equal(out.length, DHCP_ROUTER_FRAME_BYTES);
    assert_memory_equal(answer, CLIENT_MAC, 6); /* to this client alone */
    assert_memory_equal(answer + 6, OWN_MAC, 6);
    assert_int_equal(load_be16(answer + 12), 0x86dd);
    assert_int_equal(load_be16(answer + IPV6 + 4), 24);
    assert_int_equal(answer[IPV6 + 7], 255);
    static const uint8_t own_link_local[16] = {0xfe, 0x80, 0, 0,    0,    0, 0, 0,
                                               0,    0,    0, 0xff, 0xfe, 0, 0, 0x10};
    assert_memory_equal(answer + IPV6 + 8, own_link_local, 16);
    assert_memory_equal(answer + IPV6 + 24, s.source, 16);
    /* no flags, lifetime 0, no times; and nothing but the link-layer option: no prefix */
    static const uint8_t expected[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 16};
    assert_int_equal(answer[ICMP], 134);
    assert_int_equal(answer[ICMP + 1], 0);
    assert_memory_equal(answer + ICMP + 4, expected, sizeof expected);
    assert_int_equal(checksum_of(answer, 24), 0xffff);
    /* it makes nobody believe in a router, ourselves included */
    assert_false(dhcp_router_advertisement_check(answer, out.length, OWN_MAC));
    assert_false(dhcp_router_advertisement_check(answer, out.length, ROUTER_MAC));

    memset(s.source, 0, 16);
    buffer_clear(&out);
    dhcp_router_advertisement_write(&out, OWN_MAC, &s);
    assert_memory_equal(answer, CLIENT_MAC, 6);
    assert_int_equal(load_be16(answer + IPV6 + 24), 0xff02);
    assert_int_equal(answer[IPV6 + 39], 1);
}

static void test_real_router(void **state)
{
    (void)state;
    uint8_t frame[100];
    size_t length = advertisement(frame);
    assert_true(dhcp_router_advertisement_check(frame, length, OWN_MAC));
    assert_false(dhcp_router_advertisement_check(frame, length, ROUTER_MAC)); /* that is us */
    for (size_t cut = 0; cut < length; cut++)
        assert_false(dhcp_router_advertisement_check(frame, cut, OWN_MAC));
    store_be16(frame + ICMP + 6, 0); /* says itself that it is no router */
    seal(frame);
    assert_false(dhcp_router_advertisement_check(frame, length, OWN_MAC));
}

static bool next(struct dhcp_router_help *help, uint64_t now_ms)
{
    uint8_t area[100];
    struct buffer out;
    buffer_init_fixed(&out, area, sizeof area);
    return dhcp_router_help_next_frame(help, &out, now_ms);
}

static void test_waits_for_a_real_router(void **state)
{
    (void)state;
    uint8_t frame[sizeof SOLICITATION], router[100];
    size_t router_length = advertisement(router);
    solicitation(frame);
    struct dhcp_router_help *help = dhcp_router_help_new(OWN_MAC);
    assert_non_null(help);
    assert_true(dhcp_router_help_deadline_ms(help) == UINT64_MAX);

    dhcp_router_help_receive(help, frame, sizeof frame, false, 1000); /* no permission */
    assert_true(dhcp_router_help_deadline_ms(help) == UINT64_MAX);

    dhcp_router_help_receive(help, frame, sizeof frame, true, 1000);
    dhcp_router_help_receive(help, frame, sizeof frame, true, 1200); /* asks again */
    assert_int_equal(dhcp_router_help_deadline_ms(help), 1550);
    assert_false(next(help, 1549));
    assert_true(next(help, 1550));
    assert_false(next(help, 1550)); /* one answer */

    dhcp_router_help_receive(help, frame, sizeof frame, true, 2000);
    dhcp_router_help_receive(help, router, router_length, false, 2100); /* it does the work */
    assert_false(next(help, 5000));
    dhcp_router_help_free(help);
}

static void test_waiting_is_bounded(void **state)
{
    (void)state;
    struct dhcp_router_help *help = dhcp_router_help_new(OWN_MAC);
    unsigned count = 0;
    for (uint8_t i = 0; i < 100; i++) {
        uint8_t frame[sizeof SOLICITATION];
        solicitation(frame);
        frame[11] = i;
        dhcp_router_help_receive(help, frame, sizeof frame, true, 1000);
    }
    while (next(help, 2000))
        count++;
    assert_int_equal(count, 16);
    dhcp_router_help_free(help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_solicitation),
        cmocka_unit_test(test_solicitations_that_are_none),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_real_router),
        cmocka_unit_test(test_waits_for_a_real_router),
        cmocka_unit_test(test_waiting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
