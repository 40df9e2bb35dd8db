#!/usr/bin/env python3
"""Writes, reads back and compares, through several initiators: sizes from a block to 1 MiB, odd
places, digests on and off, CHAP on and off, every write mode, both engines.

usage: test_iscsi_data.py NETBOOT-TARGET
"""
import contextlib
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.digests import DigestSession  # noqa: E402
from lab.disk import drop_cache, loop_device, make_file, scratch  # noqa: E402
from lab.initiator import Session  # noqa: E402
from lab.process import run  # noqa: E402
from lab.report import LabError, Report, note  # noqa: E402
from lab.targets import Secrets  # noqa: E402

MIB = 1 << 20
DISK_BYTES = 32 * MIB
BLOCK = 512
SIZES = (512, 4096, 16384, 32768, 65536, 131072, 262144, 1048576)
DIGESTS = ((False, False), (True, False), (False, True), (True, True))
SECRETS = Secrets("client", "initiator-secret", "server", "target-secret-16")
ONE_WAY = f'mode = "chap"; user = "{SECRETS.user}"; secret = "{SECRETS.secret}";'
MUTUAL = ONE_WAY.replace("chap", "mutual") + \
    f'target-user = "{SECRETS.target_user}"; target-secret = "{SECRETS.target_secret}";'
AUTH = {"one-way": f"{{ {ONE_WAY} }}", "chap": f"{{ {MUTUAL} }}"}
ENGINES = ("uring", "threads")
MODES = ("buffered", "direct")


class Reference:
    """What the disk has to hold."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.content = bytearray(DISK_BYTES)

    def place(self, size_bytes):
        """Somewhere a write of this size fits, seldom at a multiple of it."""
        return self.random.randrange((DISK_BYTES - size_bytes) // BLOCK + 1)

    def write(self, session, lba, size_bytes, fua=False):
        data = self.random.randbytes(size_bytes)
        session.write(lba, data, fua=fua)
        self.content[lba * BLOCK:lba * BLOCK + size_bytes] = data

    def check(self, session, lba, size_bytes):
        data = session.read_blocks(lba, size_bytes // BLOCK)
        if data != self.content[lba * BLOCK:lba * BLOCK + size_bytes]:
            raise LabError(f"{size_bytes} bytes at block {lba} are not what was written")


def write_and_compare(session, reference, sizes, rounds=3):
    for size_bytes in sizes:
        for number in range(rounds):
            lba = reference.place(size_bytes)
            reference.write(session, lba, size_bytes, fua=number == 1)
            reference.check(session, lba, size_bytes)
            around = max(0, lba - 3)  # across the edges of what was written
            end = min(lba + size_bytes // BLOCK + 3, around + MIB // BLOCK, DISK_BYTES // BLOCK)
            reference.check(session, around, (end - around) * BLOCK)
    session.flush()


def in_flight(session, reference, size_bytes, count=16):
    """Many reads at once, answered in whatever order."""
    tags = {}
    for _ in range(count):
        lba = reference.place(size_bytes)
        tags[session.start(session.read_cdb(lba, size_bytes // BLOCK), data_in=size_bytes)] = lba
    data = {tag: bytearray() for tag in tags}
    left = set(tags)
    while left:
        header, payload = session.receive()
        tag = int.from_bytes(header[16:20], "big")
        data[tag] += payload
        if header[1] & 1:
            left.remove(tag)
            at = tags[tag] * BLOCK
            if data[tag] != reference.content[at:at + size_bytes]:
                raise LabError(f"{size_bytes} bytes at {at} are not what was written")


def qemu_io(url, *commands):
    words = [word for command in commands for word in ("-c", command)]
    done = run("qemu-io", "-f", "raw", "-t", "none", *words, url)
    if "Pattern verification failed" in done.stdout or "error" in done.stdout.lower():
        raise LabError(done.stdout)


def test_own_initiator(report, daemon, disk, reference, what):
    for header, data in DIGESTS:
        words = " and ".join(name for name, on in (("header", header), ("data", data)) if on)
        with report.test(f"{what}: digests on {words or 'nothing'}"), \
                DigestSession(daemon.port, iqn("open"), header, data) as session:
            session.ready()
            write_and_compare(session, reference, SIZES, 1 if data else 3)
    with report.test(f"{what}: mutual CHAP"), \
            Session(daemon.port, iqn("chap"), secrets=SECRETS) as session:
        session.ready()
        other = Reference(7)
        write_and_compare(session, other, (4096, 262144))
    with report.test(f"{what}: many reads at once, warm and cold"), \
            Session(daemon.port, iqn("open")) as session:
        session.ready()
        for size_bytes in (4096, 65536, 262144, 1048576):
            in_flight(session, reference, size_bytes)
            session.flush()
            disk.make_cold()
            in_flight(session, reference, size_bytes)
    with report.test(f"{what}: the disk holds what was written"):
        assert disk.path.read_bytes() == reference.content


def test_tools(report, daemon, what):
    url = f"iscsi://127.0.0.1:{daemon.port}/{iqn('tools')}/0"
    chap = url.replace("//", f"//{SECRETS.user}%{SECRETS.secret}@").replace("tools", "one-way")
    with report.test(f"{what}: qemu-io, odd places"):
        qemu_io(url, "write -P 0x5a 1000 5000", "read -P 0x5a 1000 5000", "read -P 0 0 1000",
                "read -P 0 6000 1000", "write -P 0xa5 4095 1", "read -P 0xa5 4095 1",
                "read -P 0x5a 4096 1904", "write -P 3 123457 1048577", "flush",
                "read -P 3 123457 1048577", "read -P 0 1172034 4096")
    with report.test(f"{what}: qemu-io, zeroes and discard"):
        qemu_io(url, "write -P 9 1M 1M", "write -z 1200k 100k", "read -P 9 1M 176k",
                "read -P 0 1200k 100k", "read -P 9 1300k 700k", "discard 1M 512k", "flush")
    with report.test(f"{what}: qemu-io with CHAP"):
        qemu_io(chap, "write -P 0x77 8M 1M", "read -P 0x77 8M 1M")
    with report.test(f"{what}: qemu-io with the wrong secret"):
        done = run("qemu-io", "-f", "raw", "-c", "read 0 512", chap.replace("initiator", "intruder"),
                   check=False)
        assert done.returncode or "can't open" in done.stdout, done.stdout
    for size in ("4k", "64k", "1M"):
        with report.test(f"{what}: qemu-img bench, {size}"):
            for write in ((), ("-w", "--pattern=0x33")):
                run("qemu-img", "bench", "-f", "raw", "-t", "none", "-c", 64, "-d", 16, "-s", size,
                    *write, url)
            qemu_io(url, "read -P 0x33 0 256k")
    with report.test(f"{what}: libiscsi with header digests"):
        done = run("iscsi-readcapacity16", f"{url}?header_digest=crc32c")
        assert f"{DISK_BYTES}" in done.stdout.replace(" ", "") or "512" in done.stdout, done.stdout
    with report.test(f"{what}: an image copied there and back"):
        image, copy = daemon.folder / "image", daemon.folder / "copy"
        image.write_bytes(random.Random(11).randbytes(DISK_BYTES))
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, url)
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", url, copy)
        assert image.read_bytes() == copy.read_bytes()


class File:
    """An image file, or a loop device over one."""

    def __init__(self, stack, path, loop):
        self.backing = make_file(path, DISK_BYTES)
        self.path = stack.enter_context(loop_device(path)) if loop else self.backing

    def make_cold(self):
        if self.path != self.backing:
            drop_cache(self.path, self.backing)
            return
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_daemon(report, folder, engine, mode, loop):
    what = f"{'loop device' if loop else 'file'}, {mode}, {engine}"
    with contextlib.ExitStack() as stack:
        folder.mkdir()
        names = ("open", "chap", "tools", "one-way")
        disks = {name: File(stack, folder / f"{name}.img", loop and name == "open")
                 for name in names}
        targets = [target(name, f'device = "{disks[name].path}"; write = "{mode}"',
                          auth=AUTH.get(name, '{ mode = "none" }'), more="shared = true;")
                   for name in names]
        daemon = stack.enter_context(Daemon(folder / "daemon", targets,
                                            more=f'io = {{ engine = "{engine}" }};').start())
        test_own_initiator(report, daemon, disks["open"], Reference(what), what)
        if not loop:
            test_tools(report, daemon, what)
        with report.test(f"{what}: the daemon ends in order"):
            daemon.stop()


def can_loop(folder):
    try:
        with loop_device(make_file(folder / "try.img", MIB)):
            return True
    except (LabError, FileNotFoundError):
        note("no loop devices here: block devices are not tested")
        return False


def main():
    report = Report()
    with scratch("/var/tmp") as folder:
        loops = (False, True) if can_loop(folder) else (False,)
        for loop in loops:
            for engine in ENGINES:
                for mode in MODES:
                    test_daemon(report, folder / f"{engine}-{mode}-{loop}", engine, mode, loop)
    report.finish()


main()
