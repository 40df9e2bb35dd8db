/* address.c - see address.h */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "address.h"

/* The address without its port, in network byte order. */
static const void *host_of(const struct sockaddr_storage *address, size_t *ret_bytes)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    bool is_ipv4 = address->ss_family == AF_INET;
    *ret_bytes = is_ipv4 ? sizeof in->sin_addr : sizeof in6->sin6_addr;
    return is_ipv4 ? (const void *)&in->sin_addr : &in6->sin6_addr;
}

socklen_t address_length(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

void address_host(const struct sockaddr_storage *address, char to[INET6_ADDRSTRLEN])
{
    size_t bytes;
    if (!inet_ntop(address->ss_family, host_of(address, &bytes), to, INET6_ADDRSTRLEN))
        snprintf(to, INET6_ADDRSTRLEN, "?");
}

uint16_t address_port(const struct sockaddr_storage *address)
{
    /* The family tells the type; the analyzer loses the bytes at the cast. */
    // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage)
    return ntohs(address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                               : ((const struct sockaddr_in6 *)address)->sin6_port);
}

void address_text(const struct sockaddr_storage *address, char to[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN];
    address_host(address, host);
    snprintf(to, ADDRESS_TEXT_BYTES, address->ss_family == AF_INET ? "%s:%u" : "[%s]:%u", host,
             address_port(address));
}

size_t address_host_length(const char *text)
{
    const char *port = strrchr(text, ':');
    return port ? (size_t)(port - text) : strlen(text);
}

bool address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    size_t bytes;
    const void *host = host_of(a, &bytes);
    return a->ss_family == b->ss_family && memcmp(host, host_of(b, &bytes), bytes) == 0;
}

bool address_parse(sa_family_t family, const char *text, struct sockaddr_storage *ret_address)
{
    struct sockaddr_storage address = {.ss_family = family};
    size_t bytes;
    if (inet_pton(family, text, (void *)(uintptr_t)host_of(&address, &bytes)) != 1)
        return false;
    *ret_address = address;
    return true;
}
