#!/usr/bin/env python3
"""The boot menu over real sockets: who sees it, what is in it, the password, kernels, what is remembered.

usage: test_menu.py NETBOOT-TARGET
"""
import contextlib
import hashlib
import hmac
import json
import os
import random
import re
import signal
import stat
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.catalog import FakeDiscovery, linux, loader, mbr  # noqa: E402
from lab.process import Background, free_port, run, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

PROGRAM = sys.argv[1]
UNATTENDED, ASKS, CLOSED = "52:54:00:ab:cd:01", "52:54:00:ab:cd:02", "52:54:00:ab:cd:03"
OWN, STRANGER = "52:54:00:ab:cd:04", "52:54:00:ab:cd:ff"
SEAT = "52:54:00:ab:cd:05"
SECRET = re.compile(r"[A-Za-z0-9._]{16}")
KEY = "0123456789abcdef0123456789abcdef"


class Daemon:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.discovery = FakeDiscovery(self.folder / "discovery")
        self.kernel = self.file("vmlinuz-6.1", 3_000_001)
        self.initrd = self.file("initrd.img-6.1", 5_000_003)
        for name in "disk", "rescue", "vault", "own.img", "seat.img":
            with open(self.folder / name, "wb") as disk:
                disk.truncate(16 << 20)
        self.config = self.folder / "netboot.conf"
        self.log = self.folder / "log"
        self.state = self.folder / "state"
        self.boot, self.portal, self.status = free_port(), free_port(), free_port()
        self.find()

    def file(self, name, size):
        path = self.folder / name
        path.write_bytes(random.Random(name).randbytes(size))
        return path

    def find(self, *more_entries, **options):
        """What the helper will say."""
        self.discovery.find(
            [linux("debian-6.1", "Debian ${password} && shell", 0, 1, options="root=LABEL=a ro quiet"),
             linux("raw", "Not for this", 0, 1, problem="not prepared: run setup/linux.sh"),
             linux("huge", "Too large", 0, 2),
             loader("windows", "Windows Boot Manager", r"\EFI\Microsoft\Boot\bootmgfw.efi"),
             loader("odd", "Odd", r"\EFI\Arch Linux\grubx64.efi", problem="its path is odd"),
             loader("plain", "Unsaid", r"\EFI\Arch Linux\shimx64.efi"),
             loader("bad", "Not prepared", r"\EFI\arch\grubx64.efi", problem="not prepared"),
             loader("shell", "Shell", r"\EFI\shell.efi", on_demand=True),
             mbr(), *more_entries],
            [("vmlinuz-6.1", self.kernel), ("initrd.img-6.1", self.initrd), ("huge.img", None)],
            **options)

    def configure(self, menu="", top="", kernels='cmdline-append = "console=ttyS0"'):
        self.config.touch(mode=0o600)
        self.config.write_text(f"""
            interfaces = ( {{ name = "lo"; dhcp = "off" }} );
            portals = [ "127.0.0.1:{self.portal}" ];
            boot = {{ http-listen = "127.0.0.1:{self.boot}"; tftp-listen = [] }};
            status = {{ listen = "127.0.0.1:{self.status}" }};
            targets = (
              {{ name = "laptop"; luns = ( {{ device = "{self.folder}/disk" }} );
                 kernels = {{ {kernels} }} }},
              {{ name = "rescue"; luns = ( {{ device = "{self.folder}/rescue"; read-only = true }} );
                 auth = {{ mode = "none" }}; kernels = {{ discover = false }} }},
              {{ name = "vault"; luns = ( {{ device = "{self.folder}/vault" }} );
                 kernels = {{ discover = false }} }} );
            clients = (
              {{ mac = "{UNATTENDED}"; target = "laptop"; open = true }},
              {{ mac = "{ASKS}"; target = "laptop"; open = true; menu = true }},
              {{ mac = "{CLOSED}"; target = "laptop"; menu = true }},
              {{ mac = "{OWN}"; target = "laptop"; device = "{self.folder}/own.img"; open = true }},
              {{ mac = "{SEAT}"; target = "laptop"; device = "{self.folder}/seat.img"; open = true }} );
            menu = {{ user = "me"; timeout = "7s"; {menu}
              items = ( {{ name = "rescue"; title = "Rescue"; target = "rescue" }},
                        {{ name = "vault"; title = "Vault"; target = "vault" }},
                        {{ name = "lines"; title = "Lines"; script = [ "set a b", "shell" ] }} ) }};
            limits = {{ failed-logins-per-minute = 4 }};
            state-directory = "{self.state}"; {top}
            """)

    def start(self):
        self.log.unlink(missing_ok=True)
        self.process = Background(PROGRAM, "-c", self.config, log=self.log, env=os.environ | {
            "NETBOOT_TARGET_DISCOVER": str(self.discovery.path)})
        wait_for(lambda: all(self.says(f"serving target {name}")
                             for name in ("laptop", "rescue", "vault")), 15,
                 lambda: f"start\n{self.log.read_text()[-3000:]}")

    def restart(self):
        self.stop()
        self.start()

    def reload(self, **options):
        self.configure(**options)
        count = self.log.read_text().count("configuration reloaded")
        self.process.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.read_text().count("configuration reloaded") > count, 10,
                 lambda: f"reload\n{self.log.read_text()[-2000:]}")

    def says(self, text):
        return text in self.log.read_text()

    def stop(self):
        self.process.process.terminate()
        code = self.process.wait(20)
        if code or self.says("Sanitizer:"):
            raise LabError(f"the daemon ended with {code}\n{self.log.read_text()[-6000:]}")

    def password(self):
        return (self.state / "menu-password").read_text().split()[1]

    def get(self, path, *options):
        """curl's view: status, header, body."""
        with tempfile.TemporaryDirectory() as folder:
            head, body = Path(folder) / "head", Path(folder) / "body"
            body.touch()
            done = run("curl", "-s", "-g", "-D", head, "-o", body, "-w", "%{http_code}",
                       f"http://127.0.0.1:{self.boot}{path}", *options, check=False)
            return int(done.stdout[-3:]), head.read_text(), body.read_bytes()

    def script(self, page, mac, *options, on="pcbios-i386", more=""):
        status, head, body = self.get(
            f"/{page}.ipxe?mac={mac.replace(':', '-')}&uuid=00112233-4455-6677-8899-"
            f"aabbccddee{mac[-2:]}&serial=x&on={on}{more}", *options)
        return status, head, body.decode(errors="replace")

    def page(self, page, mac, *options, **more):
        status, head, body = self.script(page, mac, *options, **more)
        if status != 200:
            raise LabError(f"{page}: {status}\n{head}{body}")
        return body

    def login(self, mac, password=None, *options, user="me", **more):
        return self.script("login", mac, "--digest", "-u", f"{user}:{password or self.password()}",
                           *options, **more)

    def key(self, mac):
        """As a person gets it: by the password."""
        status, head, menu = self.login(mac)
        if status != 200:
            raise LabError(f"login: {status}\n{head}{menu}")
        return re.search(r"&key=([0-9a-f]+)", menu)[1]

    def choose(self, mac, choice, key=None, **more):
        key_part = f"&key={key}" if key else ""
        return self.page("entry", mac, more=f"{key_part}&choice={choice}", **more)

    def client(self, mac):
        done = run("curl", "-s", f"http://127.0.0.1:{self.status}/clients")
        return next(one for one in json.loads(done.stdout)["clients"] if one["mac"] == mac)

    def steps(self, mac):
        return {step["name"]: step for step in self.client(mac)["steps"]}

    def look_again(self, mac, key):
        """Reload, as soon as discovery's own pause between two looks is over."""
        wait_for(lambda: "a moment ago" not in self.page("reload", mac, more=f"&key={key}"), 20,
                 "time to look again", pause_s=0.5)

    def wait_found(self):
        wait_for(lambda: "Debian" in self.script("menu", ASKS)[2], 15,
                 lambda: f"catalog\n{self.log.read_text()[-3000:]}")


def test_secrets(report, daemon):
    with report.test("a password is generated, kept by 0600, and the log says where it is"):
        file = daemon.state / "menu-password"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, oct(file.stat().st_mode)
        user, password = file.read_text().split()
        assert user == "me" and SECRET.fullmatch(password), file.read_text()
        assert daemon.says(f"user and password of the boot menu: {file}")
        assert not daemon.says(password)
    with report.test("CHAP secrets differ by direction, by target, and by client with its own image"):
        daemon.script("boot", OWN)
        own = daemon.state / "secrets-laptop.52-54-00-ab-cd-04"
        wait_for(own.exists, 10, "secrets of the client's own")
        secrets = []
        for file in (daemon.state / "secrets-laptop", daemon.state / "secrets-vault", own):
            secrets += re.findall(r"^(?:initiator|target) \S+ (\S+)$", file.read_text(), re.M)
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(secrets) == 6 and len(set(secrets)) == 6, "two are the same"
        assert all(SECRET.fullmatch(secret) for secret in secrets), secrets


def test_menu(report, daemon):
    with report.test("who is open and wants the menu gets it without the password"):
        menu = daemon.page("boot", ASKS)
        assert "menu netboot-target: laptop LUN 0" in menu, menu
        assert "sanhook" not in menu and "set password" not in menu and "key=" not in menu, menu
        assert "set wait 7000\n" in menu and "--default e3" in menu, menu
    with report.test("kernels, loaders that fit the firmware, items"):
        assert "(not prepared: run setup/linux.sh)" in menu, menu
        assert "item -- e2 Too large (its files are not in memory)" in menu, menu
        assert "Boot code of the disk" in menu and "Windows" not in menu, menu
        assert "Windows Boot Manager" in daemon.page("menu", ASKS, on="efi-x86_64")
        for words in "Rescue", "Vault (it needs the password)", "Lines", "Log in", "Reload", "Help":
            assert words in menu, words
    with report.test("titles of the disk are text"):
        assert "Debian ?{password} ?? shell\n" in menu and "${password} " not in menu, menu
    with report.test("an unattended machine starts its disk"):
        script = daemon.page("boot", UNATTENDED)
        assert "sanboot" in script and "menu" not in script, script
        assert "script" in daemon.steps(UNATTENDED)
    with report.test("a choice hooks the disk, with CHAP, and loads kernel and initrd"):
        script = daemon.choose(ASKS, "entry:debian-6.1")
        order = ["set username:uristring", "sanhook", "imgfree", "kernel --name kernel", "initrd ",
                 "boot ||"]
        assert [script.index(word) for word in order] == sorted(script.index(w) for w in order)
        assert f"root=LABEL=a ro iscsi_auto BOOTIF=01-{ASKS.replace(':', '-')} " in script, script
        assert " console=ttyS0 ||" in script and "quiet" not in script, script
        assert "initrd=" not in script, "a BIOS' kernel does not need it"
        assert "initrd=initrd0 root=" in daemon.choose(ASKS, "entry:debian-6.1", on="efi-x86_64")
    with report.test("a loader is started by its name, alone"):
        script = daemon.choose(ASKS, "entry:windows", on="efi-x86_64")
        assert script.count("sanboot --drive 0x80 --keep --filename ") == 1, script
        assert r"\EFI\Microsoft\Boot\bootmgfw.efi" in script, script
    with report.test("what cannot be named or is a tool keeps no disk from starting by itself"):
        script = daemon.page("boot", UNATTENDED, on="efi-x86_64")
        named = re.findall(r"--filename (\S+)", script)
        assert named == [r"\EFI\Microsoft\Boot\bootmgfw.efi"], script
        menu = daemon.page("menu", ASKS, on="efi-x86_64")
        assert "Shell\n" in menu and "Odd (its path" in menu, menu
        assert "sanhook" not in daemon.choose(ASKS, "entry:odd", on="efi-x86_64")
        assert r"shell.efi" in daemon.choose(ASKS, "entry:shell", on="efi-x86_64")
    with report.test("items: a disk for everybody, lines, and one that needs the password"):
        script = daemon.choose(ASKS, "item:rescue")
        assert "sanboot" in script and "clear username" in script and "Booting rescue" in script
        script = daemon.choose(ASKS, "item:lines")
        assert "\nset a b || goto unbootable\nshell || goto unbootable\n" in script, script
        script = daemon.choose(ASKS, "item:vault")
        assert "login" in script and "sanhook" not in script, script
        assert "Booting vault" in daemon.choose(ASKS, "item:vault", daemon.key(ASKS))
    with report.test("what is not there, or no choice at all, leads back to the menu"):
        for choice in "entry:gone", "item:gone", "", "entry:huge", "%24%7Bx%7D", "a%0Ashell":
            script = daemon.choose(ASKS, choice)
            assert "/menu.ipxe?" in script and "sanhook" not in script, script
            assert "${x}" not in script and "\nshell\n" not in script, script
    with report.test("the journal tells of menu, choice and script"):
        steps = daemon.steps(ASKS)
        assert steps["script-menu"]["detail"] == "target laptop LUN 0", steps
        assert "script-choice" in steps and "script" in steps, steps


def test_login(report, daemon):
    with report.test("who is closed is asked for the password"):
        for page in "boot", "menu":
            script = daemon.page(page, CLOSED)
            assert "\nlogin ||" in script and "sanhook" not in script, script
            assert "http://${username:uristring}:${password:uristring}@127.0.0.1:" in script, script
        assert daemon.client(CLOSED)["state"] == "waiting"
    with report.test("without it there is no choice, no reload"):
        for key in "", "&key=", f"&key={'0' * 48}", "&key=" + "f" * 1000:
            for page in "entry", "reload", "menu":
                script = daemon.page(page, CLOSED, more=f"{key}&choice=entry:debian-6.1")
                assert "sanhook" not in script and "/kernel/" not in script, script
                assert "\nlogin ||" in script, script
    with report.test("401 offers Digest with MD5, which iPXE knows, and no Basic"):
        status, head, _ = daemon.script("login", CLOSED)
        fields = [line for line in head.splitlines() if line.lower().startswith("www-auth")]
        assert status == 401 and len(fields) == 1 and "Digest" in fields[0], head
        assert "algorithm=MD5" in fields[0], head
        status, head, _ = daemon.script("login", CLOSED, "--basic", "-u",
                                        f"me:{daemon.password()}")
        assert status == 401, head
    with report.test("the right password gives the menu, with everything in it"):
        status, head, menu = daemon.login(CLOSED)
        assert status == 200 and "menu netboot-target: laptop" in menu, head
        assert "Vault\n" in menu and "Log in" not in menu, menu
        assert "script-menu" in daemon.steps(CLOSED)
    with report.test("its key opens choices, for this machine and address alone"):
        key = daemon.key(CLOSED)
        assert "sanhook" in daemon.choose(CLOSED, "disk", key)
        assert "sanhook" not in daemon.choose(STRANGER, "entry:debian-6.1", key)
        changed = key[:-1] + ("0" if key[-1] != "0" else "1")
        assert "sanhook" not in daemon.choose(CLOSED, "disk", changed)
        later = f"{int(key[:16], 16) + 1:016x}" + key[16:]
        assert "sanhook" not in daemon.choose(CLOSED, "disk", later)
    with report.test("a stranger gets what is for everybody, and by the password the rest"):
        script = daemon.page("boot", STRANGER)
        assert "Booting rescue" in script, script
        assert "menu netboot-target: laptop" in daemon.login(STRANGER)[2]
    with report.test("wrong passwords and users are refused, told, and after some have to wait"):
        for number, (user, password) in enumerate([("me", "wrong"), ("you", daemon.password()),
                                                   ("me", daemon.password()[:-1]), ("me", "x" * 300)]):
            status, head, _ = daemon.login(CLOSED, password, user=user)
            assert status == 401, (number, head)
        status, head, _ = daemon.login(CLOSED)
        assert status == 429 and "Retry-After: 60" in head, head
        assert daemon.says("wrong user or password for the boot menu: client=127.0.0.1")
        steps = daemon.steps(CLOSED)
        assert "script-password" in steps, steps
        assert daemon.client(CLOSED)["state"] == "stopped"
        assert "wrong" in daemon.client(CLOSED)["sentence"], daemon.client(CLOSED)["sentence"]
    with report.test("without credentials nobody has to wait, nor do keys"):
        assert daemon.script("login", CLOSED)[0] == 401
        assert "sanhook" in daemon.choose(CLOSED, "disk", key)


def test_basic(report, daemon):
    with report.test("Basic is taken where it is allowed, and Digest still first"):
        daemon.restart()  # and the failures are forgotten
        daemon.wait_found()
        daemon.reload(menu="basic = true;")
        _, head, _ = daemon.script("login", CLOSED)
        fields = [line.split(":")[1].split()[0] for line in head.splitlines()
                  if line.lower().startswith("www-auth")]
        assert fields == ["Digest", "Basic"], head
        for password, wanted in (daemon.password(), 200), ("wrong", 401):
            status, head, body = daemon.script("login", CLOSED, "--basic", "-u", f"me:{password}")
            assert status == wanted, head
        status, _, _ = daemon.script("login", CLOSED, "-H", "Authorization: Basic !!!")
        assert status == 400
        daemon.reload()


def test_kernels(report, daemon):
    script = daemon.choose(UNATTENDED, "entry:debian-6.1")
    kernel = re.search(r"http://[^/]+(/kernel/[^ ]+)", script)[1]
    initrd = re.search(r"initrd --name initrd0 http://[^/]+(/kernel/[^ ]+)", script)[1]
    with report.test("kernel and initrd arrive whole"):
        for path, file in (kernel, daemon.kernel), (initrd, daemon.initrd):
            status, _, body = daemon.get(path)
            assert status == 200 and body == file.read_bytes(), (path, status, len(body))
        assert daemon.says("path=/kernel/*/* status=200"), "told without the key"
        assert kernel.split("/")[2] not in daemon.log.read_text()
    with report.test("machines with images of their own and the same kernel share its URL"):
        def url(mac):
            wait_for(lambda: daemon.script("menu", mac)[0] == 200, 15, "own image")
            wait_for(lambda: "Debian" in daemon.page("menu", mac), 15, "its catalog")
            return re.search(r"http://[^/]+(/kernel/[^ ]+)", daemon.choose(mac, "entry:debian-6.1"))[1]

        assert url(OWN) == url(SEAT) == kernel, (url(OWN), url(SEAT), kernel)
    with report.test("parts of them, and many requests on one connection"):
        status, head, body = daemon.get(kernel, "-r", "1000000-1000999")
        assert status == 206 and body == daemon.kernel.read_bytes()[1000000:1001000], head
        url = f"http://127.0.0.1:{daemon.boot}{kernel}"
        done = run("curl", "-s", "-o", "/dev/null", "-o", "/dev/null", url, url, "-w",
                   "%{num_connects} ")
        assert done.stdout == "1 0 ", done.stdout
        status, head, _ = daemon.get(kernel, "-I")
        assert status == 200 and f"Content-Length: {daemon.kernel.stat().st_size}" in head, head
    with report.test("nobody guesses a file's URL"):
        _, _, key, name = kernel.split("/")
        changed = ("0" if key[0] != "0" else "1") + key[1:]
        for path in f"/kernel/{changed}/{name}", f"/kernel/{name}", f"/kernel/{key[:-1]}/{name}", \
                f"/kernel//{name}", f"/kernel/{'0' * 32}/{name}", "/kernel/" + "a" * 1500 + "/x":
            assert daemon.get(path)[0] in (404, 414), path
    with report.test("the journal tells bytes and time of each"):
        story = daemon.client(UNATTENDED)
        sent = [step for step in story["steps"] if step["name"] == "kernel"]
        assert {step["detail"] for step in sent} == {"vmlinuz-6.1", "initrd.img-6.1"}, sent
        assert {step["bytes"] for step in sent} == {3_000_001, 5_000_003}, sent
    with report.test("a rescan that drops the kernel leaves it to the script that names it"):
        key = daemon.key(CLOSED)
        daemon.discovery.find([mbr()], [])
        daemon.look_again(CLOSED, key)
        wait_for(lambda: "Debian" not in daemon.page("menu", CLOSED, more=f"&key={key}"), 15, "rescan")
        assert daemon.get(kernel)[2] == daemon.kernel.read_bytes()
        assert "not there any more" in daemon.choose(CLOSED, "entry:debian-6.1", key)
        daemon.find()
    with report.test("another process has other URLs"):
        daemon.restart()
        daemon.wait_found()
        assert daemon.get(kernel)[0] == 404
        again = re.search(r"(/kernel/[^ ]+)", daemon.choose(UNATTENDED, "entry:debian-6.1"))[1]
        assert again != kernel and daemon.get(again)[0] == 200


def test_reload(report, daemon):
    with report.test("Reload looks again, but not at every key press; the menu waits for it"):
        key = daemon.key(ASKS)
        daemon.look_again(ASKS, key)
        runs = daemon.discovery.runs()
        for _ in range(5):
            script = daemon.page("reload", ASKS, more=f"&key={key}")
            assert "&fresh=1" in script, script
        assert daemon.discovery.runs() <= runs + 1, "it looked every time"
    with report.test("a menu that must be fresh is put off while the disk is read, others are not"):
        daemon.find(linux("new", "Brand new", 0, 1), seconds=3)
        daemon.look_again(ASKS, key)
        status, head, _ = daemon.script("menu", ASKS, more=f"&key={key}&fresh=1")
        assert status == 503 and "Retry-After" in head, head
        assert "Brand new" not in daemon.page("menu", ASKS, more=f"&key={key}")
        wait_for(lambda: daemon.script("menu", ASKS, more=f"&key={key}&fresh=1")[0] == 200, 15,
                 "menu")
        assert "Brand new" in daemon.page("menu", ASKS, more=f"&key={key}")
    with report.test("Reload needs the password, also on an open machine"):
        script = daemon.page("reload", ASKS)
        assert "menu netboot-target" not in script, script
    with report.test("at the first start the menu waits for the first look, a plain boot does not"):
        daemon.find(seconds=4)
        daemon.restart()
        status, head, _ = daemon.script("menu", ASKS)
        assert status == 503 and "Retry-After" in head, head
        assert daemon.script("boot", OWN)[0] in (200, 503)
        daemon.wait_found()
        daemon.find()
    with report.test("what is on a filesystem that was not unmounted is offered as it was seen before"):
        key = daemon.key(ASKS)
        daemon.find(linux("there", "On its own", 0, 1) | {"source": "there", "volume": "b"})
        daemon.look_again(ASKS, key)
        wait_for(lambda: "On its own\n" in daemon.page("menu", ASKS), 15, "rescan")
        daemon.find(dirty=["b"])
        daemon.look_again(ASKS, key)
        wait_for(lambda: re.search(r"On its own, as it was on \d{4}-\d\d-\d\d \d\d:\d\d\n",
                                   daemon.page("menu", ASKS)), 15, "rescan of a dirty filesystem")
        script = daemon.page("menu", ASKS)
        assert script.count(", as it was on ") == 1 and "a filesystem was not unmounted" in script, script
        assert "kernel --name" in daemon.choose(ASKS, "entry:there", key)
        daemon.find()


def test_memory(report, daemon):
    with report.test("the last choice is the default, unattended and in the menu, after a restart too"):
        daemon.choose(UNATTENDED, "entry:debian-6.1")
        daemon.choose(ASKS, "item:rescue")
        for _ in range(2):
            daemon.wait_found()
            assert "kernel --name" in daemon.page("boot", UNATTENDED)
            menu = daemon.page("boot", ASKS)
            number = re.search(r"--default e(\d+)", menu)[1]
            assert f"item -- e{number} Rescue\n" in menu, menu
            daemon.restart()
        record = (daemon.state / "menu-choices").read_text()
        assert f"{UNATTENDED.replace(':', '-')} entry:debian-6.1\n" in record, record
    with report.test("what the menu had preset is not remembered: a time-out takes it too"):
        daemon.wait_found()
        key = daemon.key(STRANGER)
        menu = daemon.page("menu", STRANGER, more=f"&key={key}")
        preset = re.search(r"&preset=([^&]+)&choice=", menu)[1]
        number = re.search(r"--default (e\d+)", menu)[1]
        assert f":{number}\nset choice {preset}\n" in menu, menu
        record, name = daemon.state / "menu-choices", STRANGER.replace(":", "-")
        other = "entry:debian-6.1"

        def choose(choice, offered):
            assert "sanhook" in daemon.page("entry", STRANGER,
                                            more=f"&key={key}&preset={offered}&choice={choice}")

        def wait_record(line):
            wait_for(lambda: f"{line}\n" in record.read_text(), 10, f"record of {line}")

        choose(preset, preset)
        daemon.choose(ASKS, "disk")
        wait_record(f"{ASKS.replace(':', '-')} disk")
        assert name not in record.read_text(), record.read_text()
        choose(other, preset)
        wait_record(f"{name} {other}")
        choose(preset, other)
        wait_record(f"{name} {preset}")
        daemon.choose(ASKS, "item:rescue")
    with report.test("a choice that is gone gives way to the configured default"):
        daemon.wait_found()
        daemon.reload(menu='default = "kernel";')
        daemon.choose(UNATTENDED, "entry:debian-6.1")
        daemon.discovery.find([linux("next", "Next one", 0, 1)],
                              [("vmlinuz-6.1", daemon.kernel), ("initrd.img-6.1", daemon.initrd)])
        key = daemon.key(CLOSED)
        daemon.look_again(CLOSED, key)
        wait_for(lambda: "Next one" in daemon.page("menu", CLOSED, more=f"&key={key}"), 15, "rescan")
        assert "kernel --name" in daemon.page("boot", UNATTENDED)
        daemon.find()
    with report.test("who may not boot is not remembered"):
        daemon.choose(CLOSED, "entry:next")
        daemon.choose(ASKS, "item:vault")
        daemon.choose(ASKS, "entry:gone")
        record = (daemon.state / "menu-choices").read_text()
        assert f"{CLOSED.replace(':', '-')} disk\n" in record, record  # what it chose by its key
        assert f"{ASKS.replace(':', '-')} item:rescue\n" in record, record
    with report.test("a record that nobody can read does no harm"):
        daemon.stop()
        (daemon.state / "menu-choices").write_bytes(bytes(range(256)) * 100)
        daemon.start()
        daemon.wait_found()


def test_kernel_lines(report, daemon):
    def line():
        return daemon.choose(ASKS, "entry:debian-6.1")

    with report.test("what kernels says of the words holds after a reload"):
        assert " ro " in line() and "quiet" not in line(), line()
        daemon.reload(kernels='keep-quiet = true; cmdline-remove = [ "ro", "rw" ]; '
                              'cmdline-append = "a=1 b=2"')
        script = line()
        assert "root=LABEL=a quiet " in script and " a=1 b=2 ||" in script, script
        assert " ro " not in script and "console" not in script, script
        daemon.reload(kernels='netroot = "iscsi:192.0.2.1::::iqn.2026-11.x:y"')
        script = line()
        assert "192.0.2.1" in script and "iqn.2026-11.x:y" in script and "iscsi_auto" not in script, script
        daemon.reload()
        assert "iscsi_auto" in line(), line()


def test_key(report, daemon):
    with report.test("derived from a key, secrets are the same without the state directory"):
        found = []
        daemon.stop()
        for number in range(2):
            daemon.state = daemon.folder / f"state-{number}"
            daemon.configure(top=f'secret-key = "{KEY}";')
            daemon.start()
            daemon.wait_found()
            script = daemon.page("boot", UNATTENDED)
            found.append(re.findall(r"^set (\S+password:uristring|password:uristring) (\S+)$", script,
                                    re.M))
            assert not (daemon.state / "menu-password").exists()
            assert not (daemon.state / "secrets-laptop").exists()
            daemon.stop()
        assert found[0] == found[1] and len(found[0]) == 2, found
        assert found[0][0][1] != found[0][1][1], "both directions have one secret"
    with report.test("the menu's password follows the key, and a configured one comes first"):
        daemon.start()
        # HMAC-SHA-256(key, "menu-password") in the alphabet of generated secrets
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
        digest = hmac.digest(KEY.encode(), b"menu-password", hashlib.sha256)
        derived = "".join(alphabet[byte % 64] for byte in digest[:16])
        daemon.wait_found()
        status, _, menu = daemon.login(CLOSED, derived)
        assert status == 200
        key = "&key=" + re.search(r"&key=([0-9a-f]+)", menu)[1]
        assert "item -- " in daemon.page("menu", CLOSED, more=key)
        daemon.reload(menu='password = "of my own choice";', top=f'secret-key = "{KEY}";')
        assert daemon.login(CLOSED, derived)[0] == 401
        assert "item -- " not in daemon.page("menu", CLOSED, more=key), "the old password's key"
        assert daemon.login(CLOSED, "of my own choice")[0] == 200


def main():
    report = Report()
    with tempfile.TemporaryDirectory(prefix="nbt-menu-") as folder:
        daemon = Daemon(folder)
        daemon.configure()
        daemon.start()
        try:
            daemon.wait_found()
            for part in (test_secrets, test_menu, test_login, test_basic, test_kernels, test_reload,
                         test_kernel_lines, test_memory, test_key):
                try:
                    part(report, daemon)
                except LabError as error:
                    report.fail(part.__name__, error)
        finally:
            with contextlib.suppress(LabError):
                daemon.process.process.terminate()
            with report.test("the daemon ends well"):
                code = daemon.process.wait(20)
                assert code == 0 and not daemon.says("Sanitizer:"), daemon.log.read_text()[-4000:]
    report.finish()


main()
