/* host.c - the Host field (RFC 9110 §7.2) against DNS rebinding */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include <netboot-target/http.h>

#include "internal.h"

#define HOST_BYTES_LIMIT 253 /* RFC 1035 §2.3.4 */

static bool is_address(const char *host, size_t length)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t address[16];
    bool bracketed = length > 2 && host[0] == '[' && host[length - 1] == ']';
    size_t skipped = bracketed ? 1 : 0;
    length -= 2 * skipped;
    if (length >= sizeof text)
        return false;
    memcpy(text, host + skipped, length);
    text[length] = '\0';
    return inet_pton(bracketed ? AF_INET6 : AF_INET, text, address) == 1;
}

static bool is_name(const char *host, size_t length, const char *name)
{
    return strlen(name) == length && !strncasecmp(host, name, length);
}

bool http_host_is_known(const char *host, const struct http_hosts *hosts)
{
    uint64_t port;
    size_t length = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (length > strlen(host) || length > HOST_BYTES_LIMIT)
        return false;
    if (host[length]) {
        int digits = host[length] == ':' ? parse_decimal(host + length + 1, &port) : -1;
        if (digits < 0 || port > UINT16_MAX || host[length + 1 + (size_t)digits])
            return false;
    }
    if (is_address(host, length) || is_name(host, length, "localhost"))
        return true;
    for (unsigned i = 0; i < hosts->count; i++)
        if (is_name(host, length, hosts->names[i]))
            return true;
    return false;
}
