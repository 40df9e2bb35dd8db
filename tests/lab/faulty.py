"""Block devices that are slow, hang or fail: a storage daemon behind FUSE, and a loop device over it
(no kernel module for faults is needed)."""
import contextlib
import json
import os
import signal
from pathlib import Path

from .disk import loop_device, make_file
from .process import Background, run, wait_for
from .report import LabError


class Faulty:
    """`device` is a loop device over an image, with faults in between; without `loop` it is a file
    on that file system."""

    def __init__(self, folder, size_bytes, faults=(), writes_per_second=0, loop=True,
                 log_writes=False):
        """Faults: dictionaries of blkdebug's inject-error, such as {"iotype": "flush",
        "errno": 5, "once": True}; "event": "pwritev" begins with the first write. log_writes: every write and flush in order in `write_log`, which
        lab/write_log.py reads."""
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.image = make_file(self.folder / "image", size_bytes)
        self.mount = make_file(self.folder / "mount", 0)
        self.stack = contextlib.ExitStack()
        words = ["--blockdev", json.dumps({"driver": "file", "node-name": "file",
                                           "filename": str(self.image)})]
        top = "file"
        if log_writes:
            self.write_log = make_file(self.folder / "write-log", 0)
            words += ["--blockdev", json.dumps({"driver": "file", "node-name": "log-file",
                                                "filename": str(self.write_log)}),
                      "--blockdev", json.dumps({"driver": "blklogwrites", "node-name": "logged",
                                                "file": top, "log": "log-file"})]
            top = "logged"
        if faults:
            rules = [{"event": "none", **fault} for fault in faults]
            words += ["--blockdev", json.dumps({"driver": "blkdebug", "node-name": "faults",
                                                "image": top, "inject-error": rules})]
            top = "faults"
        if writes_per_second:
            words += ["--object", json.dumps({"qom-type": "throttle-group", "id": "group", "limits":
                                              {"iops-write": writes_per_second}}),
                      "--blockdev", json.dumps({"driver": "throttle", "node-name": "slow",
                                                "throttle-group": "group", "file": top})]
            top = "slow"
        words += ["--export", json.dumps({"type": "fuse", "id": "fuse", "node-name": top,
                                          "mountpoint": str(self.mount), "writable": True})]
        self.process = Background("qemu-storage-daemon", *words, log=self.folder / "log")
        self.stack.callback(self.end)

        def exported():
            if not self.process.running:
                raise LabError(f"the storage daemon ended\n{self.process.output()}")
            return self.mount.stat().st_size == size_bytes
        try:
            wait_for(exported, 10, "exported image")
            self.device = self.mount
            if loop:
                self.device = self.stack.enter_context(loop_device(self.mount))
        except BaseException:
            self.stack.close()
            raise

    def hang(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def vanish(self):
        self.process.kill()

    def end(self):
        if self.process.running:
            self.go_on()
        self.process.stop()
        run("umount", "--lazy", self.mount, check=False)  # left behind by one that was killed

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self.process.running:
            self.go_on()
        self.stack.close()


class Resizable:
    """A file, or a loop device over one, whose size changes."""

    def __init__(self, folder, size_bytes, loop=True):
        self.size_bytes, self.loop = size_bytes, loop
        self.image = make_file(Path(folder) / "resizable", size_bytes)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.device = self.stack.enter_context(loop_device(self.image)) if self.loop else self.image
        return self

    def truncate(self, size_bytes):
        """What is behind it; a loop device does not notice."""
        os.truncate(self.image, size_bytes)

    def resize(self, size_bytes):
        self.truncate(size_bytes)
        if self.loop:
            run("losetup", "--set-capacity", self.device)

    def __exit__(self, *_error):
        self.stack.close()
