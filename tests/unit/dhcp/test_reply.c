/* test_reply.c - the bytes of an answer: sizes, limits, echoes */
#include "dhcp/fixture.h"

#include "dhcp/reply.h"

static void read_request(struct packet *packet, struct dhcp_message *ret_request)
{
    packet_end(packet);
    assert_int_equal(dhcp_message_parse(packet->data, packet->buffer.length, ret_request), 0);
}

static const struct dhcp_reply offer = {
    .type = DHCP_OFFER, .own_address = OWN_ADDRESS, .vendor_class = "PXEClient", .boot = "f"};

static void test_padding(void **state)
{
    (void)state;
    struct dhcp_settings settings = settings_for(DHCP_ROLE_PROXY);
    struct packet packet;
    struct dhcp_message request;
    uint8_t area[DHCP_REPLY_BYTES_LIMIT];
    struct buffer out;
    packet_begin(&packet, DHCP_DISCOVER, 0);
    read_request(&packet, &request);
    buffer_init_fixed(&out, area, sizeof area);
    dhcp_reply_write(&out, &request, &offer, &settings);
    assert_false(out.failed);
    assert_int_equal(out.length, DHCP_REPLY_BYTES_MINIMUM);
    /* 240 header, 53, 54, 60, END, zeros */
    static const uint8_t options[] = {53,  1,   2,   54,  4,   192, 168, 200, 1,   60, 9, 'P',
                                      'X', 'E', 'C', 'l', 'i', 'e', 'n', 't', 255, 0,  0, 0};
    assert_memory_equal(area + 240, options, sizeof options);
    assert_int_equal(area[0], 2);
    assert_int_equal(load_be32(area + 20), OWN_ADDRESS); /* siaddr */
    assert_int_equal(load_be32(area + 236), 0x63825363);
}

/* A long name goes to option 67 with its NUL, and then `file` stays empty. */
static void test_long_url(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    f.long_url = true;
    packet_ipxe(&packet, DHCP_DISCOVER, 7);
    assert_true(deliver(&f, &packet));
    assert_string_equal(f.reply.boot_file, "");
    size_t length;
    const uint8_t *url = dhcp_message_option(&f.reply, DHCP_OPTION_BOOT_FILE, &length);
    assert_non_null(url);
    assert_int_equal(url[length - 1], 0);
    assert_int_equal(strlen((const char *)url), length - 1);
    assert_string_equal((const char *)url, f.event.boot);
    fixture_end(&f);
}

static void test_name_lengths(void **state)
{
    (void)state;
    struct dhcp_settings settings = settings_for(DHCP_ROLE_PROXY);
    for (size_t length = 126; length <= DHCP_BOOT_TEXT_BYTES_LIMIT; length++) {
        struct packet packet;
        struct dhcp_message request, answer;
        uint8_t area[DHCP_REPLY_BYTES_LIMIT];
        char name[DHCP_BOOT_TEXT_BYTES_LIMIT + 1] = "";
        struct buffer out;
        memset(name, 'n', length);
        struct dhcp_reply reply = offer;
        reply.boot = name;
        packet_begin(&packet, DHCP_DISCOVER, 0);
        read_request(&packet, &request);
        buffer_init_fixed(&out, area, sizeof area);
        dhcp_reply_write(&out, &request, &reply, &settings);
        assert_false(out.failed);
        assert_int_equal(dhcp_message_parse(area, out.length, &answer), 0);
        size_t found = 0;
        const uint8_t *option = dhcp_message_option(&answer, DHCP_OPTION_BOOT_FILE, &found);
        assert_int_equal(option != NULL, length >= 128);
        assert_string_equal(option ? (const char *)option : answer.boot_file, name);
        assert_int_equal(strlen(answer.boot_file), option ? 0 : length);
    }
}

/* Option 57 counts IP and UDP; below 576 it is void; above 1472 we stop. */
static void test_size_limits(void **state)
{
    (void)state;
    static const struct {
        uint16_t maximum; /* 0: the option is not there */
        size_t expected;
    } rows[] = {
        {0,     548 },
        {100,   548 },
        {576,   548 },
        {600,   572 },
        {1472,  1444},
        {65535, 1444}
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct dhcp_settings settings = settings_for(DHCP_ROLE_PROXY);
        size_t longest = 0;
        for (size_t agent = 2; agent <= 1020; agent++) {
            struct packet packet;
            struct dhcp_message request;
            uint8_t area[2048], bytes[2], filler[255] = {0};
            struct buffer out;
            packet_begin(&packet, DHCP_DISCOVER, 0);
            store_be16(bytes, rows[i].maximum);
            if (rows[i].maximum)
                packet_option(&packet, DHCP_OPTION_MAXIMUM_SIZE, bytes, 2);
            for (size_t left = agent; left;) {
                size_t piece = min_of(left, sizeof filler);
                packet_option(&packet, DHCP_OPTION_RELAY_AGENT, filler, piece);
                left -= piece;
            }
            struct dhcp_message *message = &request;
            packet_end(&packet);
            if (dhcp_message_parse(packet.data, packet.buffer.length, message) < 0)
                break; /* too many pieces for its storage */
            buffer_init_fixed(&out, area, sizeof area);
            dhcp_reply_write(&out, message, &offer, &settings);
            if (!out.failed)
                longest = out.length;
        }
        assert_true(longest <= rows[i].expected);
        if (rows[i].expected < 600)
            assert_int_equal(longest, rows[i].expected);
    }
}

/* What an answer does not fit into is not sent at all. */
static void test_too_long(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    uint8_t agent[255] = {1, 253};
    fixture_begin(&f, DHCP_ROLE_PROXY);
    f.long_url = true;
    packet_begin(&packet, DHCP_DISCOVER, 0);
    packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
    packet_option(&packet, DHCP_OPTION_RELAY_AGENT, agent, sizeof agent);
    expect_no_answer(&f, &packet, DHCP_SILENCE_TOO_LONG);
    fixture_end(&f);
}

static void test_long_agent_option_comes_back_whole(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    uint8_t agent[255], second[100];
    memset(agent, 'a', sizeof agent);
    memset(second, 'b', sizeof second);
    fixture_begin(&f, DHCP_ROLE_PROXY);
    packet_ovmf(&packet, DHCP_DISCOVER);
    packet_option(&packet, DHCP_OPTION_RELAY_AGENT, agent, sizeof agent);
    packet_option(&packet, DHCP_OPTION_RELAY_AGENT, second, sizeof second);
    assert_true(deliver(&f, &packet));
    size_t length;
    const uint8_t *echo = dhcp_message_option(&f.reply, DHCP_OPTION_RELAY_AGENT, &length);
    assert_int_equal(length, sizeof agent + sizeof second);
    assert_memory_equal(echo, agent, sizeof agent);
    assert_memory_equal(echo + sizeof agent, second, sizeof second);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_long_url),
        cmocka_unit_test(test_name_lengths),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_long_agent_option_comes_back_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
