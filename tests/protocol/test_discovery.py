#!/usr/bin/env python3
"""What is found on disks: layouts of distributions, and what cannot be read. Needs root (loop devices,
mounts).

usage: test_discovery.py NETBOOT-TARGET
"""
import json
import os
import re
import shutil
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.boot_disks import (Link, grubenv, initramfs, kernel, make_btrfs, make_disk,  # noqa: E402
                            make_ext4, make_fat, mounted, own_mounts, program, write_tree)
from lab.discover import BIOS, X64, discover, expect_linux, look  # noqa: E402
from lab.disk import MIB, loop_device, make_file, scratch  # noqa: E402
from lab.distributions import (BOOT, EFI, FEDORA, FEDORA_OLD, LINUX, MACHINE, ROOT,  # noqa: E402
                               arch_disk, arch_tree, debian_disk, debian_tree, fedora_disk,
                               fedora_entry, subvolume_disk)
from lab.process import exit_on_signals, need_root, run  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

NOT_PREPARED = "its initramfs holds no iSCSI"


def test_debian(report, folder):
    with report.test("Debian: one ext4 filesystem behind an MBR, kernel lines from grub.cfg"):
        disk = debian_disk(folder)
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
        found = look(line_disk(folder, b"ro root=/dev/sda1"), "--cmdline=root=/dev/sda1")
        expect_linux(found, name, options="root=/dev/sda1")  # as somebody wrote it
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


def test_fedora(report, folder):
    with report.test("Fedora: XFS /boot with loader entries and grubenv, Btrfs root, ESP"):
        found = look(fedora_disk(folder))
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
    with report.test("Arch: systemd-boot's entries, boot counting, unified images"):
        found = look(arch_disk(folder))
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
        found = look(subvolume_disk(folder))
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


def main():
    exit_on_signals()
    need_root()
    own_mounts()
    report = Report()
    with scratch() as folder:
        test_debian(report, folder)
        test_lines(report, folder)
        test_fedora(report, folder)
        test_enterprise(report, folder)
        test_silverblue(report, folder)
        test_arch(report, folder)
        test_subvolumes(report, folder)
        test_snapshots(report, folder)
        test_lvm(report, folder)
        test_raid(report, folder)
        test_iso(report, folder)
        test_what_cannot_be_read(report, folder)
    report.finish()


if __name__ == "__main__":
    main()
