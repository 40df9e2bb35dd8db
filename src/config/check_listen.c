/* check_listen.c - two listeners that could not both have their address. */
#include <arpa/inet.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

#define ENDPOINT_LIMIT 256

struct listener {
    const struct config_endpoint *endpoint;
    const void *object;
    const char *key;
    const char *name;
};

static in_port_t port_of(const struct config_endpoint *endpoint)
{
    return endpoint->address.ss_family == AF_INET6
               ? ((const struct sockaddr_in6 *)&endpoint->address)->sin6_port
               : ((const struct sockaddr_in *)&endpoint->address)->sin_port;
}

static const void *host_of(const struct config_endpoint *endpoint, size_t *ret_length)
{
    if (endpoint->address.ss_family == AF_INET6) {
        *ret_length = sizeof(struct in6_addr);
        return &((const struct sockaddr_in6 *)&endpoint->address)->sin6_addr;
    }
    *ret_length = sizeof(struct in_addr);
    return &((const struct sockaddr_in *)&endpoint->address)->sin_addr;
}

static bool is_any(const void *host, size_t length)
{
    static const struct in6_addr any;
    return memcmp(host, &any, length) == 0;
}

/* As bind(2) sees it: a wildcard, or a socket bound to no interface, meets every other one. */
static bool collide(const struct config_endpoint *a, const struct config_endpoint *b)
{
    size_t length;
    if (a->address.ss_family != b->address.ss_family || port_of(a) != port_of(b) || !port_of(a))
        return false;
    if (a->interface[0] && b->interface[0] && strcmp(a->interface, b->interface) != 0)
        return false;
    const void *one = host_of(a, &length), *two = host_of(b, &length);
    return is_any(one, length) || is_any(two, length) || memcmp(one, two, length) == 0;
}

/* Both halves of one "*" would tell the same collision twice. */
static bool is_told(const struct listener *listener)
{
    return listener->endpoint->wildcard && listener->endpoint->address.ss_family == AF_INET6;
}

static void check_collisions(struct reader *reader, const struct listener *listeners,
                             unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct listener *late = &listeners[i], *early = &listeners[j];
            if (!collide(early->endpoint, late->endpoint) || (is_told(late) && is_told(early)))
                continue;
            reader_report(reader, false, late->object, late->key,
                          "%s and %s want the same address, port %u; give one of them another "
                          "port or address",
                          late->name, early->name, ntohs(port_of(late->endpoint)));
            break;
        }
    }
}

static unsigned collect(struct listener *to, unsigned count, const void *list, const void *object,
                        const char *key, const char *name)
{
    struct any_list endpoints = list_get(list);
    const struct config_endpoint *items = (const void *)endpoints.items;
    for (unsigned i = 0; i < endpoints.count && count < ENDPOINT_LIMIT; i++)
        if (items[i].address.ss_family != AF_UNSPEC) /* what was refused is left out */
            to[count++] = (struct listener){&items[i], object, key, name};
    return count;
}

void check_listen(struct reader *reader)
{
    struct listener listeners[ENDPOINT_LIMIT];
    const struct config *config = reader->config;
    unsigned count = collect(listeners, 0, &config->portals, config, "portals", "portals");
    if (!config->portals.count)
        reader_report(reader, false, config, "portals", "portals is empty: nobody could log in");
    count = collect(listeners, count, &config->boot.http_listen, &config->boot, "http-listen",
                    "boot.http-listen");
    count = collect(listeners, count, &config->status.listen, &config->status, "listen",
                    "status.listen");
    check_collisions(reader, listeners, count);
    count = collect(listeners, 0, &config->boot.tftp_listen, &config->boot, "tftp-listen",
                    "boot.tftp-listen");
    check_collisions(reader, listeners, count);
}
