/* doctor_firewall.c - whether an input filter keeps clients out. See doctor.h */
#include <jansson.h>
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

/* ── asking a program ────────────────────────────────────────────────────────────────────────────
 */

/* Its output; returns its exit status, negative: it cannot be run. */
static int ask(const char *command, struct buffer *to)
{
    char part[4096];
    size_t length;
    FILE *output = popen(command, "re"); // NOLINT(cert-env33-c): a fixed command
    if (!output)
        return -1;
    while ((length = fread(part, 1, sizeof part, output)) > 0)
        buffer_append(to, part, length);
    int status = pclose(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ── what has to be let in ───────────────────────────────────────────────────────────────────────
 */

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

/* ── nftables ────────────────────────────────────────────────────────────────────────────────────
 */

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
        "%s: nft add rule %s %s %s udp dport { %s } accept; nft add rule %s %s %s tcp dport "
        "{ %s } accept",
        family, table, name, wanted.udp, wanted.tcp, family, table, name, wanted.udp, family, table,
        name, wanted.tcp);
}

static bool is_dropping_input(const json_t *chain)
{
    return !strcmp(word_of(chain, "hook"), "input") && !strcmp(word_of(chain, "policy"), "drop");
}

/* Returns how many chains drop by default; negative: the ruleset cannot be seen. */
static int look_at_nftables(struct doctor *doctor)
{
    struct buffer output;
    int found = 0;
    if (access("/usr/sbin/nft", X_OK))
        return 0;
    buffer_init(&output, OUTPUT_BYTES_LIMIT);
    int status = ask("/usr/sbin/nft --json list chains 2>/dev/null", &output);
    json_t *root = status || output.failed
                       ? NULL
                       : json_loadb((const char *)output.data, output.length, 0, NULL);
    const json_t *items = json_object_get(root, "nftables");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *chain = json_object_get(json_array_get(items, i), "chain");
        if (!chain || !is_dropping_input(chain))
            continue;
        tell_dropping_chain(doctor, chain);
        found++;
    }
    json_decref(root);
    buffer_done(&output);
    return status ? -1 : found;
}

/* ── what manages it ─────────────────────────────────────────────────────────────────────────────
 */

static bool uses_ufw(void)
{
    char line[256];
    bool found = false;
    _cleanup_fclose_ FILE *file = fopen("/etc/ufw/ufw.conf", "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, "ENABLED=yes", strlen("ENABLED=yes")) == 0;
    return found;
}

/* True when a program keeps the rules, so that its own commands are the cure. */
static bool tell_manager(struct doctor *doctor)
{
    struct wanted wanted;
    list_wanted(doctor->config, &wanted);
    if (doctor_find_process("firewalld")) {
        doctor_tell(doctor, FINDING_WARNING, "firewall",
                    "firewalld runs. Clients need UDP %s and TCP %s: firewall-cmd --permanent "
                    "--add-service=netboot-target, then firewall-cmd --reload",
                    wanted.udp, wanted.tcp);
        return true;
    }
    if (uses_ufw()) {
        doctor_tell(doctor, FINDING_WARNING, "firewall",
                    "ufw is on. Clients need UDP %s and TCP %s: ufw allow PORT/udp and ufw allow "
                    "PORT/tcp for each",
                    wanted.udp, wanted.tcp);
        return true;
    }
    return false;
}

void doctor_check_firewall(struct doctor *doctor)
{
    if (tell_manager(doctor))
        return;
    int found = look_at_nftables(doctor);
    if (found < 0)
        doctor_tell(doctor, FINDING_WARNING, "firewall",
                    "its rules cannot be seen from here: run this as root");
    else if (!found)
        doctor_tell(doctor, FINDING_FINE, "firewall", "no chain for input drops by default");
}
