"""Disks as distributions lay them out: Debian, Fedora and Arch, and Debian in Btrfs subvolumes."""
from .boot_disks import (Link, grubenv, initramfs, kernel, make_btrfs, make_disk, make_ext4, make_fat,
                         make_xfs, program)

# UUIDs of the filesystems for / and /boot, a machine's id, types of partitions.
ROOT, BOOT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"
MACHINE = "0123456789abcdef0123456789abcdef"
LINUX, EFI = "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

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


def install_grub(disk):
    """Only its boot code in the first sector, as far as it is looked at."""
    with open(disk, "r+b") as file:
        file.write(b"\xeb\x63\x90".ljust(0x180, b"\0") + b"GRUB \0Geom\0Hard Disk\0Read\0 Error")


def debian_disk(folder, name="debian", tree=None):
    """One ext4 filesystem behind an MBR."""
    root = make_ext4(folder / f"{name}.ext4", tree or debian_tree(), folder, ROOT)
    disk = make_disk(folder / f"{name}.img", [("83", root)], table="dos")
    install_grub(disk)
    return disk


FEDORA = "6.11.4-301.fc41.x86_64"
FEDORA_OLD = "6.5.6-300.fc41.x86_64"


def fedora_entry(version, more="", name="Fedora Linux"):
    return (f"title {name} ({version}) 41 (Workstation Edition)\nversion {version}\n"
            f"linux /vmlinuz-{version}\ninitrd /initramfs-{version}.img $tuned_initrd\n"
            f"options $kernelopts $tuned_params\n{more}grub_users $grub_users\n"
            "grub_arg --unrestricted\ngrub_class fedora\n")


def esp_tree():
    """Fedora's loaders beside those of others, and programs that are none."""
    efi = program()
    return {"EFI/fedora/shimx64.efi": efi, "EFI/fedora/grubx64.efi": efi, "EFI/fedora/mmx64.efi": efi,
            "EFI/fedora/grub.cfg": "search\n", "EFI/BOOT/BOOTX64.EFI": efi, "EFI/BOOT/fbx64.efi": efi,
            "EFI/Microsoft/Boot/bootmgfw.efi": efi, "EFI/Microsoft/Boot/memtest.efi": efi,
            "EFI/netboot-target/shimx64.efi": efi, "EFI/FreeBSD/loader.efi": efi}


def fedora_disk(folder):
    """/boot on XFS, / on Btrfs, and an EFI system partition."""
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


def arch_disk(folder):
    """Its EFI system partition, which holds all that is looked at."""
    esp = make_fat(folder / "arch.esp", arch_tree(), folder)
    return make_disk(folder / "arch.img", [(EFI, esp)])


def subvolume_disk(folder):
    """Debian in a Btrfs subvolume, beside a snapshot of it."""
    tree = {path: content for path, content in debian_tree().items() if "6.1.0-9" not in path}
    tree["boot/grub/grub.cfg"] = (
        f"menuentry 'x' {{\n linux /@/boot/vmlinuz-6.1.0-13-amd64 root=UUID={ROOT} ro "
        "rootflags=subvol=@\n initrd /@/boot/initrd.img-6.1.0-13-amd64\n}\n")
    other = dict(tree)
    del other["boot/grub/grub.cfg"]
    return make_btrfs(folder / "sub.img", {"": {}, "@": tree, "@old": other}, folder, ROOT)
