"""A root folder with nothing but a shell, busybox and stand-ins for a system's own tools: for scripts that would
change the machine they run on."""
import os
import re
import shutil
from pathlib import Path

from .process import run

BUSYBOX = Path("/bin/busybox")
SHELL = Path("/bin/dash")
CHROOT = "/usr/sbin/chroot"


class BusyboxRoot:
    """Everything in it is a plain file of the test's. Stand-ins are scripts in /stand-in, which come first
    in the path and keep their state in /state."""

    def __init__(self, folder):
        self.root = Path(folder)
        for name in "bin", "etc", "tmp", "dev", "proc", "sys", "var/lib", "state", "stand-in":
            (self.root / name).mkdir(parents=True)
        self.copy_program(BUSYBOX)
        run(CHROOT, self.root, "/bin/busybox", "--install", "-s", "/bin")
        # busybox's own shell would take busybox's commands where there are stand-ins.
        (self.root / "bin/sh").unlink()
        self.copy_program(SHELL, "bin/sh")
        os.mknod(self.root / "dev/null", 0o20666, os.makedev(1, 3))
        os.chmod(self.root / "dev/null", 0o666)

    def copy_program(self, program, to="bin/busybox"):
        """With its libraries."""
        shutil.copy(program, self.root / to)
        for library in re.findall(r"(/\S+) \(", run("ldd", program, check=False).stdout):
            self.path(library).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, self.path(library))

    def path(self, name):
        return self.root / name.lstrip("/")

    def write(self, name, text="", mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name):
        return self.path(name).read_text()

    def stand_in(self, name, text):
        self.write(f"/stand-in/{name}", f"#!/bin/sh\n{text}", 0o755)

    def command(self, *words):
        """(exit code, output) of a command inside."""
        done = run(CHROOT, self.root, *words, check=False, env={"PATH": "/stand-in:/bin"})
        return done.returncode, done.stdout

    def run(self, script, *words):
        """The same of a shell script that comes from standard input."""
        self.write("/tmp/script", script)
        return self.command("/bin/sh", "-c", "cat /tmp/script | sh -s -- \"$@\"", "sh", *words)

    def fingerprint(self, *folders):
        """Every name with its mode and content."""
        found = {}
        for folder in folders:
            for path in sorted(self.path(folder).rglob("*")):
                name = str(path.relative_to(self.root))
                content = os.readlink(path) if path.is_symlink() else \
                    path.read_bytes() if path.is_file() else "folder"
                found[name] = (path.lstat().st_mode, content)
        return found
