#!/usr/bin/env python3
"""What is found on disks: layouts of distributions, dirty and damaged filesystems, limits, and when the
daemon looks. Needs root (loop devices, mounts).

usage: test_discovery.py NETBOOT-TARGET
"""
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.boot_disks import (Link, copy_while_mounted, grubenv, initramfs, kernel,  # noqa: E402
                            make_btrfs, make_disk, make_ext4, make_fat, make_xfs, mounted,
                            own_mounts, program, write_tree)
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.discover import discover  # noqa: E402
from lab.disk import MIB, loop_device, make_file, scratch  # noqa: E402
from lab.initiator import Session  # noqa: E402
from lab.process import TOP, exit_on_signals, need_root, run, wait_for  # noqa: E402
from lab.report import LabError, Report, note  # noqa: E402

ROOT, BOOT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"
MACHINE = "0123456789abcdef0123456789abcdef"
LINUX, EFI = "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS, X64 = 1, 2
NOT_PREPARED = "its initramfs holds no iSCSI"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def look(disk, *arguments, **options):
    """Finds, and is sure that nothing was written."""
    before = digest(disk)
    found = discover(disk, *arguments, **options)
    assert digest(disk) == before, f"{disk} was changed"
    return found


def expect_linux(found, name, **expected):
    entry = found.entry(name)
    assert entry["kind"] == "linux", entry
    for key, value in expected.items():
        if key == "kernel":
            assert found.kernel(entry) == value, f"{name}: another kernel"
        elif key == "initrds":
            assert found.initrds(entry) == value, f"{name}: other initrds"
        elif key == "problem":
            assert value in entry.get("problem", ""), entry
        else:
            assert entry[key] == value, f"{name}: {key} is {entry[key]!r}, expected {value!r}"
    if "problem" not in expected:
        assert "problem" not in entry, entry
    return entry


# ── layouts ─────────────────────────────────────────────────────────────────────────────────────

DEBIAN_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n'


def debian_tree():
    """Debian 12 as its installer leaves it: all on one filesystem, GRUB, a kernel and its predecessor."""
    def entry(title, version, more=""):
        return (f"menuentry '{title}' --class debian $menuentry_id_option 'gnulinux-{version}' {{\n"
                f"\tlinux\t/boot/vmlinuz-{version} root=UUID={ROOT} ro {more} quiet\n"
                f"\tinitrd\t/boot/initrd.img-{version}\n}}\n")
    config = ('set default="0"\nset timeout=5\n' +
              entry("Debian GNU/Linux", "6.1.0-13-amd64", "nomodeset") +
              "submenu 'Advanced options for Debian GNU/Linux' {\n" +
              entry("Debian GNU/Linux, with Linux 6.1.0-13-amd64", "6.1.0-13-amd64") +
              entry("Debian GNU/Linux, with Linux 6.1.0-9-amd64", "6.1.0-9-amd64") + "}\n")
    return {
        "boot/vmlinuz-6.1.0-9-amd64": kernel("debian 9"),
        "boot/vmlinuz-6.1.0-13-amd64": kernel("debian 13"),
        "boot/initrd.img-6.1.0-9-amd64": initramfs("without", "zstd"),
        "boot/initrd.img-6.1.0-13-amd64": initramfs("initramfs-tools", "zstd"),
        "boot/config-6.1.0-13-amd64": "CONFIG_X=y\n", "boot/System.map-6.1.0-13-amd64": "ff B\n",
        "boot/grub/grub.cfg": config, "vmlinuz": Link("boot/vmlinuz-6.1.0-13-amd64"),
        "initrd.img": Link("boot/initrd.img-6.1.0-13-amd64"), "usr/lib/os-release": DEBIAN_RELEASE,
        "etc/os-release": Link("../usr/lib/os-release"),
        "etc/fstab": f"UUID={ROOT} / ext4 errors=remount-ro 0 1\n",
        "etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n'}


def test_debian(report, folder):
    with report.test("Debian: one ext4 filesystem behind an MBR, kernel lines from grub.cfg"):
        root = make_ext4(folder / "debian.ext4", debian_tree(), folder, ROOT)
        disk = make_disk(folder / "debian.img", [("83", root)], table="dos")
        with open(disk, "r+b") as file:
            file.write(b"\xeb\x63\x90".ljust(0x180, b"\0") + b"GRUB \0Geom\0Hard Disk\0Read\0 Error")
        found = look(disk)
        assert found.ids == ["vmlinuz-6.1.0-13-amd64", "vmlinuz-6.1.0-9-amd64", "disk"], found.ids
        expect_linux(found, "vmlinuz-6.1.0-13-amd64", machines=BIOS | X64, iscsi=True,
                     title="Debian GNU/Linux 12 (bookworm), Linux 6.1.0-13-amd64",
                     options=f"root=UUID={ROOT} ro nomodeset quiet", initramfs="initramfs-tools",
                     kernel=kernel("debian 13"), initrds=[initramfs("initramfs-tools", "zstd")],
                     source="/boot/vmlinuz-6.1.0-13-amd64 on partition 1")
        expect_linux(found, "vmlinuz-6.1.0-9-amd64", problem=NOT_PREPARED)
        assert found.entry("disk") == {"kind": "mbr", "id": "disk", "title": "GRUB", "initrds": [],
                                       "source": "the first sector", "machines": BIOS,
                                       "starts-linux": True}
        assert not found.notes and not found.index["dirty"]
        assert len(found.data) == 4, "one that is not prepared can be tried"
    with report.test("a disk with no prepared kernel says so of its own loader too"):
        tree = debian_tree() | {"boot/initrd.img-6.1.0-13-amd64": initramfs("without", "zstd")}
        bare = make_disk(folder / "bare.img",
                         [("83", make_ext4(folder / "bare.ext4", tree, folder, ROOT))], "dos")
        with open(bare, "r+b") as file:
            file.write(b"\xeb\x63\x90".ljust(0x180, b"\0") + b"GRUB ")
        found = look(bare)
        assert found.offered == ["disk"] and found.entry("disk")["starts-linux"], found.index
        with Daemon(folder / "bare", [target("a", bare)]).start() as daemon:
            boot = wait_found(daemon)
            assert offered(boot) == [] and len(boot["entries"]) == 3, boot
            assert "setup/linux.sh" in boot["entries"][-1]["problem"], boot
    with report.test("the program's own boot entry is none of the system's, in GRUB's menu or beside it"):
        tree = debian_tree() | {"boot/vmlinuz-netboot-target": kernel("ours"),
                                "boot/initrd.img-netboot-target": initramfs("initramfs-tools")}
        tree["boot/grub/grub.cfg"] = (
            "menuentry 'Serve this disk' {\n linux /boot/vmlinuz-6.1.0-13-amd64 boot=netboot-target\n"
            " initrd /boot/initrd.img-netboot-target\n}\n" + tree["boot/grub/grub.cfg"])
        found = look(make_ext4(folder / "ours.img", tree, folder, ROOT))
        assert found.ids == ["vmlinuz-6.1.0-13-amd64", "vmlinuz-6.1.0-9-amd64"], found.ids
        expect_linux(found, "vmlinuz-6.1.0-13-amd64", initrds=[initramfs("initramfs-tools", "zstd")],
                     options=f"root=UUID={ROOT} ro nomodeset quiet")
    with report.test("what the configuration says of kernels"):
        found = look(disk, "--cmdline=root=/dev/sda1 rw")
        expect_linux(found, "vmlinuz-6.1.0-13-amd64", options="root=/dev/sda1 rw")
        assert look(disk, "--path=/nowhere").ids == ["disk"]
        assert "vmlinuz-6.1.0-13-amd64" in look(disk, "--path=/boot/").ids
        for chosen, count in ((f"UUID={ROOT}", 3), ("1", 3), ("2", 1), (f"UUID={BOOT}", 1)):
            assert len(look(disk, f"--partition={chosen}").ids) == count, chosen
        assert "kernels.partition" in look(disk, "--partition=LABEL=x").notes[0]
        assert look(disk, "--initramfs=dracut").entry("vmlinuz-6.1.0-13-amd64")["initramfs"] == \
            "dracut"
    with report.test("without a grub.cfg the line is made of /etc/default/grub and fstab"):
        tree = debian_tree() | {"etc/default/grub": 'GRUB_CMDLINE_LINUX="console=ttyS0"\n'
                                                    "GRUB_CMDLINE_LINUX_DEFAULT='quiet splash'\n"}
        del tree["boot/grub/grub.cfg"]
        disk = make_ext4(folder / "plain.img", tree, folder, ROOT)
        expect_linux(look(disk), "vmlinuz-6.1.0-13-amd64",
                     options=f"root=UUID={ROOT} ro console=ttyS0 quiet splash")
        tree["etc/kernel/cmdline"] = "# ours\nroot=LABEL=x\nrw\n"
        disk = make_ext4(folder / "plain.img", tree, folder, ROOT)
        expect_linux(look(disk), "vmlinuz-6.1.0-13-amd64", options="root=LABEL=x rw")
    return folder / "debian.img"


def line_disk(folder, line):
    """Debian with this kernel line in GRUB's menu."""
    tree = debian_tree()
    tree["boot/grub/grub.cfg"] = (b"menuentry 'x' {\n linux /boot/vmlinuz-6.1.0-13-amd64 " + line +
                                  b"\n initrd /boot/initrd.img-6.1.0-13-amd64\n}\n")
    return make_disk(folder / "line.img", [("83", make_ext4(folder / "line.ext4", tree, folder, ROOT))],
                     table="dos")


def test_lines(report, folder):
    name = "vmlinuz-6.1.0-13-amd64"
    with report.test("a root that only its own machine names so is named by its UUID"):
        for node in b"/dev/nvme0n1p1", b"/dev/sda1", b"/dev/mmcblk0p1":
            found = look(line_disk(folder, b"ro root=" + node + b" quiet"))
            expect_linux(found, name, options=f"ro root=UUID={ROOT} quiet")
            assert not found.notes, found.notes
        found = look(line_disk(folder, b"root=/dev/vda3 ro"))
        expect_linux(found, name, options="root=/dev/vda3 ro")
        assert [note for note in found.notes if "root=/dev/vda3" in note], found.notes
        whole = make_ext4(folder / "whole.img", {
            **debian_tree(), "boot/grub/grub.cfg":
                f"menuentry 'x' {{\n linux /boot/{name} root=/dev/vda\n"
                "initrd /boot/initrd.img-6.1.0-13-amd64\n}\n"}, folder, ROOT)
        expect_linux(look(whole), name, options=f"root=UUID={ROOT}")
    with report.test("a long kernel line is passed on whole, one that is no text is not offered"):
        long = " ".join(f"module{i}.parameter={i}" for i in range(80))
        assert 1500 < len(long) < 2000
        expect_linux(look(line_disk(folder, b"root=LABEL=x " + long.encode())), name,
                     options=f"root=LABEL=x {long}")
        expect_linux(look(line_disk(folder, b"root=LABEL=\xff")), name, problem="no plain text")


def fedora_entry(version, more="", name="Fedora Linux"):
    return (f"title {name} ({version}) 41 (Workstation Edition)\nversion {version}\n"
            f"linux /vmlinuz-{version}\ninitrd /initramfs-{version}.img $tuned_initrd\n"
            f"options $kernelopts $tuned_params\n{more}grub_users $grub_users\n"
            "grub_arg --unrestricted\ngrub_class fedora\n")


FEDORA = "6.11.4-301.fc41.x86_64"
FEDORA_OLD = "6.5.6-300.fc41.x86_64"


def esp_tree():
    efi = program()
    return {"EFI/fedora/shimx64.efi": efi, "EFI/fedora/grubx64.efi": efi, "EFI/fedora/mmx64.efi": efi,
            "EFI/fedora/grub.cfg": "search\n", "EFI/BOOT/BOOTX64.EFI": efi, "EFI/BOOT/fbx64.efi": efi,
            "EFI/Microsoft/Boot/bootmgfw.efi": efi, "EFI/Microsoft/Boot/memtest.efi": efi,
            "EFI/netboot-target/shimx64.efi": efi, "EFI/FreeBSD/loader.efi": efi}


def fedora_disk(folder):
    rescue = f"0-rescue-{MACHINE}"
    boot = {f"vmlinuz-{FEDORA}": kernel("new"), f"vmlinuz-{FEDORA_OLD}": kernel("old"),
            f"vmlinuz-{rescue}": kernel("rescue"), f".vmlinuz-{FEDORA}.hmac": "00",
            f"initramfs-{FEDORA}.img": initramfs("dracut", "zstd"),
            f"initramfs-{FEDORA_OLD}.img": initramfs("dracut", "xz"),
            f"initramfs-{rescue}.img": initramfs("dracut", "gzip"),
            f"loader/entries/{MACHINE}-{FEDORA}.conf": fedora_entry(FEDORA, "options extra=1\n"),
            f"loader/entries/{MACHINE}-{FEDORA_OLD}.conf": fedora_entry(FEDORA_OLD),
            f"loader/entries/{MACHINE}-0-rescue.conf": fedora_entry(rescue),
            f"loader/entries/{MACHINE}-{FEDORA}.conf.rpmsave": fedora_entry(FEDORA),
            "loader/entries/netboot-target.conf": "title Serve this disk\nlinux /vmlinuz-x\n"
                                                  "initrd /initramfs-netboot-target.img\n",
            "grub2/grub.cfg": 'set tuned_params="isolcpus=2"\nset tuned_initrd=""\nblscfg\n',
            "grub2/grubenv": grubenv(saved_entry="0", kernelopts=f"root=UUID={ROOT} ro "
                                     "rootflags=subvol=root rhgb quiet ")}
    root = {"": {}, "home": {"user/file": "x"},
            "root": {"etc/fstab": f"UUID={ROOT} / btrfs subvol=root 0 0\nUUID={BOOT} /boot xfs\n",
                     "etc/os-release": 'PRETTY_NAME="Fedora Linux 41"\n', "boot": None}}
    parts = [(EFI, make_fat(folder / "fedora.esp", esp_tree(), folder)),
             (LINUX, make_xfs(folder / "fedora.boot", boot, folder, BOOT)),
             (LINUX, make_btrfs(folder / "fedora.root", root, folder, ROOT))]
    return make_disk(folder / "fedora.img", parts)


def test_fedora(report, folder):
    with report.test("Fedora: XFS /boot with loader entries and grubenv, Btrfs root, ESP"):
        disk = fedora_disk(folder)
        found = look(disk)
        names = [f"{MACHINE}-{FEDORA}", f"{MACHINE}-{FEDORA_OLD}", f"{MACHINE}-0-rescue"]
        loaders = found.ids[3:]
        assert found.ids[:3] == names, found.ids
        expect_linux(found, names[0], machines=BIOS | X64, initramfs="dracut", iscsi=True,
                     title=f"Fedora Linux ({FEDORA}) 41 (Workstation Edition)",
                     options=f"root=UUID={ROOT} ro rootflags=subvol=root rhgb quiet  isolcpus=2 "
                             "extra=1",
                     kernel=kernel("new"), initrds=[initramfs("dracut", "zstd")])
        expect_linux(found, names[1], kernel=kernel("old"), initrds=[initramfs("dracut", "xz")])
        assert loaders == ["loader-microsoft-boot-bootmgfw.efi", "loader-freebsd-loader.efi",
                           "loader-fedora-shimx64.efi", "loader-boot-bootx64.efi"], loaders
        windows = found.entry(loaders[0])
        assert windows["loader"].lower() == "\\efi\\microsoft\\boot\\bootmgfw.efi", windows
        assert windows["title"] == "Windows Boot Manager"
        assert found.entry(loaders[2])["title"] == "fedora (shim)"
        assert not found.notes, found.notes
    return disk


def test_enterprise(report, folder):
    """Enterprise Linux 8 on UEFI: /boot/grub2/grubenv is a link to the EFI system partition."""
    version = "4.18.0-553.el8_10.x86_64"
    boot = {f"vmlinuz-{version}": kernel("el8"), f"initramfs-{version}.img": initramfs("dracut"),
            f"loader/entries/{MACHINE}-{version}.conf": fedora_entry(version, name="AlmaLinux"),
            "grub2/grubenv": Link("../efi/EFI/almalinux/grubenv")}
    config = f"search --no-floppy --fs-uuid --set=root {BOOT}\nset tuned_params=\"\"\nblscfg\n"
    environment = grubenv(kernelopts=f"root=UUID={ROOT} ro crashkernel=auto ")
    esp = {"EFI/almalinux/grub.cfg": config, "EFI/almalinux/grubenv": environment,
           "EFI/almalinux/shimx64.efi": program(), "EFI/other/shimx64.efi": program(),
           "EFI/other/grub.cfg": "search --fs-uuid --set=root 0-0\n",
           "EFI/other/grubenv": grubenv(kernelopts="root=LABEL=another")}
    name = f"{MACHINE}-{version}"

    def make(esp):
        return make_disk(folder / "el8.img", [
            (EFI, make_fat(folder / "el8.esp", esp, folder)),
            (LINUX, make_ext4(folder / "el8.boot", boot, folder, BOOT))])
    with report.test("Enterprise Linux 8 by UEFI: $kernelopts of the EFI system partition"):
        found = look(make(esp))
        expect_linux(found, name, kernel=kernel("el8"),
                     options=f"root=UUID={ROOT} ro crashkernel=auto  ")
        assert not found.notes, found.notes
    with report.test("an entry whose $kernelopts nothing sets is not offered"):
        expect_linux(look(make({path: esp[path] for path in esp if "almalinux/grub" not in path})),
                     name, problem="kernelopts")


def test_silverblue(report, folder):
    """Laid out by ostree itself."""
    system = folder / "sysroot"
    tree = write_tree(folder / "ostree", {
        "usr/lib/modules/6.5.6/vmlinuz": kernel("ostree"), "usr/etc/hostname": "x\n",
        "usr/lib/modules/6.5.6/initramfs.img": initramfs("dracut", "xz"),
        "usr/lib/os-release": 'PRETTY_NAME="Fedora Linux 39.1 (Silverblue)"\nID=fedora\n'})
    system.mkdir()
    run("ostree", "admin", "init-fs", system)
    run("ostree", "admin", "os-init", f"--sysroot={system}", "fedora")
    for number in range(2):
        (tree / "usr/etc/hostname").write_text(f"{number}\n")
        run("ostree", "commit", f"--repo={system}/ostree/repo", "-b", "fedora",
            f"--tree=dir={tree}")
        run("ostree", "admin", "deploy", f"--sysroot={system}", "--os=fedora",
            f"--karg=root=UUID={ROOT}", "--karg=rw", "fedora",
            env={**os.environ, "OSTREE_SYSROOT_DEBUG": "mutable-deployments"})
    expected = {}
    for file in sorted((system / "boot/loader/entries").iterdir()):
        lines = dict(line.split(None, 1) for line in file.read_text().splitlines())
        expected[file.stem] = lines
    for place in "/boot on the root filesystem", "a /boot of its own":
        with report.test(f"Silverblue as ostree deploys it, {place}"):
            image = folder / "silverblue.img"
            make_file(image, 96 * MIB)
            run("mkfs.ext4", "-q", "-F", "-U", ROOT, "-d",
                system if "root" in place else system / "boot", image)
            found = look(image)
            assert len(expected) == 2, expected
            order = sorted(expected, key=lambda name: -int(expected[name]["version"]))
            assert found.ids == order, (found.ids, order)
            for name, lines in expected.items():
                expect_linux(found, name, options=lines["options"].strip(), iscsi=True,
                             kernel=kernel("ostree"), initrds=[initramfs("dracut", "xz")])
                assert "ostree=/ostree/boot." in found.entry(name)["options"]
                assert found.entry(name)["title"].startswith(lines["title"].strip())
    shutil.rmtree(system)


def arch_tree():
    """systemd-boot, the ESP mounted at /boot: entries, and unified images beside them."""
    def uki(name, release, *more):
        return program(sections=((".osrel", release.encode()), (".uname", b"6.6.1-arch1-1"),
                                 (".cmdline", f"root=UUID={ROOT} rw {name}\n".encode()),
                                 (".initrd", initramfs("mkinitcpio", "lz4", name=name)),
                                 (".linux", kernel(name)), *more))
    release = 'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n'
    return {
        "vmlinuz-linux": kernel("arch"), "vmlinuz-linux-lts": kernel("lts"),
        "intel-ucode.img": initramfs("microcode", "none"),
        "initramfs-linux.img": initramfs("mkinitcpio", "zstd"),
        "initramfs-linux-lts.img": initramfs("mkinitcpio", "gzip"),
        "initramfs-linux-fallback.img": initramfs("mkinitcpio", "zstd", name="fallback"),
        "loader/loader.conf": "default arch.conf\n",
        "loader/entries/arch.conf":
            "# comment\ntitle Arch Linux\nsort-key arch\nversion 6.6.1\nlinux /vmlinuz-linux\n"
            "initrd /intel-ucode.img\ninitrd /initramfs-linux.img\n"
            f"options root=UUID={ROOT}\noptions rw\n",
        "loader/entries/arch-lts+2-1.conf":
            "title Arch Linux\nsort-key arch\nversion 6.1.62\nlinux /vmlinuz-linux-lts\n"
            f"initrd /intel-ucode.img /initramfs-linux-lts.img\noptions root=UUID={ROOT} rw\n",
        "loader/entries/bad+0-3.conf":
            "title Arch Linux, failed\nsort-key aaa\nversion 9\nlinux /vmlinuz-linux\n"
            f"initrd /initramfs-linux.img\noptions root=UUID={ROOT} rw\n",
        "loader/entries/gone.conf": "title Gone\nlinux /vmlinuz-gone\ninitrd /i\noptions x\n",
        "loader/entries/tool.conf": "title A tool\nefi /EFI/tools/shell.efi\n",
        "EFI/tools/shell.efi": program(),
        "EFI/Linux/arch-6.6.1.efi": uki("unified", release, (".ucode", initramfs(
            "microcode", "none", microcode=False))),
        "EFI/Linux/arm.efi": program(0xaa64, ((".osrel", release.encode()),
                                              (".linux", kernel("arm")))),
        "EFI/systemd/systemd-bootx64.efi": program(), "EFI/Arch Linux/grubx64.efi": program(),
        "EFI/BOOT/BOOTX64.EFI": program()}


def bootctl_entries(tree, folder):
    """What systemd itself makes of the same files."""
    image = make_ext4(folder / "bootctl.img", tree, folder, BOOT)
    with mounted(image, folder / "bootctl", "-o", "ro") as top:
        listed = run("bootctl", "list", "--json=short", f"--esp-path={top}",
                     env={"PATH": "/usr/bin:/bin", "SYSTEMD_RELAX_ESP_CHECKS": "1"}).stdout
    entries = []
    decoder = json.JSONDecoder()
    rest = listed[listed.index("{" if "[" not in listed.split("{")[0] else "["):].strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        entries += value if isinstance(value, list) else [value]
        rest = rest[end:].strip()
    return {re.sub(r"(\+\d+(-\d+)?)?\.(conf|efi)$", "", item["id"]): item for item in entries}


def test_arch(report, folder):
    tree = arch_tree()
    disk = make_disk(folder / "arch.img", [(EFI, make_fat(folder / "arch.esp", tree, folder))])
    with report.test("Arch: systemd-boot's entries, boot counting, unified images"):
        found = look(disk)
        linux = [item["id"] for item in found.index["entries"] if item["kind"] == "linux"]
        assert linux == ["arch-6.6.1", "arch", "arch-lts", "arm", "gone", "bad"], linux
        both = [tree["intel-ucode.img"], tree["initramfs-linux.img"]]
        expect_linux(found, "arch", title="Arch Linux (6.6.1)", initramfs="mkinitcpio", initrds=both,
                     options=f"root=UUID={ROOT} rw", kernel=kernel("arch"))
        expect_linux(found, "arch-lts", title="Arch Linux (6.1.62)", kernel=kernel("lts"),
                     initrds=[both[0], tree["initramfs-linux-lts.img"]])
        expect_linux(found, "bad", kernel=kernel("arch"))
        expect_linux(found, "gone", problem="its kernel /vmlinuz-gone is not there")
        expect_linux(found, "arm", problem="")
        assert "problem" in found.entry("arm")
        unified = expect_linux(found, "arch-6.6.1", machines=BIOS | X64, iscsi=True,
                               options=f"root=UUID={ROOT} rw unified", initramfs="mkinitcpio",
                               title="Arch Linux (6.6.1-arch1-1)", kernel=kernel("unified"))
        assert [found.file(number)["name"] for number in unified["initrds"]] == \
            ["arch-6.6.1.efi.ucode", "arch-6.6.1.efi.initrd"]
        assert found.entry("tool")["loader"].lower() == "\\efi\\tools\\shell.efi"
        loaders = [item for item in found.ids if item not in linux]
        assert loaders == ["loader-systemd-systemd-bootx64.efi", "loader-arch-linux-grubx64.efi",
                           "loader-boot-bootx64.efi", "tool"], loaders
        on_demand = [item["id"] for item in found.index["entries"] if item.get("on-demand")]
        assert on_demand == ["tool"], on_demand
        odd = found.entry("loader-arch-linux-grubx64.efi")
        assert "cannot pass on" in odd["problem"], odd
    with report.test("the same entries as bootctl lists"):
        theirs = bootctl_entries(tree, folder)
        for name in "arch", "arch-lts", "bad", "gone", "arch-6.6.1":
            entry, their = found.entry(name), theirs[name]
            assert entry["options"].split() == their["options"].split(), (entry, their)
            if "initrd" in their and name != "gone":
                files = [found.file(number)["name"] for number in entry["initrds"]]
                paths = " ".join(their["initrd"]).split()  # GRUB takes several of one line
                assert files == [Path(path).name for path in paths], (files, their)
            assert entry["title"].startswith(their["title"]), (entry, their)


def test_subvolumes(report, folder):
    with report.test("Btrfs: /boot in a subvolume, beside a snapshot of it"):
        tree = {path: content for path, content in debian_tree().items()
                if "6.1.0-9" not in path}
        tree["boot/grub/grub.cfg"] = (
            f"menuentry 'x' {{\n linux /@/boot/vmlinuz-6.1.0-13-amd64 root=UUID={ROOT} ro "
            "rootflags=subvol=@\n initrd /@/boot/initrd.img-6.1.0-13-amd64\n}\n")
        other = dict(tree)
        del other["boot/grub/grub.cfg"]
        disk = make_btrfs(folder / "sub.img", {"": {}, "@": tree, "@old": other}, folder, ROOT)
        found = look(disk)
        assert len(found.ids) == 2 and len(set(found.ids)) == 2, found.ids
        options = {item["source"].split()[0]: item["options"] for item in found.index["entries"]}
        assert options == {
            "/@/boot/vmlinuz-6.1.0-13-amd64": f"root=UUID={ROOT} ro rootflags=subvol=@",
            "/@old/boot/vmlinuz-6.1.0-13-amd64":
                f"root=UUID={ROOT} ro rootflags=subvol=@old quiet"}, options
        assert len(found.offered) == 2


def test_snapshots(report, folder):
    with report.test("openSUSE: a root in a snapshot, found where kernels.path says; its shim"):
        version, path = "6.4.0-150600.23-default", "@/.snapshots/1/snapshot"
        tree = {f"boot/vmlinuz-{version}": kernel("suse"), f"boot/initrd-{version}": initramfs("dracut"),
                "etc/os-release": 'PRETTY_NAME="openSUSE Leap 15.6"\n',
                "boot/grub2/grub.cfg": f"menuentry 'openSUSE' {{\n linux /boot/vmlinuz-{version} "
                                       f"root=UUID={ROOT} splash=silent\n initrd /boot/initrd-{version}\n}}\n"}
        subvolumes = {"@": {".snapshots/1/info.xml": "<snapshot/>\n"}, path: tree}
        root = make_btrfs(folder / "suse.root", subvolumes, folder, ROOT)
        esp = make_fat(folder / "suse.esp", {"EFI/opensuse/shim.efi": program(),
                                             "EFI/opensuse/grubx64.efi": program()}, folder)
        disk = make_disk(folder / "suse.img", [(EFI, esp), (LINUX, root)])
        found = look(disk, f"--path=/{path}/boot")
        expect_linux(found, f"vmlinuz-{version}", kernel=kernel("suse"), initrds=[initramfs("dracut")],
                     options=f"root=UUID={ROOT} splash=silent")
        assert found.entry("loader-opensuse-shim.efi")["title"] == "openSUSE (shim)", found.ids
        found = look(disk)
        assert found.ids == ["loader-opensuse-shim.efi"]
        assert any('kernels.path = "/@/.snapshots/N/snapshot/boot"' in text and "partition 2" in text
                   for text in found.notes), found.notes


def make_luks(image):
    make_file(image, 4 * MIB)
    with open(image, "r+b") as file:  # LUKS1's header, as far as it is looked at
        file.write(b"LUKS\xba\xbe\0\1" + b"aes".ljust(32, b"\0") + b"xts".ljust(32, b"\0"))
    return image


def test_lvm(report, folder):
    with report.test("LVM: the root filesystem in a logical volume"):
        image = make_file(folder / "lvm.img", 96 * MIB)
        tree = debian_tree() | {"etc/fstab": "/dev/mapper/vg--a-root / ext4 defaults 0 1\n"}
        del tree["boot/grub/grub.cfg"]
        root = make_ext4(folder / "lvm.root", tree, folder, ROOT)
        system = folder / "lvm"
        system.mkdir()
        with loop_device(image) as device:
            (system / "lvm.conf").write_text(
                f'devices {{ filter=["a|^{device}$|","r|.*|"] use_devicesfile=0 '
                'obtain_device_list_from_udev=0 external_device_info_source="none" }\n'
                f'activation {{ udev_sync=0 udev_rules=0 }}\n'
                f'global {{ locking_dir="{system}" event_activation=0 }}\n')
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LVM_SYSTEM_DIR": str(system)}
            for command in (["pvcreate", device], ["vgcreate", "vg-a", device],
                            ["lvcreate", "-an", "-Zn", "-Wn", "-n", "root", "-L", "64M", "vg-a"],
                            ["lvcreate", "-an", "-Zn", "-Wn", "-n", "new", "-L", "16M", "vg-a"]):
                run(command[0], "--driverloaded", "n", *command[1:], env=environment)
        run("dd", f"if={root}", f"of={image}", "bs=1M", "seek=1", "conv=notrunc", "status=none")
        found = look(image)
        entry = expect_linux(found, "vmlinuz-6.1.0-13-amd64", kernel=kernel("debian 13"),
                             options="root=/dev/mapper/vg--a-root ro quiet")
        assert "lvm/vg--a-root" in entry["source"], entry
        assert not found.notes, found.notes
    with report.test("beside it: a logical volume and a partition that cannot be read, with reasons"):
        new = make_ext4(folder / "new.lv", {"boot/vmlinuz-1": b"x"}, folder, ROOT, size=16 * MIB,
                        options=("-O", "casefold,encrypt,metadata_csum_seed"))
        run("dd", f"if={new}", f"of={image}", "bs=1M", "seek=65", "conv=notrunc", "status=none")
        found = look(make_disk(folder / "lvm-and.img",
                               [(LINUX, image), (LINUX, make_luks(folder / "lvm.luks"))]))
        assert "vmlinuz-6.1.0-13-amd64" in found.offered
        assert [text.split(" filesystem")[0].split(" (LUKS")[0] for text in found.notes] == \
            ["partition 2 is encrypted", "volume lvm/vg--a-new has an ext4"], found.notes


def make_raid_member(image, content, number):
    """A half of a RAID 1 (Linux Documentation: admin-guide/md; superblock 1.2, 4 KiB from the start)."""
    data_at, size = 2048, content.stat().st_size // 512  # in sectors
    block = bytearray(256 + 2 * 2)
    struct.pack_into("<II", block, 0, 0xa92b4efc, 1)
    block[16:32] = bytes(range(16))  # of the array
    block[32:64] = b"any:root".ljust(32, b"\0")
    struct.pack_into("<QIIQII", block, 64, 0, 1, 0, size, 0, 2)  # made, level, layout, size, chunk, disks
    struct.pack_into("<QQQ", block, 128, data_at, size, 8)
    struct.pack_into("<I", block, 160, number)
    block[168:184] = bytes([number] * 16)
    struct.pack_into("<Q", block, 200, 1)  # events
    struct.pack_into("<I", block, 220, 2)
    struct.pack_into("<HH", block, 256, 0, 1)  # who is which
    total = sum(struct.unpack(f"<{len(block) // 4}I", block))
    struct.pack_into("<I", block, 216, (total & 0xffffffff) + (total >> 32) & 0xffffffff)
    make_file(image, data_at * 512 + content.stat().st_size)
    run("dd", f"if={content}", f"of={image}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
    with open(image, "r+b") as file:
        file.seek(4096)
        file.write(block)
    return image


def test_raid(report, folder):
    with report.test("RAID: the root filesystem in a mirror, of which one half is on this disk"):
        root = make_ext4(folder / "raid.root", debian_tree(), folder, ROOT)
        member = make_raid_member(folder / "raid.member", root, 0)
        kind = run("blkid", "-p", "-o", "value", "-s", "TYPE", member).stdout.strip()
        assert kind == "linux_raid_member", kind  # libblkid takes it for one too
        found = look(make_disk(folder / "raid.img", [(LINUX, member)]))
        entry = expect_linux(found, "vmlinuz-6.1.0-13-amd64", kernel=kernel("debian 13"),
                             initrds=[initramfs("initramfs-tools", "zstd")])
        assert "md/" in entry["source"], entry
        assert not found.notes, found.notes


def test_iso(report, folder):
    with report.test("ISO 9660: kernels on an image of a CD"):
        tree = {"boot/vmlinuz-6.1": kernel("iso"), "boot/initrd.img-6.1": initramfs("initramfs-tools")}
        source = write_tree(folder / "iso.tree", tree)
        run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", folder / "cd.iso", source)
        found = look(folder / "cd.iso", "--cmdline=boot=live")
        expect_linux(found, "vmlinuz-6.1", kernel=kernel("iso"), options="boot=live",
                     initrds=[initramfs("initramfs-tools")])
        assert found.index["entries"][0]["source"].startswith("/boot/vmlinuz-6.1 on the disk without")


def test_what_cannot_be_read(report, folder):
    with report.test("what GRUB's drivers cannot read is said with its partition"):
        luks = make_luks(folder / "luks.part")
        new = make_ext4(folder / "new.part", {"boot/vmlinuz-1": b"x"}, folder, ROOT,
                        options=("-O", "casefold,encrypt,metadata_csum_seed"))
        disk = make_disk(folder / "unreadable.img", [(LINUX, luks), (LINUX, new)])
        found = look(disk)
        assert found.ids == []
        assert any("partition 1 is encrypted" in text for text in found.notes), found.notes
        assert any("partition 2 has an ext4" in text for text in found.notes), found.notes
    with report.test("an empty disk, one that is too short for anything, and none at all"):
        assert look(make_file(folder / "empty.img", 8 * MIB)).ids == []
        assert look(make_file(folder / "short.img", 512)).ids == []
        try:
            discover(folder / "absent.img")
        except LabError as error:
            assert "absent.img" in str(error), error
        else:
            raise LabError("a disk that is not there has a catalog")


# ── dirty and damaged ───────────────────────────────────────────────────────────────────────────

def write_more(top):
    (top / "boot/more").write_text("written before the crash\n")
    run("sync", "-f", top)
    with open(top / "boot/more", "a") as file:  # into Btrfs's log tree
        file.write("and synced by itself\n")
        file.flush()
        os.fsync(file.fileno())


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


# ── when the daemon looks ───────────────────────────────────────────────────────────────────────

def boot_of(daemon, name="a"):
    return daemon.lun(name)["boot"]


def wait_found(daemon, condition=lambda boot: boot["scanned_unix_seconds"] and not boot["busy"],
               name="a", seconds=60):
    def fits():
        daemon.check_running()
        boot = boot_of(daemon, name)
        return boot if condition(boot) else None
    return wait_for(fits, seconds, lambda: f"catalog as expected: {boot_of(daemon, name)}")


def rescan(daemon, name="a"):
    """Also waits for the pause between two looks."""
    def taken():
        code, text = daemon.http("POST", f"/luns/{name}/0/rescan")
        return code == 202 or (code != 409 and (_ for _ in ()).throw(LabError(text)))
    before = daemon.says().count("boot entries can be offered") + daemon.says().count("last clean")
    wait_for(taken, 20, "rescan that is taken")
    wait_for(lambda: daemon.says().count("boot entries can be offered") +
             daemon.says().count("last clean") > before, 60, "end of the rescan")


def offered(boot):
    return [item["id"] for item in boot["entries"] if not item["problem"]]


def test_daemon(report, folder, disk):
    with report.test("the daemon looks at start, on request and after the last session"):
        before = digest(disk)
        with Daemon(folder / "daemon", [target("a", disk)]).start() as daemon:
            boot = wait_found(daemon)
            assert offered(boot) == ["vmlinuz-6.1.0-13-amd64", "disk"], boot
            assert not boot["stale"] and not boot["problem"] and not boot["notes"]
            code, text = daemon.http("POST", "/luns/a/0/rescan")
            assert code == 409 and "a moment ago" in text, text
            rescan(daemon)
            assert daemon.http("POST", "/luns/b/0/rescan")[0] == 404
            looks = daemon.says().count("can be offered")
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                code, text = daemon.http("POST", "/rescan")
                assert code == 409 and "in use" in text, text
                assert offered(boot_of(daemon)) == offered(boot)
            wait_for(lambda: daemon.says().count("can be offered") > looks, 60,
                     "look after the last session")
        assert digest(disk) == before
    with report.test("a session that begins during a look ends it, and the last result stays"):
        slow = folder / "slow"
        slow.write_text("#!/bin/sh\nif [ -e " + str(folder / "hang") + " ]; then touch "
                        f"{folder / 'hangs'}; exec sleep 60; fi\nexec "
                        f'{Path(sys.argv[1]).parent / "netboot-target-discover"} "$@"\n')
        slow.chmod(0o755)
        environment = {**os.environ, "NETBOOT_TARGET_DISCOVER": str(slow)}
        with Daemon(folder / "during", [target("a", disk)]).start(env=environment) as daemon:
            first = wait_found(daemon)
            (folder / "hang").touch()
            wait_for(lambda: daemon.http("POST", "/rescan")[0] == 202, 20, "rescan that is taken")
            wait_for((folder / "hangs").exists, 10, "helper that hangs")
            assert boot_of(daemon)["busy"]
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                wait_for(lambda: not boot_of(daemon)["busy"], 10, "end of the look")
                assert boot_of(daemon)["entries"] == first["entries"]
                wait_for(lambda: not run("pgrep", "-P", daemon.pid, check=False).stdout, 10,
                         "end of the helper")
            (folder / "hang").unlink()
            wait_found(daemon, lambda boot: boot["scanned_unix_seconds"] >
                       first["scanned_unix_seconds"])
    with report.test("a helper that fails or hangs is told about, and served all the same"):
        (folder / "hang").touch()
        with Daemon(folder / "hangs-on", [target("a", disk)],
                    more='discovery = { time = "1s" };').start(env=environment) as daemon:
            boot = wait_found(daemon, lambda boot: boot["problem"])
            assert "discovery.time" in boot["problem"], boot
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
        environment["NETBOOT_TARGET_DISCOVER"] = "/bin/false"
        with Daemon(folder / "fails", [target("a", disk)]).start(env=environment) as daemon:
            assert "exit code 1" in wait_found(daemon, lambda boot: boot["problem"])["problem"]
        environment["NETBOOT_TARGET_DISCOVER"] = str(folder / "absent")
        with Daemon(folder / "absent-helper", [target("a", disk)]).start(env=environment) as daemon:
            assert "cannot be run" in wait_found(daemon, lambda boot: boot["problem"])["problem"]


def test_daemon_stale(report, folder):
    with report.test("a dirty journal keeps the last clean result, a clean one replaces it"):
        disk = make_ext4(folder / "served.img", debian_tree(), folder, ROOT)
        with Daemon(folder / "stale", [target("a", disk)]).start() as daemon:
            clean = wait_found(daemon)
            assert "vmlinuz-6.1.0-13-amd64" in offered(clean)
            dirty = folder / "served.dirty"
            with mounted(shutil.copy(disk, folder / "served.copy"), folder / "mount") as top:
                (top / "boot/vmlinuz-6.1.0-13-amd64").unlink()
                run("sync", "-f", top)
                shutil.copy(folder / "served.copy", dirty)
            with open(disk, "r+b") as file:
                file.write(dirty.read_bytes())
            rescan(daemon)
            boot = boot_of(daemon)
            assert boot["stale"] and boot["entries"] == clean["entries"], boot
            with open(disk, "r+b") as file:
                file.write((folder / "served.copy").read_bytes())
            rescan(daemon)
            boot = boot_of(daemon)
            assert not boot["stale"] and offered(boot) == [], boot


def test_daemon_stale_volume(report, folder):
    with report.test("of two filesystems one is dirty: the other one's kernels are those of now"):
        one = make_ext4(folder / "one.ext4", debian_tree(), folder, ROOT)
        tree = {"boot/vmlinuz-5.1": kernel("five"), "boot/initrd.img-5.1": initramfs("dracut"),
                "etc/kernel/cmdline": f"root=UUID={BOOT}"}
        two = make_ext4(folder / "two.ext4", tree, folder, BOOT)

        def put(one, two, disk=folder / "both.img"):
            new = make_disk(folder / "both.new", [(LINUX, one), (LINUX, two)])
            with open(disk, "r+b" if disk.exists() else "xb") as file:
                file.write(new.read_bytes())
            return disk
        disk = put(one, two)
        with Daemon(folder / "volumes", [target("a", disk)]).start() as daemon:
            clean = wait_found(daemon)
            first = [item["id"] for item in clean["entries"]]
            assert first == ["vmlinuz-6.1.0-13-amd64", "vmlinuz-6.1.0-9-amd64", "vmlinuz-5.1"], first
            # a kernel goes here without a trace yet, and another one comes there
            dirty = copy_while_mounted(
                one, folder / "one.dirty", folder,
                lambda top: ((top / "boot/vmlinuz-6.1.0-13-amd64").unlink(), write_more(top)))
            tree |= {"boot/vmlinuz-5.2": kernel("five.2"), "boot/initrd.img-5.2": initramfs("dracut")}
            put(dirty, make_ext4(folder / "two.new", tree, folder, BOOT))
            rescan(daemon)
            boot = boot_of(daemon)
            assert boot["stale"], boot
            seen = {item["id"]: item["seen_unix_seconds"] for item in boot["entries"]}
            assert list(seen) == [*first[:2], "vmlinuz-5.2", "vmlinuz-5.1"], boot
            assert seen[first[0]] == seen[first[1]] == clean["scanned_unix_seconds"], boot
            assert seen["vmlinuz-5.1"] == seen["vmlinuz-5.2"] == boot["scanned_unix_seconds"], boot
            assert offered(boot) == [first[0], "vmlinuz-5.2", "vmlinuz-5.1"], boot
            put(one, folder / "two.new")  # it was mounted and unmounted meanwhile
            rescan(daemon)
            boot = boot_of(daemon)
            assert not boot["stale"] and first[0] not in offered(boot), boot
            assert {item["seen_unix_seconds"] for item in boot["entries"]} == \
                {boot["scanned_unix_seconds"]}, boot


def test_daemon_never_clean(report, folder):
    with report.test("a result that was never clean gives way to the next one"):
        root = make_ext4(folder / "never.ext4", debian_tree(), folder, ROOT)
        dirty = copy_while_mounted(root, folder / "never.dirty", folder, write_more)
        disk = make_disk(folder / "never.img", [("83", dirty)], table="dos")
        with Daemon(folder / "never", [target("a", disk)]).start() as daemon:
            boot = wait_found(daemon)
            assert boot["stale"] and not boot["entries"], boot
            with open(disk, "r+b") as file:
                file.write(b"\xeb\x63\x90".ljust(0x180, b"\0") + b"GRUB ")
            rescan(daemon)
            boot = boot_of(daemon)
            assert boot["stale"] and offered(boot) == ["disk"], boot


def blob_count(daemon):
    """How many kernels and initrds the daemon has mapped."""
    maps = Path(f"/proc/{daemon.pid}/maps").read_text()
    return len({line.split()[4] for line in maps.splitlines() if "/memfd:disk" in line})


def test_daemon_memory(report, folder, disk):
    with report.test("disks with the same kernels share them; the limit is for all of them"):
        copies = [shutil.copy(disk, folder / f"copy{n}.img") for n in range(3)]
        for number, copy in enumerate(copies):
            with open(copy, "r+b") as file:  # an identity of its own: the MBR's disk signature
                file.seek(440)
                file.write(bytes([number + 1] * 4))
        targets = [target(f"t{n}", copy) for n, copy in enumerate(copies)]
        with Daemon(folder / "memory", targets).start() as daemon:
            for n in range(3):
                assert "vmlinuz-6.1.0-13-amd64" in offered(wait_found(daemon, name=f"t{n}"))
            assert blob_count(daemon) == 4, blob_count(daemon)  # two kernels, two initrds
        with Daemon(folder / "no-memory", targets[:1], more='discovery = { memory = "0" };'
                    ).start() as daemon:
            boot = wait_found(daemon, name="t0")
            assert offered(boot) == ["disk"], boot
            assert blob_count(daemon) == 0
    with report.test("kernels.discover = false, and a reload that changes it"):
        off = [target("a", disk, more="kernels = { discover = false };")]
        daemon = Daemon(folder / "off", off)
        with daemon.start():
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                assert not boot_of(daemon)["entries"]
                code, text = daemon.http("POST", "/rescan")
                assert code == 409 and "discover" in text, text
                daemon.targets = [target("a", disk)]
                daemon.reload()
                session.ready()  # its session goes on
            assert offered(wait_found(daemon)) == ["vmlinuz-6.1.0-13-amd64", "disk"]
            daemon.targets = [target("a", disk, more='kernels = { cmdline = "root=x"; path = "/"; };')]
            daemon.reload()
            wait_found(daemon, lambda boot: offered(boot) == ["disk"])


def test_real_debian(report):
    """Where the boot tests have built their guests already."""
    for variant in "initramfs-tools", "dracut":
        disk = TOP / f"build/guest/{variant}/disk.img"
        if not disk.exists():
            note(f"there is no guest with {variant} yet")
            continue
        with report.test(f"a real Debian with {variant}"):
            found = look(disk)
            name = next(item for item in found.offered if item.startswith("vmlinuz-"))
            entry = expect_linux(found, name, initramfs=variant, iscsi=True, machines=BIOS | X64)
            assert hashlib.sha256(found.kernel(entry)).digest() == \
                hashlib.sha256((disk.parent / "vmlinuz").read_bytes()).digest()
            assert found.initrds(entry) == [(disk.parent / "initrd").read_bytes()]
            assert entry["title"].startswith("Debian GNU/Linux 12 (bookworm), Linux 6.1"), entry


def main():
    exit_on_signals()
    need_root()
    own_mounts()
    report = Report()
    with scratch() as folder:
        debian = test_debian(report, folder)
        test_lines(report, folder)
        fedora = test_fedora(report, folder)
        test_enterprise(report, folder)
        test_silverblue(report, folder)
        test_arch(report, folder)
        test_subvolumes(report, folder)
        test_snapshots(report, folder)
        test_lvm(report, folder)
        test_raid(report, folder)
        test_iso(report, folder)
        test_what_cannot_be_read(report, folder)
        test_dirty(report, folder)
        test_damaged(report, folder, [debian, fedora, folder / "arch.img", folder / "sub.img"])
        test_limits(report, folder)
        test_confinement(report, folder, debian)
        test_daemon(report, folder, debian)
        test_daemon_stale(report, folder)
        test_daemon_stale_volume(report, folder)
        test_daemon_never_clean(report, folder)
        test_daemon_memory(report, folder, debian)
    test_real_debian(report)
    report.finish()


if __name__ == "__main__":
    main()
