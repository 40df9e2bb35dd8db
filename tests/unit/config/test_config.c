/* test_config.c - references, the form without a file, small questions. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "helper.h"

#include "files.h"

static void references(void **state)
{
    (void)state;
    struct config *config = parse_good("targets = ({" DISK "})", 0);
    assert_ptr_equal(config_ref(config), config);
    config_unref(config);
    assert_string_equal(config->targets.items[0].name, "target-1");
    config_unref(config);
    config_unref(NULL);
}

static struct config *export(char *const *devices, unsigned count, bool open)
{
    struct config_errors errors = {0};
    struct config *config = config_export(devices, count, open, &errors);
    config_errors_print(&errors, stderr);
    assert_non_null(config);
    config_errors_done(&errors);
    return config;
}

static void export_of_one_disk(void **state)
{
    char disk[] = "/dev/sdb";
    char *devices[] = {disk};
    (void)state;
    struct config *config = export(devices, 1, false);
    struct config *same =
        parse_good("targets = ({ name = \"sdb\"; luns = ({ device = \"/dev/sdb\" }) })", 0);
    static const char *const keys[] = {"targets", "portals", "interfaces", "limits",  "io",
                                       "boot",    "status",  "menu",       "clients", NULL};
    for (const char *const *key = keys; *key; key++)
        assert_true(config_same(config, same, *key));
    config_unref(config);
    config_unref(same);
    config = export(devices, 1, true);
    assert_true(config->targets.items[0].open);
    assert_int_equal(config->targets.items[0].auth.mode, CONFIG_AUTH_NONE);
    config_unref(config);
}

static void export_of_several(void **state)
{
    char first[] = "/srv/a disk.img", second[] = "/mnt/a disk.img", third[] = "UUID=12-34";
    char *devices[] = {first, second, third};
    (void)state;
    struct config *config = export(devices, 3, false);
    assert_int_equal(config->targets.count, 3);
    assert_string_equal(config->targets.items[0].name, "a-disk.img");
    assert_string_equal(config->targets.items[1].name, "a-disk.img-2");
    assert_string_equal(config->targets.items[2].name, "12-34");
    config_unref(config);
}

static void export_of_a_file_in_this_folder(void **state)
{
    char folder[] = "/tmp/nbt-export-XXXXXX", disk[] = "disk.img", tag[] = "LABEL=root", path[64];
    char *devices[] = {disk, tag};
    int before = open(".", O_PATH | O_CLOEXEC);
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(close(creat(disk, 0600)), 0);
    struct config *config = export(devices, 2, false);
    snprintf(path, sizeof path, "%s/%s", folder, disk);
    assert_string_equal(config->targets.items[0].luns.items[0].device, path);
    assert_string_equal(config->targets.items[0].name, "disk.img");
    assert_string_equal(config->targets.items[1].luns.items[0].device, tag);
    config_unref(config);
    assert_int_equal(unlink(disk), 0);
    assert_int_equal(fchdir(before), 0);
    assert_int_equal(close(before), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void export_of_what_is_none(void **state)
{
    char first[] = "sdb", second[] = "/dev/sda", third[] = "/dev/sda";
    char *devices[] = {first, second, third};
    struct config_errors errors = {0};
    (void)state;
    assert_null(config_export(devices, 3, false, &errors));
    assert_int_equal(errors.errors, 2);
    assert_non_null(strstr(errors.items[0].text, "--export sdb: \"sdb\" is no absolute path"));
    assert_non_null(strstr(errors.items[1].text, "the disk /dev/sda is given twice"));
    config_errors_done(&errors);
}

static void questions(void **state)
{
    enum log_level level = LOG_LEVEL_INFO;
    struct config_lun lun = {0};
    char plain[] = "/dev/sda", own[] = "/srv/%m.img", tag[] = "LABEL=%m";
    (void)state;
    assert_int_equal(config_parse_log_level("debug", &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_not_equal(config_parse_log_level("loud", &level), 0);
    assert_false(config_lun_per_client(&lun));
    lun.device = plain;
    assert_false(config_lun_per_client(&lun));
    lun.device = tag;
    assert_false(config_lun_per_client(&lun));
    lun.device = own;
    assert_true(config_lun_per_client(&lun));
    struct config *config = parse_good("targets = ({ name = \"a\"; " DISK "})", 0);
    assert_ptr_equal(config_find_target(config, "a"), &config->targets.items[0]);
    assert_null(config_find_target(config, "b"));
    config_unref(config);
}

static void errors_are_printed(void **state)
{
    struct config_errors errors = {0};
    char *text = NULL;
    size_t length = 0;
    (void)state;
    config_unref(parse("log-level = \"info\"", &errors));
    FILE *file = open_memstream(&text, &length);
    config_errors_print(&errors, file);
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(text, "test.conf:1: no disk is served"));
    assert_non_null(strstr(text, " (warning)\n"));
    free(text);
    config_errors_done(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references),
        cmocka_unit_test(export_of_one_disk),
        cmocka_unit_test(export_of_several),
        cmocka_unit_test(export_of_what_is_none),
        cmocka_unit_test(questions),
        cmocka_unit_test(errors_are_printed),
        cmocka_unit_test(export_of_a_file_in_this_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
