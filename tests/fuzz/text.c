/* text.c - a key=value text: read, each value in every form, and as a text request of both kinds of
 * session. The first byte chooses how much room the reply has. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/login.h"
#include "iscsi/text.h"
#include "leaving.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void read_value(const char *value)
{
    uint8_t bytes[33];
    size_t length = 0;
    uint32_t number;
    bool boolean;
    char item[9];
    iscsi_text_number(value, &number);
    iscsi_text_boolean(value, &boolean);
    iscsi_text_is_answer(value);
    if (iscsi_text_binary(value, bytes, 32, &length) == 0)
        check(length <= 32);
    for (const char *list = value; iscsi_text_list_next(&list, item, sizeof item);)
        check(strlen(item) < sizeof item);
}

static void read_pairs(const uint8_t *data, size_t size)
{
    struct iscsi_text_reader reader;
    struct iscsi_text_pair pair;
    struct error error;
    unsigned pairs = 0;
    iscsi_text_reader_init(&reader, data, size);
    while (iscsi_text_read(&reader, &pair, &error) > 0) {
        check(++pairs <= TEXT_PAIRS_LIMIT);
        check(pair.key[0] && strlen(pair.key) < sizeof pair.key);
        check(strlen(pair.value) == pair.value_length);
        check((const uint8_t *)pair.value + pair.value_length < data + size);
        read_value(pair.value);
    }
}

static void request(struct iscsi_node *node, struct iscsi_target *target, size_t room,
                    const uint8_t *data, size_t size)
{
    const struct sockaddr_storage peer = {.ss_family = AF_INET};
    struct iscsi_login_result session = {
        .discovery = !target,
        .target = target,
        .initiator = "iqn.2010-04.org.ipxe:client",
        .parameters = {.max_send_bytes = 8192, .max_burst_bytes = 65536, .first_burst_bytes = 512},
    };
    struct buffer reply;
    buffer_init(&reply, room);
    if (iscsi_text_receive(node, &session, &peer, "192.0.2.1:3260", data, size, &reply) ==
        ISCSI_TEXT_ANSWER) {
        check(!reply.failed && reply.length <= room);
        check_leaving(reply.data, reply.length);
        check(reply.length == 0 || reply.data[reply.length - 1] == '\0');
    }
    check(session.parameters.max_send_bytes >= 512);
    check(session.parameters.max_send_bytes <= ISCSI_OUTPUT_BYTES);
    buffer_done(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct iscsi_target second = {.name = "iqn.2026-11.local:second"};
    static struct iscsi_target first = {.name = "iqn.2026-11.local:first", .next = &second};
    static struct iscsi_node node = {.targets = &first};
    if (size == 0)
        return 0;
    size_t room = (size_t)data[0] * 8;
    read_pairs(data + 1, size - 1);
    request(&node, NULL, room, data + 1, size - 1);
    request(&node, &second, room, data + 1, size - 1);
    return 0;
}
