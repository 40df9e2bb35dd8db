/*
 * test_discovery_helper.c - helpers that the disk they read has taken over. This program plays them
 * too: it starts itself, and the name of the disk says what the helper does.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <server/discovery_helper.h>

#include <netboot-target/util/array.h>

#define SHA256 "\"abababababababababababababababababababababababababababababababab\""
#define SOCKET 3

/* ── the helper ──────────────────────────────────────────────────────────────────────────────── */

static int sealed(const char *text)
{
    int descriptor = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (write(descriptor, text, strlen(text)) != (ssize_t)strlen(text) ||
        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        exit(EXIT_FAILURE);
    return descriptor;
}

static void send_packet(char kind, const char *text, unsigned descriptor_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    int file = sealed(text);
    const int descriptors[] = {file, file};
    struct iovec data = {.iov_base = &kind, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = CMSG_SPACE(descriptor_count * sizeof(int));
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptor_count * sizeof(int));
    memcpy(CMSG_DATA(rights), descriptors, descriptor_count * sizeof(int));
    if (sendmsg(SOCKET, &message, MSG_NOSIGNAL) < 0)
        exit(EXIT_FAILURE);
    close(file);
}

static void send_catalog(const char *how)
{
    char index[512];
    snprintf(index, sizeof index,
             "{\"entries\":[],\"notes\":[],\"dirty\":false,\"files\":"
             "[{\"name\":\"vmlinuz\",\"bytes\":5,\"sha256\":" SHA256 ",\"%s\":true}]}",
             how);
    send_packet('I', index, 1);
}

static int play_helper(const char *disk)
{
    if (strcmp(disk, "two") == 0) {
        send_packet('F', "one", 2);
    } else if (strcmp(disk, "sends") == 0) {
        send_packet('F', "wrong", 1); /* the digest that it gives is of something else */
        send_catalog("sent");
    } else {
        send_catalog("kept");
    }
    return EXIT_SUCCESS;
}

/* ── the daemon ──────────────────────────────────────────────────────────────────────────────── */

static struct discovery_helpers helpers;

struct outcome {
    struct boot_catalog *catalog;
    struct error error;
};

static void on_done(void *context, struct boot_catalog *catalog, const struct error *error)
{
    *(struct outcome *)context = (struct outcome){.catalog = catalog, .error = *error};
    ev_break(helpers.loop, EVBREAK_ALL);
}

static struct boot_catalog *look(const char *disk, uint64_t number, struct error *ret_error)
{
    struct outcome outcome = {0};
    const struct config_kernels kernels = {0};
    const struct discovery_request request = {.device = disk,
                                              .disk = number,
                                              .kernels = &kernels,
                                              .memory_bytes = 1 << 20,
                                              .time_ms = 20000};
    if (!discovery_helper_start(&helpers, &request, on_done, &outcome, ret_error))
        fail_msg("%s", ret_error->text);
    ev_run(helpers.loop, 0);
    *ret_error = outcome.error;
    return outcome.catalog;
}

static unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static int set_up(void **state)
{
    (void)state;
    helpers = (struct discovery_helpers){.loop = ev_loop_new(EVFLAG_AUTO)};
    return setenv("NETBOOT_TARGET_DISCOVER", "/proc/self/exe", 1);
}

static int tear_down(void **state)
{
    (void)state;
    discovery_helpers_done(&helpers);
    ev_loop_destroy(helpers.loop);
    return 0;
}

/* Else a helper could take all descriptors from the daemon, look by look. */
static void test_more_descriptors_than_one_are_closed(void **state)
{
    struct error error;
    (void)state;
    unsigned before = count_descriptors();
    assert_null(look("two", 1, &error));
    assert_string_equal(error.text, "the helper sent a file that can still be changed");
    assert_int_equal(count_descriptors(), before);
}

/* The digest is the helper's word. */
static void test_no_disk_slips_a_file_to_another(void **state)
{
    struct error error;
    (void)state;
    struct boot_catalog *first = look("sends", 1, &error);
    assert_non_null(first);
    assert_memory_equal(first->files[0].data, "wrong", 5);
    struct boot_catalog *other = look("keeps", 2, &error);
    assert_non_null(other);
    assert_null(other->files[0].data);
    boot_catalog_free(other);
    boot_catalog_free(first);
}

static void test_same_bytes_share_memory(void **state)
{
    struct error error;
    (void)state;
    struct boot_catalog *first = look("sends", 1, &error), *other = look("sends", 2, &error);
    assert_non_null(first);
    assert_non_null(other);
    assert_ptr_not_equal(other->files[0].blob, first->files[0].blob); /* each has its own digest */
    assert_ptr_equal(other->files[0].data, first->files[0].data);
    boot_catalog_free(first);
    assert_memory_equal(other->files[0].data, "wrong", 5);
    boot_catalog_free(other);
}

static void test_a_disk_keeps_its_own_file(void **state)
{
    struct error error;
    (void)state;
    struct boot_catalog *first = look("sends", 1, &error);
    struct boot_catalog *again = look("keeps", 1, &error);
    assert_non_null(first);
    assert_non_null(again);
    assert_ptr_equal(again->files[0].blob, first->files[0].blob);
    boot_catalog_free(first);
    assert_memory_equal(again->files[0].data, "wrong", 5);
    boot_catalog_free(again);
}

int main(int count, char **words)
{
    if (!strcmp(words[0], "netboot-target-discover"))
        return play_helper(words[count - 1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_descriptors_than_one_are_closed),
        cmocka_unit_test(test_no_disk_slips_a_file_to_another),
        cmocka_unit_test(test_same_bytes_share_memory),
        cmocka_unit_test(test_a_disk_keeps_its_own_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
