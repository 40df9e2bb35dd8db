"""Disks for tests: files, and loop devices over them."""
import contextlib
import fcntl
import grp
import hashlib
import os
import signal
import tempfile
from pathlib import Path

from .process import Background, run, wait_for

MIB = 1 << 20
BLKFLSBUF = 0x1261  # <linux/fs.h>: drop the device's page cache


@contextlib.contextmanager
def scratch(folder=None):
    """A folder of its own that goes away; on tmpfs unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="netboot-target-", dir=folder or "/dev/shm") as path:
        yield Path(path)


def make_file(path, size_bytes):
    with open(path, "wb") as file:
        file.truncate(size_bytes)
    return Path(path)


def digest(path):
    """To see whether anything was written."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def loop_device(path, read_only=False, sector_bytes=512):
    """A real kernel block device over a file."""
    command = ["losetup", "--find", "--show", "--sector-size", sector_bytes]
    if read_only:
        command.append("--read-only")
    device = run(*command, path).stdout.strip()
    try:
        yield Path(device)
    finally:
        run("losetup", "--detach", device, check=False)


@contextlib.contextmanager
def lent(path, group):
    """Lets this group read and write a device, as udev lets the group disk."""
    before = os.stat(path)
    os.chown(path, before.st_uid, grp.getgrnam(group).gr_gid)
    os.chmod(path, 0o660)
    try:
        yield path
    finally:
        os.chown(path, before.st_uid, before.st_gid)
        os.chmod(path, before.st_mode & 0o777)


@contextlib.contextmanager
def held_open(path):
    """Keeps a device's page cache alive: it is dropped with the last one who has it open."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def warm(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(4 * MIB):
            pass


def filesystem(path):
    """Its name: "ext4", "tmpfs"."""
    mounts = run("findmnt", "--noheadings", "--output", "FSTYPE", "--target", path).stdout
    return mounts.split()[-1]  # what is mounted over others comes last


def drop_cache(device, backing):
    """Makes a loop device cold: its own pages and those of its file. Or a file, which backs itself."""
    run("sync", "-f", backing)
    if device != backing:
        with open(device, "rb") as file:
            fcntl.ioctl(file, BLKFLSBUF)
    with open(backing, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class FuseDisk:
    """A file that another program serves through FUSE, and that hangs while that program is stopped."""

    def __init__(self, folder, size_bytes):
        self.image = make_file(folder / "fuse.img", size_bytes)
        self.path = make_file(folder / "fuse", size_bytes)
        self.log = folder / "fuse.log"

    def __enter__(self):
        self.process = Background(
            "qemu-storage-daemon", "--blockdev",
            f"driver=file,node-name=file,filename={self.image},discard=unmap", "--export",
            f"type=fuse,id=export,node-name=file,mountpoint={self.path},writable=on",
            log=self.log)
        wait_for(lambda: os.path.ismount(self.path), 10, "FUSE export")
        return self

    def hang(self):
        self.process.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_error):
        self.go_on()
        self.process.stop()
