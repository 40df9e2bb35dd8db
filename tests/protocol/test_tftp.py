#!/usr/bin/env python3
"""TFTP against the clients of tftp-hpa and curl, and against made-up ones that lose, repeat, reorder,
forge and flood.

usage: test_tftp.py NETBOOT-TARGET
"""
import contextlib
import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.process import Background, free_port, run, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

PROGRAM = sys.argv[1]
RRQ, WRQ, DATA, ACKNOWLEDGE, ERROR, OACK = range(1, 7)
PER_SOURCE = 6


class Daemon:
    def __init__(self, folder):
        self.folder, self.files = Path(folder), Path(folder) / "files"
        self.files.mkdir()
        self.port, self.http = free_port(), free_port()
        make_files(self.files)
        image, self.config = self.folder / "disk.img", self.folder / "netboot.conf"
        with open(image, "wb") as disk:
            disk.truncate(16 << 20)
        self.config.write_text(f"""
            targets = ( {{ name = "laptop"; luns = ( {{ device = "{image}" }} );
                           auth = {{ mode = "none" }} }} );
            interfaces = ( {{ name = "lo"; dhcp = "off" }} );
            portals = [ "127.0.0.1:{free_port()}" ];
            boot = {{ tftp-listen = [ "127.0.0.1:{self.port}", "[::1]:{self.port}" ];
                      http-listen = [ "127.0.0.1:{self.http}" ];
                      custom-directory = "{self.files}"; files = {{ efi-x64 = "ipxe.efi" }} }};
            status = {{ listen = "127.0.0.1:{free_port()}" }};
            limits = {{ tftp-transfers-per-source = {PER_SOURCE} }};
            state-directory = "{self.folder}/state";
            """)
        self.log = self.folder / "log"
        self.process = Background(PROGRAM, "-c", self.config, "--log-level", "debug", log=self.log)
        wait_for(lambda: self.says("listening for iSCSI"), 15, "start")

    def says(self, text):
        return text in self.log.read_text()

    def reload(self):
        before = self.log.read_text().count("boot files read again")
        self.process.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.read_text().count("boot files read again") > before, 10,
                 "reload")

    def stop(self):
        self.process.process.terminate()
        code = self.process.wait(20)
        if code:
            raise LabError(f"the daemon ended with {code}\n{self.log.read_text()[-4000:]}")


def make_files(folder):
    sizes = {"empty": 0, "one": 1, "block": 512, "small": 100_000, "loader.efi": 1_300_001,
             "rollover": 512 * 65536 + 77}
    for name, size in sizes.items():
        (folder / name).write_bytes(random.Random(name).randbytes(size))
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/file").write_text("deep\n")
    (folder / ".hidden").write_text("hidden\n")
    (folder / "inside").symlink_to("deep/er/file")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "above").symlink_to("../netboot.conf")
    os.mkfifo(folder / "pipe")


def digest(data):
    return hashlib.sha256(data).hexdigest()


# ── clients of others ────────────────────────────────────────────────────────────────────────────

def test_clients(report, daemon):
    got = daemon.folder / "got"
    for name in "empty", "one", "block", "small", "loader.efi", "deep/er/file", "inside":
        wanted = (daemon.files / name).read_bytes()
        with report.test(f"tftp-hpa: {name}"):
            got.unlink(missing_ok=True)
            run("tftp", "-m", "binary", "127.0.0.1", daemon.port, "-c", "get", name, got)
            assert digest(got.read_bytes()) == digest(wanted)
        if not wanted:
            continue  # curl itself stumbles over an empty file
        with report.test(f"curl: {name}"):
            for options in [], ["--tftp-blksize", "1468"], ["--tftp-no-options"], \
                    ["--tftp-blksize", "65464"]:
                got.unlink(missing_ok=True)
                run("curl", "-sS", *options, "-o", got, f"tftp://127.0.0.1:{daemon.port}/{name}")
                assert digest(got.read_bytes()) == digest(wanted), options
    with report.test("a configured file that its package links to another folder"):
        run("curl", "-sS", "-o", got, f"tftp://127.0.0.1:{daemon.port}/ipxe.efi")
        assert digest(got.read_bytes()) == digest(Path("/usr/lib/ipxe/ipxe.efi").read_bytes())
    with report.test("IPv6"):
        run("curl", "-sS", "-g", "-o", got, f"tftp://[::1]:{daemon.port}/small")
        assert digest(got.read_bytes()) == digest((daemon.files / "small").read_bytes())
    with report.test("tftp-hpa: a file that needs more than 65536 blocks"):
        run("tftp", "-m", "binary", "127.0.0.1", daemon.port, "-c", "get", "rollover", got,
            timeout=90)
        assert digest(got.read_bytes()) == digest((daemon.files / "rollover").read_bytes())
    with report.test("the entry script is there under its name in every folder"):
        for name in "autoexec.ipxe", "/autoexec.ipxe", "x86_64/autoexec.ipxe":
            text = run("curl", "-sS", f"tftp://127.0.0.1:{daemon.port}/{name}").stdout
            assert text.startswith("#!ipxe\n"), text
            assert f"http://127.0.0.1:{daemon.http}/boot.ipxe?mac=" in text, text


# ── made-up clients ──────────────────────────────────────────────────────────────────────────────

def request(name, operation=RRQ, mode="octet", **options):
    words = [name, mode] + [str(word) for pair in options.items() for word in pair]
    return struct.pack(">H", operation) + b"".join(
        word.encode("latin-1") + b"\0" for word in words)


def udp(seconds=3.0):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    one.settimeout(seconds)
    return one


def ask(daemon, packet, seconds=3.0):
    """The first answer to a packet on the request port; None: there is none."""
    with udp(seconds) as one:
        one.sendto(packet, ("127.0.0.1", daemon.port))
        try:
            answer, sender = one.recvfrom(65536)
        except TimeoutError:
            return None
        if answer[:2] != b"\0\5":
            one.sendto(b"\0\5\0\0enough\0", sender)
        return answer


def error_code(answer):
    return struct.unpack_from(">HH", answer)[1] if answer and answer[:2] == b"\0\5" else None


def oack_of(answer):
    assert answer[:2] == b"\0\6", answer
    words = answer[2:].split(b"\0")[:-1]
    return dict(zip([word.decode() for word in words[::2]], [int(word) for word in words[1::2]]))


def transfer(daemon, name, noise, seed, **options):
    """Reads a file as a window client; each datagram either way may be lost, doubled or late."""
    chance = random.Random(seed)
    data, block, window, size = b"", 0, options.get("windowsize", 1), options.get("blksize", 512)
    late = []
    with udp(0.05) as one:
        server = ("127.0.0.1", daemon.port)
        one.sendto(request(name, **options), server)
        server, last, in_window, deadline = None, None, 0, time.monotonic() + 60

        def send(packet):
            for _ in range(2 if chance.random() < noise else 1):
                if chance.random() >= noise:
                    one.sendto(packet, server)

        while time.monotonic() < deadline:
            if late and chance.random() < 0.5:
                packet, sender = late.pop(0)
            else:
                try:
                    packet, sender = one.recvfrom(70000)
                except TimeoutError:
                    if last:
                        send(last)
                    elif chance.random() < 0.2:
                        one.sendto(request(name, **options), ("127.0.0.1", daemon.port))
                    continue
                if chance.random() < noise:
                    continue
                if chance.random() < noise:
                    late.append((packet, sender))
                    continue
            server = server or sender
            if sender != server:
                continue
            operation, number = struct.unpack_from(">HH", packet)
            if operation == OACK:
                last = struct.pack(">HH", ACKNOWLEDGE, 0)
                send(last)
            elif operation == DATA and number == (block + 1) & 0xffff:
                block += 1
                in_window += 1
                data += packet[4:]
                last = struct.pack(">HH", ACKNOWLEDGE, block & 0xffff)
                if in_window == window or len(packet) < size + 4:
                    in_window = 0
                    send(last)
                if len(packet) < size + 4:
                    one.sendto(last, server)
                    return data
            elif operation == DATA:
                in_window = 0
                send(last or struct.pack(">HH", ACKNOWLEDGE, block & 0xffff))
            elif operation == ERROR and b"try again" in packet and not data:
                server = None  # on a busy machine earlier clients' transfers may not have ended yet
                time.sleep(0.5)
                one.sendto(request(name, **options), ("127.0.0.1", daemon.port))
            elif operation == ERROR:
                raise LabError(f"error {number}: {packet[4:]}")
    raise LabError(f"no end; {len(data)} bytes came")


def test_noise(report, daemon):
    wanted = digest((daemon.files / "small").read_bytes())
    for options in ({}, {"blksize": 1432, "tsize": 0}, {"blksize": 1468, "windowsize": 4},
                    {"blksize": 1024, "windowsize": 16}):
        for noise in 0.05, 0.2:
            with report.test(f"{noise:.0%} lost, doubled, late: {options or 'no options'}"):
                data = transfer(daemon, "small", noise, f"{noise}{options}", **options)
                assert digest(data) == wanted, f"{len(data)} bytes"


def test_protocol(report, daemon):
    with report.test("the size probe of UEFI firmware"):
        size = (daemon.files / "loader.efi").stat().st_size
        with udp() as one:
            one.sendto(request("loader.efi", tsize=0, blksize=1468, windowsize=4),
                       ("127.0.0.1", daemon.port))
            answer, sender = one.recvfrom(2048)
            assert oack_of(answer) == {"tsize": size, "blksize": 1468, "windowsize": 4}, answer
            one.sendto(b"\0\5\0\x08User aborted the transfer\0", sender)
        wait_for(lambda: daemon.says("tftp: size asked: file=loader.efi"), 3, "line in the log")
    with report.test("larger blocks and windows than configured are lowered"):
        answer = ask(daemon, request("small", blksize=65464, windowsize=60000))
        granted = oack_of(answer)
        assert granted["blksize"] <= 65464 and granted["windowsize"] <= 64, granted
    for name, packet, code in (
            ("a file that is not there", request("nothing"), 1),
            ("writing", request("small", operation=WRQ), 2),
            ("netascii", request("small", mode="netascii"), 4),
            ("a climbing name", request("../netboot.conf"), None),
            ("a climbing name with backslashes", request("..\\netboot.conf"), None),
            ("an absolute name", request("/etc/passwd"), 1),
            ("a link to the outside", request("outside"), 1),
            ("a link above", request("above"), 1),
            ("a hidden file", request(".hidden"), 1),
            ("a pipe", request("pipe"), 1),
            ("a folder", request("deep"), 1)):
        with report.test(f"refused: {name}"):
            answer = ask(daemon, packet)
            assert answer and answer[:2] == b"\0\5", answer
            assert code in (None, error_code(answer)), answer
    with report.test("nothing is said to what is no request"):
        for packet in b"", b"\0", b"\0\4\0\1", b"\0\5\0\0x\0", b"\0\1small", os.urandom(600):
            answer = ask(daemon, packet, 0.3)
            assert answer is None or answer[:2] == b"\0\5", (packet, answer)
    with report.test("a stranger at a transfer's port gets error 5, the transfer goes on"):
        with udp() as one, udp() as stranger:
            one.sendto(request("small"), ("127.0.0.1", daemon.port))
            first, sender = one.recvfrom(2048)
            stranger.sendto(struct.pack(">HH", ACKNOWLEDGE, 1), sender)
            assert error_code(stranger.recv(2048)) == 5
            one.sendto(struct.pack(">HH", ACKNOWLEDGE, 1), sender)
            assert first[:4] == b"\0\3\0\1" and one.recv(2048)[:4] == b"\0\3\0\2"
            one.sendto(b"\0\5\0\0enough\0", sender)
    with report.test("a repeated request is one transfer"):
        with udp(0.4) as one:
            for _ in range(5):
                one.sendto(request("small"), ("127.0.0.1", daemon.port))
            senders = set()
            with contextlib.suppress(TimeoutError):
                while True:
                    senders.add(one.recvfrom(2048)[1])
            assert len(senders) == 1, senders
            one.sendto(b"\0\5\0\0enough\0", senders.pop())
    with report.test("a client that was restarted and takes the same port is served at once"):
        with udp() as one:
            for round_ in range(2):
                one.sendto(request("small"), ("127.0.0.1", daemon.port))
                first, sender = one.recvfrom(2048)
                while struct.unpack(">HH", first[:4]) != (DATA, 1):  # the rest of the one before
                    first, sender = one.recvfrom(2048)
                one.sendto(struct.pack(">HH", ACKNOWLEDGE, 1), sender)
                assert one.recv(2048)[:4] == b"\0\3\0\2", round_
                time.sleep(0.7)
            one.sendto(b"\0\5\0\0enough\0", sender)
        assert daemon.says("the client began anew")
    with report.test("more transfers than one client may have are refused"):
        with contextlib.ExitStack() as stack:
            answers = []
            for _ in range(PER_SOURCE + 2):
                one = stack.enter_context(udp())
                one.sendto(request("small"), ("127.0.0.1", daemon.port))
                answers.append((one, *one.recvfrom(2048)))
            refused = [answer for _one, answer, _sender in answers if answer[:2] == b"\0\5"]
            assert len(refused) == 2, f"{len(refused)} refused"
            for one, answer, sender in answers:
                if answer[:2] == b"\0\3":
                    one.sendto(b"\0\5\0\0enough\0", sender)


def test_reload(report, daemon):
    with report.test("a reload brings new files; a running transfer keeps its own"):
        old = (daemon.files / "small").read_bytes()
        with udp() as one:
            one.sendto(request("small"), ("127.0.0.1", daemon.port))
            packet, sender = one.recvfrom(2048)
            data = packet[4:]
            (daemon.files / "small").write_bytes(b"new\n")
            (daemon.files / "added").write_bytes(b"added\n")
            daemon.reload()
            while len(packet) == 516:
                one.sendto(b"\0\4" + packet[2:4], sender)
                packet = one.recv(2048)
                data += packet[4:]
            one.sendto(b"\0\4" + packet[2:4], sender)
            assert digest(data) == digest(old)
        for name, text in ("small", "new\n"), ("added", "added\n"):
            assert run("curl", "-sS", f"tftp://127.0.0.1:{daemon.port}/{name}").stdout == text


def test_many(report, daemon):
    with report.test("five clients at once"):
        wanted = digest((daemon.files / "loader.efi").read_bytes())
        running = [subprocess.Popen(["curl", "-sS", "-o", daemon.folder / f"many{number}",
                                     f"tftp://127.0.0.1:{daemon.port}/loader.efi"])
                   for number in range(5)]
        assert not any(process.wait(60) for process in running)
        for number in range(5):
            assert digest((daemon.folder / f"many{number}").read_bytes()) == wanted


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(folder)
        try:
            for test in test_clients, test_protocol, test_noise, test_many, test_reload:
                test(report, daemon)
        finally:
            with report.test("the daemon ends in order, without a leak"):
                daemon.stop()
    report.finish()


main()
