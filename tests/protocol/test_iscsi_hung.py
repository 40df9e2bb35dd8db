#!/usr/bin/env python3
"""A disk that does not answer: its commands wait, nobody else does, and no CPU is burnt over it."""
import contextlib
import os
import shutil
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import AUTHORITY, Daemon, target  # noqa: E402
from lab.disk import (MIB, FuseDisk, drop_cache, held_open, loop_device, make_file,  # noqa: E402
                      scratch)
from lab.initiator import Load, Session  # noqa: E402
from lab.process import Usage, wait_for  # noqa: E402
from lab.report import LabError, Report, note  # noqa: E402

DISK_BYTES = 64 * MIB
SESSIONS, READS = 3, 200  # more than a device's queue takes (128 for a loop device)
STRIDE_BLOCKS = 64


def session(daemon, name, number=0, **options):
    return Session(daemon.port, f"{AUTHORITY}:{name}", timeout=60,
                   name=f"iqn.2026-11.local.test:{name}-{number}",
                   isid=bytes([0, 2, 0x3d, 0, 0, number]), **options)


class Healthy:
    """A client of another disk."""

    def __init__(self, daemon):
        self.session = session(daemon, "healthy")
        self.session.ready()
        self.load = Load(self.session)

    def rests(self):
        self.load.stop()

    def goes_to_work(self):
        self.load = Load(self.session)

    def goes_on(self, rounds=5):
        before = self.load.rounds
        wait_for(lambda: self.load.error or self.load.rounds >= before + rounds, 10,
                 "progress of the client of another disk")
        if self.load.error:
            raise LabError(f"the client of another disk was disturbed: {self.load.error}")


def answered(readers):
    """Takes the answers of all these reads."""
    for reader, tags in readers:
        left = set(tags)
        while left:
            header, _data = reader.receive()
            if header[1] & 1 or header[0] & 0x3f == 0x21:
                assert header[3] == 0, f"status {header[3]}"
                left.remove(int.from_bytes(header[16:20], "big"))


def make_cold(device, disk):
    if device != disk.path:
        drop_cache(device, disk.path)
        return
    descriptor = os.open(device, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


@contextlib.contextmanager
def hanging(disk):
    disk.hang()
    try:
        yield
    finally:
        disk.go_on()


def test_full_queue(report, daemon, healthy, name, disk, device, prepare=None):
    with report.test(f"{name}: more reads than its queue takes"):
        sessions = [session(daemon, name, number) for number in range(SESSIONS)]
        for reader in sessions:
            reader.ready()
        if prepare:
            prepare(sessions[0])
        make_cold(device, disk)
        with hanging(disk):
            readers = []
            for number, reader in enumerate(sessions):
                first = number * READS * STRIDE_BLOCKS
                readers.append((reader, [
                    reader.start(Session.read_cdb((first + index * STRIDE_BLOCKS) %
                                                  (DISK_BYTES // 512), 8), data_in=4096)
                    for index in range(READS)]))
            time.sleep(0.5)
            healthy.goes_on()
        answered(readers)
        for reader in sessions:
            reader.logout()


def write_some(writer):
    for lba in range(0, 16384, 128):
        writer.write(lba, bytes(65536))


def test_waiting_socket(report, daemon, healthy, disk, device):
    """Data that was promised has gone cold and does not come: its socket could be written to."""
    with report.test("a disk that is waited for in the middle of an answer costs no CPU"):
        reader = session(daemon, "block", login=False)
        reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        reader.login()
        reader.ready()
        for lba in range(0, 65536, 512):
            reader.read_blocks(lba, 512)
        tags = [reader.start(Session.read_cdb(lba, 512), data_in=512 * 512)
                for lba in range(0, 65536, 512)]
        time.sleep(0.5)
        make_cold(device, disk)
        with hanging(disk):
            reader.socket.settimeout(1)
            with contextlib.suppress(TimeoutError):
                while piece := reader.socket.recv(1 << 20):
                    reader.waiting += piece
            healthy.rests()
            before = Usage(daemon.pid)
            time.sleep(2)
            cost = Usage(daemon.pid) - before
            healthy.goes_to_work()
            note(f"{cost.cpu_seconds * 1000:.0f} ms of CPU, {cost.wakeups} wake-ups in 2 s")
            assert cost.cpu_seconds < 0.4, "the daemon spins"
            healthy.goes_on()
        reader.socket.settimeout(60)
        answered([(reader, tags)])
        reader.logout()


def test_all(report, folder, stack):
    make_file(folder / "healthy.img", 16 * MIB)
    disks = {}
    for name in "block", "only", "file":
        (folder / name).mkdir()
        disks[name] = stack.enter_context(FuseDisk(folder / name, DISK_BYTES))
    loop = stack.enter_context(loop_device(disks["block"].path))
    only = stack.enter_context(loop_device(disks["only"].path))
    file = disks["file"].path
    for device in loop, only:
        stack.enter_context(held_open(device))
    targets = [target("healthy", str(folder / "healthy.img")),
               target("block", f'device = "{loop}"; write = "buffered"', more="shared = true;"),
               target("only", f'device = "{only}"; read-only = true', more="shared = true;"),
               target("file", str(file), more="shared = true;")]
    daemon = Daemon(folder / "daemon", targets).start()
    try:
        healthy = Healthy(daemon)
        test_full_queue(report, daemon, healthy, "only", disks["only"], only)
        test_full_queue(report, daemon, healthy, "block", disks["block"], loop)
        test_full_queue(report, daemon, healthy, "file", disks["file"], file)
        test_full_queue(report, daemon, healthy, "block", disks["block"], loop, write_some)
        test_waiting_socket(report, daemon, healthy, disks["block"], loop)
        with report.test("the client of another disk to the end"):
            healthy.rests()
            healthy.session.logout()
    finally:
        for disk in disks.values():
            disk.go_on()
        with report.test("the daemon ends in order, without a leak"):
            daemon.stop()


def test_opening(report, folder):
    """Each that hangs takes a thread of those that open disks, for as long as it hangs."""
    with contextlib.ExitStack() as stack:
        names = [f"hung{number}" for number in range(5)]
        disk = stack.enter_context(FuseDisk(folder, DISK_BYTES))
        devices = [stack.enter_context(loop_device(disk.path)) for _ in names]
        for device in devices:
            drop_cache(device, disk.path)
        # A file's opening asks every loop device, also those that hang, whether it lies over that file.
        healthy = make_file(folder / "beside.img", DISK_BYTES)
        daemon = Daemon(folder / "opening", [
            *(target(name, device) for name, device in zip(names, devices)),
            target("healthy", healthy)])
        with report.test("disks that hang while they are opened leave another one to be opened"):
            with hanging(disk):
                stack.enter_context(daemon.launch().process)
                wait_for(lambda: daemon.says("serving target healthy"), 40, daemon.says)
                session(daemon, "healthy").ready()
                assert all(daemon.lun(name)["state"] == "waiting" for name in names)
            daemon.stop(60)


def main():
    report = Report()
    if os.geteuid() or not shutil.which("qemu-storage-daemon") or not os.path.exists("/dev/fuse"):
        report.ok("skipped: needs root, loop devices, FUSE and qemu-storage-daemon")
        report.finish()
    with scratch("/var/tmp") as folder, contextlib.ExitStack() as stack:
        test_all(report, folder, stack)
        test_opening(report, folder)
    report.finish()


if __name__ == "__main__":
    main()
