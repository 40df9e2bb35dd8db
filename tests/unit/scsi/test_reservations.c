/* Persistent reservations: registering, access, preemption, what is kept; RESERVE and RELEASE. */
#include "scsi/fixture.h"

enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, IGNORE, MOVE };
enum { WE = 1, EA = 3, WERO = 5, EARO = 6, WEAR = 7, EAAR = 8 };

#define KEY_0 0xaaaa000000000001ull
#define KEY_1 0xbbbb000000000002ull
#define KEY_2 0xcccc000000000003ull

static uint8_t list[4096];

static struct request out(unsigned action, unsigned type, uint64_t key, uint64_t action_key)
{
    memset(list, 0, sizeof(list));
    store_be64(list, key);
    store_be64(list + 8, action_key);
    return (struct request){CDB(0x5f, (uint8_t)action, (uint8_t)type, 0, 0, 0, 0, 0, 24, 0),
                            .out = list, .out_bytes = 24};
}

static void expect_out(struct fixture *f, unsigned nexus, unsigned action, unsigned type,
                       uint64_t key, uint64_t action_key)
{
    expect_status(f, nexus, out(action, type, key, action_key), SCSI_STATUS_GOOD);
}

static void refuse_out(struct fixture *f, unsigned nexus, unsigned action, unsigned type,
                       uint64_t key, uint64_t action_key)
{
    expect_status(f, nexus, out(action, type, key, action_key), SCSI_STATUS_RESERVATION_CONFLICT);
}

static void in(struct fixture *f, struct io *io, unsigned action, uint16_t allocation)
{
    struct request request = {CDB(0x5e, (uint8_t)action, 0, 0, 0, 0, 0, (uint8_t)(allocation >> 8),
                                  (uint8_t)allocation, 0)};
    io_run(f, f->nexus[2], io, &request);
    assert_int_equal(io->status, SCSI_STATUS_GOOD);
}

static uint32_t generation(struct fixture *f)
{
    struct io io;
    in(f, &io, 0, 8);
    uint32_t value = load_be32(io.in);
    io_free(&io);
    return value;
}

static void expect_keys(struct fixture *f, unsigned count, uint64_t first)
{
    struct io io;
    in(f, &io, 0, 4096);
    assert_int_equal(load_be32(io.in + 4), 8 * count);
    assert_int_equal(io.in_bytes, 8 + 8 * count);
    if (count)
        assert_true(load_be64(io.in + 8) == first);
    io_free(&io);
}

/* type 0: there is none */
static void expect_reservation(struct fixture *f, unsigned type, uint64_t key)
{
    struct io io;
    in(f, &io, 1, 4096);
    assert_int_equal(load_be32(io.in + 4), type ? 16 : 0);
    if (type) {
        assert_true(load_be64(io.in + 8) == key);
        assert_int_equal(io.in[21], type);
    }
    io_free(&io);
}

static void registering(void **state)
{
    struct fixture *f = *state;
    uint32_t before = generation(f);
    expect_keys(f, 0, 0);
    refuse_out(f, 0, REGISTER, 0, KEY_1, KEY_0); /* not registered: key must be 0 */
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_keys(f, 1, KEY_0);
    refuse_out(f, 0, REGISTER, 0, 0, KEY_1);
    refuse_out(f, 0, REGISTER, 0, KEY_1, KEY_1);
    expect_out(f, 0, REGISTER, 0, KEY_0, KEY_1);
    expect_keys(f, 1, KEY_1);
    expect_out(f, 0, IGNORE, 0, 0, KEY_2);
    expect_keys(f, 1, KEY_2);
    expect_out(f, 0, REGISTER, 0, KEY_2, 0);
    expect_keys(f, 0, 0);
    assert_int_equal(generation(f), before + 4);
    expect_out(f, 0, IGNORE, 0, KEY_0, KEY_0);
    struct io io;
    in(f, &io, 0, 8); /* the length is not cut */
    assert_int_equal(io.in_bytes, 8);
    assert_int_equal(load_be32(io.in + 4), 8);
    io_free(&io);
}

static void bad_lists(void **state)
{
    struct fixture *f = *state;
    struct request request = out(REGISTER, 0, 0, KEY_0);
    request.cdb[8] = 23;
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request.cdb[8] = 28;
    request.out_bytes = 28;
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request.cdb[8] = 24;
    request.out_bytes = 20;
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request.cdb[5] = 0x7f; /* a gigabyte of it */
    expect_sense(f, 0, request, 0x5, 0x1a00);
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    for (unsigned type = 0; type < 16; type++) {
        if (type == WE || type == EA || (type >= WERO && type <= EAAR))
            continue;
        expect_sense(f, 0, out(RESERVE, type, KEY_0, 0), 0x5, 0x2400);
    }
    expect_sense(f, 0, out(RESERVE, 0x10 | WE, KEY_0, 0), 0x5, 0x2400); /* not LU_SCOPE */
    for (uint8_t action = 4; action < 32; action++)
        expect_error(f, 0, 0x5, 0x2400, CDB(0x5e, action, 0, 0, 0, 0, 0, 1, 0, 0));
    for (uint8_t action = 8; action < 32; action++)
        expect_error(f, 0, 0x5, 0x2400, CDB(0x5f, action, 0, 0, 0, 0, 0, 0, 24, 0), .out = list,
                     .out_bytes = 24);
}

static void capabilities(void **state)
{
    struct fixture *f = *state;
    struct io io;
    in(f, &io, 2, 255);
    assert_int_equal(io.in_bytes, 8);
    assert_memory_equal(io.in, ((uint8_t[]){0, 8, 0x1d, 0x80, 0xea, 0x01, 0, 0}), 8);
    io_free(&io);
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    static const unsigned types[] = {WE, EA, WERO, EARO, WEAR, EAAR};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        expect_out(f, 0, RESERVE, types[i], KEY_0, 0);
        expect_out(f, 0, RESERVE, types[i], KEY_0, 0); /* again: no change */
        refuse_out(f, 0, RESERVE, types[i] == WE ? EA : WE, KEY_0, 0);
        expect_reservation(f, types[i], types[i] >= WEAR ? 0 : KEY_0);
        expect_sense(f, 0, out(RELEASE, types[i] == WE ? EA : WE, KEY_0, 0), 0x5, 0x2604);
        refuse_out(f, 0, RELEASE, types[i], KEY_1, 0);
        expect_out(f, 0, RELEASE, types[i], KEY_0, 0);
        expect_reservation(f, 0, 0);
        expect_out(f, 0, RELEASE, types[i], KEY_0, 0); /* nothing to release */
    }
}

static bool works(struct fixture *f, unsigned nexus, const struct request *request)
{
    struct io io;
    io_run(f, f->nexus[nexus], &io, request);
    bool good = io.status == SCSI_STATUS_GOOD;
    assert_true(good || io.status == SCSI_STATUS_RESERVATION_CONFLICT);
    io_free(&io);
    return good;
}

/* Nexus 0 holds it, 1 is registered, 2 is not. */
static void access_by_type(void **state)
{
    struct fixture *f = *state;
    static uint8_t block[2 * BLOCK];
    static const struct {
        unsigned type;
        bool registered_reads, registered_writes, others_read, others_write;
    } rows[] = {
        {WE,   1, 0, 1, 0},
        {EA,   0, 0, 0, 0},
        {WERO, 1, 1, 1, 0},
        {EARO, 1, 1, 0, 0},
        {WEAR, 1, 1, 1, 0},
        {EAAR, 1, 1, 0, 0},
    };
    static const struct request reads[] = {
        {CDB(0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0)}, {CDB(0x88, [13] = 1)},
        {CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0)}, {CDB(0x34, 0, 0, 0, 0, 0, 0, 0, 1, 0)},
        {CDB(0x1a, 8, 0x3f, 0, 255, 0)},        {CDB(0x9e, 0x12, [13] = 24)},
    };
    static const struct request writes[] = {
        {CDB(0x2a,      0,                      0,            0,                                           0,                                                                          1,                                                                                                                                  0, 0, 1, 0), .out = block, .out_bytes = BLOCK},
        {CDB(0x41,            0,                                 0,                                           0,                                                                          0,                                                                                                                                  1,                                                                                                                                                                                                                                                                    0, 0, 1, 0), .out = block, .out_bytes = BLOCK},
        {CDB(0x89, [13] = 1),.out = block,.out_bytes = 2 * BLOCK},
        {CDB(0x8b,            [13] = 1),                                .out = block,                                .out_bytes = BLOCK                                                        },
        {CDB(0x2e, 2,            0,                                                                  0,                                                                                                                                                                               0,1,0, 0, 1, 0), .out = block, .out_bytes = BLOCK},
        {CDB(0x35,             0)                           },
        {CDB(0x42,            0)                                },
        {CDB(0x15,      0x10)             },
        {CDB(0x1b,   0,            0,                                       0,              0,                                                                                                                                   0)                                                                                                                                                                                                                                                             },
    };
    static const struct request always[] = {
        {CDB_TUR},
        {CDB(0x12, [4] = 96)},
        {CDB(0x25, 0)},
        {CDB(0x5e, 0, [8] = 8)},
        {CDB(0x1b, 0, 0, 0, 1, 0)},
        {CDB(0x1e, 0)},
        {CDB(0x4d, 0, 0x40, [8] = 64)},
    };
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_out(f, 1, REGISTER, 0, 0, KEY_1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        expect_out(f, 0, RESERVE, rows[i].type, KEY_0, 0);
        for (size_t j = 0; j < ARRAY_SIZE(reads); j++) {
            assert_true(works(f, 0, &reads[j]));
            assert_int_equal(works(f, 1, &reads[j]), rows[i].registered_reads);
            assert_int_equal(works(f, 2, &reads[j]), rows[i].others_read);
        }
        for (size_t j = 0; j < ARRAY_SIZE(writes); j++) {
            memset(f->disk.bytes, 0, 4 * BLOCK);
            assert_true(works(f, 0, &writes[j]));
            assert_int_equal(works(f, 1, &writes[j]), rows[i].registered_writes);
            assert_int_equal(works(f, 2, &writes[j]), rows[i].others_write);
        }
        for (size_t j = 0; j < ARRAY_SIZE(always); j++)
            assert_true(works(f, 2, &always[j]));
        expect_out(f, 0, RELEASE, rows[i].type, KEY_0, 0);
        if (rows[i].type >= WERO)
            expect_error(f, 1, 0x6, 0x2a04, CDB_TUR); /* RESERVATIONS RELEASED */
        expect_good(f, 1, CDB_TUR);
        expect_good(f, 2, CDB_TUR);
    }
}

static void unregistering_the_holder(void **state)
{
    struct fixture *f = *state;
    static const unsigned types[] = {WE, EA, WERO, EARO, WEAR, EAAR};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        bool shared = types[i] >= WEAR;
        expect_out(f, 0, IGNORE, 0, 0, KEY_0);
        expect_out(f, 1, IGNORE, 0, 0, KEY_1);
        expect_out(f, 0, RESERVE, types[i], KEY_0, 0);
        expect_out(f, 0, REGISTER, 0, KEY_0, 0);
        expect_reservation(f, shared ? types[i] : 0, 0);
        if (types[i] == WERO || types[i] == EARO)
            expect_error(f, 1, 0x6, 0x2a04, CDB_TUR);
        if (shared)
            expect_out(f, 1, RELEASE, types[i], KEY_1, 0);
        expect_out(f, 1, REGISTER, 0, KEY_1, 0);
        expect_reservation(f, 0, 0);
    }
    expect_out(f, 1, IGNORE, 0, 0, KEY_1); /* shared by one alone: gone with the last */
    expect_out(f, 1, RESERVE, EAAR, KEY_1, 0);
    expect_out(f, 1, REGISTER, 0, KEY_1, 0);
    expect_reservation(f, 0, 0);
}

static void clearing(void **state)
{
    struct fixture *f = *state;
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_out(f, 1, REGISTER, 0, 0, KEY_1);
    expect_out(f, 0, RESERVE, EA, KEY_0, 0);
    uint32_t before = generation(f);
    refuse_out(f, 2, CLEAR, 0, 0, 0);
    expect_out(f, 1, CLEAR, 0, KEY_1, 0);
    assert_int_equal(generation(f), before + 1);
    expect_keys(f, 0, 0);
    expect_reservation(f, 0, 0);
    expect_error(f, 0, 0x6, 0x2a03, CDB_TUR);
    expect_good(f, 1, CDB_TUR);
}

static void preempting_a_registration(void **state)
{
    struct fixture *f = *state;
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_out(f, 1, REGISTER, 0, 0, KEY_1);
    uint32_t before = generation(f);
    refuse_out(f, 1, PREEMPT, EA, KEY_1, KEY_2); /* nobody has that key */
    refuse_out(f, 1, PREEMPT, EA, KEY_2, KEY_0);
    expect_sense(f, 1, out(PREEMPT, EA, KEY_1, 0), 0x5, 0x2600);
    expect_out(f, 1, PREEMPT, EA, KEY_1, KEY_0);
    assert_int_equal(generation(f), before + 1);
    expect_keys(f, 1, KEY_1);
    expect_reservation(f, 0, 0); /* there was none to take over */
    expect_error(f, 0, 0x6, 0x2a05, CDB_TUR);
    expect_good(f, 1, CDB_TUR);
}

static void preempting_the_holder(void **state)
{
    struct fixture *f = *state;
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_out(f, 1, REGISTER, 0, 0, KEY_1);
    expect_out(f, 2, REGISTER, 0, 0, KEY_2);
    expect_out(f, 0, RESERVE, WERO, KEY_0, 0);
    expect_out(f, 1, PREEMPT, EA, KEY_1, KEY_0);
    expect_error(f, 0, 0x6, 0x2a05, CDB_TUR);
    expect_error(f, 2, 0x6, 0x2a04, CDB_TUR); /* whose access has changed */
    expect_reservation(f, EA, KEY_1);
    refuse_out(f, 0, RESERVE, WE, KEY_0, 0);
    /* all registrants: key 0 means everybody else */
    expect_out(f, 1, RELEASE, EA, KEY_1, 0);
    expect_out(f, 1, RESERVE, WEAR, KEY_1, 0);
    expect_out(f, 2, PREEMPT, WE, KEY_2, KEY_1);
    expect_reservation(f, WEAR, 0); /* a key: only the registration goes */
    expect_keys(f, 1, KEY_2);
    expect_error(f, 1, 0x6, 0x2a05, CDB_TUR);
    expect_out(f, 1, REGISTER, 0, 0, KEY_1);
    expect_out(f, 2, PREEMPT, WE, KEY_2, 0);
    expect_reservation(f, WE, KEY_2);
    expect_keys(f, 1, KEY_2);
}

static void preempt_and_abort_waits_for_the_aborted(void **state)
{
    struct fixture *f = *state;
    static uint8_t block[BLOCK];
    struct io victim, bystander, preempt;
    struct request write = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = block, .out_bytes = BLOCK};
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_out(f, 1, REGISTER, 0, 0, KEY_1);
    expect_out(f, 0, RESERVE, WERO, KEY_0, 0);
    io_begin(f->nexus[0], &victim, &write);
    io_begin(f->nexus[1], &bystander, &write);
    struct request request = out(PREEMPT_AND_ABORT, WE, KEY_1, KEY_0);
    assert_int_equal(io_begin(f->nexus[1], &preempt, &request), SCSI_PENDING);
    assert_true(victim.aborted && !bystander.aborted && !preempt.done);
    disk_dispatch(&f->disk, 1);
    assert_true(victim.finished && preempt.done);
    io_finish(&preempt);
    assert_int_equal(preempt.status, SCSI_STATUS_GOOD);
    disk_dispatch(&f->disk, 0);
    io_finish(&bystander);
    expect_reservation(f, WE, KEY_1);
    io_free(&victim);
    io_free(&bystander);
    io_free(&preempt);
    expect_error(f, 0, 0x6, 0x2a05, CDB_TUR);
}

static size_t put_transport_id(uint8_t *to, const char *name, uint8_t format)
{
    size_t padded = max_of(round_up(strlen(name) + 1, (size_t)4), (size_t)20);
    memset(to, 0, 4 + padded);
    to[0] = format;
    store_be16(to + 2, (uint16_t)padded);
    memcpy(to + 4, name, strlen(name));
    return 4 + padded;
}

static struct request move(const char *port, uint16_t target_port, uint64_t action_key,
                           uint8_t bits)
{
    struct request request = out(MOVE, 0, KEY_0, action_key);
    list[17] = bits;
    store_be16(list + 18, target_port);
    size_t length = put_transport_id(list + 24, port, 0x45);
    store_be32(list + 20, (uint32_t)length);
    request.cdb[8] = (uint8_t)(24 + length);
    request.out_bytes = (uint32_t)(24 + length);
    return request;
}

static void moving(void **state)
{
    struct fixture *f = *state;
    const char *port = "iqn.2026-11.test:host1,i,0x00023d000001";
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_status(f, 0, move(port, 1, KEY_1, 0), SCSI_STATUS_RESERVATION_CONFLICT);
    expect_out(f, 0, RESERVE, WE, KEY_0, 0);
    expect_sense(f, 0, move(port, 2, KEY_1, 0), 0x5, 0x2600);
    expect_sense(f, 0, move(port, 1, 0, 0), 0x5, 0x2600);
    expect_sense(f, 0, move("iqn.2026-11.test:host0,i,0x00023d000000", 1, KEY_1, 0), 0x5, 0x2600);
    expect_sense(f, 0, move("iqn.2026-11.test:host1", 1, KEY_1, 0), 0x5, 0x2600);
    expect_status(f, 0, move(port, 1, KEY_1, 0), SCSI_STATUS_GOOD);
    expect_reservation(f, WE, KEY_1);
    expect_keys(f, 2, KEY_0);
    expect_out(f, 1, RELEASE, WE, KEY_1, 0); /* that nexus holds it now */
    expect_reservation(f, 0, 0);
    expect_out(f, 0, RESERVE, EA, KEY_0, 0);
    expect_status(f, 0, move("iqn.2026-11.test:elsewhere,i,0x1", 1, KEY_2, 0x02), SCSI_STATUS_GOOD);
    expect_keys(f, 2, KEY_1); /* UNREG */
    expect_reservation(f, EA, KEY_2);
    expect_conflict(f, 0, CDB(0x28, [8] = 1));
}

/* An initiator may write another one's name and ISID in capitals. */
static void moving_to_a_port_in_capitals(void **state)
{
    struct fixture *f = *state;
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_out(f, 0, RESERVE, WE, KEY_0, 0);
    expect_sense(f, 0, move("IQN.2026-11.Test:Host0,I,0X00023D000000", 1, KEY_1, 0), 0x5, 0x2600);
    expect_status(f, 0, move("IQN.2026-11.Test:Host1,i,0x00023D000001", 1, KEY_1, 0),
                  SCSI_STATUS_GOOD);
    expect_keys(f, 2, KEY_0);
    expect_out(f, 1, RELEASE, WE, KEY_1, 0); /* that nexus holds it now */
    expect_reservation(f, 0, 0);
}

static void registering_others(void **state)
{
    struct fixture *f = *state;
    struct request request = out(REGISTER, 0, 0, KEY_0);
    list[20] = 0x08; /* SPEC_I_PT */
    size_t at = 28;
    at += put_transport_id(list + at, "iqn.2026-11.test:host1", 0x05); /* all its ports */
    at += put_transport_id(list + at, "iqn.2026-11.test:elsewhere,i,0x1", 0x45);
    store_be32(list + 24, (uint32_t)at - 28);
    request.cdb[8] = (uint8_t)at;
    request.out_bytes = (uint32_t)at;
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    expect_keys(f, 3, KEY_0);
    expect_out(f, 1, REGISTER, 0, KEY_0, KEY_1);
    struct io io;
    in(f, &io, 3, 4096); /* READ FULL STATUS */
    assert_int_equal(load_be32(io.in + 4), io.in_bytes - 8);
    size_t descriptor = 8;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(load_be16(io.in + descriptor + 18), 1);
        assert_int_equal(io.in[descriptor + 24], 0x45);
        descriptor += 24 + load_be32(io.in + descriptor + 20);
    }
    assert_int_equal(descriptor, io.in_bytes);
    io_free(&io);
    request = out(REGISTER, 0, KEY_0, KEY_0); /* not for who is registered */
    list[20] = 0x08;
    request.cdb[8] = 28;
    request.out_bytes = 28;
    expect_sense(f, 0, request, 0x5, 0x2600);
}

/* No room for all of a list: none of it is registered. */
static void registrations_are_bounded(void **state)
{
    struct fixture *f = *state;
    unsigned registered = 0;
    while (registered < 256) {
        struct request request = out(REGISTER, 0, 0, KEY_0);
        list[20] = 0x08;
        size_t at = 28;
        for (unsigned i = 0; i < 90; i++) {
            char name[64];
            snprintf(name, sizeof(name), "iqn.x:%u,i,0x1", registered + i);
            at += put_transport_id(list + at, name, 0x45);
        }
        store_be32(list + 24, (uint32_t)at - 28);
        store_be32(request.cdb + 5, (uint32_t)at);
        request.out_bytes = (uint32_t)at;
        if (registered + 91 > 256) {
            expect_sense(f, 0, request, 0x5, 0x5504);
            break;
        }
        expect_status(f, 0, request, SCSI_STATUS_GOOD);
        registered += 91;
        expect_out(f, 0, REGISTER, 0, KEY_0, 0);
        registered--;
    }
    expect_keys(f, registered, KEY_0);
}

/* ── APTPL ───────────────────────────────────────────────────────────────────────────────────── */

static struct request persist(unsigned action, uint64_t key, uint64_t action_key)
{
    struct request request = out(action, 0, key, action_key);
    list[20] = 0x01;
    return request;
}

static void it_answers_when_the_store_has_it(void **state)
{
    struct fixture *f = *state;
    struct io io, other;
    f->store.waits = true;
    struct request request = persist(REGISTER, 0, KEY_0);
    assert_int_equal(io_begin(f->nexus[0], &io, &request), SCSI_PENDING);
    request = out(REGISTER, 0, 0, KEY_1);
    assert_int_equal(io_begin(f->nexus[1], &other, &request), SCSI_PENDING);
    assert_int_equal(f->store.puts, 1); /* one after the other */
    store_answer(&f->store, 0);
    assert_true(io.done);
    io_finish(&io);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    assert_int_equal(f->store.puts, 2); /* the latest registration said APTPL 0: forget it */
    store_answer(&f->store, -EIO);
    assert_true(other.done);
    io_finish(&other);
    assert_int_equal(other.key, 0x4);
    assert_int_equal(other.asc_ascq, 0x4400);
    io_free(&io);
    io_free(&other);
    assert_string_equal(f->store.name, "reservations.test");
}

static void reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
    for (unsigned i = 0; i < NEXUSES; i++) {
        scsi_nexus_end(f->nexus[i], NULL, NULL);
        f->nexus[i] = NULL;
    }
    assert_int_equal(scsi_lu_restore_reservations(f->lu, f->store.record, f->store.length), 0);
    for (unsigned i = 0; i < NEXUSES; i++)
        nexus_open(f, i);
    clear_attentions(f);
}

static void what_is_kept_comes_back(void **state)
{
    struct fixture *f = *state;
    char description[200];
    static const unsigned types[] = {WE, EAAR};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        expect_status(f, 1, persist(IGNORE, 0, KEY_1), 0);
        expect_status(f, 0, persist(IGNORE, 0, KEY_0), 0);
        expect_out(f, 0, RESERVE, types[i], KEY_0, 0);
        reopen(f);
        expect_keys(f, 2, KEY_1);
        expect_reservation(f, types[i], types[i] == WE ? KEY_0 : 0);
        scsi_lu_describe_reservation(f->lu, description, sizeof(description));
        assert_string_equal(description,
                            i == 0 ? "WRITE EXCLUSIVE by iqn.2026-11.test:host0,i,0x00023d000000"
                                   : "EXCLUSIVE ACCESS, ALL REGISTRANTS (2 registered)");
        expect_conflict(f, 2, CDB(0x35, 0));
        struct io io;
        in(f, &io, 2, 8);
        assert_int_equal(io.in[3] & 1, 1); /* PTPL_A */
        io_free(&io);
        expect_out(f, 0, CLEAR, 0, KEY_0, 0);
        clear_attentions(f);
        reopen(f);
        expect_keys(f, 0, 0);
    }
}

static void without_aptpl_it_is_gone(void **state)
{
    struct fixture *f = *state;
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_out(f, 0, RESERVE, WE, KEY_0, 0);
    assert_int_equal(f->store.puts, 0);
    expect_status(f, 0, persist(REGISTER, KEY_0, KEY_0), 0);
    expect_out(f, 0, REGISTER, 0, KEY_0, KEY_0);
    reopen(f);
    expect_keys(f, 0, 0);
    f->environment.store = NULL;
    expect_sense(f, 0, persist(REGISTER, 0, KEY_0), 0x5, 0x2600);
    struct io io;
    in(f, &io, 2, 8);
    assert_int_equal(io.in[2] & 1, 0); /* PTPL_C */
    io_free(&io);
}

static void what_could_not_be_forgotten_is_forgotten_later(void **state)
{
    struct fixture *f = *state;
    expect_status(f, 0, persist(REGISTER, 0, KEY_0), 0);
    expect_out(f, 0, RESERVE, WE, KEY_0, 0);
    size_t length = f->store.length;
    uint8_t kept[256];
    assert_true(length <= sizeof kept);
    memcpy(kept, f->store.record, length);
    f->store.result = -ENOSPC;
    expect_sense(f, 0, out(REGISTER, 0, KEY_0, KEY_0), 0x4, 0x4400);
    memcpy(f->store.record, kept, length); /* it was not written */
    f->store.length = length;
    f->store.result = 0;
    expect_out(f, 0, RELEASE, WE, KEY_0, 0);
    reopen(f);
    expect_keys(f, 0, 0);
}

/* A record cut or changed anywhere is refused or harmless, and leaves nothing behind. */
static void foreign_records_are_refused(void **state)
{
    struct fixture *f = *state;
    expect_status(f, 1, persist(REGISTER, 0, KEY_1), 0);
    expect_status(f, 0, persist(REGISTER, 0, KEY_0), 0);
    expect_out(f, 0, RESERVE, WE, KEY_0, 0);
    size_t length = f->store.length;
    struct scsi_lu *lu = scsi_lu_new(&f->environment, &f->disk.device, &f->options);
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(scsi_lu_restore_reservations(lu, f->store.record, i), -EINVAL);
        char description[100];
        scsi_lu_describe_reservation(lu, description, sizeof(description));
        assert_string_equal(description, "");
    }
    scsi_lu_free(lu);
    for (size_t i = 0; i < 13; i++) { /* the header */
        uint8_t saved = f->store.record[i];
        f->store.record[i] = 0x77;
        lu = scsi_lu_new(&f->environment, &f->disk.device, &f->options);
        assert_int_equal(scsi_lu_restore_reservations(lu, f->store.record, length), -EINVAL);
        scsi_lu_free(lu);
        f->store.record[i] = saved;
    }
}

/* ── RESERVE and RELEASE ─────────────────────────────────────────────────────────────────────── */

static void reserve_and_release(void **state)
{
    struct fixture *f = *state;
    expect_good(f, 0, CDB(0x16));
    expect_good(f, 0, CDB(0x56));
    expect_conflict(f, 1, CDB(0x16));
    expect_conflict(f, 1, CDB(0x1a, 0, 0x3f, 0, 255));
    expect_conflict(f, 1, CDB_TUR);
    expect_conflict(f, 1, CDB(0x5e, 0, [8] = 8));
    expect_status(f, 1, out(REGISTER, 0, 0, KEY_1), SCSI_STATUS_RESERVATION_CONFLICT);
    expect_status(f, 0, out(REGISTER, 0, 0, KEY_0), SCSI_STATUS_RESERVATION_CONFLICT);
    expect_good(f, 1, CDB(0x12, [4] = 96));
    expect_good(f, 1, CDB(0xa0, [9] = 16));
    expect_good(f, 1, CDB(0x03, [4] = 18));
    expect_good(f, 1, CDB(0x17)); /* not its own: nothing happens */
    expect_conflict(f, 1, CDB_TUR);
    expect_good(f, 0, CDB(0x1a, 0, 0x3f, 0, 255));
    expect_good(f, 0, CDB(0x57));
    expect_good(f, 1, CDB(0x16));
    scsi_nexus_end(f->nexus[1], NULL, NULL); /* logout, or nexus loss */
    f->nexus[1] = NULL;
    expect_good(f, 0, CDB_TUR);
    nexus_open(f, 1);
    clear_attentions(f);
}

static void reserve_beside_registrations(void **state)
{
    struct fixture *f = *state;
    expect_out(f, 0, REGISTER, 0, 0, KEY_0);
    expect_conflict(f, 1, CDB(0x16));
    expect_conflict(f, 0, CDB(0x16));
    expect_out(f, 0, RESERVE, WE, KEY_0, 0);
    expect_good(f, 0, CDB(0x16)); /* CRH: to no effect */
    expect_good(f, 0, CDB(0x17));
    expect_reservation(f, WE, KEY_0);
    expect_good(f, 1, CDB_TUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(registering),
        scsi_test(bad_lists),
        scsi_test(capabilities),
        scsi_test(access_by_type),
        scsi_test(unregistering_the_holder),
        scsi_test(clearing),
        scsi_test(preempting_a_registration),
        scsi_test(preempting_the_holder),
        scsi_test(preempt_and_abort_waits_for_the_aborted),
        scsi_test(moving),
        scsi_test(moving_to_a_port_in_capitals),
        scsi_test(registering_others),
        scsi_test(registrations_are_bounded),
        scsi_test(it_answers_when_the_store_has_it),
        scsi_test(what_could_not_be_forgotten_is_forgotten_later),
        scsi_test(what_is_kept_comes_back),
        scsi_test(without_aptpl_it_is_gone),
        scsi_test(foreign_records_are_refused),
        scsi_test(reserve_and_release),
        scsi_test(reserve_beside_registrations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
