/* test_server_probe.c - auto: each "never", each way into and out of the server's role */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netboot-target/dhcp/server_probe.h>
#include <netboot-target/util/array.h>

#include "dhcp/packets.h"

static const uint8_t OWN_MAC[6] = {0x02, 0, 0, 0, 0, 0x50};
static const uint8_t LOWER_MAC[6] = {0x02, 0, 0, 0, 0, 0x10};
static const uint8_t HIGHER_MAC[6] = {0x02, 0, 0, 0, 0, 0x90};
#define REAL_SERVER 0xc0a80101u

static void fill(struct random_source *source, void *to, size_t length)
{
    (void)source;
    memset(to, 0x21, length);
}

struct fixture {
    struct random_source random;
    struct dhcp_server_probe *probe;
    struct dhcp_interface_state interface;
    uint64_t now_ms;
    unsigned count_of[DHCP_ACTION_ROLE_CHANGED + 1];
};

static void take_actions(struct fixture *f)
{
    enum dhcp_role_action action;
    while (dhcp_server_probe_next_action(f->probe, &action))
        f->count_of[action]++;
}

static void forget_actions(struct fixture *f)
{
    take_actions(f);
    memset(f->count_of, 0, sizeof f->count_of);
}

static void begin(struct fixture *f, enum dhcp_wanted_role wanted)
{
    *f = (struct fixture){.random = {fill}, .now_ms = 50000};
    struct dhcp_server_probe_settings settings = {.wanted = wanted};
    memcpy(settings.own_mac, OWN_MAC, 6);
    f->probe = dhcp_server_probe_new(&settings, &f->random, f->now_ms);
    assert_non_null(f->probe);
}

static void end(struct fixture *f)
{
    dhcp_server_probe_free(f->probe);
}

static void changed(struct fixture *f)
{
    dhcp_server_probe_interface_changed(f->probe, &f->interface, f->now_ms);
    take_actions(f);
}

/* Lets time pass, expiring at each deadline. */
static void pass(struct fixture *f, uint64_t ms)
{
    uint64_t end_ms = f->now_ms + ms;
    while (dhcp_server_probe_deadline_ms(f->probe) <= end_ms) {
        uint64_t deadline_ms = dhcp_server_probe_deadline_ms(f->probe);
        f->now_ms = deadline_ms > f->now_ms ? deadline_ms : f->now_ms;
        dhcp_server_probe_expire(f->probe, f->now_ms);
        take_actions(f);
        /* no deadline may stay behind once it was served, or the loop would spin */
        assert_true(dhcp_server_probe_deadline_ms(f->probe) > f->now_ms);
    }
    f->now_ms = end_ms;
}

static void expect(struct fixture *f, enum dhcp_role role, enum dhcp_role_reason reason)
{
    assert_int_equal(dhcp_server_probe_role(f->probe), role);
    assert_int_equal(dhcp_server_probe_reason(f->probe), reason);
}

/* From a cable being plugged in to serving. */
static void become_server(struct fixture *f)
{
    begin(f, DHCP_WANTED_AUTO);
    f->interface.carrier = true;
    changed(f);
    pass(f, 6000);
    expect(f, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    dhcp_server_probe_claimed(f->probe, 0, f->now_ms);
    f->interface.has_fallback_address = true;
    changed(f);
    expect(f, DHCP_ROLE_SERVER, DHCP_REASON_NO_SERVER_ANSWERED);
    forget_actions(f);
}

/* What a server answers to our DISCOVER. */
static void offer(struct fixture *f, uint32_t xid_change, uint32_t address, uint32_t server,
                  const uint8_t *peer_mac)
{
    uint8_t area[600];
    struct buffer discover;
    buffer_init_fixed(&discover, area, sizeof area);
    dhcp_server_probe_write(f->probe, &discover);
    struct packet packet;
    packet_begin(&packet, DHCP_OFFER, 0);
    packet.data[0] = 2;
    store_be32(packet.data + 4, load_be32(area + 4) ^ xid_change);
    store_be32(packet.data + 16, address);
    memcpy(packet.data + 28, OWN_MAC, 6);
    if (server)
        packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, server);
    if (peer_mac) {
        uint8_t vendor[8] = {1, 6};
        memcpy(vendor + 2, peer_mac, 6);
        packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, "netboot-target");
        packet_option(&packet, DHCP_OPTION_VENDOR_SPECIFIC, vendor, sizeof vendor);
    }
    packet_end(&packet);
    dhcp_server_probe_receive(f->probe, packet.data, packet.buffer.length, f->now_ms);
    take_actions(f);
}

/* ── nobody there ────────────────────────────────────────────────────────────────────────────── */

static void test_becomes_a_server(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_NO_CARRIER);
    f.interface.carrier = true;
    changed(&f);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    pass(&f, 5000);
    assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], 3); /* at 0, 1, 3 s */
    assert_int_equal(f.count_of[DHCP_ACTION_CLAIM_ADDRESS], 0); /* not before its time */
    pass(&f, 250);
    assert_int_equal(f.count_of[DHCP_ACTION_CLAIM_ADDRESS], 1);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    dhcp_server_probe_claimed(f.probe, 0, f.now_ms);
    take_actions(&f);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_NO_SERVER_ANSWERED);
    assert_int_equal(f.count_of[DHCP_ACTION_ROLE_CHANGED], 3); /* each step is told */
    f.interface.has_fallback_address = true;                   /* our own address counts as none */
    changed(&f);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_NO_SERVER_ANSWERED);
    end(&f);
}

static void test_probe_time_is_configurable(void **state)
{
    (void)state;
    struct fixture f = {.random = {fill}, .now_ms = 50000};
    struct dhcp_server_probe_settings settings = {.wanted = DHCP_WANTED_AUTO, .probe_ms = 30000};
    memcpy(settings.own_mac, OWN_MAC, 6);
    f.probe = dhcp_server_probe_new(&settings, &f.random, f.now_ms);
    f.interface.carrier = true;
    changed(&f);
    pass(&f, 30000);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    pass(&f, 250);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    end(&f);
}

/* After kill -9 the address is still there; nothing else has changed. */
static void test_serves_again_after_a_crash(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface.carrier = true;
    f.interface.has_fallback_address = true;
    changed(&f);
    pass(&f, 6000);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
    dhcp_server_probe_claimed(f.probe, 0, f.now_ms);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_NO_SERVER_ANSWERED);
    end(&f);
}

static void test_claim_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface.carrier = true;
    changed(&f);
    pass(&f, 6000);
    dhcp_server_probe_claimed(f.probe, -EADDRINUSE, f.now_ms);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_ADDRESS_REFUSED);
    pass(&f, 10000); /* looks again: perhaps a peer took it and serves by now */
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    dhcp_server_probe_claimed(f.probe, 0, f.now_ms); /* a late result counts for nothing */
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    offer(&f, 0, 5, REAL_SERVER, LOWER_MAC);
    expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_PEER_SERVES);
    end(&f);
}

static void test_claim_without_a_result(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface.carrier = true;
    changed(&f);
    pass(&f, 6000);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    pass(&f, 20000);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    end(&f);
}

/* ── never ───────────────────────────────────────────────────────────────────────────────────── */

static const struct never {
    struct dhcp_interface_state interface;
    enum dhcp_role role;
    enum dhcp_role_reason reason;
    bool naming_helps;
} nevers[] = {
    {{.carrier = false},                                                DHCP_ROLE_OFF,   DHCP_REASON_NO_CARRIER,     false},
    {{.carrier = true, .has_address = true},                            DHCP_ROLE_PROXY, DHCP_REASON_HAS_ADDRESS,    false},
    {{.carrier = true, .has_address = true, .address_is_finite = true},
     DHCP_ROLE_PROXY,                                                                    DHCP_REASON_LEASED_ADDRESS,
     false                                                                                                                },
    {{.carrier = true, .has_default_route = true},
     DHCP_ROLE_PROXY,                                                                    DHCP_REASON_DEFAULT_ROUTE,
     false                                                                                                                },
    {{.carrier = true, .wireless = true},                               DHCP_ROLE_PROXY, DHCP_REASON_WIRELESS,       true },
    {{.carrier = true, .bridge_port = true},                            DHCP_ROLE_PROXY, DHCP_REASON_BRIDGE_PORT,    true },
    {{.carrier = true, .tunnel = true},                                 DHCP_ROLE_PROXY, DHCP_REASON_TUNNEL,         true },
    {{.carrier = true, .virtual_device = true},                         DHCP_ROLE_PROXY, DHCP_REASON_VIRTUAL,        true },
};

static void test_nevers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nevers); i++) {
        for (int named = 0; named < 2; named++) {
            struct fixture f;
            begin(&f, DHCP_WANTED_AUTO);
            f.interface = nevers[i].interface;
            f.interface.named = named;
            changed(&f);
            bool looks = named && nevers[i].naming_helps;
            expect(&f, looks ? DHCP_ROLE_OFF : nevers[i].role,
                   looks ? DHCP_REASON_PROBING : nevers[i].reason);
            pass(&f, 3600000);
            assert_int_equal(f.count_of[DHCP_ACTION_CLAIM_ADDRESS] != 0, looks);
            assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER] != 0, looks);
            end(&f);
        }
    }
}

/* The same facts, when they turn up while we probe, claim or serve. */
static void test_nevers_later(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(nevers); i++) {
        for (int when = 0; when < 3; when++) {
            struct fixture f;
            begin(&f, DHCP_WANTED_AUTO);
            f.interface.carrier = true;
            changed(&f);
            pass(&f, when ? 6000 : 1500);
            if (when == 2)
                dhcp_server_probe_claimed(f.probe, 0, f.now_ms);
            f.interface = nevers[i].interface;
            changed(&f);
            expect(&f, nevers[i].role, nevers[i].reason);
            dhcp_server_probe_claimed(f.probe, 0, f.now_ms); /* too late */
            forget_actions(&f);
            pass(&f, 600000);
            expect(&f, nevers[i].role, nevers[i].reason);
            assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], 0);
            end(&f);
        }
    }
}

static void test_looks_again_when_the_obstacle_is_gone(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface = (struct dhcp_interface_state){.carrier = true, .has_address = true};
    changed(&f);
    f.interface.has_address = false;
    changed(&f);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    pass(&f, 6000);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    end(&f);
}

static void test_cable_pulled_and_plugged(void **state)
{
    (void)state;
    struct fixture f;
    become_server(&f);
    f.interface.carrier = false;
    changed(&f);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_NO_CARRIER);
    f.interface.carrier = true; /* perhaps into another network */
    changed(&f);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    pass(&f, 4000);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    end(&f);
}

/* ── somebody there ──────────────────────────────────────────────────────────────────────────── */

static void test_server_answers(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface.carrier = true;
    changed(&f);
    pass(&f, 3500); /* one that pings first */
    offer(&f, 0, 0xc0a80105, REAL_SERVER, NULL);
    expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_SERVER_ANSWERED);
    assert_int_equal(dhcp_server_probe_server(f.probe), REAL_SERVER);
    forget_actions(&f);
    pass(&f, 3600000); /* and it stays so: a server that reboots must not lose its network to us */
    expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_SERVER_ANSWERED);
    assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], 0);
    end(&f);
}

static void test_what_is_no_server(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface.carrier = true;
    changed(&f);
    pass(&f, 500);
    offer(&f, 1, 0xc0a80105, REAL_SERVER, NULL); /* an answer to somebody else */
    offer(&f, 0, 0, REAL_SERVER, NULL);          /* a proxy */
    offer(&f, 0, 0xc0a80105, 0, NULL);           /* nobody in particular */
    dhcp_server_probe_receive(f.probe, (const uint8_t *)"junk", 4, f.now_ms);
    struct packet packet;
    packet_bios_rom(&packet, DHCP_DISCOVER);
    dhcp_server_probe_receive(f.probe, packet.data, packet.buffer.length, f.now_ms);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    end(&f);
}

static void test_server_shows_up_later(void **state)
{
    (void)state;
    struct fixture f;
    for (int by_client = 0; by_client < 2; by_client++) {
        become_server(&f);
        pass(&f, 61000); /* a server goes on looking */
        assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], 1);
        expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_NO_SERVER_ANSWERED);
        forget_actions(&f);
        if (by_client)
            dhcp_server_probe_server_seen(f.probe, REAL_SERVER, f.now_ms);
        else
            offer(&f, 0, 0xc0a80105, REAL_SERVER, NULL);
        take_actions(&f);
        expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_SERVER_ANSWERED);
        assert_int_equal(f.count_of[DHCP_ACTION_ROLE_CHANGED], 1);
        end(&f);
    }
}

/* The fallback address stays while sessions come over it, and two minutes for them to come back. */
static void test_fallback_address_goes_last(void **state)
{
    (void)state;
    struct fixture f;
    become_server(&f);
    f.interface.sessions = 2;
    changed(&f);
    pass(&f, 1000000);
    dhcp_server_probe_server_seen(f.probe, REAL_SERVER, f.now_ms);
    pass(&f, 1000000);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
    f.interface.sessions = 1;
    changed(&f);
    pass(&f, 1000000);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
    f.interface.sessions = 0;
    changed(&f);
    pass(&f, 119999);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
    pass(&f, 1);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 1);
    pass(&f, 1000000);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 1);
    f.interface.has_fallback_address = false;
    changed(&f);
    expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_SERVER_ANSWERED);
    end(&f);
}

static void test_sessions_come_back_after_a_restart(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface = (struct dhcp_interface_state){.carrier = true, .has_fallback_address = true};
    changed(&f);
    pass(&f, 500);
    offer(&f, 0, 0xc0a80105, REAL_SERVER, NULL);
    pass(&f, 30000);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
    f.interface.sessions = 1; /* the running client is back */
    changed(&f);
    pass(&f, 1000000);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
    end(&f);
}

static void test_who_was_served_just_now_gets_time(void **state)
{
    (void)state;
    struct fixture f;
    become_server(&f);
    pass(&f, 1000000); /* no session so far */
    dhcp_server_probe_server_seen(f.probe, REAL_SERVER, f.now_ms);
    pass(&f, 119999);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
    pass(&f, 1);
    assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 1);
    end(&f);
}

static void test_address_taken_away(void **state)
{
    (void)state;
    struct fixture f;
    become_server(&f);
    f.interface.has_fallback_address = false; /* a network manager */
    changed(&f);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    end(&f);
}

/* ── two of us ───────────────────────────────────────────────────────────────────────────────── */

static void test_lower_mac_goes_on(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface.carrier = true;
    changed(&f);
    pass(&f, 4900);
    dhcp_server_probe_peer_seen(f.probe, HIGHER_MAC, f.now_ms); /* that one waits for us */
    pass(&f, 400);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    dhcp_server_probe_peer_seen(f.probe, LOWER_MAC, f.now_ms); /* we wait for this one */
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    pass(&f, 4000);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    offer(&f, 0, 5, 0xc0a8c801, LOWER_MAC);
    expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_PEER_SERVES);
    end(&f);
}

static void test_two_servers_meet(void **state)
{
    (void)state;
    struct fixture f;
    become_server(&f);
    dhcp_server_probe_peer_seen(f.probe, LOWER_MAC, f.now_ms); /* it will hear our offer */
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_NO_SERVER_ANSWERED);
    offer(&f, 0, 5, 0xc0a8c801, HIGHER_MAC); /* it yields to us */
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_NO_SERVER_ANSWERED);
    offer(&f, 0, 5, 0xc0a8c801, LOWER_MAC);
    expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_PEER_SERVES);
    end(&f);
}

/* ── roles by configuration ──────────────────────────────────────────────────────────────────── */

static void test_configured_roles(void **state)
{
    (void)state;
    static const struct {
        enum dhcp_wanted_role wanted;
        enum dhcp_role role;
    } rows[] = {
        {DHCP_WANTED_PROXY,  DHCP_ROLE_PROXY },
        {DHCP_WANTED_SERVER, DHCP_ROLE_SERVER},
        {DHCP_WANTED_OFF,    DHCP_ROLE_OFF   },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture f;
        begin(&f, rows[i].wanted);
        f.interface = (struct dhcp_interface_state){.carrier = true, .has_address = true};
        changed(&f);
        expect(&f, rows[i].role, DHCP_REASON_CONFIGURED);
        dhcp_server_probe_server_seen(f.probe, REAL_SERVER, f.now_ms); /* the owner knows best */
        dhcp_server_probe_peer_seen(f.probe, LOWER_MAC, f.now_ms);
        offer(&f, 0, 5, REAL_SERVER, NULL);
        pass(&f, 1000000);
        expect(&f, rows[i].role, DHCP_REASON_CONFIGURED);
        bool looks = rows[i].wanted == DHCP_WANTED_SERVER; /* for its like */
        assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], looks ? 17 : 0);
        assert_int_equal(f.count_of[DHCP_ACTION_RELEASE_ADDRESS], 0);
        end(&f);
    }
}

static void test_configured_server_without_an_address(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_SERVER);
    f.interface.carrier = true;
    changed(&f);
    assert_int_equal(f.count_of[DHCP_ACTION_CLAIM_ADDRESS], 1);
    dhcp_server_probe_claimed(f.probe, -EADDRINUSE, f.now_ms);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_ADDRESS_REFUSED);
    pass(&f, 10000);
    assert_int_equal(f.count_of[DHCP_ACTION_CLAIM_ADDRESS], 2);
    dhcp_server_probe_claimed(f.probe, 0, f.now_ms);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_CONFIGURED);
    f.interface.has_fallback_address = true;
    changed(&f);
    pass(&f, 1000000);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_CONFIGURED);
    f.interface.has_fallback_address = false; /* somebody took it away */
    changed(&f);
    assert_int_equal(f.count_of[DHCP_ACTION_CLAIM_ADDRESS], 3);
    expect(&f, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    f.interface.has_address = true; /* and gave it another one */
    changed(&f);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_CONFIGURED);
    end(&f);
}

/* Both have addresses of their own, so that neither looked before it served. */
static void test_configured_servers_meet(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, DHCP_WANTED_SERVER);
    f.interface = (struct dhcp_interface_state){.carrier = true, .has_address = true};
    changed(&f);
    pass(&f, 250);
    assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], 1);
    offer(&f, 0, 5, REAL_SERVER, HIGHER_MAC);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_CONFIGURED);
    forget_actions(&f);
    dhcp_server_probe_peer_seen(f.probe, HIGHER_MAC, f.now_ms);
    pass(&f, 0);
    assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], 0);
    dhcp_server_probe_peer_seen(f.probe, LOWER_MAC, f.now_ms); /* it may serve, too: ask soon */
    pass(&f, 1000);
    assert_int_equal(f.count_of[DHCP_ACTION_SEND_DISCOVER], 1);
    offer(&f, 0, 5, REAL_SERVER, LOWER_MAC);
    expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_PEER_SERVES);
    assert_int_equal(dhcp_server_probe_server(f.probe), REAL_SERVER);
    for (unsigned i = 0; i < 10; i++) { /* as long as that one answers */
        pass(&f, 60000);
        offer(&f, 0, 5, REAL_SERVER, LOWER_MAC);
        expect(&f, DHCP_ROLE_PROXY, DHCP_REASON_PEER_SERVES);
    }
    offer(&f, 0, 5, REAL_SERVER, NULL); /* another one is no reason */
    pass(&f, 240000);
    expect(&f, DHCP_ROLE_SERVER, DHCP_REASON_CONFIGURED);
    end(&f);
}

/* ── the DISCOVER itself ─────────────────────────────────────────────────────────────────────── */

static void test_discover(void **state)
{
    (void)state;
    struct fixture f;
    struct dhcp_message message;
    uint8_t area[600];
    struct buffer out;
    begin(&f, DHCP_WANTED_AUTO);
    f.interface.carrier = true;
    changed(&f);
    buffer_init_fixed(&out, area, sizeof area);
    dhcp_server_probe_write(f.probe, &out);
    assert_int_equal(out.length, DHCP_REPLY_BYTES_MINIMUM);
    assert_int_equal(dhcp_message_parse(area, out.length, &message), 0);
    assert_int_equal(message.op, 1);
    assert_int_equal(message.type, DHCP_DISCOVER);
    assert_int_equal(message.xid, 0x21212121);
    assert_int_equal(message.flags, DHCP_FLAG_BROADCAST); /* we have no address to be sent to */
    assert_memory_equal(message.hardware_address, OWN_MAC, 6);
    assert_int_equal(message.malformed_options, 0);
    end(&f);
}

static void test_words(void **state)
{
    (void)state;
    for (int reason = DHCP_REASON_CONFIGURED; reason <= DHCP_REASON_ADDRESS_REFUSED; reason++)
        assert_true(strlen(dhcp_role_reason_text((enum dhcp_role_reason)reason)) > 10);
    assert_string_equal(dhcp_role_name(DHCP_ROLE_PROXY), "proxy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_becomes_a_server),
        cmocka_unit_test(test_probe_time_is_configurable),
        cmocka_unit_test(test_serves_again_after_a_crash),
        cmocka_unit_test(test_claim_refused),
        cmocka_unit_test(test_claim_without_a_result),
        cmocka_unit_test(test_nevers),
        cmocka_unit_test(test_nevers_later),
        cmocka_unit_test(test_looks_again_when_the_obstacle_is_gone),
        cmocka_unit_test(test_cable_pulled_and_plugged),
        cmocka_unit_test(test_server_answers),
        cmocka_unit_test(test_what_is_no_server),
        cmocka_unit_test(test_server_shows_up_later),
        cmocka_unit_test(test_fallback_address_goes_last),
        cmocka_unit_test(test_sessions_come_back_after_a_restart),
        cmocka_unit_test(test_who_was_served_just_now_gets_time),
        cmocka_unit_test(test_address_taken_away),
        cmocka_unit_test(test_lower_mac_goes_on),
        cmocka_unit_test(test_two_servers_meet),
        cmocka_unit_test(test_configured_roles),
        cmocka_unit_test(test_configured_server_without_an_address),
        cmocka_unit_test(test_configured_servers_meet),
        cmocka_unit_test(test_discover),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
