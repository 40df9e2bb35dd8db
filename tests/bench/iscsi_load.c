/*
 * iscsi_load - a lean iSCSI load generator: keeps a number of commands in flight on one or several
 * sessions and prints one line of key=value results. --help lists the options.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "histogram.h"
#include "netboot-target/util/array.h"
#include "netboot-target/util/bytes.h"

struct job {
    struct client_options session;
    unsigned sessions;
    unsigned depth;
    size_t bytes; /* of one command */
    double seconds;
    unsigned flush_every; /* commands; 0: never */
    uint64_t begin_bytes; /* the part of the medium that is used */
    uint64_t span_bytes;
    bool write;
    bool random;
    bool idle;
};

struct slot {
    uint64_t began_ns;
    size_t received;
    size_t wanted;
};

struct load {
    const struct job *job;
    struct client client;
    struct slot *slots;
    uint32_t *free_slots;
    unsigned free_count;
    unsigned in_flight;
    uint32_t command_blocks;
    uint64_t first_block;
    uint64_t positions; /* places where a command may begin */
    uint64_t next;
    uint64_t sent;
    uint64_t random_state;
};

static struct histogram latencies;
static uint64_t deadline_ns;
static uint8_t *pattern;

static const struct option options[] = {
    {"portal",           required_argument, NULL, 'p'},
    {"target",              required_argument, NULL, 't'},
    {"initiator",                  required_argument, NULL, 'i'},
    {"lun",required_argument, NULL, 'l'},
    {"write",               no_argument, NULL, 'w'},
    {"random",        no_argument, NULL, 'r'},
    {"block",              required_argument, NULL, 'b'},
    {"depth",                  required_argument, NULL, 'd'},
    {"sessions",              required_argument, NULL, 'n'},
    {"seconds",               required_argument, NULL, 's'},
    {"flush-every",            required_argument, NULL, 'f'},
    {"begin",              required_argument, NULL, 'o'},
    {"span",                  required_argument, NULL, 'x'},
    {"header-digest",no_argument, NULL, 'H'},
    {"data-digest",               no_argument, NULL, 'D'},
    {"idle",            no_argument, NULL, 'I'},
    {"help",              no_argument, NULL, 'h'},
    {0                 }
};

static const char usage[] = "usage: iscsi_load --portal HOST:PORT --target NAME [options]\n"
                            "  --lun N            logical unit (0)\n"
                            "  --initiator NAME   initiator name of all sessions\n"
                            "  --write            WRITE (16) instead of READ (16)\n"
                            "  --random           random places instead of sequential ones\n"
                            "  --block BYTES      of one command (4096)\n"
                            "  --depth N          commands in flight per session (32)\n"
                            "  --sessions N       sessions with one connection each (1)\n"
                            "  --seconds S        how long (3)\n"
                            "  --flush-every N    every Nth command is a SYNCHRONIZE CACHE (16)\n"
                            "  --begin BYTES      first byte used (0)\n"
                            "  --span BYTES       how many bytes from there are used (all)\n"
                            "  --header-digest, --data-digest   CRC32C\n"
                            "  --idle             log in, then only answer the target's NOP-Ins\n";

/* "host:port" or "[v6]:port"; cuts the text in place. */
static void parse_portal(char *text, struct client_options *session)
{
    char *colon = strrchr(text, ':');
    if (!colon)
        fail("a portal is HOST:PORT");
    *colon = 0;
    session->port = colon + 1;
    if (text[0] == '[' && colon > text + 1 && colon[-1] == ']') {
        colon[-1] = 0;
        text++;
    }
    session->host = text;
}

static uint64_t parse_number(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    uint64_t number = strtoull(text, &end, 0);
    if (*end || end == text || number < least || number > most)
        fail("'%s' is not a number from %llu to %llu", text, (unsigned long long)least,
             (unsigned long long)most);
    return number;
}

static void take_option(struct job *job, int option, char *value)
{
    switch (option) {
    case 'p':
        parse_portal(value, &job->session);
        break;
    case 't':
        job->session.target = value;
        break;
    case 'i':
        job->session.initiator = value;
        break;
    case 'l':
        job->session.lun = (uint16_t)parse_number(value, 0, 255);
        break;
    case 'w':
        job->write = true;
        break;
    case 'r':
        job->random = true;
        break;
    case 'b':
        job->bytes = parse_number(value, 512, 8 << 20);
        break;
    case 'd':
        job->depth = (unsigned)parse_number(value, 1, 1024);
        break;
    case 'n':
        job->sessions = (unsigned)parse_number(value, 1, 16384);
        break;
    case 's':
        job->seconds = strtod(value, NULL);
        break;
    case 'f':
        job->flush_every = (unsigned)parse_number(value, 1, UINT32_MAX);
        break;
    case 'o':
        job->begin_bytes = parse_number(value, 0, UINT64_MAX);
        break;
    case 'x':
        job->span_bytes = parse_number(value, 1, UINT64_MAX);
        break;
    case 'H':
        job->session.header_digest = true;
        break;
    case 'D':
        job->session.data_digest = true;
        break;
    case 'I':
        job->idle = true;
        break;
    default:
        fputs(usage, option == 'h' ? stdout : stderr);
        exit(option == 'h' ? 0 : 2);
    }
}

static struct job parse_arguments(int count, char **arguments)
{
    struct job job = {.session = {.initiator = "iqn.2026-11.local.netboot-target:load"},
                      .sessions = 1,
                      .depth = 32,
                      .bytes = 4096,
                      .seconds = 3};
    for (int option; (option = getopt_long(count, arguments, "h", options, NULL)) != -1;)
        take_option(&job, option, optarg);
    if (!job.session.host || !job.session.target || optind != count) {
        fputs(usage, stderr);
        exit(2);
    }
    return job;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void prepare(struct load *load, const struct job *job, unsigned number)
{
    struct client *client = &load->client;
    client_login(client, &job->session, number);
    client_read_capacity(client);
    uint64_t medium_bytes = client->blocks * client->block_bytes;
    uint64_t span = job->span_bytes ? job->span_bytes : medium_bytes - job->begin_bytes;
    if (job->begin_bytes > medium_bytes || span > medium_bytes - job->begin_bytes ||
        job->bytes % client->block_bytes || job->begin_bytes % client->block_bytes)
        fail("the medium has %llu blocks of %u bytes: begin, span and block do not fit it",
             (unsigned long long)client->blocks, client->block_bytes);
    load->job = job;
    load->command_blocks = (uint32_t)(job->bytes / client->block_bytes);
    load->first_block = job->begin_bytes / client->block_bytes;
    load->positions = span / job->bytes;
    load->random_state = 88172645463325252ull + number;
    load->next = load->positions / job->sessions * number; /* sequential: each its own part */
    load->slots = calloc(job->depth, sizeof *load->slots);
    load->free_slots = calloc(job->depth, sizeof *load->free_slots);
    if (!load->slots || !load->free_slots || !load->positions)
        fail("no room for the load");
    for (uint32_t slot = 0; slot < job->depth; slot++)
        load->free_slots[load->free_count++] = slot;
}

static uint64_t next_block(struct load *load)
{
    uint64_t position = load->job->random ? next_random(&load->random_state) : load->next++;
    return load->first_block + position % load->positions * load->command_blocks;
}

/* How much data travels with the command, and how much behind it without being asked for. */
static void split_burst(const struct load *load, size_t *ret_immediate, size_t *ret_unsolicited)
{
    const struct client *client = &load->client;
    size_t burst = load->job->write ? min_of(client->first_burst_bytes, load->job->bytes) : 0;
    *ret_immediate = client->immediate_data ? min_of(burst, client->segment_bytes) : 0;
    *ret_unsolicited = client->initial_r2t ? 0 : burst - *ret_immediate;
}

static uint8_t *begin_command(struct load *load, uint64_t time_ns, size_t wanted, uint8_t flags,
                              uint32_t *ret_slot)
{
    uint32_t slot = load->free_slots[--load->free_count];
    load->slots[slot] = (struct slot){.began_ns = time_ns, .wanted = wanted};
    load->in_flight++;
    uint8_t *header = client_begin(&load->client, OP_SCSI_COMMAND);
    header[1] = flags | TASK_SIMPLE;
    store_be32(header + 16, slot);
    store_be32(header + 24, load->client.command_sn++);
    *ret_slot = slot;
    return header;
}

static void send_flush(struct load *load, uint64_t time_ns)
{
    uint32_t slot;
    uint8_t *header = begin_command(load, time_ns, 0, FLAG_FINAL, &slot);
    header[32] = SYNCHRONIZE_CACHE_16; /* of everything: block 0, count 0 */
    client_end(&load->client, header, NULL, 0);
}

static void send_transfer(struct load *load, uint64_t time_ns)
{
    const struct job *job = load->job;
    size_t immediate, unsolicited;
    split_burst(load, &immediate, &unsolicited);
    uint8_t flags = (job->write ? FLAG_WRITE : FLAG_READ) | (unsolicited ? 0 : FLAG_FINAL);
    uint32_t slot;
    uint8_t *header = begin_command(load, time_ns, job->write ? 0 : job->bytes, flags, &slot);
    store_be32(header + 20, (uint32_t)job->bytes);
    header[32] = job->write ? WRITE_16 : READ_16;
    store_be64(header + 34, next_block(load));
    store_be32(header + 42, load->command_blocks);
    client_end(&load->client, header, pattern, immediate);
    if (unsolicited)
        client_send_data(&load->client, slot, NO_TAG, pattern, immediate, unsolicited);
}

static void send_command(struct load *load, uint64_t time_ns)
{
    load->sent++;
    if (load->job->flush_every && load->sent % load->job->flush_every == 0)
        send_flush(load, time_ns);
    else
        send_transfer(load, time_ns);
}

static void fill(struct load *load)
{
    struct client *client = &load->client;
    uint64_t time_ns = now_ns();
    if (time_ns >= deadline_ns)
        return;
    while (load->free_count && (int32_t)(client->max_command_sn - client->command_sn) >= 0)
        send_command(load, time_ns);
    client_flush(client);
}

static void finish(struct load *load, uint32_t slot, const uint8_t *header)
{
    if (header[3])
        fail("command failed with status %02x", header[3]);
    if (load->slots[slot].received != load->slots[slot].wanted)
        fail("a command brought %zu of %zu bytes", load->slots[slot].received,
             load->slots[slot].wanted);
    histogram_add(&latencies, now_ns() - load->slots[slot].began_ns);
    load->free_slots[load->free_count++] = slot;
    load->in_flight--;
}

static void on_pdu(struct client *client, const uint8_t *header, void *context)
{
    struct load *load = context;
    uint8_t opcode = header[0] & 0x3f;
    uint32_t slot = load_be32(header + 16);
    client_note(client, header);
    if (opcode == OP_NOP_IN)
        return;
    if (slot >= load->job->depth)
        fail("an answer to a task that was never sent");
    if (opcode == OP_DATA_IN)
        load->slots[slot].received += load_be24(header + 5);
    if (opcode == OP_SCSI_RESPONSE || (opcode == OP_DATA_IN && header[1] & FLAG_STATUS))
        finish(load, slot, header);
    if (opcode == OP_R2T) {
        size_t offset = load_be32(header + 40), length = load_be32(header + 44);
        if (offset > load->job->bytes || length > load->job->bytes - offset)
            fail("an R2T for more than the command has");
        client_send_data(client, slot, load_be32(header + 20), pattern, offset, length);
    }
}

static void turn(struct load *load)
{
    client_receive(&load->client, on_pdu, load);
    if (load->client.out_pdus)
        client_flush(&load->client);
    fill(load);
}

static bool any_in_flight(const struct load *loads, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (loads[i].in_flight)
            return true;
    return false;
}

static int watch_all(struct load *loads, unsigned count)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll: %s", strerror(errno));
    for (unsigned i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &loads[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, loads[i].client.socket, &event))
            fail("epoll: %s", strerror(errno));
    }
    return epoll;
}

static void run(struct load *loads, unsigned count)
{
    int epoll = count > 1 ? watch_all(loads, count) : -1;
    struct epoll_event events[64];
    for (unsigned i = 0; i < count; i++)
        fill(&loads[i]);
    while (any_in_flight(loads, count)) {
        if (epoll < 0) {
            turn(loads);
            continue;
        }
        int ready = epoll_wait(epoll, events, ARRAY_SIZE(events), -1);
        for (int i = 0; i < ready; i++)
            turn(events[i].data.ptr);
    }
}

static void on_idle_pdu(struct client *client, const uint8_t *header, void *context)
{
    (void)context;
    client_note(client, header);
}

static void stay_idle(struct load *loads, unsigned count)
{
    int epoll = watch_all(loads, count);
    printf("idle\n");
    fflush(stdout);
    for (uint64_t now = now_ns(); now < deadline_ns; now = now_ns()) {
        struct epoll_event event;
        int left_ms = (int)((deadline_ns - now) / 1000000) + 1;
        if (epoll_wait(epoll, &event, 1, left_ms) == 1)
            client_receive(&((struct load *)event.data.ptr)->client, on_idle_pdu, NULL);
    }
}

static void print_results(const struct job *job, double seconds)
{
    double commands = (double)latencies.total;
    printf("ios=%.0f seconds=%.3f iops=%.0f mbps=%.1f p50_us=%.1f p99_us=%.1f p999_us=%.1f "
           "max_us=%.1f\n",
           commands, seconds, commands / seconds, commands * (double)job->bytes / seconds / 1e6,
           (double)histogram_share(&latencies, 0.5) / 1e3,
           (double)histogram_share(&latencies, 0.99) / 1e3,
           (double)histogram_share(&latencies, 0.999) / 1e3, (double)latencies.largest / 1e3);
}

int main(int count, char **arguments)
{
    struct job job = parse_arguments(count, arguments);
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct load *loads = calloc(job.sessions, sizeof *loads);
    pattern = malloc(job.bytes);
    if (!loads || !pattern)
        fail("out of memory");
    memset(pattern, 0x5a, job.bytes);
    for (unsigned i = 0; i < job.sessions; i++)
        prepare(&loads[i], &job, i);
    uint64_t begin_ns = now_ns();
    deadline_ns = begin_ns + (uint64_t)(job.seconds * 1e9);
    if (job.idle) {
        stay_idle(loads, job.sessions);
        return 0;
    }
    run(loads, job.sessions);
    print_results(&job, (double)(now_ns() - begin_ns) / 1e9);
    return 0;
}
