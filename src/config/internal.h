/* internal.h - what the files of config/ share: the shape of the schema, and the reader. */
#pragma once
#include <libconfig.h>
#include <sys/stat.h>

#include <netboot-target/config.h>
#include <netboot-target/util/error.h>

#define LUN_MAXIMUM                                                                \
    255 /* peripheral device addressing (SAM-5 §4.7), which every initiator knows \
         */

/* ---------------------------------------------------------------- the schema (schema.c) */

/* Which libconfig values a type is written as. */
enum written_as { WRITTEN_STRING = 1, WRITTEN_INTEGER = 2, WRITTEN_BOOL = 4 };

struct key;

#define LIST_LIMIT 256

/* What a parser sees of the file: one value as text. */
struct value_input {
    const struct key *key;
    const char *text;
    const struct config_options *options;
};

/* How one kind of value is read, compared and freed. The place it is read into is zeroed. */
struct value_type {
    const char *kind; /* in one word, for the manual */
    const char *noun; /* for messages: "is no <noun>" */
    size_t size;
    unsigned written_as;
    int (*parse)(const struct value_input *input, void *to, struct error *why);
    void (*done)(void *value);                                  /* NULL: nothing to free */
    bool (*same)(const void *one, const void *two);             /* NULL: byte by byte */
    void (*reset)(void *value);                                 /* NULL: "not set" is all zeros */
    void (*print_bound)(uint64_t bound, char *to, size_t size); /* NULL: it has no range */
};

struct word {
    const char *word; /* NULL ends the set */
    unsigned value;
};

struct key {
    const char *name;
    const struct value_type *type; /* of the value or of each element; NULL: a group */
    const struct section *section; /* of the group or of each group of a list */
    bool list;
    bool live;            /* of a target: a change lets its sessions go on */
    bool commented;       /* in the example: another key of the group says the same or forbids it */
    size_t offset;        /* in the struct of the section it belongs to */
    const char *fallback; /* the default as text, list elements apart by a space; NULL: not set */
    const char *unset;    /* what "not set" means, for a person; set when fallback is not */
    const char *example;  /* for a key without default */
    uint64_t minimum;     /* of a number, or of a string's length */
    uint64_t maximum;
    unsigned limit; /* of a list: how many elements; 0: LIST_LIMIT */
    const struct word *words;
    const char *help;
};

/* Its struct begins with a struct config_place. */
struct section {
    const struct key *keys;
    unsigned count;
    size_t size;
};

extern const struct section config_schema; /* of struct config */

const struct key *section_find(const struct section *section, const char *name);

/* ---------------------------------------------------------------- values */

extern const struct value_type value_string, value_ascii, value_name, value_iqn, value_iqn_prefix,
    value_pattern, value_path, value_device, value_tag, value_interface, value_boot_file,
    value_initiator, value_choice; /* strings.c */
extern const struct value_type value_bool, value_integer, value_optional_integer, value_duration,
    value_size, value_word; /* numbers.c */
extern const struct value_type value_endpoint, value_network, value_ipv4, value_interface_network,
    value_pool, value_mac, value_uuid, value_naa, value_eui; /* addresses.c */
extern const struct value_type value_secret, value_secret_file,
    value_secret_credential; /* secret.c */

/* The list behind `value`, whatever its element type is (CONFIG_LIST). */
struct any_list {
    char *items;
    unsigned count;
};
struct any_list list_get(const void *value);
void list_set(void *value, struct any_list list);
/* How many bytes one element takes. */
size_t key_element_size(const struct key *key);

/* Frees everything in the struct but the struct itself. */
void section_done(const struct section *section, void *object);
/* Whether one key has the same content in two structs of its section. */
bool key_same(const struct key *key, const void *one, const void *two);
bool section_same(const struct section *section, const void *one, const void *two);
/* Keys that are `live` aside. */
bool section_same_for_sessions(const struct section *section, const void *one, const void *two);

/* ---------------------------------------------------------------- problems (errors.c) */

void errors_add(struct config_errors *errors, bool warning, const char *file, unsigned line,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The candidate that is fewest edits away from `word`, NULL when none is near. */
const char *nearest_word(const char *word, const char *const *candidates, size_t count);

/* ---------------------------------------------------------------- files (source.c) */

/* One file; the main one comes first. An included one stands here once per @include. */
struct source {
    char *path;
    struct stat status;
    bool is_private; /* secrets inside are accepted without looking at `status` */
};

/* From line `first_line` of the whole text on, the lines are those of `source` from `line` on. */
struct segment {
    unsigned first_line;
    unsigned source;
    unsigned line;
};

/* The configuration as one text with every @include in its place. */
struct sources {
    CONFIG_LIST(struct source) files;
    CONFIG_LIST(struct segment) segments;
    CONFIG_LIST(unsigned) wrapped; /* lines of the whole text with an integer libconfig wraps */
    char *text;                    /* with a NUL behind it */
    size_t length;
    unsigned lines; /* newlines in `text` */
};

/* What was found while reading: `fatal` ends the load, `later` is told with the other errors. */
struct source_errors {
    struct config_errors *fatal;
    struct config_errors *later;
};

/* Reads a file and what it includes, and notes every integer that libconfig would wrap.
 * `sources` is zeroed; sources_done() is needed in any case. -errno: a fatal error was added. */
int sources_load(struct sources *sources, const char *path, struct source_errors *errors);
/* `folder` NULL: nothing can be included. */
int sources_take_text(struct sources *sources, const char *text, size_t length, const char *name,
                      const char *folder, struct source_errors *errors);
void sources_done(struct sources *sources);
/* Whether an integer of this line is not what it says. */
bool sources_wrapped(const struct sources *sources, unsigned line);
/* The file that line `line` of the whole text came from, and its line there. */
const struct source *sources_find(const struct sources *sources, unsigned line, unsigned *ret_line);

/* A secret lives only in a regular file of root or of our own user that nobody else can read. */
int source_check_private(const char *path, const struct stat *status, struct error *why);

/* ---------------------------------------------------------------- reading (read.c) */

struct config_private {
    unsigned references;
    CONFIG_LIST(char *) files; /* what places point to */
};

/* Which setting an object was read from, so that a check can name the line of one key. */
struct read_object {
    const void *object;
    const config_setting_t *setting;
};

struct reader {
    struct config *config;
    const struct config_options *options;
    const struct sources *sources;
    struct config_errors *errors;
    CONFIG_LIST(struct read_object) objects;
};

/* Fills `object`, which is zeroed, from a group; NULL: with the defaults alone. */
void read_section(struct reader *reader, const struct section *section,
                  const config_setting_t *setting, void *object, const char *path);

/* Before the next two are asked. */
void reader_sort_objects(struct reader *reader);
/* True when `key` was written in the group that became `object`. */
bool reader_has(const struct reader *reader, const void *object, const char *key);
/* Adds a problem at the line of `key`, or of the group where the key was not written. */
void reader_report(struct reader *reader, bool warning, const void *object, const char *key,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---------------------------------------------------------------- checking (check.c) */

/* Fills in what follows from other keys: names, LUN numbers, both families of "*". Works on a
 * config with errors too, where a value may be missing. */
int config_complete(struct config *config);
/* What no single key can tell: duplicates, conflicts, references. */
void config_check(struct reader *reader);
void check_targets(struct reader *reader);    /* check_targets.c */
void check_auth(struct reader *reader);       /* check_auth.c */
void check_interfaces(struct reader *reader); /* check_network.c */
void check_clients(struct reader *reader);    /* check_network.c */
void check_menu(struct reader *reader);       /* check_menu.c */
void check_listen(struct reader *reader);     /* check_listen.c */

/* Something that may stand only once. `object` is the group it was written in, as `key`. */
struct claim {
    const void *bytes;
    size_t length;
    const char *text; /* for the message; NULL: it is not printed */
    const void *object;
    const char *key;
};
struct claims {
    CONFIG_LIST(struct claim) list;
    unsigned capacity;
    bool failed;
};
/* NULL and empty texts are no claims. */
void claim_text(struct claims *claims, const char *text, const void *object, const char *key);
void claim_bytes(struct claims *claims, const void *bytes, size_t length, const void *object,
                 const char *key);
/* Reports every claim but the first of its kind, and empties the list. */
void claims_check(struct claims *claims, struct reader *reader, const char *what,
                  const char *advice);
