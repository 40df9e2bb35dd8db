/* addresses.c - network addresses, MAC, UUID and binary designators as text. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/escape.h>

static int refuse(const struct value_input *input, struct error *why)
{
    return error_set(why, -EINVAL, "\"%s\" is no %s", escaped(input->text), input->key->type->noun);
}

/* At most `digits` decimal digits, all of `text`. */
static int parse_decimal(const char *text, size_t digits, unsigned long limit,
                         unsigned long *ret_number)
{
    size_t length = strlen(text);
    if (!length || length > digits || strspn(text, "0123456789") != length)
        return -EINVAL;
    unsigned long number = strtoul(text, NULL, 10);
    if (number > limit)
        return -EINVAL;
    *ret_number = number;
    return 0;
}

/* ---------------------------------------------------------------- where to listen */

#define HOST_BYTES 80

static bool endpoint_set_host(struct config_endpoint *endpoint, const char *host, bool bracketed,
                              in_port_t port)
{
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&endpoint->address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&endpoint->address;
    if (!bracketed && strcmp(host, "*") == 0) {
        /* config_complete() makes two of it. */
        endpoint->wildcard = true;
        ipv4->sin_port = port;
        return true;
    }
    if (!bracketed && inet_pton(AF_INET, host, &ipv4->sin_addr) == 1) {
        ipv4->sin_family = AF_INET;
        ipv4->sin_port = port;
        return true;
    }
    if (bracketed && inet_pton(AF_INET6, host, &ipv6->sin6_addr) == 1) {
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = port;
        return true;
    }
    return false;
}

/* Takes "%eth0" off the end of `host`. */
static bool endpoint_take_interface(struct config_endpoint *endpoint, char *host)
{
    char *percent = strchr(host, '%');
    if (!percent)
        return true;
    size_t length = strlen(percent + 1);
    if (!length || length >= sizeof endpoint->interface || strpbrk(percent + 1, "/:% "))
        return false;
    memcpy(endpoint->interface, percent + 1, length);
    *percent = '\0';
    return true;
}

static int parse_endpoint(const struct value_input *input, void *to, struct error *why)
{
    char host[HOST_BYTES];
    unsigned long port;
    const char *text = input->text;
    const char *colon = strrchr(text, ':');
    if (!colon || parse_decimal(colon + 1, 5, UINT16_MAX, &port) != 0)
        return refuse(input, why);
    size_t length = (size_t)(colon - text);
    bool bracketed = length >= 2 && text[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        text++;
        length -= 2;
    }
    if (length >= sizeof host)
        return refuse(input, why);
    memcpy(host, text, length);
    host[length] = '\0';
    struct config_endpoint *endpoint = to;
    if (!endpoint_take_interface(endpoint, host) ||
        !endpoint_set_host(endpoint, host, bracketed, htons((uint16_t)port)))
        return refuse(input, why);
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&endpoint->address;
    if (endpoint->address.ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr) &&
        !endpoint->interface[0])
        return error_set(why, -EINVAL,
                         "\"%s\" is link-local and needs its interface: \"[%s%%eth0]:%lu\"",
                         escaped(input->text), host, port);
    return 0;
}

/* ---------------------------------------------------------------- networks */

static int parse_network(const struct value_input *input, void *to, struct error *why)
{
    char address[INET6_ADDRSTRLEN];
    struct config_network *network = to;
    const char *slash = strchr(input->text, '/');
    size_t length = slash ? (size_t)(slash - input->text) : strlen(input->text);
    if (length >= sizeof address)
        return refuse(input, why);
    memcpy(address, input->text, length);
    address[length] = '\0';
    unsigned long longest = 32;
    struct config_network found = {0};
    if (inet_pton(AF_INET, address, &found.ipv4) == 1) {
        found.family = AF_INET;
    } else if (inet_pton(AF_INET6, address, &found.ipv6) == 1) {
        found.family = AF_INET6;
        longest = 128;
    } else {
        return refuse(input, why);
    }
    unsigned long prefix = longest;
    if (slash && parse_decimal(slash + 1, 3, longest, &prefix) != 0)
        return refuse(input, why);
    network->family = found.family;
    network->prefix = (uint8_t)prefix;
    memcpy(&network->ipv6, &found.ipv6, sizeof network->ipv6);
    return 0;
}

/* Neither "this network" nor loopback, multicast or what is reserved (RFC 6890 §2.2.2). */
static bool can_be_host(const struct in_addr *address)
{
    uint8_t first = (uint8_t)(load_be32(address) >> 24);
    return first != 0 && first != 127 && first < 224;
}

/* An address of ours with its mask: neither the network's own address nor its broadcast. */
static int parse_interface_network(const struct value_input *input, void *to, struct error *why)
{
    struct config_network network = {0};
    int result = parse_network(input, &network, why);
    if (result != 0)
        return result;
    if (network.family != AF_INET || network.prefix < 8 || network.prefix > 30 ||
        !can_be_host(&network.ipv4))
        return refuse(input, why);
    uint32_t host_mask = UINT32_MAX >> network.prefix;
    uint32_t host = load_be32(&network.ipv4) & host_mask;
    if (host == 0 || host == host_mask)
        return error_set(why, -EINVAL, "\"%s\" is the %s address of its network, not a host's",
                         escaped(input->text), host ? "broadcast" : "first");
    memcpy(to, &network, sizeof network);
    return 0;
}

/* An address that one host can have. */
static int parse_ipv4(const struct value_input *input, void *to, struct error *why)
{
    struct in_addr address;
    if (inet_pton(AF_INET, input->text, &address) != 1 || !can_be_host(&address))
        return refuse(input, why);
    memcpy(to, &address, sizeof address);
    return 0;
}

static int parse_pool(const struct value_input *input, void *to, struct error *why)
{
    char first[INET_ADDRSTRLEN];
    const char *dash = strchr(input->text, '-');
    size_t length = dash ? (size_t)(dash - input->text) : sizeof first;
    if (length >= sizeof first)
        return refuse(input, why);
    memcpy(first, input->text, length);
    first[length] = '\0';
    struct config_pool pool;
    if (inet_pton(AF_INET, first, &pool.first) != 1 ||
        inet_pton(AF_INET, dash + 1, &pool.last) != 1 || !can_be_host(&pool.first) ||
        !can_be_host(&pool.last) || load_be32(&pool.first) > load_be32(&pool.last))
        return refuse(input, why);
    memcpy(to, &pool, sizeof pool);
    return 0;
}

/* ---------------------------------------------------------------- hexadecimal names */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Pairs of hex digits, any of `separators` between them. Returns how many bytes, 0: not hex. */
static size_t parse_hex(const char *text, const char *separators, uint8_t *to, size_t limit)
{
    size_t count = 0;
    while (*text) {
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0 || count == limit)
            return 0;
        to[count++] = (uint8_t)(high << 4 | low);
        text += 2;
        if (*text && strchr(separators, *text) && !*++text)
            return 0;
    }
    return count;
}

static int parse_mac(const struct value_input *input, void *to, struct error *why)
{
    struct config_mac *mac = to;
    uint8_t bytes[6];
    if (parse_hex(input->text, ":-", bytes, sizeof bytes) != sizeof bytes)
        return refuse(input, why);
    if (bytes[0] & 1)
        return error_set(why, -EINVAL, "\"%s\" is a group address, no machine's MAC",
                         escaped(input->text));
    memcpy(mac->bytes, bytes, sizeof bytes);
    mac->set = true;
    return 0;
}

static int parse_uuid(const struct value_input *input, void *to, struct error *why)
{
    struct config_uuid *uuid = to;
    uint8_t bytes[16];
    if (strlen(input->text) != 36 || parse_hex(input->text, "-", bytes, sizeof bytes) != 16)
        return refuse(input, why);
    memcpy(uuid->bytes, bytes, sizeof bytes);
    uuid->set = true;
    return 0;
}

static int parse_designator(const struct value_input *input, void *to, struct error *why,
                            bool (*fits)(const struct config_designator *))
{
    struct config_designator found = {0};
    const char *text = input->text;
    if (strncasecmp(text, "0x", 2) == 0)
        text += 2;
    found.length = (uint8_t)parse_hex(text, "", found.bytes, sizeof found.bytes);
    if (!found.length || !fits(&found))
        return refuse(input, why);
    memcpy(to, &found, sizeof found);
    return 0;
}

/* SPC-4 §7.8.6.6: the first digit says the form, 6 is the long one. */
static bool fits_naa(const struct config_designator *designator)
{
    uint8_t form = designator->bytes[0] >> 4;
    return designator->length == 8 ? form == 2 || form == 3 || form == 5
                                   : designator->length == 16 && form == 6;
}

/* SPC-4 §7.8.6.5 */
static bool fits_eui(const struct config_designator *designator)
{
    return designator->length == 8 || designator->length == 12 || designator->length == 16;
}

static int parse_naa(const struct value_input *input, void *to, struct error *why)
{
    return parse_designator(input, to, why, fits_naa);
}

static int parse_eui(const struct value_input *input, void *to, struct error *why)
{
    return parse_designator(input, to, why, fits_eui);
}

#define ADDRESS_TYPE(identifier, word, type, function, words) \
    const struct value_type identifier = {                    \
        .kind = (word),                                       \
        .noun = (words),                                      \
        .size = sizeof(type),                                 \
        .written_as = WRITTEN_STRING,                         \
        .parse = (function),                                  \
    }

ADDRESS_TYPE(value_endpoint, "listen address", struct config_endpoint, parse_endpoint,
             "listen address such as \"*:3260\", \"192.0.2.1:3260\", \"[2001:db8::1]:3260\" or "
             "\"*%eth0:3260\" (names are not looked up)");
ADDRESS_TYPE(value_network, "address or network", struct config_network, parse_network,
             "address or network such as \"192.0.2.7\", \"192.0.2.0/24\" or \"2001:db8::/64\"");
ADDRESS_TYPE(value_interface_network, "address with mask", struct config_network,
             parse_interface_network, "IPv4 address with its mask such as \"192.168.200.1/24\"");
ADDRESS_TYPE(value_ipv4, "IPv4 address", struct in_addr, parse_ipv4,
             "IPv4 address such as \"192.168.200.7\"");
ADDRESS_TYPE(value_pool, "range of addresses", struct config_pool, parse_pool,
             "range of addresses such as \"192.168.200.100-192.168.200.199\"");
ADDRESS_TYPE(value_mac, "MAC", struct config_mac, parse_mac, "MAC such as \"52:54:00:ab:cd:ef\"");
ADDRESS_TYPE(value_uuid, "UUID", struct config_uuid, parse_uuid,
             "UUID such as \"00112233-4455-6677-8899-aabbccddeeff\"");
ADDRESS_TYPE(value_naa, "hex digits", struct config_designator, parse_naa,
             "NAA designator: 16 hex digits beginning with 2, 3 or 5, or 32 beginning with 6");
ADDRESS_TYPE(value_eui, "hex digits", struct config_designator, parse_eui,
             "EUI-64 based designator: 16, 24 or 32 hex digits");
