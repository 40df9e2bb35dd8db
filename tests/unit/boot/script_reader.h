/* script_reader.h - a reader of scripts, as strict as iPXE of 2019 */
#pragma once
#include "fixture.h"

static inline void assert_order(const char *text, const char *first, const char *second)
{
    assert_has(text, first);
    assert_has(text, second);
    assert_true(strstr(text, first) < strstr(text, second));
}

/* Commands of that build, and whether one that fails would end the script. */
static const struct {
    const char *name;
    bool may_fail;
} commands[] = {
    {"echo",      false},
    {"set",       false},
    {"goto",      false},
    {"exit",      false},
    {"menu",      false},
    {"item",      false},
    {"inc",       false},
    {"isset",     true },
    {"iseq",      true },
    {"dhcp",      true },
    {"clear",     true },
    {"sleep",     true },
    {"sanhook",   true },
    {"shell",     true },
    {"prompt",    true },
    {"chain",     true },
    {"choose",    true },
    {"sanboot",   true },
    {"sanunhook", true },
    {"login",     true },
    {"imgfree",   true },
    {"kernel",    true },
    {"initrd",    true },
    {"boot",      true },
    {"config",    true },
    {"reboot",    true },
};

static inline bool has_label(const char *script, const char *label)
{
    char line[80];
    snprintf(line, sizeof line, "\n:%s\n", label);
    return strstr(script, line);
}

static inline bool command_may_fail(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].may_fail;
    }
    fail_msg("iPXE of 2019 has no command %s", name);
    return true;
}

/* One line, token by token: commands are known, labels exist, failures are caught. */
static inline void check_line(const char *script, char *line)
{
    char *rest = NULL, *command = NULL, *previous = NULL;
    bool is_caught = false, may_fail = false;
    for (char *token = strtok_r(line, " ", &rest); token; token = strtok_r(NULL, " ", &rest)) {
        if (strcmp(token, "||") == 0 || strcmp(token, "&&") == 0) {
            is_caught = token[0] == '|';
            command = NULL;
            continue;
        }
        assert_true(token[0] != '#' && strcmp(token, ";") != 0);
        if (previous && previous == command && strcmp(command, "echo") == 0) /* it has options */
            assert_true(token[0] != '-' || strcmp(token, "--") == 0);
        if (!command) {
            may_fail = command_may_fail(token);
            command = token;
            is_caught = false;
        }
        if (previous && strcmp(previous, "goto") == 0 && token[0] != '$')
            assert_true(has_label(script, token));
        previous = token;
    }
    if (may_fail && !is_caught)
        fail_msg("a failure of %s would end the script", command);
}

static inline void check_script(const char *script)
{
    static char copy[BOOT_SCRIPT_BYTES_LIMIT + 1];
    char *rest = NULL;
    unsigned count = 0;
    assert_int_equal(strncmp(script, "#!ipxe\n", 7), 0);
    assert_true(script[strlen(script) - 1] == '\n');
    strcpy(copy, script + 7);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        assert_true(line[strlen(line) - 1] != '\\');
        if (line[0] != ':')
            check_line(script, line);
        count++;
    }
    assert_true(count > 3);
}
