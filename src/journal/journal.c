/* journal.c - recording what clients do, and noticing who has stopped, see journal.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include <netboot-target/util/array.h>

#include "internal.h"

#define IDLE_MS          10000u  /* without a command: iPXE has handed over */
#define STOP_STANDS_MS   300000u /* how long a stop outweighs one that comes less far */
#define LINES_AT_ONCE    40u     /* of one client: more than two whole boots */
#define LINE_INTERVAL_MS 2000u

struct journal *journal_new(unsigned client_limit, unsigned event_limit)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal)
        journal_set_limits(journal, client_limit, event_limit);
    return journal;
}

void journal_free(struct journal *journal)
{
    if (!journal)
        return;
    while (journal->clients)
        client_free(journal, journal->clients);
    free(journal);
}

void journal_set_limits(struct journal *journal, unsigned client_limit, unsigned event_limit)
{
    journal->client_limit = max_of(client_limit, 1u);
    journal->event_limit = max_of(event_limit, 1u);
    while (journal->client_count > journal->client_limit)
        client_free(journal, journal->clients->prev);
}

/* ── lines ───────────────────────────────────────────────────────────────────────────────────── */

static struct journal_line *add_line(struct journal *journal)
{
    if (journal->line_count == LINES_LIMIT) {
        journal->line_first = (journal->line_first + 1) % LINES_LIMIT;
        journal->line_count--;
        journal->lines_dropped++;
    }
    return &journal->lines[(journal->line_first + journal->line_count++) % LINES_LIMIT];
}

bool journal_next_line(struct journal *journal, struct journal_line *ret_line)
{
    if (journal->lines_dropped) {
        *ret_line = (struct journal_line){.is_trouble = true};
        snprintf(ret_line->text, sizeof ret_line->text, "%u lines about clients were left out",
                 journal->lines_dropped);
        journal->lines_dropped = 0;
        return true;
    }
    if (!journal->line_count)
        return false;
    *ret_line = journal->lines[journal->line_first];
    journal->line_first = (journal->line_first + 1) % LINES_LIMIT;
    journal->line_count--;
    return true;
}

static void say_step(struct journal *journal, struct journal_client *client,
                     const struct entry *entry)
{
    uint32_t suppressed;
    if (!log_limit_allows(&client->line_limit, LINES_AT_ONCE, LINE_INTERVAL_MS, entry->last_ms,
                          &suppressed))
        return;
    struct journal_line *line = add_line(journal);
    struct buffer out;
    line->is_trouble = false;
    buffer_init_fixed(&out, line->text, sizeof line->text);
    buffer_append_string(&out, "boot: ");
    write_step(&out, entry->step, entry->detail, entry->bytes, entry->duration_ms);
    buffer_append_string(&out, "; ");
    write_identity(&out, client);
    end_text(&out);
}

static void say_stop(struct journal *journal, struct journal_client *client)
{
    char causes[JOURNAL_CAUSES_LIMIT][JOURNAL_CAUSE_BYTES];
    unsigned count = causes_of(client, &client->stopped, causes);
    struct journal_line *line = add_line(journal);
    struct buffer out;
    line->is_trouble = true;
    buffer_init_fixed(&out, line->text, sizeof line->text);
    buffer_append_string(&out, "boot stopped: ");
    write_step(&out, client->stopped.step, client->stopped.detail, client->stopped.bytes,
               client->stopped.duration_ms);
    if (count)
        buffer_format(&out, ". Most likely: %s", causes[0]);
    buffer_append_string(&out, " ");
    write_identity(&out, client);
    end_text(&out);
}

/* ── stopping and going on ───────────────────────────────────────────────────────────────────── */

/* The stop that came further is the better story, but not for ever. */
static void stop(struct journal *journal, struct journal_client *client, uint64_t now_ms)
{
    struct story *stopped = &client->stopped;
    bool is_same =
        stopped->step == client->now.step && strcmp(stopped->detail, client->now.detail) == 0;
    bool stands = stopped->step && now_ms - client->stopped_ms < STOP_STANDS_MS;
    client->now.stop_noticed = true;
    if (stands && !is_same && client->now.furthest < stopped->furthest)
        return;
    bool is_news = !stopped->step || !is_same;
    *stopped = client->now;
    client->stopped_ms = now_ms;
    if (!is_news)
        return;
    client->boots_stopped = 0;
    say_stop(journal, client);
}

static void go_on(struct journal_client *client)
{
    if (client->now.furthest > client->stopped.furthest ||
        story_state(&client->now) == JOURNAL_RUNNING) {
        client->stopped = (struct story){0};
        client->boots_stopped = 0;
    }
}

/* Firmware that asks anew, or iPXE that was past its script: the machine was started again. What
 * was retransmitted is no start. */
static bool starts_over(const struct story *story, enum journal_step step)
{
    if (step == JOURNAL_DISCOVER)
        return story->step > JOURNAL_OFFER || story->step == JOURNAL_NONE;
    return step == JOURNAL_IPXE_DISCOVER &&
           (story->step > JOURNAL_IPXE_OFFER || story->step == JOURNAL_NONE);
}

static void start_over(struct journal *journal, struct journal_client *client, uint64_t now_ms)
{
    enum journal_state state = story_state(&client->now);
    bool was_on_its_way =
        client->now.step && (state == JOURNAL_BOOTING || state == JOURNAL_STOPPED);
    if (was_on_its_way)
        stop(journal, client, now_ms);
    else if (state == JOURNAL_RUNNING || state == JOURNAL_ENDED)
        client->stopped = (struct story){0};
    const struct story before = client->now;
    client->now = (struct story){.link_down = before.link_down, .firmware = before.firmware};
    memcpy(client->now.architecture, before.architecture, sizeof before.architecture);
    client->boots++;
    client->boots_stopped += client->stopped.step != JOURNAL_NONE;
}

/* ── recording ───────────────────────────────────────────────────────────────────────────────── */

/* The entry of the same step and detail in this boot, else a new one. */
static struct entry *get_entry(struct journal_client *client, enum journal_step step,
                               const char *detail)
{
    for (unsigned i = client->entry_count; i-- > 0;) {
        struct entry *entry = client_entry(client, i);
        if (entry->boot != client->boots)
            break;
        if (entry->step == step && strcmp(entry->detail, detail) == 0)
            return entry;
    }
    struct entry *entry = client_add_entry(client);
    entry->step = step;
    entry->boot = client->boots;
    snprintf(entry->detail, sizeof entry->detail, "%s", detail);
    return entry;
}

/* What does not tell how far it is: the address that iPXE took, a boot file that is asked for on a
 * machine whose disk is in use. */
static bool is_aside(const struct story *story, enum journal_step step)
{
    if (step == JOURNAL_ADDRESS)
        return story->step >= JOURNAL_FILE_REQUEST;
    return step >= JOURNAL_FILE_REQUEST && step <= JOURNAL_FILE && story->step >= JOURNAL_LOGIN;
}

static void note(struct journal *journal, struct journal_client *client,
                 const struct journal_event *event, uint64_t at_ms)
{
    struct story *story = &client->now;
    char detail[JOURNAL_DETAIL_BYTES];
    copy_text(detail, sizeof detail, event->detail);
    struct entry *entry = get_entry(client, event->step, detail);
    bool is_new = !entry->count++;
    if (is_new)
        entry->first_ms = at_ms;
    entry->last_ms = at_ms;
    entry->bytes = event->bytes;
    entry->duration_ms = event->duration_ms;
    if (is_new)
        say_step(journal, client, entry);
    if (is_aside(story, event->step))
        return;
    story->step = event->step;
    story->furthest = max_of(story->furthest, event->step);
    story->first_ms = entry->first_ms;
    story->last_ms = at_ms;
    story->count = entry->count;
    story->bytes = event->bytes;
    story->duration_ms = event->duration_ms;
    story->stop_noticed = false;
    snprintf(story->detail, sizeof story->detail, "%s", detail);
}

/* What the likely causes look at. */
static void learn(struct story *story, const struct journal_event *event)
{
    switch (event->step) {
    case JOURNAL_DISCOVER:
        story->asked_by_firmware = true;
        story->firmware = event->firmware;
        copy_text(story->architecture, sizeof story->architecture, event->detail);
        break;
    case JOURNAL_UNANSWERED:
        story->unanswered = event->unanswered;
        break;
    case JOURNAL_OFFER:
        story->via_boot_server = event->via_boot_server;
        story->gives_address = event->gives_address;
        break;
    case JOURNAL_IPXE_OFFER:
        story->gives_address |= event->gives_address;
        break;
    case JOURNAL_ADDRESS:
        story->took_address = true;
        copy_text(story->server, sizeof story->server, event->server);
        break;
    case JOURNAL_FILE_FAILED: /* its detail is more than the name */
        story->file_end = event->file_end;
        break;
    case JOURNAL_FILE_REQUEST:
    case JOURNAL_FILE_MISSING:
    case JOURNAL_FILE:
    case JOURNAL_LOOP:
        copy_text(story->file, sizeof story->file, event->detail);
        story->file_sent |= event->step == JOURNAL_FILE;
        break;
    case JOURNAL_LOGIN_REFUSED:
    case JOURNAL_OS_LOGIN_REFUSED:
        story->status_class = event->status_class;
        story->status_detail = event->status_detail;
        break;
    case JOURNAL_LOGIN_BROKEN:
        story->mutual_chap = event->mutual_chap;
        break;
    case JOURNAL_LOGIN:
        story->session_ended = false;
        story->last_command_ms = 0;
        break;
    default:
        break;
    }
}

/* The last command is known to be the last when something else comes, or nothing. */
static void note_last_command(struct journal *journal, struct journal_client *client)
{
    const struct journal_event event = {.step = JOURNAL_LAST_COMMAND,
                                        .bytes = client->now.read_bytes};
    note(journal, client, &event, client->now.last_command_ms);
}

void journal_record(struct journal *journal, const struct journal_identity *who,
                    const struct journal_event *event, uint64_t now_ms)
{
    struct journal_client *client = client_get(journal, who, now_ms);
    if (!client || event->step <= JOURNAL_NONE || event->step >= JOURNAL_STEP_COUNT)
        return;
    if (starts_over(&client->now, event->step))
        start_over(journal, client, now_ms);
    if (event->step >= JOURNAL_OS_LOGIN_REFUSED && client->now.step == JOURNAL_READ &&
        client->now.last_command_ms)
        note_last_command(journal, client);
    client->now.link_down = false;
    learn(&client->now, event);
    note(journal, client, event, now_ms);
    go_on(client);
    if (story_state(&client->now) == JOURNAL_STOPPED)
        stop(journal, client, now_ms);
}

void journal_session_progress(struct journal *journal, const struct journal_identity *who,
                              uint64_t read_bytes, uint64_t last_command_ms, bool ended,
                              uint64_t now_ms)
{
    struct journal_client *client = (struct journal_client *)journal_find(journal, who);
    if (!client || (client->now.step != JOURNAL_READ && client->now.step != JOURNAL_LAST_COMMAND))
        return;
    struct story *story = &client->now;
    story->read_bytes = max_of(story->read_bytes, read_bytes);
    story->last_command_ms = max_of(story->last_command_ms, last_command_ms);
    story->session_ended = ended;
    client->last_seen_ms = max_of(client->last_seen_ms, min_of(last_command_ms, now_ms));
    bool resumed = story->step == JOURNAL_LAST_COMMAND && last_command_ms > story->last_ms;
    if (resumed) { /* a person read the boot loader's menu */
        const struct journal_event event = {.step = JOURNAL_READ};
        note(journal, client, &event, now_ms);
    }
}

void journal_foreign_address(struct journal *journal, const struct journal_identity *who,
                             uint64_t now_ms)
{
    struct journal_client *client = client_get(journal, who, now_ms);
    if (client)
        client->now.offered_address = true;
}

void journal_foreign_server(struct journal *journal, const struct journal_identity *who,
                            const char *address, uint64_t now_ms)
{
    struct journal_client *client = client_get(journal, who, now_ms);
    if (client)
        copy_text(client->now.foreign, sizeof client->now.foreign, address);
}

/* A link that goes takes the client with it: no need to wait for its time. */
void journal_link_changed(struct journal *journal, const char *interface, bool up, uint64_t now_ms)
{
    struct journal_client *client;
    DL_FOREACH (journal->clients, client) {
        if (strcmp(client->interface, interface) != 0)
            continue;
        client->now.link_down = client->stopped.link_down = !up;
        if (!up && client->now.step && story_state(&client->now) == JOURNAL_BOOTING)
            stop(journal, client, now_ms);
    }
}

bool journal_isid_is_firmware(const uint8_t isid[6])
{
    static const uint8_t ipxe[] = {0x40, 0x00, 0x27, 0x23}; /* EN format, Fen Systems: 10019 */
    return memcmp(isid, ipxe, sizeof ipxe) == 0;
}

/* ── time ────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t idle_deadline_ms(const struct story *story)
{
    return story->step == JOURNAL_READ && story->last_command_ms ? story->last_command_ms + IDLE_MS
                                                                 : 0;
}

/* 0: nothing is due. */
static uint64_t deadline_ms(const struct journal_client *client)
{
    uint64_t idle_ms = idle_deadline_ms(&client->now);
    if (idle_ms)
        return idle_ms;
    return client->now.stop_noticed ? 0 : story_deadline_ms(&client->now);
}

void journal_expire(struct journal *journal, uint64_t now_ms)
{
    struct journal_client *client;
    DL_FOREACH (journal->clients, client) {
        uint64_t idle_ms = idle_deadline_ms(&client->now);
        if (idle_ms && now_ms >= idle_ms)
            note_last_command(journal, client);
        uint64_t due_ms = deadline_ms(client);
        if (due_ms && now_ms >= due_ms)
            stop(journal, client, now_ms);
    }
}

uint64_t journal_deadline_ms(const struct journal *journal)
{
    uint64_t next_ms = 0;
    const struct journal_client *client;
    DL_FOREACH (journal->clients, client) {
        uint64_t due_ms = deadline_ms(client);
        if (due_ms && (!next_ms || due_ms < next_ms))
            next_ms = due_ms;
    }
    return next_ms;
}
