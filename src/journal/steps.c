/*
 * steps.c - the steps of a boot. The waits are the times after which nothing comes any more, not
 * those that are usual: firmware asks again for 20 s, iPXE looks for an IPv6 router for 16 s, a
 * system on a slow machine takes a minute from its kernel to its iSCSI login.
 */
#include "internal.h"

#define S 1000u

// clang-format off
const struct step_row journal_steps[JOURNAL_STEP_COUNT] = {
    [JOURNAL_NONE] = {
        "none", "nothing has been seen of its boot", NULL, 0, JOURNAL_WAITING},
    [JOURNAL_DISCOVER] = {
        "dhcp-discover", "its firmware asked for a boot file",
        "our answer", 8*S, JOURNAL_BOOTING},
    [JOURNAL_UNANSWERED] = {
        "dhcp-unanswered", "it was named no boot file",
        "an answer of ours that names one", 0, JOURNAL_STOPPED},
    [JOURNAL_OFFER] = {
        "dhcp-offer", "its boot file was named to it",
        "the request for that file, or first for port 4011", 20*S, JOURNAL_BOOTING},
    [JOURNAL_ADDRESS] = {
        "dhcp-address", "it took its address",
        "the request for its boot file, or first for port 4011", 15*S, JOURNAL_BOOTING},
    [JOURNAL_BOOT_SERVER] = {
        "boot-server", "it asked port 4011 and was named its boot file",
        "the request for that file", 15*S, JOURNAL_BOOTING},
    [JOURNAL_FILE_REQUEST] = {
        "file-request", "it asked for its boot file",
        "the rest of the transfer", 60*S, JOURNAL_BOOTING},
    [JOURNAL_FILE_MISSING] = {
        "file-missing", "it asked for a boot file that is not there",
        "a request for one that is", 10*S, JOURNAL_BOOTING},
    [JOURNAL_FILE_FAILED] = {
        "file-failed", "the transfer of its boot file failed",
        "the whole file", 0, JOURNAL_STOPPED},
    [JOURNAL_FILE] = {
        "file", "it loaded its boot file to the end",
        "a DHCP request of the iPXE in that file", 30*S, JOURNAL_BOOTING},
    [JOURNAL_IPXE_DISCOVER] = {
        "ipxe-discover", "iPXE asked for its script",
        "our answer", 8*S, JOURNAL_BOOTING},
    [JOURNAL_IPXE_OFFER] = {
        "ipxe-offer", "iPXE was named its script",
        "the request for that script by HTTP", 35*S, JOURNAL_BOOTING},
    [JOURNAL_LOOP] = {
        "loop", "it loaded the same boot file again and again",
        "the request for its script", 0, JOURNAL_STOPPED},
    [JOURNAL_SCRIPT_REFUSED] = {
        "script-refused", "it was told that it may not boot",
        "its admission", 0, JOURNAL_STOPPED},
    [JOURNAL_SCRIPT_WAIT] = {
        "script-wait", "it was told to wait for its disk",
        "the disk to become ready", 60*S, JOURNAL_WAITING},
    [JOURNAL_SCRIPT_LOGIN] = {
        "script-login", "it was asked for the menu's user and password",
        "the right ones", 0, JOURNAL_WAITING},
    [JOURNAL_SCRIPT_PASSWORD] = {
        "script-password", "a wrong user or password for the menu came from it",
        "the right ones", 0, JOURNAL_STOPPED},
    [JOURNAL_SCRIPT_MENU] = {
        "script-menu", "it was shown the menu",
        "a choice", 0, JOURNAL_WAITING},
    [JOURNAL_SCRIPT_CHOICE] = {
        "script-choice", "a choice was made in the menu",
        "its iSCSI login", 20*S, JOURNAL_BOOTING},
    [JOURNAL_SCRIPT] = {
        "script", "it fetched the script that boots its disk",
        "its iSCSI login", 20*S, JOURNAL_BOOTING},
    [JOURNAL_LOGIN_REFUSED] = {
        "login-refused", "its iSCSI login was refused",
        "a login that fits", 0, JOURNAL_STOPPED},
    [JOURNAL_LOGIN_BROKEN] = {
        "login-broken", "it broke its iSCSI login off",
        "the rest of the login", 15*S, JOURNAL_BOOTING},
    [JOURNAL_LOGIN] = {
        "login", "iPXE logged in to its disk",
        "the first read of the disk", 20*S, JOURNAL_BOOTING},
    [JOURNAL_READ] = {
        "read", "iPXE began to read the disk",
        "the iSCSI login of the operating system", 0, JOURNAL_BOOTING},
    [JOURNAL_KERNEL_FAILED] = {
        "kernel-failed", "the transfer of its kernel or initrd failed",
        "the whole file", 0, JOURNAL_STOPPED},
    [JOURNAL_KERNEL] = {
        "kernel", "it loaded a kernel or initrd by HTTP",
        "the iSCSI login of the operating system", 180*S, JOURNAL_BOOTING},
    [JOURNAL_LAST_COMMAND] = {
        "last-command", "iPXE's last command came",
        "the iSCSI login of the operating system", 120*S, JOURNAL_BOOTING},
    [JOURNAL_OS_LOGIN_REFUSED] = {
        "os-login-refused", "the operating system's iSCSI login was refused",
        "a login that fits", 0, JOURNAL_STOPPED},
    [JOURNAL_OS_LOGIN] = {
        "os-login", "the operating system logged in to its disk",
        "its first read of the disk", 60*S, JOURNAL_BOOTING},
    [JOURNAL_OS_READ] = {
        "os-read", "the operating system began to use its disk", NULL, 0, JOURNAL_RUNNING},
    [JOURNAL_OS_ENDED] = {
        "os-ended", "the operating system's session ended", NULL, 0, JOURNAL_ENDED},
};
// clang-format on

const char *journal_step_name(enum journal_step step)
{
    return journal_steps[step].name;
}

/* RFC 7143 §11.13.5: class 3 is "not now", and initiators come again. */
static bool is_asked_to_wait(const struct story *story)
{
    return story->step == JOURNAL_LOGIN_REFUSED && story->status_class == 3;
}

/* Firmware asks again, as after any offer. */
static bool is_too_early(const struct story *story)
{
    return story->step == JOURNAL_UNANSWERED && story->unanswered == JOURNAL_UNANSWERED_NOT_YET;
}

/* A running system that logs in once more, as iscsid does when it starts, keeps running. */
static bool is_back(const struct story *story)
{
    return story->step == JOURNAL_OS_LOGIN && story->furthest >= JOURNAL_OS_READ;
}

enum journal_state story_state(const struct story *story)
{
    if (is_asked_to_wait(story) || is_too_early(story))
        return JOURNAL_WAITING;
    return is_back(story) ? JOURNAL_RUNNING : journal_steps[story->step].state;
}

/* Who repeats one step over and over does not get on either: then its first time counts. */
uint64_t story_deadline_ms(const struct story *story)
{
    const unsigned many = 3;
    enum journal_step step = is_asked_to_wait(story) ? JOURNAL_SCRIPT_WAIT
                             : is_too_early(story)   ? JOURNAL_OFFER
                                                     : story->step;
    uint32_t wait_ms = journal_steps[step].wait_ms;
    if (!wait_ms || is_back(story))
        return 0;
    return (story->count >= many ? story->first_ms : story->last_ms) + wait_ms;
}
