/*
 * doctor.h - what on this machine would stop a boot, found before it does. It only looks: nothing
 * is opened for writing, no packet is sent, nothing is changed.
 */
#pragma once
#include <netboot-target/server.h>

#define DOCTOR_INTERFACES_LIMIT 64u

enum finding { FINDING_FINE, FINDING_WARNING, FINDING_PROBLEM, FINDING_KINDS };

struct doctor {
    const struct config *config;
    FILE *to;
    unsigned counts[FINDING_KINDS];
    int dhcp_interfaces[DOCTOR_INTERFACES_LIMIT]; /* those that DHCP is answered on, by index */
    unsigned dhcp_interface_count;
};

/* One line: what was looked at, and what was found, with the cure where there is one. */
void doctor_tell(struct doctor *doctor, enum finding kind, const char *what, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

/* A port that the configuration needs. */
struct doctor_port {
    int type; /* SOCK_STREAM or SOCK_DGRAM */
    uint16_t number;
    struct config_endpoint endpoint; /* AF_UNSPEC: every address */
    const char *purpose;             /* "iSCSI", "DHCP", … */
    bool is_dhcp;                    /* on each interface of its own */
};
#define DOCTOR_PORTS_LIMIT 64u

/* All of them, each once. Returns how many. */
unsigned doctor_ports(const struct config *config, struct doctor_port to[DOCTOR_PORTS_LIMIT]);
/* Who has them: programs, or the kernel's own target. */
void doctor_check_ports(struct doctor *doctor);
/* Whether an input filter keeps clients out. */
void doctor_check_firewall(struct doctor *doctor);
/* The process of this name ("dnsmasq"). 0: none runs. */
int doctor_find_process(const char *name);
