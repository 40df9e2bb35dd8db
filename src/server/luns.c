/*
 * luns.c - the life of one LUN: its device is found, claimed and opened on a worker, and flushed
 * and closed in the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "discovery.h"
#include "lun_return.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define BUSY_PATIENCE_MS 5000 /* our predecessor keeps its claim until it is completely gone */

/* One try to find, claim and identify a LUN's device, on a worker: each of them may wait for a
 * disk. */
struct open_attempt {
    struct job job;
    struct open_attempt *prev, *next; /* server->held */
    uint64_t held_since_us;
    struct served_lun *lun; /* NULL: the target was removed meanwhile */
    struct server *server;
    struct block_io *io;
    char specification[4096];
    bool whole_disk;
    struct block_open_options options;
    struct block_location location;
    struct block_device *device;
    struct block_identity identity;
    int result;
    struct error error;
};

/* ── opening ─────────────────────────────────────────────────────────────────────────────────── */

static void attempt_run(struct job *job)
{
    struct open_attempt *attempt = container_of(job, struct open_attempt, job);
    attempt->result = block_find(attempt->io, attempt->specification, attempt->whole_disk,
                                 &attempt->location, &attempt->error);
    if (attempt->result)
        return;
    attempt->result = block_open(attempt->io, &attempt->location, &attempt->options,
                                 &attempt->device, &attempt->error);
    if (attempt->result)
        return;
    attempt->result = block_identify(&attempt->location, &attempt->identity, &attempt->error);
}

/* Each reason is told once; a LUN that goes on waiting says nothing new. */
static void lun_failed(struct served_lun *lun, int result, const struct error *error)
{
    uint64_t waited_ms = (server_now_us(lun->target->server) - lun->first_try_us) / 1000;
    uint64_t patience_ms = max_of(lun->config->wait_ms, (uint64_t)BUSY_PATIENCE_MS);
    bool may_come = result == -ENOENT || result == -EBUSY || result == -ENXIO;
    bool news = strcmp(lun->error.text, error->text) != 0;
    lun->error = *error;
    if (!may_come || waited_ms >= patience_ms)
        lun->state = LUN_REFUSED;
    if (lun->state == LUN_REFUSED && !lun->reported) {
        lun->reported = true;
        log_error("target %s, LUN %u is not served: %s", lun->target->name, lun->number,
                  error->text);
    } else if (news && !lun->reported) {
        log_warning("target %s, LUN %u: %s; waiting for it", lun->target->name, lun->number,
                    error->text);
    }
    server_want_housekeeping(lun->target->server);
}

/* A state directory that cannot be read is waited for, however long it takes: without what it has
 * a rival could get in. */
static void lun_waits(struct served_lun *lun, const struct error *error)
{
    const struct server *server = lun->target->server;
    if (state_is_known(server->state) && strcmp(lun->error.text, error->text) != 0)
        log_error("target %s, LUN %u is not served: %s", lun->target->name, lun->number,
                  error->text);
    lun->error = *error;
    lun->state = LUN_WAITING;
    server_want_housekeeping(lun->target->server);
}

static int restore_reservations(struct served_lun *lun, const struct scsi_lu_options *options,
                                struct error *error)
{
    struct state *state = lun->target->server->state;
    const char *record;
    size_t length;
    int result = state_load(state, options->store_name, &record, &length, error);
    if (result)
        return result == -ENOENT ? 0 : result;
    result = scsi_lu_restore_reservations(lun->lu, record, length);
    if (result == -EINVAL)
        return state_reject(state, options->store_name, error);
    return result ? error_set(error, result, "out of memory") : 0;
}

static void lun_opened(struct served_lun *lun, struct open_attempt *attempt)
{
    struct error error;
    int result = identity_resolve(lun, &error);
    if (result) {
        lun_failed(lun, result, &error);
        return;
    }
    struct server *server = lun->target->server;
    struct scsi_lu_options options = {
        .read_only = lun->config->read_only || attempt->device->geometry.read_only,
        .allow_sanitize = lun->config->sanitize,
        .write_through = !lun->config->write_cache,
        .rotation_rate = lun->config->rotation_rate != CONFIG_UNSET
                             ? (uint16_t)lun->config->rotation_rate
                             : (attempt->device->geometry.rotational ? 0 : 1),
    };
    identity_fill_options(lun, &options);
    lun->lu = scsi_lu_new(&server->scsi_environment, attempt->device, &options);
    if (!lun->lu) {
        error_set(&error, 0, "out of memory");
        lun_failed(lun, -ENOMEM, &error);
        return;
    }
    result = restore_reservations(lun, &options, &error);
    if (result) {
        scsi_lu_free(take_pointer(lun->lu));
        lun_waits(lun, &error);
        return;
    }
    lun->device = take_pointer(attempt->device);
    lun->device->changed = lun_device_changed;
    lun->device->changed_context = lun;
    lun->state = LUN_OPEN;
    lun->error.text[0] = '\0';
    discovery_lun_opened(lun);
    target_assemble(lun->target);
}

static void attempt_end(struct open_attempt *attempt)
{
    struct served_lun *lun = attempt->lun;
    if (lun) {
        lun->attempt = NULL;
        if (attempt->result)
            lun_failed(lun, attempt->result, &attempt->error);
        else
            lun_opened(lun, attempt);
    }
    block_device_close(attempt->device);
    free(attempt);
}

/* Copies of one disk are found out only when all have told who they are, and at a first start
 * nobody is known as the original. So a LUN that is new waits for the others. */
static bool attempt_hold(struct open_attempt *attempt)
{
    struct served_lun *lun = attempt->lun;
    if (!lun || attempt->result)
        return false;
    lun->location = attempt->location;
    lun->derived = attempt->identity;
    identity_find(lun);
    if (lun->kept.valid)
        return false;
    attempt->held_since_us = server_now_us(attempt->server);
    DL_APPEND(attempt->server->held, attempt);
    server_want_housekeeping(attempt->server);
    return true;
}

static void end_held(struct server *server)
{
    while (server->held) {
        struct open_attempt *attempt = server->held;
        DL_DELETE(server->held, attempt);
        attempt_end(attempt);
    }
}

static void set_opening_threads(struct server *server, unsigned threads)
{
    server->opening_ended_us = server_now_us(server);
    if (threads == server->opening_threads)
        return;
    server->opening_threads = threads;
    job_queue_set_threads(server->opening, threads);
}

/* Disks that do not answer at all must not keep the others away: each of them has a thread, for as
 * long as it takes. */
void luns_tick(struct server *server)
{
    uint64_t now_us = server_now_us(server);
    const struct open_attempt *first = server->held;
    if (first && now_us - first->held_since_us >= BUSY_PATIENCE_MS * 1000)
        end_held(server);
    if (job_queue_waiting(server->opening) &&
        now_us - server->opening_ended_us >= BUSY_PATIENCE_MS * 1000)
        set_opening_threads(server, server->opening_threads + OPENING_THREADS);
}

/* Its LUN is open: nothing of who it is changes any more. */
static void attempt_return(struct open_attempt *attempt)
{
    struct served_lun *lun = attempt->lun;
    lun->attempt = NULL;
    if (attempt->result)
        lun->error = attempt->error;
    else
        lun_returned(lun, &attempt->location, &attempt->identity, &attempt->device);
    block_device_close(attempt->device);
    free(attempt);
}

static void attempt_done(struct job *job)
{
    struct open_attempt *attempt = container_of(job, struct open_attempt, job);
    struct server *server = attempt->server;
    server->opening_count--;
    server->opening_ended_us = server_now_us(server);
    if (attempt->lun && attempt->lun->is_absent)
        attempt_return(attempt);
    else if (!attempt_hold(attempt))
        attempt_end(attempt);
    if (server->opening_count)
        return;
    set_opening_threads(server, OPENING_THREADS);
    end_held(server);
}

void lun_try(struct served_lun *lun)
{
    struct server *server = lun->target->server;
    struct error error;
    if (!lun->is_absent && identity_load(lun, &error)) {
        lun_waits(lun, &error);
        return;
    }
    struct open_attempt *attempt = calloc(1, sizeof *attempt);
    if (!attempt)
        return;
    const struct config_lun *config = lun->config;
    static const enum block_write_mode modes[] = {
        [CONFIG_WRITE_AUTO] = BLOCK_WRITE_AUTO,
        [CONFIG_WRITE_DIRECT] = BLOCK_WRITE_DIRECT,
        [CONFIG_WRITE_BUFFERED] = BLOCK_WRITE_BUFFERED,
    };
    attempt->job.run = attempt_run;
    attempt->job.done = attempt_done;
    attempt->lun = lun;
    attempt->server = server;
    attempt->io = server->io;
    attempt->whole_disk = !lun->image && config->disk_with;
    snprintf(attempt->specification, sizeof attempt->specification, "%s", lun_specification(lun));
    attempt->options = (struct block_open_options){.read_only = config->read_only,
                                                   .force = config->force,
                                                   .write_mode = modes[config->write],
                                                   .discard = config->discard};
    lun->attempt = attempt;
    lun->identified = false;
    if (!lun->first_try_us)
        lun->first_try_us = server_now_us(server);
    if (!server->opening_count++)
        server->opening_ended_us = server_now_us(server);
    job_queue_submit(server->opening, &attempt->job);
}

void lun_give_up(struct served_lun *lun)
{
    if (lun->attempt)
        take_pointer(lun->attempt)->lun = NULL;
}

/* ── closing ─────────────────────────────────────────────────────────────────────────────────── */

struct closing {
    struct block_request flush;
    struct served_lun *lun;
};

static void close_device(struct served_lun *lun)
{
    block_device_close(take_pointer(lun->device));
    target_lun_closed(lun->target);
}

static void tell_failed_flush(const struct served_lun *lun, int reason)
{
    log_error("the last flush failed, acknowledged writes may be lost: device=%s error=%s",
              lun->device->path, strerror(reason));
    lun->target->server->exit_code |= lun->target->server->draining;
}

static void flushed(struct block_request *request)
{
    struct closing *closing = request->context;
    struct served_lun *lun = closing->lun;
    if (request->result)
        tell_failed_flush(lun, -request->result);
    free(closing);
    close_device(lun);
}

void lun_close(struct served_lun *lun)
{
    discovery_lun_closing(lun);
    bool has_nothing_to_flush =
        lun->is_absent || lun->device->geometry.read_only || lun->config->read_only;
    struct closing *closing = has_nothing_to_flush ? NULL : calloc(1, sizeof *closing);
    scsi_lu_free(take_pointer(lun->lu));
    lun->state = LUN_CLOSING;
    if (lun->is_absent && lun->is_suspect)
        tell_failed_flush(lun, ENODEV);
    lun->device->changed = NULL;
    if (!closing) {
        close_device(lun);
        return;
    }
    closing->lun = lun;
    closing->flush =
        (struct block_request){.operation = BLOCK_FLUSH, .done = flushed, .context = closing};
    block_submit(lun->device, &closing->flush);
}

/* ── what is told of it ──────────────────────────────────────────────────────────────────────── */

const char *lun_specification(const struct served_lun *lun)
{
    if (lun->image)
        return lun->image;
    return lun->config->device ? lun->config->device : lun->config->disk_with;
}

const char *lun_state_word(const struct served_lun *lun)
{
    static const char *const words[] = {[LUN_WAITING] = "waiting",
                                        [LUN_OPEN] = "open",
                                        [LUN_REFUSED] = "refused",
                                        [LUN_CLOSING] = "closing"};
    if (lun->state == LUN_OPEN && lun->device->health == BLOCK_WRITES_LATCHED)
        return "write-fault";
    if (lun->state == LUN_OPEN && lun->device->health == BLOCK_GONE)
        return "gone";
    return words[lun->state];
}
