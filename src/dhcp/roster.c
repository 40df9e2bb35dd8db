/* roster.c - see roster.h */
#include <stdio.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "policy.h"
#include "roster.h"

#define SECOND_STAGE_MS   120000u /* from the end of its transfer to its first DISCOVER */
#define STAGE_STANDS_MS   60000u
#define LOOP_LOADS        3u
#define LOOP_REST_MS      300000u
#define TOKEN             1000u
#define TOKENS_AT_ONCE    (12u * TOKEN) /* a whole boot: four DISCOVERs, two stages, 4011 */
#define TOKENS_PER_SECOND 2u

struct dhcp_record *dhcp_roster_find(struct dhcp_roster *roster, const uint8_t mac[DHCP_MAC_BYTES])
{
    for (size_t i = 0; i < DHCP_ROSTER_RECORDS; i++) {
        struct dhcp_record *record = &roster->records[i];
        if (record->used && memcmp(record->client.mac, mac, DHCP_MAC_BYTES) == 0)
            return record;
    }
    return NULL;
}

static struct dhcp_record *make_room(struct dhcp_roster *roster)
{
    struct dhcp_record *oldest = &roster->records[0];
    for (size_t i = 0; i < DHCP_ROSTER_RECORDS; i++) {
        struct dhcp_record *record = &roster->records[i];
        if (!record->used)
            return record;
        bool is_older = record->seen_ms < oldest->seen_ms;
        if (record->known == oldest->known ? is_older : oldest->known)
            oldest = record;
    }
    return oldest;
}

struct dhcp_record *dhcp_roster_get(struct dhcp_roster *roster, const uint8_t mac[DHCP_MAC_BYTES],
                                    uint64_t now_ms)
{
    struct dhcp_record *record = dhcp_roster_find(roster, mac);
    if (!record) {
        record = make_room(roster);
        *record =
            (struct dhcp_record){.used = true, .millitokens = TOKENS_AT_ONCE, .tokens_ms = now_ms};
        memcpy(record->client.mac, mac, DHCP_MAC_BYTES);
    }
    record->seen_ms = now_ms;
    return record;
}

/* ── stages and loops ────────────────────────────────────────────────────────────────────────── */

bool dhcp_record_is_looping(const struct dhcp_record *record, uint64_t now_ms)
{
    return record->loads >= LOOP_LOADS && now_ms - record->loaded_ms < LOOP_REST_MS;
}

static bool is_second_stage(const struct dhcp_record *record, uint64_t now_ms)
{
    return record->file[0] && now_ms - record->loaded_ms < SECOND_STAGE_MS;
}

/* A looping iPXE gets its script: that at least can say what is missing. */
static bool needs_loader(const struct dhcp_record *record, enum dhcp_chainload chainload,
                         uint64_t now_ms)
{
    if (dhcp_record_is_looping(record, now_ms))
        return false;
    switch (chainload) {
    case DHCP_CHAINLOAD_MISSING_FEATURES:
        return dhcp_client_lacks_features(&record->client);
    case DHCP_CHAINLOAD_ALWAYS:
        return !is_second_stage(record, now_ms);
    case DHCP_CHAINLOAD_NEVER:
        break;
    }
    return false;
}

enum dhcp_boot_stage dhcp_record_choose_stage(struct dhcp_record *record,
                                              enum dhcp_chainload chainload, bool on_boot_server,
                                              uint64_t now_ms)
{
    enum dhcp_boot_stage stage = dhcp_policy_stage(record->client.class);
    if (stage != DHCP_BOOT_SCRIPT)
        return stage;
    if (on_boot_server && record->staged && now_ms - record->staged_ms < STAGE_STANDS_MS)
        return record->stage;
    if (needs_loader(record, chainload, now_ms))
        stage = DHCP_BOOT_LOADER;
    else if (!dhcp_record_is_looping(record, now_ms))
        record->loads = 0; /* it came as an iPXE that is ready: what it loaded works */
    record->staged = true;
    record->stage = stage;
    record->staged_ms = now_ms;
    return stage;
}

bool dhcp_record_loaded(struct dhcp_record *record, const char *file, uint64_t now_ms)
{
    record->known = true;
    bool again = strncmp(record->file, file, sizeof record->file - 1) == 0 &&
                 now_ms - record->loaded_ms < LOOP_REST_MS;
    record->loads = again ? record->loads + 1 : 1;
    record->loaded_ms = now_ms;
    snprintf(record->file, sizeof record->file, "%s", file);
    return record->loads == LOOP_LOADS;
}

/* ── rate ────────────────────────────────────────────────────────────────────────────────────── */

bool dhcp_record_may_ask(struct dhcp_record *record, uint64_t now_ms)
{
    uint64_t gained = (now_ms - record->tokens_ms) * TOKENS_PER_SECOND * TOKEN / 1000;
    record->tokens_ms = now_ms;
    record->millitokens = (uint32_t)min_of(record->millitokens + gained, (uint64_t)TOKENS_AT_ONCE);
    if (record->millitokens < TOKEN)
        return false;
    record->millitokens -= TOKEN;
    return true;
}
