#!/usr/bin/env python3
"""What `cmake --install` puts where: the unit verifies and leaves little to reach, the manuals are
clean, and the daemon works as the unit runs it: as a user of the group disk without capabilities,
behind the unit's system-call filter. Needs root (loop devices, another user).

usage: test_install.py NETBOOT-TARGET
"""
import contextlib
import grp
import os
import re
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import PROGRAM, Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, drop_cache, loop_device, make_file, scratch  # noqa: E402
from lab.initiator import Load, Session, login_status  # noqa: E402
from lab.process import exit_on_signals, free_port, need_root, run, wait_for  # noqa: E402
from lab.report import Report, note  # noqa: E402
from lab.sandbox import Service, settings  # noqa: E402

EXPOSURE_LIMIT = 2.0
NOBODY = 65534
INSTALLED = {"netboot-target": 0o755, "netboot-target-discover": 0o755,
             "netboot-target.service": 0o644, "netboot-target.conf": 0o644,
             "netboot.conf": 0o644, "netboot-target.8": 0o644, "netboot.conf.5": 0o644,
             "netboot-target.bash": 0o644, "netboot-target.xml": 0o644, "netboot-target.rules": 0o644,
             **dict.fromkeys(("classroom.md", "faults.md", "menu.md", "security.md", "status.md", "arch.md", "debian.md",
                              "fedora.md", "freebsd.md", "windows.md"), 0o644)}


def install(folder):
    """Gives {name: path} of everything that was installed."""
    run("cmake", "--install", Path(PROGRAM).parent, env={**os.environ, "DESTDIR": str(folder)})
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


def test_files(report, files):
    with report.test("every file, with its mode"):
        found = {name: path.stat().st_mode & 0o777 for name, path in files.items()}
        assert found == INSTALLED, found
    with report.test("the installed program and the example work together"):
        done = run(files["netboot-target"], "-t", "-c", files["netboot.conf"])
        assert done.stdout.endswith(": ok\n"), done.stdout
    with report.test("manuals"):
        for name in ("netboot-target.8", "netboot.conf.5"):
            lint = run("mandoc", "-Tlint", files[name], check=False).stdout.splitlines()
            bad = [line for line in lint if "referenced manual not found" not in line and
                   "outdated mandoc.db" not in line]
            assert not bad, bad
            assert "NETBOOT" in run("mandoc", "-Tascii", files[name]).stdout.upper()
    with report.test("the unit's user belongs to the group of disks"):
        text = files["netboot-target.conf"].read_text()
        assert re.search(r"^u netboot-target ", text, re.M)
        assert re.search(r"^m netboot-target disk$", text, re.M)


def explained(name, comments):
    """`name` as systemd-analyze(1) prints it: PrivateUsers=, RestrictAddressFamilies=~AF_UNIX,
    CapabilityBoundingSet=~CAP_NET_(BIND_SERVICE|RAW), RootDirectory=/RootImage="""
    what = name.partition("=~")[2]
    if not what:
        return all(f"{word}=" in comments for word in re.findall(r"(\w+)=", name))
    stem, _, choice = what.rstrip(")").partition("(")
    return any(re.search(rf"\b{stem}{word}\b", comments) for word in choice.split("|"))


def test_unit(report, folder, files):
    unit = folder / "netboot-target.service"  # as installed, its program where it is now
    text = files["netboot-target.service"].read_text()
    program = dict(settings(files["netboot-target.service"]))["ExecStart"].split()[0]
    with report.test("the unit starts what was installed and verifies"):
        assert str(files["netboot-target"]).endswith(program), program
        unit.write_text(text.replace(program, str(files["netboot-target"])))
        done = run("systemd-analyze", "verify", "--man=no", unit, check=False)
        told = [line for line in done.stdout.splitlines() if unit.name in line]
        assert not told, told
    with report.test(f"exposure of at most {EXPOSURE_LIMIT}"):
        done = run("systemd-analyze", "security", "--offline=yes", unit, check=False)
        exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)[1])
        note(f"exposure {exposure}")
        assert exposure <= EXPOSURE_LIMIT
    with report.test("the unit says why for each point that is left"):
        comments = " ".join(line for line in text.splitlines() if line.startswith("#"))
        left = re.findall(r"^✗ (\S+)", done.stdout, re.M)
        unsaid = [name for name in left if not explained(name, comments)]
        assert left and not unsaid, unsaid
    with report.test("what the unit must say"):
        values = dict(settings(unit))
        for name, value in (("Type", "notify"), ("User", "netboot-target"), ("UMask", "0077"),
                            ("SupplementaryGroups", "disk"), ("NoNewPrivileges", "yes"),
                            ("StateDirectoryMode", "0700"), ("Restart", "on-failure")):
            assert values[name] == value, (name, values[name])
        drain_seconds = 20  # the default of limits.drain
        assert int(values["TimeoutStopSec"]) > drain_seconds and int(values["WatchdogSec"]) > 0


def test_notifications(report, folder):
    """sd_notify(3): what Type=notify and WatchdogSec= rest on."""
    heard = []

    def hear():
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.extend(listener.recv(4096).decode().splitlines())
        return heard
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "notify"))
        listener.setblocking(False)
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"),
                       "WATCHDOG_USEC": "500000"}
        disk = make_file(folder / "notify.img", 8 * MIB)
        with Daemon(folder / "notifying", [target("a", disk)]).start(env=environment) as daemon:
            with report.test("systemd is told: ready, alive, how it goes"):
                wait_for(lambda: "READY=1" in hear(), 5, "READY=1")
                wait_for(lambda: hear().count("WATCHDOG=1") >= 3, 3, "signs of life")
                assert "STATUS=1 of 1 targets served, 0 sessions" in heard, heard
            with report.test("systemd is told: reloading, ready again"):
                heard.clear()
                daemon.reload()
                wait_for(lambda: "READY=1" in hear(), 5, "READY=1")
                assert heard.index("RELOADING=1") < heard.index("READY=1"), heard
                assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", line) for line in heard), heard
            with report.test("systemd is told: stopping"):
                daemon.stop()
                assert "STOPPING=1" in hear(), heard


def test_as_service(report, folder, files):
    """Disks, state and secrets as the unit's user sees them, all calls through its filter."""
    home = folder / "service"
    home.mkdir()
    image = make_file(folder / "service.img", 32 * MIB)
    service = Service(files["netboot-target.service"], NOBODY, "disk")
    note(f"{len(service.filter.calls)} system calls are allowed")
    os.chmod(folder, 0o755)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # its leak check needs ptrace
    with loop_device(image) as device:
        before = device.stat()
        os.chown(device, 0, grp.getgrnam("disk").gr_gid)
        os.chmod(device, 0o660)
        try:
            daemon = Daemon(home, [target("a", device)])
            boot_port = serve_loaders(daemon, folder / "loaders")
            daemon.write_config()
            for path in (home, daemon.config):
                os.chown(path, NOBODY, NOBODY)
            with report.test("the daemon as the unit's user, behind its filter"):
                daemon.start(env=environment, preexec_fn=service.enter)
                status = Path(f"/proc/{daemon.pid}/status").read_text()
                assert re.search(r"^Uid:\s+65534\s+65534", status, re.M), status
                assert re.search(r"^CapEff:\s+0+$", status, re.M), status
                assert re.search(r"^Seccomp:\s+2$", status, re.M) and "NoNewPrivs:\t1" in status
            if daemon.process.running:
                fetch_loaders(report, boot_port)
                use(report, daemon, (device, image))
        finally:
            os.chown(device, before.st_uid, before.st_gid)
            os.chmod(device, before.st_mode & 0o777)


def serve_loaders(daemon, loaders):
    """A folder of boot files with links inside it and out of it; gives the port."""
    (loaders / "more").mkdir(parents=True)
    loaders.parent.joinpath("outside").write_text("a file of somebody else")
    (loaders / "loader").write_text("a loader")
    (loaders / "more/inside").symlink_to("../loader")
    (loaders / "above").symlink_to("../outside")
    (loaders / "absolute").symlink_to(loaders.parent / "outside")
    port = free_port()
    text = daemon.text
    daemon.text = lambda: text().replace(
        "http-listen = []", f'http-listen = [ "127.0.0.1:{port}" ]; custom-directory = "{loaders}"')
    return port


def fetch_loaders(report, port):
    with report.test("boot files are served, and none by a link that leads out of their folder"):
        def code(name):
            return run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                       f"http://127.0.0.1:{port}/{name}").stdout
        found = {name: code(name) for name in ("loader", "more/inside", "above", "absolute")}
        assert found == {"loader": "200", "more/inside": "200", "above": "404",
                         "absolute": "404"}, found


def use(report, daemon, disk):
    with daemon:
        with report.test("reads, writes, flushes, discards, large and small"):
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                for blocks in (1, 8, 128, 1024):
                    load = Load(session, blocks=blocks)
                    wait_for(lambda: load.rounds > 5 or load.error, 10, "load")
                    load.stop()
                session.flush()
                unmap = bytes([0, 22, 0, 16, 0, 0, 0, 0]) + bytes(8) + bytes([0, 0, 0, 64]) + bytes(4)
                session.command(bytes([0x42, 0, 0, 0, 0, 0, 0, 0, len(unmap), 0]), unmap)
        with report.test("no algorithm that paces, though nobody granted another one"):
            with Session(daemon.port, iqn("a")):
                found = run("ss", "-Htin", f"sport = :{daemon.port}").stdout
                assert re.search(r"\b(cubic|reno)\b", found), found
        with report.test("a cold disk: read-ahead and the engine for reads"):
            note(f"reads go through {daemon.status()['engine']}")
            drop_cache(*disk)
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                for lba in range(0, 60000, 1024):
                    session.read_blocks(lba, 512)
        with report.test("reload, status, what is kept"):
            daemon.targets = [target("a", daemon.lun("a")["device"], auth='{ mode = "mutual" }')]
            daemon.reload()
            wait_for(lambda: daemon.target("a")["ready"], 10, "target with generated secrets")
            kept = {path.name: path.stat() for path in daemon.state.iterdir()}
            assert "secrets-a" in kept and "identity-a-0" in kept, kept
            for name, status in kept.items():
                assert status.st_uid == NOBODY and status.st_mode & 0o777 == 0o600, name
            assert login_status(daemon.port, iqn("a")) == 0x0201
            assert daemon.http("GET", "/metrics")[0] == 200
        with report.test("it ends in order, and nothing was refused to it"):
            daemon.stop()
            assert not re.search(r"EPERM|Operation not permitted", daemon.says()), daemon.says()


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        files = install(folder / "installed")
        test_files(report, files)
        test_unit(report, folder, files)
        test_notifications(report, folder)
        test_as_service(report, folder, files)
    report.finish()


main()
