"""A stand-in for netboot-target-discover: it finds what a test says. The daemon runs it by
NETBOOT_TARGET_DISCOVER; what it sends, and how, is what the real one does."""
import json
from pathlib import Path

HELPER = r"""#!/usr/bin/python3 -I
import array, fcntl, hashlib, json, os, socket, sys, time
folder = {folder!r}
with open(folder + "/runs", "a") as runs:
    runs.write(" ".join(sys.argv[1:]) + "\n")
wire = socket.socket(fileno=3)
F_ADD_SEALS, SEALS = 1033, 2 | 4 | 8

def send(kind, data=None):
    memory = os.memfd_create("file", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(memory, data)
    fcntl.fcntl(memory, F_ADD_SEALS, SEALS)
    wire.sendmsg([kind], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory]))])
    os.close(memory)

known = [word[len("--known="):] for word in sys.argv if word.startswith("--known=")]
with open(folder + "/catalog.json") as file:
    catalog = json.load(file)
time.sleep(catalog.pop("seconds", 0))
for file in catalog["files"]:
    path = file.pop("path")
    data = open(path, "rb").read() if path else b""
    file["bytes"] = file.get("bytes", len(data))
    file["sha256"] = hashlib.sha256(data).hexdigest()
    file["kept"] = f"{{file['sha256']}}:{{file['bytes']}}" in known
    file["sent"] = bool(path) and not file["kept"]
    if file["sent"]:
        send(b"F", data)
send(b"I", json.dumps(catalog).encode())
"""

BIOS, X64 = 1, 2


def linux(name, title, kernel, *initrds, options="root=LABEL=labroot ro", machines=BIOS | X64,
          initramfs="initramfs-tools", problem=None):
    entry = {"kind": "linux", "id": name, "title": title, "source": "a test", "kernel": kernel,
             "initrds": list(initrds), "options": options, "machines": machines,
             "initramfs": initramfs, "iscsi": problem is None}
    return entry | ({"problem": problem} if problem else {})


def loader(name, title, path, machines=X64, problem=None, on_demand=False):
    entry = {"kind": "loader", "id": name, "title": title, "source": "a test", "loader": path,
             "machines": machines, "initrds": [], "on-demand": on_demand}
    return entry | ({"problem": problem} if problem else {})


def mbr(problem=None):
    entry = {"kind": "mbr", "id": "mbr", "title": "Boot code of the disk", "source": "a test",
             "machines": BIOS, "initrds": []}
    return entry | ({"problem": problem} if problem else {})


class FakeDiscovery:
    """`path` is the helper. `files` of find() are (name, path or None: too large), `dirty` are volumes."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.path = self.folder / "discover"
        self.path.write_text(HELPER.format(folder=str(self.folder)))
        self.path.chmod(0o755)
        self.find([], [])

    def find(self, entries, files, seconds=0, dirty=()):
        listed = [{"name": name, "path": str(path) if path else None} | ({} if path else {"bytes": 1})
                  for name, path in files]
        text = json.dumps({"entries": entries, "files": listed, "notes": [], "seconds": seconds,
                           "dirty": bool(dirty), "dirty-volumes": list(dirty)})
        new = self.folder / "catalog.new"
        new.write_text(text)
        new.rename(self.folder / "catalog.json")

    def runs(self):
        """How often it was started."""
        file = self.folder / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

