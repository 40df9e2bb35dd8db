#!/usr/bin/env python3
"""What is found on disks that are dirty or damaged, and how much of it. Needs root (loop devices, mounts).

usage: test_discovery_faults.py NETBOOT-TARGET
"""
import contextlib
import os
import random
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.boot_disks import (Link, copy_while_mounted, initramfs, kernel, make_btrfs,  # noqa: E402
                            make_ext4, make_fat, make_xfs, mounted, own_mounts, write_more)
from lab.discover import discover, expect_linux, look  # noqa: E402
from lab.disk import scratch  # noqa: E402
from lab.distributions import (ROOT, arch_disk, arch_tree, debian_disk, debian_tree,  # noqa: E402
                               fedora_disk, subvolume_disk)
from lab.process import exit_on_signals, need_root, run  # noqa: E402
from lab.report import LabError, Report, note  # noqa: E402


# ── dirty and damaged ───────────────────────────────────────────────────────────────────────────

def test_dirty(report, folder):
    makers = {"ext4": lambda image: make_ext4(image, debian_tree(), folder, ROOT),
              "xfs": lambda image: make_xfs(image, debian_tree(), folder, ROOT),
              "btrfs": lambda image: make_btrfs(image, {"": debian_tree()}, folder, ROOT)}
    for name, make in makers.items():
        with report.test(f"{name}: clean, mounted by a crash, clean again"):
            clean = make(folder / f"clean.{name}")
            dirty = copy_while_mounted(clean, folder / f"dirty.{name}", folder, write_more)
            found = look(clean)
            assert "vmlinuz-6.1.0-13-amd64" in found.offered and not found.index["dirty"]
            found = look(dirty)
            assert found.index["dirty"] and found.ids == [], found.index
            assert any("was not unmounted" in text for text in found.notes), found.notes
            with mounted(dirty, folder / "mount"):
                pass
            found = look(dirty)
            assert "vmlinuz-6.1.0-13-amd64" in found.offered and not found.index["dirty"]
    with report.test("FAT: the dirty bits of Linux and of Windows"):
        esp = make_fat(folder / "dirty.esp", arch_tree(), folder)
        data = bytearray(esp.read_bytes())
        table = int.from_bytes(data[14:16], "little") * 512
        assert not look(esp).index["dirty"]
        for at, bit in ((65, 1), (table + 7, 8)):
            data[at] ^= bit
            esp.write_bytes(data)
            found = look(esp)
            assert not found.index["dirty"] and "arch" in found.offered, found.index
            assert any("FAT" in text and "was not unmounted" in text for text in found.notes)
            data[at] ^= bit


def damage(disk, to, source, cut):
    """A copy with some bits flipped in blocks that hold something, or cut off anywhere."""
    run("cp", "--sparse=always", disk, to)
    with open(to, "r+b", buffering=0) as file:
        size = to.stat().st_size
        for _flip in range(source.choice((20, 1000))):
            at = source.randrange(size)
            with contextlib.suppress(OSError):  # behind the last of them
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            at = min(at + source.randrange(65536), size - 1)
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << source.randrange(8)]))
        if cut:
            file.truncate(source.randrange(4096, size))


def test_damaged(report, folder, disks):
    seed = random.SystemRandom().randrange(1 << 32)
    note(f"seed {seed}")
    source = random.Random(seed)
    image = folder / "damaged.img"
    for disk in disks:
        with report.test(f"{disk.name}: bits flipped, cut off anywhere"):
            run("fallocate", "--dig-holes", disk)
            for attempt in range(5):
                damage(disk, image, source, cut=attempt == 4)
                found = discover(image, "--time=60000")
                for name in found.offered:  # what is offered is whole
                    entry = found.entry(name)
                    if entry["kind"] == "linux":
                        assert found.kernel(entry)[0x202:0x206] == b"HdrS" and found.initrds(entry)
    with report.test("a kernel that is cut off is not offered"):
        tree = debian_tree()
        tree["boot/vmlinuz-6.1.0-13-amd64"] = tree["boot/vmlinuz-6.1.0-13-amd64"][:-5000]
        tree["boot/initrd.img-6.1.0-9-amd64"] = initramfs("initramfs-tools", "gzip")[:-40]
        found = look(make_ext4(folder / "cut.img", tree, folder, ROOT))
        expect_linux(found, "vmlinuz-6.1.0-13-amd64", problem="bytes are there")
        expect_linux(found, "vmlinuz-6.1.0-9-amd64", problem="ends in the middle")
        assert not found.data
    with report.test("names, titles and lines that want to be more"):
        entry = ("title \x1b[2J\x07Evil ${password}\nlinux /../../etc/passwd\ninitrd /i\n"
                 "options a\x01b\n")
        tree = {"boot/loader/entries/%2f$(reboot) \xff.conf": entry,
                "boot/loader/entries/long" + "g" * 200 + ".conf": "title x\nlinux /v\noptions o\n",
                "boot/vmlinuz-$(x) y": kernel("x"), "boot/vmlinuz-" + "v" * 200: kernel("x"),
                "boot/vmlinuz-loop": Link("vmlinuz-loop"), "boot/vmlinuz-up": Link("../../../x")}
        found = look(make_ext4(folder / "evil.img", tree, folder, ROOT))
        for item in found.index["entries"]:
            assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,63}", item["id"]), item
            assert item["title"].isprintable() and "problem" in item, item
        assert len(found.ids) == 4, found.ids


# ── limits ──────────────────────────────────────────────────────────────────────────────────────

def test_limits(report, folder):
    with report.test("memory is for the newest first; what is known is not sent again"):
        tree = {f"boot/vmlinuz-6.{n}": kernel(f"k{n}", 1 << 20) for n in range(6)}
        tree |= {f"boot/initrd.img-6.{n}": initramfs("dracut", name=str(n)) for n in range(6)}
        disk = make_ext4(folder / "many.img", tree, folder, ROOT)
        words = ("--cmdline=root=x", f"--memory={(7 << 20) // 2}")
        found = look(disk, *words)
        assert found.offered == ["vmlinuz-6.5", "vmlinuz-6.4", "vmlinuz-6.3"], found.offered
        assert "discovery.memory" in found.entry("vmlinuz-6.2")["problem"]
        known = [f"--known={item['sha256']}:{item['bytes']}" for item in found.index["files"]
                 if item["sent"]]
        again = look(disk, *words, *known)
        assert again.offered == found.offered and not again.data
        assert look(disk, "--cmdline=root=x", "--memory=0").offered == []
    with report.test("time"):
        try:
            discover(disk, "--time=1")
        except LabError as error:
            assert "time" in str(error), error
        else:
            raise LabError("it was done in a millisecond")
    with report.test("more entries than a menu can show"):
        tree |= {f"boot/loader/entries/{n:03}.conf": f"title {n}\nversion {n}\nlinux /boot/vmlinuz-6.5\n"
                                                     "initrd /boot/initrd.img-6.5\noptions x\n"
                 for n in range(200)}
        found = look(make_ext4(folder / "hundreds.img", tree, folder, ROOT), "--cmdline=root=x")
        assert len(found.ids) == 128 and found.ids[0] == "199", found.ids[:5]
        assert len(found.data) == 2


def test_confinement(report, folder, disk):
    with report.test("a user with no right to the disk is told so"):
        copy = folder / "private.img"
        shutil.copy(disk, copy)
        copy.chmod(0o600)
        folder.chmod(0o755)
        try:
            discover(copy, user="nobody")
        except (LabError, PermissionError) as error:
            assert "ermission" in str(error) or "denied" in str(error), error
        else:
            raise LabError("it could be read")


def main():
    exit_on_signals()
    need_root()
    own_mounts()
    report = Report()
    with scratch() as folder:
        debian = debian_disk(folder)
        test_dirty(report, folder)
        test_damaged(report, folder, [debian, fedora_disk(folder), arch_disk(folder),
                                      subvolume_disk(folder)])
        test_limits(report, folder)
        test_confinement(report, folder, debian)
    report.finish()


if __name__ == "__main__":
    main()
