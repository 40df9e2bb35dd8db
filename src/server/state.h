/*
 * state.h - the state directory: one small file per record. All of it is read at the start and then
 * known in memory; what changes is written by a thread of its own. So the loop never waits for the
 * disk that it lies on, nor a record for the disks that are served.
 *
 * A record that cannot be read is not the same as one that is not there: who asks is told so, must
 * not go on without it, and asks again; each time it is looked at again.
 *
 * Without a directory that can be written records last as long as the process (a RAM-only target
 * has no /var); what can be read in it counts all the same.
 */
#pragma once
#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include <netboot-target/util/error.h>
#include <netboot-target/util/store.h>

struct state;

/* `changed` is called on the loop when asking again may bring another answer: the directory has
 * been read, a record is kept, one that could not be read can be. NULL: out of memory. */
struct state *state_new(const char *directory, struct ev_loop *loop, void (*changed)(void *context),
                        void *context);
/* Waits for what is under way, and tells nobody. */
void state_free(struct state *state);
struct store *state_store(struct state *state);

/* False: what the directory has is not known yet; every state_load() says -EAGAIN. */
bool state_is_known(const struct state *state);
/* What is put outlives the process. */
bool state_lasts(const struct state *state);
/* True while something is on its way to or from the disk. */
bool state_is_busy(const struct state *state);

/* A record's content with a NUL behind it, valid until its next put or load. -ENOENT: there is
 * none. Any other -errno: nobody knows, and `error` says what to do; -EAGAIN: the first look is
 * under way, with nothing to say unless it takes long. */
int state_load(struct state *state, const char *name, const char **ret_data, size_t *ret_length,
               struct error *error);
/* What was loaded makes no sense. From now on loading it fails, until the file is removed or
 * another one. Returns -EBADMSG, with the cure in `error`. */
int state_reject(struct state *state, const char *name, struct error *error);
/* Makes this the record, if it is not; it may be what was loaded. 0: it is on stable storage, or
 * there is no directory. -EINPROGRESS: ask again. Any other -errno: it could not be kept, and is
 * tried again. */
int state_keep(struct state *state, const char *name, const void *data, size_t length);
/* Where a record lies, for a person; "" when the state directory cannot be written. */
void state_path(const struct state *state, const char *name, char *to, size_t size);
