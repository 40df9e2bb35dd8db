/* target.c - targets: their names, who may reach them. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "node.h"
#include "target.h"
#include "text.h"
#include <netboot-target/util/escape.h>

/* ── iSCSI names, RFC 7143 §4.2.7 ────────────────────────────────────────────────────────────── */

/* Normal form is lower case (RFC 3722); of the letters beyond ASCII we know no lower case. */
int iscsi_name_normalize(const char *name, char normal[ISCSI_NAME_BYTES])
{
    size_t length = strlen(name);
    if (length == 0 || length >= ISCSI_NAME_BYTES)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c <= ' ' || c == 0x7f)
            return -EINVAL;
        normal[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    normal[length] = '\0';
    return 0;
}

static bool has_hex_digits(const char *text, size_t count)
{
    return strlen(text) == count && strspn(text, "0123456789abcdef") == count;
}

/* "yyyy-mm.reversed.domain[:anything]" */
static bool is_qualified_name(const char *text)
{
    static const char pattern[] = "dddd-dd.";
    for (size_t i = 0; pattern[i]; i++)
        if (pattern[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != pattern[i])
            return false;
    return isalnum((unsigned char)text[sizeof pattern - 1]);
}

bool iscsi_name_is_valid(const char *normal)
{
    if (strspn(normal, "abcdefghijklmnopqrstuvwxyz0123456789-.:") != strlen(normal))
        return false;
    if (strncmp(normal, "iqn.", 4) == 0)
        return is_qualified_name(normal + 4);
    if (strncmp(normal, "eui.", 4) == 0)
        return has_hex_digits(normal + 4, 16);
    if (strncmp(normal, "naa.", 4) == 0)
        return has_hex_digits(normal + 4, 16) || has_hex_digits(normal + 4, 32);
    return false;
}

/* ── address patterns: "192.0.2.7", "192.0.2.0/24", "2001:db8::/32" ──────────────────────────── */

/* IPv4 in its mapped form, ::ffff:0:0/96, so that one comparison serves both. */
struct network {
    uint8_t address[16];
    unsigned prefix_bits;
};

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static int read_address(const char *text, struct network *ret_network, unsigned *ret_offset_bits)
{
    *ret_offset_bits = 0;
    if (inet_pton(AF_INET6, text, ret_network->address) == 1)
        return 0;
    memcpy(ret_network->address, mapped_prefix, sizeof mapped_prefix);
    if (inet_pton(AF_INET, text, ret_network->address + sizeof mapped_prefix) != 1)
        return -EINVAL;
    *ret_offset_bits = 8 * sizeof mapped_prefix;
    return 0;
}

static int read_network(const char *text, struct network *ret_network)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/");
    unsigned offset_bits;
    if (length >= sizeof address)
        return -EINVAL;
    memcpy(address, text, length);
    address[length] = '\0';
    if (read_address(address, ret_network, &offset_bits) < 0)
        return -EINVAL;
    ret_network->prefix_bits = 128;
    if (!text[length])
        return 0;
    uint32_t bits;
    if (iscsi_text_number(text + length + 1, &bits) < 0 || bits > 128 - offset_bits)
        return -EINVAL;
    ret_network->prefix_bits = bits + offset_bits;
    return 0;
}

static int peer_address(const struct sockaddr_storage *peer, uint8_t ret_address[16])
{
    if (peer->ss_family == AF_INET6) {
        memcpy(ret_address, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
        return 0;
    }
    if (peer->ss_family != AF_INET)
        return -EAFNOSUPPORT;
    memcpy(ret_address, mapped_prefix, sizeof mapped_prefix);
    memcpy(ret_address + sizeof mapped_prefix, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    return 0;
}

static bool network_has(const struct network *network, const uint8_t address[16])
{
    unsigned bytes = network->prefix_bits / 8, bits = network->prefix_bits % 8;
    if (memcmp(network->address, address, bytes) != 0)
        return false;
    return bits == 0 || (network->address[bytes] ^ address[bytes]) >> (8 - bits) == 0;
}

/* ── who may reach it ────────────────────────────────────────────────────────────────────────── */

static bool admits_name(const struct iscsi_target *target, const char *initiator)
{
    for (unsigned i = 0; i < target->initiator_count; i++)
        if (fnmatch(target->initiators[i], initiator, FNM_NOESCAPE) == 0)
            return true;
    return target->initiator_count == 0;
}

static bool admits_address(const struct iscsi_target *target, const struct sockaddr_storage *peer)
{
    uint8_t address[16];
    if (target->address_count == 0)
        return true;
    if (peer_address(peer, address) < 0)
        return false;
    for (unsigned i = 0; i < target->address_count; i++) {
        struct network network;
        if (read_network(target->addresses[i], &network) == 0 && network_has(&network, address))
            return true;
    }
    return false;
}

bool iscsi_target_admits(const struct iscsi_target *target, const char *initiator,
                         const struct sockaddr_storage *peer)
{
    char normal[ISCSI_NAME_BYTES];
    return iscsi_name_normalize(initiator, normal) == 0 && admits_name(target, normal) &&
           admits_address(target, peer);
}

bool iscsi_target_is_writable(const struct iscsi_target *target)
{
    for (unsigned lun = 0; lun < SCSI_LUN_LIMIT; lun++) {
        const struct scsi_lu *lu = scsi_target_lu(target->scsi, lun);
        if (lu && !scsi_lu_get_options(lu)->read_only)
            return true;
    }
    return false;
}

struct iscsi_target *iscsi_node_find_target(struct iscsi_node *node, const char *name)
{
    char normal[ISCSI_NAME_BYTES];
    if (iscsi_name_normalize(name, normal) < 0)
        return NULL;
    struct iscsi_target *target = node->targets;
    while (target && strcmp(target->name, normal) != 0)
        target = target->next;
    return target;
}

/* ── making one ──────────────────────────────────────────────────────────────────────────────── */

static int copy_list(char ***ret_copy, unsigned *ret_count, const char *const *list, unsigned count)
{
    if (count == 0)
        return 0;
    *ret_copy = calloc(count, sizeof **ret_copy);
    if (!*ret_copy)
        return -ENOMEM;
    *ret_count = count;
    for (unsigned i = 0; i < count; i++) {
        (*ret_copy)[i] = strdup(list[i]);
        if (!(*ret_copy)[i])
            return -ENOMEM;
    }
    return 0;
}

static int set_name(struct iscsi_target *target, const char *name, struct error *error)
{
    if (iscsi_name_normalize(name, target->name) == 0 && iscsi_name_is_valid(target->name))
        return 0;
    return error_set(error, -EINVAL,
                     "\"%s\" is no iSCSI name; it takes a form like iqn.2026-11.org.example:disk, "
                     "eui. and 16 hexadecimal digits, or naa. and 16 or 32, at most %d characters",
                     escaped(name), ISCSI_NAME_BYTES - 1);
}

static int set_addresses(struct iscsi_target *target, const struct iscsi_target_options *options,
                         struct error *error)
{
    for (unsigned i = 0; i < options->address_count; i++) {
        struct network network;
        if (read_network(options->addresses[i], &network) < 0)
            return error_set(error, -EINVAL,
                             "\"%s\" of target %s is no address; it takes a form like 192.0.2.7, "
                             "192.0.2.0/24 or 2001:db8::/32",
                             escaped(options->addresses[i]), target->name);
    }
    return copy_list(&target->addresses, &target->address_count, options->addresses,
                     options->address_count);
}

static int set_initiators(struct iscsi_target *target, const struct iscsi_target_options *options)
{
    int result = copy_list(&target->initiators, &target->initiator_count, options->initiators,
                           options->initiator_count);
    if (result < 0)
        return result;
    for (unsigned i = 0; i < target->initiator_count; i++)
        for (char *c = target->initiators[i]; *c; c++)
            *c = (char)tolower((unsigned char)*c);
    return 0;
}

/* Zero-filled and NUL-terminated whatever the caller's array holds behind its NUL. */
static void copy_credentials(struct iscsi_credentials *to, const struct iscsi_credentials *from)
{
    snprintf(to->name, sizeof to->name, "%s", from->name);
    snprintf(to->secret, sizeof to->secret, "%s", from->secret);
}

static bool has_credentials(const struct iscsi_credentials *credentials)
{
    return credentials->name[0] && credentials->secret[0];
}

/* RFC 7143 §9.2.1: the same secret must not serve both directions, or a reflected challenge would
 * log in. */
static int check_auth(const struct iscsi_target *target, struct error *error)
{
    const struct iscsi_auth *auth = &target->auth;
    if (auth->mode == ISCSI_AUTH_NONE)
        return 0;
    if (auth->initiator_count == 0)
        return error_set(error, -EINVAL,
                         "target %s asks for CHAP but no initiator has a secret; set one or use "
                         "mode = \"none\"",
                         target->name);
    if (auth->mode == ISCSI_AUTH_MUTUAL && !has_credentials(&auth->target))
        return error_set(error, -EINVAL,
                         "target %s is to prove itself by mutual CHAP but has no name and secret "
                         "of its own; set them or use mode = \"chap\"",
                         target->name);
    for (unsigned i = 0; i < auth->initiator_count; i++) {
        if (!has_credentials(&auth->initiators[i]))
            return error_set(error, -EINVAL, "initiator secret %u of target %s is empty", i + 1,
                             target->name);
        if (strcmp(auth->initiators[i].secret, auth->target.secret) == 0)
            return error_set(error, -EINVAL,
                             "target %s and its initiator %s have the same secret; each direction "
                             "needs its own",
                             target->name, escaped(auth->initiators[i].name));
    }
    return 0;
}

static int set_auth(struct iscsi_target *target, const struct iscsi_auth *options,
                    struct error *error)
{
    target->auth = *options;
    target->auth.initiators = NULL;
    copy_credentials(&target->auth.target, &options->target);
    if (options->initiator_count) {
        struct iscsi_credentials *copies = calloc(options->initiator_count, sizeof *copies);
        if (!copies) {
            target->auth.initiator_count = 0;
            return -ENOMEM;
        }
        for (unsigned i = 0; i < options->initiator_count; i++)
            copy_credentials(&copies[i], &options->initiators[i]);
        target->auth.initiators = copies;
    }
    return check_auth(target, error);
}

static int set_options(struct iscsi_target *target, const struct iscsi_target_options *options,
                       struct error *error)
{
    int result = set_name(target, options->name, error);
    if (result == 0)
        result = set_addresses(target, options, error);
    if (result == 0)
        result = set_initiators(target, options);
    if (result == 0)
        result = set_auth(target, &options->auth, error);
    snprintf(target->alias, sizeof target->alias, "%s", options->alias ? options->alias : "");
    target->shared = options->shared;
    target->others_may_read = options->others_may_read;
    target->invited_only = options->invited_only;
    target->hold_ms = options->hold_ms;
    target->ping_ms = options->ping_ms;
    target->header_digest = options->header_digest;
    target->data_digest = options->data_digest;
    target->initial_r2t = options->initial_r2t;
    return result;
}

struct iscsi_target *iscsi_target_new(const struct iscsi_target_options *options,
                                      struct scsi_target *scsi, struct error *error)
{
    struct iscsi_target *target = calloc(1, sizeof *target);
    int result = target ? set_options(target, options, error) : -ENOMEM;
    if (result == -ENOMEM)
        error_set(error, result, "no memory for target %s", escaped(options->name));
    if (result < 0) {
        iscsi_target_free(target);
        return NULL;
    }
    target->scsi = scsi;
    return target;
}

static void free_list(char **list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void iscsi_target_free(struct iscsi_target *target)
{
    if (!target)
        return;
    free_list(target->initiators, target->initiator_count);
    free_list(target->addresses, target->address_count);
    struct iscsi_credentials *credentials = (struct iscsi_credentials *)target->auth.initiators;
    OPENSSL_clear_free(credentials, target->auth.initiator_count * sizeof *credentials);
    OPENSSL_cleanse(target, sizeof *target);
    free(target);
}

void iscsi_target_set_ready(struct iscsi_target *target, bool ready)
{
    target->ready = ready;
}

void iscsi_target_finish_removal(struct iscsi_target *target)
{
    if (target->removing && !target->sessions && !target->keeping)
        target->removed(target->removed_context);
}
