#!/usr/bin/env python3
"""The state directory: what it cannot tell is not taken for nothing, a disk under it that hangs holds up
nobody who is served, and without one everything works but memory. Needs root (loop devices, mounts,
namespaces).

usage: test_state.py NETBOOT-TARGET
"""
import contextlib
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import PROGRAM, Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.faulty import Faulty  # noqa: E402
from lab.initiator import INITIATOR, Session, login_status  # noqa: E402
from lab.process import exit_on_signals, free_port, need_root, run, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402
from lab.targets import Secrets  # noqa: E402

OWNED, RETRY = 0x0202, 0x0301
RIVAL = "iqn.2026-11.local.test:rival"
KEY = bytes.fromhex("0123456789abcdef")


def persistent_out(session, action, kind=0, key=bytes(8), new_key=bytes(8), flags=0):
    cdb = struct.pack(">BBB2xIB", 0x5f, action, kind, 24, 0)
    return session.command(cdb, key + new_key + bytes(4) + bytes([flags, 0, 0, 0]))


def capabilities(session):
    return session.good(struct.pack(">BB5xHB", 0x5e, 2, 8, 0), data_in=8)


# ── what cannot be told ─────────────────────────────────────────────────────────────────────────

def takes_logins(daemon, name, **options):
    try:
        return login_status(daemon.port, iqn(name), **options) == 0
    except OSError:
        return False  # it does not listen yet


def rival_status(daemon):
    return login_status(daemon.port, iqn("a"), name=RIVAL)


def own(daemon):
    """Somebody owns the target, then everything ends at once."""
    with daemon.start():
        session = Session(daemon.port, iqn("a"))
        session.ready()
        daemon.kill()
        session.close()


def expect_closed(daemon, *words):
    """Nobody is let in, and it is said why; the other target is served."""
    wait_for(lambda: takes_logins(daemon, "b"), 10, "the other target")
    for word in words:
        daemon.wait_log(word)
    assert rival_status(daemon) == RETRY
    lun = daemon.lun("a")
    assert all(word in lun["problem"] for word in words), lun
    assert not daemon.target("a")["ready"]


def spoil(path, how):
    """Gives back what mends it."""
    before = path.read_bytes() if path.exists() else None
    path.unlink(missing_ok=True)
    if how == "unreadable":
        path.mkdir()  # like a bad sector: it is there, and cannot be read
    else:
        path.write_bytes(b"\0nonsense")

    def mend():
        path.rmdir() if how == "unreadable" else path.unlink()
        if before is not None:
            path.write_bytes(before)
    return mend


def test_records(report, folder):
    disks = [make_file(folder / f"records-{name}.img", 8 * MIB) for name in "ab"]
    targets = [target("a", disks[0]), target("b", disks[1])]
    for how, words in ("unreadable", "cannot be read"), ("nonsense", "makes no sense"):
        with report.test(f"an owner's record that is {how} lets no rival in; mended it counts"):
            daemon = Daemon(folder / f"owner-{how}", targets)
            own(daemon)
            mend = spoil(daemon.state / "owner-a", how)
            with daemon.launch():
                expect_closed(daemon, "owner-a", words, "remove it")
                mend()
                wait_for(lambda: rival_status(daemon) == OWNED, 10, "the owner known again")
                assert login_status(daemon.port, iqn("a")) == 0
        with report.test(f"an identity that is {how} is not taken for none"):
            daemon = Daemon(folder / f"identity-{how}", targets)
            with daemon.start():
                was = daemon.lun("a")["identity"]
            mend = spoil(daemon.state / "identity-a-0", how)
            with daemon.launch():
                expect_closed(daemon, "identity-a-0", words)
                mend()
                daemon.wait_lun("a", 0, lambda lun: lun["state"] == "open")
                assert daemon.lun("a")["identity"] == was
        with report.test(f"reservations that are {how} are not taken for none; removed they are"):
            daemon = Daemon(folder / f"reservations-{how}", targets)
            with daemon.start() as daemon, Session(daemon.port, iqn("a")) as session:
                session.ready()
                assert not persistent_out(session, 0, new_key=KEY, flags=1).status
                name = "reservations-" + daemon.lun("a")["identity"]
                daemon.kill()
            spoil(daemon.state / name, how)
            with daemon.launch():
                expect_closed(daemon, name, words)
                (daemon.state / name).rmdir() if how == "unreadable" else (daemon.state / name).unlink()
                wait_for(lambda: takes_logins(daemon, "a"), 10, "target served")


def test_client_targets(report, folder):
    with report.test("a machine whose image comes late stays on the list when another's is open"):
        here, late = "52-54-00-00-00-0a", "52-54-00-00-00-0b"
        make_file(folder / f"each-{here}.img", 8 * MIB)
        daemon = Daemon(folder / "client-targets", [target("each", f"{folder}/each-%m.img")])
        daemon.state.mkdir(mode=0o700)
        record = daemon.state / "client-targets"
        kept = [f"each {here}", f"each {late}", f"gone {here}"]  # its target may be back soon
        record.write_text("\n".join(["no line of ours", *kept, ""]))
        with daemon.launch():
            wait_for(lambda: "ours" not in record.read_text(), 20, "the list written anew")
            assert sorted(record.read_text().splitlines()) == kept
            os.rename(make_file(folder / "late.img", 8 * MIB), folder / f"each-{late}.img")
            daemon.wait_log(f"serving target each.{late}", 20)
    with report.test("while no image at all is there, none of those machines is told that it is gone"):
        daemon = Daemon(folder / "no-image", [target("none", f"{folder}/none-%m.img")])
        daemon.state.mkdir(mode=0o700)
        (daemon.state / "client-targets").write_text(f"none {late}\n")
        name = f"{iqn('none')}.{late}"
        with daemon.launch():
            daemon.wait_log(f"none-{late}.img", 20)
            for _ in range(20):
                with contextlib.suppress(ConnectionError):  # it does not listen
                    assert login_status(daemon.port, name, name=f"{INITIATOR}:late") == RETRY
                time.sleep(0.1)
            os.rename(make_file(folder / "late.img", 8 * MIB), folder / f"none-{late}.img")
            daemon.wait_log(f"serving target none.{late}", 20)
            assert login_status(daemon.port, name, name=f"{INITIATOR}:late") == 0


# ── a state disk that is full ───────────────────────────────────────────────────────────────────

def expect_owned(daemon):
    """After a start its owner is known, gets in, and leaves."""
    with daemon.start():
        assert rival_status(daemon) == OWNED
        with Session(daemon.port, iqn("a")) as session:
            session.ready()
            session.logout()


@contextlib.contextmanager
def small_file_system(folder):
    """Gives where it is, and what fills it up."""
    place = folder / "small"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=256k", "none", place)
    try:
        yield place, place / "filling"
    finally:
        run("umount", "--lazy", place)


def fill(path):
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def answer_of(daemon, seconds):
    """What a login is told, or None when it is told nothing."""
    try:
        return login_status(daemon.port, iqn("a"), timeout=seconds)
    except TimeoutError:
        return None


def test_full(report, folder):
    disk = make_file(folder / "full.img", 8 * MIB)
    with small_file_system(folder) as (place, filling):
        daemon = Daemon(folder / "full", [target("a", disk)])
        daemon.state = place / "state"
        with daemon.start():
            with report.test("an owner that cannot be kept is not let in, and it is said why"):
                fill(filling)
                assert answer_of(daemon, 3) is None
                daemon.wait_log("owner-a cannot be written: No space left on device")
                assert "owner-a" in daemon.lun("a")["problem"] and not daemon.target("a")["ready"]
                assert answer_of(daemon, 3) is None, "the same name again"
            with report.test("with room again it is let in, and known after kill -9"):
                filling.unlink()
                wait_for(lambda: daemon.target("a")["ready"], 10, "the owner kept")
                assert not daemon.lun("a")["problem"]
                Session(daemon.port, iqn("a")).ready()
                daemon.kill()
        expect_owned(daemon)
        with report.test("an owner that could not be kept is not let in by a reload either"):
            with daemon.start():
                fill(filling)
                assert answer_of(daemon, 3) is None
                daemon.wait_log("owner-a cannot be written")
                daemon.targets[0] = target("a", disk, more='alias = "changed";')
                daemon.reload()
                assert answer_of(daemon, 3) in (None, RETRY)
                daemon.wait_lun("a", 0, lambda lun: "owner-a cannot be written" in lun["problem"])
                assert answer_of(daemon, 3) in (None, RETRY)
                filling.unlink()
                wait_for(lambda: daemon.target("a")["ready"], 20, "the owner kept")
                daemon.kill()
            expect_owned(daemon)
        with report.test("a target that waits for that goes on a reload, and the daemon ends in order"):
            with daemon.start():
                fill(filling)
                assert answer_of(daemon, 3) is None
                daemon.wait_log("owner-a cannot be written")
                daemon.targets.clear()
                daemon.reload()
                wait_for(lambda: not daemon.status()["targets"], 10, "its end")
                daemon.stop()
        with report.test("--doctor names a state directory without room"):
            done = run(PROGRAM, "--doctor", "-c", daemon.config, check=False)
            assert done.returncode == 1 and f"the file system of {daemon.state} is full" in done.stdout, done.stdout


# ── a state disk that hangs ─────────────────────────────────────────────────────────────────────

@contextlib.contextmanager
def file_system(folder):
    """A file system on a disk that can hang."""
    with Faulty(folder / "state-disk", 64 * MIB) as disk:
        place = folder / "state-mount"
        place.mkdir()
        run("mkfs.ext4", "-q", disk.device)
        run("mount", disk.device, place)
        try:
            yield disk, place
        finally:
            disk.go_on()
            run("fsfreeze", "--unfreeze", place, check=False)
            run("umount", place)


def test_hanging(report, folder):
    disks = [make_file(folder / f"hanging-{name}.img", 8 * MIB) for name in "abc"]
    with file_system(folder) as (disk, place):
        daemon = Daemon(folder / "hanging", [target("a", disks[0])])
        daemon.state = place / "state"
        with daemon.start():
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                session.write(0, b"x" * 512)
                with report.test("a state disk that hangs: sessions go on, a new disk waits"):
                    run("fsfreeze", "--freeze", place)
                    daemon.targets.append(target("b", disks[1]))
                    daemon.reload()
                    wait_for(lambda: daemon.lun("b")["state"] == "open", 10, "LUN b")
                    time.sleep(2)
                    assert login_status(daemon.port, iqn("b")) == RETRY
                    session.write(8, b"y" * 512)
                    assert session.read_blocks(0, 1) == b"x" * 512
                    assert not daemon.target("b")["ready"]
                    run("fsfreeze", "--unfreeze", place)
                with report.test("and is served when who it is has been kept"):
                    wait_for(lambda: takes_logins(daemon, "b"), 20, "target b")
                    kept = (daemon.state / "identity-b-0").read_text()
                    assert kept.startswith(daemon.lun("b")["identity"]), kept
        with report.test("one that hangs at the start: logins are put off, the status answers"):
            run("umount", place)
            run("mount", disk.device, place)
            daemon.state.stat()  # its name is in memory, and nothing else of it
            disk.hang()
            with daemon.launch():
                daemon.wait_log("does not answer", 15)
                assert login_status(daemon.port, iqn("a")) == RETRY
                assert login_status(daemon.port, iqn("unknown")) == RETRY
                daemon.wait_lun("a", 0, lambda lun: "does not answer" in lun["problem"])
                disk.go_on()
                wait_for(lambda: takes_logins(daemon, "a"), 20, "target a")


# ── without one ─────────────────────────────────────────────────────────────────────────────────

def test_reservations(report, folder):
    disk = make_file(folder / "reserved.img", 8 * MIB)
    for name, state, persists in ("with", None, True), ("without", Path("/proc/none"), False):
        with report.test(f"persistence through power loss is offered {name} a state directory"):
            daemon = Daemon(folder / f"reserved-{name}", [target("a", disk)])
            daemon.state = state or daemon.state
            with daemon.start(), Session(daemon.port, iqn("a")) as session:
                session.ready()
                mask = capabilities(session)
                assert bool(mask[2] & 1) == persists, mask.hex()  # PTPL_C
                register = persistent_out(session, 0, new_key=KEY, flags=1)
                assert bool(register.status) != persists, register
                assert not bool(mask[3] & 1), mask.hex()  # PTPL_A


@contextlib.contextmanager
def in_terminal(*command):
    """Gives what the program has said so far to the terminal that is its standard error."""
    outer, inner = pty.openpty()
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=inner, start_new_session=True,
                               env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    os.close(inner)
    os.set_blocking(outer, False)
    text = bytearray()

    def says():
        with contextlib.suppress(OSError):
            text.extend(os.read(outer, 1 << 16))
        return text.decode()
    try:
        yield says
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        os.close(outer)


def menu_status(port, *more):
    return run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *more,
               f"http://127.0.0.1:{port}/setup/linux.sh").stdout


def bare_daemon(folder, name, auth='{ mode = "mutual" }'):
    disk = make_file(folder / f"{name}.img", 8 * MIB)
    daemon = Daemon(folder / name, [target("a", disk, auth=auth)])
    daemon.state = Path("/proc/none/state")
    daemon.boot = free_port()
    daemon.write_config(daemon.text().replace("http-listen = []",
                                              f'http-listen = "127.0.0.1:{daemon.boot}"'))
    return daemon


def test_bare(report, folder):
    """As in a system that runs from memory: no /var, no udev links, no host name, no systemd."""
    bare = ("unshare", "--mount", "--uts", "sh", "-c",
            'hostname "" 2>/dev/null; mkdir -p /dev/disk; mount -t tmpfs none /dev/disk;'
            ' mount -t tmpfs none /var; exec "$@"', "sh")
    with report.test("nothing but a terminal: secrets are shown there, CHAP and the menu work"):
        daemon = bare_daemon(folder, "terminal")
        with in_terminal(*bare, PROGRAM, "-c", daemon.config) as says:
            wait_for(lambda: "serving target a" in says(), 15, says)
            wait_for(lambda: "password of the boot menu, until" in says(), 15, says)
            assert "no such file" in says().lower() and "will change with the next start" in says()
            found = re.search(r"initiator (\S+) (\S+)\s+target (\S+) (\S+)", says())
            secrets = Secrets(*found.groups())
            with Session(daemon.port, iqn("a"), secrets=secrets) as session:
                session.ready()
                session.write(0, bytes(512))
                session.flush()
            user, password = re.search(r"menu, until this process ends:\s+(\S+) (\S+)", says()).groups()
            assert menu_status(daemon.boot) == "401"
            assert menu_status(daemon.boot, "--digest", "-u", f"{user}:{password}") == "200"
    with report.test("no terminal either: no secret is in the log, and it is said what to do"):
        daemon = bare_daemon(folder, "no-terminal")
        daemon.prefix, daemon.write_config = bare, lambda text=None: None
        with daemon.start():
            assert login_status(daemon.port, iqn("a")) == 0x0201
            daemon.wait_log("nobody can log in to the boot menu")
            assert daemon.says("menu.password-file or secret-key-file"), daemon.says()
            assert menu_status(daemon.boot) == "503"
            assert not re.search(r"^initiator \S+ [A-Za-z0-9._]{16}", daemon.says(), re.MULTILINE)
    with report.test("a directory that can only be read: what it says counts"):
        disk = make_file(folder / "read-only.img", 8 * MIB)
        daemon = Daemon(folder / "read-only", [target("a", disk)])
        own(daemon)
        was = (daemon.state / "identity-a-0").read_text()
        daemon.prefix = ("unshare", "--mount", "sh", "-c",
                         f'mount --bind {daemon.state} {daemon.state} && '
                         f'mount -o remount,ro,bind {daemon.state}; exec "$@"', "sh")
        with daemon.start():
            daemon.wait_log("Read-only file system")
            assert rival_status(daemon) == OWNED
            assert was.startswith(daemon.lun("a")["identity"])
            with Session(daemon.port, iqn("a"), name=INITIATOR) as session:
                session.ready()


# ── many words ──────────────────────────────────────────────────────────────────────────────────

def test_addresses(report, folder):
    disk = make_file(folder / "addresses.img", 8 * MIB)
    with report.test("256 addresses of a target all count"):
        for last in "127.0.0.1", "192.0.2.1":
            addresses = [f"198.51.{n // 250}.{n % 250 + 1}" for n in range(255)] + [last]
            more = "addresses = [ " + ", ".join(f'"{address}"' for address in addresses) + " ];"
            with Daemon(folder / f"addresses-{last}", [target("a", disk, more=more)]
                        ).start() as daemon:
                found = login_status(daemon.port, iqn("a"))
                assert (found == 0) == (last == "127.0.0.1"), hex(found)


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        test_records(report, folder)
        test_client_targets(report, folder)
        test_full(report, folder)
        test_hanging(report, folder)
        test_reservations(report, folder)
        test_bare(report, folder)
        test_addresses(report, folder)
    report.finish()


main()
