/*
 * verifier - writes, reads, flushes and aborts over several sessions, and knows for every sector
 * what may be there: never less than what was acknowledged, after a power loss never less than what
 * was flushed, and never anything that nobody wrote. It speaks through libiscsi, so that an error
 * of ours cannot hide in a client of ours. --help lists the options.
 */
#include <endian.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "netboot-target/util/array.h"
#include "netboot-target/util/bytes.h"

#define SECTOR_BYTES           512u
#define SECTORS                16384u
#define CONNECTIONS_LIMIT      16u
#define DEPTH_LIMIT            64u
#define COMMAND_SECTORS        128u
#define MAGIC                  UINT64_C(0x6e62742d70726f6f) /* "nbt-proo" */
#define LOG_ENTRIES_AT         16u /* of the superblock of QEMU's blklogwrites */
#define DURABLE_SNAPSHOT_EVERY 16u
#define PATIENCE_MS            60000

enum { EXIT_BROKEN = 1, EXIT_NO_SESSION = 3, EXIT_LOST = 4 };

/* What is known of every sector. Generation 0 is what the disk held before: zeros. */
struct knowledge {
    uint64_t generation; /* the last one given out */
    uint64_t writes, reads, flushes, aborts, torn;
    uint64_t issued[SECTORS];  /* the newest that may be there */
    uint64_t acked[SECTORS];   /* the oldest that may be there */
    uint64_t durable[SECTORS]; /* the oldest that may be there after a power loss */
};

/* A line of the history: from so many entries of the disk's log on, this much is durable. */
struct snapshot {
    uint64_t log_entries;
    uint64_t durable[SECTORS];
};

enum action { ACTION_WRITE, ACTION_READ, ACTION_FLUSH };

struct slot {
    struct verifier *verifier;
    struct iscsi_context *session;
    struct scsi_task *task; /* NULL: free */
    enum action action;
    uint32_t first, count;
    uint64_t generation;
    bool fua, abort_wanted, aborting, settling, finished;
    uint8_t *data;                    /* of a write */
    uint64_t oldest[COMMAND_SECTORS]; /* of a read */
    bool disturbed[COMMAND_SECTORS];
    uint64_t *covered; /* of a flush: what had been acknowledged when it was sent */
};

struct verifier {
    const char *portal, *target, *initiator, *state, *log, *history, *image;
    int lun;
    unsigned connections, depth, seconds, flush_every, fua_every, abort_every, record;
    unsigned write_through; /* 1: the LUN has no write cache */
    struct knowledge *known;
    struct iscsi_context *sessions[CONNECTIONS_LIMIT];
    struct slot *slots;
    bool busy[SECTORS];
    uint64_t random, commands, durable_writes;
    uint32_t last_write_end; /* a sector */
    unsigned sectors;        /* the first so many are worked on */
    unsigned in_flight;
    bool lost, stopping;
    unsigned violations;
};

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("verifier: ", stdout);
    vfprintf(stdout, format, arguments);
    fputc('\n', stdout);
    va_end(arguments);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ── what a sector holds ─────────────────────────────────────────────────────────────────────── */

static void fill_sector(uint8_t *to, uint64_t sector, uint64_t generation)
{
    uint64_t state = (sector + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ generation << 20;
    store_be64(to, MAGIC);
    store_be64(to + 8, sector);
    store_be64(to + 16, generation);
    for (unsigned at = 24; at < SECTOR_BYTES; at += 8)
        store_be64(to + at, next_random(&state));
}

/* False: nobody wrote this. */
static bool read_sector(const uint8_t *from, uint64_t sector, uint64_t *ret_generation)
{
    static const uint8_t zeros[SECTOR_BYTES];
    uint8_t expected[SECTOR_BYTES];
    uint64_t generation = 0;
    if (load_be64(from) != MAGIC) {
        *ret_generation = 0;
        return memcmp(from, zeros, SECTOR_BYTES) == 0;
    }
    generation = load_be64(from + 16);
    fill_sector(expected, sector, generation);
    *ret_generation = generation;
    return memcmp(from, expected, SECTOR_BYTES) == 0;
}

static void judge_sector(struct verifier *verifier, const uint8_t *from, uint64_t sector,
                         uint64_t oldest, uint64_t newest, const char *when)
{
    uint64_t found;
    if (!read_sector(from, sector, &found))
        complain("sector %llu %s: holds what nobody wrote (generation %llu?)",
                 (unsigned long long)sector, when, (unsigned long long)found);
    else if (found < oldest || found > newest)
        complain("sector %llu %s: generation %llu, expected %llu to %llu",
                 (unsigned long long)sector, when, (unsigned long long)found,
                 (unsigned long long)oldest, (unsigned long long)newest);
    else
        return;
    verifier->violations++;
}

/* ── the disk's log, for power loss ──────────────────────────────────────────────────────────── */

/* How many entries the log has now; they are counted with every flush. */
static uint64_t log_entries(const struct verifier *verifier)
{
    uint64_t count;
    int log = open(verifier->log, O_RDONLY | O_CLOEXEC);
    if (log < 0 || pread(log, &count, sizeof count, LOG_ENTRIES_AT) != sizeof count) {
        complain("%s cannot be read", verifier->log);
        exit(2);
    }
    close(log);
    return le64toh(count);
}

static void record_durable(const struct verifier *verifier)
{
    if (!verifier->log || !verifier->history)
        return;
    struct snapshot snapshot = {.log_entries = log_entries(verifier)};
    memcpy(snapshot.durable, verifier->known->durable, sizeof snapshot.durable);
    int history = open(verifier->history, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (history < 0 || write(history, &snapshot, sizeof snapshot) != sizeof snapshot) {
        complain("%s cannot be written", verifier->history);
        exit(2);
    }
    close(history);
}

/* ── answers ─────────────────────────────────────────────────────────────────────────────────── */

static void set_busy(struct verifier *verifier, const struct slot *slot, bool busy)
{
    memset(verifier->busy + slot->first, busy, slot->count);
}

static void free_slot(struct slot *slot)
{
    scsi_free_scsi_task(slot->task);
    slot->task = NULL;
    slot->abort_wanted = slot->aborting = slot->settling = slot->finished = false;
    slot->verifier->in_flight--;
}

static void finish_write(struct slot *slot)
{
    struct knowledge *known = slot->verifier->known;
    bool durable = slot->fua || slot->verifier->write_through;
    for (uint32_t i = slot->first; i < slot->first + slot->count; i++) {
        known->acked[i] = slot->generation;
        if (durable)
            known->durable[i] = slot->generation;
    }
    set_busy(slot->verifier, slot, false);
    if (durable && ++slot->verifier->durable_writes % DURABLE_SNAPSHOT_EVERY == 0)
        record_durable(slot->verifier);
}

static void finish_flush(struct slot *slot)
{
    struct knowledge *known = slot->verifier->known;
    for (uint32_t i = 0; i < SECTORS; i++)
        known->durable[i] = max_of(known->durable[i], slot->covered[i]);
    record_durable(slot->verifier);
}

static void finish_read(struct slot *slot)
{
    struct verifier *verifier = slot->verifier;
    struct knowledge *known = verifier->known;
    const uint8_t *data = slot->task->datain.data;
    if (slot->task->datain.size != (int)(slot->count * SECTOR_BYTES)) {
        complain("a read brought %d of %u bytes", slot->task->datain.size,
                 slot->count * SECTOR_BYTES);
        verifier->violations++;
        return;
    }
    for (uint32_t i = 0; i < slot->count; i++, data += SECTOR_BYTES) {
        uint64_t found, sector = slot->first + i;
        bool disturbed =
            slot->disturbed[i] || verifier->busy[sector] || known->acked[sector] != slot->oldest[i];
        if (!slot->settling && disturbed && !read_sector(data, sector, &found))
            known->torn++; /* a write ran meanwhile */
        else
            judge_sector(verifier, data, sector, slot->oldest[i], known->issued[sector],
                         slot->settling ? "after an abort" : "in a read");
        if (slot->settling && read_sector(data, sector, &found))
            known->acked[sector] = known->issued[sector] = found; /* from now on it is that */
    }
    if (slot->settling)
        set_busy(verifier, slot, false);
}

static void send_read(struct verifier *verifier, struct slot *slot);

/* The abort was answered: what is there now has to stay. */
static void settle(struct slot *slot)
{
    struct verifier *verifier = slot->verifier;
    free_slot(slot);
    slot->settling = true;
    send_read(verifier, slot);
}

static void on_done(struct iscsi_context *session, int status, void *data, void *context)
{
    struct slot *slot = context;
    struct verifier *verifier = slot->verifier;
    (void)session;
    (void)data;
    if (slot->aborting) { /* on_aborted() goes on */
        if (status == SCSI_STATUS_GOOD)
            slot->finished = true;
        return;
    }
    if (status == SCSI_STATUS_CANCELLED || verifier->lost) {
        verifier->lost = true; /* unknown: its sectors stay busy */
    } else if (status == SCSI_STATUS_GOOD) {
        static void (*const finish[])(struct slot *) = {[ACTION_WRITE] = finish_write,
                                                        [ACTION_READ] = finish_read,
                                                        [ACTION_FLUSH] = finish_flush};
        finish[slot->action](slot);
    } else if (slot->task->sense.key != SCSI_SENSE_UNIT_ATTENTION) {
        complain("a command ended with status %#x sense %x/%04x", (unsigned)status,
                 (unsigned)slot->task->sense.key, (unsigned)slot->task->sense.ascq);
        verifier->violations++;
    } else if (slot->action == ACTION_WRITE) {
        set_busy(verifier, slot, false); /* it was not carried out */
        for (uint32_t i = slot->first; i < slot->first + slot->count; i++)
            verifier->known->issued[i] = verifier->known->acked[i];
    }
    free_slot(slot);
}

static void on_aborted(struct iscsi_context *session, int status, void *data, void *context)
{
    struct slot *slot = context;
    uint32_t response = data ? *(const uint32_t *)data : UINT32_MAX;
    if (status != SCSI_STATUS_GOOD) {
        slot->verifier->lost = true;
        return;
    }
    /* Function complete, or the task had ended already: RFC 7143 §11.6.1. */
    if (response > 1) {
        complain("an abort was answered with %u", response);
        slot->verifier->violations++;
    }
    if (!slot->finished)
        iscsi_scsi_cancel_task(session, slot->task);
    slot->verifier->known->aborts++;
    if (slot->finished)
        finish_write(slot), free_slot(slot);
    else
        settle(slot);
}

/* ── commands ────────────────────────────────────────────────────────────────────────────────── */

static struct iscsi_context *any_session(struct verifier *verifier)
{
    return verifier->sessions[next_random(&verifier->random) % verifier->connections];
}

static void sent(struct verifier *verifier, struct slot *slot)
{
    verifier->in_flight++;
    if (!slot->task) {
        verifier->in_flight--;
        verifier->lost = true;
    }
}

static void choose_range(struct verifier *verifier, struct slot *slot)
{
    static const uint32_t most[] = {1, 8, 8, 8, 16, 64, COMMAND_SECTORS};
    uint32_t limit = most[next_random(&verifier->random) % ARRAY_SIZE(most)];
    slot->count = 1 + (uint32_t)(next_random(&verifier->random) % limit);
    slot->first =
        (uint32_t)(next_random(&verifier->random) % (verifier->sectors - slot->count + 1));
}

static void send_write(struct verifier *verifier, struct slot *slot)
{
    struct knowledge *known = verifier->known;
    choose_range(verifier, slot);
    /* Writes that follow each other may become one. */
    if (next_random(&verifier->random) % 2 &&
        verifier->last_write_end + slot->count <= verifier->sectors)
        slot->first = verifier->last_write_end;
    if (memchr(verifier->busy + slot->first, true, slot->count))
        return; /* one write at a time to a sector, so that there is an order */
    verifier->last_write_end = slot->first + slot->count;
    slot->action = ACTION_WRITE;
    slot->generation = ++known->generation;
    slot->fua = verifier->fua_every && known->writes % verifier->fua_every == 0;
    set_busy(verifier, slot, true);
    for (uint32_t i = 0; i < slot->count; i++) {
        fill_sector(slot->data + (size_t)i * SECTOR_BYTES, slot->first + i, slot->generation);
        known->issued[slot->first + i] = slot->generation;
    }
    known->writes++;
    slot->session = any_session(verifier);
    slot->task = iscsi_write16_task(slot->session, verifier->lun, slot->first, slot->data,
                                    slot->count * SECTOR_BYTES, SECTOR_BYTES, 0, 0, slot->fua, 0, 0,
                                    on_done, slot);
    sent(verifier, slot);
    slot->abort_wanted = verifier->abort_every && known->writes % verifier->abort_every == 0;
}

/* Not in one go with the write: libiscsi sends immediate requests first, and an abort that comes
 * before its task aborts nothing (RFC 7143 §11.6.1). */
static void send_abort(struct verifier *verifier, struct slot *slot)
{
    if (iscsi_which_events(slot->session) & POLLOUT)
        return;
    slot->abort_wanted = false;
    slot->aborting = true;
    if (iscsi_task_mgmt_abort_task_async(slot->session, slot->task, on_aborted, slot))
        verifier->lost = true;
}

static void send_read(struct verifier *verifier, struct slot *slot)
{
    struct knowledge *known = verifier->known;
    if (!slot->settling)
        choose_range(verifier, slot);
    slot->action = ACTION_READ;
    for (uint32_t i = 0; i < slot->count; i++) {
        slot->oldest[i] = known->acked[slot->first + i];
        slot->disturbed[i] = verifier->busy[slot->first + i];
    }
    known->reads++;
    slot->session = any_session(verifier);
    slot->task =
        iscsi_read16_task(slot->session, verifier->lun, slot->first, slot->count * SECTOR_BYTES,
                          SECTOR_BYTES, 0, 0, 0, 0, 0, on_done, slot);
    sent(verifier, slot);
}

static void send_flush(struct verifier *verifier, struct slot *slot)
{
    slot->action = ACTION_FLUSH;
    memcpy(slot->covered, verifier->known->acked, sizeof verifier->known->acked);
    verifier->known->flushes++;
    slot->session = any_session(verifier);
    slot->task =
        iscsi_synchronizecache16_task(slot->session, verifier->lun, 0, 0, 0, 0, on_done, slot);
    sent(verifier, slot);
}

static void send_next(struct verifier *verifier, struct slot *slot)
{
    verifier->commands++;
    if (verifier->flush_every && verifier->commands % verifier->flush_every == 0)
        send_flush(verifier, slot);
    else if (next_random(&verifier->random) % 5 < 3)
        send_write(verifier, slot);
    else
        send_read(verifier, slot);
}

/* ── sessions ────────────────────────────────────────────────────────────────────────────────── */

static struct iscsi_context *connect_session(const struct verifier *verifier, unsigned number)
{
    struct iscsi_context *session = iscsi_create_context(verifier->initiator);
    if (!session)
        return NULL;
    iscsi_set_targetname(session, verifier->target);
    iscsi_set_session_type(session, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(session, ISCSI_HEADER_DIGEST_NONE);
    iscsi_set_isid_random(session, (uint32_t)getpid() << 4 | number, 0);
    iscsi_set_noautoreconnect(session, 1);
    iscsi_set_timeout(session, PATIENCE_MS / 1000);
    if (iscsi_full_connect_sync(session, verifier->portal, verifier->lun) == 0)
        return session;
    complain("session %u: %s", number, iscsi_get_error(session));
    iscsi_destroy_context(session);
    return NULL;
}

static bool connect_all(struct verifier *verifier)
{
    for (unsigned i = 0; i < verifier->connections; i++) {
        verifier->sessions[i] = connect_session(verifier, i);
        if (!verifier->sessions[i])
            return false;
    }
    return true;
}

static void disconnect_all(struct verifier *verifier)
{
    for (unsigned i = 0; i < verifier->connections; i++)
        if (verifier->sessions[i]) {
            if (!verifier->lost)
                iscsi_logout_sync(verifier->sessions[i]);
            iscsi_destroy_context(verifier->sessions[i]);
        }
}

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void serve(struct verifier *verifier)
{
    struct pollfd polled[CONNECTIONS_LIMIT];
    for (unsigned i = 0; i < verifier->connections; i++)
        polled[i] = (struct pollfd){.fd = iscsi_get_fd(verifier->sessions[i]),
                                    .events = (short)iscsi_which_events(verifier->sessions[i])};
    if (poll(polled, verifier->connections, 1000) < 0)
        return;
    for (unsigned i = 0; i < verifier->connections && !verifier->lost; i++)
        if (iscsi_service(verifier->sessions[i], polled[i].revents) < 0)
            verifier->lost = true;
}

/* ── the commands of the command line ────────────────────────────────────────────────────────── */

static int load(struct verifier *verifier)
{
    uint64_t end_ms = now_ms() + verifier->seconds * UINT64_C(1000);
    if (!connect_all(verifier))
        return EXIT_NO_SESSION;
    while (!verifier->lost && !verifier->violations && (now_ms() < end_ms || verifier->in_flight) &&
           now_ms() < end_ms + PATIENCE_MS) {
        for (unsigned i = 0; i < verifier->depth && now_ms() < end_ms && !verifier->lost; i++)
            if (!verifier->slots[i].task)
                send_next(verifier, &verifier->slots[i]);
            else if (verifier->slots[i].abort_wanted)
                send_abort(verifier, &verifier->slots[i]);
        serve(verifier);
    }
    if (!verifier->lost && !verifier->violations && verifier->in_flight) {
        complain("%u commands were never answered", verifier->in_flight);
        verifier->violations++;
    }
    const struct knowledge *known = verifier->known;
    printf("%s writes=%llu reads=%llu flushes=%llu aborts=%llu torn=%llu\n",
           verifier->lost ? "lost" : "ended", (unsigned long long)known->writes,
           (unsigned long long)known->reads, (unsigned long long)known->flushes,
           (unsigned long long)known->aborts, (unsigned long long)known->torn);
    fflush(stdout);
    if (verifier->lost) /* what was in flight is unknown, not cancelled */
        _exit(verifier->violations ? EXIT_BROKEN : EXIT_LOST);
    disconnect_all(verifier);
    return verifier->violations != 0;
}

/* Every sector over the wire; what was in flight when a session was lost is settled by what is
 * there.
 */
static int check(struct verifier *verifier)
{
    struct knowledge *known = verifier->known;
    verifier->connections = 1;
    if (!connect_all(verifier))
        return EXIT_NO_SESSION;
    for (uint32_t first = 0; first < SECTORS; first += COMMAND_SECTORS) {
        struct scsi_task *task =
            iscsi_read16_sync(verifier->sessions[0], verifier->lun, first,
                              COMMAND_SECTORS * SECTOR_BYTES, SECTOR_BYTES, 0, 0, 0, 0, 0);
        if (!task || task->status != SCSI_STATUS_GOOD ||
            task->datain.size != (int)(COMMAND_SECTORS * SECTOR_BYTES)) {
            complain("sectors from %u cannot be read: %s", first,
                     iscsi_get_error(verifier->sessions[0]));
            return EXIT_NO_SESSION;
        }
        for (uint32_t i = 0; i < COMMAND_SECTORS; i++) {
            const uint8_t *data = task->datain.data + (size_t)i * SECTOR_BYTES;
            uint64_t found, sector = first + i;
            judge_sector(verifier, data, sector, known->acked[sector], known->issued[sector],
                         "at rest");
            if (read_sector(data, sector, &found))
                known->acked[sector] = known->issued[sector] = found;
        }
        scsi_free_scsi_task(task);
    }
    disconnect_all(verifier);
    printf("checked %u sectors, %u wrong\n", SECTORS, verifier->violations);
    return verifier->violations != 0;
}

/* An image as it would be after a power loss, against one line of the history. */
static int judge(struct verifier *verifier)
{
    struct snapshot snapshot;
    uint8_t data[SECTOR_BYTES];
    int history = open(verifier->history, O_RDONLY | O_CLOEXEC);
    int image = open(verifier->image, O_RDONLY | O_CLOEXEC);
    if (history < 0 || image < 0 ||
        pread(history, &snapshot, sizeof snapshot, (off_t)(verifier->record * sizeof snapshot)) !=
            sizeof snapshot) {
        complain("no line %u in the history, or no image", verifier->record);
        return 2;
    }
    for (uint64_t sector = 0; sector < SECTORS; sector++) {
        if (pread(image, data, sizeof data, (off_t)(sector * SECTOR_BYTES)) != sizeof data)
            return 2;
        judge_sector(verifier, data, sector, snapshot.durable[sector], verifier->known->generation,
                     "after a power loss");
    }
    close(history);
    close(image);
    return verifier->violations != 0;
}

/* The positions of the history's lines in the disk's log. */
static int list(struct verifier *verifier)
{
    struct snapshot snapshot;
    int history = open(verifier->history, O_RDONLY | O_CLOEXEC);
    while (history >= 0 && read(history, &snapshot, sizeof snapshot) == sizeof snapshot)
        printf("%llu\n", (unsigned long long)snapshot.log_entries);
    return history < 0 ? 2 : 0;
}

static const struct {
    const char *name;
    int (*run)(struct verifier *verifier);
} commands[] = {
    {"load",  load },
    {"check", check},
    {"judge", judge},
    {"list",  list },
};

/* clang-format off */
static const struct option options[] = {
    {"portal",      required_argument, NULL, 'p'},
    {"target",      required_argument, NULL, 't'},
    {"initiator",   required_argument, NULL, 'i'},
    {"lun",         required_argument, NULL, 'l'},
    {"state",       required_argument, NULL, 's'},
    {"connections", required_argument, NULL, 'n'},
    {"depth",       required_argument, NULL, 'd'},
    {"seconds",     required_argument, NULL, 'S'},
    {"flush-every", required_argument, NULL, 'f'},
    {"fua-every",   required_argument, NULL, 'u'},
    {"abort-every", required_argument, NULL, 'a'},
    {"write-through", required_argument, NULL, 'w'},
    {"sectors", required_argument, NULL, 'c'},
    {"log",         required_argument, NULL, 'L'},
    {"history",     required_argument, NULL, 'H'},
    {"image",       required_argument, NULL, 'I'},
    {"record",      required_argument, NULL, 'r'},
    {"help",        no_argument,       NULL, 'h'},
    {0},
};
/* clang-format on */

static const char usage[] =
    "usage: verifier load|check|judge|list --state FILE [options]\n"
    "  load    works until --seconds are over or a session is lost\n"
    "  check   reads every sector over the wire and judges it\n"
    "  judge   judges --image against line --record of --history\n"
    "  list    prints where the lines of --history are in --log\n"
    "  --portal HOST:PORT --target NAME --initiator NAME --lun N\n"
    "  --connections N (4)  --depth N (32, of all)  --seconds N (5)\n"
    "  --flush-every N commands (64)  --fua-every N writes (16)  --abort-every N writes (never)\n"
    "  --write-through 0|1 (0)  1: each write that is acknowledged has to be durable\n"
    "  --sectors N, from 128 (16384)  works on the first N of them\n"
    "  --log FILE      the log of the disk's blklogwrites, for --history\n"
    "exit code: 0 as promised, 1 a promise is broken, 2 wrong usage, 3 no session,\n"
    "  4 as promised until a session was lost, or an abort was not answered\n";

static unsigned number(const char *text, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || end == text || value > most) {
        complain("'%s' is not a number up to %u", text, most);
        exit(2);
    }
    return (unsigned)value;
}

static void take_option(struct verifier *verifier, int option)
{
    const struct {
        int option;
        const char **text;
        unsigned *value;
        unsigned most;
    } rows[] = {
        {'p', &verifier->portal,    NULL,                       0                },
        {'t', &verifier->target,    NULL,                       0                },
        {'i', &verifier->initiator, NULL,                       0                },
        {'s', &verifier->state,     NULL,                       0                },
        {'L', &verifier->log,       NULL,                       0                },
        {'H', &verifier->history,   NULL,                       0                },
        {'I', &verifier->image,     NULL,                       0                },
        {'l', NULL,                 (unsigned *)&verifier->lun, 255              },
        {'n', NULL,                 &verifier->connections,     CONNECTIONS_LIMIT},
        {'d', NULL,                 &verifier->depth,           DEPTH_LIMIT      },
        {'S', NULL,                 &verifier->seconds,         100000           },
        {'f', NULL,                 &verifier->flush_every,     1000000          },
        {'u', NULL,                 &verifier->fua_every,       1000000          },
        {'a', NULL,                 &verifier->abort_every,     1000000          },
        {'w', NULL,                 &verifier->write_through,   1                },
        {'c', NULL,                 &verifier->sectors,         SECTORS          },
        {'r', NULL,                 &verifier->record,          1000000          },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].option != option)
            continue;
        if (rows[i].text)
            *rows[i].text = optarg;
        else
            *rows[i].value = number(optarg, rows[i].most);
        return;
    }
    fputs(usage, option == 'h' ? stdout : stderr);
    exit(option == 'h' ? 0 : 2);
}

static void open_state(struct verifier *verifier)
{
    int file = open(verifier->state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof *verifier->known))
        exit(2);
    verifier->known =
        mmap(NULL, sizeof *verifier->known, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (verifier->known == MAP_FAILED)
        exit(2);
}

static void prepare_slots(struct verifier *verifier)
{
    verifier->slots = calloc(verifier->depth, sizeof *verifier->slots);
    for (unsigned i = 0; verifier->slots && i < verifier->depth; i++) {
        struct slot *slot = &verifier->slots[i];
        slot->verifier = verifier;
        slot->data = malloc((size_t)COMMAND_SECTORS * SECTOR_BYTES);
        slot->covered = malloc(sizeof verifier->known->acked);
        if (!slot->data || !slot->covered)
            exit(2);
    }
}

int main(int count, char **arguments)
{
    static struct verifier verifier = {.initiator = "iqn.2026-11.local.netboot-target:verifier",
                                       .connections = 4,
                                       .depth = 32,
                                       .seconds = 5,
                                       .flush_every = 64,
                                       .fua_every = 16,
                                       .sectors = SECTORS};
    for (int option; (option = getopt_long(count, arguments, "h", options, NULL)) != -1;)
        take_option(&verifier, option);
    verifier.random = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        if (optind + 1 != count || strcmp(arguments[optind], commands[i].name) || !verifier.state ||
            !verifier.connections || !verifier.depth || verifier.sectors < COMMAND_SECTORS)
            continue;
        signal(SIGPIPE, SIG_IGN); /* a daemon that is killed while we write to it */
        open_state(&verifier);
        prepare_slots(&verifier);
        return commands[i].run(&verifier);
    }
    fputs(usage, stderr);
    return 2;
}
