"""What a systemd unit takes away, without systemd: its user, its capabilities, its system calls."""
import ctypes
import grp
import os
from pathlib import Path

from .process import run
from .report import LabError

# seccomp.h: SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(1), SCMP_ACT_ERRNO(38)
ALLOW, EPERM, ENOSYS = 0x7fff0000, 0x00050000 | 1, 0x00050000 | 38
NO_SUCH_CALL = -1  # this libseccomp does not know the name; systemd says so and goes on, too
COMPARE_EQUAL = 4
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 24, 47, 2
CAPABILITY_VERSION = 0x20080522  # linux/capability.h: version 3, two words of 32 bits each
CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17}


def settings(unit):
    """The lines of a unit: [(name, value)]."""
    lines = Path(unit).read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if "=" in line and line[0] not in "#["]


def system_calls_of(group):
    """Names in one of systemd's groups, with the groups inside it."""
    names = set()
    for line in run("systemd-analyze", "syscall-filter", group).stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            names |= system_calls_of(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def allowed_system_calls(unit):
    allowed = set()
    for value in (value for name, value in settings(unit) if name == "SystemCallFilter"):
        names = set()
        for word in value.lstrip("~").split():
            names |= system_calls_of(word) if word.startswith("@") else {word}
        allowed = allowed - names if value.startswith("~") else allowed | names
    return allowed | system_calls_of("@default") | {"execve"}


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operation", ctypes.c_int),
                ("first", ctypes.c_uint64), ("second", ctypes.c_uint64)]


class Filter:
    """The unit's SystemCallFilter=, RestrictAddressFamilies= and RestrictSUIDSGID=."""

    def __init__(self, unit):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(EPERM))
        self.calls = allowed_system_calls(unit)
        # systemd's seccomp_restrict_sxid() cannot see the mode that openat2 creates with.
        unseen = {"openat2"} if ("RestrictSUIDSGID", "yes") in settings(unit) else set()
        for name in unseen:
            self.rule(ENOSYS, name)
        for name in self.calls - {"socket"} - unseen:
            self.allow(name)
        families = next(value for name, value in settings(unit)
                        if name == "RestrictAddressFamilies").split()
        for family in families:
            self.allow("socket", Comparison(0, COMPARE_EQUAL, FAMILIES[family], 0))

    def allow(self, name, *comparisons):
        self.rule(ALLOW, name, *comparisons)

    def rule(self, action, name, *comparisons):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        if number == NO_SUCH_CALL:
            return
        list_type = Comparison * max(len(comparisons), 1)
        result = self.library.seccomp_rule_add_array(self.context, action, number, len(comparisons),
                                                     list_type(*comparisons))
        if result:
            raise LabError(f"seccomp: {name}: {result}")

    def load(self):
        if self.library.seccomp_load(self.context):
            raise OSError("seccomp_load")


class Service:
    """Enters what the unit's service lives in; `enter` is for subprocess's preexec_fn. Without the
    unit's capabilities unless they are asked for."""

    def __init__(self, unit, user, group, capable=False):
        self.filter, self.user = Filter(unit), user
        self.capabilities = {CAPABILITIES[word] for name, value in settings(unit)
                             if capable and name == "AmbientCapabilities"
                             for word in value.split()}
        self.groups = [grp.getgrnam(group).gr_gid]
        self.libc = ctypes.CDLL(None)

    def enter(self, cpu=None):
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
            if capability not in self.capabilities:
                self.libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        self.libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups(self.groups)
        os.setresgid(self.user, self.user, self.user)
        os.setresuid(self.user, self.user, self.user)
        self.take_capabilities()
        os.umask(0o077)
        self.filter.load()  # sets no_new_privs; from here on there is no way back

    def take_capabilities(self):
        """These and no others: permitted, effective, inheritable and, over the exec, ambient."""
        mask = sum(1 << capability for capability in self.capabilities)
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        if self.libc.capset(header, (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)):
            raise OSError("capset")
        for capability in self.capabilities:
            if self.libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0):
                raise OSError("PR_CAP_AMBIENT_RAISE")
