#!/usr/bin/env python3
"""What the daemon gives up by itself, without systemd: capabilities, system calls, files, and root. A stand-in
for its helper, which inherits all of that, tries what must be refused.

usage: test_sandbox.py NETBOOT-TARGET
"""
import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import PROGRAM, Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, lent, loop_device, make_file, scratch  # noqa: E402
from lab.initiator import Session  # noqa: E402
from lab.network import Segment  # noqa: E402
from lab.process import TOP, exit_on_signals, inside, need_root, run, wait_for  # noqa: E402
from lab.report import Report, note  # noqa: E402
from lab.sandbox import Service, allowed_system_calls  # noqa: E402

UNIT = TOP / "systemd/netboot-target.service"
OWN_USER, OWN_ID, DISK_ID = "netboot-target", 64111, 6
DAC_OVERRIDE, DAC_READ_SEARCH, BIND, ADMIN, RAW, PTRACE = 1 << 1, 1 << 2, 1 << 10, 1 << 12, 1 << 13, 1 << 19
ROOT = BIND | PTRACE | DAC_READ_SEARCH  # the latter two: who else has a disk open

# Each gives 0 or an errno. Numbers are those of x86-64 and of arm64.
PROBE = r"""#!/usr/bin/python3 -I
import ctypes, json, mmap, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {{"keyctl": (250, 219), "bpf": (321, 280), "perf_event_open": (298, 241), "setns": (308, 268),
           "unshare": (272, 97), "mount": (165, 40), "init_module": (175, 105), "reboot": (169, 142),
           "settimeofday": (170, 170), "process_vm_writev": (311, 271), "userfaultfd": (323, 282),
           "chroot": (161, 51), "mknodat": (259, 33), "fchownat": (260, 54), "setresuid": (117, 147),
           "personality": (135, 92), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
           "pidfd_getfd": (438, 438), "kexec_load": (246, 104), "add_key": (248, 217),
           "quotactl": (179, 60), "swapon": (167, 224), "vmsplice": (278, 75)}}

def call(number, *arguments):
    return 0 if libc.syscall(number, *[ctypes.c_long(word) for word in arguments]) >= 0 \
        else ctypes.get_errno()

def attempt(action):
    try:
        action()
        return 0
    except OSError as error:
        return error.errno

arm = platform.machine() == "aarch64"
found = {{name: call(number[arm], 0, 0, 0, 0, 0) for name, number in NUMBERS.items()}}
found["clone with a namespace"] = call(220 if arm else 56, 0x10000000, 0, 0, 0, 0)
found["clone3"] = call(435, 0, 0)
found["AF_ALG"] = attempt(lambda: socket.socket(38, socket.SOCK_SEQPACKET))
found["AF_VSOCK"] = attempt(lambda: socket.socket(40, socket.SOCK_STREAM))
found["AF_INET"] = attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
found["writable code"] = attempt(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))
found["limits of another"] = call(261 if arm else 302, os.getppid(), 7, 0, 0)
for path in "/etc/passwd", "/etc/hostname", "/usr/bin/env", "/proc/self/status":
    found["read " + path] = attempt(lambda: open(path).close())
for path in "/etc/new", "/tmp/netboot-target-new", "/usr/new":
    found["make " + path] = attempt(lambda: (open(path, "x").close(), os.unlink(path)))
report = {report!r}
with open(report + ".new", "w") as file:
    json.dump(found, file)
os.rename(report + ".new", report)
"""
EPERM, EACCES, ENOSYS = 1, 13, 38


def status(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def capabilities(pid):
    """(permitted, effective, ambient, bounding)"""
    found = status(pid)
    return tuple(int(found[name], 16) for name in ("CapPrm", "CapEff", "CapAmb", "CapBnd"))


def expect_confined(daemon, kept):
    found = status(daemon.pid)
    assert found["Seccomp"] == "2" and found["NoNewPrivs"] == "1", found
    assert capabilities(daemon.pid) == (kept, kept, 0, kept), \
        [f"{word:x}" for word in capabilities(daemon.pid)]


def probe_by_helper(daemon, report, seconds=20):
    """Starts the daemon with the probe in the place of its helper; gives what that found."""
    helper = daemon.folder / "probe"
    helper.write_text(PROBE.format(report=str(report)))
    helper.chmod(0o755)
    daemon.start(env={**os.environ, "NETBOOT_TARGET_DISCOVER": str(helper)})
    wait_for(report.exists, seconds, lambda: f"report of the probe\n{daemon.says()}")
    return json.loads(report.read_text())


def use(daemon):
    with Session(daemon.port, iqn("a")) as session:
        session.ready()
        data = os.urandom(4096)
        session.write(64, data)
        session.flush()
        assert session.read_blocks(64, 8) == data


# ── root, by hand ───────────────────────────────────────────────────────────────────────────────────


def test_root(report, folder, device):
    with report.test("started by hand as root: a filter, no new privileges, three capabilities"):
        with Daemon(folder / "root", [target("a", device)]).start() as daemon:
            assert "running as root: there is no user netboot-target" in daemon.says()
            expect_confined(daemon, ROOT)
            for task in Path(f"/proc/{daemon.pid}/task").iterdir():
                found = status(task.name)
                assert found["Seccomp"] == "2" and int(found["CapPrm"], 16) == ROOT, found
            use(daemon)
    with report.test("calls that nothing here needs are refused, those it needs are not"):
        with Daemon(folder / "calls", [target("a", device)]) as daemon:
            found = probe_by_helper(daemon, daemon.folder / "report")
        allowed = {name for name, error in found.items() if error == 0}
        assert allowed == {"AF_INET"} | {name for name in found if name.startswith(("read ", "make "))}, \
            found
        assert found.pop("clone3") == ENOSYS, "the C library would not take clone"
        assert {error for name, error in found.items() if name not in allowed} == {EPERM}, found
    with report.test("an image of somebody else's takes CAP_DAC_OVERRIDE, and is served"):
        image = make_file(folder / "foreign.img", 16 * MIB)
        os.chown(image, OWN_ID, OWN_ID)
        image.chmod(0o600)
        with Daemon(folder / "foreign", [target("a", image)]).start() as daemon:
            expect_confined(daemon, ROOT | DAC_OVERRIDE)
            use(daemon)


ROLES = {'"off"': 0, '"proxy"; router-advertisement = false': 0, '"proxy"': RAW,
         '"server"': RAW | ADMIN, '"auto"; probe = "1s"': RAW | ADMIN}


def configuration(folder, device, role):
    return f"""
portals = [ "127.0.0.1:3260" ]; state-directory = "{folder / 'state'}";
status = {{ listen = "127.0.0.1:9180" }};
interfaces = ( {{ name = "eth0"; dhcp = {role} }} );
targets = ( {{ name = "a"; auth = {{ mode = "none" }}; luns = ( {{ device = "{device}" }} ) }} );
"""


def test_roles(report, folder, device, host):
    def start(role):
        daemon = Daemon(folder / "role", prefix=tuple(inside(host)))
        daemon.text = lambda: configuration(daemon.folder, device, role)
        daemon.launch()
        daemon.wait_log("serving target a", 20)
        return daemon
    for role, needed in ROLES.items():
        with report.test(f"dhcp = {role}: the capabilities that it needs"), start(role) as daemon:
            expect_confined(daemon, ROOT | needed)
            assert "CAP_" not in daemon.says(), daemon.says()
        daemon.log.unlink()
    with report.test("a reload towards a role that needs more asks for a restart"), \
            start('"off"') as daemon:
        daemon.reload(configuration(daemon.folder, device, '"auto"'))
        assert re.search("needs CAP_NET_ADMIN.* restart to have it", daemon.says()), daemon.says()
        assert re.search("needs CAP_NET_RAW.* restart to have it", daemon.says()), daemon.says()
        before = daemon.says().count("CAP_NET")
        daemon.reload(configuration(daemon.folder, device, '"off"'))
        assert daemon.says().count("CAP_NET") == before, daemon.says()


# ── a user of its own ───────────────────────────────────────────────────────────────────────────────


def with_own_user(folder):
    """A command in front of the program, in whose world the package's user exists."""
    for name, line in (("passwd", f"{OWN_USER}:x:{OWN_ID}:{OWN_ID}::/nonexistent:/usr/sbin/nologin"),
                       ("group", f"{OWN_USER}:x:{OWN_ID}:")):
        text = Path(f"/etc/{name}").read_text()
        if name == "group":
            text = re.sub(r"^(disk:[^:]*:\d+:).*$", rf"\1{OWN_USER}", text, flags=re.M)
        (folder / name).write_text(f"{text}{line}\n")
    return ("unshare", "-m", "sh", "-c",
            f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group && "
            'exec "$@"', "sh")


def test_own_user(report, folder, device):
    folder.chmod(0o755)
    prefix = with_own_user(folder)

    def daemon_of(name, readable=True):
        daemon = Daemon(folder / name, [target("a", device)], prefix=prefix)
        daemon.write_config()
        if readable:
            os.chown(daemon.config, 0, OWN_ID)
            daemon.config.chmod(0o640)
        return daemon
    with report.test("what it could not read again keeps it root, and it says so"):
        with daemon_of("unreadable", readable=False).start() as daemon:
            assert "running as root: netboot-target could not read the configuration again" in daemon.says(), \
                daemon.says()
            expect_confined(daemon, ROOT)
    with report.test("a disk that it may not open keeps it root, and it says so"):
        with daemon_of("closed").start() as daemon:
            assert f"running as root: netboot-target may not use {device}" in daemon.says(), daemon.says()
    with lent(device, "disk"), report.test("records of root's keep it root: identities would be lost"):
        daemon = daemon_of("records")
        daemon.state.mkdir(mode=0o700)
        (daemon.state / "identity-b-0").touch(0o600)
        os.chown(daemon.state, OWN_ID, OWN_ID)
        with daemon.start():
            assert "running as root: netboot-target may not use" in daemon.says(), daemon.says()
            assert "identity-b-0" in daemon.says(), daemon.says()
    with lent(device, "disk"), report.test("root becomes the user netboot-target where that reaches everything"):
        with daemon_of("own").start() as daemon:
            found = status(daemon.pid)
            assert found["Uid"].split() == [str(OWN_ID)] * 4, found["Uid"]
            assert str(DISK_ID) in found["Groups"].split(), found["Groups"]
            expect_confined(daemon, BIND)
            assert os.stat(daemon.state).st_uid == OWN_ID
            use(daemon)
            daemon.reload()
            assert "configuration reloaded" in daemon.says(), daemon.says()
    with lent(device, "disk"), report.test("as that user it reaches no files but those it needs"):
        with daemon_of("files") as daemon:
            found = probe_by_helper(daemon, daemon.state / "report")
        assert found["read /usr/bin/env"] == found["read /proc/self/status"] == 0, found
        if found["read /etc/passwd"] == 0:
            note("this kernel has no Landlock")
            assert "no Landlock" in daemon.says()
        else:
            assert found["read /etc/passwd"] == found["read /etc/hostname"] == EACCES, found
            assert found["make /tmp/netboot-target-new"] == EACCES, found
        assert found["make /etc/new"] == EACCES, found


def test_cure(report, folder):
    """What is told to be run about a file of secrets leaves it to the user that the unit runs as."""
    prefix = with_own_user(folder)
    folder.chmod(0o755)
    config = folder / "cure.conf"
    config.write_text('targets = ( { name = "a"; luns = ( { device = "/dev/null" } ); '
                      'auth = { mode = "chap"; secret = "secret-of-sixteen" } } )')

    def check(*user):
        return run(*prefix, *user, PROGRAM, "-t", "-c", config, check=False).stdout
    for what, owner, group, mode in (("root's, open to all", 0, 0, 0o644),
                                     ("root's, open to a group", 0, DISK_ID, 0o640),
                                     ("somebody's", 1000, 1000, 0o600),
                                     ("the unit's own, open to all", OWN_ID, OWN_ID, 0o644)):
        with report.test(f"a file of secrets, {what}: the cure that is told is one"):
            os.chown(config, owner, group)
            config.chmod(mode)
            told = check()
            cure = re.search(r"holds secrets and .*: run (.*)", told)
            assert cure, told
            run(*prefix, "sh", "-c", cure.group(1))
            for user in (), ("setpriv", f"--reuid={OWN_ID}", f"--regid={OWN_ID}", "--clear-groups"):
                assert f"{config}: ok" in check(*user), (user, check(*user))
            assert not config.stat().st_mode & 0o037


# ── beside the unit ─────────────────────────────────────────────────────────────────────────────────


def test_unit(report, folder, device):
    with report.test("it allows itself no call that its unit refuses, but to drop capabilities"):
        source = (TOP / "src/server/sandbox_calls.c").read_text()
        listed = set(re.findall(r"SCMP_SYS\((\w+)\)", source)) - {"ptrace"}
        assert len(listed) > 150 and listed - allowed_system_calls(UNIT) == {"capset"}, \
            listed - allowed_system_calls(UNIT)
    with report.test("under its unit it gives capabilities up, which takes a second start"), \
            lent(device, "disk"):
        folder.chmod(0o755)
        service = Service(UNIT, OWN_ID, "disk", capable=True)
        for name, role, kept in (("none", '"off"', BIND), ("frames", '"proxy"', BIND | RAW)):
            daemon = Daemon(folder / name, [target("a", device)])
            daemon.state.mkdir()
            text = daemon.text().replace('dhcp = "off"', f"dhcp = {role}")
            daemon.write_config(text)
            daemon.text = lambda text=text: text
            for path in daemon.state, daemon.config:
                os.chown(path, OWN_ID, OWN_ID)
            # The unit refuses ptrace(2), with which LeakSanitizer looks at threads.
            with daemon.start(preexec_fn=service.enter, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}):
                permitted, effective, ambient, _bounding = capabilities(daemon.pid)
                assert (permitted, effective, ambient) == (kept, kept, kept), capabilities(daemon.pid)
                assert Path(f"/proc/{daemon.pid}/comm").read_text() == "netboot-target\n"
                use(daemon)


def main():
    if not PROGRAM:
        sys.exit(__doc__)
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder, Segment() as wire:
        folder.chmod(0o755)
        image = make_file(folder / "disk.img", 16 * MIB)
        with loop_device(image) as device:
            test_root(report, folder, device)
            test_roles(report, folder, device, wire.add_host("server", "10.5.0.1/24"))
            test_own_user(report, folder, device)
            test_cure(report, folder)
            test_unit(report, folder, device)
    report.finish()


if __name__ == "__main__":
    main()
