/* boot_source.c - see boot_source.h */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "boot_access.h"
#include "boot_asking.h"
#include "boot_files.h"
#include "dhcp_server.h"
#include "http_server.h"
#include "listen.h"

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/log.h>

struct boot_source {
    struct dhcp_boot_source dhcp;
    struct server *server;
    uint32_t told_missing; /* bits of rows of the boot room's table */
};

/* ── rules ───────────────────────────────────────────────────────────────────────────────────── */

static void fill_rule(const struct config_client *client, struct boot_rule *rule)
{
    *rule = (struct boot_rule){
        .has_mac = client->mac.set,
        .has_uuid = client->uuid.set,
        .serial = client->serial,
        .target = client->target,
        .has_lun = client->lun != CONFIG_UNSET,
        .lun = client->lun,
        .initiator = client->initiator,
        .own_image = client->device,
        .open = client->open,
        .menu = client->menu,
    };
    memcpy(rule->mac, client->mac.bytes, sizeof rule->mac);
    memcpy(rule->uuid, client->uuid.bytes, sizeof rule->uuid);
}

/* ── loaders ─────────────────────────────────────────────────────────────────────────────────── */

/* DHCP tells no serial number: a client known by one goes by its MAC or UUID here. */
static const char *file_of_client(const struct config *config, const struct dhcp_client *client)
{
    struct boot_client who = {.has_mac = true, .has_uuid = client->has_uuid};
    memcpy(who.mac, client->mac, sizeof who.mac);
    memcpy(who.uuid, client->uuid, sizeof who.uuid);
    for (unsigned i = 0; i < config->clients.count; i++) {
        struct boot_rule rule;
        fill_rule(&config->clients.items[i], &rule);
        rule.serial = NULL;
        if ((rule.has_mac || rule.has_uuid) && boot_rule_matches(&rule, &who))
            return config->clients.items[i].boot_file;
    }
    return NULL;
}

/* Firmware too old to tell its architecture is a BIOS. */
static uint16_t code_of(const struct dhcp_client *client)
{
    return client->architecture ? client->architecture->alike : client->architecture_code;
}

static void tell_missing(struct boot_source *source, const struct boot_architecture *architecture,
                         const char *name)
{
    struct error text;
    unsigned row = 0;
    while (boot_architecture_at(row) != architecture)
        row++;
    if (source->told_missing & 1u << row)
        return;
    source->told_missing |= 1u << row;
    boot_missing_file_text(&text, architecture, name, boot_files_folder(source->server));
    log_warning("%s", text.text);
}

/* The boot file's name, NULL: there is none for this client. */
static const char *loader_of(struct boot_source *source, const struct dhcp_client *client)
{
    const struct server *server = source->server;
    const struct boot_architecture *architecture = boot_architecture_find(code_of(client));
    const char *name = file_of_client(server->config, client);
    if (!name && architecture)
        name = boot_files_name(server->config, architecture);
    if (!name || boot_files_find(server, name))
        return name;
    if (architecture)
        tell_missing(source, architecture, name);
    return NULL;
}

/* ── what DHCP answers ───────────────────────────────────────────────────────────────────────── */

static void server_of(const struct server *server, const struct boot_reach *reach,
                      struct boot_server *to)
{
    *to = (struct boot_server){
        .host = reach->local,
        .port = reach->http_port ? reach->http_port : http_server_boot_port(server, reach->local),
        .config_path = server->options->config_path};
}

static enum dhcp_silence describe(struct dhcp_boot_source *dhcp, const struct dhcp_client *client,
                                  enum dhcp_boot_stage stage, uint32_t own_address,
                                  char ret_text[DHCP_BOOT_TEXT_BYTES_LIMIT + 1])
{
    struct boot_source *source = container_of(dhcp, struct boot_source, dhcp);
    const struct in_addr in = {.s_addr = htonl(own_address)};
    char host[INET_ADDRSTRLEN];
    const struct boot_reach reach = {.local = inet_ntop(AF_INET, &in, host, sizeof host)};
    struct boot_server server;
    struct buffer out;
    server_of(source->server, &reach, &server);
    buffer_init_fixed(&out, ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1);
    if (!source->server->serving)
        return DHCP_SILENCE_NOT_SERVING;
    if (stage != DHCP_BOOT_LOADER && !server.port)
        return DHCP_SILENCE_NO_HTTP;
    const char *name = stage == DHCP_BOOT_SCRIPT ? NULL : loader_of(source, client);
    if (stage != DHCP_BOOT_SCRIPT && !name)
        return DHCP_SILENCE_NO_BOOT_FILE;
    if (stage == DHCP_BOOT_SCRIPT)
        boot_url(&out, &server);
    if (stage == DHCP_BOOT_LOADER_URL)
        buffer_format(&out, "http://%s:%u/", host, server.port);
    if (name)
        buffer_append_string(&out, name);
    return buffer_string(&out) ? DHCP_SILENCE_NONE : DHCP_SILENCE_TOO_LONG;
}

struct dhcp_boot_source *boot_source_dhcp(struct server *server)
{
    if (!server->boot_source)
        server->boot_source = calloc(1, sizeof *server->boot_source);
    if (!server->boot_source)
        return NULL;
    server->boot_source->dhcp.describe = describe;
    server->boot_source->server = server;
    return &server->boot_source->dhcp;
}

void boot_source_free(struct server *server)
{
    free(take_pointer(server->boot_source));
}

/* ── the policy ──────────────────────────────────────────────────────────────────────────────── */

static void policy_done(struct policy *policy)
{
    free(policy->rules);
    free(policy->targets);
    free(policy->luns);
}

static unsigned fill_target(const struct server *server, const struct config_target *config,
                            struct boot_target *target, struct boot_lun *luns)
{
    const struct served_target *served = targets_find(server, config->name);
    *target = (struct boot_target){.name = config->name,
                                   .ready = served && served->iscsi,
                                   .open = config->open,
                                   .needs_secret = config->auth.mode != CONFIG_AUTH_NONE,
                                   .luns = luns,
                                   .lun_count = config->luns.count};
    for (unsigned i = 0; i < config->luns.count; i++)
        luns[i] = (struct boot_lun){.number = config->luns.items[i].number,
                                    .read_only = config->luns.items[i].read_only,
                                    .per_client = config_lun_per_client(&config->luns.items[i])};
    return config->luns.count;
}

static int policy_init(const struct server *server, struct policy *to)
{
    const struct config *config = server->config;
    unsigned luns = 0;
    for (unsigned i = 0; i < config->targets.count; i++)
        luns += config->targets.items[i].luns.count;
    *to = (struct policy){.rules = calloc(config->clients.count + 1u, sizeof *to->rules),
                          .targets = calloc(config->targets.count + 1u, sizeof *to->targets),
                          .luns = calloc(luns + 1u, sizeof *to->luns)};
    if (!to->rules || !to->targets || !to->luns) {
        policy_done(to);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < config->clients.count; i++)
        fill_rule(&config->clients.items[i], &to->rules[i]);
    luns = 0;
    for (unsigned i = 0; i < config->targets.count; i++)
        luns += fill_target(server, &config->targets.items[i], &to->targets[i], to->luns + luns);
    to->policy = (struct boot_policy){.serving = server->serving && !server->draining,
                                      .rules = to->rules,
                                      .rule_count = config->clients.count,
                                      .targets = to->targets,
                                      .target_count = config->targets.count};
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): policy_done() frees it
    return 0;
}

/* ── scripts ─────────────────────────────────────────────────────────────────────────────────── */

bool boot_source_is_entry(const char *name)
{
    const char *slash = strrchr(name, '/');
    return strcmp(slash ? slash + 1 : name, "autoexec.ipxe") == 0;
}

int boot_source_entry(struct server *server, const struct boot_reach *reach, struct buffer *out)
{
    struct boot_server where;
    server_of(server, reach, &where);
    if (!where.port)
        return -EADDRNOTAVAIL;
    boot_script_entry(out, &where);
    return out->failed ? -ENOMEM : 0;
}

/* Only what the client's firmware talks to directly needs no gateway: client and portal are both on
 * the link of the address that it reached. */
static bool is_on_link(const struct server *server, const struct boot_reach *reach,
                       const char *portal)
{
    struct in_addr peer, local, disk;
    if (inet_pton(AF_INET, reach->peer, &peer) != 1 ||
        inet_pton(AF_INET, reach->local, &local) != 1 || inet_pton(AF_INET, portal, &disk) != 1)
        return false;
    return dhcp_server_is_on_link(server, ntohl(local.s_addr), ntohl(peer.s_addr)) &&
           dhcp_server_is_on_link(server, ntohl(local.s_addr), ntohl(disk.s_addr));
}

static void put_stop(struct asking *asking, const char *detail)
{
    const struct boot_decision *decision = &asking->decision;
    boot_script_stop(asking->out, &asking->where, &asking->answer->client, decision, detail);
    snprintf(asking->answer->words, sizeof asking->answer->words, "%s%s%.150s",
             boot_reason_text(decision->reason), detail ? ", " : "", detail ? detail : "");
}

/* Why its disk is not ready. NULL: nothing to tell. */
static const struct served_lun *late_lun(const struct served_target *target)
{
    for (unsigned i = 0; target && i < target->lun_count; i++)
        if (target->luns[i].state != LUN_OPEN)
            return &target->luns[i];
    return NULL;
}

const char *boot_asking_why_late(const struct asking *asking)
{
    const struct served_lun *lun = late_lun(asking->target);
    const char *why = lun ? lun->error.text : asking->target ? asking->target->problem.text : "";
    return asking->decision.reason == BOOT_REASON_NOT_READY && *why ? why : NULL;
}

/* It may come: the disk, or a record of who it is that is still being kept. */
static bool is_late(const struct asking *asking)
{
    const struct served_lun *lun = late_lun(asking->target);
    return asking->decision.reason == BOOT_REASON_NOT_READY && asking->target &&
           (!lun || lun->state == LUN_WAITING);
}

static int put_not_now(struct asking *asking)
{
    asking->answer->kind = is_late(asking)                         ? BOOT_ANSWER_LATER
                           : asking->decision.verdict == BOOT_WAIT ? BOOT_ANSWER_WAIT
                                                                   : BOOT_ANSWER_STOP;
    put_stop(asking, boot_asking_why_late(asking));
    return 0;
}

/* Who is listed with `open = false` is asked for the password; who is not listed at all is told so
 * first. */
static int put_login(struct asking *asking)
{
    bool is_listed = asking->decision.rule;
    boot_script_login(asking->out, &asking->where, &asking->answer->client, &asking->decision);
    asking->answer->kind = is_listed ? BOOT_ANSWER_LOGIN : BOOT_ANSWER_STOP;
    snprintf(asking->answer->words, sizeof asking->answer->words, "%s",
             boot_reason_text(asking->decision.reason));
    return 0;
}

int boot_asking_initiator(const struct asking *asking, char ret_name[BOOT_INITIATOR_BYTES],
                          struct error *error)
{
    const struct boot_rule *rule = asking->decision.rule;
    int result =
        boot_initiator_name(rule ? rule->initiator : NULL, &asking->answer->client, ret_name);
    return result ? error_set(error, result,
                              "There is no initiator name for this client: it would be too long, "
                              "or made of a MAC that it did not tell.")
                  : 0;
}

static int fill_start(struct asking *asking, char portal[INET6_ADDRSTRLEN],
                      struct boot_start *start, struct error *error)
{
    const struct server *server = asking->server;
    const struct served_target *target = asking->target;
    const struct boot_decision *decision = &asking->decision;
    enum config_auth_mode mode = target->config->auth.mode;
    start->client = &asking->answer->client;
    start->target_name = target->name;
    start->portal_address = portal;
    start->portal_port = iscsi_server_portal_at(server, asking->reach->local, portal);
    start->iqn = target->iqn;
    start->lun = decision->lun;
    start->initiator = asking->answer->initiator;
    start->mask_gateway = is_on_link(server, asking->reach, portal);
    start->menu = asking->question->page != BOOT_PAGE_BOOT;
    start->key = asking_key(asking);
    if (mode != CONFIG_AUTH_NONE) {
        start->user = target->secrets.initiator.name;
        start->secret = target->secrets.initiator.secret;
    }
    if (mode == CONFIG_AUTH_MUTUAL) {
        start->reverse_user = target->secrets.target.name;
        start->reverse_secret = target->secrets.target.secret;
    }
    return boot_asking_initiator(asking, asking->answer->initiator, error);
}

int boot_asking_put_start(struct asking *asking, struct boot_start *start, const char *what)
{
    char portal[INET6_ADDRSTRLEN];
    struct error error;
    int result = fill_start(asking, portal, start, &error);
    if (!result)
        result = boot_script_start(asking->out, &asking->where, start, &error);
    if (result) {
        asking->answer->initiator[0] = '\0';
        log_error("a client cannot be booted: %s", error.text);
        return result;
    }
    asking->answer->kind = BOOT_ANSWER_START;
    snprintf(asking->answer->words, sizeof asking->answer->words, "target %s LUN %u%s%.80s as %s",
             asking->target->name, asking->decision.lun, what ? ", " : "", what ? what : "",
             asking->answer->initiator);
    return 0;
}

void boot_source_client(const char *query, struct boot_client *ret_client)
{
    char mac[64], uuid[64], serial[2 * BOOT_SERIAL_BYTES], machine[32];
    bool has_mac = http_query_value(query, "mac", mac, sizeof mac) == 0;
    bool has_uuid = http_query_value(query, "uuid", uuid, sizeof uuid) == 0;
    bool has_serial = http_query_value(query, "serial", serial, sizeof serial) == 0;
    boot_client_read(ret_client, has_mac ? mac : NULL, has_uuid ? uuid : NULL,
                     has_serial ? serial : NULL);
    if (http_query_value(query, "on", machine, sizeof machine) == 0)
        boot_client_read_machine(ret_client, machine);
}

/* The target that is decided on, or the client's form of it, which begins to open now. */
static struct served_target *find_served(struct asking *asking)
{
    const struct config *config = asking->server->config;
    const struct policy *policy = asking->policy;
    const struct boot_decision *decision = &asking->decision;
    const struct boot_client *client = &asking->answer->client;
    if (!decision->target)
        return NULL;
    if (!decision->own_image)
        return targets_find(asking->server, decision->target->name);
    const struct config_client *row =
        decision->rule ? &config->clients.items[decision->rule - policy->rules] : NULL;
    return client_targets_get(asking->server,
                              &config->targets.items[decision->target - policy->targets], row,
                              client->has_mac ? client->mac : NULL);
}

static void settle(struct asking *asking)
{
    asking->target = find_served(asking);
    if (asking->decision.verdict == BOOT_START && !(asking->target && asking->target->iscsi))
        boot_decision_wait(&asking->decision);
}

void boot_asking_decide_other(struct asking *asking, const char *target, const unsigned *lun)
{
    boot_decide_other(&asking->policy->policy, &asking->answer->client, target, lun,
                      asking->authenticated, &asking->decision);
    settle(asking);
}

int boot_asking_put_refusal(struct asking *asking)
{
    bool is_for_password = asking->decision.reason == BOOT_REASON_PASSWORD ||
                           asking->decision.reason == BOOT_REASON_NOT_LISTED;
    return is_for_password && boot_access_is_possible(asking->server) ? put_login(asking)
                                                                      : put_not_now(asking);
}

/* The password, or the key that somebody got for it. */
static void authenticate(struct asking *asking)
{
    const struct boot_client *client = &asking->answer->client;
    if (asking->question->authenticated)
        boot_access_make_key(asking->server, client, asking->reach->peer, asking->key);
    else if (http_query_value(asking->question->query, "key", asking->key, sizeof asking->key) ||
             !boot_access_has_key(asking->server, client, asking->reach->peer, asking->key))
        asking->key[0] = '\0';
    asking->authenticated = asking->key[0];
}

static int answer(struct asking *asking)
{
    authenticate(asking);
    boot_decide(&asking->policy->policy, &asking->answer->client, asking->authenticated,
                &asking->decision);
    settle(asking);
    return boot_menu_answer(asking);
}

int boot_source_script(struct server *server, const struct boot_reach *reach,
                       const struct boot_question *question, struct buffer *out,
                       struct boot_answer *ret_answer)
{
    struct policy policy;
    struct asking asking = {.server = server,
                            .reach = reach,
                            .question = question,
                            .policy = &policy,
                            .out = out,
                            .answer = ret_answer};
    *ret_answer = (struct boot_answer){.kind = BOOT_ANSWER_ENTRY};
    boot_source_client(question->query, &ret_answer->client);
    if (!*question->query)
        return boot_source_entry(server, reach, out);
    server_of(server, reach, &asking.where);
    int result = policy_init(server, &policy);
    if (result)
        return result;
    result = answer(&asking);
    policy_done(&policy);
    return result ? result : out->failed ? -ENOMEM : 0;
}

/* ── where, and who ──────────────────────────────────────────────────────────────────────────── */

static bool is_listed(const struct config_endpoint *endpoints, unsigned count, const char *local)
{
    for (unsigned i = 0; i < count; i++)
        if (!endpoint_is_any(&endpoints[i]) && endpoint_port_at(&endpoints[i], local))
            return true;
    return false;
}

bool boot_source_admits(const struct server *server, const char *local)
{
    const struct config_boot *boot = &server->config->boot;
    struct in_addr in;
    if (inet_pton(AF_INET, local, &in) == 1 && (ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET ||
                                                dhcp_server_has_address(server, ntohl(in.s_addr))))
        return true;
    return strcmp(local, "::1") == 0 ||
           is_listed(boot->http_listen.items, boot->http_listen.count, local) ||
           is_listed(boot->tftp_listen.items, boot->tftp_listen.count, local);
}

void boot_source_announce(const struct server *server)
{
    const struct config *config = server->config;
    const struct config_target *open = NULL;
    char interfaces[128], who[256];
    if (!dhcp_server_describe(server, interfaces, sizeof interfaces))
        return;
    for (unsigned i = 0; i < config->targets.count && !open; i++)
        if (config->targets.items[i].open)
            open = &config->targets.items[i];
    if (open)
        snprintf(who, sizeof who, "any machine that asks boots target %s", open->name);
    else if (config->clients.count)
        snprintf(who, sizeof who, "the machines listed in clients (%u) boot",
                 config->clients.count);
    else if (server->options->config_path)
        snprintf(who, sizeof who,
                 "none is listed in clients yet, so each gets a page with the "
                 "line to add to %.128s",
                 server->options->config_path);
    else
        snprintf(who, sizeof who, "none boots unattended without --open or a configuration file");
    log_notice("to boot a machine: connect it to %s, switch it on and choose network boot (PXE or "
               "HTTP, IPv4) in its boot menu; %s",
               interfaces, who);
}
