/*
 * block.h - disks: finding them, claiming them, and moving bytes to and from them without ever
 * letting the loop wait. Knows libblkid and engines; knows nothing of SCSI.
 *
 * What every device answers alike: a range beyond its end -ENXIO, a misaligned one -EINVAL, a write
 * to a read-only device -EROFS, writes and flushes of a latched device -EIO, everything on a device
 * that is gone -ENODEV, a discard where none is offered -EOPNOTSUPP.
 *
 * Threads: every function is called on the loop thread unless it says otherwise. `done` callbacks
 * run on the loop, from block_io_dispatch(), never inside block_submit(). A buffer handed to
 * block_submit() belongs to the engine until `done`, whatever happens to whoever asked.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <netboot-target/util/error.h>
#include <netboot-target/util/workers.h>

/* ── what a device is ────────────────────────────────────────────────────────────────────────── */

struct block_geometry {
    uint64_t blocks; /* logical blocks; may change while open, see block_device_observe() */
    uint32_t logical_block_bytes;       /* 512 … 4096, a power of two */
    uint32_t physical_block_bytes;      /* ≥ logical */
    uint32_t alignment_offset_bytes;    /* of the first physical block boundary */
    uint32_t minimum_io_bytes;          /* 0: not reported */
    uint32_t optimal_io_bytes;          /* 0: not reported */
    uint32_t discard_granularity_bytes; /* 0: cannot discard */
    uint64_t discard_limit_bytes;       /* largest single discard; 0: cannot discard */
    bool discard_zeroes;                /* a discarded range reads as zeros */
    bool read_only;
    bool rotational;
};

/* ── requests ────────────────────────────────────────────────────────────────────────────────── */

enum block_operation {
    BLOCK_READ,    /* buffer ← device, through the page cache unless past_cache */
    BLOCK_WRITE,   /* device ← buffer; acknowledged means it left us (see block_write_mode) */
    BLOCK_FLUSH,   /* everything acknowledged so far is on stable storage when done; no range */
    BLOCK_DISCARD, /* the range is given back to the device; no buffer */
    BLOCK_WRITE_ZEROES, /* the range reads as zeros afterwards; no buffer */
    BLOCK_PREFETCH,     /* advice: bring the range into the page cache; no buffer */
    BLOCK_OPERATION_COUNT,
};

struct block_device;

struct block_request {
    /* by the caller */
    enum block_operation operation;
    bool fua;              /* write: on stable storage before done (SBC-4 FUA) */
    bool past_cache;       /* read: what the device itself holds, not a copy of it in memory */
    uint64_t offset_bytes; /* a multiple of the logical block */
    uint64_t length_bytes; /* a multiple of the logical block */
    void *buffer; /* aligned to POOL_ALIGNMENT unless READ through the cache; NULL where there is
                     none */
    void (*done)(struct block_request *request);
    void *context;

    /* by the engine, valid in done */
    int result;                  /* 0 or -errno; a range beyond the end of the device is -ENXIO */
    uint64_t error_offset_bytes; /* READ with -EIO: the first byte that cannot be read */

    /* private to the engine */
    struct job job;
    struct block_device *device;
    struct block_request *previous, *next;
    uint64_t progress_bytes;
};

/* ── the device interface ────────────────────────────────────────────────────────────────────── */

enum block_residency {
    BLOCK_RESIDENT, /* every page is in the cache and up to date: sendfile will not wait */
    BLOCK_ABSENT,
    BLOCK_UNKNOWN, /* cannot be asked here: take the copy path */
};

/* What a LUN stands on. A stacked device (copy-on-write overlay, …) implements the same table over
 * other devices; nothing above it changes. Every entry is set, but those that may be NULL. */
struct block_device_operations {
    const char *name; /* "raw", "memory", "faulty" */
    void (*submit)(struct block_device *device, struct block_request *request);
    enum block_residency (*residency)(struct block_device *device, uint64_t offset_bytes,
                                      uint64_t length_bytes);
    /* Reads what is in the page cache, at once. Returns bytes copied (possibly fewer), or -EAGAIN
     * when not all of it is there for certain (the kernel may have begun to read it), or -errno. */
    ssize_t (*read_cached)(struct block_device *device, void *buffer, uint64_t offset_bytes,
                           size_t length_bytes);
    /* Sends page-cache bytes into a socket without a CPU copy (sendfile(2)). Returns bytes sent,
     * -EAGAIN when the socket is full, -EOPNOTSUPP when this device has no page cache to send
     * from, or -errno. Waits for the disk if the range is not resident: ask first. */
    ssize_t (*send)(struct block_device *device, int socket, uint64_t offset_bytes,
                    size_t length_bytes);
    /* Asks for the size again (block_device_resized()); NULL: it cannot change by itself. */
    void (*observe)(struct block_device *device);
    /* Forgets a latched fault of its own below; NULL: `health` is all there is. */
    void (*rearm)(struct block_device *device);
    /* Takes its bookkeeping back; no request is in flight. */
    void (*close)(struct block_device *device);
};

/* A failed flush latches writes (fsyncgate): they fail with -EIO until re-armed. So does a failed
 * buffered write, unless it ran out of space and nothing acknowledged before did. */
enum block_health { BLOCK_HEALTHY, BLOCK_WRITES_LATCHED, BLOCK_GONE };

struct block_counters {
    uint64_t operations[BLOCK_OPERATION_COUNT];
    uint64_t bytes[BLOCK_OPERATION_COUNT];
    uint64_t errors[BLOCK_OPERATION_COUNT];
    uint64_t in_flight;
};

/* Common head of every device; implementations embed it first. Read-only for others. */
struct block_device {
    const struct block_device_operations *operations;
    struct block_geometry geometry;
    enum block_health health;
    struct block_counters counters;
    const char *path;       /* what a person calls it: "/dev/sda", "/srv/a.img", "memory" */
    const char *write_mode; /* "direct", "buffered", "read-only", "memory" */
    /* Called on the loop when geometry or health changed; may be NULL. Set by the owner. */
    void (*changed)(struct block_device *device, void *context);
    void *changed_context;
    bool closing; /* private: closes itself after the last request in flight */
};

static inline void block_submit(struct block_device *device, struct block_request *request)
{
    device->operations->submit(device, request);
}

static inline enum block_residency block_residency(struct block_device *device,
                                                   uint64_t offset_bytes, uint64_t length_bytes)
{
    return device->operations->residency(device, offset_bytes, length_bytes);
}

static inline ssize_t block_read_cached(struct block_device *device, void *buffer,
                                        uint64_t offset_bytes, size_t length_bytes)
{
    return device->operations->read_cached(device, buffer, offset_bytes, length_bytes);
}

static inline ssize_t block_send(struct block_device *device, int socket, uint64_t offset_bytes,
                                 size_t length_bytes)
{
    return device->operations->send(device, socket, offset_bytes, length_bytes);
}

/* Closes when nothing is in flight any more; the device must not be used afterwards. NULL is fine.
 */
void block_device_close(struct block_device *device);

/* Lets writes through again after a latched fault (POST /luns/ID/rearm). A device that is gone
 * stays gone, since what comes back may be another disk: close it, find and open it again, and ask
 * it who it is. Until its last request has ended, its claim makes a new open say -EBUSY. */
void block_device_rearm(struct block_device *device);

/* Asks for the size again; calls `changed` if it differs: at once, or for a file from
 * block_io_dispatch(). Cheap; call every few seconds. */
void block_device_observe(struct block_device *device);

/* ── engines: how requests of raw devices are carried out ────────────────────────────────────── */

/* Owns the worker threads, the io_uring if it may be used, and the path back to the loop. */
struct block_io;

enum block_engine { BLOCK_ENGINE_AUTO, BLOCK_ENGINE_URING, BLOCK_ENGINE_THREADS };

struct block_io_options {
    enum block_engine engine; /* AUTO: io_uring for reads where the kernel lets us, else threads */
    unsigned workers;         /* threads kept while idle; 0: 32. More come and go as needed */
    unsigned workers_per_device; /* 0: 8 */
};

/* -ENOSYS/-EPERM with BLOCK_ENGINE_URING where io_uring may not be used. */
int block_io_new(const struct block_io_options *options, struct block_io **ret_io,
                 struct error *error);
void block_io_free(struct block_io *io); /* every device is closed */
/* "io_uring" or "threads": what reads use. */
const char *block_io_engine_name(const struct block_io *io);
/* Two descriptors to watch for reading (the second may be -1); when one is readable, dispatch. */
void block_io_descriptors(const struct block_io *io, int ret_descriptors[2]);
/* Runs `done` of finished requests. Returns how many. */
unsigned block_io_dispatch(struct block_io *io);
/* Hands what was submitted since the last call to the kernel and the workers; once per loop turn,
 * before sleeping. Kicks block_io_workers() as well. */
void block_io_kick(struct block_io *io);
/* The pool of threads, for the loop's other waiting work. It grows with its queues: however many
 * disks hang, another queue has the threads it asked for. */
struct workers *block_io_workers(struct block_io *io);

/* ── finding and opening raw devices and files ───────────────────────────────────────────────── */

enum block_write_mode {
    BLOCK_WRITE_AUTO,     /* block device: direct; regular file: buffered */
    BLOCK_WRITE_DIRECT,   /* synchronous O_DIRECT on workers */
    BLOCK_WRITE_BUFFERED, /* page cache with a bounded dirty window */
};

/* Where a LUN's bytes are: a whole device or file, or a range of one (a partition found without its
 * node). */
struct block_location {
    char path[4096];
    uint64_t offset_bytes;
    uint64_t length_bytes; /* 0: to the end */
};

/* `specification`: a path, or UUID=, LABEL=, PARTUUID=, PARTLABEL= (libblkid; looked for at the
 * partition offsets of whole disks, so that no partition node is needed). whole_disk: the disk that
 * holds it. -ENOENT: not (yet) there; -ENOTUNIQ: several match. Blocks on disks, but on one that
 * does not answer for a few seconds only: at start, or on a worker. */
int block_find(struct block_io *io, const char *specification, bool whole_disk,
               struct block_location *ret_location, struct error *error);

struct block_open_options {
    bool read_only;
    bool look_only; /* claimed and refused as without, but opened for reading: nobody is told of it
                     */
    bool force;     /* overrides the checks by name, never a claim the kernel holds */
    enum block_write_mode write_mode;
    bool discard; /* let UNMAP reach the device */
};

/* Opens and claims exclusively (O_EXCL; a lock on a regular file). -EBUSY names the holder: the
 * mount point, swap, the md/dm/LVM device, or a process. Devices of one `io` may be parts of one
 * disk that do not overlap, and any number may be read-only. Blocks on disks: at start, or on a
 * worker — then `io` is only stored. On success the caller owns the device. */
int block_open(struct block_io *io, const struct block_location *location,
               const struct block_open_options *options, struct block_device **ret_device,
               struct error *error);

/* ── identity ────────────────────────────────────────────────────────────────────────────────── */

enum block_identity_source {
    BLOCK_IDENTITY_NONE,   /* nothing on the device says who it is */
    BLOCK_IDENTITY_TABLE,  /* GPT disk GUID or MBR disk id (with the offset of a range) */
    BLOCK_IDENTITY_SERIAL, /* WWN or serial number of the hardware */
};

/* 128 bits that name the disk: the same on every start and on every machine it is put into. */
struct block_identity {
    enum block_identity_source source;
    uint8_t bytes[16];
    char description[128]; /* "GPT 6f1c…", for logs */
    /* The WWN or serial number, also where a table gives the identity: another one means another
     * disk, not a new table. */
    bool has_hardware;
    uint8_t hardware[16];
};

/* Blocks on the disk: at start, or on a worker. */
int block_identify(const struct block_location *location, struct block_identity *ret_identity,
                   struct error *error);

/* ── devices for tests ───────────────────────────────────────────────────────────────────────── */

/* A disk in memory. Requests complete from block_memory_dispatch(), so that tests own the order of
 * events. `absent` ranges read as not resident until fetched. */
struct block_device *block_memory_new(const struct block_geometry *geometry);
uint8_t *block_memory_bytes(struct block_device *device);
/* Completes at most `limit` waiting requests; 0: all, also those their callbacks submit. */
unsigned block_memory_dispatch(struct block_device *device, unsigned limit);
/* Everything resident (the default) or nothing. */
void block_memory_set_resident(struct block_device *device, bool resident);
void block_memory_resize(struct block_device *device, uint64_t blocks);

/* A device over another one that fails as told; it owns and closes `below`. */
struct block_fault {
    unsigned operations; /* bits: 1 << BLOCK_READ, … */
    uint64_t first_byte;
    uint64_t last_byte; /* inclusive */
    int result;         /* -EIO, -ENOSPC, … */
    unsigned times;     /* 0: for ever */
    bool hang;          /* hold requests back until block_faulty_release() */
};
struct block_device *block_faulty_new(struct block_device *below);
int block_faulty_add(struct block_device *device, const struct block_fault *fault);
void block_faulty_clear(struct block_device *device);
void block_faulty_release(struct block_device *device);
