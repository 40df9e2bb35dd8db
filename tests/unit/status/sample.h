/* sample.h - a report with everything in it, and names that want to be more than names. */
#pragma once
#include <netboot-target/status.h>

#define HOSTILE      "\"><script>alert('1')</script>&amp;\\\n\xff\xe2\x80\xaetxt"
#define HOSTILE_TEXT "\"><script>alert('1')</script>&amp;\\\\x0a\\xff\\u{202e}txt"

static const struct status_boot_entry sample_boot_entries[] = {
    {.id = "debian",  .title = HOSTILE, .kind = "linux", .source = "/boot", .problem = ""},
    { .id = "disk",
     .title = "GRUB",
     .kind = "mbr",
     .source = "",
     .problem = HOSTILE,
     .seen_unix_seconds = 1780000000},
};
static const char *const sample_boot_notes[] = {HOSTILE};

static const struct status_lun sample_luns[] = {
    {.number = 0,
     .state = "open",
     .problem = "",
     .device = "/dev/disk/by-id/B\xc3\xbc" HOSTILE,
     .identity = "00112233445566778899aabbccddeeff",
     .identity_source = "GPT disk GUID",
     .open = true,
     .write_mode = "direct",
     .size_bytes = UINT64_C(500107862016),
     .logical_block_bytes = 512,
     .physical_block_bytes = 4096,
     .serial = "S-1",
     .reservation = "WRITE EXCLUSIVE by iqn.x",
     .in_flight = 3,
     .operations = {[STATUS_READ] = {10, 40960, 1}, [STATUS_FLUSH] = {2, 0, 0}},
     .boot = {.stale = true,
              .scanned_unix_seconds = 1790000001,
              .problem = "",
              .entries = sample_boot_entries,
              .entry_count = 2,
              .notes = sample_boot_notes,
              .note_count = 1}},
    {.number = 1,
     .state = "refused",
     .problem = "/dev/sdb is mounted on " HOSTILE,
     .device = "UUID=1",
     .identity = "",
     .identity_source = "",
     .write_mode = "",
     .serial = "",
     .reservation = ""                    },
    {.number = 2,
     .state = "write-fault",
     .problem = "",
     .device = "/dev/sdc",
     .identity = "",
     .identity_source = "",
     .open = true,
     .write_mode = "buffered",
     .size_bytes = 1024,
     .logical_block_bytes = 512,
     .physical_block_bytes = 512,
     .serial = "",
     .reservation = "",
     .boot = {.busy = true, .problem = "it was too slow"}},
};

static const struct status_target sample_targets[] = {
    {.name = "laptop",
     .iqn = "iqn.2026-11.local.netboot-target:0",
     .auth = "mutual",
     .secrets_path = "/var/lib/netboot-target/secrets.laptop",
     .owner = HOSTILE,
     .ready = true,
     .luns = sample_luns,
     .lun_count = 3},
};

static const struct status_session sample_sessions[] = {
    {.initiator = HOSTILE,
     .target = "iqn.2026-11.local.netboot-target:0",
     .peer = "192.0.2.7:51234",
     .local = "192.0.2.1:3260",
     .isid = "00023d000001",
     .tsih = 7,
     .auth = "mutual CHAP",
     .data_digest = true,
     .immediate_data = true,
     .max_send_bytes = 262144,
     .max_receive_bytes = 262144,
     .max_burst_bytes = 262144,
     .first_burst_bytes = 65536,
     .age_ms = 90061000,
     .idle_ms = 1500,
     .commands = 100,
     .reads = 60,
     .writes = 40,
     .read_bytes = UINT64_MAX,
     .written_bytes = 163840,
     .zero_copy_bytes = 1,
     .errors = 1,
     .outstanding = 2,
     .latency = {[0] = 5, [7] = 94, [STATUS_LATENCY_BUCKETS - 1] = 1}},
    {.initiator = HOSTILE,
     .target = "",
     .peer = "192.0.2.8:1",
     .local = "[2001:db8::1]:3260",
     .isid = "400027100102",
     .tsih = 8,
     .discovery = true,
     .auth = "none"        },
};

static const struct status_interface sample_interfaces[] = {
    {.name = "eth0",
     .address = "192.0.2.1",
     .role = "proxy",
     .reason = "another DHCP server is there",
     .problem = "",
     .carrier = true}
};

static const struct status_step sample_steps[] = {
    {.name = "dhcp-discover",
     .words = "its firmware asked for a boot file",
     .detail = "x64 UEFI",
     .first_ms = 9000,
     .last_ms = 5000,
     .count = 2       },
    { .name = "file",
     .words = "it loaded its boot file to the end",
     .detail = "snponly.efi",
     .first_ms = 1000,
     .last_ms = 1000,
     .count = 1,
     .bytes = 173792,
     .duration_ms = 26},
};

static const struct status_client sample_clients[] = {
    {.mac = "52:54:00:ab:cd:ef",
     .uuid = "",
     .address = "192.0.2.7",
     .initiator = HOSTILE,
     .interface = "eth0",
     .state = "stopped",
     .step = "file",
     .sentence = "It stopped at " HOSTILE,
     .causes = {"Secure Boot is on."},
     .cause_count = 1,
     .first_seen_ms = 9000,
     .last_seen_ms = 1000,
     .step_ms = 1000,
     .boots = 1,
     .steps = sample_steps,
     .step_count = 2}
};

static const char *const sample_portals[] = {"0.0.0.0:3260", "[::]:3260"};

static const struct status_report sample = {.version = "1.2.3",
                                            .uptime_seconds = 61,
                                            .started_unix_seconds = 1790000000,
                                            .serving = true,
                                            .engine = "io_uring",
                                            .portals = sample_portals,
                                            .portal_count = 2,
                                            .connections = 3,
                                            .targets = sample_targets,
                                            .target_count = 1,
                                            .sessions = sample_sessions,
                                            .session_count = 2,
                                            .interfaces = sample_interfaces,
                                            .interface_count = 1,
                                            .clients = sample_clients,
                                            .client_count = 1};

/* A daemon that has just begun. */
static const struct status_report sample_empty = {
    .version = "1.2.3", .engine = "threads", .draining = true};
