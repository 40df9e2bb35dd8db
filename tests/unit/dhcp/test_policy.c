/* test_policy.c - every cell of the decision table against the promises it stands for */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dhcp/policy.h"

typedef void (*policy_check)(const struct dhcp_policy_case *wanted,
                             const struct dhcp_answer_form *form);

static unsigned for_each_case(policy_check check)
{
    unsigned count = 0;
    struct dhcp_policy_case c;
    for (c.class = DHCP_CLIENT_OTHER; c.class <= DHCP_CLIENT_IPXE; c.class ++)
        for (c.firmware = DHCP_FIRMWARE_BIOS; c.firmware <= DHCP_FIRMWARE_OTHER; c.firmware++)
            for (c.type = DHCP_BOOTP; c.type <= DHCP_INFORM; c.type++)
                for (c.way = DHCP_WAY_LINK; c.way <= DHCP_WAY_BOOT_SERVER; c.way++)
                    for (c.standing = DHCP_STANDING_OFF; c.standing <= DHCP_STANDING_SERVER;
                         c.standing++, count++)
                        check(&c, dhcp_policy_find(&c));
    return count;
}

static void check_promises(const struct dhcp_policy_case *c, const struct dhcp_answer_form *form)
{
    assert_non_null(form);
    bool answers = form->kind != DHCP_ANSWER_NONE;
    bool is_boot_way = c->way == DHCP_WAY_BOOT_SERVER;
    assert_int_equal(answers, form->silence == DHCP_SILENCE_NONE);
    if (c->standing == DHCP_STANDING_OFF)
        assert_false(answers);
    if (c->type != DHCP_DISCOVER && c->type != DHCP_REQUEST && c->type != DHCP_INFORM)
        assert_false(answers);
    /* beside another server no address is given, but to whom it was written down */
    if (c->standing == DHCP_STANDING_PROXY)
        assert_int_not_equal(form->kind, DHCP_ANSWER_FULL);
    /* a proxy leaves port 67 to the server when the client has chosen */
    if (c->standing == DHCP_STANDING_PROXY && !is_boot_way && c->type != DHCP_DISCOVER)
        assert_false(answers);
    if (c->class == DHCP_CLIENT_OTHER && c->standing != DHCP_STANDING_SERVER &&
        c->standing != DHCP_STANDING_NAMED)
        assert_false(answers);
    /* a server answers every client */
    if (c->standing == DHCP_STANDING_SERVER && !is_boot_way &&
        (c->type == DHCP_DISCOVER || c->type == DHCP_REQUEST || c->type == DHCP_INFORM))
        assert_int_equal(form->kind, DHCP_ANSWER_FULL);
    /* what comes to 4011 is a request, and its answer an ACK */
    assert_true(!answers || is_boot_way == (form->kind == DHCP_ANSWER_BOOT_ACK));
    if (is_boot_way && c->standing != DHCP_STANDING_OFF)
        assert_int_equal(answers, (c->class == DHCP_CLIENT_PXE || c->class == DHCP_CLIENT_IPXE) &&
                                      (c->type == DHCP_REQUEST || c->type == DHCP_INFORM));
}

static void check_forms(const struct dhcp_policy_case *c, const struct dhcp_answer_form *form)
{
    bool is_bios = c->firmware == DHCP_FIRMWARE_BIOS || c->firmware == DHCP_FIRMWARE_BIOS_HTTP;
    if (form->kind == DHCP_ANSWER_PROXY_OFFER) {
        assert_non_null(form->vendor_class); /* else firmware drops it, and all proxies with it */
        assert_int_equal(form->direct, c->class == DHCP_CLIENT_PXE && is_bios);
    } else {
        assert_false(form->direct);
    }
    if (form->kind == DHCP_ANSWER_BOOT_ACK)
        assert_string_equal(form->vendor_class, "PXEClient");
    if (form->kind == DHCP_ANSWER_FULL && c->class != DHCP_CLIENT_HTTP)
        assert_null(form->vendor_class); /* else firmware asks 4011 once more */
    if (form->kind != DHCP_ANSWER_NONE && c->class == DHCP_CLIENT_HTTP && c->type != DHCP_INFORM)
        assert_string_equal(form->vendor_class, "HTTPClient");
}

static void test_promises(void **state)
{
    (void)state;
    assert_int_equal(for_each_case(check_promises), 4 * 5 * 9 * 3 * 4);
}

static void test_forms(void **state)
{
    (void)state;
    for_each_case(check_forms);
}

static void test_proxy_discover_is_answered(void **state)
{
    (void)state;
    for (enum dhcp_client_class class = DHCP_CLIENT_PXE; class <= DHCP_CLIENT_IPXE; class ++) {
        for (enum dhcp_firmware f = DHCP_FIRMWARE_BIOS; f <= DHCP_FIRMWARE_OTHER; f++) {
            for (enum dhcp_way way = DHCP_WAY_LINK; way <= DHCP_WAY_RELAYED; way++) {
                const struct dhcp_policy_case c = {class, f, DHCP_DISCOVER, way,
                                                   DHCP_STANDING_PROXY};
                assert_int_equal(dhcp_policy_find(&c)->kind, DHCP_ANSWER_PROXY_OFFER);
            }
        }
    }
}

static void test_stages(void **state)
{
    (void)state;
    assert_int_equal(dhcp_policy_stage(DHCP_CLIENT_OTHER), DHCP_BOOT_NONE);
    assert_int_equal(dhcp_policy_stage(DHCP_CLIENT_PXE), DHCP_BOOT_LOADER);
    assert_int_equal(dhcp_policy_stage(DHCP_CLIENT_HTTP), DHCP_BOOT_LOADER_URL);
    assert_int_equal(dhcp_policy_stage(DHCP_CLIENT_IPXE), DHCP_BOOT_SCRIPT);
    assert_int_equal(dhcp_policy_stage(DHCP_CLIENT_PEER), DHCP_BOOT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_proxy_discover_is_answered),
        cmocka_unit_test(test_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
