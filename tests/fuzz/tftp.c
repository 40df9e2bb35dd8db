/* tftp.c - a request, then packets to its transfer: the first bytes choose sizes and timing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/tftp.h>

#include "leaving.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_zeros(const struct byte_source *source, uint64_t offset, void *to, size_t length)
{
    if (offset > source->size || length > source->size - offset)
        abort(); /* the transfer asked for bytes that are not there */
    memset(to, 0, length);
    return 0;
}

static void pull(struct tftp_transfer *transfer)
{
    struct buffer out;
    buffer_init(&out, TFTP_PACKET_BYTES_LIMIT);
    for (unsigned packets = 0; tftp_transfer_next_packet(transfer, &out); packets++) {
        if (packets >= TFTP_WINDOWSIZE_LIMIT)
            abort();
        check_leaving(out.data, out.length);
        buffer_clear(&out);
    }
    buffer_done(&out);
}

/* The rest of the input as packets of four bytes, each behind a byte of waiting time. */
static void talk(const struct tftp_request *request, const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    struct byte_source source = {(uint64_t)data[0] << (data[1] & 15), read_zeros};
    uint64_t now_ms = 1;
    struct tftp_transfer *transfer =
        tftp_transfer_new(request, &source, &(struct tftp_limits){0}, now_ms);
    if (!transfer)
        return;
    for (data += 2, size -= 2; size >= 5; data += 5, size -= 5) {
        pull(transfer);
        now_ms += data[0] * 16u;
        tftp_transfer_expire(transfer, now_ms);
        if (tftp_transfer_receive(transfer, data + 1, 4, now_ms) == TFTP_ENDED)
            break;
    }
    pull(transfer);
    if (tftp_transfer_report(transfer)->bytes > source.size)
        abort();
    tftp_transfer_free(transfer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    size_t length = data[0] < size - 1 ? data[0] : size - 1;
    struct tftp_request request;
    struct tftp_refusal refusal;
    if (tftp_request_parse(data + 1, length, &request, &refusal) == 0)
        talk(&request, data + 1 + length, size - 1 - length);
    return 0;
}
