"""Disks with something to boot, made for the tests of discovery: kernels and initramfs that look like real
ones, filesystems, partition tables. Needs root: Btrfs and journals are made by mounting."""
import contextlib
import ctypes
import gzip
import os
import shutil
import struct
import subprocess
from pathlib import Path

from .disk import MIB, loop_device, make_file
from .process import run

SECTOR = 512
FIRST_LBA = 2048


# ── kernels and initramfs ───────────────────────────────────────────────────────────────────────

def program(machine=0x8664, sections=((".text", b"code"),)):
    """A PE program (Microsoft's "PE Format") with these sections."""
    pe, data_at = 0x80, 0x400
    table = pe + 24 + 112
    head, data = bytearray(data_at), b""
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 0x3c, pe)
    head[pe:pe + 4] = b"PE\0\0"
    struct.pack_into("<HH", head, pe + 4, machine, len(sections))
    struct.pack_into("<H", head, pe + 20, 112)
    for number, (name, content) in enumerate(sections):
        raw = -(-len(content) // 512) * 512
        at = table + 40 * number
        head[at:at + 8] = name.encode().ljust(8, b"\0")
        struct.pack_into("<IIII", head, at + 8, len(content), 0x1000 * (number + 1), raw,
                         data_at + len(data))
        data += content.ljust(raw, b"\0")
    return bytes(head) + data


def kernel(name, size=300_000):
    """A bzImage for BIOS and UEFI (Documentation/arch/x86/boot.rst), `size` bytes long."""
    image = bytearray(program(sections=((".text", name.encode() * 10),)))
    paragraphs = (size - 1024) // 16
    image[0x1f1] = 1
    struct.pack_into("<I", image, 0x1f4, paragraphs)
    image[0x1fe:0x200] = b"\x55\xaa"
    image[0x202:0x208] = b"HdrS\x0f\x02"
    image[0x211] = image[0x236] = 1
    filler = (name.encode() + b"\0") * (size // (len(name) + 1) + 1)
    return bytes(image) + filler[:size - len(image)]


def cpio(names):
    out = b""
    for name in [*names, "TRAILER!!!"]:
        content = b"" if name == "TRAILER!!!" else b"#!/bin/sh\n"
        path = name.encode() + b"\0"
        fields = (1, 0o100755, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        entry = b"070701" + b"".join(b"%08x" % value for value in fields) + path
        entry += b"\0" * (-len(entry) % 4) + content
        out += entry + b"\0" * (-len(entry) % 4)
    return out


FILES = {
    "dracut": ["init", "usr/lib/dracut/modules.txt", "usr/sbin/iscsistart", "usr/sbin/iscsiroot"],
    "initramfs-tools": ["init", "scripts/functions", "scripts/local-top/iscsi",
                        "usr/sbin/iscsistart"],
    "mkinitcpio": ["init", "init_functions", "buildconfig", "usr/bin/iscsistart"],
    "without": ["init", "scripts/functions", "conf/initramfs.conf"],
    "microcode": ["kernel/x86/microcode/AuthenticAMD.bin"],
}
PACKERS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "none": lambda data: data,
    **{word: lambda data, command=command: subprocess.run(
        command, input=data, stdout=subprocess.PIPE, check=True, timeout=30).stdout
       for word, command in (("zstd", ["zstd", "-qc"]), ("xz", ["xz", "-c", "--check=crc32"]),
                             ("lz4", ["lz4", "-lqc"]))},
}


def initramfs(generator, packer="gzip", microcode=True, name=""):
    """Microcode in an archive of its own, then the rest, as distributions have it."""
    early = cpio(["kernel/x86/microcode/GenuineIntel.bin"]) if microcode else b""
    early += b"\0" * (-len(early) % 512)
    return early + PACKERS[packer](cpio([*FILES[generator], *([f"etc/{name}"] if name else [])]))


def grubenv(**values):
    """GRUB's environment block: 1024 bytes, filled up with #."""
    text = "# GRUB Environment Block\n" + "".join(f"{k}={v}\n" for k, v in values.items())
    return text.ljust(1024, "#").encode()


# ── trees ───────────────────────────────────────────────────────────────────────────────────────

def write_tree(folder, tree):
    """{path: bytes, text, or a Link}"""
    for path, content in tree.items():
        file = Path(folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            file.symlink_to(content.target)
        elif content is None:
            file.mkdir(exist_ok=True)
        else:
            file.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(folder)


class Link:
    def __init__(self, target):
        self.target = target


# ── filesystems ─────────────────────────────────────────────────────────────────────────────────

CLONE_NEWNS, MS_PRIVATE, MS_REC = 0x20000, 1 << 18, 1 << 14


def own_mounts():
    """From now on nobody else sees what this process mounts: a copy of the mount in another namespace
    would keep a filesystem mounted, and dirty, when we have unmounted it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "no mount namespace of our own")


@contextlib.contextmanager
def mounted(image, folder, *options):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    with loop_device(image) as device:
        run("mount", *options, device, folder)
        try:
            yield folder
        finally:
            run("umount", folder)


def make_ext4(image, tree, folder, uuid, size=64 * MIB, options=()):
    source = write_tree(folder / f"{image.name}.tree", tree)
    make_file(image, size)
    run("mkfs.ext4", "-q", "-F", "-U", uuid, *options, "-d", source, image)
    shutil.rmtree(source)
    return image


def make_xfs(image, tree, folder, uuid, size=320 * MIB):
    make_file(image, size)
    run("mkfs.xfs", "-q", "-f", "-m", f"uuid={uuid}", image)
    with mounted(image, folder / "mount") as top:
        write_tree(top, tree)
    return image


def make_btrfs(image, subvolumes, folder, uuid, size=160 * MIB):
    """{subvolume ("" is the top): tree}"""
    make_file(image, size)
    run("mkfs.btrfs", "-q", "-f", "-U", uuid, image)
    with mounted(image, folder / "mount") as top:
        for name, tree in subvolumes.items():
            if name:
                run("btrfs", "subvolume", "create", top / name)
            write_tree(top / name, tree)
    return image


def make_fat(image, tree, folder, serial="1234ABCD", size=40 * MIB):
    make_file(image, size)
    run("mkfs.vfat", "-F", "32", "-i", serial, image)
    source = write_tree(folder / f"{image.name}.tree", tree)
    for item in sorted(source.iterdir()):
        run("mcopy", "-s", "-i", image, item, "::")
    shutil.rmtree(source)
    return image


def make_disk(image, parts, table="gpt"):
    """[(type, image of a filesystem)] behind a partition table. Types are sfdisk's."""
    sectors = [part.stat().st_size // SECTOR for _kind, part in parts]
    make_file(image, (FIRST_LBA + sum(sectors)) * SECTOR + 2 * MIB)
    first, lines = FIRST_LBA, [f"label: {table}"]
    for (kind, _part), count in zip(parts, sectors):
        lines.append(f"start={first}, size={count}, type={kind}")
        first += count
    script = image.with_suffix(".sfdisk")
    script.write_text("\n".join(lines) + "\n")
    with open(script) as text:
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", image, stdin=text)
    script.unlink()
    first = FIRST_LBA
    for (_kind, part), count in zip(parts, sectors):
        run("dd", f"if={part}", f"of={image}", "bs=1M", f"seek={first * SECTOR // MIB}",
            "conv=notrunc,sparse", "status=none")
        first += count
    return image


def copy_while_mounted(image, to, folder, action):
    """What a crash would leave: a copy of the filesystem while it is mounted, after action(its
    folder), which syncs what it wants to be there."""
    with mounted(image, folder / "mount") as top:
        action(top)
        run("cp", "--sparse=always", image, to)
    return to


def write_more(top):
    """An action that leaves a filesystem with /boot dirty."""
    (top / "boot/more").write_text("written before the crash\n")
    run("sync", "-f", top)
    with open(top / "boot/more", "a") as file:  # into Btrfs's log tree
        file.write("and synced by itself\n")
        file.flush()
        os.fsync(file.fileno())
