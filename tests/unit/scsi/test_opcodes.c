/* Walks the table of commands. */
#include "scsi/internal.h"

#include "scsi/fixture.h"

typedef void (*visitor)(const struct scsi_opcode *row, uint8_t opcode, bool has_service_action);

static unsigned walk(visitor visit)
{
    unsigned count = 0;
    for (unsigned code = 0; code < 256; code++) {
        const struct scsi_opcode *row = &scsi_opcodes[code];
        if (!row->name)
            continue;
        if (!row->service_actions) {
            visit(row, (uint8_t)code, false);
            count++;
        }
        for (unsigned i = 0; i < row->service_action_count; i++, count++)
            visit(&row->service_actions[i], (uint8_t)code, true);
    }
    return count;
}

/* SAM-5 §5.2: the group code says how long a CDB is. */
static unsigned cdb_bytes(uint8_t opcode)
{
    static const unsigned lengths[8] = {6, 10, 10, 0, 16, 12, 0, 0};
    return lengths[opcode >> 5];
}

static void check_row(const struct scsi_opcode *row, uint8_t opcode, bool has_service_action)
{
    assert_non_null(row->name);
    assert_non_null(row->execute);
    assert_int_equal(row->usage[0], opcode);
    assert_int_equal(row->cdb_bytes, cdb_bytes(opcode));
    assert_int_equal(!!(row->flags & OPCODE_SERVICE_ACTION), has_service_action);
    assert_true(row->timeout_seconds > 0);
    assert_int_equal(row->usage[row->cdb_bytes - 1], 0); /* CONTROL: no NACA */
    for (unsigned i = row->cdb_bytes; i < SCSI_CDB_BYTES; i++)
        assert_int_equal(row->usage[i], 255);
    assert_int_equal(!!(row->flags & OPCODE_RANGE), row->address != ADDRESS_NONE);
    if (row->flags & (OPCODE_WRITES | OPCODE_RANGE))
        assert_true(row->flags & OPCODE_MEDIUM);
    if (row->flags & OPCODE_WRITES)
        assert_int_equal(row->rule, RULE_WRITES);
    if (row->flags & OPCODE_TRANSFER)
        assert_true(row->flags & OPCODE_RANGE);
    /* what works everywhere always works */
    if (row->flags & OPCODE_ANY_LUN)
        assert_true(row->rule == RULE_ALWAYS && (row->flags & OPCODE_DESPITE_SANITIZE));
}

static void every_row_is_sound(void **state)
{
    (void)state;
    assert_int_equal(walk(check_row), 60);
}

static void service_actions_are_found(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 256; code++) {
        const struct scsi_opcode *row = &scsi_opcodes[code];
        for (unsigned i = 0; i < row->service_action_count; i++) {
            const struct scsi_opcode *action = &row->service_actions[i];
            assert_ptr_equal(scsi_opcode_find((uint8_t)code, action->usage[1] & 0x1f), action);
            if (i > 0) /* ascending, so none twice */
                assert_true((action[-1].usage[1] & 0x1f) < (action->usage[1] & 0x1f));
        }
    }
    assert_null(scsi_opcode_find(0x5e, 4));
    assert_null(scsi_opcode_find(0x04, 0)); /* FORMAT UNIT */
    assert_null(scsi_opcode_find(0x83, 0)); /* EXTENDED COPY */
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(scsi_opcode_name((uint8_t[16]){0x28}), "READ(10)");
    assert_string_equal(scsi_opcode_name((uint8_t[16]){0x9e, 0x10}), "READ CAPACITY(16)");
    assert_string_equal(scsi_opcode_name((uint8_t[16]){0x9e, 0x1f}), "SERVICE ACTION IN(16)");
    assert_string_equal(scsi_opcode_name((uint8_t[16]){0x9c}), "opcode 0x9c");
    assert_string_equal(scsi_opcode_name((uint8_t[16]){0xff}), "opcode 0xff");
}

static struct fixture *fixture_of_walk;

/* Every bit that the usage mask leaves out is refused, and the field pointer says which. */
static void check_reserved_bits(const struct scsi_opcode *row, uint8_t opcode, bool has_action)
{
    struct fixture *f = fixture_of_walk;
    for (unsigned bit = 8; bit < row->cdb_bytes * 8u; bit++) {
        struct request request = {CDB(opcode), .in_bytes = 4096};
        unsigned byte = bit / 8, mask = 1u << bit % 8;
        if ((row->usage[byte] & mask) || (has_action && byte == 1 && mask < 0x20))
            continue;
        struct io io;
        request.cdb[1] = has_action ? row->usage[1] & 0x1f : 0;
        request.cdb[byte] |= (uint8_t)mask;
        io_run(f, f->nexus[0], &io, &request);
        assert_int_equal(io.status, SCSI_STATUS_CHECK_CONDITION);
        assert_int_equal(io.asc_ascq, 0x2400);
        assert_int_equal(io.sense[15], 0xc8 | bit % 8);
        assert_int_equal(load_be16(io.sense + 16), byte);
        io_free(&io);
    }
}

static void reserved_bits_are_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    f->options.allow_sanitize = true;
    fixture_open(f);
    clear_attentions(f);
    fixture_of_walk = f;
    assert_true(walk(check_reserved_bits) > 0);
}

static void unknown_commands(void **state)
{
    struct fixture *f = *state;
    expect_error(f, 0, 0x5, 0x2000, CDB(0x04, 0, 0, 0, 0, 0));
    expect_error(f, 0, 0x5, 0x2000, CDB(0x83, 0));
    expect_error(f, 0, 0x5, 0x2000, CDB(0x9c, 0)); /* WRITE ATOMIC(16) */
    expect_error(f, 0, 0x5, 0x2400, CDB(0x5e, 4)); /* an action of a known opcode: field in CDB */
    expect_error(f, 0, 0x5, 0x2000, CDB(0x48, 1)); /* SANITIZE is off by default */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_sound),
        cmocka_unit_test(service_actions_are_found),
        cmocka_unit_test(names),
        scsi_test(reserved_bits_are_refused),
        scsi_test(unknown_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
