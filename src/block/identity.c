/* identity.c - see identity.h */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity.h"
#include "probe.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

#define NAME_BYTES 256

/* The disk behind a location, and how far into it the location begins. */
struct origin {
    char path[PATH_MAX];
    uint64_t offset_bytes;
    bool is_part;
    bool is_device;
    struct sysfs_device disk;
};

static int find_origin(const struct system_root *root, const struct block_location *location,
                       struct origin *ret_origin, struct error *error)
{
    struct stat status;
    struct sysfs_device device;
    struct origin origin = {.offset_bytes = location->offset_bytes,
                            .is_part = location->offset_bytes || location->length_bytes};
    if (stat(location->path, &status) < 0)
        return error_set(error, -errno, "%s cannot be identified: %s", location->path,
                         strerror(errno));
    snprintf(origin.path, sizeof origin.path, "%s", location->path);
    origin.is_device = S_ISBLK(status.st_mode) && !sysfs_find(root, status.st_rdev, &device) &&
                       !sysfs_find_disk(&device, &origin.disk);
    if (origin.is_device && device.partition) {
        snprintf(origin.path, sizeof origin.path, "%s/%s", root->dev, origin.disk.name);
        origin.offset_bytes += device.start_bytes;
        origin.is_part = true;
    }
    *ret_origin = origin;
    return 0;
}

static void fill(struct block_identity *identity, enum block_identity_source source,
                 const struct origin *origin, const char *kind, const char *name)
{
    char line[NAME_BYTES + 64];
    char printable[96];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int length = origin->is_part ? snprintf(line, sizeof line, "%s %s %llu", kind, name,
                                            (unsigned long long)origin->offset_bytes)
                                 : snprintf(line, sizeof line, "%s %s", kind, name);
    SHA256((const uint8_t *)line, (size_t)length, digest);
    identity->source = source;
    memcpy(identity->bytes, digest, sizeof identity->bytes);
    escape_text(printable, sizeof printable, name, strlen(name));
    snprintf(identity->description, sizeof identity->description, "%s %s%s", kind, printable,
             origin->is_part ? " (partition)" : "");
}

static bool only_zeros(const char *id)
{
    return !id[strspn(id, "0-")];
}

static bool identify_by_table(const struct origin *origin, int descriptor,
                              struct block_identity *identity)
{
    _cleanup_probe_ blkid_probe probe = probe_new(descriptor, 0, 0);
    blkid_partlist partitions = probe ? blkid_probe_get_partitions(probe) : NULL;
    blkid_parttable table = partitions ? blkid_partlist_get_table(partitions) : NULL;
    const char *type = table ? blkid_parttable_get_type(table) : NULL;
    const char *id = table ? blkid_parttable_get_id(table) : NULL;
    if (!type || !id || only_zeros(id))
        return false;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s", id);
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    fill(identity, BLOCK_IDENTITY_TABLE, origin, type, name);
    return true;
}

/* Where the kernel shows a name of the hardware, the most specific first. A drive says the same on
 * every machine and port. */
static const struct {
    const char *attribute;
    unsigned skip_bytes; /* of a header */
} serial_attributes[] = {
    {"wwid",            0}, /* NVMe: of the namespace */
    {"device/wwid",     0}, /* SCSI, SATA: of VPD page 83 */
    {"device/vpd_pg80", 4}, /* SCSI: unit serial number (SPC-5 §7.7.18) */
    {"serial",          0}, /* virtio */
    {"device/cid",      0}, /* MMC, SD */
    {"device/serial",   0},
    {"dm/uuid",         0}, /* a volume: of its group and itself */
    {"md/uuid",         0},
};

static bool identify_by_serial(const struct origin *origin, struct block_identity *identity)
{
    for (unsigned i = 0; origin->is_device && i < ARRAY_SIZE(serial_attributes); i++) {
        char text[NAME_BYTES];
        ssize_t length =
            sysfs_read(origin->disk.directory, serial_attributes[i].attribute, text, sizeof text);
        if (length <= (ssize_t)serial_attributes[i].skip_bytes)
            continue;
        const char *name = text + serial_attributes[i].skip_bytes;
        name += strspn(name, " ");
        if (!*name || only_zeros(name))
            continue;
        fill(identity, BLOCK_IDENTITY_SERIAL, origin, "serial", name);
        return true;
    }
    return false;
}

int identity_read(const struct system_root *root, const struct block_location *location,
                  struct block_identity *ret_identity, struct error *error)
{
    struct origin origin = {0};
    int r = find_origin(root, location, &origin, error);
    if (r < 0)
        return r;
    _cleanup_close_ int descriptor = open(origin.path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set(error, -errno, "%s cannot be identified: %s", origin.path,
                         strerror(errno));
    struct block_identity identity = {.source = BLOCK_IDENTITY_NONE,
                                      .description = "nothing on it says who it is"};
    struct block_identity hardware = identity;
    bool has_hardware = identify_by_serial(&origin, &hardware);
    if (!identify_by_table(&origin, descriptor, &identity))
        identity = hardware;
    identity.has_hardware = has_hardware;
    memcpy(identity.hardware, hardware.bytes, sizeof identity.hardware);
    *ret_identity = identity;
    return 0;
}

int block_identify(const struct block_location *location, struct block_identity *ret_identity,
                   struct error *error)
{
    return identity_read(&system_root, location, ret_identity, error);
}
