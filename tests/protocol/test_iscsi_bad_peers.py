#!/usr/bin/env python3
"""Initiators that lie, dawdle or vanish: each costs its own connection at most, while a healthy one
works on undisturbed, and the daemon holds no more afterwards than before.

usage: test_iscsi_bad_peers.py NETBOOT-TARGET [memory]
memory: only what bounds it, for a daemon without a sanitizer, which keeps freed memory for a while
"""
import contextlib
import os
import random
import resource
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.digests import DigestSession  # noqa: E402
from lab.disk import loop_device, make_file, scratch  # noqa: E402
from lab.initiator import (DATA_IN, DATA_OUT, LOGIN, LOGOUT, NOP_OUT, RESERVED_TAG,  # noqa: E402
                           R2T, SCSI_COMMAND, SCSI_RESPONSE, TEXT, Closed, Load, Session)
from lab.process import resident_bytes, sanitized, wait_for  # noqa: E402
from lab.report import LabError, Report, note  # noqa: E402

MIB = 1 << 20
TASK_MANAGEMENT, SNACK = 0x02, 0x10
IDLE_CONNECTIONS = 1000
LOGIN_DEADLINE_SECONDS = 5
LIAR_SECONDS = 12
SEED = 20261121
ONLY_MEMORY = "memory" in sys.argv[2:]
LIMITS = f"""logins = 3000; logins-per-source = 3000; connections-per-source = 4000;
             failed-logins-per-minute = 65536; login-deadline = "{LOGIN_DEADLINE_SECONDS}s";
             send-stall = "20s";"""


class Healthy:
    """A client on a target of its own that writes and reads back all the time."""

    def __init__(self, daemon):
        self.session = Session(daemon.port, iqn("healthy"), name="iqn.2026-11.local.test:healthy")
        self.session.ready()
        self.load = Load(self.session)

    @contextlib.contextmanager
    def undisturbed(self, rounds=3):
        before = self.load.rounds
        yield
        wait_for(lambda: self.load.error or self.load.rounds >= before + rounds, 5,
                 "progress of the healthy client")
        if self.load.error:
            raise LabError(f"the healthy client was disturbed: {self.load.error}")

    def stop(self):
        self.load.stop()
        self.session.logout()


class Toy(Session):
    """On the target that is there to be abused."""

    count = 0

    def __init__(self, daemon, disk="toy", **options):
        Toy.count += 1
        super().__init__(daemon.port, iqn(disk), name=f"iqn.2026-11.local.test:toy-{Toy.count % 64}",
                         isid=bytes([0, 2, 0x3d]) + Toy.count.to_bytes(3, "big"), **options)


def drain(connection, seconds=5):
    """Reads until the other side closes; False when it does not."""
    connection.settimeout(seconds)
    try:
        while connection.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def answers(session, tags):
    """Status and data of each of these reads, as they come: warm ones overtake cold ones."""
    data, left = {tag: bytearray() for tag in tags}, set(tags)
    while left:
        header, payload = session.receive()
        tag = int.from_bytes(header[16:20], "big")
        if header[0] & 0x3f == DATA_IN:
            assert int.from_bytes(header[40:44], "big") == len(data[tag]), "data out of order"
            data[tag] += payload
        if header[0] & 0x3f == SCSI_RESPONSE or header[1] & 1:
            left.remove(tag)
            yield tag, header[3], bytes(data.pop(tag))


def connect(daemon, timeout=5):
    return socket.create_connection(("127.0.0.1", daemon.port), timeout=timeout)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# ── PDUs with one thing wrong ───────────────────────────────────────────────────────────────────


def bhs(opcode, flags=0x80, length=0, ahs=0, tag=1, word=0, number=1, rest=b""):
    return struct.pack(">BB2xI8sIIII", opcode, flags, ahs << 24 | length, bytes(8), tag, word,
                       number, 0) + rest.ljust(16, b"\0")


BEFORE_LOGIN = [
    # name, bytes, what the log says
    ("a NOP-Out", bhs(NOP_OUT), "before login"),
    ("a SCSI command", bhs(SCSI_COMMAND), "before login"),
    ("a Data-Out of 16 MiB", bhs(DATA_OUT, length=0xffffff), "before login"),
    ("a login of 8193 bytes", bhs(LOGIN, 0x87, length=8193), "8193 bytes"),
    ("a login of 16 MiB", bhs(LOGIN, 0x87, length=0xffffff), "16777215 bytes"),
    ("a login with additional headers", bhs(LOGIN, 0x87, ahs=1), "additional header"),
    ("a web browser", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n", "before login"),
]

WRITE_BLOCK = struct.pack(">BBIBHB", 0x2a, 0, 0, 0, 1, 0)
READ_BLOCK = struct.pack(">BBIBHB", 0x28, 0, 0, 0, 1, 0)
AFTER_LOGIN = [
    # name, header, data, what the log says
    ("an unknown opcode", bhs(0x1c), b"", "unexpected PDU"),
    ("a target's opcode", bhs(0x21), b"", "unexpected PDU"),
    ("SNACK", bhs(SNACK), b"", "unexpected PDU"),
    ("a second login", bhs(LOGIN | 0x40, 0x87), b"", "unexpected PDU"),
    ("a data segment of 16 MiB", bhs(NOP_OUT | 0x40, length=0xffffff), b"", "are allowed"),
    ("task management with data", bhs(TASK_MANAGEMENT | 0x40, 0x85, length=4), b"data",
     "with a data segment"),
    ("immediate data beyond the announced length", bhs(SCSI_COMMAND, 0xa1, 1024, word=512,
                                                       rest=WRITE_BLOCK), bytes(1024),
     "expects to send 512"),
    ("immediate data of a read", bhs(SCSI_COMMAND, 0xc1, 512, word=512, rest=READ_BLOCK),
     bytes(512), "does not write"),
    ("unsolicited data announced", bhs(SCSI_COMMAND, 0x21, word=512, rest=WRITE_BLOCK), b"",
     "InitialR2T"),
    ("a bidirectional command", bhs(SCSI_COMMAND, 0xe1, word=512, rest=READ_BLOCK), b"",
     "bidirectional"),
]

# what is wrong with the Data-Out that answers an R2T of 4096 bytes: tag, offset, length, final
DATA_OUTS = [
    ("a tag nobody gave", 1, 0, 4096, True, "transfer tag"),
    ("an offset beyond", 0, 512, 3584, True, "at offset 512"),
    ("an offset of 4 GiB", 0, 0xfffffe00, 512, True, "at offset"),
    ("more than was asked for", 0, 0, 8192, True, "8192 bytes where"),
    ("less than was asked for", 0, 0, 2048, True, "were asked for"),
    ("no end", 0, 0, 4096, False, "without F"),
]


def test_malformed(report, daemon, healthy):
    for name, data, reason in BEFORE_LOGIN:
        with report.test(f"before login: {name}"), healthy.undisturbed(), connect(daemon) as peer:
            seen = daemon.says().count(reason)
            peer.sendall(data)
            assert drain(peer), "not closed"
            wait_for(lambda: daemon.says().count(reason) > seen, 2, f"reason {reason!r} in the log")
    for name, header, data, reason in AFTER_LOGIN:
        with report.test(f"after login: {name}"), healthy.undisturbed():
            toy = Toy(daemon)
            toy.ready()
            header = header[:24] + struct.pack(">I", toy.command_number) + header[28:]
            toy.socket.sendall(header + data)
            assert drain(toy.socket), "not closed"
            daemon.wait_log(reason, 2)
            toy.close()
    for name, more, offset, length, final, reason in DATA_OUTS:
        with report.test(f"Data-Out with {name}"), healthy.undisturbed():
            toy = Toy(daemon)
            toy.ready()
            tag = next(toy.tags)
            toy.send(toy.header(SCSI_COMMAND, 0xa1, tag, words=struct.pack(">I", 4096) +
                                Session.write_cdb(0, 8)))
            header, _data = toy.receive()
            assert header[0] == R2T
            word = struct.unpack(">I", header[20:24])[0] + more
            toy.send(bhs(DATA_OUT, 0x80 if final else 0, tag=tag, word=word,
                         rest=struct.pack(">4xIII", 0, offset, 0)), b"x" * length)
            assert drain(toy.socket), "not closed"
            daemon.wait_log(reason, 2)
            toy.close()
    for name, flip, reason in (("header", 20, "wrong header digest"),
                               ("data", -1, "wrong data digest"),
                               ("padding", -5, "wrong data digest")):
        with report.test(f"wrong digest: {name}"), healthy.undisturbed():
            peer = DigestSession(daemon.port, iqn("toy"))
            wire = bytearray(peer.encode(bhs(NOP_OUT | 0x40, word=RESERVED_TAG), b"hello"))
            wire[flip] ^= 1
            peer.socket.sendall(wire)
            assert drain(peer.socket), "not closed"
            daemon.wait_log(reason, 2)
            peer.close()


def test_every_field(report, daemon, healthy):
    """Each byte of each request's header at its boundaries; any answer is fine, but for none."""
    templates = {
        "NOP-Out": (bhs(NOP_OUT, word=RESERVED_TAG), b"ping"),
        "SCSI Command": (bhs(SCSI_COMMAND, 0xa1, word=512, rest=WRITE_BLOCK), b"x" * 512),
        "SCSI Command, reading": (bhs(SCSI_COMMAND, 0xc1, word=512, rest=READ_BLOCK), b""),
        "Task Management": (bhs(TASK_MANAGEMENT, 0x85), b""),
        "Text": (bhs(TEXT, word=RESERVED_TAG), b"SendTargets=All\0"),
        "Data-Out": (bhs(DATA_OUT, word=RESERVED_TAG), b"x" * 512),
        "Logout": (bhs(LOGOUT), b""),
    }
    for name, (header, data) in templates.items():
        with report.test(f"every field of {name}"), healthy.undisturbed():
            for offset in range(48):
                for value in (0x00, 0x01, 0x80, 0xff):
                    toy = Toy(daemon)
                    wire = bytearray(header)
                    wire[5:8] = len(data).to_bytes(3, "big")
                    wire[offset] = value
                    with contextlib.suppress(ConnectionError):
                        toy.socket.sendall(bytes(wire) + data)
                        toy.socket.shutdown(socket.SHUT_WR)
                    assert drain(toy.socket), f"byte {offset} = {value:#x}: not closed"
                    toy.close()
            daemon.check_running()


SCANS = {
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(100),
    "SMB": bytes.fromhex("00000054ff534d4272") + bytes(80),
    "RDP": bytes.fromhex("030000130ee000000000000100080003000000") + bytes(48),
    "zeros": bytes(MIB),
    "ones": b"\xff" * MIB,
    "lines": b"HELP\r\n" * 1000,
    "a login header over and over": bhs(LOGIN, 0x87, length=100) * 1000,
}


def test_scanners(report, daemon, healthy):
    for name, data in SCANS.items():
        with report.test(f"port scan: {name}"), healthy.undisturbed(), connect(daemon) as peer:
            with contextlib.suppress(ConnectionError):
                peer.sendall(data)
            assert drain(peer), "not closed"


# ── dawdlers ────────────────────────────────────────────────────────────────────────────────────


def test_half_open(report, daemon, healthy):
    with report.test("half-open logins are cut off in time"), healthy.undisturbed():
        keys = b"InitiatorName=iqn.2026-11.local.test:half\0"
        beginnings = [b"", b"\x43", bhs(LOGIN | 0x40, 0x87, length=len(keys))[:47],
                      bhs(LOGIN | 0x40, 0x87, length=len(keys)) + keys[:5],
                      bhs(LOGIN | 0x40, 0x44, length=len(keys)) + keys + b"\0\0"]
        begin = time.monotonic()
        peers = [connect(daemon) for _ in beginnings]
        for peer, beginning in zip(peers, beginnings):
            peer.sendall(beginning)
        for peer in peers:
            assert drain(peer, 3 * LOGIN_DEADLINE_SECONDS), "not closed"
            seconds = time.monotonic() - begin
            assert LOGIN_DEADLINE_SECONDS - 1 < seconds < LOGIN_DEADLINE_SECONDS + 3, seconds
            peer.close()


def test_idle(report, daemon, healthy):
    before = resident_bytes(daemon.pid)
    with report.test(f"{IDLE_CONNECTIONS} connections that say nothing"), healthy.undisturbed():
        idle = [connect(daemon) for _ in range(IDLE_CONNECTIONS)]
        begin = time.monotonic()
        toy = Toy(daemon)
        toy.ready()
        toy.read_blocks(0, 8)
        seconds = time.monotonic() - begin
        each = (resident_bytes(daemon.pid) - before) / IDLE_CONNECTIONS
        note(f"login and read beside them: {seconds * 1000:.0f} ms, {each / 1024:.1f} KiB each")
        assert seconds < 1, seconds
        assert each < 32 << 10 or sanitized(daemon.pid), each
        toy.logout()
        for peer in idle:
            assert drain(peer, 3 * LOGIN_DEADLINE_SECONDS)
            peer.close()
    with report.test(f"{IDLE_CONNECTIONS} idle sessions"), healthy.undisturbed():
        before = resident_bytes(daemon.pid)
        idle = [Session(daemon.port, iqn("toy"), name=f"iqn.2026-11.local.test:idle-{number}")
                for number in range(IDLE_CONNECTIONS)]
        each = (resident_bytes(daemon.pid) - before) / IDLE_CONNECTIONS
        begin = time.monotonic()
        toy = Toy(daemon)
        toy.ready()
        toy.read_blocks(0, 8)
        seconds = time.monotonic() - begin
        note(f"login and read beside them: {seconds * 1000:.0f} ms, {each / 1024:.1f} KiB each")
        assert seconds < 1, seconds
        assert each < 32 << 10 or sanitized(daemon.pid), each
        toy.logout()
        for session in idle:
            session.reset()


def test_unread(report, daemon, healthy):
    with report.test("one that asks but does not read is cut off"), healthy.undisturbed():
        toy = Toy(daemon)
        ping = toy.header(NOP_OUT, 0x80, 1, words=struct.pack(">I", RESERVED_TAG), immediate=True)
        toy.socket.settimeout(10)
        sent = 0
        try:
            while sent < 256 * MIB:
                toy.send(ping, bytes(8192))
                sent += 8192
        except (ConnectionError, TimeoutError):
            pass
        assert sent < 64 * MIB, sent
        daemon.wait_log("does not read")
        toy.close()


class SlowReader(Toy):
    """Asks for many MiB of its own 4 MiB of the disk, and reads nothing for now."""

    def __init__(self, daemon, number, commands):
        super().__init__(daemon, "slow", login=False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
        self.login()
        self.ready()
        for half in range(2):  # warm, in the pages that the daemon's own reads make
            self.read_blocks(number * 8192 + half * 2048, 2048)
        self.asked = {}
        for count in range(commands):
            lba = number * 8192 + count % 2 * 2048
            self.asked[self.start(self.read_cdb(lba, 2048), data_in=MIB)] = lba


def make_cold(image):
    with open(image, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_slow_readers(report, daemon, healthy, image, content):
    make_cold(image)
    before = resident_bytes(daemon.pid)
    with report.test("slow readers cost bounded memory"), healthy.undisturbed(10):
        slow = [SlowReader(daemon, number, 64 if number % 2 else 6) for number in range(16)]
        time.sleep(1)
        grown = resident_bytes(daemon.pid) - before
        note(f"16 of them: {grown / MIB:.1f} MiB")
        assert grown < 16 * 4 * MIB, grown
    with report.test("what went cold in the middle of a PDU arrives all the same"), \
            healthy.undisturbed():
        make_cold(image)
        for session in slow[::2]:
            for tag, status, data in answers(session, session.asked):
                at = session.asked[tag] * 512
                assert status == 0 and data == content[at:at + MIB], (status, at)
            session.logout()
    with report.test("slow readers that vanish"), healthy.undisturbed():
        for number, session in enumerate(slow[1::2]):
            session.reset() if number % 2 else session.close()


# ── liars ───────────────────────────────────────────────────────────────────────────────────────


class Liar(threading.Thread):
    """Connects again and again, and lies in ways that a seed decides."""

    def __init__(self, daemon, seed, until):
        super().__init__(daemon=True)
        self.daemon_under_test, self.until = daemon, until
        self.random = random.Random(seed)
        self.connections, self.error = 0, None
        self.start()

    def run(self):
        lies = (self.noise, self.lying_login, self.lying_session, self.lying_session,
                self.lying_session, self.cut_session)
        try:
            while time.monotonic() < self.until:
                with contextlib.suppress(OSError, LabError):
                    self.random.choice(lies)()
                self.connections += 1
        except Exception as error:  # for the main thread to tell
            self.error = error

    def bytes(self, most):
        return self.random.randbytes(self.random.randrange(most))

    def noise(self):
        with connect(self.daemon_under_test) as peer:
            peer.sendall(self.bytes(3000))
            if self.random.random() < 0.5:
                peer.shutdown(socket.SHUT_WR)
                drain(peer, 1)

    def lying_login(self):
        with connect(self.daemon_under_test) as peer:
            for _ in range(self.random.randrange(1, 5)):
                keys = b"\0".join(self.random.choice((
                    b"InitiatorName=iqn.2026-11.local.test:liar", b"SessionType=Normal",
                    b"TargetName=" + iqn("toy").encode(), b"HeaderDigest=CRC32C,None",
                    b"AuthMethod=CHAP,None", b"CHAP_A=5", b"MaxBurstLength=0", b"X=" + b"y" * 300,
                    b"FirstBurstLength=4294967296", b"=", b"a", self.bytes(40)))
                    for _ in range(self.random.randrange(8))) + b"\0"
                header = bytearray(bhs(LOGIN | 0x40, self.random.choice((0x81, 0x87, 0x83, 0x04)),
                                       len(keys)))
                if self.random.random() < 0.3:
                    header[self.random.randrange(48)] = self.random.randrange(256)
                peer.sendall(bytes(header) + keys + bytes(-len(keys) % 4))
            peer.shutdown(socket.SHUT_WR)
            drain(peer, 1)

    def lie(self, toy):
        rng = self.random
        opcode = rng.choice((NOP_OUT, SCSI_COMMAND, SCSI_COMMAND, SCSI_COMMAND, TASK_MANAGEMENT,
                             TEXT, DATA_OUT, DATA_OUT, LOGOUT if rng.random() < 0.05 else NOP_OUT))
        data = bytes(rng.choice((0, 0, 0, 1, 3, 512, 4096, 8192)))
        cdb = bytes([rng.choice((0, 0x28, 0x2a, 0x12, 0x1a, 0x55, 0x5e, 0x5f, 0x88, 0x8a, 0x89,
                                 0x9e, 0xa0, 0xa3, 0x41, 0x42, rng.randrange(256)))]) + \
            rng.randbytes(15)
        if rng.random() < 0.6:  # small addresses and lengths do more
            cdb = cdb[:1] + bytes([0, 0, 0, 0, rng.randrange(64), 0, 0, rng.randrange(64), 0, 0, 0,
                                   0, rng.randrange(64), 0])
        header = bytearray(bhs(opcode | rng.choice((0, 0, 0x40)),
                               rng.choice((0x80, 0x81, 0xa1, 0xc1, 0xe1, 0x21, rng.randrange(256))),
                               len(data), tag=rng.randrange(8),
                               word=rng.choice((0, 512, 4096, 65536, RESERVED_TAG, len(data),
                                                rng.getrandbits(32))),
                               number=toy.command_number, rest=cdb))
        if rng.random() < 0.1:
            header[rng.randrange(48)] = rng.randrange(256)
        if not header[0] & 0x40 and opcode != DATA_OUT:
            toy.command_number += 1
        toy.socket.sendall(bytes(header) + data + bytes(-len(data) % 4))

    def lying_session(self):
        toy = Toy(self.daemon_under_test, timeout=3)
        with contextlib.closing(toy):
            for _ in range(self.random.randrange(1, 60)):
                self.lie(toy)
            if self.random.random() < 0.5:
                toy.socket.shutdown(socket.SHUT_WR)
                drain(toy.socket, 1)
            elif self.random.random() < 0.5:
                toy.reset()

    def cut_session(self):
        """Large transfers that are given up in the middle."""
        toy = Toy(self.daemon_under_test, timeout=3)
        with contextlib.closing(toy):
            for _ in range(self.random.randrange(1, 8)):
                blocks = self.random.randrange(1, 2048)
                if self.random.random() < 0.5:
                    toy.start(Session.read_cdb(0, blocks), data_in=blocks * 512)
                else:
                    toy.start(Session.write_cdb(0, blocks), bytes(blocks * 512))
            if self.random.random() < 0.5:
                toy.reset()


def test_liars(report, daemon, healthy):
    with report.test(f"lying initiators for {LIAR_SECONDS} s"), healthy.undisturbed(10):
        until = time.monotonic() + LIAR_SECONDS
        liars = [Liar(daemon, SEED + number, until) for number in range(4)]
        for liar in liars:
            liar.join(LIAR_SECONDS + 30)
            if liar.error:
                raise liar.error
            assert not liar.is_alive()
        connections = sum(liar.connections for liar in liars)
        note(f"{connections} connections, seed {SEED}")
        assert connections > 300, connections
        daemon.check_running()
    with report.test("the target that was lied to still works"):
        toy = Toy(daemon)
        toy.ready()
        toy.write(100, b"truth" * 1024)  # 10 blocks
        assert toy.read_blocks(100, 10) == b"truth" * 1024
        toy.logout()


# ── a device that shrinks under a committed answer ──────────────────────────────────────────────


def shrink_under(daemon, name, shrink):
    """A reader that has been promised data, then the device loses it."""
    session = Session(daemon.port, iqn(name), login=False,
                      name=f"iqn.2026-11.local.test:reader-of-{name}")
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
    session.login()
    session.ready()
    session.read_blocks(0, 2048)  # warm
    session.read_blocks(2048, 2048)
    tags = [session.start(Session.read_cdb(2048, 2048), data_in=MIB) for _ in range(32)]
    time.sleep(0.5)
    shrink()
    try:
        for _tag, status, _data in answers(session, tags):
            if status:
                return f"told with status {status}"
    except Closed as closed:
        return "reset" if "reset" in str(closed) else f"closed: {closed}"
    finally:
        session.close()
    return "all data arrived"


def test_shrinking(report, folder, daemon, healthy, loop, backing):
    with report.test("a file that is cut under a promised answer"), healthy.undisturbed():
        ending = shrink_under(daemon, "cut", lambda: os.truncate(folder / "cut.img", MIB))
        note(ending)
        assert ending == "reset", ending  # an orderly end could pass for the end of the data
        wait_for(lambda: daemon.says("failed under a committed answer") or
                 daemon.says("cannot deliver what was announced"), 5, "reason in the log")
    if not loop:
        note("no loop device here: shrinking one is not tested")
        return
    with report.test("a loop device that shrinks under a promised answer"), healthy.undisturbed():
        def shrink():
            os.truncate(backing, MIB)
            os.system(f"losetup --set-capacity {loop}")
        ending = shrink_under(daemon, "loop", shrink)
        note(ending)
        assert ending == "reset" or ending.startswith("told"), ending


# ── all of it ───────────────────────────────────────────────────────────────────────────────────


def random_file(path, size_bytes):
    content = random.Random(SEED).randbytes(size_bytes)
    path.write_bytes(content)
    return content


def optional_loop(stack, backing):
    try:
        return stack.enter_context(loop_device(backing))
    except (LabError, FileNotFoundError):
        return None


def test_all(report, folder, stack):
    make_file(folder / "healthy.img", 16 * MIB)
    make_file(folder / "toy.img", 64 * MIB)
    content = random_file(folder / "slow.img", 64 * MIB)
    random_file(folder / "cut.img", 2 * MIB)
    backing = folder / "backing.img"
    random_file(backing, 2 * MIB)
    loop = optional_loop(stack, backing)
    targets = [target("healthy", str(folder / "healthy.img"), more="shared = true;"),
               target("toy", str(folder / "toy.img"), more="shared = true;"),
               target("slow", str(folder / "slow.img"), more="shared = true;"),
               target("cut", str(folder / "cut.img"), more="shared = true;")]
    if loop:
        targets.append(target("loop", str(loop), more="shared = true;"))
    daemon = Daemon(folder / "daemon", targets, limits=LIMITS).start()
    try:
        healthy = Healthy(daemon)
        if not ONLY_MEMORY:
            test_unread(report, daemon, healthy)
            test_malformed(report, daemon, healthy)
        count = descriptors(daemon.pid)
        if not ONLY_MEMORY:
            # Those whose reasons are looked for in the log come first: it takes lines at a bounded rate.
            test_slow_readers(report, daemon, healthy, folder / "slow.img", content)
            test_shrinking(report, folder, daemon, healthy, loop, backing)
            test_scanners(report, daemon, healthy)
            test_every_field(report, daemon, healthy)
            test_half_open(report, daemon, healthy)
        test_idle(report, daemon, healthy)
        memory = resident_bytes(daemon.pid)
        test_liars(report, daemon, healthy)
        with report.test("descriptors and memory come back"):
            wait_for(lambda: descriptors(daemon.pid) <= count, 10,
                     lambda: f"end of {descriptors(daemon.pid) - count} descriptors")
            grown = resident_bytes(daemon.pid) - memory
            note(f"{grown / MIB:.1f} MiB more than before the liars")
            assert grown < 16 * MIB or sanitized(daemon.pid), grown
            assert all(session["initiator"].endswith("healthy")
                       for session in daemon.status()["sessions"]), daemon.status()["sessions"]
        with report.test("the healthy client to the end"):
            healthy.stop()
    finally:
        with report.test("the daemon ends in order, without a leak"):
            daemon.stop()


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65536,
                                                hard))
    report = Report()
    with scratch("/var/tmp") as folder, contextlib.ExitStack() as stack:
        test_all(report, folder, stack)
    report.finish()


main()
