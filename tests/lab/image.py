"""Debian 12 guests, built without mounting anything: a root filesystem per initramfs generator, and a
disk with GRUB for BIOS and UEFI around it. Kept in build/guest until the recipe changes."""
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .disk import MIB, make_file
from .process import TOP, run
from .report import LabError, step
from .variants import COMMON_PACKAGES, ROOT_LABEL, VARIANTS

RECIPES = Path(__file__).parent / "guest"
CACHE = TOP / "build/guest"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org")
SOURCES = [f"deb {MIRROR}/debian bookworm main", f"deb {MIRROR}/debian bookworm-updates main",
           f"deb {MIRROR}/debian-security bookworm-security main"]

# Not needed to boot in an emulator, and most of what an initramfs would have to carry.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"] + [
    f"/lib/modules/*/kernel/{part}/*" for part in """
        sound net/bluetooth net/ceph net/mac80211 net/rxrpc net/sctp net/tipc
        fs/afs fs/btrfs fs/ceph fs/dlm fs/f2fs fs/gfs2 fs/jfs fs/nfs fs/nfsd fs/nilfs2 fs/ocfs2
        fs/orangefs fs/reiserfs fs/smb fs/ubifs fs/udf fs/xfs
        drivers/accessibility drivers/atm drivers/bluetooth drivers/comedi drivers/firewire
        drivers/gpu drivers/hwmon drivers/iio drivers/infiniband drivers/isdn drivers/media
        drivers/mtd drivers/net/can drivers/net/ethernet/[a-hj-qs-z]* drivers/net/ethernet/intel/i*
        drivers/net/usb drivers/net/wireless drivers/nvme drivers/staging drivers/target
        drivers/thunderbolt drivers/xen drivers/scsi/[a-hj-z]*""".split()]

ROOT_BYTES = 900 * MIB
BIOS_BOOT_LBA, BIOS_BOOT_SECTORS = 2048, 2048
ESP_LBA, ESP_SECTORS = 4096, 64 * 2048  # FAT32 must be larger than 33 MiB
ROOT_LBA = ESP_LBA + ESP_SECTORS
SECTOR = 512


def recipe_of(variant):
    """Changes whenever the image would."""
    text = hashlib.sha256(Path(__file__).read_bytes())
    text.update(repr((COMMON_PACKAGES, VARIANTS[variant])).encode())
    for folder in "common", variant:
        for file in sorted((RECIPES / folder).rglob("*")):
            text.update(str(file.relative_to(RECIPES)).encode() + (file.read_bytes() if file.is_file() else b""))
    return text.hexdigest()


@contextlib.contextmanager
def locked(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(variant):
    """Gives the folder with root.ext4, vmlinuz, initrd and disk.img."""
    folder = CACHE / variant
    recipe = recipe_of(variant)
    with locked(folder):
        stamp = folder / "recipe"
        if not stamp.exists() or stamp.read_text() != recipe:
            stamp.unlink(missing_ok=True)
            step(f"building the Debian guest with {variant} (some minutes)")
            with tempfile.TemporaryDirectory(dir=folder) as root:
                bootstrap(variant, Path(root) / "root", folder)
            make_disk(folder)
            stamp.write_text(recipe)
    return folder


def bootstrap(variant, root, folder):
    words = []
    for pattern in LEFT_OUT:
        words += ["--dpkgopt", f"path-exclude={pattern}"]
    for overlay in "common", variant:  # in place before the kernel's initramfs is generated
        words += ["--essential-hook", f"sync-in {RECIPES / overlay} /"]
    packages = COMMON_PACKAGES + VARIANTS[variant]["packages"]
    log = run("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
              f"--include={','.join(packages)}", *words,
              "--customize-hook=chroot \"$1\" passwd --delete root",
              "--customize-hook=chroot \"$1\" systemctl mask apt-daily.timer "
              "apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer e2scrub_reap.service",
              "bookworm", root, *SOURCES, timeout=900)
    (folder / "build.log").write_text(log.stdout)
    kernel, = (root / "boot").glob("vmlinuz-*")
    initrd, = (root / "boot").glob("initrd.img-*")
    write_grub_config(root, kernel.name, initrd.name, VARIANTS[variant]["kernel_line"])
    shutil.copy(kernel, folder / "vmlinuz")
    shutil.copy(initrd, folder / "initrd")
    image = make_file(folder / "root.ext4", ROOT_BYTES)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", ROOT_LABEL, "-d", root, image, timeout=300)


# Of an emulated machine: where the host is busy it may miss the ticks that Linux looks for, which then panics.
EMULATED = "no_timer_check"


def write_grub_config(root, kernel, initrd, kernel_line):
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(f"""\
serial --unit=0
terminal_input serial
terminal_output serial
set timeout=0
menuentry "Debian" {{
    echo "GRUB loads the kernel"
    linux /boot/{kernel} {kernel_line} ro {EMULATED} console=ttyS0
    initrd /boot/{initrd}
}}
""")


GRUB_MODULES = ("part_gpt ext2 fat search search_label search_fs_uuid normal linux configfile serial "
                "terminal echo test").split()
GRUB_CONFIG = f"search --no-floppy --label {ROOT_LABEL} --set=root\n" \
              "set prefix=($root)/boot/grub\nconfigfile /boot/grub/grub.cfg\n"


def grub_image(folder, platform, more_modules, output):
    config = folder / "grub-early.cfg"
    config.write_text(GRUB_CONFIG)
    run("grub-mkimage", "-O", platform, "-o", output, "-c", config, "-p", "/boot/grub",
        *GRUB_MODULES, *more_modules)


def make_disk(folder):
    disk = folder / "disk.img"
    disk.unlink(missing_ok=True)
    root = folder / "root.ext4"
    make_file(disk, ROOT_LBA * SECTOR + ROOT_BYTES + 2 * MIB)
    parts = [("ef02", BIOS_BOOT_LBA, BIOS_BOOT_SECTORS), ("ef00", ESP_LBA, ESP_SECTORS),
             ("8300", ROOT_LBA, ROOT_BYTES // SECTOR)]
    words = [word for number, (kind, first, sectors) in enumerate(parts, 1)
             for word in (f"--new={number}:{first}:{first + sectors - 1}",
                          f"--typecode={number}:{kind}")]
    run("sgdisk", "--set-alignment=1", *words, disk)
    install_bios_grub(folder, disk)
    install_efi_grub(folder, disk)
    run("dd", f"if={root}", f"of={disk}", "bs=1M", f"seek={ROOT_LBA * SECTOR // MIB}",
        "conv=notrunc,sparse", "status=none")


def install_bios_grub(folder, disk):
    """What grub-install would do, without a device: boot.img into the MBR, core.img into its partition."""
    core = folder / "core.img"
    grub_image(folder, "i386-pc", ["biosdisk"], core)
    boot = bytearray(Path("/usr/lib/grub/i386-pc/boot.img").read_bytes()[:440])
    boot[0x5c:0x64] = BIOS_BOOT_LBA.to_bytes(8, "little")  # where its next sector is
    data = bytearray(core.read_bytes())
    data[0x1f4:0x1fc] = (BIOS_BOOT_LBA + 1).to_bytes(8, "little")  # and the one after that
    if len(data) > BIOS_BOOT_SECTORS * SECTOR:
        raise LabError("GRUB's core image does not fit its partition")
    with open(disk, "r+b") as file:
        file.write(boot)
        file.seek(BIOS_BOOT_LBA * SECTOR)
        file.write(data)


def install_efi_grub(folder, disk):
    loader = folder / "bootx64.efi"
    grub_image(folder, "x86_64-efi", ["efi_gop"], loader)
    esp = folder / "esp.img"
    esp.unlink(missing_ok=True)
    make_file(esp, ESP_SECTORS * SECTOR)
    run("mkfs.vfat", "-F", "32", esp)
    run("mmd", "-i", esp, "::EFI", "::EFI/BOOT")
    run("mcopy", "-i", esp, loader, "::EFI/BOOT/BOOTX64.EFI")
    run("dd", f"if={esp}", f"of={disk}", "bs=1M", f"seek={ESP_LBA * SECTOR // MIB}",
        "conv=notrunc,sparse", "status=none")


def copy_disk(variant, to):
    """A disk of its own for one boot."""
    run("cp", "--sparse=always", "--reflink=auto", build(variant) / "disk.img", to, timeout=120)
    return Path(to)


def read_root_file(disk, path):
    """A file of the root filesystem on a disk that nobody uses."""
    at = f"{disk}?offset={ROOT_LBA * SECTOR}"
    return subprocess.run(["debugfs", "-R", f"cat {path}", at], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, timeout=60, check=True).stdout


def check_root(disk):
    """e2fsck's answer on the root filesystem, after its journal was replayed as the next mount would."""
    at = f"{disk}?offset={ROOT_LBA * SECTOR}"
    return run("e2fsck", "-f", "-n", at, timeout=120, check=False)
