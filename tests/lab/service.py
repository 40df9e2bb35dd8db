"""A Debian guest that serves: netboot-target from its package, under the unit as shipped."""
import json
from pathlib import Path

from .guest import Machine
from .image import EMULATED, build
from .process import run, wait_for

UNIT = "netboot-target"
CONFIG = "/etc/netboot.conf"
DISK = "/dev/vdc"
PACKAGES = "/mnt/packages"


def network_card(tap, mac, number):
    return ["-netdev", f"tap,id=net{number},ifname={tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net{number},mac={mac},romfile="]


def packages_disk(folder, *packages):
    """A filesystem with these files, for a guest to read."""
    content, image = folder / "packages", folder / "packages.ext4"
    content.mkdir()
    for package in packages:
        (content / package.name).write_bytes(package.read_bytes())
    run("mke2fs", "-q", "-t", "ext4", "-d", content, image, "16M")
    return image


class ServiceGuest(Machine):
    """/dev/vdb has the packages, /dev/vdc is the disk to serve."""

    def __init__(self, folder, packages, disk, *network, **options):
        image = build("service")
        drives = [f"file={image / 'root.ext4'},snapshot=on", f"file={packages},readonly=on",
                  f"file={disk}"]
        super().__init__(
            folder, "service", "-smp", "2", "-kernel", image / "vmlinuz", "-initrd",
            image / "initrd", "-append", f"root=/dev/vda rw {EMULATED} console=ttyS0 net.ifnames=0 panic=-1",
            *[word for drive in drives for word in ("-drive", f"{drive},format=raw,if=virtio")],
            *network, **options)

    def prepare(self, *commands):
        self.run("\n".join(["set -e", f"mkdir -p {PACKAGES}", f"mount -o ro /dev/vdb {PACKAGES}",
                            *commands]))

    def install(self, package, check=True):
        return self.run(f"DEBIAN_FRONTEND=noninteractive dpkg -i {PACKAGES}/{package.name}", 120,
                        check)

    def configure(self, text):
        """Keeps who owns the file and who may read it."""
        self.run(f"cat >{CONFIG} <<'END'\n{text}END\n")

    def drop_in(self, name, *lines):
        """Adds to the unit; no lines: takes that away again."""
        path = f"/etc/systemd/system/{UNIT}.service.d/{name}.conf"
        text = "\n".join(["[Service]", *lines])
        self.run(f"mkdir -p $(dirname {path})\ncat >{path} <<'END'\n{text}\nEND\n" if lines else
                 f"rm {path}")
        self.run("systemctl daemon-reload")

    def systemctl(self, verb, seconds=60, check=True):
        return self.run(f"systemctl {verb} {UNIT} || "
                        f"{{ journalctl --no-pager -u {UNIT} | tail -40; exit 1; }}", seconds, check)

    def properties(self, *names):
        text = self.run(f"systemctl show {UNIT} -p {','.join(names)}")
        return dict(line.split("=", 1) for line in text.splitlines())

    def show(self, name):
        return self.properties(name)[name]

    @property
    def pid(self):
        return int(self.show("MainPID"))

    def wait_property(self, name, value, seconds=90):
        wait_for(lambda: self.show(name) == value, seconds,
                 lambda: f"{name}={value}\n{self.journal()[-3000:]}")

    def journal(self, since=None):
        words = f"--since=@{since}" if since else ""
        return self.run(f"journalctl --no-pager -o cat -u {UNIT} {words}")

    def status(self):
        """The daemon's; None: it does not answer."""
        code, text = self.run("curl -s --max-time 10 http://127.0.0.1:9180/status", check=False)
        return json.loads(text) if code == 0 else None

    def wait_ready(self, seconds=90):
        def ready():
            status = self.status()
            return status and status["targets"] and all(item["ready"] for item in status["targets"])
        wait_for(ready, seconds, lambda: f"daemon that is ready\n{self.journal()[-3000:]}")


def written(path, lba, length):
    """What the file behind a guest's disk has."""
    with open(Path(path), "rb") as file:
        file.seek(lba * 512)
        return file.read(length)
