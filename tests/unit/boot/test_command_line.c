/* test_command_line.c - which words a kernel gets */
#include <errno.h>

#include "fixture.h"
#include <netboot-target/boot/catalog.h>

#define MASKS                                                          \
    " noresume systemd.mask=sleep.target systemd.mask=suspend.target " \
    "systemd.mask=hibernate.target systemd.mask=hybrid-sleep.target "  \
    "systemd.mask=suspend-then-hibernate.target"
#define DRACUT " rd.iscsi.firmware=1 rd.iscsi.ibft=1 rd.neednet=1"
#define TOOLS  " iscsi_auto BOOTIF=01-" MAC

static struct script made;
static struct error why;

static int line_of(enum boot_initramfs initramfs, const char *options,
                   const struct boot_command_line_rules *rules)
{
    const struct boot_entry entry = {.options = (char *)options, .initramfs = initramfs};
    int result = boot_command_line(script_begin(&made), &entry, MAC, rules, &why);
    script_end(&made);
    return result;
}

static void test_words(void **state)
{
    static const char *const remove[] = {"nomodeset", "console", "systemd.mask=sleep.target"};
    static const struct {
        enum boot_initramfs initramfs;
        const char *options;
        struct boot_command_line_rules rules;
        const char *line;
    } rows[] = {
        {BOOT_INITRAMFS_DRACUT,     "root=UUID=1 ro",                                    {0},                                                                    "root=UUID=1 ro" DRACUT MASKS           },
        {BOOT_INITRAMFS_TOOLS,      "root=UUID=1 ro",                                    {0},                                                                    "root=UUID=1 ro" TOOLS MASKS            },
        {BOOT_INITRAMFS_MKINITCPIO, "root=UUID=1",                                       {0},                                                                    "root=UUID=1" TOOLS MASKS               },
        {BOOT_INITRAMFS_UNKNOWN,    "root=UUID=1",                                       {0},                                                                    "root=UUID=1" DRACUT " iscsi_auto" MASKS},
 /* what breaks, and what was there already */
        {BOOT_INITRAMFS_DRACUT,
         "BOOT_IMAGE=(hd0,gpt2)/vmlinuz root=a resume=/dev/sda3 resume_offset=1 initrd=\\x quiet "
         "rhgb "
         "splash netroot=iscsi ip=ibft ifname=bootnet:00 rd.iscsi.firmware=1 rd.iscsi.param=x "
         "iscsi_target_ip=1 BOOTIF=01-00 noresume systemd.mask=sleep.target loglevel=3", {0},
         "root=a loglevel=3" DRACUT MASKS                                                                                                                                                                },
 /* likenesses stay */
        {BOOT_INITRAMFS_TOOLS,
         "root=a ipv6.disable=1 quietly initrdx=1",                                      {0},
         "root=a ipv6.disable=1 quietly initrdx=1" TOOLS MASKS                                                                                                                                           },
        {BOOT_INITRAMFS_TOOLS,
         "root=a quiet splash",                                                          {.keep_quiet = true},
         "root=a quiet splash" TOOLS MASKS                                                                                                                                                               },
        {BOOT_INITRAMFS_TOOLS,
         "root=a console=ttyS0 nomodeset",                                               {.remove = remove, .remove_count = 3, .append = "console=tty1  debug"},
         "root=a" TOOLS " noresume systemd.mask=suspend.target systemd.mask=hibernate.target "
         "systemd.mask=hybrid-sleep.target systemd.mask=suspend-then-hibernate.target console=tty1 "
         "debug"                                                                                                                                                                                         },
        {BOOT_INITRAMFS_DRACUT,
         "root=a",                                                                       {.netroot = "iscsi:192.0.2.1::::iqn.x:y"},
         "root=a netroot=iscsi:192.0.2.1::::iqn.x:y rd.neednet=1 ifname=bootnet:52:54:00:ab:cd:ef "
         "ip=bootnet:dhcp" MASKS                                                                                                                                                                         },
 /* quoted blanks; words for init stay at the end */
        {BOOT_INITRAMFS_TOOLS,
         "root=a dyndbg=\"file x.c +p\" -- single",                                      {0},
         "root=a dyndbg=\"file x.c +p\"" TOOLS MASKS " -- single"                                                                                                                                        },
        {BOOT_INITRAMFS_TOOLS,      "",                                                  {0},                                                                    "iscsi_auto BOOTIF=01-" MAC MASKS       },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(line_of(rows[i].initramfs, rows[i].options, &rows[i].rules), 0);
        assert_string_equal(made.text, rows[i].line);
    }
}

#define NETROOT    "iscsi:192.0.2.1::3261:1:iqn.x:y:z"
#define INITIATOR  "iqn.2010-04.org.ipxe:" MAC
#define DRACUT_NET " rd.neednet=1 ifname=bootnet:52:54:00:ab:cd:ef ip=bootnet:dhcp"

/* The system comes by the name that iPXE came by: it owns the disk. */
static void test_netroot(void **state)
{
    static const struct {
        enum boot_initramfs initramfs;
        const char *netroot, *initiator, *line;
    } rows[] = {
        {BOOT_INITRAMFS_DRACUT,  NETROOT,                             INITIATOR,
         "netroot=" NETROOT " rd.iscsi.initiator=" INITIATOR DRACUT_NET MASKS},
        {BOOT_INITRAMFS_TOOLS,   NETROOT,                             INITIATOR,
         "iscsi_initiator=" INITIATOR " iscsi_target_name=iqn.x:y:z iscsi_target_ip=192.0.2.1 "
         "iscsi_target_port=3261 BOOTIF=01-" MAC MASKS                       },
        {BOOT_INITRAMFS_TOOLS,   "iscsi:u:p@192.0.2.1::::iqn.x",      NULL,
         "iscsi_target_name=iqn.x iscsi_target_ip=192.0.2.1 iscsi_username=u iscsi_password=p "
         "BOOTIF=01-" MAC MASKS                                              },
        {BOOT_INITRAMFS_TOOLS,   "iscsi:u:p:v:q@[fd00::1]:6:::iqn.x", NULL,
         "iscsi_target_name=iqn.x iscsi_target_ip=fd00::1 iscsi_username=u iscsi_password=p "
         "iscsi_in_username=v iscsi_in_password=q BOOTIF=01-" MAC MASKS      },
        {BOOT_INITRAMFS_UNKNOWN, NETROOT,                             NULL,
         "netroot=" NETROOT DRACUT_NET " iscsi_target_name=iqn.x:y:z iscsi_target_ip=192.0.2.1 "
         "iscsi_target_port=3261" MASKS                                      },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct boot_command_line_rules rules = {.netroot = rows[i].netroot,
                                                      .initiator = rows[i].initiator};
        assert_int_equal(line_of(rows[i].initramfs, "", &rules), 0);
        assert_string_equal(made.text, rows[i].line);
    }
}

static void test_netroot_that_cannot_be_told(void **state)
{
    static const char *const rows[] = {"iscsi",
                                       "nfs:192.0.2.1:/x",
                                       "iscsi:192.0.2.1:::iqn.x",
                                       "iscsi:::::iqn.x",
                                       "iscsi:192.0.2.1::::",
                                       "iscsi:u@192.0.2.1::::iqn.x",
                                       "iscsi:a:b:c:d:e@192.0.2.1::::iqn.x",
                                       "iscsi:[fd00::1::::iqn.x",
                                       "iscsi:192.0.2.1:::::eth0:iqn.x"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct boot_command_line_rules rules = {.netroot = rows[i]};
        assert_int_equal(line_of(BOOT_INITRAMFS_TOOLS, "", &rules), -EINVAL);
        assert_string_equal(made.text, "");
        assert_non_null(strstr(why.text, "kernels.netroot"));
    }
    const struct boot_command_line_rules good = {.netroot = NETROOT};
    assert_int_equal(line_of(BOOT_INITRAMFS_MKINITCPIO, "", &good), -EINVAL);
    assert_non_null(strstr(why.text, "iBFT"));
}

/* iPXE would not pass these on as they are. */
static void test_what_cannot_stand_in_a_script(void **state)
{
    static const struct boot_command_line_rules none;
    static const char *const bad[] = {"a ${net0/mac}", "a ; reboot", "a || b", "a && b",
                                      "a #b",          "a\\",        "b\\ c",  "\x01",
                                      "caf\xc3\xa9",   "x=\"a ; b\""};
    static const char *const good[] = {"a;b", "a||b", "a#b", "a$b", "pci=x@1&2", "a=\\b", "x=\"\""};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(line_of(BOOT_INITRAMFS_DRACUT, bad[i], &none), -EINVAL);
        assert_string_equal(made.text, "");
        assert_non_null(strstr(why.text, "script"));
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(line_of(BOOT_INITRAMFS_DRACUT, good[i], &none), 0);
}

static void test_the_length(void **state)
{
    static const struct boot_command_line_rules none;
    char options[BOOT_COMMAND_LINE_BYTES + 1];
    (void)state;
    memset(options, 'a', sizeof options);
    size_t room = BOOT_COMMAND_LINE_BYTES - 1 - strlen(TOOLS MASKS);
    options[room] = '\0';
    assert_int_equal(line_of(BOOT_INITRAMFS_TOOLS, options, &none), 0);
    assert_int_equal(strlen(made.text), BOOT_COMMAND_LINE_BYTES - 1);
    options[room] = 'a';
    options[room + 1] = '\0';
    assert_int_equal(line_of(BOOT_INITRAMFS_TOOLS, options, &none), -E2BIG);
    assert_string_equal(made.text, "");
}

/* What stands in the buffer before stays. */
static void test_it_appends(void **state)
{
    static const struct boot_command_line_rules none;
    const struct boot_entry entry = {.options = (char *)"ro", .initramfs = BOOT_INITRAMFS_TOOLS};
    const struct boot_entry bad = {.options = (char *)"a ;", .initramfs = BOOT_INITRAMFS_TOOLS};
    struct buffer *out = script_begin(&made);
    (void)state;
    buffer_append_string(out, "kernel ");
    assert_int_equal(boot_command_line(out, &bad, MAC, &none, &why), -EINVAL);
    assert_int_equal(boot_command_line(out, &entry, MAC, &none, &why), 0);
    assert_string_equal(script_end(&made), "kernel ro" TOOLS MASKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_netroot),
        cmocka_unit_test(test_netroot_that_cannot_be_told),
        cmocka_unit_test(test_what_cannot_stand_in_a_script),
        cmocka_unit_test(test_the_length),
        cmocka_unit_test(test_it_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
