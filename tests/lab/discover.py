"""The helper that looks for kernels, run by itself: what it sends, as the daemon would get it."""
import array
import contextlib
import hashlib
import json
import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .daemon import PROGRAM
from .disk import digest
from .report import LabError

SEALS = 0x0002 | 0x0004 | 0x0008  # F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE
F_GET_SEALS = 1034
BIOS, X64 = 1, 2  # bits of an entry's "machines"


def helper_program():
    return Path(PROGRAM).parent / "netboot-target-discover"


@dataclass
class Found:
    """A catalog: the index, and the bytes of the files that were sent."""
    index: dict
    data: dict = field(default_factory=dict)  # by the file's name

    def entry(self, name):
        """By its id."""
        return next(item for item in self.index["entries"] if item["id"] == name)

    @property
    def ids(self):
        return [item["id"] for item in self.index["entries"]]

    @property
    def offered(self):
        return [item["id"] for item in self.index["entries"] if "problem" not in item]

    @property
    def notes(self):
        return self.index["notes"]

    def file(self, number):
        return self.index["files"][number]

    def kernel(self, entry):
        return self.data[self.file(entry["kernel"])["name"]]

    def initrds(self, entry):
        return [self.data[self.file(number)["name"]] for number in entry["initrds"]]


def _packets(ours):
    """(letter, bytes of its memory file or text) until the helper ends."""
    while True:
        control = socket.CMSG_SPACE(array.array("i").itemsize)
        message, rights, _flags, _address = ours.recvmsg(4096, control)
        if not message:
            return
        content = message[1:].decode()
        for _level, _kind, payload in rights:
            descriptor = array.array("i", payload)[0]
            with os.fdopen(descriptor, "rb") as file:
                import fcntl
                if fcntl.fcntl(descriptor, F_GET_SEALS) & SEALS != SEALS:
                    raise LabError("a memory file that can still be changed")
                file.seek(0)
                content = file.read()
        yield message[:1].decode(), content


def discover(disk, *arguments, timeout=120, user=None):
    """Runs the helper over a disk. LabError with its sentence when it finds nothing out."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(timeout)

    def give_socket():
        os.dup2(theirs.fileno(), 3)
        os.set_inheritable(3, True)

    words = [str(helper_program()), *map(str, arguments), "--", str(disk)]
    with contextlib.closing(ours), contextlib.closing(theirs):
        process = subprocess.Popen(words, pass_fds=(3,), preexec_fn=give_socket, user=user,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, errors="replace")
        theirs.close()
        files, index, complaint = [], None, ""
        try:
            for letter, content in _packets(ours):
                if letter == "F":
                    files.append(content)
                elif letter == "I":
                    index = json.loads(content)
                else:
                    complaint = content
            _output, said = process.communicate(timeout=timeout)
        finally:
            process.kill()
            process.wait()
    if complaint or index is None or process.returncode:
        raise LabError(complaint or f"exit code {process.returncode}: {said[-3000:]}")
    found = Found(index)
    sent = [item for item in index["files"] if item["sent"]]
    if len(sent) != len(files):
        raise LabError(f"{len(sent)} files are named and {len(files)} were sent")
    for item, content in zip(sent, files):
        if len(content) != item["bytes"] or hashlib.sha256(content).hexdigest() != item["sha256"]:
            raise LabError(f"{item['name']} is not what the index says")
        found.data[item["name"]] = content
    return found


def look(disk, *arguments, **options):
    """Discovers, and is sure that nothing was written."""
    before = digest(disk)
    found = discover(disk, *arguments, **options)
    assert digest(disk) == before, f"{disk} was changed"
    return found


def expect_linux(found, name, **expected):
    """Of the entry with this id; its kernel and initrds by their bytes, of its problem a part."""
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
