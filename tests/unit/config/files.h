/* files.h - a folder for the time of one test. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static inline int make_folder(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);
    strcpy(folder->path, "/tmp/netboot-config-XXXXXX");
    *state = folder;
    return mkdtemp(folder->path) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    struct folder *folder = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder->path);
    int result = system(command);
    free(folder);
    return result;
}

/* Returns the path in a buffer that the next call but three uses again. */
static inline const char *path_in(const struct folder *folder, const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

static inline const char *write_file(const struct folder *folder, const char *name,
                                     const char *text, mode_t mode)
{
    const char *path = path_in(folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

/* Loads what must have exactly one problem, an error; the sentence must hold this. */
static inline void expect_load_error(const char *path, const struct config_options *options,
                                     const char *sentence)
{
    struct config_errors errors = {0};
    struct config *config = config_load(path, options, &errors);
    bool found = !config && errors.count == 1 && strstr(errors.items[0].text, sentence);
    if (!found) {
        fprintf(stderr, "wanted: %s\nfound:\n", sentence);
        config_errors_print(&errors, stderr);
    }
    assert_true(found);
    config_errors_done(&errors);
}

static inline struct config *load_good(const char *path, const struct config_options *options)
{
    struct config_errors errors = {0};
    struct config *config = config_load(path, options, &errors);
    config_errors_print(&errors, stderr);
    assert_non_null(config);
    assert_int_equal(errors.count, 0);
    config_errors_done(&errors);
    return config;
}
