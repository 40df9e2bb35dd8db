#!/usr/bin/env python3
"""LUNs: which disks are found, refused and waited for, who they say they are, what they do when they
fail, and what survives a restart. Needs root (loop devices, mounts).

usage: test_luns.py NETBOOT-TARGET
"""
import contextlib
import os
import struct
import subprocess
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, loop_device, make_file, scratch  # noqa: E402
from lab.faulty import Faulty  # noqa: E402
from lab.initiator import (CHECK_CONDITION, INITIATOR, RESERVATION_CONFLICT, Session,  # noqa: E402
                           login_status)
from lab.process import exit_on_signals, need_root, run, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

RETRY, OWNED = 0x0301, 0x0202
NOT_READY_GONE = (2, 0x3a00)
WRITE_PROTECTED = (7, 0x2700)
WRITE_ERROR = (3, 0x0c00)
CAPACITY_CHANGED = (6, 0x2a09)
BACK_AGAIN = (6, 0x2800)
OTHER = "iqn.2026-11.local.test:other"


def expect_sense(answer, *senses):
    assert answer.status == CHECK_CONDITION and answer.sense_words in senses, answer


# ── numbers, modes, sizes ───────────────────────────────────────────────────────────────────────

def report_luns(session):
    data = session.good(struct.pack(">BBB3xIxx", 0xa0, 0, 0, 1024), data_in=1024)
    count = int.from_bytes(data[:4], "big") // 8
    return [data[8 + 8 * i + 1] for i in range(count)]


def test_numbers(report, folder):
    disks = [make_file(folder / f"numbers{i}.img", (8 + i) * MIB) for i in range(3)]
    with report.test("several LUNs from first-lun on, and a number of its own"):
        luns = [f'device = "{disks[0]}"', f'device = "{disks[1]}"; lun = 200',
                f'device = "{disks[2]}"']
        with Daemon(folder / "numbers", [target("a", *luns, more="first-lun = 3;")]).start() as daemon:
            with Session(daemon.port, iqn("a")) as session:
                assert report_luns(session) == [3, 200, 201], report_luns(session)
                for lun, disk in zip((3, 200, 201), disks):
                    session.ready(lun=lun)
                    blocks = disk.stat().st_size // 512
                    assert session.capacity(lun) == (blocks, 512)
                    session.write(1, bytes([lun]) * 512, lun=lun)
                    session.flush(lun)
                    assert disk.read_bytes()[512:1024] == bytes([lun]) * 512
                assert session.inquiry(lun=0)[0] == 0x7f  # SPC-4: no such logical unit
    with report.test("a read-only LUN beside a writable one"):
        with Daemon(folder / "read-only", [target("a", f'device = "{disks[0]}"; read-only = true',
                                                  disks[1])]).start() as daemon:
            before = disks[0].read_bytes()
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                session.ready(lun=1)
                expect_sense(session.command(session.write_cdb(0, 1), bytes(512)), WRITE_PROTECTED)
                mode = session.good(struct.pack(">BBBBBB", 0x1a, 8, 0x3f, 0, 255, 0), data_in=255)
                assert mode[2] & 0x80, "WP is not set"
                session.write(0, bytes(512), lun=1)
            assert disks[0].read_bytes() == before
            assert daemon.lun("a", 0)["read_only"] and not daemon.lun("a", 1)["read_only"]
    with report.test("4096-byte blocks"):
        with loop_device(disks[0], sector_bytes=4096) as device, \
                Daemon(folder / "4kn", [target("a", device)]).start() as daemon:
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                assert session.capacity() == (8 * MIB // 4096, 4096)
    with report.test("a device that cannot be written is served read-only"):
        with loop_device(disks[0], read_only=True) as device, \
                Daemon(folder / "protected", [target("a", f'device = "{device}"; read-only = true')]
                       ).start() as daemon, Session(daemon.port, iqn("a")) as session:
            session.ready()
            expect_sense(session.command(session.write_cdb(0, 1), bytes(512)), WRITE_PROTECTED)


def test_late(report, folder):
    with report.test("wait: logins are told to retry until the device appears"):
        late, here = folder / "late.img", make_file(folder / "here.img", 8 * MIB)
        targets = [target("a", f'device = "{late}"; wait = "30s"'), target("b", here)]
        with Daemon(folder / "late", targets).launch() as daemon:
            daemon.wait_log("waiting for it")
            wait_for(lambda: login_status(daemon.port, iqn("b")) == 0, 5, "the other target")
            assert login_status(daemon.port, iqn("a")) == RETRY
            assert login_status(daemon.port, iqn("unknown")) == RETRY
            assert daemon.lun("a")["state"] == "waiting", daemon.lun("a")
            assert daemon.says("listening for iSCSI"), "the served target is not told"
            os.rename(make_file(folder / "new.img", 8 * MIB), late)
            wait_for(lambda: login_status(daemon.port, iqn("a")) == 0, 5, "late device")
            assert login_status(daemon.port, iqn("unknown")) == 0x0203
    with report.test("without wait: refused, the daemon ends when nothing is left"):
        with Daemon(folder / "never", [target("a", folder / "never.img")]).launch() as daemon:
            daemon.ends(15, code=1)
            assert daemon.says("never.img") and daemon.says("nothing can be served"), daemon.says()


# ── who holds it ────────────────────────────────────────────────────────────────────────────────

@contextlib.contextmanager
def mounted_elsewhere(device, folder):
    """Mounts it where only one other process sees it."""
    folder.mkdir()
    process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                f"mount {device} {folder} && echo up && read _"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != "up\n":
            raise LabError(f"cannot mount {device}")
        yield
    finally:
        process.communicate("\n", timeout=10)


def expect_refusal(daemon, name, *words):
    problem = daemon.wait_lun(name, 0, lambda lun: lun["problem"])["problem"]
    for word in words:
        assert str(word) in problem, problem
    assert login_status(daemon.port, iqn(name)) == RETRY


def test_busy(report, folder, beside):
    def daemon_with(lun):
        return Daemon(folder / f"busy-{uuid.uuid4()}", [beside, target("busy", lun)]).launch()
    image = make_file(folder / "busy.img", 32 * MIB)
    with loop_device(image) as device:
        run("mkfs.ext4", "-q", device)
        for more in ("", "; force = true"):
            with report.test(f"a mounted disk is refused{', even with force' if more else ''}"):
                with mounted_elsewhere(device, folder / f"mount{bool(more)}"):
                    with daemon_with(f'device = "{device}"{more}') as daemon:
                        expect_refusal(daemon, "busy", device, "mount")
        with report.test("it is served once it is unmounted, without a restart"):
            with contextlib.ExitStack() as stack:
                mount = stack.enter_context(contextlib.ExitStack())
                mount.enter_context(mounted_elsewhere(device, folder / "mount-later"))
                daemon = stack.enter_context(daemon_with(f'device = "{device}"'))
                expect_refusal(daemon, "busy")
                mount.close()
                wait_for(lambda: login_status(daemon.port, iqn("busy")) == 0, 15, "free disk")
        with report.test("what goes on being refused is called so"):
            with mounted_elsewhere(device, folder / "mount-on"):
                with daemon_with(f'device = "{device}"') as daemon:
                    daemon.wait_lun("busy", 0, lambda lun: lun["state"] == "refused", 20)
        with report.test("while it is served it cannot be mounted"):
            with daemon_with(f'device = "{device}"') as daemon:
                daemon.wait_ready()
                (folder / "denied").mkdir()
                assert run("mount", device, folder / "denied", check=False).returncode
        with report.test("a file that a loop device uses is refused, naming it"):
            with daemon_with(f'device = "{image}"') as daemon:
                expect_refusal(daemon, "busy", device)
        with report.test("swap is refused, naming it"):
            run("mkswap", device)
            run("swapon", device)
            try:
                with daemon_with(f'device = "{device}"') as daemon:
                    expect_refusal(daemon, "busy", "swap")
            finally:
                run("swapoff", device)
    with report.test("a file that a process writes is refused, naming it; force serves it"):
        with open(image, "r+b"):
            with daemon_with(f'device = "{image}"') as daemon:
                expect_refusal(daemon, "busy", os.getpid(), "python")
            with daemon_with(f'device = "{image}"; force = true') as daemon:
                daemon.wait_ready()
    with report.test("two daemons do not serve one disk"):
        with loop_device(image) as device, daemon_with(f'device = "{device}"') as first:
            first.wait_ready()
            with daemon_with(f'device = "{device}"') as second:
                expect_refusal(second, "busy", first.pid)


@contextlib.contextmanager
def partition_node(device, number, start_blocks, blocks):
    """A partition the kernel knows (BLKPG), without its scanning for tables."""
    run("addpart", device, number, start_blocks, blocks)
    try:
        name = f"{Path(device).name}p{number}"
        node = Path(f"/dev/{name}")
        if not node.exists():
            major, minor = Path(f"/sys/class/block/{name}/dev").read_text().split(":")
            run("mknod", node, "b", major.strip(), minor.strip())
        yield node
    finally:
        run("delpart", device, number, check=False)
        node.unlink(missing_ok=True)


# ── finding them ────────────────────────────────────────────────────────────────────────────────

PARTITION_START, PARTITION_BLOCKS = 2048, 32768


def make_gpt_disk(path, label):
    """A disk with one ext4 partition; gives the UUID of the file system and of the partition."""
    make_file(path, 32 * MIB)
    file_system, partition = str(uuid.uuid4()), str(uuid.uuid4())
    run("sgdisk", "-n", f"1:{PARTITION_START}:{PARTITION_START + PARTITION_BLOCKS - 1}",
        "-u", f"1:{partition}", "-c", f"1:{label}-part", path)
    run("mkfs.ext4", "-q", "-F", "-U", file_system, "-L", label, "-E",
        f"offset={PARTITION_START * 512}", path, f"{PARTITION_BLOCKS // 2}k")
    return file_system, partition


def test_tags(report, folder):
    label = f"nbt{os.getpid()}"
    file_system, partition = make_gpt_disk(folder / "gpt.img", label)
    tags = [f"UUID={file_system}", f"LABEL={label}", f"PARTUUID={partition}",
            f"PARTLABEL={label}-part"]
    with loop_device(folder / "gpt.img") as device:
        for tag in tags:
            kind = tag.split("=")[0]
            with report.test(f"{kind}= without partition nodes, the partition and the whole disk"):
                with Daemon(folder / f"tag-{kind}", [target("part", f'device = "{tag}"')]
                            ).start() as daemon, Session(daemon.port, iqn("part")) as session:
                    session.ready()
                    assert session.capacity() == (PARTITION_BLOCKS, 512)
                    assert session.read_blocks(2, 1)[56:58] == b"\x53\xef"  # ext4's magic number
                with Daemon(folder / f"disk-{kind}", [target("disk", f'disk-with = "{tag}"')]
                            ).start() as daemon, Session(daemon.port, iqn("disk")) as session:
                    session.ready()
                    assert session.capacity() == (32 * MIB // 512, 512)
                    assert daemon.lun("disk")["device"] == str(device)
        with report.test("a disk whose partition is mounted is refused"):
            with partition_node(device, 1, PARTITION_START * 512 // 512, PARTITION_BLOCKS) as node:
                beside = target("beside", make_file(folder / "beside.img", 8 * MIB))
                with mounted_elsewhere(node, folder / "mount-part"):
                    with Daemon(folder / "part-mounted", [beside, target(
                            "disk", f'disk-with = "{tags[0]}"')]).launch() as daemon:
                        expect_refusal(daemon, "disk", node.name)


# ── who they are ────────────────────────────────────────────────────────────────────────────────

def identity(daemon, name, lun=0):
    """What an initiator takes for the disk's identity."""
    with Session(daemon.port, iqn(name)) as session:
        session.ready(lun)
        return [session.inquiry(page, lun) for page in (None, 0x80, 0x83)]


def derived_iqn(daemon):
    return daemon.status()["targets"][0]["iqn"]


def test_identity(report, folder):
    make_gpt_disk(folder / "original.img", "original")
    with loop_device(folder / "original.img") as device:
        with report.test("byte-identical over restarts, and with another state directory"):
            seen = []
            for state in ("one", "one", "two"):
                with Daemon(folder / f"identity-{state}", [target("a", device)]).start() as daemon:
                    seen.append(identity(daemon, "a"))
                    inquiries = [run("iscsi-inq", "-e", 1, "-c", page,
                                     f"iscsi://127.0.0.1:{daemon.port}/{iqn('a')}/0").stdout
                                 for page in (0x80, 0x83)]
                    seen[-1] += inquiries
                daemon.log.unlink()
            assert seen[0] == seen[1] == seen[2], seen
        with report.test("the derived IQN is the same, too, and another path to the disk"):
            names = set()
            link = folder / "link"
            link.symlink_to(device)
            for number, path in enumerate((device, device, link)):
                with Daemon(folder / f"iqn-{number % 2}-{path.name}", [target("a", path, iqn="")]
                            ).start() as daemon:
                    names.add(derived_iqn(daemon))
            assert len(names) == 1 and "iqn.2026-11.local.netboot-target:" in names.pop()
        with report.test("a copied disk is refused with the cure, which helps"):
            run("cp", folder / "original.img", folder / "copy.img")
            with loop_device(folder / "copy.img") as copy:
                daemon = Daemon(folder / "copy", [target("a", device)])
                with daemon.start():  # whoever was served first is the original from then on
                    pass
                daemon.targets = [target("b", copy), target("a", device)]
                with daemon.launch():
                    daemon.wait_lun("a", 0, lambda lun: lun["state"] == "open")
                    expect_refusal(daemon, "b", "same identity", "sgdisk -G", "serial")
                    run("sgdisk", "-G", copy)
                    wait_for(lambda: login_status(daemon.port, iqn("b")) == 0, 15, "cured copy")
                    assert identity(daemon, "a")[1] != identity(daemon, "b")[1]
        with report.test("two copies at a first start: neither is served, until they are told apart"):
            run("cp", folder / "original.img", folder / "copy.img")
            beside = target("beside", make_file(folder / "beside-copies.img", 8 * MIB))
            with loop_device(folder / "copy.img") as copy:
                for number in range(4):
                    pair = [target("a", device), target("b", copy)]
                    with Daemon(folder / f"pair-{number}", [*pair[::1 if number % 2 else -1], beside]
                                ).launch() as daemon:
                        expect_refusal(daemon, "a", "same identity", str(copy), "sgdisk -G")
                        expect_refusal(daemon, "b", "same identity", str(device), "sgdisk -G")
                        assert login_status(daemon.port, iqn("beside")) == 0
                        if number == 3:
                            run("sgdisk", "-G", copy)
                            for name in "ab":
                                wait_for(lambda: login_status(daemon.port, iqn(name)) == 0, 15,
                                         f"target {name}")
        with report.test("a copied disk with serial and naa of its own is served"):
            run("cp", folder / "original.img", folder / "copy.img")
            with loop_device(folder / "copy.img") as copy:
                lun = f'device = "{copy}"; serial = "COPY"; naa = "3112233445566778"'
                with Daemon(folder / "named", [target("a", device), target("b", lun)]
                            ).start() as daemon:
                    inquiry, serial, designators = identity(daemon, "b")
                    assert serial[4:] == b"COPY"
                    assert bytes.fromhex("3112233445566778") in designators
                with Daemon(folder / "named2", [target("a", device, iqn=""),
                                                target("b", lun, iqn="")]).launch() as daemon:
                    daemon.wait_log("is taken by another target")
    with report.test("vendor, product, revision, rotation rate and EUI as configured"):
        disk = make_file(folder / "plain.img", 8 * MIB)
        lun = (f'device = "{disk}"; vendor = "ACME"; product = "Anvil"; revision = "7";'
               'rotation-rate = 7200; eui = "0011223344556677"')
        with Daemon(folder / "words", [target("a", lun)]).start() as daemon:
            inquiry, _serial, designators = identity(daemon, "a")
            assert inquiry[8:36] == b"ACME    Anvil           7   ", inquiry
            assert bytes.fromhex("0011223344556677") in designators
            with Session(daemon.port, iqn("a")) as session:
                assert session.inquiry(0xb1)[4:6] == struct.pack(">H", 7200)
    with report.test("a disk without identity keeps the one it was given"):
        seen = []
        for state in ("kept", "kept", "lost"):
            with Daemon(folder / f"blank-{state}", [target("a", disk, iqn="")]).start() as daemon:
                item = daemon.lun("a")
                seen.append((item["identity"], item["serial"], derived_iqn(daemon)))
        assert seen[0] == seen[1] != seen[2], seen


# ── what changes and fails while running ────────────────────────────────────────────────────────

def test_resize(report, folder):
    image = make_file(folder / "resize.img", 16 * MIB)
    with loop_device(image) as device, \
            Daemon(folder / "resize", [target("a", device)]).start() as daemon:
        for size in (24 * MIB, 20 * MIB):
            with report.test(f"a disk that becomes {size // MIB} MiB is seen with its new size"):
                with Session(daemon.port, iqn("a")) as session:
                    session.ready()
                    os.truncate(image, size)
                    run("losetup", "-c", device)
                    wait_for(lambda: daemon.lun("a")["size_bytes"] == size, 8, "new size")
                    expect_sense(session.command(bytes(6)), CAPACITY_CHANGED)
                    assert session.capacity() == (size // 512, 512)
                    session.read_blocks(size // 512 - 1, 1)
                    expect_sense(session.command(session.read_cdb(size // 512, 1), data_in=512),
                                 (5, 0x2100))
    with report.test("a file that grows"):
        with Daemon(folder / "grow", [target("a", image)]).start() as daemon, \
                Session(daemon.port, iqn("a")) as session:
            session.ready()
            os.truncate(image, 32 * MIB)
            wait_for(lambda: daemon.lun("a")["size_bytes"] == 32 * MIB, 8, "new size")
            expect_sense(session.command(bytes(6)), CAPACITY_CHANGED)
            session.write(65535, bytes(512))


def test_write_fault(report, folder):
    flush_fails = [{"iotype": "flush", "errno": 5, "once": True}]
    with report.test("a failed flush latches writes until rearmed; reads go on"):
        with Faulty(folder / "fault-disk", 16 * MIB, flush_fails) as disk, \
                Daemon(folder / "fault", [target("a", disk.device)]).start() as daemon, \
                Session(daemon.port, iqn("a")) as session:
            session.ready()
            session.write(0, b"first" + bytes(507))
            flush = struct.pack(">B9x", 0x35)
            expect_sense(session.command(flush), WRITE_ERROR)
            for _ in range(2):
                expect_sense(session.command(session.write_cdb(8, 1), bytes(512)), WRITE_ERROR)
                expect_sense(session.command(flush), WRITE_ERROR)
            assert session.read_blocks(0, 1)[:5] == b"first"
            assert daemon.lun("a")["state"] == "write-fault"
            code, text = daemon.http("POST", "/luns/a/0/rearm")
            assert code == 200, text
            session.write(8, b"again" + bytes(507))
            session.flush()
            assert daemon.lun("a")["state"] == "open"
            assert Path(disk.image).read_bytes()[4096:4101] == b"again"
    with report.test("a failed direct write fails its command alone"):
        write_fails = [{"iotype": "write", "errno": 5, "once": True}]
        with Faulty(folder / "write-disk", 16 * MIB, write_fails) as disk, \
                Daemon(folder / "write", [target("a", disk.device)]).start() as daemon, \
                Session(daemon.port, iqn("a")) as session:
            session.ready()
            expect_sense(session.command(session.write_cdb(0, 8), bytes(4096)), WRITE_ERROR)
            session.write(0, b"x" * 4096)
            session.flush()
            assert daemon.lun("a")["state"] == "open"
            assert session.read_blocks(0, 8) == b"x" * 4096
    with report.test("a read error names its block, the disk goes on"):
        read_fails = [{"iotype": "read", "errno": 5, "sector": 1000}]
        with Faulty(folder / "read-disk", 16 * MIB, read_fails) as disk, \
                Daemon(folder / "read", [target("a", disk.device)]).start() as daemon, \
                Session(daemon.port, iqn("a")) as session:
            session.ready()
            answer = session.command(session.read_cdb(992, 32), data_in=32 * 512)
            expect_sense(answer, (3, 0x1100))
            assert 992 <= int.from_bytes(answer.sense[3:7], "big") <= 1000, answer.sense.hex()
            session.read_blocks(0, 64)
            session.write(0, bytes(512))
    with report.test("a disk that vanishes: errors, everyone else goes on"):
        with Faulty(folder / "gone-disk", 16 * MIB) as disk:
            well = make_file(folder / "well.img", 8 * MIB)
            with Daemon(folder / "gone", [target("a", disk.device), target("b", well)]
                        ).start() as daemon:
                session = Session(daemon.port, iqn("a"))
                session.ready()
                disk.vanish()
                expect_sense(session.command(session.write_cdb(0, 8), bytes(4096)), WRITE_ERROR,
                             NOT_READY_GONE)
                expect_sense(session.command(session.read_cdb(4096, 8), data_in=4096), (3, 0x1100),
                             NOT_READY_GONE)
                with Session(daemon.port, iqn("b")) as other:
                    other.ready()
                    other.write(0, bytes(512))
                session.logout()
                daemon.process.process.terminate()
                daemon.ends(20, code=1)  # its last flush failed


def looks_same(path):
    """A disk with a partition table, so that it is known again; gives what puts it back."""
    make_gpt_disk(path, "back")
    content = path.read_bytes()
    return lambda: path.write_bytes(content)


def test_return(report, folder):
    image, beside = folder / "back.img", make_file(folder / "beside-back.img", 8 * MIB)
    put_back = looks_same(image)
    with loop_device(image) as device, \
            Daemon(folder / "back", [target("a", device), target("b", beside)]).start() as daemon, \
            Session(daemon.port, iqn("a")) as session, Session(daemon.port, iqn("b")) as other:
        def vanish():
            os.truncate(image, 0)
            run("losetup", "-c", device)
            daemon.wait_lun("a", 0, lambda lun: lun["state"] == "gone")
            expect_sense(session.command(bytes(6)), NOT_READY_GONE)
            wait_for(lambda: daemon.lun("a")["problem"], 10, "word about what is missing")

        session.ready()
        other.ready()
        with report.test("a disk that is gone and comes back: its session goes on"):
            first = session.read_blocks(0, 8)
            vanish()
            other.write(0, bytes(512))
            put_back()
            run("losetup", "-c", device)
            daemon.wait_lun("a", 0, lambda lun: lun["state"] == "open")
            expect_sense(session.command(bytes(6)), BACK_AGAIN)
            assert session.read_blocks(0, 8) == first
            assert not daemon.lun("a")["problem"]
        with report.test("rearm looks for it; what was written may be lost, so writes wait for rearm"):
            session.write(64, b"x" * 512)
            vanish()
            code, text = daemon.http("POST", "/luns/a/0/rearm")
            assert code == 202, (code, text)
            put_back()
            run("losetup", "-c", device)
            daemon.wait_lun("a", 0, lambda lun: lun["state"] == "write-fault")
            expect_sense(session.command(bytes(6)), BACK_AGAIN)
            assert session.read_blocks(0, 8) == first
            expect_sense(session.command(bytes([0x35]) + bytes(9)), WRITE_ERROR)
            assert daemon.http("POST", "/luns/a/0/rearm")[0] == 200
            session.write(64, b"y" * 512)
            session.flush()
            assert image.read_bytes()[64 * 512:65 * 512] == b"y" * 512
        with report.test("another disk in its place is not taken for it"):
            vanish()
            make_gpt_disk(image, "another")
            run("losetup", "-c", device)
            daemon.wait_log("does not come back")
            assert "nothing tells that" in daemon.lun("a")["problem"], daemon.lun("a")
            expect_sense(session.command(bytes(6)), NOT_READY_GONE)
            assert daemon.lun("a")["state"] == "gone"
            other.write(0, bytes(512))
            daemon.targets[0] = target("a", device, more='alias = "new";')
            daemon.reload()  # a changed target begins anew
            daemon.wait_lun("a", 0, lambda lun: lun["state"] == "open")
    with report.test("a file that is gone and comes back"):
        put_back = looks_same(image)
        with Daemon(folder / "file-back", [target("a", image)]).start() as daemon, \
                Session(daemon.port, iqn("a")) as session:
            session.ready()
            os.truncate(image, 0)
            daemon.wait_lun("a", 0, lambda lun: lun["state"] == "gone")
            put_back()
            daemon.wait_lun("a", 0, lambda lun: lun["state"] == "open")
            expect_sense(session.command(bytes(6)), BACK_AGAIN)
            session.write(0, bytes(512))
            session.flush()


# ── what survives ───────────────────────────────────────────────────────────────────────────────

KEY = bytes.fromhex("0123456789abcdef")


def persistent_out(session, action, kind=0, key=bytes(8), new_key=bytes(8), flags=0):
    cdb = struct.pack(">BBB2xIB", 0x5f, action, kind, 24, 0)
    return session.command(cdb, key + new_key + bytes(4) + bytes([flags, 0, 0, 0]))


def persistent_in(session, action):
    return session.good(struct.pack(">BB5xHB", 0x5e, action, 256, 0), data_in=256)


def test_reservations(report, folder):
    disk = make_file(folder / "reserved.img", 8 * MIB)
    with report.test("a reservation with APTPL survives kill -9, without it it does not"):
        daemon = Daemon(folder / "reserved", [target("a", disk, more="shared = true;")])
        with daemon.start(), Session(daemon.port, iqn("a")) as session:
            session.ready()
            assert not persistent_out(session, 0, new_key=KEY, flags=1).status  # REGISTER, APTPL
            assert not persistent_out(session, 1, 0x01, key=KEY).status  # WRITE EXCLUSIVE
            assert "WRITE EXCLUSIVE" in daemon.lun("a")["reservation"].upper()
            daemon.kill()
        with daemon.start(), Session(daemon.port, iqn("a")) as session, \
                Session(daemon.port, iqn("a"), name=OTHER) as other:
            session.ready()
            with contextlib.suppress(LabError):
                other.ready()
            assert KEY in persistent_in(session, 0), "the key is lost"
            assert persistent_in(session, 1)[21] == 0x01, "the reservation is lost"
            conflict = other.command(other.write_cdb(0, 1), bytes(512))
            assert conflict.status == RESERVATION_CONFLICT, conflict
            session.write(0, bytes(512))
            assert not persistent_out(session, 0, key=KEY, new_key=KEY, flags=0).status
            daemon.kill()
        with daemon.start(), Session(daemon.port, iqn("a")) as session:
            session.ready()
            assert KEY not in persistent_in(session, 0)


def test_owner(report, folder):
    disk = make_file(folder / "owned.img", 8 * MIB)
    daemon = Daemon(folder / "owned", [target("a", disk)])
    with report.test("an owner that was lost keeps its disk over a restart; logging out frees it"):
        with daemon.start():
            Session(daemon.port, iqn("a")).close()
            assert login_status(daemon.port, iqn("a"), name=OTHER) == OWNED
            wait_for(lambda: list(daemon.state.glob("owner-*")), 5, "record of the owner")
            daemon.kill()
        with daemon.start():
            assert daemon.target("a")["owner"] == INITIATOR
            assert login_status(daemon.port, iqn("a"), name=OTHER) == OWNED
            assert login_status(daemon.port, iqn("a")) == 0  # logs out
            assert login_status(daemon.port, iqn("a"), name=OTHER) == 0
    with report.test("hold: a lost owner's time ends"):
        daemon.targets = [target("a", disk, more='hold = "1s";')]
        with daemon.start():
            Session(daemon.port, iqn("a")).close()
            assert login_status(daemon.port, iqn("a"), name=OTHER) == OWNED
            wait_for(lambda: login_status(daemon.port, iqn("a"), name=OTHER) == 0, 4, "free disk")
    with report.test("shared: several initiators at once; read-only: anybody"):
        for more, lun in (("shared = true;", f'device = "{disk}"'),
                          ("", f'device = "{disk}"; read-only = true')):
            daemon.targets = [target("a", lun, more=more)]
            with daemon.start(), Session(daemon.port, iqn("a")), \
                    Session(daemon.port, iqn("a"), name=OTHER) as other:
                other.ready()


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        beside = target("beside", make_file(folder / "beside.img", 8 * MIB))
        test_numbers(report, folder)
        test_late(report, folder)
        test_busy(report, folder, beside)
        test_tags(report, folder)
        test_identity(report, folder)
        test_resize(report, folder)
        test_write_fault(report, folder)
        test_return(report, folder)
        test_reservations(report, folder)
        test_owner(report, folder)
    report.finish()


main()
