/* Commands aborted, and connections lost, in each state that a command can be in. */
#include "iscsi/connection_fixture.h"

/* What a command may be doing when it is aborted. */
enum doing {
    ASKING,
    GATHERING,
    ARRIVING,
    WAITING,
    EXECUTING,
    FETCHING,
    ANSWERING,
    HALF_ANSWERED,
    DOINGS
};

struct scene {
    struct world *world;
    struct peer *peer;
    uint32_t itt;
    struct iscsi_output held; /* what has been committed but not left */
};

static void set_scene(struct scene *scene, enum doing doing)
{
    struct world_options options = world_defaults();
    options.limits.credit_bytes = 512 << 10;
    scene->world = world_new(&options);
    struct peer *peer = scene->peer =
        peer_new(scene->world, "MaxRecvDataSegmentLength=65536\nMaxBurstLength=262144\n");
    scene->held.segment_count = 0;
    switch (doing) {
    case ASKING: /* its R2T has not been pulled yet */
        scene->itt = send_write(peer, 0, 256, NULL, 0);
        break;
    case GATHERING:
        scene->itt = send_write(peer, 0, 256, NULL, 0);
        expect_r2t(peer, scene->itt, 0, 0, 131072);
        break;
    case ARRIVING: {
        uint8_t bhs[BHS_BYTES] = {OP_DATA_OUT, BHS_FINAL};
        size_t length;
        scene->itt = send_write(peer, 0, 256, NULL, 0);
        struct pdu r2t = expect_r2t(peer, scene->itt, 0, 0, 131072);
        store_be32(bhs + BHS_ITT, scene->itt);
        store_be32(bhs + BHS_TTT, pdu_ttt(&r2t));
        uint8_t *wire = encode(peer, bhs, NULL, 0, pattern(1), 131072, &length);
        peer_feed(peer, wire, length / 2);
        free(wire);
        break;
    }
    case WAITING: {
        for (unsigned i = 0; i < 2; i++) {
            uint32_t itt = send_write(peer, 1000, 512, NULL, 0);
            expect_r2t(peer, itt, 0, 0, 262144);
        }
        scene->itt = send_write(peer, 0, 256, pattern(1), 4096);
        expect_nothing(peer);
        break;
    }
    case EXECUTING:
        hang(scene->world, BLOCK_WRITE);
        scene->itt = send_write(peer, 0, 8, pattern(1), 4096);
        expect_nothing(peer);
        break;
    case FETCHING:
        block_memory_set_resident(scene->world->memory, false);
        hang(scene->world, BLOCK_READ);
        scene->itt = send_read(peer, 0, 512);
        expect_nothing(peer);
        break;
    case ANSWERING:
        scene->itt = send_read(peer, 0, 512);
        break;
    case HALF_ANSWERED: /* its buffer is on the way, the rest behind it does not fit */
        block_memory_set_resident(scene->world->memory, false);
        scene->itt = send_read(peer, 0, 512);
        expect_nothing(peer);
        world_dispatch(scene->world);
        send_nop(peer, true, pattern(3), 4096);
        send_nop(peer, true, pattern(3), 4096);
        assert_true(peer_commit(peer, &scene->held));
        peer_take(peer, &scene->held);
        break;
    case DOINGS:
        fail();
    }
}

static void end_scene(struct scene *scene)
{
    for (unsigned i = 0; i < scene->held.segment_count; i++)
        iscsi_segment_release(scene->peer->connection, &scene->held.segments[i]);
    scene->held.segment_count = 0;
}

/* What has been committed is still what the disk holds. Returns how many buffers that is. */
static unsigned check_held(const struct scene *scene)
{
    const uint8_t *disk = block_memory_bytes(scene->world->memory);
    unsigned count = 0;
    for (unsigned i = 0; i < scene->held.segment_count; i++) {
        const struct iscsi_segment *segment = &scene->held.segments[i];
        if (segment->kind != ISCSI_SEGMENT_BUFFER)
            continue;
        assert_int_equal(segment->length, 65536);
        assert_memory_equal(segment->base, disk + 65536 * count++, 65536);
    }
    return count;
}

static bool waits_for_the_disk(enum doing doing)
{
    return doing == EXECUTING || doing == FETCHING;
}

/* By ABORT TASK of its own nexus, ABORT TASK SET, CLEAR TASK SET, LUN RESET and target reset. */
static void test_abort_in_each_state(void **state)
{
    (void)state;
    static const uint8_t functions[] = {1, 2, 4, 5, 6};
    for (size_t f = 0; f < ARRAY_SIZE(functions); f++) {
        for (enum doing doing = ASKING; doing < DOINGS; doing++) {
            struct scene scene;
            set_scene(&scene, doing);
            struct peer *peer = scene.peer;
            if (doing == ARRIVING) { /* from elsewhere: the own connection is in the middle */
                struct peer *other = peer_new(scene.world, "");
                uint32_t reset = send_management(other, 5, 0, 0);
                expect_management(other, reset, 0);
                assert_int_equal(peer->connection->credit_used, 0);
                assert_int_equal(iscsi_connection_bulk(peer->connection).iov_len, 0);
                world_free(scene.world);
                continue;
            }
            uint32_t management = send_management(peer, functions[f], 0, scene.itt);
            if (waits_for_the_disk(doing)) {
                expect_nothing(peer); /* not while the disk may still write */
                unhang(scene.world);
                assert_true(peer->woken);
            }
            if (doing == HALF_ANSWERED) {
                assert_int_equal(check_held(&scene), 3);
                end_scene(&scene);
                struct pdu pdu;
                do
                    assert_true(next_pdu(peer, &pdu));
                while (bhs_opcode(pdu.bhs) == OP_DATA_IN || bhs_opcode(pdu.bhs) == OP_NOP_IN);
                assert_int_equal(bhs_opcode(pdu.bhs), OP_TASK_MANAGEMENT_RESPONSE);
                assert_int_equal(pdu.bhs[2], 0);
            } else {
                expect_management(peer, management, 0);
            }
            expect_nothing(peer);
            if (functions[f] != 1) {
                assert_int_equal(peer->connection->session->outstanding, 0);
                assert_int_equal(peer->connection->credit_used, 0);
            }
            management = send_management(peer, 1, 0, scene.itt);
            expect_management(peer, management, 1); /* no such task any more */
            world_free(scene.world);
        }
    }
}

/* TAS of the control mode page. */
static void set_task_aborted_status(struct peer *peer)
{
    enum { BYTES = 4 + 12 };
    uint8_t page[BYTES], cdb[16] = {0x1a, 0x08, 0x0a, 0, BYTES};
    uint32_t itt = send_scsi(peer, READ_FLAGS, 0, cdb, BYTES, NULL, 0);
    struct pdu pdu = expect_pdu(peer, OP_DATA_IN);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
    assert_int_equal(pdu.length, BYTES);
    memcpy(page, pdu.data, BYTES);
    memset(page, 0, 4); /* the header's fields are reserved in MODE SELECT */
    page[4] &= 0x3f;
    page[4 + 5] |= 0x40;
    memcpy(cdb, (uint8_t[]){0x15, 0x10, 0, 0, BYTES}, 5);
    itt = send_scsi(peer, WRITE_FLAGS, 0, cdb, BYTES, page, BYTES);
    expect_good(peer, itt);
}

/* The TCP connection drops, before and after the task was aborted, with and without TASK ABORTED to
 * be sent (TAS): everything comes back, at the latest when the disk lets go. */
static void test_connection_drops_in_each_state(void **state)
{
    (void)state;
    for (unsigned aborting = 0; aborting < 3; aborting++) {
        for (enum doing doing = ASKING; doing < DOINGS; doing++) {
            struct scene scene;
            set_scene(&scene, doing);
            struct world *world = scene.world;
            struct peer *other = peer_new(world, "");
            if (aborting == 2)
                set_task_aborted_status(other);
            if (aborting)
                send_management(other, 5, 0, 0); /* LOGICAL UNIT RESET */
            end_scene(&scene);
            peer_close(scene.peer, "connection reset by peer");
            assert_int_equal(iscsi_node_connection_count(world->node),
                             waits_for_the_disk(doing) ? 2 : 1);
            unhang(world);
            assert_int_equal(iscsi_node_connection_count(world->node), 1);
            if (aborting)
                expect_pdu(other, OP_TASK_MANAGEMENT_RESPONSE);
            assert_int_equal(pool_taken_bytes(world->pool), 0);
            world_free(world);
        }
    }
}

/* TASK ABORTED goes to whom another initiator's reset has cost his command. */
static void test_task_aborted_status(void **state)
{
    (void)state;
    for (enum doing doing = ASKING; doing < DOINGS; doing++) {
        struct scene scene;
        set_scene(&scene, doing);
        struct peer *other = peer_new(scene.world, "");
        set_task_aborted_status(other);
        uint32_t reset = send_management(other, 5, 0, 0);
        unhang(scene.world);
        end_scene(&scene);
        struct pdu pdu;
        unsigned aborted = 0;
        while (next_pdu(scene.peer, &pdu)) {
            if (bhs_opcode(pdu.bhs) != OP_SCSI_RESPONSE)
                continue;
            assert_int_equal(pdu.bhs[3], SCSI_STATUS_TASK_ABORTED);
            aborted += load_be32(pdu.bhs + BHS_ITT) == scene.itt;
        }
        assert_int_equal(aborted, 1);
        expect_management(other, reset, 0);
        assert_int_equal(scene.peer->connection->credit_used, 0);
        world_free(scene.world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abort_in_each_state),
        cmocka_unit_test(test_connection_drops_in_each_state),
        cmocka_unit_test(test_task_aborted_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
