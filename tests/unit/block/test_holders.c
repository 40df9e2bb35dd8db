/* test_holders.c - a machine that is not there: /sys and /proc of a disk with md, LVM and others
 * upon it */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/holders.h"

#include <netboot-target/util/array.h>

struct machine {
    char directory[40];
    char sys[64];
    char proc[64];
    struct system_root root;
};

static void put(const struct machine *machine, const char *path, const char *content)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", machine->directory, path);
    for (char *slash = full + strlen(machine->directory) + 1; (slash = strchr(slash, '/'));
         slash++) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void link_to(const struct machine *machine, const char *path, const char *target)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", machine->directory, path);
    assert_int_equal(symlink(target, full), 0);
}

/* A disk sdx (8:240) with partitions sdx1 and sdx2; nothing uses it. */
static void build_machine(struct machine *machine)
{
    strcpy(machine->directory, "/tmp/netboot-machine-XXXXXX");
    assert_non_null(mkdtemp(machine->directory));
    snprintf(machine->sys, sizeof machine->sys, "%s/sys", machine->directory);
    snprintf(machine->proc, sizeof machine->proc, "%s/proc", machine->directory);
    machine->root = (struct system_root){.sys = machine->sys, .proc = machine->proc, .dev = "/dev"};
    put(machine, "sys/block/sdx/dev", "8:240\n");
    put(machine, "sys/block/sdx/size", "204800\n");
    put(machine, "sys/block/sdx/holders/.keep", "");
    put(machine, "sys/block/sdx/sdx1/dev", "8:241\n");
    put(machine, "sys/block/sdx/sdx1/partition", "1\n");
    put(machine, "sys/block/sdx/sdx1/start", "2048\n");
    put(machine, "sys/block/sdx/sdx1/size", "2048\n");
    put(machine, "sys/block/sdx/sdx1/holders/.keep", "");
    put(machine, "sys/block/sdx/sdx2/dev", "8:242\n");
    put(machine, "sys/block/sdx/sdx2/partition", "2\n");
    put(machine, "sys/block/sdx/sdx2/holders/.keep", "");
    put(machine, "sys/dev/block/.keep", "");
    link_to(machine, "sys/dev/block/8:240", "../../block/sdx");
    link_to(machine, "sys/dev/block/8:241", "../../block/sdx/sdx1");
    link_to(machine, "sys/dev/block/8:242", "../../block/sdx/sdx2");
    put(machine, "proc/self/mountinfo", "21 1 0:19 / /proc rw - proc proc rw\n");
    put(machine, "proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat, (void)type, (void)walk;
    return remove(path);
}

static void remove_machine(struct machine *machine)
{
    nftw(machine->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool is_held(const struct machine *machine, unsigned minor_number,
                    enum holder_interest interest, struct error *holder)
{
    struct stat status = {.st_mode = S_IFBLK, .st_rdev = makedev(8, minor_number)};
    *holder = (struct error){""};
    return holders_find(&machine->root, "/dev/sdx", &status, interest, holder);
}

enum { DISK = 240, PARTITION_1 = 241, PARTITION_2 = 242 };

static void test_free_machine(void **state)
{
    (void)state;
    struct machine machine;
    struct error holder;
    build_machine(&machine);
    for (unsigned minor_number = DISK; minor_number <= PARTITION_2; minor_number++)
        assert_false(is_held(&machine, minor_number, HOLDERS_OF_WRITABLE, &holder));
    remove_machine(&machine);
}

static const struct {
    const char *what;
    const char *files[4][2];
    const char *sentence;
    bool holds_when_read_only;
} stacked[] = {
    {"LVM",
     {{"sys/block/sdx/sdx1/holders/dm-0", ""},
      {"sys/block/dm-0/dm/name", "vg0-root\n"},
      {"sys/block/dm-0/dm/uuid", "LVM-abcdef\n"}},
     "/dev/sdx1 is part of the LVM volume vg0-root (dm-0)",     true },
    {"dm-crypt",
     {{"sys/block/sdx/sdx1/holders/dm-1", ""},
      {"sys/block/dm-1/dm/name", "luks-1\n"},
      {"sys/block/dm-1/dm/uuid", "CRYPT-LUKS2-1\n"}},
     "/dev/sdx1 is part of the encrypted volume luks-1 (dm-1)", true },
    {"multipath",
     {{"sys/block/sdx/sdx1/holders/dm-2", ""},
      {"sys/block/dm-2/dm/name", "mpatha\n"},
      {"sys/block/dm-2/dm/uuid", "mpath-3600\n"}},
     "/dev/sdx1 is part of the multipath disk mpatha (dm-2)",   true },
    {"md",
     {{"sys/block/sdx/sdx1/holders/md0", ""}, {"sys/block/md0/md/level", "raid1\n"}},
     "/dev/sdx1 is part of the RAID array md0 (raid1)",         true },
    {"bcache",
     {{"sys/block/sdx/sdx1/holders/bcache0", ""}},
     "/dev/sdx1 is part of the device bcache0",                 true },
    {"a read-only volume",
     {{"sys/block/sdx/sdx1/holders/dm-3", ""},
      {"sys/block/dm-3/dm/name", "snap\n"},
      {"sys/block/dm-3/dm/uuid", "LVM-x\n"},
      {"sys/block/dm-3/ro", "1\n"}},
     "/dev/sdx1 is part of the LVM volume snap (dm-3)",         false},
    {"a mount with a blank in its name",
     {{"proc/self/mountinfo", "30 21 8:241 / /mnt/my\\040disk rw shared:1 - ext4 /dev/sdx1 rw\n"}},
     "/dev/sdx1 is mounted on /mnt/my disk",                    true },
    {"a read-only filesystem",
     {{"proc/self/mountinfo", "30 21 8:241 / /mnt ro - iso9660 /dev/sdx1 ro,nojoliet\n"}},
     "/dev/sdx1 is mounted on /mnt",                            false},
    {"a read-only view of a filesystem that may be written",
     {{"proc/self/mountinfo", "30 21 8:241 /boot /mnt ro - ext4 /dev/sdx1 rw\n"}},
     "/dev/sdx1 is mounted on /mnt",                            true },
};

static void test_stacked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(stacked); i++) {
        struct machine machine;
        struct error holder;
        build_machine(&machine);
        for (size_t f = 0; f < ARRAY_SIZE(stacked[i].files) && stacked[i].files[f][0]; f++)
            put(&machine, stacked[i].files[f][0], stacked[i].files[f][1]);
        print_message("  %s\n", stacked[i].what);
        /* The disk and the partition are held, the neighbour is not. */
        assert_true(is_held(&machine, DISK, HOLDERS_OF_WRITABLE, &holder));
        assert_string_equal(holder.text, stacked[i].sentence);
        assert_true(is_held(&machine, PARTITION_1, HOLDERS_OF_WRITABLE, &holder));
        assert_string_equal(holder.text, stacked[i].sentence);
        assert_false(is_held(&machine, PARTITION_2, HOLDERS_OF_WRITABLE, &holder));
        assert_int_equal(is_held(&machine, DISK, HOLDERS_OF_READ_ONLY, &holder),
                         stacked[i].holds_when_read_only);
        assert_int_equal(is_held(&machine, DISK, HOLDERS_CLAIMING_WRITERS, &holder),
                         stacked[i].holds_when_read_only);
        remove_machine(&machine);
    }
}

static void test_lines_that_are_no_mounts(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "\n",
        "30\n",
        "30 21 8:241 / /mnt rw ext4 /dev/sdx1 rw\n",
        "30 21 8:241 / - ext4\n",
        "30 21 x / /mnt rw - ext4 /dev/sdx1 rw\n",
        " - - - \n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct machine machine;
        struct error holder;
        build_machine(&machine);
        put(&machine, "proc/self/mountinfo", lines[i]);
        assert_false(is_held(&machine, DISK, HOLDERS_OF_WRITABLE, &holder));
        remove_machine(&machine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_machine),
        cmocka_unit_test(test_stacked),
        cmocka_unit_test(test_lines_that_are_no_mounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
