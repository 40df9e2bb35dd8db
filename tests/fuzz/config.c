/* config.c - any text as a configuration: it is read or refused, compared with itself, freed. */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/config.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the text of a string that stands where none may. */
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_errors errors = {0};
    struct config_diff diff;
    /* No folder: nothing is included. Secret files and credentials are only opened for reading. */
    struct config *config =
        config_parse((const char *)data, size, "fuzz.conf", NULL, NULL, &errors);
    if ((config == NULL) != (errors.errors > 0))
        abort();
    if (config && config_diff(config, config, &diff) == 0) {
        for (unsigned i = 0; i < diff.targets.count; i++)
            if (diff.targets.items[i].change != CONFIG_UNCHANGED)
                abort();
        config_diff_done(&diff);
    }
    config_unref(config);
    config_errors_done(&errors);
    return 0;
}
