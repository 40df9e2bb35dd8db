/* json.c - the report as JSON (RFC 8259), written by jansson. docs/status.md names the fields. */
#include <jansson.h>

#include "internal.h"

/* Adds a member; jansson's *_set_new takes the value over even when it fails, and a NULL value (out
 * of memory) makes it fail. */
static void add(json_t *object, const char *name, json_t *value, bool *failed)
{
    if (json_object_set_new(object, name, value))
        *failed = true;
}

static json_t *text(const char *string)
{
    struct buffer clean;
    buffer_init(&clean, 65536);
    text_write(&clean, string, NULL);
    json_t *value = clean.failed ? NULL : json_stringn((const char *)clean.data, clean.length);
    if (!clean.failed && !clean.length)
        value = json_string("");
    buffer_done(&clean);
    return value;
}

static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* Rows of an object: the name, then how the value is made from `from`. */
#define TEXT(field)    add(to, #field, text(from->field), failed)
#define NUMBER(field)  add(to, #field, number(from->field), failed)
#define BOOLEAN(field) add(to, #field, json_boolean(from->field), failed)

static json_t *operations_json(const struct status_operations *all, bool *failed)
{
    json_t *operations = json_object();
    for (unsigned i = 0; i < STATUS_OPERATION_COUNT; i++) {
        const struct status_operations *from = &all[i];
        json_t *to = json_object();
        NUMBER(count);
        NUMBER(bytes);
        NUMBER(errors);
        add(operations, status_operation_names[i], to, failed);
    }
    return operations;
}

static json_t *boot_entry_json(const struct status_boot_entry *from, bool *failed)
{
    json_t *to = json_object();
    TEXT(id);
    TEXT(title);
    TEXT(kind);
    TEXT(source);
    TEXT(problem);
    NUMBER(seen_unix_seconds);
    return to;
}

static json_t *boot_json(const struct status_boot *from, bool *failed)
{
    json_t *to = json_object(), *entries = json_array(), *notes = json_array();
    BOOLEAN(busy);
    BOOLEAN(stale);
    NUMBER(scanned_unix_seconds);
    TEXT(problem);
    for (unsigned i = 0; i < from->entry_count; i++)
        *failed |= json_array_append_new(entries, boot_entry_json(&from->entries[i], failed)) != 0;
    for (unsigned i = 0; i < from->note_count; i++)
        *failed |= json_array_append_new(notes, text(from->notes[i])) != 0;
    add(to, "entries", entries, failed);
    add(to, "notes", notes, failed);
    return to;
}

static json_t *lun_json(const struct status_lun *from, bool *failed)
{
    json_t *to = json_object();
    NUMBER(number);
    TEXT(state);
    TEXT(problem);
    TEXT(device);
    TEXT(identity);
    TEXT(identity_source);
    if (!from->open)
        return to;
    TEXT(write_mode);
    BOOLEAN(read_only);
    NUMBER(size_bytes);
    NUMBER(logical_block_bytes);
    NUMBER(physical_block_bytes);
    TEXT(serial);
    TEXT(reservation);
    NUMBER(in_flight);
    add(to, "operations", operations_json(from->operations, failed), failed);
    add(to, "boot", boot_json(&from->boot, failed), failed);
    return to;
}

static json_t *target_json(const struct status_target *from, bool *failed)
{
    json_t *to = json_object(), *luns = json_array();
    TEXT(name);
    TEXT(iqn);
    TEXT(auth);
    TEXT(secrets_path);
    TEXT(owner);
    NUMBER(owner_since_unix_seconds);
    NUMBER(hold_ends_unix_seconds);
    BOOLEAN(ready);
    BOOLEAN(shared);
    for (unsigned i = 0; i < from->lun_count; i++)
        if (json_array_append_new(luns, lun_json(&from->luns[i], failed)))
            *failed = true;
    add(to, "luns", luns, failed);
    return to;
}

static json_t *latency_json(const uint64_t latency[STATUS_LATENCY_BUCKETS], bool *failed)
{
    json_t *counts = json_array();
    for (unsigned i = 0; i < STATUS_LATENCY_BUCKETS; i++)
        if (json_array_append_new(counts, number(latency[i])))
            *failed = true;
    return counts;
}

static json_t *parameters_json(const struct status_session *from, bool *failed)
{
    json_t *to = json_object();
    BOOLEAN(header_digest);
    BOOLEAN(data_digest);
    BOOLEAN(initial_r2t);
    BOOLEAN(immediate_data);
    NUMBER(max_send_bytes);
    NUMBER(max_receive_bytes);
    NUMBER(max_burst_bytes);
    NUMBER(first_burst_bytes);
    return to;
}

static json_t *counters_json(const struct status_session *from, bool *failed)
{
    json_t *to = json_object();
    NUMBER(commands);
    NUMBER(reads);
    NUMBER(writes);
    NUMBER(read_bytes);
    NUMBER(written_bytes);
    NUMBER(zero_copy_bytes);
    NUMBER(errors);
    NUMBER(outstanding);
    return to;
}

static json_t *session_json(const struct status_session *from, bool *failed)
{
    json_t *to = json_object();
    TEXT(initiator);
    TEXT(target);
    TEXT(peer);
    TEXT(local);
    TEXT(isid);
    NUMBER(tsih);
    BOOLEAN(discovery);
    BOOLEAN(read_only);
    TEXT(auth);
    NUMBER(age_ms);
    NUMBER(idle_ms);
    add(to, "parameters", parameters_json(from, failed), failed);
    add(to, "counters", counters_json(from, failed), failed);
    add(to, "latency_log2_us", latency_json(from->latency, failed), failed);
    return to;
}

static json_t *interface_json(const struct status_interface *from, bool *failed)
{
    json_t *to = json_object();
    TEXT(name);
    TEXT(address);
    TEXT(role);
    TEXT(reason);
    TEXT(problem);
    BOOLEAN(carrier);
    return to;
}

static json_t *step_json(const struct status_step *from, bool *failed)
{
    json_t *to = json_object();
    TEXT(name);
    TEXT(words);
    TEXT(detail);
    NUMBER(first_ms);
    NUMBER(last_ms);
    NUMBER(count);
    NUMBER(bytes);
    NUMBER(duration_ms);
    return to;
}

static json_t *client_json(const struct status_client *from, bool with_steps, bool *failed)
{
    json_t *to = json_object(), *causes = json_array();
    TEXT(mac);
    TEXT(uuid);
    TEXT(address);
    TEXT(initiator);
    TEXT(interface);
    TEXT(state);
    TEXT(step);
    TEXT(sentence);
    for (unsigned i = 0; i < from->cause_count; i++)
        *failed |= json_array_append_new(causes, text(from->causes[i])) != 0;
    add(to, "causes", causes, failed);
    NUMBER(first_seen_ms);
    NUMBER(last_seen_ms);
    NUMBER(step_ms);
    NUMBER(boots);
    if (!with_steps)
        return to;
    json_t *steps = json_array();
    for (unsigned i = 0; i < from->step_count; i++)
        *failed |= json_array_append_new(steps, step_json(&from->steps[i], failed)) != 0;
    add(to, "steps", steps, failed);
    return to;
}

static json_t *clients_json(const struct status_report *from, bool with_steps, bool *failed)
{
    json_t *clients = json_array();
    for (unsigned i = 0; i < from->client_count; i++)
        *failed |=
            json_array_append_new(clients, client_json(&from->clients[i], with_steps, failed)) != 0;
    return clients;
}

static json_t *report_json(const struct status_report *from, bool *failed)
{
    json_t *to = json_object(), *portals = json_array(), *targets = json_array();
    json_t *sessions = json_array(), *interfaces = json_array();
    TEXT(version);
    NUMBER(uptime_seconds);
    NUMBER(started_unix_seconds);
    BOOLEAN(serving);
    BOOLEAN(draining);
    TEXT(engine);
    NUMBER(connections);
    for (unsigned i = 0; i < from->portal_count; i++)
        *failed |= json_array_append_new(portals, text(from->portals[i])) != 0;
    for (unsigned i = 0; i < from->target_count; i++)
        *failed |= json_array_append_new(targets, target_json(&from->targets[i], failed)) != 0;
    for (unsigned i = 0; i < from->session_count; i++)
        *failed |= json_array_append_new(sessions, session_json(&from->sessions[i], failed)) != 0;
    for (unsigned i = 0; i < from->interface_count; i++)
        *failed |=
            json_array_append_new(interfaces, interface_json(&from->interfaces[i], failed)) != 0;
    add(to, "portals", portals, failed);
    add(to, "targets", targets, failed);
    add(to, "sessions", sessions, failed);
    add(to, "interfaces", interfaces, failed);
    add(to, "clients", clients_json(from, false, failed), failed);
    return to;
}

static int append(const char *bytes, size_t length, void *to)
{
    buffer_append(to, bytes, length);
    return ((struct buffer *)to)->failed ? -1 : 0;
}

/* Takes `json` over. */
static void write_json(json_t *json, bool failed, struct buffer *to)
{
    if (failed || json_dump_callback(json, append, to, JSON_INDENT(1)))
        to->failed = true;
    json_decref(json);
    buffer_append_string(to, "\n");
}

void status_write_json(const struct status_report *report, struct buffer *to)
{
    bool failed = false;
    json_t *json = report_json(report, &failed);
    write_json(json, failed, to);
}

void status_write_clients(const struct status_report *report, struct buffer *to)
{
    bool failed = false;
    json_t *json = json_object();
    add(json, "clients", clients_json(report, true, &failed), &failed);
    write_json(json, failed, to);
}
