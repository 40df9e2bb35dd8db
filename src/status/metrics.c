/* metrics.c - the report in the Prometheus text exposition format, version 0.0.4 */
#include <inttypes.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "internal.h"

#define PREFIX "netboot_target_"

/* Label values: \, " and line feeds are escaped. */
static bool label_special(struct buffer *to, char byte)
{
    if (byte != '\\' && byte != '"')
        return false;
    buffer_put_u8(to, '\\');
    buffer_put_u8(to, (uint8_t)byte);
    return true;
}

static void label(struct buffer *to, const char *separator, const char *name, const char *value)
{
    buffer_format(to, "%s%s=\"", separator, name);
    text_write(to, value, label_special);
    buffer_append_string(to, "\"");
}

static void family(struct buffer *to, const char *name, const char *type, const char *help)
{
    buffer_format(to, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

/* ── the daemon ──────────────────────────────────────────────────────────────────────────────── */

static void gauge(struct buffer *to, const char *name, const char *help, uint64_t value)
{
    family(to, name, "gauge", help);
    buffer_format(to, PREFIX "%s %" PRIu64 "\n", name, value);
}

static void write_daemon(const struct status_report *report, struct buffer *to)
{
    family(to, "info", "gauge", "Version and read engine of the daemon, always 1.");
    buffer_append_string(to, PREFIX "info{");
    label(to, "", "version", report->version);
    label(to, ",", "engine", report->engine);
    buffer_append_string(to, "} 1\n");
    gauge(to, "start_time_seconds", "When the daemon started, in seconds since 1970.",
          report->started_unix_seconds);
    gauge(to, "serving", "1 while new logins are taken.", report->serving && !report->draining);
    gauge(to, "portals", "Addresses on which iSCSI is served.", report->portal_count);
    gauge(to, "connections", "iSCSI connections.", report->connections);
    gauge(to, "sessions", "iSCSI sessions, discovery sessions included.", report->session_count);
}

/* ── machines ────────────────────────────────────────────────────────────────────────────────── */

static void write_machines(const struct status_report *report, struct buffer *to)
{
    static const char *const states[] = {"booting", "waiting", "stopped", "running", "ended"};
    family(to, "machines", "gauge", "Machines that boot or have booted from here, by state.");
    for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
        unsigned count = 0;
        for (unsigned j = 0; j < report->client_count; j++)
            count += !strcmp(report->clients[j].state, states[i]);
        buffer_append_string(to, PREFIX "machines{");
        label(to, "", "state", states[i]);
        buffer_format(to, "} %u\n", count);
    }
    if (report->interface_count)
        family(to, "interface_role", "gauge", "DHCP role of each boot interface, always 1.");
    for (unsigned i = 0; i < report->interface_count; i++) {
        buffer_append_string(to, PREFIX "interface_role{");
        label(to, "", "interface", report->interfaces[i].name);
        label(to, ",", "role", report->interfaces[i].role);
        buffer_append_string(to, "} 1\n");
    }
}

/* ── targets and LUNs ────────────────────────────────────────────────────────────────────────── */

static void write_targets(const struct status_report *report, struct buffer *to)
{
    family(to, "target_ready", "gauge", "1 while the target takes logins.");
    for (unsigned i = 0; i < report->target_count; i++) {
        buffer_append_string(to, PREFIX "target_ready{");
        label(to, "", "target", report->targets[i].name);
        label(to, ",", "iqn", report->targets[i].iqn);
        buffer_format(to, "} %d\n", report->targets[i].ready);
    }
}

static void lun_labels(struct buffer *to, const char *name, const struct status_target *target,
                       const struct status_lun *lun)
{
    buffer_format(to, PREFIX "%s{", name);
    label(to, "", "target", target->name);
    buffer_format(to, ",lun=\"%u\"", lun->number);
}

static uint64_t lun_open(const struct status_lun *lun)
{
    return lun->open;
}

static uint64_t lun_healthy(const struct status_lun *lun)
{
    return !strcmp(lun->state, "open");
}

static uint64_t lun_size(const struct status_lun *lun)
{
    return lun->size_bytes;
}

static uint64_t lun_in_flight(const struct status_lun *lun)
{
    return lun->in_flight;
}

static const struct {
    const char *name, *help;
    bool only_open;
    uint64_t (*value)(const struct status_lun *lun);
} lun_gauges[] = {
    {"lun_open",       "1 while the LUN is served.",               false, lun_open     },
    {"lun_healthy",    "0 when its device failed or is not open.", false, lun_healthy  },
    {"lun_size_bytes", "Size of the LUN.",                         true,  lun_size     },
    {"lun_in_flight",  "Requests that the device works on.",       true,  lun_in_flight},
};

static const struct {
    const char *name, *help;
    size_t offset;
} lun_counters[] = {
    {"lun_operations_total", "Requests to the device.",  offsetof(struct status_operations, count) },
    {"lun_bytes_total",      "Bytes of these requests.", offsetof(struct status_operations, bytes) },
    {"lun_errors_total",     "Requests that failed.",    offsetof(struct status_operations, errors)},
};

/* Calls `write` for every LUN with row `row` of its table. */
static void for_each_lun(const struct status_report *report, struct buffer *to, size_t row,
                         void (*write)(struct buffer *to, size_t row,
                                       const struct status_target *target,
                                       const struct status_lun *lun))
{
    for (unsigned i = 0; i < report->target_count; i++)
        for (unsigned j = 0; j < report->targets[i].lun_count; j++)
            write(to, row, &report->targets[i], &report->targets[i].luns[j]);
}

static void write_lun_gauge(struct buffer *to, size_t row, const struct status_target *target,
                            const struct status_lun *lun)
{
    if (lun_gauges[row].only_open && !lun->open)
        return;
    lun_labels(to, lun_gauges[row].name, target, lun);
    buffer_format(to, "} %" PRIu64 "\n", lun_gauges[row].value(lun));
}

static void write_lun_counter(struct buffer *to, size_t row, const struct status_target *target,
                              const struct status_lun *lun)
{
    for (unsigned i = 0; lun->open && i < STATUS_OPERATION_COUNT; i++) {
        const char *from = (const char *)&lun->operations[i] + lun_counters[row].offset;
        lun_labels(to, lun_counters[row].name, target, lun);
        buffer_format(to, ",operation=\"%s\"} %" PRIu64 "\n", status_operation_names[i],
                      *(const uint64_t *)(const void *)from);
    }
}

static void write_luns(const struct status_report *report, struct buffer *to)
{
    for (size_t i = 0; i < ARRAY_SIZE(lun_gauges); i++) {
        family(to, lun_gauges[i].name, "gauge", lun_gauges[i].help);
        for_each_lun(report, to, i, write_lun_gauge);
    }
    for (size_t i = 0; i < ARRAY_SIZE(lun_counters); i++) {
        family(to, lun_counters[i].name, "counter", lun_counters[i].help);
        for_each_lun(report, to, i, write_lun_counter);
    }
}

/* ── sessions ────────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *name, *help;
    size_t offset;
} session_counters[] = {
    {"session_commands_total",        "SCSI commands.",                       offsetof(struct status_session, commands)       },
    {"session_reads_total",           "Read commands.",                       offsetof(struct status_session, reads)          },
    {"session_writes_total",          "Write commands.",                      offsetof(struct status_session, writes)         },
    {"session_read_bytes_total",      "Bytes read.",                          offsetof(struct status_session, read_bytes)     },
    {"session_written_bytes_total",   "Bytes written.",
     offsetof(struct status_session,                                                                          written_bytes)  },
    {"session_zero_copy_bytes_total", "Bytes read that no processor copied.",
     offsetof(struct status_session,                                                                          zero_copy_bytes)},
    {"session_errors_total",          "Commands that did not end well.",
     offsetof(struct status_session,                                                                          errors)         },
};

/* The TSIH tells sessions of one initiator apart. */
static void session_labels(struct buffer *to, const char *name,
                           const struct status_session *session)
{
    buffer_format(to, PREFIX "%s{", name);
    label(to, "", "target", session->target);
    label(to, ",", "initiator", session->initiator);
    buffer_format(to, ",tsih=\"%u\"", session->tsih);
}

static void write_sessions(const struct status_report *report, struct buffer *to)
{
    for (size_t i = 0; i < ARRAY_SIZE(session_counters); i++) {
        family(to, session_counters[i].name, "counter", session_counters[i].help);
        for (unsigned j = 0; j < report->session_count; j++) {
            const char *session = (const char *)&report->sessions[j];
            if (report->sessions[j].discovery)
                continue;
            session_labels(to, session_counters[i].name, &report->sessions[j]);
            buffer_format(to, "} %" PRIu64 "\n",
                          *(const uint64_t *)(const void *)(session + session_counters[i].offset));
        }
    }
}

/* Cumulative, in seconds; the last bucket has no bound of its own. */
static void write_latency(struct buffer *to, const struct status_session *session)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < STATUS_LATENCY_BUCKETS - 1; i++) {
        total += session->latency[i];
        session_labels(to, "session_latency_seconds_bucket", session);
        buffer_format(to, ",le=\"%" PRIu64 ".%06" PRIu64 "\"} %" PRIu64 "\n",
                      (UINT64_C(1) << i) / 1000000, (UINT64_C(1) << i) % 1000000, total);
    }
    total += session->latency[STATUS_LATENCY_BUCKETS - 1];
    session_labels(to, "session_latency_seconds_bucket", session);
    buffer_format(to, ",le=\"+Inf\"} %" PRIu64 "\n", total);
    session_labels(to, "session_latency_seconds_count", session);
    buffer_format(to, "} %" PRIu64 "\n", total);
}

void status_write_metrics(const struct status_report *report, struct buffer *to)
{
    write_daemon(report, to);
    write_machines(report, to);
    write_targets(report, to);
    write_luns(report, to);
    write_sessions(report, to);
    family(to, "session_latency_seconds", "histogram",
           "From a command received to its response committed.");
    for (unsigned i = 0; i < report->session_count; i++)
        if (!report->sessions[i].discovery)
            write_latency(to, &report->sessions[i]);
}
