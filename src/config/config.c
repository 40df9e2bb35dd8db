/* config.c - the life of a struct config: loaded, exported, shared, freed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

static struct config *config_new(void)
{
    struct config *config = calloc(1, sizeof *config);
    struct config_private *private = calloc(1, sizeof *private);
    if (!config || !private) {
        free(config);
        free(private);
        return NULL;
    }
    private->references = 1;
    config->private = private;
    return config;
}

struct config *config_ref(struct config *config)
{
    config->private->references++;
    return config;
}

void config_unref(struct config *config)
{
    if (!config || --config->private->references)
        return;
    section_done(&config_schema, config);
    section_done(section_find(&config_schema, "interfaces")->section, &config->any_interface);
    for (unsigned i = 0; i < config->private->files.count; i++)
        free(config->private->files.items[i]);
    free(config->private->files.items);
    free(config->private);
    free(config);
}

bool config_lun_per_client(const struct config_lun *lun)
{
    return lun->device && lun->device[0] == '/' && strstr(lun->device, "%m");
}

const struct config_target *config_find_target(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->targets.count; i++)
        if (config->targets.items[i].name && strcmp(config->targets.items[i].name, name) == 0)
            return &config->targets.items[i];
    return NULL;
}

const struct config_target *config_client_target(const struct config *config,
                                                 const struct config_client *client)
{
    if (client->target)
        return config_find_target(config, client->target);
    return config->targets.count ? &config->targets.items[0] : NULL;
}

int config_parse_log_level(const char *word, enum log_level *ret_level)
{
    const struct key *key = section_find(&config_schema, "log-level");
    struct value_input input = {.key = key, .text = word};
    return key->type->parse(&input, ret_level, NULL);
}

/* A group of the schema with its defaults alone. */
static void read_defaults(struct config *config, const char *list, void *object,
                          struct config_errors *errors)
{
    struct reader reader = {.config = config, .errors = errors};
    const struct section *section =
        list ? section_find(&config_schema, list)->section : &config_schema;
    read_section(&reader, section, NULL, object, list ? list : "");
}

/* ---------------------------------------------------------------- from a file */

/* Places keep pointing to these names when the sources are gone. */
static int keep_file_names(struct config *config, const struct sources *sources)
{
    struct config_private *private = config->private;
    private->files.items = calloc(sources->files.count, sizeof *private->files.items);
    if (!private->files.items)
        return -ENOMEM;
    for (unsigned i = 0; i < sources->files.count; i++) {
        char *name = strdup(sources->files.items[i].path);
        if (!name)
            return -ENOMEM;
        private->files.items[private->files.count++] = name;
    }
    return 0;
}

static void move_errors(struct config_errors *from, struct config_errors *to)
{
    for (unsigned i = 0; i < from->count; i++)
        errors_add(to, from->items[i].warning, NULL, 0, "%s", from->items[i].text);
    config_errors_done(from);
}

static void report_syntax(const config_t *tree, const struct sources *sources,
                          struct config_errors *errors)
{
    static const struct {
        const char *text, *hint;
    } hints[] = {
        {"duplicate setting name",           "a key is written twice in one group"        },
        {"mismatched element type in array",
         "the values between [ and ] are of different kinds; groups stand between ( and )"},
        {"syntax error",                     "syntax error here or just before: look for a missing quote, comma, "
                         "semicolon or bracket"                   },
    };
    unsigned line;
    const struct source *source = sources_find(sources, (unsigned)config_error_line(tree), &line);
    const char *text = config_error_text(tree);
    for (size_t i = 0; text && i < ARRAY_SIZE(hints); i++)
        if (strcmp(hints[i].text, text) == 0)
            text = hints[i].hint;
    errors_add(errors, false, source->path, line, "%s", text ? text : "out of memory");
}

/* Reads the tree into `config` and adds every semantic error. */
static void read_tree(struct config *config, const config_t *tree, const struct sources *sources,
                      const struct config_options *options, struct config_errors *errors)
{
    struct reader reader = {
        .config = config, .options = options, .sources = sources, .errors = errors};
    if (keep_file_names(config, sources) != 0) {
        errors_add(errors, false, NULL, 0, "out of memory");
        return;
    }
    read_section(&reader, &config_schema, config_root_setting(tree), config, "");
    read_defaults(config, "interfaces", &config->any_interface, errors);
    reader_sort_objects(&reader);
    if (config_complete(config) != 0)
        errors_add(errors, false, NULL, 0, "out of memory");
    else
        config_check(&reader);
    free(reader.objects.items);
}

static struct config *config_build(const struct sources *sources,
                                   const struct config_options *options,
                                   struct config_errors *later, struct config_errors *errors)
{
    struct config *config = config_new();
    if (!config) {
        errors_add(errors, false, NULL, 0, "out of memory");
        return NULL;
    }
    config_t tree;
    config_init(&tree);
    if (config_read_string(&tree, sources->text) == CONFIG_TRUE) {
        move_errors(later, errors);
        read_tree(config, &tree, sources, options, errors);
    } else {
        report_syntax(&tree, sources, errors);
    }
    config_destroy(&tree);
    if (errors->errors) {
        config_unref(config);
        return NULL;
    }
    return config;
}

struct config *config_load(const char *path, const struct config_options *options,
                           struct config_errors *ret_errors)
{
    struct sources sources = {0};
    struct config *config = NULL;
    struct config_errors later = {0};
    struct source_errors errors = {.fatal = ret_errors, .later = &later};
    if (sources_load(&sources, path, &errors) == 0)
        config = config_build(&sources, options, &later, ret_errors);
    sources_done(&sources);
    config_errors_done(&later);
    return config;
}

struct config *config_parse(const char *text, size_t length, const char *name, const char *folder,
                            const struct config_options *options, struct config_errors *ret_errors)
{
    struct sources sources = {0};
    struct config *config = NULL;
    struct config_errors later = {0};
    struct source_errors errors = {.fatal = ret_errors, .later = &later};
    if (sources_take_text(&sources, text, length, name, folder, &errors) == 0)
        config = config_build(&sources, options, &later, ret_errors);
    sources_done(&sources);
    config_errors_done(&later);
    return config;
}

/* ---------------------------------------------------------------- without a file */

/* "/dev/sdb" → "sdb", "PARTLABEL=my disk" → "my-disk": what a target can be called. */
static char *name_after_device(const char *device, unsigned position)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *end = strrchr(device, device[0] == '/' ? '/' : '=');
    char *name = NULL;
    if (!end || !end[1] || asprintf(&name, "%.56s", end + 1 + (end[1] == '.')) < 0)
        return asprintf(&name, "target-%u", position) < 0 ? NULL : name;
    for (char *p = name; *p; p++)
        if (!strchr(plain, *p))
            *p = '-';
    return name;
}

/* Two disks called alike get their position behind the name. */
static int name_target(struct config *config, unsigned index, const char *device)
{
    char *name = name_after_device(device, index + 1);
    if (name && (!*name || config_find_target(config, name))) {
        char *longer;
        int result = asprintf(&longer, "%s-%u", *name ? name : "target", index + 1);
        free(name);
        name = result < 0 ? NULL : longer;
    }
    config->targets.items[index].name = name;
    return name ? 0 : -ENOMEM;
}

/* A command line, unlike a configuration, belongs to the folder in which it was written.
 * NULL: it names no file there. */
static char *whole_path(const char *device)
{
    char *path = NULL;
    if (device[0] == '/' || access(device, F_OK) != 0)
        return NULL;
    _cleanup_free_ char *folder = getcwd(NULL, 0);
    return folder && asprintf(&path, "%s/%s", folder, device) >= 0 ? path : NULL;
}

static int parse_export_device(const char *device, char **ret_device, struct error *why)
{
    const struct key *luns = NULL;
    const struct key *targets = section_find(&config_schema, "targets");
    luns = section_find(targets->section, "luns");
    struct value_input input = {.key = section_find(luns->section, "device"), .text = device};
    return input.key->type->parse(&input, ret_device, why);
}

static int export_target(struct config *config, unsigned index, const char *device, bool open,
                         struct config_errors *errors)
{
    struct error why = {"out of memory"};
    struct config_target *target = &config->targets.items[index];
    _cleanup_free_ char *file = whole_path(device);
    read_defaults(config, "targets", target, errors);
    target->luns.items = calloc(1, sizeof *target->luns.items);
    if (!target->luns.items)
        return -ENOMEM;
    target->luns.count = 1;
    struct reader reader = {.config = config, .errors = errors};
    const struct section *targets = section_find(&config_schema, "targets")->section;
    read_section(&reader, section_find(targets, "luns")->section, NULL, target->luns.items,
                 "targets.luns");
    device = file ? file : device;
    if (parse_export_device(device, &target->luns.items->device, &why) != 0)
        errors_add(errors, false, NULL, 0, "--export %s: %s", escaped(device), why.text);
    target->open = open;
    target->auth.mode = open ? CONFIG_AUTH_NONE : CONFIG_AUTH_MUTUAL;
    return name_target(config, index, device);
}

struct config *config_export(char *const *devices, unsigned count, bool open,
                             struct config_errors *ret_errors)
{
    struct config *config = config_new();
    struct config_target *targets = calloc(count ? count : 1, sizeof *targets);
    int result = config && targets ? 0 : -ENOMEM;
    if (result == 0) {
        read_defaults(config, NULL, config, ret_errors);
        read_defaults(config, "interfaces", &config->any_interface, ret_errors);
        config->targets.items = take_pointer(targets);
    }
    for (unsigned i = 0; result == 0 && i < count; i++) {
        config->targets.count = i + 1;
        result = export_target(config, i, devices[i], open, ret_errors);
    }
    free(targets);
    if (result == 0)
        result = config_complete(config);
    if (result != 0) {
        errors_add(ret_errors, false, NULL, 0, "out of memory");
    } else {
        struct reader reader = {.config = config, .errors = ret_errors};
        config_check(&reader);
    }
    if (ret_errors->errors) {
        config_unref(config);
        return NULL;
    }
    return config;
}
