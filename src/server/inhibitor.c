/*
 * inhibitor.c - see inhibitor.h. The lock is a descriptor: once we have it the bus is not needed
 * any more, so a connection lasts for one call.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "inhibitor.h"

#include <netboot-target/util/cleanup.h>

/* A machine that boots logs out and in again: not each time a new lock. */
#define LINGER_S 10.0
/* A lid that is closed ends the sleep lock's power (logind.conf(5), LidSwitchIgnoreInhibited=). */
#define LOCKED "sleep:handle-lid-switch"

struct inhibitor {
    struct server *server;
    int lock; /* -1: none */
    sd_bus *bus;
    bool answered; /* the call is over, the bus can go */
    bool failed;   /* not again before the next first session */
    bool told;     /* that it failed */
    ev_io io;
    ev_timer timeout; /* of the bus */
    ev_timer linger;
    ev_prepare turn;
};

static void tell_failure(struct inhibitor *inhibitor, const char *why)
{
    inhibitor->failed = true;
    if (inhibitor->told)
        return;
    inhibitor->told = true;
    log_notice("nothing keeps this machine from going to sleep under its clients: %s", why);
}

/* ── the bus in the loop ─────────────────────────────────────────────────────────────────────── */

static void close_bus(struct inhibitor *inhibitor)
{
    ev_io_stop(inhibitor->server->loop, &inhibitor->io);
    ev_timer_stop(inhibitor->server->loop, &inhibitor->timeout);
    inhibitor->bus = sd_bus_close_unref(inhibitor->bus);
}

/* What the bus waits for changes with everything it does. 0 or -errno. */
static int watch_bus(struct inhibitor *inhibitor)
{
    struct ev_loop *loop = inhibitor->server->loop;
    int descriptor = sd_bus_get_fd(inhibitor->bus);
    int events = sd_bus_get_events(inhibitor->bus);
    uint64_t until_us = UINT64_MAX;
    int result = sd_bus_get_timeout(inhibitor->bus, &until_us);
    if (descriptor < 0 || events < 0 || result < 0)
        return descriptor < 0 ? descriptor : events < 0 ? events : result;
    ev_io_stop(loop, &inhibitor->io);
    ev_io_set(&inhibitor->io, descriptor,
              (events & POLLIN ? EV_READ : 0) | (events & POLLOUT ? EV_WRITE : 0));
    ev_io_start(loop, &inhibitor->io);
    ev_timer_stop(loop, &inhibitor->timeout);
    if (until_us == UINT64_MAX)
        return 0;
    uint64_t now_us = server_now_us(inhibitor->server);
    ev_timer_set(&inhibitor->timeout, until_us > now_us ? (double)(until_us - now_us) / 1e6 : 0, 0);
    ev_timer_start(loop, &inhibitor->timeout);
    return 0;
}

static void work_on_bus(struct inhibitor *inhibitor)
{
    int result;
    do {
        result = sd_bus_process(inhibitor->bus, NULL);
    } while (result > 0 && !inhibitor->answered);
    if (result >= 0 && !inhibitor->answered)
        result = watch_bus(inhibitor);
    if (result < 0 && !inhibitor->answered)
        tell_failure(inhibitor, strerror(-result));
    if (result < 0 || inhibitor->answered)
        close_bus(inhibitor);
}

static void on_bus(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    work_on_bus(watcher->data);
}

static void on_bus_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    work_on_bus(watcher->data);
}

/* ── the lock ────────────────────────────────────────────────────────────────────────────────── */

static int on_answer(sd_bus_message *message, void *context, sd_bus_error *ret_error)
{
    struct inhibitor *inhibitor = context;
    const sd_bus_error *refused = sd_bus_message_get_error(message);
    int descriptor = -1; /* the message's own */
    (void)ret_error;
    inhibitor->answered = true;
    if (refused) {
        tell_failure(inhibitor, refused->message ? refused->message : refused->name);
        return 0;
    }
    int result = sd_bus_message_read(message, "h", &descriptor);
    if (result >= 0)
        inhibitor->lock = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    if (inhibitor->lock < 0)
        tell_failure(inhibitor, strerror(result < 0 ? -result : errno));
    else
        log_info("this machine stays awake while others run from its disks");
    return 0;
}

static void ask_for_lock(struct inhibitor *inhibitor)
{
    inhibitor->answered = false;
    int result = sd_bus_open_system(&inhibitor->bus);
    if (result >= 0)
        result = sd_bus_call_method_async(
            inhibitor->bus, NULL, "org.freedesktop.login1", "/org/freedesktop/login1",
            "org.freedesktop.login1.Manager", "Inhibit", on_answer, inhibitor, "ssss", LOCKED,
            "netboot-target", "Other machines run from disks of this one", "block");
    if (result >= 0)
        result = watch_bus(inhibitor);
    if (result >= 0)
        return;
    tell_failure(inhibitor, strerror(-result));
    close_bus(inhibitor);
}

static void on_linger_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct inhibitor *inhibitor = watcher->data;
    (void)loop;
    (void)events;
    if (inhibitor->lock >= 0)
        close(take_descriptor(inhibitor->lock));
    log_info("no other machine runs from its disks: this machine may sleep");
}

static void on_turn(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    struct inhibitor *inhibitor = watcher->data;
    (void)events;
    if (!iscsi_node_session_count(inhibitor->server->node)) {
        inhibitor->failed = false;
        if (inhibitor->lock >= 0)
            ev_timer_start(loop, &inhibitor->linger); /* nothing when it runs already */
        return;
    }
    ev_timer_stop(loop, &inhibitor->linger);
    ev_timer_set(&inhibitor->linger, LINGER_S, 0);
    if (inhibitor->lock < 0 && !inhibitor->bus && !inhibitor->failed)
        ask_for_lock(inhibitor);
}

struct inhibitor *inhibitor_new(struct server *server)
{
    struct inhibitor *inhibitor = calloc(1, sizeof *inhibitor);
    if (!inhibitor)
        return NULL;
    inhibitor->server = server;
    inhibitor->lock = -1;
    ev_init(&inhibitor->io, on_bus);
    ev_init(&inhibitor->timeout, on_bus_timeout);
    ev_init(&inhibitor->linger, on_linger_over);
    ev_prepare_init(&inhibitor->turn, on_turn);
    inhibitor->io.data = inhibitor->timeout.data = inhibitor;
    inhibitor->linger.data = inhibitor->turn.data = inhibitor;
    ev_prepare_start(server->loop, &inhibitor->turn);
    return inhibitor;
}

void inhibitor_free(struct inhibitor *inhibitor)
{
    if (!inhibitor)
        return;
    ev_prepare_stop(inhibitor->server->loop, &inhibitor->turn);
    ev_timer_stop(inhibitor->server->loop, &inhibitor->linger);
    close_bus(inhibitor);
    if (inhibitor->lock >= 0)
        close(inhibitor->lock);
    free(inhibitor);
}
