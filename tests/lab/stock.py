"""Debian as it is installed, which knows nothing of iSCSI: the disk that setup/linux.sh has to prepare.
What the script installs lies on it as a package archive of its own, since a guest has no internet."""
import hashlib
import tempfile
from pathlib import Path

from . import image
from .disk import make_file
from .process import run
from .report import step

COMMON_PACKAGES = [name for name in image.COMMON_PACKAGES if name != "open-iscsi"] + ["curl"]
VARIANTS = {
    "initramfs-tools": {"packages": ["initramfs-tools"], "offered": ["open-iscsi", "busybox"]},
    "dracut": {"packages": ["dracut"],
               "offered": ["open-iscsi", "dracut-network", "isc-dhcp-client", "iputils-arping",
                           "procps", "gawk"]}}
# An emulated processor takes ten minutes to pack all drivers into an initramfs; these are for its devices.
DRIVERS = """block/virtio_blk char/virtio_console char/hw_random firmware/iscsi_ibft net/net_failover
    net/virtio_net scsi/iscsi scsi/libiscsi scsi/scsi_ scsi/sd_mod virtio""".split()
ARCHIVE = "/srv/packages"
INDEX = "for file in *.deb; do dpkg-deb -f $file; echo Filename: ./$file; " \
        "echo Size: $(stat -c %s $file); echo SHA256: $(sha256sum <$file | cut -d' ' -f1); echo; done"


def offer(packages):
    """mmdebstrap's commands that leave packages, and what they need, to apt in the guest."""
    return [f'chroot "$1" apt-get install -y -q --download-only {" ".join(packages)}',
            f'mkdir "$1{ARCHIVE}" && mv "$1"/var/cache/apt/archives/*.deb "$1{ARCHIVE}"',
            f'cd "$1{ARCHIVE}" && {{ {INDEX}; }} >Packages',
            f'rm -f "$1"/etc/apt/sources.list.d/*; '
            f'echo "deb [trusted=yes] file:{ARCHIVE} ./" >"$1/etc/apt/sources.list"']


def bootstrap(variant, root, folder):
    recipe = VARIANTS[variant]
    modules = "/lib/modules/*/kernel"
    left_out = [*image.LEFT_OUT, f"{modules}/drivers/*", f"{modules}/arch/*/kvm/*"]
    words = [f"--dpkgopt=path-exclude={pattern}" for pattern in left_out]
    words += [f"--dpkgopt=path-include={modules}/drivers/{name}*" for name in DRIVERS]
    words += [f"--customize-hook={command}" for command in offer(recipe["offered"])]
    log = run("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
              f"--include={','.join(COMMON_PACKAGES + recipe['packages'])}",
              f"--essential-hook=sync-in {image.RECIPES / 'common'} /", *words,
              "--customize-hook=chroot \"$1\" passwd --delete root",
              "--customize-hook=chroot \"$1\" systemctl mask apt-daily.timer apt-daily-upgrade.timer "
              "e2scrub_all.timer fstrim.timer dpkg-db-backup.timer e2scrub_reap.service",
              "bookworm", root, *image.SOURCES, timeout=900)
    (folder / "build.log").write_text(log.stdout)
    kernel, = (root / "boot").glob("vmlinuz-*")
    initrd, = (root / "boot").glob("initrd.img-*")
    image.write_grub_config(root, kernel.name, initrd.name, f"root=LABEL={image.ROOT_LABEL}")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", image.ROOT_LABEL, "-d", root,
        make_file(folder / "root.ext4", image.ROOT_BYTES), timeout=300)


def build(variant):
    """Gives the folder with disk.img; kept in build/guest until the recipe changes."""
    folder = image.CACHE / f"stock-{variant}"
    recipe = image.recipe_of(variant) + hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    with image.locked(folder):
        stamp = folder / "recipe"
        if not stamp.exists() or stamp.read_text() != recipe:
            stamp.unlink(missing_ok=True)
            step(f"building a stock Debian with {variant} (some minutes)")
            with tempfile.TemporaryDirectory(dir=folder) as root:
                bootstrap(variant, Path(root) / "root", folder)
            image.make_disk(folder)
            (folder / "root.ext4").unlink()
            stamp.write_text(recipe)
    return folder


def copy_disk(variant, to):
    """A disk of its own for one test."""
    run("cp", "--sparse=always", "--reflink=auto", build(variant) / "disk.img", to, timeout=120)
    return Path(to)
