/* page.c - the report as one HTML page for a person, complete in itself */
#include <inttypes.h>
#include <string.h>

#include "internal.h"

#include <netboot-target/util/amount.h>

#define REFRESH_SECONDS 5

static const char head[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<title>netboot-target</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; --ink: #1c1e21; --soft: #5c6370; --paper: #f4f5f7;\n"
    "  --card: #fff; --line: #dcdfe4; --good: #18794e; --wait: #8a5a00; --bad: #b3261e }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9ba3af;\n"
    "  --paper: #14161a; --card: #1d2025; --line: #33373e; --good: #5fd39a; --wait: #f0b549;\n"
    "  --bad: #ff8a80 } }\n"
    "* { box-sizing: border-box }\n"
    "body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper);\n"
    "  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }\n"
    "h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }\n"
    "h3 { font-size: 1rem; margin: 0 0 .5rem; display: flex; gap: .6rem; flex-wrap: wrap }\n"
    "p { margin: .25rem 0 } .soft { color: var(--soft) }\n"
    "article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;\n"
    "  padding: .8rem 1rem; margin: .6rem 0 }\n"
    "dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr));\n"
    "  gap: .3rem 1.2rem; margin: 0 } dt { color: var(--soft); font-size: .8rem } dd { margin: 0 "
    "}\n"
    "dd, h3, p { overflow-wrap: anywhere } code { font-size: .9em }\n"
    ".good { color: var(--good) } .wait { color: var(--wait) } .bad { color: var(--bad) }\n"
    "</style>\n";

static bool html_special(struct buffer *to, char byte)
{
    static const char *const entities[128] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
    const char *entity = (unsigned char)byte < 128 ? entities[(unsigned char)byte] : NULL;
    if (!entity)
        return false;
    buffer_append_string(to, entity);
    return true;
}

static void put(struct buffer *to, const char *html)
{
    buffer_append_string(to, html);
}

/* Text of whatever origin. */
static void put_text(struct buffer *to, const char *text)
{
    text_write(to, text, html_special);
}

static void put_count(struct buffer *to, uint64_t count, const char *noun)
{
    buffer_format(to, "%" PRIu64 " %s%s", count, noun, count == 1 ? "" : "s");
}

static void row_begin(struct buffer *to, const char *name)
{
    buffer_format(to, "<div><dt>%s</dt><dd>", name);
}

static void row_end(struct buffer *to)
{
    put(to, "</dd></div>\n");
}

/* A row of a list of facts; an empty value is left out. */
static void row(struct buffer *to, const char *name, const char *value)
{
    if (!*value)
        return;
    row_begin(to, name);
    put_text(to, value);
    row_end(to);
}

/* ── the daemon ──────────────────────────────────────────────────────────────────────────────── */

static void write_state(const struct status_report *report, struct buffer *to)
{
    if (report->draining)
        put(to,
            "<p class=\"wait\">Shutting down: running sessions end, new ones are refused.</p>\n");
    else if (!report->serving)
        put(to, "<p class=\"wait\">New logins are off; running sessions stay.</p>\n");
    else
        put(to, "<p class=\"good\">Serving.</p>\n");
}

static void write_header(const struct status_report *report, struct buffer *to)
{
    struct amount uptime;
    put(to, head);
    buffer_format(to, "<meta http-equiv=\"refresh\" content=\"%d\">\n</head>\n<body>\n",
                  REFRESH_SECONDS);
    put(to, "<header>\n<h1>netboot-target <span class=\"soft\">");
    put_text(to, report->version);
    put(to, "</span></h1>\n");
    write_state(report, to);
    put(to, "<p class=\"soft\">");
    put_count(to, report->target_count, "target");
    put(to, ", ");
    put_count(to, report->session_count, "session");
    buffer_format(to, ", up %s; iSCSI on ", amount_duration(&uptime, report->uptime_seconds));
    for (unsigned i = 0; i < report->portal_count; i++) {
        put(to, i ? ", " : "");
        put_text(to, report->portals[i]);
    }
    put(to, report->portal_count ? "</p>\n</header>\n" : "no address</p>\n</header>\n");
}

/* ── targets and LUNs ────────────────────────────────────────────────────────────────────────── */

static void row_operations(struct buffer *to, const struct status_lun *lun)
{
    struct amount amount;
    for (unsigned i = STATUS_READ; i <= STATUS_WRITE; i++) {
        row_begin(to, i == STATUS_READ ? "Disk reads" : "Disk writes");
        buffer_format(to, "%s in ", amount_bytes(&amount, lun->operations[i].bytes));
        put_count(to, lun->operations[i].count, "request");
        row_end(to);
    }
    uint64_t errors = 0;
    for (unsigned i = 0; i < STATUS_OPERATION_COUNT; i++)
        errors += lun->operations[i].errors;
    if (!errors)
        return;
    row_begin(to, "Disk errors");
    buffer_format(to, "<span class=\"bad\">%" PRIu64 "</span>", errors);
    row_end(to);
}

static void row_size(struct buffer *to, const struct status_lun *lun)
{
    struct amount size;
    row_begin(to, "Size");
    buffer_format(to, "%s, blocks of %" PRIu32 " on %" PRIu32 " bytes",
                  amount_bytes(&size, lun->size_bytes), lun->logical_block_bytes,
                  lun->physical_block_bytes);
    row_end(to);
}

static void write_health(const struct status_target *target, const struct status_lun *lun,
                         struct buffer *to)
{
    if (!strcmp(lun->state, "write-fault")) {
        put(to, "<p class=\"bad\">Writes are refused since the disk failed to keep one; reads go "
                "on. When the disk is well again: <code>curl -X POST -H 'X-Netboot-Target: 1' "
                "http://</code>this address<code>/luns/");
        put_text(to, target->name);
        buffer_format(to, "/%u/rearm</code></p>\n", lun->number);
    } else if (!strcmp(lun->state, "gone")) {
        put(to, "<p class=\"bad\">The disk is gone.</p>\n");
    }
}

static const char *state_class(const struct status_lun *lun)
{
    if (!strcmp(lun->state, "open"))
        return "good";
    return lun->open || !strcmp(lun->state, "refused") ? "bad" : "wait";
}

static void write_lun(const struct status_target *target, const struct status_lun *lun,
                      struct buffer *to)
{
    buffer_format(to, "<article>\n<h3>LUN %u <span class=\"%s\">", lun->number, state_class(lun));
    put_text(to, lun->state);
    put(to, "</span></h3>\n");
    if (*lun->problem) {
        put(to, "<p class=\"wait\">");
        put_text(to, lun->problem);
        put(to, "</p>\n");
    }
    write_health(target, lun, to);
    put(to, "<dl>\n");
    row(to, "Disk", lun->device);
    if (lun->open) {
        row_size(to, lun);
        row(to, "Writes", lun->read_only ? "read-only" : lun->write_mode);
        row_operations(to, lun);
        row(to, "Serial number", lun->serial);
        row(to, "Reservation", lun->reservation);
    }
    row(to, "Identity", lun->identity);
    row(to, "Identity from", lun->identity_source);
    put(to, "</dl>\n</article>\n");
}

static void row_duration(struct buffer *to, const char *name, uint64_t milliseconds)
{
    struct amount amount;
    row(to, name, amount_duration(&amount, milliseconds / 1000));
}

/* Nobody reads seconds since 1970. */
static void write_owner(const struct status_report *report, const struct status_target *target,
                        struct buffer *to)
{
    uint64_t now = report->started_unix_seconds + report->uptime_seconds;
    uint64_t since = target->owner_since_unix_seconds, until = target->hold_ends_unix_seconds;
    row(to, "Owner", target->owner);
    if (since)
        row_duration(to, "Owned for", now > since ? (now - since) * 1000 : 0);
    if (until)
        row_duration(to, "Lost, and waited for another", until > now ? (until - now) * 1000 : 0);
}

static void write_target(const struct status_report *report, const struct status_target *target,
                         struct buffer *to)
{
    put(to, "<section>\n<h2>");
    put_text(to, target->name);
    put(to, target->ready ? " <span class=\"good\">ready</span>"
                          : " <span class=\"wait\">not ready</span>");
    put(to, "</h2>\n<dl>\n");
    row(to, "Name", target->iqn);
    row(to, "Authentication", target->auth);
    row(to, "Passwords are in", target->secrets_path);
    write_owner(report, target, to);
    row(to, "Shared", target->shared ? "several initiators may write" : "");
    put(to, "</dl>\n");
    for (unsigned i = 0; i < target->lun_count; i++)
        write_lun(target, &target->luns[i], to);
    put(to, "</section>\n");
}

/* ── sessions ────────────────────────────────────────────────────────────────────────────────── */

static void row_bytes(struct buffer *to, const char *name, uint64_t bytes, uint64_t count)
{
    struct amount amount;
    row_begin(to, name);
    buffer_format(to, "%s in ", amount_bytes(&amount, bytes));
    put_count(to, count, "command");
    row_end(to);
}

static void row_latency(struct buffer *to, const struct status_session *session)
{
    if (!session->commands)
        return;
    row_begin(to, "Answered within");
    buffer_format(to, "%" PRIu64 " µs (half), %" PRIu64 " µs (99 of 100)",
                  latency_percentile_us(session->latency, 50),
                  latency_percentile_us(session->latency, 99));
    row_end(to);
}

static void write_session(const struct status_session *session, struct buffer *to)
{
    put(to, "<article>\n<h3>");
    put_text(to, session->initiator);
    put(to, "</h3>\n<dl>\n");
    row(to, "Target", session->discovery ? "discovery" : session->target);
    row(to, "From", session->peer);
    row(to, "To", session->local);
    row(to, "Authentication", session->auth);
    row(to, "View", session->read_only ? "read-only: another initiator owns the target" : "");
    row(to, "Digests",
        session->header_digest ? (session->data_digest ? "header and data" : "header")
                               : (session->data_digest ? "data" : "none"));
    row_duration(to, "Logged in since", session->age_ms);
    row_duration(to, "Last command ago", session->idle_ms);
    row_bytes(to, "Read", session->read_bytes, session->reads);
    row_bytes(to, "Written", session->written_bytes, session->writes);
    row_latency(to, session);
    if (session->errors) {
        row_begin(to, "Failed commands");
        buffer_format(to, "%" PRIu64, session->errors);
        row_end(to);
    }
    put(to, "</dl>\n</article>\n");
}

/* ── machines ────────────────────────────────────────────────────────────────────────────────── */

static void write_interface(const struct status_interface *interface, struct buffer *to)
{
    put(to, "<article>\n<h3>");
    put_text(to, interface->name);
    put(to, " <span class=\"soft\">");
    put_text(to, interface->role);
    put(to, "</span></h3>\n");
    if (*interface->problem) {
        put(to, "<p class=\"bad\">");
        put_text(to, interface->problem);
        put(to, "</p>\n");
    }
    put(to, "<dl>\n");
    row(to, "Address", interface->address);
    row(to, "Cable", interface->carrier ? "connected" : "not connected");
    row(to, "Because", interface->reason);
    put(to, "</dl>\n</article>\n");
}

static const char *client_class(const struct status_client *client)
{
    if (!strcmp(client->state, "stopped"))
        return "bad";
    return !strcmp(client->state, "running") ? "good" : "wait";
}

static void write_client(const struct status_client *client, struct buffer *to)
{
    put(to, "<article>\n<h3>");
    put_text(to, *client->mac ? client->mac : client->address);
    buffer_format(to, " <span class=\"%s\">", client_class(client));
    put_text(to, client->state);
    put(to, "</span></h3>\n<p>");
    put_text(to, client->sentence);
    put(to, "</p>\n<dl>\n");
    row(to, "Address", client->address);
    row(to, "Initiator", client->initiator);
    row(to, "Interface", client->interface);
    row_duration(to, "Last heard ago", client->last_seen_ms);
    put(to, "</dl>\n</article>\n");
}

static void write_machines(const struct status_report *report, struct buffer *to)
{
    put(to, "<section>\n<h2>Machines</h2>\n");
    if (!report->client_count)
        put(to, "<p class=\"soft\">None has asked to boot yet.</p>\n");
    for (unsigned i = 0; i < report->client_count; i++)
        write_client(&report->clients[i], to);
    put(to, "</section>\n<section>\n<h2>Boot interfaces</h2>\n");
    if (!report->interface_count)
        put(to, "<p class=\"soft\">There is none.</p>\n");
    for (unsigned i = 0; i < report->interface_count; i++)
        write_interface(&report->interfaces[i], to);
    put(to, "</section>\n");
}

void status_write_page(const struct status_report *report, struct buffer *to)
{
    write_header(report, to);
    put(to, "<main>\n");
    for (unsigned i = 0; i < report->target_count; i++)
        write_target(report, &report->targets[i], to);
    put(to, "<section>\n<h2>Sessions</h2>\n");
    if (!report->session_count)
        put(to, "<p class=\"soft\">Nobody is logged in.</p>\n");
    for (unsigned i = 0; i < report->session_count; i++)
        write_session(&report->sessions[i], to);
    put(to, "</section>\n");
    write_machines(report, to);
    put(to, "</main>\n<footer class=\"soft\"><p>The same for programs: "
            "<a href=\"status\">status</a>, <a href=\"clients\">clients</a>, <a "
            "href=\"metrics\">metrics</a></p></footer>\n"
            "</body>\n</html>\n");
}
