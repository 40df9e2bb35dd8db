/* clients.c - who is who, see journal.h */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include <netboot-target/util/escape.h>

#include "internal.h"

/* Unlike a name, a detail may have blanks in it. */
void copy_text(char *to, size_t size, const char *from)
{
    size_t used = 0;
    for (const char *c = from ? from : ""; *c; c++) {
        char one[8] = {*c};
        if (*c != ' ')
            escape_text(one, sizeof one, c, 1);
        size_t length = strlen(one);
        if (used + length + 1 > size)
            break;
        memcpy(to + used, one, length);
        used += length;
    }
    to[used] = '\0';
}

static bool is_given(const char *text)
{
    return text && text[0];
}

/* ── finding ─────────────────────────────────────────────────────────────────────────────────── */

static bool matches_mac(const struct journal_client *client, const struct journal_identity *who)
{
    return client->has_mac && memcmp(client->mac, who->mac, JOURNAL_MAC_BYTES) == 0;
}

/* The initiator name before the address: a system may have another address than its firmware. */
static const struct journal_client *find_without_mac(const struct journal *journal,
                                                     const struct journal_identity *who)
{
    const struct journal_client *client;
    char initiator[JOURNAL_INITIATOR_BYTES];
    copy_text(initiator, sizeof initiator, who->initiator);
    DL_FOREACH (journal->clients, client) {
        if (initiator[0] && strcmp(client->initiator, initiator) == 0)
            return client;
    }
    DL_FOREACH (journal->clients, client) {
        if (is_given(who->address) && strcmp(client->address, who->address) == 0)
            return client;
    }
    return NULL;
}

const struct journal_client *journal_find(const struct journal *journal,
                                          const struct journal_identity *who)
{
    const struct journal_client *client;
    if (!who->mac)
        return find_without_mac(journal, who);
    DL_FOREACH (journal->clients, client) {
        if (matches_mac(client, who))
            return client;
    }
    client = find_without_mac(journal, who); /* one that had not told its MAC yet */
    return client && !client->has_mac ? client : NULL;
}

/* ── making room ─────────────────────────────────────────────────────────────────────────────── */

void client_free(struct journal *journal, struct journal_client *client)
{
    DL_DELETE(journal->clients, client);
    journal->client_count--;
    free(client);
}

/* Who only asked by DHCP may be one of many made-up cards; who runs a system stays longest. */
static unsigned weight_of(const struct journal_client *client)
{
    enum journal_step furthest = client->now.furthest;
    bool is_ipxe_asking = furthest == JOURNAL_IPXE_DISCOVER || furthest == JOURNAL_IPXE_OFFER;
    if (story_state(&client->now) == JOURNAL_RUNNING)
        return 2;
    return client->now.file_sent || (furthest > JOURNAL_OFFER && !is_ipxe_asking);
}

/* The quietest one of the lightest. */
static void make_room(struct journal *journal)
{
    struct journal_client *client, *lightest = journal->clients;
    DL_FOREACH (journal->clients, client) /* the quietest one is the last */
        if (weight_of(client) <= weight_of(lightest))
            lightest = client;
    client_free(journal, lightest);
}

static struct journal_client *client_new(struct journal *journal, uint64_t now_ms)
{
    struct journal_client *client =
        calloc(1, sizeof *client + journal->event_limit * sizeof client->entries[0]);
    if (!client)
        return NULL;
    while (journal->client_count >= journal->client_limit)
        make_room(journal);
    client->entry_limit = journal->event_limit;
    client->first_seen_ms = now_ms;
    DL_PREPEND(journal->clients, client);
    journal->client_count++;
    return client;
}

/* ── joining ─────────────────────────────────────────────────────────────────────────────────── */

/* An address belongs to whoever used it last. */
static void take_address(struct journal *journal, struct journal_client *owner, const char *address)
{
    struct journal_client *client;
    DL_FOREACH (journal->clients, client) {
        if (client != owner && strcmp(client->address, address) == 0)
            client->address[0] = '\0';
    }
    copy_text(owner->address, sizeof owner->address, address);
}

static void join(struct journal *journal, struct journal_client *client,
                 const struct journal_identity *who)
{
    if (who->mac) {
        memcpy(client->mac, who->mac, JOURNAL_MAC_BYTES);
        client->has_mac = true;
    }
    if (who->uuid) {
        memcpy(client->uuid, who->uuid, JOURNAL_UUID_BYTES);
        client->has_uuid = true;
    }
    if (is_given(who->address))
        take_address(journal, client, who->address);
    if (is_given(who->initiator))
        copy_text(client->initiator, sizeof client->initiator, who->initiator);
    if (is_given(who->interface))
        copy_text(client->interface, sizeof client->interface, who->interface);
}

struct journal_client *client_get(struct journal *journal, const struct journal_identity *who,
                                  uint64_t now_ms)
{
    if (!who->mac && !is_given(who->address) && !is_given(who->initiator))
        return NULL;
    struct journal_client *client = (struct journal_client *)journal_find(journal, who);
    if (!client)
        client = client_new(journal, now_ms);
    if (!client)
        return NULL;
    DL_DELETE(journal->clients, client);
    DL_PREPEND(journal->clients, client);
    client->last_seen_ms = now_ms;
    join(journal, client, who);
    return client;
}

/* ── reading ─────────────────────────────────────────────────────────────────────────────────── */

const struct journal_client *journal_client_at(const struct journal *journal, unsigned index)
{
    const struct journal_client *client = journal->clients;
    while (client && index--)
        client = client->next;
    return client;
}

unsigned journal_client_count(const struct journal *journal)
{
    return journal->client_count;
}

struct entry *client_entry(const struct journal_client *client, unsigned index)
{
    return (struct entry *)&client->entries[(client->entry_first + index) % client->entry_limit];
}

struct entry *client_add_entry(struct journal_client *client)
{
    if (client->entry_count == client->entry_limit)
        client->entry_first = (client->entry_first + 1) % client->entry_limit;
    else
        client->entry_count++;
    struct entry *entry = client_entry(client, client->entry_count - 1);
    *entry = (struct entry){0};
    return entry;
}

bool journal_client_entry(const struct journal_client *client, unsigned index,
                          struct journal_entry *ret_entry)
{
    if (index >= client->entry_count)
        return false;
    const struct entry *entry = client_entry(client, index);
    *ret_entry = (struct journal_entry){
        .step = entry->step,
        .step_name = journal_steps[entry->step].name,
        .words = journal_steps[entry->step].words,
        .detail = entry->detail,
        .first_ms = entry->first_ms,
        .last_ms = entry->last_ms,
        .count = entry->count,
        .bytes = entry->bytes,
        .duration_ms = entry->duration_ms,
    };
    return true;
}
