/* doctor_firewall.c - whether an input filter keeps clients out. See doctor.h */
#include <jansson.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/cleanup.h>

#define OUTPUT_BYTES_LIMIT (4u << 20)
#define ZONE_BYTES         64

/* ── asking a program ────────────────────────────────────────────────────────────────────────── */

#define NOT_THERE 127 /* sh(1) */

/* Its output, which may be NULL; returns its exit status, negative: it cannot be run. */
static int ask(const char *program, const char *arguments, struct buffer *to)
{
    char part[4096], command[256];
    size_t length;
    /* A user's own PATH may lack these two. */
    snprintf(command, sizeof command, "PATH=$PATH:/usr/sbin:/sbin; %s %s 2>/dev/null", program,
             arguments);
    FILE *output = popen(command, "re"); // NOLINT(cert-env33-c): words of ours alone
    if (!output)
        return -1;
    while ((length = fread(part, 1, sizeof part, output)) > 0)
        if (to)
            buffer_append(to, part, length);
    int status = pclose(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ── what has to be let in ───────────────────────────────────────────────────────────────────── */

/* "67, 4011, 69" of one type, each once. */
static void list_ports(const struct config *config, int type, struct buffer *to)
{
    struct doctor_port ports[DOCTOR_PORTS_LIMIT];
    unsigned count = doctor_ports(config, ports);
    bool seen[UINT16_MAX + 1] = {false};
    for (unsigned i = 0; i < count; i++) {
        if (ports[i].type != type || seen[ports[i].number] || !strcmp(ports[i].purpose, "status"))
            continue;
        seen[ports[i].number] = true;
        buffer_format(to, "%s%u", to->length ? ", " : "", ports[i].number);
    }
}

struct wanted {
    char udp[256], tcp[256];
};

static void list_wanted(const struct config *config, struct wanted *to)
{
    struct buffer udp, tcp;
    buffer_init_fixed(&udp, to->udp, sizeof to->udp);
    buffer_init_fixed(&tcp, to->tcp, sizeof to->tcp);
    list_ports(config, SOCK_DGRAM, &udp);
    list_ports(config, SOCK_STREAM, &tcp);
    if (!buffer_string(&udp))
        to->udp[0] = '\0';
    if (!buffer_string(&tcp))
        to->tcp[0] = '\0';
}

/* ── nftables ────────────────────────────────────────────────────────────────────────────────── */

static const char *word_of(const json_t *object, const char *key)
{
    const char *word = json_string_value(json_object_get(object, key));
    return word ? word : "";
}

static void tell_dropping_chain(struct doctor *doctor, const json_t *chain)
{
    struct wanted wanted;
    const char *family = word_of(chain, "family"), *table = word_of(chain, "table"),
               *name = word_of(chain, "name");
    list_wanted(doctor->config, &wanted);
    doctor_tell(
        doctor, FINDING_WARNING, "firewall",
        "the chain %s %s %s drops what no rule of it lets in. Clients need UDP %s and TCP "
        "%s: nft insert rule %s %s %s udp dport { %s } accept; nft insert rule %s %s %s tcp dport "
        "{ %s } accept",
        family, table, name, wanted.udp, wanted.tcp, family, table, name, wanted.udp, family, table,
        name, wanted.tcp);
}

static bool is_input(const json_t *chain)
{
    return chain && !strcmp(word_of(chain, "hook"), "input");
}

static bool is_of(const json_t *rule, const json_t *chain)
{
    return rule && !strcmp(word_of(rule, "family"), word_of(chain, "family")) &&
           !strcmp(word_of(rule, "table"), word_of(chain, "table")) &&
           !strcmp(word_of(rule, "chain"), word_of(chain, "name"));
}

/* It takes whatever comes to it: there is no match in it. */
static bool drops_everything(const json_t *rule)
{
    const json_t *parts = json_object_get(rule, "expr");
    bool drops = false;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        if (json_object_get(part, "match") || json_object_get(part, "limit"))
            return false;
        drops |= json_object_get(part, "drop") || json_object_get(part, "reject");
    }
    return drops;
}

/* By its policy, or by a rule for everything that is left. */
static bool drops_by_default(const json_t *items, const json_t *chain)
{
    bool result = !strcmp(word_of(chain, "policy"), "drop");
    for (size_t i = 0; !result && i < json_array_size(items); i++) {
        const json_t *rule = json_object_get(json_array_get(items, i), "rule");
        result = is_of(rule, chain) && drops_everything(rule);
    }
    return result;
}

/* Returns how many chains drop by default; negative: the ruleset cannot be seen. */
static int look_at_nftables(struct doctor *doctor)
{
    struct buffer output;
    int found = 0;
    buffer_init(&output, OUTPUT_BYTES_LIMIT);
    int status = ask("nft", "--json list ruleset", &output);
    json_t *root = status || output.failed
                       ? NULL
                       : json_loadb((const char *)output.data, output.length, 0, NULL);
    const json_t *items = json_object_get(root, "nftables");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *chain = json_object_get(json_array_get(items, i), "chain");
        if (!is_input(chain) || !drops_by_default(items, chain))
            continue;
        tell_dropping_chain(doctor, chain);
        found++;
    }
    json_decref(root);
    buffer_done(&output);
    if (status == NOT_THERE)
        return 0;
    return status ? -1 : found;
}

/* ── iptables-legacy, whose rules nft does not show ──────────────────────────────────────────── */

/* In the table filter: ":INPUT DROP [0:0]", or "-A INPUT -j REJECT …" without a match. */
static bool has_dropping_line(char *tables)
{
    static const char *const lines[] = {":INPUT DROP", "-A INPUT -j DROP", "-A INPUT -j REJECT"};
    char *rest = tables;
    bool is_filter = false;
    for (const char *line; (line = strsep(&rest, "\n"));) {
        if (*line == '*')
            is_filter = strcmp(line, "*filter") == 0;
        for (size_t i = 0; is_filter && i < ARRAY_SIZE(lines); i++)
            if (strncmp(line, lines[i], strlen(lines[i])) == 0)
                return true;
    }
    return false;
}

/* As look_at_nftables(). They list the tables that are in use, and load none. */
static int look_at_legacy(struct doctor *doctor, const char *program, const char *whom)
{
    char save[64];
    struct buffer output;
    struct wanted wanted;
    snprintf(save, sizeof save, "%s-save", program);
    buffer_init(&output, OUTPUT_BYTES_LIMIT);
    int status = ask(save, "", &output);
    bool drops = !status && buffer_string(&output) && has_dropping_line((char *)output.data);
    buffer_done(&output);
    if (!drops)
        return status && status != NOT_THERE ? -1 : 0;
    list_wanted(doctor->config, &wanted);
    doctor_tell(
        doctor, FINDING_WARNING, "firewall",
        "the chain INPUT of %s drops what no rule of it lets in. %s need UDP %s and TCP "
        "%s: %s -I INPUT -p udp -m multiport --dports PORTS -j ACCEPT, and the same for tcp",
        program, whom, wanted.udp, wanted.tcp, program);
    return 1;
}

/* ── what manages it ─────────────────────────────────────────────────────────────────────────── */

static bool uses_ufw(void)
{
    char line[256];
    bool found = false;
    _cleanup_fclose_ FILE *file = fopen("/etc/ufw/ufw.conf", "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, "ENABLED=yes", strlen("ENABLED=yes")) == 0;
    return found;
}

/* "### tuple ### allow udp 67 0.0.0.0/0 any 0.0.0.0/0 in": ufw's own note above each rule. The
 * protocol may be "any", the port "67,69" or "any". */
static bool lets_in(const char *line, const char *protocol, unsigned number)
{
    char protocols[16], ports[256], direction[8], *rest = ports;
    if (sscanf(line, "### tuple ### allow %15s %255s %*s %*s %*s %7s", protocols, ports,
               direction) != 3 ||
        strcmp(direction, "in") != 0 ||
        (strcmp(protocols, protocol) != 0 && strcmp(protocols, "any") != 0))
        return false;
    for (const char *port; (port = strsep(&rest, ","));)
        if (strcmp(port, "any") == 0 || strtoul(port, NULL, 10) == number)
            return true;
    return false;
}

static bool ufw_lets_in(const struct doctor_port *port)
{
    char line[512];
    bool found = false;
    const char *protocol = port->type == SOCK_STREAM ? "tcp" : "udp";
    _cleanup_fclose_ FILE *file = fopen("/etc/ufw/user.rules", "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = lets_in(line, protocol, port->number);
    return found;
}

static bool ufw_lets_all_in(const struct config *config)
{
    struct doctor_port ports[DOCTOR_PORTS_LIMIT];
    unsigned count = doctor_ports(config, ports);
    for (unsigned i = 0; i < count; i++)
        if (strcmp(ports[i].purpose, "status") != 0 && !ufw_lets_in(&ports[i]))
            return false;
    return true;
}

/* The word behind `name` in what firewalld says of a zone: "  target: ACCEPT". */
static bool zone_says(const char *zone, const char *name, const char *word)
{
    char command[ZONE_BYTES + 32];
    struct buffer output;
    buffer_init(&output, OUTPUT_BYTES_LIMIT);
    snprintf(command, sizeof command, "--zone=%s --list-all", zone);
    int status = ask("firewall-cmd", command, &output);
    char *rest = !status && buffer_string(&output) ? (char *)output.data : NULL;
    bool found = false;
    for (char *line; !found && (line = strsep(&rest, "\n"));) {
        const char *key = strsep(&line, ":");
        if (strcmp(key + strspn(key, " "), name) != 0)
            continue;
        for (const char *each; !found && (each = strsep(&line, " "));)
            found = strcmp(each, word) == 0;
    }
    buffer_done(&output);
    return found;
}

/* Its own zone, or the one of all that have none. Gives "" where nobody tells. */
static void find_zone(const char *interface, char zone[ZONE_BYTES])
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    char question[64];
    struct buffer output;
    buffer_init(&output, ZONE_BYTES);
    snprintf(question, sizeof question, "--get-zone-of-interface=%s", interface);
    bool can_ask = interface[0] && interface[strspn(interface, plain)] == '\0';
    if (!can_ask || ask("firewall-cmd", question, &output)) {
        buffer_done(&output);
        buffer_init(&output, ZONE_BYTES);
        if (ask("firewall-cmd", "--get-default-zone", &output))
            output.failed = true;
    }
    const char *name = buffer_string(&output) ? (const char *)output.data : "";
    snprintf(zone, ZONE_BYTES, "%.*s", (int)strspn(name, plain), name);
    buffer_done(&output);
}

/* `interface` may be "": any. */
static void tell_zone(struct doctor *doctor, const struct wanted *wanted, const char *interface)
{
    char zone[ZONE_BYTES];
    const char *of = interface[0] ? " of " : "";
    find_zone(interface, zone);
    if (zone_says(zone, "services", "netboot-target") || zone_says(zone, "target", "ACCEPT"))
        doctor_tell(doctor, FINDING_FINE, "firewall",
                    "firewalld runs, and its zone %s%s%s lets the service netboot-target in", zone,
                    of, interface);
    else if (zone[0])
        doctor_tell(doctor, FINDING_WARNING, "firewall",
                    "firewalld runs. Clients need UDP %s and TCP %s in its zone %s%s%s: "
                    "firewall-cmd --permanent --zone=%s --add-service=netboot-target, then "
                    "firewall-cmd --reload",
                    wanted->udp, wanted->tcp, zone, of, interface, zone);
    else
        doctor_tell(
            doctor, FINDING_WARNING, "firewall",
            "firewalld runs, and does not tell its zones: run this as root. Clients need UDP "
            "%s and TCP %s",
            wanted->udp, wanted->tcp);
}

static void tell_firewalld(struct doctor *doctor, const struct wanted *wanted)
{
    for (unsigned i = 0; i < doctor->dhcp_interface_count; i++) {
        char name[IF_NAMESIZE];
        if (if_indextoname((unsigned)doctor->dhcp_interfaces[i], name))
            tell_zone(doctor, wanted, name);
    }
    if (!doctor->dhcp_interface_count)
        tell_zone(doctor, wanted, "");
}

static void tell_ufw(struct doctor *doctor, const struct wanted *wanted)
{
    if (ufw_lets_all_in(doctor->config))
        doctor_tell(doctor, FINDING_FINE, "firewall", "ufw is on, and lets UDP %s and TCP %s in",
                    wanted->udp, wanted->tcp);
    else
        doctor_tell(doctor, FINDING_WARNING, "firewall",
                    "ufw is on. Clients need UDP %s and TCP %s: ufw allow PORT/udp and ufw allow "
                    "PORT/tcp for each",
                    wanted->udp, wanted->tcp);
}

/* True when a program keeps the rules, so that its own commands are the cure. */
static bool tell_manager(struct doctor *doctor)
{
    struct wanted wanted;
    list_wanted(doctor->config, &wanted);
    bool has_firewalld = doctor_find_process("firewalld") != 0;
    if (has_firewalld)
        tell_firewalld(doctor, &wanted);
    else if (uses_ufw())
        tell_ufw(doctor, &wanted);
    else
        return false;
    return true;
}

void doctor_check_firewall(struct doctor *doctor)
{
    if (tell_manager(doctor))
        return;
    int found = look_at_nftables(doctor);
    int legacy = look_at_legacy(doctor, "iptables-legacy", "Clients");
    int legacy6 = look_at_legacy(doctor, "ip6tables-legacy", "Clients that come by IPv6");
    if (found < 0 || legacy < 0 || legacy6 < 0)
        doctor_tell(doctor, FINDING_WARNING, "firewall",
                    "its rules cannot be seen from here: run this as root");
    else if (!found && !legacy && !legacy6)
        doctor_tell(doctor, FINDING_FINE, "firewall", "no chain for input drops by default");
}
