#!/usr/bin/env python3
"""The boot listener over real sockets: boot files, scripts and who gets one, waiting for a late disk.

usage: test_http_boot.py NETBOOT-TARGET
"""
import hashlib
import http.client
import json
import random
import re
import shutil
import signal
import sys
import tempfile
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.process import Background, free_port, run, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

PROGRAM = sys.argv[1]
LISTED, LATE = "52:54:00:ab:cd:01", "52:54:00:ab:cd:02"
OWN = "52:54:00:ab:cd:0a"
BY_UUID, CARDS = "4c4c4544-0051-3310-8051-b7c04f4d3132", ("52:54:00:ab:cd:21", "52:54:00:ab:cd:22")
CLOSED, STRANGER = "52:54:00:ab:cd:0e", "52:54:00:ab:cd:ff"
SECRET, TARGET_SECRET = "client-secret-012", "target-secret-345"


class Daemon:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.boot, self.portal, self.status = free_port(), free_port(), free_port()
        self.loader = random.Random("loader").randbytes(300_001)
        files = self.folder / "files"
        files.mkdir()
        (files / "loader.efi").write_bytes(self.loader)
        (files / "deep").mkdir()
        (files / "deep/grub.cfg").write_text("set timeout=1\n")
        for name in "disk", "shared":
            self.make_disk(name)
        self.config = self.folder / "netboot.conf"
        self.config.touch(mode=0o600)
        self.config.write_text(f"""
            interfaces = ( {{ name = "lo"; dhcp = "off" }} );
            portals = [ "127.0.0.1:{self.portal}" ];
            boot = {{ http-listen = "127.0.0.1:{self.boot}"; tftp-listen = [];
                      custom-directory = "{files}"; files = {{ efi-x64 = "loader.efi" }} }};
            status = {{ listen = "127.0.0.1:{self.status}" }};
            targets = (
              {{ name = "laptop"; luns = ( {{ device = "{self.folder}/disk" }} );
                 auth = {{ mode = "mutual"; user = "laptop-user"; secret = "{SECRET}";
                           target-user = "us"; target-secret = "{TARGET_SECRET}" }} }},
              {{ name = "late"; luns = ( {{ device = "{self.folder}/late"; wait = "1m" }} );
                 auth = {{ mode = "none" }} }},
              {{ name = "shared"; luns = ( {{ device = "{self.folder}/shared"; read-only = true }} );
                 auth = {{ mode = "none" }} }},
              {{ name = "each"; luns = ( {{ device = "{self.folder}/each-%m.img" }} );
                 auth = {{ mode = "none" }} }},
              {{ name = "every"; luns = ( {{ device = "{self.folder}/every-%m.img" }} ); open = true;
                 auth = {{ mode = "none" }} }} );
            menu = {{ items = ( {{ name = "every"; target = "every" }} ) }};
            clients = (
              {{ mac = "{LISTED}"; target = "laptop"; open = true }},
              {{ mac = "{LATE}"; target = "late"; open = true }},
              {{ mac = "{CLOSED}"; target = "laptop" }},
              {{ mac = "{OWN}"; target = "laptop"; device = "{self.folder}/own.img"; open = true }},
              {{ uuid = "{BY_UUID}"; target = "laptop"; device = "{self.folder}/by-uuid.img"; open = true }},
              {{ mac = "52:54:00:ab:cd:0b"; target = "each"; open = true }},
              {{ mac = "52:54:00:ab:cd:0c"; target = "each"; open = true }},
              {{ serial = "PF0ABCDE"; target = "laptop"; open = true; initiator = "iqn.2026-11.local.example:pf" }} );
            state-directory = "{self.folder}/state";
            """)
        self.log = self.folder / "log"
        self.make_disk("own.img")
        self.make_disk("by-uuid.img")
        self.start()

    def start(self):
        self.log.unlink(missing_ok=True)
        self.process = Background(PROGRAM, "-c", self.config, log=self.log)
        wait_for(lambda: self.says("listening for iSCSI") and self.says("serving target shared"),
                 15, "start")

    def make_disk(self, name):
        with open(self.folder / name, "wb") as disk:
            disk.truncate(16 << 20)

    def says(self, text):
        return text in self.log.read_text()

    def get(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.boot, timeout=5)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()

    def script(self, mac, more=""):
        answer, body = self.get(f"/boot.ipxe?mac={mac.replace(':', '-')}&uuid="
                                f"00112233-4455-6677-8899-aabbccddeeff&serial={more}")
        return answer, body.decode()

    def clients(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.status, timeout=5)
        connection.request("GET", "/clients")
        return json.loads(connection.getresponse().read())["clients"]

    def stop(self):
        self.process.process.terminate()
        code = self.process.wait(20)
        if code:
            raise LabError(f"the daemon ended with {code}\n{self.log.read_text()[-4000:]}")


def test_files(report, daemon):
    size = len(daemon.loader)
    with report.test("a boot file, its size asked first as firmware does"):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.boot, timeout=5)
        for method, wanted in (("HEAD", b""), ("GET", daemon.loader)):
            connection.request(method, "/loader.efi")
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read() == wanted, method
            assert answer.getheader("Content-Type") == "application/efi"
            assert answer.getheader("Content-Length") == str(size)
        connection.close()
    with report.test("parts of it"):
        for wanted, begin, end in (("bytes=0-99", 0, 100), (f"bytes={size - 1}-", size - 1, size),
                                   ("bytes=-5", size - 5, size)):
            answer, body = daemon.get("/loader.efi", Range=wanted)
            assert answer.status == 206 and body == daemon.loader[begin:end], wanted
            assert answer.getheader("Content-Range") == f"bytes {begin}-{end - 1}/{size}"
        assert daemon.get("/loader.efi", Range=f"bytes={size}-")[0].status == 416
    with report.test("curl resumes it"):
        part = daemon.folder / "part"
        part.write_bytes(daemon.loader[:1000])
        run("curl", "-sSf", "-C", "-", "-o", part, f"http://127.0.0.1:{daemon.boot}/loader.efi")
        assert hashlib.sha256(part.read_bytes()).digest() == hashlib.sha256(daemon.loader).digest()
    with report.test("a file in a folder; nothing else"):
        assert daemon.get("/deep/grub.cfg")[1] == b"set timeout=1\n"
        for path, status in (("/nothing", 404), ("/deep", 404), ("/deep/", 404), ("/", 404),
                             ("/../netboot.conf", 400), ("/deep/%2e%2e/loader.efi", 400),
                             ("/status", 404), ("/clients", 404)):
            assert daemon.get(path)[0].status == status, path
        assert daemon.get("/loader.efi", method="POST")[0].status == 405
    with report.test("the entry script, by two names"):
        for path in "/autoexec.ipxe", "/x/autoexec.ipxe", "/boot.ipxe":
            answer, body = daemon.get(path)
            assert answer.status == 200 and body.startswith(b"#!ipxe\n"), body
            assert f"http://127.0.0.1:{daemon.boot}/boot.ipxe?mac=".encode() in body, body


def test_scripts(report, daemon):
    with report.test("a listed machine gets its script, with everything in it"):
        answer, script = daemon.script(LISTED)
        assert answer.status == 200 and script.startswith("#!ipxe\n"), script
        name = re.search(r"iqn\.2026-11\.local\.netboot-target:[0-9a-f]{32}", script)
        assert f"sanhook --drive 0x80 iscsi:127.0.0.1::{daemon.portal}:0:{name.group()}" in script
        for line in ("set initiator-iqn iqn.2010-04.org.ipxe:52-54-00-ab-cd-01",
                     "set username:uristring laptop-user",
                     f"set password:uristring {SECRET}", "set reverse-username:uristring us",
                     f"set reverse-password:uristring {TARGET_SECRET}"):
            assert f"\n{line}\n" in urllib.parse.unquote(script), line
        assert script.count("sanhook") == 1, "more than one disk is hooked"
    with report.test("a machine known by its serial number"):
        script = daemon.script(STRANGER, "PF0ABCDE")[1]
        assert "\nset initiator-iqn iqn.2026-11.local.example:pf\n" in script, script
    with report.test("a stranger gets what is for everybody, and no secret"):
        script = daemon.script(STRANGER)[1]
        assert "Booting shared LUN 0" in script and SECRET not in script, script
    with report.test("one that is to give the password gets none of the secrets"):
        answer, script = daemon.script(CLOSED)
        assert answer.status == 200 and "password" in script, script
        assert SECRET not in script and TARGET_SECRET not in script and "sanhook" not in script
    with report.test("hostile words stay words"):
        for words in ("%24%7Bpassword%7D", "x%0Ashell", "%26%26%20shell", "a" * 3000, "%00", "%zz"):
            answer, script = daemon.script(STRANGER, words)
            assert answer.status in (200, 400, 414), words
            assert "${password}" not in script and "\nshell\n" not in script, script
    with report.test("while a disk is late: 503 and Retry-After, then the script"):
        answer, body = daemon.script(LATE)
        assert answer.status == 503 and int(answer.getheader("Retry-After")) > 0, body
        daemon.make_disk("late")
        wait_for(lambda: daemon.script(LATE)[0].status == 200, 15, "script")
        assert "Booting late LUN 0" in daemon.script(LATE)[1]


def test_serving(report, daemon):
    with report.test("while serving is off nobody gets a script that boots"):
        for word, boots in (("off", False), ("on", True)):
            run("curl", "-sf", "-X", "POST", "-H", "X-Netboot-Target: 1", "-d", word,
                f"http://127.0.0.1:{daemon.status}/serving")
            assert ("sanhook" in daemon.script(LISTED)[1]) == boots, word


def test_journal(report, daemon):
    with report.test("the journal tells each machine's steps"):
        known = {client["mac"]: client for client in daemon.clients()}
        steps = [step["name"] for step in known[LISTED]["steps"]]
        assert "script" in steps, steps
        assert "script-wait" in steps, "serving was off"
        assert "fetched the script" in known[LISTED]["sentence"], known[LISTED]
        assert "script-login" in [step["name"] for step in known[CLOSED]["steps"]]
        assert known[CLOSED]["state"] == "waiting", known[CLOSED]
        assert SECRET not in json.dumps(known)


def name_in(script):
    return re.search(r"iscsi:127\.0\.0\.1::\d+:0:(\S+)", script).group(1)


def test_images(report, daemon):
    with report.test("a client with a device of its own boots that one"):
        wait_for(lambda: daemon.script(OWN)[0].status == 200, 10, "script")
        script = daemon.script(OWN)[1]
        assert "Booting laptop.52-54-00-ab-cd-0a LUN 0" in script, script
        assert f"set password:uristring {SECRET}" in urllib.parse.unquote(script)
        assert name_in(script) != name_in(daemon.script(LISTED)[1])
    with report.test("one that is listed by its UUID does so through each of its cards"):
        for mac in CARDS:
            path = f"/boot.ipxe?mac={mac.replace(':', '-')}&uuid={BY_UUID}&serial="
            wait_for(lambda path=path: daemon.get(path)[0].status == 200, 10, "script")
            script = daemon.get(path)[1].decode()
            assert f"Booting laptop.{BY_UUID} LUN 0" in script, script
    with report.test("of another target it gets the image that is its own there"):
        daemon.make_disk(f"every-{OWN.replace(':', '-')}.img")
        path = f"/entry.ipxe?mac={OWN.replace(':', '-')}&uuid=&serial=&choice=item:every"
        wait_for(lambda: daemon.get(path)[0].status == 200, 10, "script")
        script = daemon.get(path)[1].decode()
        assert f"Booting every.{OWN.replace(':', '-')} LUN 0" in script, script
    macs = [f"52:54:00:ab:cd:0{end}" for end in "bc"]
    with report.test("each client of a target has its image, copies of one another"):
        golden = daemon.folder / "golden"
        with open(golden, "wb") as disk:
            disk.truncate(16 << 20)
        run("sgdisk", "-n", "1", golden)
        for mac in macs:
            shutil.copy(golden, daemon.folder / f"each-{mac.replace(':', '-')}.img")
        names = set()
        for mac in macs:
            wait_for(lambda mac=mac: daemon.script(mac)[0].status == 200, 10, "script")
            script = daemon.script(mac)[1]
            assert f"Booting each.{mac.replace(':', '-')} LUN 0" in script, script
            names.add(name_in(script))
        assert len(names) == 2, names
    with report.test("an image that is not there is told about"):
        mac = "52:54:00:ab:cd:77"
        daemon.config.write_text(daemon.config.read_text().replace(
            "clients = (", f"clients = ( {{ mac = \"{mac}\"; target = \"each\"; open = true }},"))
        daemon.process.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "each-52-54-00-ab-cd-77.img" in daemon.script(mac)[1], 20, "page")
    with report.test("after a restart their disks are there before they ask"):
        daemon.stop()
        daemon.start()
        for mac in macs:
            wait_for(lambda mac=mac: daemon.says(f"serving target each.{mac.replace(':', '-')}"),
                     10, "target")
            assert name_in(daemon.script(mac)[1]) in names


def test_reload(report, daemon):
    with report.test("a reload brings new machines and new files"):
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace("clients = (", f"""clients = (
            {{ mac = "{STRANGER}"; target = "laptop"; open = true }},"""))
        (daemon.folder / "files/new.efi").write_bytes(b"new")
        daemon.process.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.says("boot files read again"), 10, "reload")
        assert "Booting laptop LUN 0" in daemon.script(STRANGER)[1]
        assert daemon.get("/new.efi")[1] == b"new"


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(folder)
        try:
            for test in (test_files, test_scripts, test_serving, test_journal, test_reload,
                         test_images):
                test(report, daemon)
        finally:
            with report.test("the daemon ends in order, without a leak"):
                daemon.stop()
    report.finish()


main()
