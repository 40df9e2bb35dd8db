/*
 * config.c - any text as a configuration: it is read or refused, compared with itself and with the
 * one before, freed. Text that begins with '/' is a list of devices, as --export takes them. Names
 * that inputs may use: the credentials "good", "short", "long", "empty" and the file "part.conf".
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <netboot-target/config.h>
#include <netboot-target/util/array.h>

#define DEVICES_LIMIT 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);
const char *__lsan_default_suppressions(void);

static char folder[] = "/tmp/netboot-target-fuzz-XXXXXX";
static struct config *before;

/* libconfig 1.5 forgets the text of a string that stands where none may. */
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

static const struct {
    const char *name, *text;
} files[] = {
    {"good",      "0123456789abcdef\n"                                     },
    {"short",     "123\n"                                                  },
    {"empty",     ""                                                       },
    {"long",      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
             "0123456789abcdef0123456789abcdef0123456789abcdef"},
    {"part.conf", "log-level = \"debug\";\n"                               },
};

static void remove_folder(void)
{
    char path[128];
    config_unref(before);
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        unlink(path);
    }
    rmdir(folder);
}

/* What does not depend on the input is run once. */
static void print_all(void)
{
    FILE *nowhere = fopen("/dev/null", "w");
    if (!nowhere)
        abort();
    config_print_help(nowhere);
    config_print_man(nowhere);
    config_print_example(nowhere);
    fclose(nowhere);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    if (!mkdtemp(folder))
        abort();
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0 || write(file, files[i].text, strlen(files[i].text)) < 0)
            abort();
        close(file);
    }
    atexit(remove_folder);
    print_all();
    return 0;
}

static void compare(const struct config *a, const struct config *b)
{
    static const char *const keys[] = {"portals", "interfaces", "limits", "menu", "nothing"};
    struct config_diff diff;
    if (config_diff(a, b, &diff) != 0)
        return;
    for (unsigned i = 0; i < diff.targets.count; i++)
        if (a == b && diff.targets.items[i].change != CONFIG_UNCHANGED)
            abort();
    config_diff_done(&diff);
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        if (config_same(a, b, keys[i]) != config_same(b, a, keys[i]))
            abort();
}

static struct config *read_devices(char *text, struct config_errors *errors)
{
    char *devices[DEVICES_LIMIT], *rest = text;
    unsigned count = 0;
    while (rest && count < DEVICES_LIMIT)
        devices[count++] = strsep(&rest, "\n");
    return config_export(devices, count, strlen(text) & 1, errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config_options options = {.credentials_directory = folder};
    struct config_errors errors = {0};
    char *text = calloc(1, size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    struct config *config = *text == '/'
                                ? read_devices(text, &errors)
                                : config_parse(text, size, "fuzz.conf", folder, &options, &errors);
    if ((config == NULL) != (errors.errors > 0))
        abort();
    if (config) {
        compare(config, config);
        if (before)
            compare(before, config);
        config_unref(before);
        before = config;
    }
    config_errors_done(&errors);
    free(text);
    return 0;
}
