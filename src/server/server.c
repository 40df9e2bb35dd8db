/* server.c - the loop: start, signals, reload, shutdown order, watchdog. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "boot_access.h"
#include "boot_files.h"
#include "boot_journal.h"
#include "boot_kernels.h"
#include "boot_menu.h"
#include "boot_source.h"
#include "discovery.h"
#include "inhibitor.h"
#include "loop_memory.h"
#include "secrets.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/pool.h>

#define POOL_KEEP_BYTES    (16u << 20)
#define TICK_WAITING_S     1.0 /* while a device is waited for */
#define TICK_QUIET_S       5.0 /* else: has a device changed its size? */
#define DRAIN_POLL_S       0.05
#define LOGOUT_PATIENCE_MS 3000 /* what the Async logout request gives initiators */

/* Not the loop's own time: that is the wall clock, and as old as the turn. */
uint64_t server_now_us(const struct server *server)
{
    struct timespec now;
    (void)server;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ── configuration ───────────────────────────────────────────────────────────────────────────── */

static struct config *load_config(const struct server_options *options)
{
    struct config_errors errors = {0};
    const struct config_options config_options = {.credentials_directory =
                                                      getenv("CREDENTIALS_DIRECTORY")};
    struct config *config =
        options->config_path
            ? config_load(options->config_path, &config_options, &errors)
            : config_export(options->export_devices, options->export_count, options->open, &errors);
    for (unsigned i = 0; i < errors.count; i++)
        log_message(errors.items[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s",
                    errors.items[i].text);
    config_errors_done(&errors);
    return config;
}

static void apply_log_level(const struct server *server)
{
    log_set_level(server->options->log_level_set ? server->options->log_level
                                                 : server->config->log_level);
}

static struct iscsi_limits iscsi_limits_of(const struct config *config)
{
    const struct config_limits *limits = &config->limits;
    struct iscsi_limits result = iscsi_default_limits;
    result.connections = limits->connections;
    result.connections_per_source = limits->connections_per_source;
    result.logins_in_progress = limits->logins;
    result.logins_per_source = limits->logins_per_source;
    result.login_deadline_ms = limits->login_deadline_ms;
    result.text_bytes = limits->text_bytes;
    result.sessions_per_initiator = limits->sessions_per_initiator;
    result.command_window = limits->queue_depth;
    /* isboot goes on beyond the window */
    result.commands_per_session = 2 * limits->queue_depth;
    result.credit_bytes = limits->memory_per_connection_bytes;
    result.write_stall_ms = limits->write_stall_ms;
    return result;
}

static void set_discovery_auth(struct server *server, const struct config *config)
{
    struct error error;
    struct iscsi_auth auth;
    int result = secrets_prepare(&server->discovery_secrets, server->state, "discovery-secrets",
                                 &config->discovery_auth, &config->secret_key, &error);
    server->discovery_waits = result;
    secrets_fill_auth(&server->discovery_secrets, &config->discovery_auth, &auth);
    if (result)
        auth.initiator_count = 0; /* nobody is let in meanwhile */
    iscsi_node_set_discovery_auth(server->node, &auth);
    if (result && result != -EAGAIN && result != -EINPROGRESS &&
        strcmp(server->discovery_problem.text, error.text) != 0) {
        server->discovery_problem = error;
        log_error("discovery: %s", error.text);
    }
    if (!result && server->discovery_secrets.path[0])
        log_notice("CHAP names and secrets of discovery: %s", server->discovery_secrets.path);
}

/* Asks again for what waits for the state directory. */
static void ask_state(struct server *server)
{
    if (server->discovery_waits)
        set_discovery_auth(server, server->config);
    boot_access_retry(server);
    boot_menu_restore(server);
}

static void on_state_changed(void *context)
{
    struct server *server = context;
    server->scsi_environment.store = state_lasts(server->state) ? state_store(server->state) : NULL;
    if (server->draining)
        return;
    ask_state(server);
    server_disk_is_free(server);
}

/* ── systemd ─────────────────────────────────────────────────────────────────────────────────── */

static void tell_status(const struct server *server)
{
    unsigned ready = 0;
    unsigned count = 0;
    for (const struct served_target *target = server->targets; target; target = target->next) {
        count++;
        ready += target->iscsi != NULL;
    }
    sd_notifyf(0, "STATUS=%u of %u targets served, %u sessions", ready, count,
               iscsi_node_session_count(server->node));
}

static void on_watchdog(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    sd_notify(0, "WATCHDOG=1");
    tell_status(watcher->data);
}

static void start_watchdog(struct server *server)
{
    uint64_t interval_us = 0;
    ev_init(&server->watchdog, on_watchdog);
    server->watchdog.data = server;
    if (sd_watchdog_enabled(0, &interval_us) <= 0)
        return;
    server->watchdog.repeat = (double)interval_us / 2e6;
    ev_timer_again(server->loop, &server->watchdog);
}

/* ── shutdown: stop accepting, ask to log out, drain, flush, end ─────────────────────────────── */

static void on_drain(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct server *server = watcher->data;
    uint64_t waited_ms = (server_now_us(server) - server->drain_started_us) / 1000;
    if (iscsi_node_connection_count(server->node)) {
        if (waited_ms >= LOGOUT_PATIENCE_MS || !iscsi_node_waits_for_logout(server->node))
            iscsi_node_close_all(server->node);
        if (waited_ms < server->config->limits.drain_ms)
            return;
        log_error("%u connections still have disk requests in flight, ending without them",
                  iscsi_node_connection_count(server->node));
        server->stuck = true;
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    if (!server->closing) {
        server->closing = true;
        targets_flush_and_close(server);
    }
    bool done = !server->targets && !server->opening_count && !state_is_busy(server->state);
    if (!done && waited_ms < server->config->limits.drain_ms)
        return;
    if (!done)
        log_error("a disk did not answer in time, ending without its last flush");
    server->stuck = !done;
    ev_break(loop, EVBREAK_ALL);
}

static void begin_shutdown(struct server *server)
{
    if (server->draining)
        return;
    server->draining = true;
    sd_notify(0, "STOPPING=1");
    log_notice("shutting down, %u sessions", iscsi_node_session_count(server->node));
    server->drain_started_us = server_now_us(server);
    dhcp_server_stop(server);
    iscsi_server_stop_accepting(server);
    iscsi_node_drain(server->node);
    ev_timer_again(server->loop, &server->drain);
}

static void on_end_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    begin_shutdown(watcher->data);
}

/* ── reload ──────────────────────────────────────────────────────────────────────────────────── */

static void tell_what_changes(const struct server *server, const struct config *config)
{
    static const struct {
        const char *key, *effect;
    } rows[] = {
        {"state-directory", "takes effect at the next start"                                       },
        {"io",              "takes effect at the next start"                                       },
        {"iqn-authority",   "gives targets without an iqn another name, and ends their sessions"   },
        {"secret-key",      "changes the secrets made of it, and ends sessions that log in by them"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        if (!config_same(server->config, config, rows[i].key))
            log_warning("%s has changed, which %s", rows[i].key, rows[i].effect);
}

static void reload(struct server *server)
{
    if (!server->options->config_path || server->draining) {
        log_warning("SIGHUP: there is no configuration file to read again");
        return;
    }
    struct config *config = load_config(server->options);
    if (!config) {
        log_error("reload refused: the running configuration stays");
        return;
    }
    tell_what_changes(server, config);
    sandbox_reload(&server->sandbox, config);
    set_discovery_auth(server, config);
    client_targets_reload(server, config);
    targets_reload(server, config);
    iscsi_server_reload(server, config);
    http_server_reload(server, config);
    boot_files_reload(server, config);
    boot_journal_reload(server, config);
    boot_access_reload(server, config);
    tftp_server_reload(server, config);
    dhcp_server_reload(server, config);
    struct iscsi_limits limits = iscsi_limits_of(config);
    iscsi_node_set_limits(server->node, &limits);
    config_unref(server->config);
    server->config = config;
    discovery_reload(server);
    client_targets_start(server);
    apply_log_level(server);
    server_targets_changed(server);
    server_want_housekeeping(server);
    log_notice("configuration reloaded from %s", server->options->config_path);
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    struct server *server = watcher->data;
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)server_now_us(server));
    reload(server);
    sd_notify(0, "READY=1");
}

/* ── housekeeping ────────────────────────────────────────────────────────────────────────────── */

static void on_housekeeping(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct server *server = watcher->data;
    if (server->draining) {
        ev_timer_stop(loop, watcher);
        return;
    }
    ask_state(server);
    bool waiting = targets_tick(server);
    double interval = waiting ? TICK_WAITING_S : TICK_QUIET_S;
    if (watcher->repeat != interval) {
        watcher->repeat = interval;
        ev_timer_again(loop, watcher);
    }
    if (!server->ready && targets_hopeless(server)) {
        log_error("nothing can be served, ending");
        server->exit_code = 1;
        begin_shutdown(server);
    }
}

void server_disk_is_free(struct server *server)
{
    ev_feed_event(server->loop, &server->housekeeping, EV_TIMER);
}

void server_want_housekeeping(struct server *server)
{
    server->housekeeping.repeat = TICK_WAITING_S;
    ev_timer_again(server->loop, &server->housekeeping);
}

void server_targets_changed(struct server *server)
{
    iscsi_node_set_incomplete(server->node, !targets_all_open(server));
    bool has_none = server->clients_known && !server->targets;
    if (!server->ready && !server->draining && (targets_any_open(server) || has_none)) {
        server->ready = true;
        char portals[16][64];
        unsigned count = iscsi_server_portals(server, portals, ARRAY_SIZE(portals));
        for (unsigned i = 0; i < count; i++)
            log_notice("listening for iSCSI on %s", portals[i]);
        log_notice("reads go through %s", block_io_engine_name(server->io));
        log_notice("next: iscsiadm -m discovery -t sendtargets -p ADDRESS on the client");
        boot_source_announce(server);
    }
}

void server_set_serving(struct server *server, bool serving)
{
    server->serving = serving;
    iscsi_node_set_welcome(server->node, serving ? ISCSI_WELCOME_ALL : ISCSI_WELCOME_BACK);
    log_notice("serving is %s", serving ? "on" : "off: new logins are put off, sessions go on");
}

/* ── disk requests ───────────────────────────────────────────────────────────────────────────── */

static void on_disk(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    const struct server *server = watcher->data;
    block_io_dispatch(server->io);
}

static void on_kick(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    const struct server *server = watcher->data;
    block_io_kick(server->io);
}

static void watch_disks(struct server *server)
{
    int descriptors[2];
    block_io_descriptors(server->io, descriptors);
    for (unsigned i = 0; i < ARRAY_SIZE(descriptors); i++) {
        ev_io_init(&server->io_watchers[i], on_disk, descriptors[i], EV_READ);
        server->io_watchers[i].data = server;
        if (descriptors[i] >= 0)
            ev_io_start(server->loop, &server->io_watchers[i]);
    }
    ev_prepare_init(&server->io_kick, on_kick);
    ev_set_priority(&server->io_kick, EV_MINPRI);
    server->io_kick.data = server;
    ev_prepare_start(server->loop, &server->io_kick);
}

/* ── start ───────────────────────────────────────────────────────────────────────────────────── */

static int start_disks(struct server *server, struct error *error)
{
    static const enum block_engine engines[] = {[CONFIG_ENGINE_AUTO] = BLOCK_ENGINE_AUTO,
                                                [CONFIG_ENGINE_URING] = BLOCK_ENGINE_URING,
                                                [CONFIG_ENGINE_THREADS] = BLOCK_ENGINE_THREADS};
    const struct config_io *io = &server->config->io;
    const struct block_io_options options = {.engine = engines[io->engine],
                                             .workers = io->workers,
                                             .workers_per_device = io->workers_per_lun};
    int result = block_io_new(&options, &server->io, error);
    if (result)
        return result;
    server->pool = pool_new(io->memory_bytes, POOL_KEEP_BYTES);
    server->state =
        state_new(server->config->state_directory, server->loop, on_state_changed, server);
    if (!server->pool || !server->state)
        return error_set(error, -ENOMEM, "out of memory");
    server->scsi_environment =
        (struct scsi_environment){.pool = server->pool, .delay = server_pauses(server)};
    watch_disks(server);
    return 0;
}

static int start_node(struct server *server, struct error *error)
{
    struct iscsi_limits limits = iscsi_limits_of(server->config);
    const struct iscsi_node_options options = {
        .callbacks = &iscsi_server_callbacks,
        .context = server,
        .limits = &limits,
        .pool = server->pool,
        .random = &system_random,
    };
    server->node = iscsi_node_new(&options);
    if (!server->node)
        return error_set(error, -ENOMEM, "out of memory");
    set_discovery_auth(server, server->config);
    return 0;
}

static void watch_signal(struct server *server, ev_signal *watcher, int number,
                         void (*callback)(struct ev_loop *loop, ev_signal *watcher, int events))
{
    ev_signal_init(watcher, callback, number);
    watcher->data = server;
    ev_signal_start(server->loop, watcher);
}

static void start_timers(struct server *server)
{
    watch_signal(server, &server->hangup, SIGHUP, on_hangup);
    watch_signal(server, &server->terminate, SIGTERM, on_end_signal);
    watch_signal(server, &server->interrupt, SIGINT, on_end_signal);
    ev_init(&server->housekeeping, on_housekeeping);
    server->housekeeping.data = server;
    ev_init(&server->drain, on_drain);
    server->drain.data = server;
    server->drain.repeat = DRAIN_POLL_S;
    start_watchdog(server);
}

/* As many descriptors as we may have: connections need one each. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* What boots machines. Each part does what it can without the others. */
static void start_booting(struct server *server)
{
    static int (*const parts[])(struct server * server, struct error * error) = {
        boot_journal_start, boot_files_start,  boot_access_start,
        boot_kernels_start, boot_menu_start,   setup_http_start,
        boot_http_start,    tftp_server_start, dhcp_server_start,
    };
    struct error error;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (parts[i](server, &error) == -ENOMEM)
            log_error("machines are not booted from here: %s", error.text);
}

static int start(struct server *server, struct error *error)
{
    loop_memory_reserve();
    server->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (!server->loop)
        return error_set(error, -ENOSYS, "epoll is not available");
    server->started_us = server_now_us(server);
    server->started_unix_seconds = (uint64_t)time(NULL);
    server->serving = true;
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    start_timers(server);
    int result = start_disks(server, error);
    if (!result)
        result = start_node(server, error);
    if (!result)
        result = iscsi_server_start(server, error);
    if (!result) /* without it disks are served all the same */
        (void)http_server_start(server, error);
    if (!result && discovery_start(server))
        result = error_set(error, -ENOMEM, "out of memory");
    if (!result)
        result = targets_start(server, error);
    if (!result) {
        client_targets_start(server);
        start_booting(server); /* nor without this */
        server_targets_changed(server);
        server_want_housekeeping(server);
    }
    return result;
}

static void finish(struct server *server)
{
    dhcp_server_free(server);
    tftp_server_free(server);
    http_server_free(server);
    boot_http_free(server);
    setup_http_free(server);
    boot_source_free(server);
    invitations_free(server);
    boot_files_free(server);
    boot_menu_free(server);
    boot_kernels_free(server); /* it has files of discovery's */
    discovery_free(server);
    boot_access_free(server);
    iscsi_server_free(server);
    iscsi_node_free(server->node);
    boot_journal_free(server);
    job_queue_free(server->opening);
    state_free(server->state);
    block_io_free(server->io);
    pool_free(server->pool);
    secrets_wipe(&server->discovery_secrets);
    config_unref(server->config);
    ev_loop_destroy(server->loop);
}

int server_run(const struct server_options *options)
{
    struct server server = {.options = options};
    struct error error;
    server.config = load_config(options);
    if (!server.config)
        return 1;
    apply_log_level(&server);
    sandbox_enter(&server.sandbox, options, server.config);
    if (start(&server, &error)) {
        log_error("%s", error.text);
        if (server.loop)
            finish(&server);
        return 1;
    }
    struct inhibitor *inhibitor = inhibitor_new(&server);
    sd_notify(0, "READY=1");
    ev_run(server.loop, 0);
    inhibitor_free(inhibitor);
    if (!server.stuck)
        finish(&server);
    log_notice("ended");
    return server.stuck ? 1 : server.exit_code;
}
