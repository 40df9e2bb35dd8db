"""The Debian package: built by CPack, and a clean Debian 12 to install it in."""
import contextlib
import tempfile
from pathlib import Path

from .image import CACHE, SOURCES, locked
from .process import TOP, run
from .report import step

BUILD = TOP / "build/release"
NAME = "netboot-target"


def build_package(folder, version=None):
    """Packs what is built; gives the .deb. `version`: another one than the project's."""
    words = ["-R", version] if version else []
    run("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", folder, *words,
        cwd=BUILD, timeout=900)
    package, = folder.glob(f"*_{version}-*.deb" if version else "*.deb")
    return package


def base_tarball():
    """A minimal Debian, kept until the sources change."""
    folder = CACHE / "base"
    recipe = "\n".join(SOURCES)
    with locked(folder):
        stamp, tarball = folder / "recipe", folder / "root.tar"
        if not stamp.exists() or stamp.read_text() != recipe:
            stamp.unlink(missing_ok=True)
            step("building a minimal Debian")
            run("mmdebstrap", "--mode=root", "--variant=apt", "bookworm", tarball, *SOURCES,
                timeout=600)
            stamp.write_text(recipe)
    return tarball


class Chroot:
    """A Debian of its own in a folder, with /proc and without a running systemd."""

    def __init__(self, root):
        self.root = Path(root)

    def run(self, *command, check=True, timeout=300):
        """Processes it leaves behind are ended with it: they live in a namespace of their own."""
        return run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
                   f'mount -t proc proc "{self.root}/proc" && exec chroot "{self.root}" "$@"', "sh",
                   *command, check=check, timeout=timeout,
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                        "DEBIAN_FRONTEND": "noninteractive"})

    def shell(self, script, check=True):
        return self.run("sh", "-c", script, check=check)

    def install(self, *what):
        self.run("apt-get", "install", "--yes", "-q", "--no-install-recommends",
                 "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
                 *what, timeout=600)

    def bring(self, file):
        """Copies a file in; gives its path there."""
        (self.root / "root" / file.name).write_bytes(file.read_bytes())
        return f"/root/{file.name}"

    def path(self, name):
        return self.root / name.lstrip("/")


@contextlib.contextmanager
def clean_debian():
    with tempfile.TemporaryDirectory(prefix="netboot-target-", dir=CACHE) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        run("tar", "-x", "-f", base_tarball(), "-C", root, "--numeric-owner", timeout=120)
        (root / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
        chroot = Chroot(root)
        chroot.run("apt-get", "update", "-q")
        yield chroot
