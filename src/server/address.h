/* address.h - IPv4 and IPv6 addresses as sockets tell them. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_BYTES (INET6_ADDRSTRLEN + 8)

socklen_t address_length(const struct sockaddr_storage *address);
/* "192.0.2.7", "fe80::1" */
void address_host(const struct sockaddr_storage *address, char to[INET6_ADDRSTRLEN]);
uint16_t address_port(const struct sockaddr_storage *address);
/* "192.0.2.7:3260", "[::1]:3260" */
void address_text(const struct sockaddr_storage *address, char to[ADDRESS_TEXT_BYTES]);
/* The address in `text`, port 0. False: it is none of that family. */
bool address_parse(sa_family_t family, const char *text, struct sockaddr_storage *ret_address);
/* How much of such a text is the host. */
size_t address_host_length(const char *text);
bool address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
