/* test_check_listen.c - listeners that would take each other's address. */
#include "helper.h"

#define TAIL "; targets = ({" DISK "})"

static void collisions(void **state)
{
    (void)state;
    expect_error("portals = [ \"127.0.0.1:3260\", \"127.0.0.1:3260\" ]" TAIL,
                 "test.conf:1: portals and portals want the same address, port 3260");
    expect_error("portals = [ \"*:3260\", \"127.0.0.1:3260\" ]" TAIL,
                 "test.conf:1: portals and portals want the same address, port 3260");
    expect_error("status = {\n listen = \"*:80\" }" TAIL,
                 "test.conf:2: status.listen and boot.http-listen want the same address, port 80");
    expect_error("portals = [ \"*:1\", \"*:1\" ]" TAIL,
                 "test.conf:1: portals and portals want the same address, port 1");
    expect_error("portals = [ \"0.0.0.0:1\", \"127.0.0.1%lo:1\" ]" TAIL,
                 "test.conf:1: portals and portals want the same address, port 1");
    expect_error("portals = [ \"[::]:1\", \"[::1]:1\" ]" TAIL,
                 "test.conf:1: portals and portals want the same address, port 1");
    expect_error("boot = { tftp-listen = [ \"127.0.0.1:69\", \"127.0.0.1:69\" ] }" TAIL,
                 "test.conf:1: boot.tftp-listen and boot.tftp-listen want the same");
}

static void neighbours(void **state)
{
    static const char *const good[] = {
        "portals = [ \"0.0.0.0:1\", \"[::]:1\" ]" TAIL,
        "portals = [ \"127.0.0.1:1\", \"127.0.0.2:1\" ]" TAIL,
        "portals = [ \"*%eth0:1\", \"*%eth1:1\" ]" TAIL,
        "portals = [ \"127.0.0.1:0\", \"127.0.0.1:0\" ]" TAIL,
        "boot = { tftp-listen = \"*:3260\" }" TAIL, /* UDP beside TCP */
        NULL};
    (void)state;
    for (const char *const *text = good; *text; text++)
        config_unref(parse_good(*text, 0));
}

static void nowhere(void **state)
{
    (void)state;
    expect_error("portals = []" TAIL, "test.conf:1: portals is empty: nobody could log in");
    config_unref(parse_good("boot = { http-listen = []; tftp-listen = [] };"
                            "status = { listen = [] }" TAIL,
                            0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collisions),
        cmocka_unit_test(neighbours),
        cmocka_unit_test(nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
