/* pauses.c - the wake-ups that scsi/ asks for: one timer each, in the loop. */
#include <stdlib.h>

#include "internal.h"

#include <netboot-target/util/array.h>

struct pause {
    ev_timer timer;
    void (*done)(void *context);
    void *context;
};

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct pause *pause = container_of(timer, struct pause, timer);
    (void)loop;
    (void)events;
    pause->done(pause->context);
    free(pause);
}

/* Without memory there is no pause. */
static void pause_after(struct scsi_delay *delay, unsigned delay_ms, void (*done)(void *context),
                        void *context)
{
    struct server *server = container_of(delay, struct server, scsi_delay);
    struct pause *pause = calloc(1, sizeof(*pause));
    if (!pause) {
        done(context);
        return;
    }
    pause->done = done;
    pause->context = context;
    ev_timer_init(&pause->timer, on_pause_over, delay_ms / 1000.0, 0);
    ev_timer_start(server->loop, &pause->timer);
}

struct scsi_delay *server_pauses(struct server *server)
{
    server->scsi_delay.after = pause_after;
    return &server->scsi_delay;
}
