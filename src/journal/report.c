/* report.c - the story of a client in words, see journal.h */
#include <inttypes.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "internal.h"

/* ── pieces ──────────────────────────────────────────────────────────────────────────────────── */

/* A piece that did not fit was left out whole; the text ends there, with a mark and a NUL. */
void end_text(struct buffer *out)
{
    static const char mark[] = "...";
    if (out->failed || out->length == out->limit) {
        out->failed = false;
        out->length = min_of(out->length, out->limit - sizeof mark);
        buffer_append_string(out, mark);
    }
    buffer_string(out);
}

void write_step(struct buffer *out, enum journal_step step, const char *detail, uint64_t bytes,
                uint64_t duration_ms)
{
    const char *separator = " (";
    buffer_append_string(out, journal_steps[step].words);
    if (detail[0]) {
        buffer_format(out, "%s%s", separator, detail);
        separator = ", ";
    }
    if (bytes) {
        buffer_format(out, "%s%" PRIu64 " bytes", separator, bytes);
        separator = ", ";
        if (duration_ms)
            buffer_format(out, " in %" PRIu64 " ms", duration_ms);
    }
    if (separator[0] == ',')
        buffer_append_string(out, ")");
}

void write_identity(struct buffer *out, const struct journal_client *client)
{
    buffer_append_string(out, "client=");
    for (unsigned i = 0; client->has_mac && i < JOURNAL_MAC_BYTES; i++)
        buffer_format(out, "%s%02x", i ? ":" : "", client->mac[i]);
    if (!client->has_mac)
        buffer_append_string(out, "-");
    if (client->address[0])
        buffer_format(out, " address=%s", client->address);
    if (client->initiator[0])
        buffer_format(out, " initiator=%s", client->initiator);
    if (client->interface[0])
        buffer_format(out, " interface=%s", client->interface);
}

static void write_ago(struct buffer *out, uint64_t then_ms, uint64_t now_ms)
{
    uint64_t seconds = now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;
    if (seconds < 120)
        buffer_format(out, "%" PRIu64 " s ago", seconds);
    else if (seconds < 7200)
        buffer_format(out, "%" PRIu64 " min ago", seconds / 60);
    else
        buffer_format(out, "%" PRIu64 " h ago", seconds / 3600);
}

static void write_last_step(struct buffer *out, const struct story *story, uint64_t now_ms)
{
    write_ago(out, story->last_ms, now_ms);
    buffer_append_string(out, " ");
    write_step(out, story->step, story->detail, story->bytes, story->duration_ms);
    buffer_append_string(out, ".");
}

/* ── the sentence ────────────────────────────────────────────────────────────────────────────── */

static void write_stop(struct buffer *out, const struct journal_client *client,
                       const struct story *story, const struct journal_report *report,
                       uint64_t now_ms)
{
    buffer_append_string(out, "The boot has stopped: ");
    write_last_step(out, story, now_ms);
    if (journal_steps[story->step].next)
        buffer_format(out, " Next should have come %s.", journal_steps[story->step].next);
    if (client->boots_stopped && story == &client->stopped)
        buffer_format(out, " It has started over %u times since.", client->boots_stopped);
    for (unsigned i = 0; i < report->cause_count; i++)
        buffer_format(out, "%s %s", !i ? " Most likely:" : " Or:", report->causes[i]);
}

static void write_way(struct buffer *out, const struct story *story, uint64_t now_ms)
{
    write_last_step(out, story, now_ms);
    if (journal_steps[story->step].next && story_state(story) != JOURNAL_RUNNING)
        buffer_format(out, " Next comes %s.", journal_steps[story->step].next);
    if (story->step == JOURNAL_OS_ENDED)
        buffer_append_string(out, " That is how it looks when it was switched off.");
}

/* The story that counts: where it got stuck, else where it is. */
static const struct story *choose_story(const struct journal_client *client, uint64_t now_ms,
                                        enum journal_state *ret_state)
{
    uint64_t late_ms = story_deadline_ms(&client->now);
    *ret_state = JOURNAL_STOPPED;
    if (client->stopped.step)
        return &client->stopped;
    if (!late_ms || now_ms < late_ms)
        *ret_state = story_state(&client->now);
    return &client->now;
}

void journal_client_report(const struct journal_client *client, uint64_t now_ms,
                           struct journal_report *ret_report)
{
    static const char *const state_names[] = {
        [JOURNAL_BOOTING] = "booting", [JOURNAL_WAITING] = "waiting", [JOURNAL_STOPPED] = "stopped",
        [JOURNAL_RUNNING] = "running", [JOURNAL_ENDED] = "ended",
    };
    enum journal_state state;
    const struct story *story = choose_story(client, now_ms, &state);
    *ret_report = (struct journal_report){
        .mac = client->has_mac ? client->mac : NULL,
        .uuid = client->has_uuid ? client->uuid : NULL,
        .address = client->address,
        .initiator = client->initiator,
        .interface = client->interface,
        .state = state,
        .state_name = state_names[state],
        .step = client->now.step,
        .step_name = journal_steps[client->now.step].name,
        .first_seen_ms = client->first_seen_ms,
        .last_seen_ms = client->last_seen_ms,
        .step_ms = client->now.last_ms,
        .boots = client->boots,
        .event_count = client->entry_count,
    };
    struct buffer out;
    buffer_init_fixed(&out, ret_report->sentence, sizeof ret_report->sentence);
    if (state == JOURNAL_STOPPED) {
        ret_report->cause_count = causes_of(client, story, ret_report->causes);
        write_stop(&out, client, story, ret_report, now_ms);
    } else {
        write_way(&out, story, now_ms);
    }
    end_text(&out);
}
