/* test_files.c - small files, and kernels without entries */
#include "fixture.h"

static void test_shell_values(void **state)
{
    static const char text[] = "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME='Debian \"12\"'\nID=debian\n"
                               "  SPACED=x\nID_LIKE=y\nEMPTY=\nESCAPED=\"a\\\"b\\$c\"\nNAME=last";
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"NAME",        "last"         },
        {"PRETTY_NAME", "Debian \"12\""},
        {"ID",          "debian"       },
        {"SPACED",      "x"            },
        {"EMPTY",       ""             },
        {"ESCAPED",     "a\"b$c"       },
        {"ABSENT",      NULL           },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char value[LOADER_VALUE_BYTES];
        bool found = loader_shell_value(TEXT(text), rows[i].name, value);
        assert_int_equal(found, rows[i].value != NULL);
        if (found)
            assert_string_equal(value, rows[i].value);
    }
}

static void test_fstab(void **state)
{
    static const char text[] = "# <file system> <mount point>\n"
                               "UUID=1-2\t/  ext4 errors=remount-ro 0 1\n"
                               "\n/dev/sda1 /boot ext4\nLABEL=x none swap sw 0 0\n"
                               "LABEL=\"my\\040big\\134disk\\9\" /srv ext4\n";
    char long_text[LOADER_PATH_BYTES + 32] = "";
    char device[LOADER_PATH_BYTES], options[LOADER_PATH_BYTES];
    (void)state;
    assert_true(loader_fstab_find(TEXT(text), "/", device, options));
    assert_string_equal(device, "UUID=1-2");
    assert_string_equal(options, "errors=remount-ro");
    assert_true(loader_fstab_find(TEXT(text), "/boot", device, options));
    assert_string_equal(device, "/dev/sda1");
    assert_string_equal(options, "");
    assert_true(loader_fstab_find(TEXT(text), "/srv", device, options));
    assert_string_equal(device, "LABEL=my big\\disk\\9");
    assert_false(loader_fstab_find(TEXT(text), "/home", device, options));
    memset(long_text, 'x', LOADER_PATH_BYTES);
    strcat(long_text, " / ext4");
    assert_true(loader_fstab_find(long_text, strlen(long_text), "/", device, options));
    assert_string_equal(device, "");
}

static void test_cmdline(void **state)
{
    struct buffer out;
    (void)state;
    buffer_init(&out, 100);
    loader_cmdline_file(&out, TEXT("# ours\nroot=a  ro\n\tquiet\n"));
    assert_string_equal(buffer_string(&out), "root=a ro quiet");
    buffer_done(&out);
}

static void test_root_nodes(void **state)
{
    static const struct {
        const char *options, *word; /* NULL: none */
        unsigned partition;
    } rows[] = {
        {"root=/dev/sda2 ro",                "root=/dev/sda2",          2  },
        {"ro\troot=/dev/vdab12",             "root=/dev/vdab12",        12 },
        {"root=/dev/hda",                    "root=/dev/hda",           0  },
        {"quiet root=/dev/xvda1",            "root=/dev/xvda1",         1  },
        {"root=/dev/nvme0n1p3",              "root=/dev/nvme0n1p3",     3  },
        {"root=/dev/nvme10n12p128 rw",       "root=/dev/nvme10n12p128", 128},
        {"root=/dev/nvme0n1",                "root=/dev/nvme0n1",       0  },
        {"root=/dev/mmcblk1p2",              "root=/dev/mmcblk1p2",     2  },
        {"root=UUID=1 root=/dev/sda1",       "root=/dev/sda1",          1  },
        {"root=/dev/sda1 root=UUID=1",       NULL,                      0  },
        {"root=UUID=1-2",                    NULL,                      0  },
        {"root=/dev/mapper/vg-root",         NULL,                      0  },
        {"root=/dev/disk/by-uuid/1",         NULL,                      0  },
        {"root=/dev/sd",                     NULL,                      0  },
        {"root=/dev/sda2x",                  NULL,                      0  },
        {"root=/dev/sda99999",               NULL,                      0  },
        {"root=/dev/nvme0n1p",               NULL,                      0  },
        {"root=/dev/nvme0n1q2",              NULL,                      0  },
        {"myroot=/dev/sda2 xroot=/dev/sda1", NULL,                      0  },
        {"",                                 NULL,                      0  },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct loader_root_node node;
        assert_int_equal(loader_find_root_node(&node, rows[i].options), rows[i].word != NULL);
        if (!rows[i].word)
            continue;
        assert_int_equal(node.length, strlen(rows[i].word));
        assert_memory_equal(rows[i].options + node.offset, rows[i].word, node.length);
        assert_int_equal(node.partition, rows[i].partition);
    }
}

static void test_kernel_names(void **state)
{
    static const struct {
        const char *name, *version;
    } rows[] = {
        {"vmlinuz-6.1.0-13-amd64",  "6.1.0-13-amd64" },
        {"vmlinuz-linux",           "linux"          },
        {"vmlinuz-6.5.fc39.x86_64", "6.5.fc39.x86_64"},
        {"Image-6.4.0",             "6.4.0"          },
        {"vmlinuz",                 NULL             },
        {"vmlinuz-",                NULL             },
        {"vmlinuz-6.5.hmac",        NULL             },
        {"vmlinuz-6.5.old",         NULL             },
        {"initrd.img-6.1",          NULL             },
        {".vmlinuz-6.5",            NULL             },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_text(loader_kernel_version(rows[i].name), rows[i].version);
}

static void test_initrds(void **state)
{
    static const char *const names[] = {"vmlinuz-linux",       "initramfs-linux-fallback.img",
                                        "initramfs-linux.img", "intel-ucode.img",
                                        "initrd.img-6.1.0-13", "initrd-6.4",
                                        "initramfs-6.5.img",   "initramfs-6.6"};
    static const struct {
        const char *version;
        const char *last;
    } rows[] = {
        {"linux",    "initramfs-linux.img"},
        {"6.1.0-13", "initrd.img-6.1.0-13"},
        {"6.4",      "initrd-6.4"         },
        {"6.5",      "initramfs-6.5.img"  },
        {"6.6",      "initramfs-6.6"      },
    };
    const char *found[BOOT_ENTRY_INITRDS_LIMIT];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(loader_find_initrds(rows[i].version, names, ARRAY_SIZE(names), found), 2);
        assert_string_equal(found[0], "intel-ucode.img");
        assert_string_equal(found[1], rows[i].last);
    }
    assert_int_equal(loader_find_initrds("7", names, ARRAY_SIZE(names), found), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shell_values), cmocka_unit_test(test_fstab),
        cmocka_unit_test(test_cmdline),      cmocka_unit_test(test_root_nodes),
        cmocka_unit_test(test_kernel_names), cmocka_unit_test(test_initrds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
