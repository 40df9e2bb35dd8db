/*
 * schema.c - every key there is, once: the reader, the checker, --help=config, netboot.conf(5) and
 * conf/netboot.conf are made from these tables. A new key is a field in config.h and a row here.
 */
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>

#define KIBI 1024ull
#define MEBI (1024 * KIBI)
#define GIBI (1024 * MEBI)
#define TEBI (1024 * GIBI)

#define SECONDS 1000ull
#define MINUTES (60 * SECONDS)
#define HOURS   (60 * MINUTES)
#define DAYS    (24 * HOURS)

#define SECTION(identifier, table, type)       \
    static const struct section identifier = { \
        .keys = (table),                       \
        .count = ARRAY_SIZE(table),            \
        .size = sizeof(type),                  \
    };                                         \
    _Static_assert(offsetof(type, place) == 0, "a group begins with its place")

/* One row per key, broken where it reads best. */
/* clang-format off */

static const struct word dhcp_roles[] = {
    {"auto", CONFIG_DHCP_AUTO}, {"proxy", CONFIG_DHCP_PROXY}, {"server", CONFIG_DHCP_SERVER},
    {"off", CONFIG_DHCP_OFF}, {NULL, 0}};
static const struct word auth_modes[] = {
    {"none", CONFIG_AUTH_NONE}, {"chap", CONFIG_AUTH_CHAP}, {"mutual", CONFIG_AUTH_MUTUAL},
    {NULL, 0}};
static const struct word chap_algorithms[] = {
    {"md5", CONFIG_CHAP_MD5}, {"sha1", CONFIG_CHAP_SHA1}, {"sha256", CONFIG_CHAP_SHA256},
    {"sha3-256", CONFIG_CHAP_SHA3_256}, {NULL, 0}};
static const struct word digests[] = {
    {"none", CONFIG_DIGESTS_NONE}, {"allow", CONFIG_DIGESTS_ALLOW},
    {"prefer", CONFIG_DIGESTS_PREFER}, {"require", CONFIG_DIGESTS_REQUIRE}, {NULL, 0}};
static const struct word others[] = {
    {"refuse", CONFIG_OTHERS_REFUSE}, {"read-only", CONFIG_OTHERS_READ_ONLY}, {NULL, 0}};
static const struct word write_modes[] = {
    {"auto", CONFIG_WRITE_AUTO}, {"direct", CONFIG_WRITE_DIRECT},
    {"buffered", CONFIG_WRITE_BUFFERED}, {NULL, 0}};
static const struct word initramfs[] = {
    {"auto", CONFIG_INITRAMFS_AUTO}, {"dracut", CONFIG_INITRAMFS_DRACUT},
    {"initramfs-tools", CONFIG_INITRAMFS_TOOLS}, {"mkinitcpio", CONFIG_INITRAMFS_MKINITCPIO},
    {NULL, 0}};
static const struct word engines[] = {
    {"auto", CONFIG_ENGINE_AUTO}, {"uring", CONFIG_ENGINE_URING},
    {"threads", CONFIG_ENGINE_THREADS}, {NULL, 0}};
static const struct word pxe_styles[] = {
    {"auto", CONFIG_PXE_AUTO}, {"direct", CONFIG_PXE_DIRECT},
    {"boot-server", CONFIG_PXE_BOOT_SERVER}, {NULL, 0}};
static const struct word chainloads[] = {
    {"missing-features", CONFIG_CHAINLOAD_MISSING_FEATURES}, {"always", CONFIG_CHAINLOAD_ALWAYS},
    {"never", CONFIG_CHAINLOAD_NEVER}, {NULL, 0}};
static const struct word log_levels[] = {
    {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO}, {"debug", LOG_LEVEL_DEBUG}, {NULL, 0}};

/* RFC 7143 §9.2.1 asks for 96 random bits: 12 bytes at least. */
#define CHAP_SECRET_LENGTH 12
#define PASSWORD_LENGTH    8
#define KEY_LENGTH         32
#define GENERATED_ONCE     "generated once and kept in the state directory"
#define SECRET_EXAMPLE     "change-me-please"

/* The three ways to give one secret of at least so many characters. */
#define SECRET_KEYS(prefix, group, field, least, is_unset, sample, what)                          \
    {.name = prefix, .type = &value_secret, .offset = offsetof(group, field), .minimum = (least),  \
     .maximum = SECRET_MAX_BYTES, .commented = true, .unset = (is_unset), .example = (sample),    \
     .help = what " The file must then belong to root or the daemon's user and be closed to "     \
             "others (chmod 600)."},                                                              \
    {.name = prefix "-file", .type = &value_secret_file, .offset = offsetof(group, field),         \
     .minimum = (least), .maximum = SECRET_MAX_BYTES, .commented = true, .unset = "none",         \
     .example = "/etc/netboot.d/" prefix,                                                         \
     .help = "The same from the first line of a file of its own, closed to others."},             \
    {.name = prefix "-credential", .type = &value_secret_credential,                              \
     .offset = offsetof(group, field), .minimum = (least), .maximum = SECRET_MAX_BYTES,           \
     .commented = true, .unset = "none", .example = "netboot-" prefix,                            \
     .help = "The same from a systemd credential of this name (LoadCredential=)."}

#define AUTH_KEYS(default_mode, default_user, user_is)                                            \
    {.name = "mode", .type = &value_word, .offset = offsetof(struct config_auth, mode),           \
     .words = auth_modes, .fallback = (default_mode),                                             \
     .help = "Who proves what: nobody, the initiator, or both sides (mutual CHAP)."},             \
    {.name = "user", .type = &value_string, .offset = offsetof(struct config_auth, user),         \
     .minimum = 1, .maximum = 255, .fallback = (default_user), .unset = (user_is),                \
     .commented = true, .example = "laptop", .help = "Name that the initiator gives."},                              \
    SECRET_KEYS("secret", struct config_auth, secret, CHAP_SECRET_LENGTH,                         \
                GENERATED_ONCE, SECRET_EXAMPLE,                                                   \
                "Secret of the initiator, 12 to 255 characters."),                                \
    {.name = "target-user", .type = &value_string,                                                \
     .offset = offsetof(struct config_auth, target_user), .minimum = 1, .maximum = 255,           \
     .commented = true, .fallback = "netboot-target",                                             \
     .help = "Name that we give in return (mutual)."},              \
    SECRET_KEYS("target-secret", struct config_auth, target_secret, CHAP_SECRET_LENGTH,           \
                GENERATED_ONCE, SECRET_EXAMPLE,                                                   \
                "Secret that we prove in return, another one than the initiator's."),             \
    {.name = "algorithms", .type = &value_word, .list = true,                                     \
     .offset = offsetof(struct config_auth, algorithms), .words = chap_algorithms,                \
     .fallback = "sha3-256 sha256 sha1 md5",                                                      \
     .help = "CHAP algorithms accepted. The first of the initiator's own list that is among " \
             "them is taken; iPXE and most firmware know md5 alone."}

static const struct key target_auth_keys[] = {
    AUTH_KEYS("mutual", NULL, "the name of the target")
};
SECTION(target_auth, target_auth_keys, struct config_auth);

static const struct key discovery_auth_keys[] = {
    AUTH_KEYS("none", "discovery", NULL)
};
SECTION(discovery_auth, discovery_auth_keys, struct config_auth);

#define FIELD(field) .offset = offsetof(struct config_lun, field)
static const struct key lun_keys[] = {
    {.name = "device", .type = &value_device, FIELD(device), .unset = "none",
     .example = "/dev/disk/by-id/ata-EXAMPLE",
     .help = "Disk, partition or image file: a path, or UUID=, LABEL=, PARTUUID=, PARTLABEL=. "
             "%m in a path is the client's MAC as 52-54-00-ab-cd-ef: an image of its own for "
             "each client."},
    {.name = "disk-with", .type = &value_tag, FIELD(disk_with), .commented = true,
     .unset = "none", .example = "UUID=00112233-4455-6677-8899-aabbccddeeff",
     .help = "The whole disk that holds the partition with this tag, instead of device."},
    {.name = "lun", .type = &value_optional_integer, FIELD(number), .maximum = LUN_MAXIMUM,
     .unset = "one more than the LUN before it, beginning with first-lun", .example = "0",
     .help = "Number of the LUN."},
    {.name = "read-only", .type = &value_bool, FIELD(read_only), .fallback = "false",
     .help = "Refuse every write."},
    {.name = "write", .type = &value_word, FIELD(write), .words = write_modes, .fallback = "auto",
     .help = "How writes reach the disk: auto is direct for block devices and buffered for files."},
    {.name = "wait", .type = &value_duration, FIELD(wait_ms), .fallback = "0", .maximum = 1 * DAYS,
     .help = "How long to wait for a device that appears late; initiators are told to retry."},
    {.name = "force", .type = &value_bool, FIELD(force), .fallback = "false",
     .help = "Override the checks by name of who uses the disk, never a claim of the kernel."},
    {.name = "discard", .type = &value_bool, FIELD(discard), .fallback = "true",
     .help = "Offer UNMAP where the device can discard."},
    {.name = "sanitize", .type = &value_bool, FIELD(sanitize), .fallback = "false",
     .help = "Allow SANITIZE, which erases the whole disk."},
    {.name = "write-cache", .type = &value_bool, FIELD(write_cache), .fallback = "true",
     .help = "Report a write cache, so that initiators flush; false makes every write durable "
             "before it is acknowledged."},
    {.name = "vendor", .type = &value_ascii, FIELD(vendor), .minimum = 1, .maximum = 8,
     .fallback = "NETBOOT", .help = "Vendor in INQUIRY."},
    {.name = "product", .type = &value_ascii, FIELD(product), .minimum = 1, .maximum = 16,
     .fallback = "netboot-target", .help = "Product in INQUIRY."},
    {.name = "revision", .type = &value_ascii, FIELD(revision), .minimum = 1, .maximum = 4,
     .fallback = "1", .help = "Revision in INQUIRY."},
    {.name = "serial", .type = &value_ascii, FIELD(serial), .minimum = 1, .maximum = 36,
     .unset = "derived from the disk", .example = "S123456", .help = "Unit serial number."},
    {.name = "naa", .type = &value_naa, FIELD(naa), .unset = "derived from the disk",
     .example = "3112233445566778", .help = "NAA designator, in hex digits."},
    {.name = "eui", .type = &value_eui, FIELD(eui), .unset = "none",
     .example = "0011223344556677", .help = "EUI-64 based designator, in hex digits."},
    {.name = "rotation-rate", .type = &value_optional_integer, FIELD(rotation_rate),
     .maximum = 0xfffe, .unset = "the device's", .example = "7200",
     .help = "Revolutions per minute; 1: no rotating medium, 0: not reported."},
};
#undef FIELD
SECTION(lun, lun_keys, struct config_lun);

#define FIELD(field) .offset = offsetof(struct config_kernels, field)
static const struct key kernels_keys[] = {
    {.name = "discover", .type = &value_bool, FIELD(discover), .fallback = "true",
     .help = "Look on the disks, while nobody has them in use, for kernels and boot loaders."},
    {.name = "partition", .type = &value_string, FIELD(partition), .minimum = 1, .maximum = 128,
     .unset = "all of them", .example = "UUID=00112233-4455-6677-8899-aabbccddeeff",
     .help = "The only partition of this disk to look in: UUID=, LABEL=, PARTUUID=, PARTLABEL= or "
             "its number."},
    {.name = "path", .type = &value_path, FIELD(path), .minimum = 1, .maximum = 400,
     .unset = "the usual ones",
     .example = "/boot",
     .help = "The only folder to look in, as the partition itself names it."},
    {.name = "cmdline", .type = &value_ascii, FIELD(cmdline), .minimum = 1, .maximum = 1024,
     .unset = "from grub.cfg, /etc/kernel/cmdline or /etc/default/grub of the disk",
     .example = "root=LABEL=root ro",
     .help = "Command line of kernels that have no loader entry."},
    {.name = "cmdline-append", .type = &value_ascii, FIELD(cmdline_append), .minimum = 1,
     .maximum = 1024, .unset = "nothing", .example = "console=ttyS0",
     .help = "Words to add to every kernel's command line."},
    {.name = "cmdline-remove", .type = &value_ascii, .list = true, FIELD(cmdline_remove),
     .minimum = 1, .maximum = 128, .limit = 32, .unset = "nothing", .example = "nomodeset",
     .help = "Words to take from it; a name takes name=value too. What breaks a boot over the "
             "network goes in any case."},
    {.name = "keep-quiet", .type = &value_bool, FIELD(keep_quiet), .fallback = "false",
     .help = "Leave quiet, splash and rhgb there; without them the screen tells what happens."},
    {.name = "netroot", .type = &value_ascii, FIELD(netroot), .minimum = 1, .maximum = 400,
     .unset = "the disk is found by the iBFT", .example = "iscsi:192.168.200.1::::iqn.2026-11.x:y",
     .help = "Tell the initramfs the disk in words, as dracut has them, where a firmware's iBFT is "
             "broken. Not for mkinitcpio."},
    {.name = "initramfs", .type = &value_word, FIELD(initramfs), .words = initramfs,
     .fallback = "auto",
     .help = "Who made the initramfs, which decides the words that it needs; auto looks into it."},
};
#undef FIELD
SECTION(kernels, kernels_keys, struct config_kernels);

#define FIELD(field) .offset = offsetof(struct config_target, field)
static const struct key target_keys[] = {
    {.name = "name", .type = &value_name, FIELD(name), .minimum = 1, .maximum = 64,
     .unset = "target-1, target-2 and so on, by position", .example = "laptop",
     .help = "Name of the target in this file, in the log and in the status."},
    {.name = "iqn", .type = &value_iqn, FIELD(iqn), .unset = "derived from the first disk",
     .example = "iqn.2026-11.local.example:laptop", .help = "iSCSI name of the target."},
    {.name = "alias", .type = &value_string, FIELD(alias), .minimum = 1, .maximum = 255,
     .unset = "none", .example = "The laptop's disk", .help = "TargetAlias told at login."},
    {.name = "luns", .section = &lun, .list = true, FIELD(luns), .limit = 256,
     .help = "The disks of the target."},
    {.name = "first-lun", .type = &value_integer, FIELD(first_lun), .fallback = "0",
     .maximum = LUN_MAXIMUM, .help = "Number of the first LUN that has none of its own."},
    {.name = "auth", .section = &target_auth, FIELD(auth), .help = "How its initiators log in."},
    {.name = "initiators", .type = &value_pattern, .list = true, FIELD(initiators),
     .limit = 256, .unset = "everyone",
     .example = "iqn.2010-04.org.ipxe:* iqn.2026-11.local.example:*",
     .help = "Names of the initiators that may log in; * and ? stand for any text and any "
             "character."},
    {.name = "addresses", .type = &value_network, .list = true, FIELD(addresses),
     .limit = CONFIG_ADDRESSES_LIMIT, .unset = "everyone", .example = "192.168.200.0/24 2001:db8::/64",
     .help = "Addresses and networks that may log in."},
    {.name = "shared", .type = &value_bool, FIELD(shared), .fallback = "false",
     .help = "Let several initiators write at once: for clusters with reservations only. "
             "Otherwise a writable disk has one owner at a time."},
    {.name = "others", .type = &value_word, FIELD(others), .words = others, .fallback = "refuse",
     .help = "What an initiator gets that does not own the disk: refuse, or read-only, which is a "
             "view of a disk that somebody else is writing, good for looking but not for trust."},
    {.name = "hold", .type = &value_duration, FIELD(hold_ms), .fallback = "10m",
     .maximum = 7 * DAYS,
     .help = "How long the disk stays its owner's after its last session is lost, or after a "
             "restart. POST /targets/NAME/owner/release ends it."},
    {.name = "after-script", .type = &value_duration, FIELD(after_script_ms), .fallback = "0",
     .maximum = 1 * DAYS,
     .help = "Take an initiator's first login only so long after it has fetched its boot script "
             "from the same address; 0: at any time. One that is known comes back whenever and "
             "from wherever it likes."},
    {.name = "open", .type = &value_bool, FIELD(open), .fallback = "false",
     .help = "Boot any machine that asks from this target, with the secrets in its script; "
             "otherwise only those in clients."},
    {.name = "digests", .type = &value_word, FIELD(digests), .words = digests, .fallback = "allow",
     .help = "CRC32C digests: refused, taken where the initiator wants nothing else, taken "
             "wherever offered, or demanded. They cost the zero-copy path."},
    {.name = "initial-r2t", .type = &value_bool, FIELD(initial_r2t), .fallback = "true",
     .help = "Insist that an initiator waits to be asked for the data of a write. Without it the "
             "first 64 KiB may come unasked, where the initiator wants that too."},
    {.name = "ping", .type = &value_duration, FIELD(ping_ms), .fallback = "0",
     .maximum = 1 * DAYS,
     .help = "Ask a session that has been silent for so long for a sign of life (NOP-In), for "
             "networks that forget idle connections. 0: never. Firmware is not asked, and nobody "
             "is dropped for not answering."},
    {.name = "kernels", .section = &kernels, FIELD(kernels), .live = true,
     .help = "What the menu offers of the kernels on its disks."},
};
#undef FIELD
SECTION(target, target_keys, struct config_target);

#define FIELD(field) .offset = offsetof(struct config_interface, field)
static const struct key interface_keys[] = {
    {.name = "name", .type = &value_interface, FIELD(name), .unset = "it must be given",
     .example = "eth0", .help = "Name of the interface."},
    {.name = "dhcp", .type = &value_word, FIELD(dhcp), .words = dhcp_roles, .fallback = "auto",
     .help = "proxy: beside another DHCP server, never handing out addresses. server: for a cable "
             "or an island network. auto: proxy where another server answers, else server."},
    {.name = "fallback-address", .type = &value_interface_network, FIELD(fallback_address),
     .fallback = "192.168.200.1/24",
     .help = "Our own address where there is neither an address nor a DHCP server. Where another "
             "interface of this machine is in the usual network, the next free one: "
             "192.168.201.1/24 and so on."},
    {.name = "pool", .type = &value_pool, FIELD(pool),
     .unset = "all other hosts of our network", .example = "192.168.200.100-192.168.200.199",
     .help = "Addresses to hand out as a server, 1024 at most."},
    {.name = "router", .type = &value_ipv4, FIELD(router), .unset = "none",
     .example = "192.168.200.254", .help = "Router to tell clients."},
    {.name = "dns", .type = &value_ipv4, .list = true, FIELD(dns), .limit = 3, .unset = "none",
     .example = "192.168.200.254", .help = "Name servers to tell clients."},
    {.name = "probe", .type = &value_duration, FIELD(probe_ms), .fallback = "5s",
     .minimum = 1 * SECONDS, .maximum = 2 * MINUTES,
     .help = "How long auto looks for another DHCP server after carrier."},
    {.name = "router-advertisement", .type = &value_bool, FIELD(router_advertisement),
     .fallback = "true",
     .help = "Answer a booting client's router solicitation, to it alone and with lifetime 0, "
             "where no router does: saves the 16 s that iPXE waits for one."},
};
#undef FIELD
SECTION(interface, interface_keys, struct config_interface);

#define FIELD(field) .offset = offsetof(struct config_client, field)
static const struct key client_keys[] = {
    {.name = "mac", .type = &value_mac, FIELD(mac), .unset = "any",
     .example = "52:54:00:ab:cd:ef",
     .help = "MAC of the machine. One of mac, uuid and serial must be given; all that are given "
             "must match."},
    {.name = "uuid", .type = &value_uuid, FIELD(uuid), .unset = "any",
     .example = "00112233-4455-6677-8899-aabbccddeeff", .help = "Its SMBIOS UUID."},
    {.name = "serial", .type = &value_string, FIELD(serial), .minimum = 1, .maximum = 64,
     .unset = "any", .example = "PF0ABCDE", .help = "Its SMBIOS serial number."},
    {.name = "target", .type = &value_name, FIELD(target), .minimum = 1, .maximum = 64,
     .unset = "the first target", .example = "laptop", .help = "Name of the target it boots."},
    {.name = "lun", .type = &value_optional_integer, FIELD(lun), .maximum = LUN_MAXIMUM,
     .unset = "the target's first", .example = "0", .help = "Number of the LUN it boots."},
    {.name = "address", .type = &value_ipv4, FIELD(address), .unset = "none",
     .example = "192.168.200.50",
     .help = "Address to give it on the network that the address belongs to, even beside another "
             "DHCP server: for firmware that takes everything from one offer."},
    {.name = "device", .type = &value_device, FIELD(device), .unset = "the target's LUN",
     .example = "/srv/clients/%m.img", .help = "Image of its own; %m is its MAC."},
    {.name = "initiator", .type = &value_initiator, FIELD(initiator),
     .unset = "made from its MAC", .example = "iqn.2026-11.local.example:%m",
     .help = "Initiator name to give it; %m is its MAC."},
    {.name = "menu", .type = &value_bool, FIELD(menu), .fallback = "false",
     .help = "Show the menu instead of booting at once."},
    {.name = "open", .type = &value_bool, FIELD(open), .fallback = "false",
     .help = "Boot it unattended, with the secrets in its script: whoever says its MAC gets them. "
             "Otherwise it asks for the menu's password, but on a target that is open or that "
             "anybody may read."},
    {.name = "pxe-style", .type = &value_word, FIELD(pxe_style), .words = pxe_styles,
     .fallback = "auto",
     .help = "How its firmware is answered: direct names the boot file in the first offer "
             "(option 43), boot-server lets it ask again on port 4011."},
    {.name = "boot-file", .type = &value_boot_file, FIELD(boot_file), .minimum = 1,
     .maximum = 127, .unset = "by its architecture", .example = "ipxe.efi",
     .help = "Boot file to give it."},
};
#undef FIELD
SECTION(client, client_keys, struct config_client);

#define FIELD(field) .offset = offsetof(struct config_menu_item, field)
static const struct key menu_item_keys[] = {
    {.name = "name", .type = &value_name, FIELD(name), .minimum = 1, .maximum = 64,
     .unset = "item-1, item-2 and so on, by position", .example = "rescue",
     .help = "Name of the item, for default and for what is remembered."},
    {.name = "title", .type = &value_string, FIELD(title), .minimum = 1, .maximum = 128,
     .unset = "its name", .example = "Rescue system", .help = "How the menu shows it."},
    {.name = "target", .type = &value_name, FIELD(target), .minimum = 1, .maximum = 64,
     .unset = "no disk", .example = "laptop",
     .help = "Name of the target it boots, such as a read-only image."},
    {.name = "lun", .type = &value_optional_integer, FIELD(lun), .maximum = LUN_MAXIMUM,
     .unset = "the target's first", .example = "0", .help = "Number of the LUN it boots."},
    {.name = "script", .type = &value_ascii, .list = true, FIELD(script), .minimum = 1,
     .maximum = 1024, .limit = 64, .unset = "what the disk starts by itself",
     .example = "shell",
     .help = "Lines of an iPXE script to run instead, with the disk of target hooked if there is "
             "one. Whoever sees the menu can read them."},
};
#undef FIELD
SECTION(menu_item, menu_item_keys, struct config_menu_item);

#define FIELD(field) .offset = offsetof(struct config_menu, field)
static const struct key menu_keys[] = {
    {.name = "user", .type = &value_ascii, FIELD(user), .minimum = 1, .maximum = 64,
     .fallback = "netboot", .help = "Name to log in with."},
    SECRET_KEYS("password", struct config_menu, password, PASSWORD_LENGTH, GENERATED_ONCE,
                SECRET_EXAMPLE,
                "Password to log in with, 8 to 255 characters."),
    {.name = "basic", .type = &value_bool, FIELD(basic), .fallback = "false",
     .help = "Take the password by HTTP Basic too, which sends it in clear; Digest does not."},
    {.name = "timeout", .type = &value_duration, FIELD(timeout_ms), .fallback = "10s",
     .maximum = 1 * HOURS, .help = "When the default entry starts; 0 waits for ever."},
    {.name = "default", .type = &value_choice, FIELD(choice), .fallback = "disk",
     .help = "What a client starts that has chosen nothing yet, in the menu and unattended: disk "
             "(what the disk itself starts), kernel (its newest Linux by HTTP), entry:ID, or "
             "item:NAME. A disk that is not prepared gives way to a kernel that is."},
    {.name = "items", .section = &menu_item, .list = true, FIELD(items), .limit = 64,
     .help = "What the menu offers beside the client's own disk."},
};
#undef FIELD
SECTION(menu, menu_keys, struct config_menu);

#define BOOT_FILE(key, field, file, what)                                                       \
    {.name = (key), .type = &value_boot_file, .offset = offsetof(struct config_boot_files, field), \
     .minimum = 1, .maximum = 127, .fallback = (file), .help = "Boot file for " what "."}
static const struct key boot_files_keys[] = {
    BOOT_FILE("bios", bios, "undionly.kpxe", "BIOS"),
    BOOT_FILE("efi-ia32", efi_ia32, "i386/snponly.efi", "UEFI on 32-bit x86"),
    BOOT_FILE("efi-x64", efi_x64, "snponly.efi", "UEFI on 64-bit x86"),
    BOOT_FILE("efi-arm32", efi_arm32, "arm32/snponly.efi", "UEFI on 32-bit ARM"),
    BOOT_FILE("efi-arm64", efi_arm64, "arm64/snponly.efi", "UEFI on 64-bit ARM"),
    BOOT_FILE("efi-riscv64", efi_riscv64, "riscv64/snponly.efi", "UEFI on 64-bit RISC-V"),
    BOOT_FILE("efi-loongarch64", efi_loongarch64, "loong64/snponly.efi",
              "UEFI on 64-bit LoongArch"),
};
SECTION(boot_files, boot_files_keys, struct config_boot_files);

#define FIELD(field) .offset = offsetof(struct config_boot, field)
static const struct key boot_keys[] = {
    {.name = "http-listen", .type = &value_endpoint, .list = true, FIELD(http_listen),
     .limit = 16, .fallback = "*:80", .help = "Where scripts and boot files are served by HTTP."},
    {.name = "tftp-listen", .type = &value_endpoint, .list = true, FIELD(tftp_listen),
     .limit = 16, .fallback = "*:69",
     .help = "Where boot files are served by TFTP; firmware asks on port 69 only."},
    {.name = "directory", .type = &value_path, FIELD(directory), .fallback = "/usr/lib/ipxe",
     .help = "Folder of the boot files; Debian's package ipxe fills this one."},
    {.name = "custom-directory", .type = &value_path, FIELD(custom_directory), .unset = "none",
     .example = "/srv/boot", .help = "Folder of your own builds; a file here comes first."},
    {.name = "files", .section = &boot_files, FIELD(files),
     .help = "The boot file of each architecture, below these folders."},
    {.name = "chainload", .type = &value_word, FIELD(chainload), .words = chainloads,
     .fallback = "missing-features",
     .help = "When a built-in iPXE gets ours: where it lacks iSCSI, HTTP or menus, always, or "
             "never."},
};
#undef FIELD
SECTION(boot, boot_keys, struct config_boot);

#define FIELD(field) .offset = offsetof(struct config_discovery, field)
static const struct key discovery_keys[] = {
    {.name = "memory", .type = &value_size, FIELD(memory_bytes), .fallback = "512M",
     .minimum = 0, .maximum = 1 * TEBI,
     .help = "Kernels and initrds kept in memory, the newest first; the others are only listed."},
    {.name = "time", .type = &value_duration, FIELD(time_ms), .fallback = "2m",
     .minimum = 1 * SECONDS, .maximum = 1 * HOURS,
     .help = "How long looking through one disk may take."},
    {.name = "without-landlock", .type = &value_bool, FIELD(without_landlock), .fallback = "false",
     .help = "Look through disks also where the kernel has no Landlock, which keeps the helper that "
             "does it from every other file."},
};
#undef FIELD
SECTION(discovery, discovery_keys, struct config_discovery);

static const struct key status_keys[] = {
    {.name = "listen", .type = &value_endpoint, .list = true,
     .offset = offsetof(struct config_status, listen), .limit = 16,
     .fallback = "127.0.0.1:9180",
     .help = "Where status, metrics and actions are served. Whoever reaches it can use them."},
    {.name = "hosts", .type = &value_ascii, .list = true,
     .offset = offsetof(struct config_status, hosts), .minimum = 1, .maximum = 253,
     .unset = "none", .example = "netboot.example.org",
     .help = "Host names that actions may be asked for by, besides the addresses listened on."},
};
SECTION(status, status_keys, struct config_status);

#define FIELD(field) .offset = offsetof(struct config_io, field)
static const struct key io_keys[] = {
    {.name = "engine", .type = &value_word, FIELD(engine), .words = engines, .fallback = "auto",
     .help = "How reads that must wait for the disk are done; auto takes io_uring where it works."},
    {.name = "workers", .type = &value_integer, FIELD(workers), .fallback = "32", .minimum = 1,
     .maximum = 256, .help = "Worker threads kept for all disks; more come and go as needed."},
    {.name = "workers-per-lun", .type = &value_integer, FIELD(workers_per_lun), .fallback = "8",
     .minimum = 1, .maximum = 64, .help = "Worker threads that one LUN can hold."},
    {.name = "memory", .type = &value_size, FIELD(memory_bytes), .fallback = "256M",
     .minimum = 16 * MEBI, .maximum = 1 * TEBI, .help = "Buffers of all connections together."},
};
#undef FIELD
SECTION(io, io_keys, struct config_io);

#define COUNT(key, field, value, least, most, what)                               \
    {.name = (key), .type = &value_integer, .offset = offsetof(struct config_limits, field), \
     .fallback = (value), .minimum = (least), .maximum = (most), .help = (what)}
#define TIME(key, field, value, least, most, what)                                 \
    {.name = (key), .type = &value_duration, .offset = offsetof(struct config_limits, field), \
     .fallback = (value), .minimum = (least), .maximum = (most), .help = (what)}
#define SIZE(key, field, value, least, most, what)                             \
    {.name = (key), .type = &value_size, .offset = offsetof(struct config_limits, field), \
     .fallback = (value), .minimum = (least), .maximum = (most), .help = (what)}
static const struct key limits_keys[] = {
    COUNT("connections", connections, "4096", 1, 65536, "iSCSI connections in all."),
    COUNT("connections-per-source", connections_per_source, "256", 1, 65536,
          "iSCSI connections of one address."),
    COUNT("logins", logins, "64", 1, 65536, "Connections that are not through their login."),
    COUNT("logins-per-source", logins_per_source, "16", 1, 65536, "The same of one address."),
    COUNT("failed-logins-per-minute", failed_logins_per_minute, "10", 1, 65536,
          "Failed logins of one address before its next ones are delayed."),
    TIME("login-deadline", login_deadline_ms, "15s", 1 * SECONDS, 10 * MINUTES,
         "How long a login can take."),
    COUNT("sessions-per-initiator", sessions_per_initiator, "8", 1, 65536,
          "Sessions of one initiator name on one target, and as many for discovery."),
    COUNT("queue-depth", queue_depth, "256", 1, 4096, "Commands of one session at a time."),
    SIZE("memory-per-connection", memory_per_connection_bytes, "2M", 512 * KIBI, 1 * GIBI,
         "Buffers of one connection."),
    SIZE("text", text_bytes, "64K", 8 * KIBI, 1 * MEBI, "Keys of one login or text exchange."),
    TIME("send-stall", send_stall_ms, "60s", 1 * SECONDS, 1 * HOURS,
         "How long a connection can refuse what we send; at most twice keepalive."),
    TIME("write-stall", write_stall_ms, "60s", 1 * SECONDS, 1 * HOURS,
         "How long an initiator can leave all data of its writes unsent."),
    /* Linux probes after 32767 s at the latest. */
    TIME("keepalive", keepalive_ms, "60s", 5 * SECONDS, 9 * HOURS,
         "A silent connection is probed after this time and closed after twice it."),
    TIME("drain", drain_ms, "20s", 0, 10 * MINUTES,
         "What running commands get when the daemon ends."),
    COUNT("http-connections", http_connections, "128", 4, 65536, "HTTP connections in all."),
    COUNT("http-connections-per-source", http_connections_per_source, "16", 1, 65536,
          "HTTP connections of one address."),
    TIME("http-header", http_header_ms, "10s", 1 * SECONDS, 10 * MINUTES,
         "How long an HTTP request header can take."),
    SIZE("http-body", http_body_bytes, "64K", 1 * KIBI, 16 * MEBI, "Body of one HTTP request."),
    COUNT("tftp-transfers", tftp_transfers, "256", 1, 65536, "TFTP transfers in all."),
    COUNT("tftp-transfers-per-source", tftp_transfers_per_source, "8", 1, 65536,
          "TFTP transfers of one address."),
    COUNT("tftp-block", tftp_block_bytes, "1468", 512, 65464,
          "Largest TFTP block in bytes; 1468 fits an Ethernet frame."),
    COUNT("tftp-window", tftp_window_blocks, "32", 1, 1024, "Largest TFTP window in blocks."),
    COUNT("dhcp-replies-per-second", dhcp_replies_per_second, "200", 1, 65536,
          "DHCP replies on one interface. Machines that clients names, and those that have "
          "booted lately, have as many to themselves."),
    COUNT("journal-clients", journal_clients, "256", 1, 65536,
          "Clients whose boot is remembered."),
    COUNT("journal-events-per-client", journal_events_per_client, "64", 8, 4096,
          "Steps remembered of one client."),
};
SECTION(limits, limits_keys, struct config_limits);

#define FIELD(field) .offset = offsetof(struct config, field)
static const struct key config_keys[] = {
    {.name = "interfaces", .section = &interface, .list = true, FIELD(interfaces), .limit = 64,
     .unset = "every wired physical interface, dhcp = \"auto\"",
     .help = "The network interfaces on which clients boot."},
    {.name = "portals", .type = &value_endpoint, .list = true, FIELD(portals), .limit = 32,
     .fallback = "*:3260",
     .help = "Where iSCSI is served. * is every address of both families; %eth0 behind the "
             "address binds to that interface."},
    {.name = "targets", .section = &target, .list = true, FIELD(targets), .limit = 1024,
     .help = "The iSCSI targets."},
    {.name = "clients", .section = &client, .list = true, FIELD(clients), .limit = 4096,
     .help = "The machines that boot unattended, and what each one gets."},
    {.name = "discovery-auth", .section = &discovery_auth, FIELD(discovery_auth),
     .help = "How discovery sessions log in. They show only what that initiator may reach."},
    SECRET_KEYS("secret-key", struct config, secret_key, KEY_LENGTH, "none",
                "paste-a-line-of-openssl-rand-hex-32",
                "Key of 32 to 255 characters. Secrets and passwords that are not written here "
                "are then derived from it instead of generated and kept: the same after every "
                "start, also without a disk. Another one at a reload ends the sessions that log "
                "in by them."),
    {.name = "menu", .section = &menu, FIELD(menu), .help = "The boot menu."},
    {.name = "boot", .section = &boot, FIELD(boot), .help = "Boot files and how they are served."},
    {.name = "discovery", .section = &discovery, FIELD(discovery),
     .help = "How disks are searched for kernels and boot loaders."},
    {.name = "status", .section = &status, FIELD(status), .help = "The status page."},
    {.name = "io", .section = &io, FIELD(io), .help = "How the disks are read and written."},
    {.name = "limits", .section = &limits, FIELD(limits), .help = "Every limit there is."},
    {.name = "iqn-authority", .type = &value_iqn_prefix, FIELD(iqn_authority),
     .fallback = "iqn.2026-11.local.netboot-target",
     .help = "What the names of targets without an iqn begin with. Another one at a reload "
             "renames them, and their sessions end."},
    {.name = "state-directory", .type = &value_path, FIELD(state_directory),
     .minimum = 1, .maximum = 383, .fallback = "/var/lib/netboot-target",
     .help = "Folder of what must survive: identities, generated secrets, reservations."},
    {.name = "log-level", .type = &value_word, FIELD(log_level), .words = log_levels,
     .fallback = "info", .help = "What is logged."},
};
#undef FIELD
/* clang-format on */

const struct section config_schema = {
    .keys = config_keys,
    .count = ARRAY_SIZE(config_keys),
    .size = sizeof(struct config),
};
_Static_assert(offsetof(struct config, place) == 0, "a group begins with its place");

const struct key *section_find(const struct section *section, const char *name)
{
    for (unsigned i = 0; i < section->count; i++)
        if (strcmp(section->keys[i].name, name) == 0)
            return &section->keys[i];
    return NULL;
}
