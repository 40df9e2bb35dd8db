/*
 * read_ahead.c - sequential READs of a writable LUN are prefetched by us. The kernel's own
 * read-ahead is off there: it builds large folios, and one small direct write into such a folio
 * drops all of it.
 */
#include <stdlib.h>

#include "internal.h"

#define READS_TO_BELIEVE   2 /* READs in a row before we believe in a stream */
#define FIRST_WINDOW_BYTES (256u << 10)
#define LAST_WINDOW_BYTES  (2u << 20)

static void prefetched(struct block_request *request)
{
    free(request);
}

/* Advice: whatever comes of it, nobody waits for it. */
static void prefetch(struct scsi_lu *lu, uint64_t offset_bytes, uint64_t length_bytes)
{
    if (block_residency(lu->device, offset_bytes, length_bytes) != BLOCK_ABSENT)
        return;
    struct block_request *request = calloc(1, sizeof *request);
    if (!request)
        return;
    request->operation = BLOCK_PREFETCH;
    request->offset_bytes = offset_bytes;
    request->length_bytes = length_bytes;
    request->done = prefetched;
    block_submit(lu->device, request);
}

static struct read_stream *find_stream(struct scsi_lu *lu, uint64_t offset_bytes)
{
    struct read_stream *oldest = &lu->streams[0];
    for (unsigned i = 0; i < READ_STREAMS; i++) {
        struct read_stream *stream = &lu->streams[i];
        if (stream->next_bytes == offset_bytes && stream->reads)
            return stream;
        if (stream->used < oldest->used)
            oldest = stream;
    }
    *oldest = (struct read_stream){.ahead_bytes = offset_bytes};
    return oldest;
}

void read_ahead_note(struct scsi_lu *lu, uint64_t offset_bytes, uint64_t length_bytes)
{
    if (lu->device->geometry.read_only)
        return; /* the kernel reads ahead */
    struct read_stream *stream = find_stream(lu, offset_bytes);
    stream->next_bytes = offset_bytes + length_bytes;
    stream->used = ++lu->stream_clock;
    if (++stream->reads <= READS_TO_BELIEVE)
        return;
    stream->ahead_bytes = max_of(stream->ahead_bytes, stream->next_bytes);
    uint64_t end = lu_bytes(lu, lu->blocks);
    if (stream->ahead_bytes - stream->next_bytes > stream->window_bytes / 2 ||
        stream->ahead_bytes >= end)
        return;
    stream->window_bytes = stream->window_bytes
                               ? min_of(2 * stream->window_bytes, LAST_WINDOW_BYTES)
                               : FIRST_WINDOW_BYTES;
    uint64_t length = min_of(end - stream->ahead_bytes, (uint64_t)stream->window_bytes);
    prefetch(lu, stream->ahead_bytes, length);
    stream->ahead_bytes += length;
}
