"""Bad iSCSI peers, generated from tables: every header field of every PDU at its boundaries in every phase,
every text key with malformed values, every CDB with lengths and addresses that do not fit. A case says
what is sent; what has to hold afterwards is the same for all: an answer or the end of that connection."""
import collections
import contextlib
import itertools
import random
import socket
import struct
import time

from .initiator import (DATA_IN, DATA_OUT, GOOD, LOGIN, LOGOUT, NOP_OUT, R2T, RESERVED_TAG,
                        SCSI_COMMAND, SCSI_RESPONSE, TEXT, Closed, Session)
from .report import LabError

TASK_MANAGEMENT, SNACK = 0x02, 0x10
CLOSE_SECONDS = 20  # far more than any answer takes, also under a sanitizer on a busy machine
READ_10 = struct.pack(">BBIBHB", 0x28, 0, 0, 0, 1, 0)
WRITE_10 = struct.pack(">BBIBHB", 0x2a, 0, 0, 0, 1, 0)

# ── header fields (RFC 7143 §11) ────────────────────────────────────────────────────────────────

COMMON = [("AHS length", 4, 1), ("data length", 5, 3), ("LUN", 8, 8), ("task tag", 16, 4),
          ("word 20", 20, 4), ("CmdSN", 24, 4), ("ExpStatSN", 28, 4), ("reserved", 2, 2)]
PDUS = {
    # name: header up to the numbers, the rest of it, data, its own fields
    "NOP-Out": (NOP_OUT | 0x40, 0x80, RESERVED_TAG, b"", b"ping", [("reserved", 32, 4)]),
    "SCSI read": (SCSI_COMMAND, 0xc1, 512, READ_10, b"", []),
    "SCSI write": (SCSI_COMMAND, 0xa1, 512, WRITE_10, bytes(512), []),
    "task management": (TASK_MANAGEMENT | 0x40, 0x81, 1, b"", b"",
                        [("RefCmdSN", 32, 4), ("ExpDataSN", 36, 4)]),
    "login": (LOGIN | 0x40, 0x87, 0, b"", b"InitiatorName=iqn.2026-11.local.test:field\0",
              [("VersionMax", 2, 1), ("VersionMin", 3, 1), ("ISID", 8, 6), ("TSIH", 14, 2),
               ("CID", 20, 2)]),
    "text": (TEXT | 0x40, 0x80, RESERVED_TAG, b"", b"SendTargets=All\0", []),
    "Data-Out": (DATA_OUT, 0x80, 1, b"", bytes(512), [("DataSN", 36, 4), ("offset", 40, 4)]),
    "logout": (LOGOUT | 0x40, 0x80, 0, b"", b"", [("CID", 20, 2)]),
    "SNACK": (SNACK, 0x80, RESERVED_TAG, b"", b"", [("BegRun", 40, 4), ("RunLength", 44, 4)]),
}
PHASES = ["security", "operational", "full feature", "discovery"]
# A WRITE that has been asked for its one block: what claims to be its data meets a real R2T.
PENDING = "R2T pending"
PENDING_PDUS = ["Data-Out", "SCSI write", "task management"]
FLAGS = sorted({*range(0x20), *range(0x80, 0xa0), 0x40, 0x60, 0xa1, 0xc0, 0xc1, 0xe0, 0xe1, 0xff})


def boundaries(size):
    top = 1 << 8 * size
    return sorted({0, 1, 2, 255 % top, top // 2 - 1, top // 2, top - 2, top - 1})


def header_of(name, number):
    opcode, flags, word, rest, data, _fields = PDUS[name]
    return bytearray(struct.pack(">BB2xI8sIIII", opcode, flags, len(data), bytes(8), 1, word,
                                 number, 1) + rest.ljust(16, b"\0"))


class FieldCase:
    """One PDU with one field (or several, in a long run) at a boundary."""

    def __init__(self, phase, pdu, changes):
        self.phase, self.pdu, self.changes = phase, pdu, changes

    def __str__(self):
        return f"{self.phase}: {self.pdu} with " + ", ".join(
            f"byte {offset} = {value.hex()}" for offset, value in self.changes)

    def bytes(self, number, transfer_tag):
        header = header_of(self.pdu, number)
        if self.pdu == "Data-Out" and transfer_tag:
            header[20:24] = transfer_tag
        data = PDUS[self.pdu][4]
        for offset, value in self.changes:
            header[offset:offset + len(value)] = value
        return bytes(header) + data + bytes(-len(data) % 4)

    def run(self, place):
        with place.in_phase(self.phase) as (peer, number):
            place.abuse(self, peer, self.bytes(number, place.transfer_tag) +
                        bytes(header_of("NOP-Out", number)) + b"ping")


def changes_of(pdu):
    for value in itertools.chain(range(0x40), (opcode | 0x40 for opcode in range(0x40)), (0x80, 0xff)):
        if pdu in ("NOP-Out", "SCSI write"):  # one with data, one with numbers: opcodes alone differ
            yield 0, bytes([value])
    for value in FLAGS:
        yield 1, bytes([value])
    for _name, offset, size in COMMON + PDUS[pdu][5]:
        for value in boundaries(size):
            yield offset, value.to_bytes(size, "big")


def field_cases():
    for phase in PHASES:
        for pdu in PDUS:
            for change in changes_of(pdu):
                yield FieldCase(phase, pdu, [change])
    for pdu in PENDING_PDUS:
        for change in changes_of(pdu):
            yield FieldCase(PENDING, pdu, [change])


# ── text keys (RFC 7143 §6, §12, §13) ───────────────────────────────────────────────────────────

KEYS = """InitiatorName InitiatorAlias SessionType TargetName TargetAlias TargetAddress
    TargetPortalGroupTag AuthMethod CHAP_A CHAP_I CHAP_C CHAP_N CHAP_R HeaderDigest DataDigest
    MaxConnections InitialR2T ImmediateData MaxRecvDataSegmentLength MaxBurstLength
    FirstBurstLength DefaultTime2Wait DefaultTime2Retain MaxOutstandingR2T DataPDUInOrder
    DataSequenceInOrder ErrorRecoveryLevel TaskReporting iSCSIProtocolLevel X#NodeArchitecture
    IFMarker OFMarker IFMarkInt OFMarkInt SendTargets X-unknown""".split()
VALUES = [b"", b"0", b"1", b"-1", b"+1", b"511", b"512", b"16777215", b"16777216", b"4294967295",
          b"4294967296", b"18446744073709551616", b"0x", b"0x200", b"0xzz", b"0x" + b"f" * 2049,
          b"0b", b"0b!!", b"0b" + b"A" * 1401, b"Yes", b"yes", b"Maybe", b"None,", b",", b",,None",
          b"None,CRC32C," * 20, b"a" * 255, b"a" * 256, b"a" * 7000, b"\x01", b"\xff\xfe", b"=",
          b"a=b", b"%s%n%n", b" Yes", b"iqn.", b"?", b"Irrelevant", b"Reject", b"NotUnderstood"]
BROKEN_TEXTS = [b"", b"\0", b"\0" * 100, b"=", b"=\0", b"=x\0", b"NoEqualsSign\0", b"NoEnd=1",
                b"K" * 63 + b"=1\0", b"K" * 64 + b"=1\0", b"K" * 8000, b"K y=1\0", b"K\xff=1\0",
                b"A=1\0" * 1500, b"".join(b"X%d=1\0" % number for number in range(900)),
                b"MaxBurstLength=512\0MaxBurstLength=1024\0", b"x=1\0\0\0y=2\0"]
PLACES = ["security", "operational", "full feature", "discovery", "chap"]


class TextCase:
    """One PDU with these keys; with `more`, the C bit says that there is more, and there is not."""

    def __init__(self, phase, text, more=False):
        self.phase, self.text, self.more = phase, text, more

    def __str__(self):
        return f"{self.phase}: keys {self.text[:60]!r} ({len(self.text)} bytes)" + \
            (", C" if self.more else "")

    def run(self, place):
        phase = self.phase
        with place.in_phase(phase) as (peer, number):
            login = {"security": 0x81, "chap": 0x81, "operational": 0x87}.get(phase)
            text = self.text
            if phase == "security" and not text.startswith(b"InitiatorName"):
                text = place.leading_keys() + text
            header = header_of("login" if login else "text", number)
            header[1] = (login or 0x80) if not self.more else (login or 0) & 0x0c | 0x40
            header[5:8] = len(text).to_bytes(3, "big")
            place.abuse(self, peer, bytes(header) + text + bytes(-len(text) % 4))


def text_cases():
    for phase in PLACES:
        for key, value in itertools.product(KEYS, VALUES):
            if (phase == "chap") == key.startswith("CHAP"):
                yield TextCase(phase, f"{key}=".encode() + value + b"\0")
        for text in BROKEN_TEXTS:
            yield TextCase(phase, text)
            yield TextCase(phase, text, more=True)


# ── commands (SPC-4, SBC-3) ─────────────────────────────────────────────────────────────────────

# opcode: CDB bytes, (offset, size) of the address, (offset, size) of the length
COMMANDS = {
    0x00: (6, None, None), 0x03: (6, None, (4, 1)), 0x08: (6, (1, 3), (4, 1)),
    0x0a: (6, (1, 3), (4, 1)), 0x12: (6, None, (3, 2)), 0x15: (6, None, (4, 1)),
    0x16: (6, None, None), 0x17: (6, None, None), 0x1a: (6, None, (4, 1)), 0x1b: (6, None, None),
    0x1e: (6, None, None), 0x25: (10, (2, 4), None), 0x28: (10, (2, 4), (7, 2)),
    0x2a: (10, (2, 4), (7, 2)), 0x2e: (10, (2, 4), (7, 2)), 0x2f: (10, (2, 4), (7, 2)),
    0x34: (10, (2, 4), (7, 2)), 0x35: (10, (2, 4), (7, 2)), 0x37: (10, None, (7, 2)),
    0x41: (10, (2, 4), (7, 2)), 0x42: (10, None, (7, 2)), 0x48: (10, None, (7, 2)),
    0x4d: (10, None, (7, 2)), 0x55: (10, None, (7, 2)), 0x56: (10, None, None),
    0x57: (10, None, None), 0x5a: (10, None, (7, 2)), 0x5e: (10, None, (7, 2)),
    0x5f: (10, None, (5, 4)), 0x7f: (16, (2, 8), (10, 4)), 0x88: (16, (2, 8), (10, 4)),
    0x89: (16, (2, 8), (13, 1)), 0x8a: (16, (2, 8), (10, 4)), 0x8b: (16, (2, 8), (10, 4)),
    0x8e: (16, (2, 8), (10, 4)), 0x8f: (16, (2, 8), (10, 4)), 0x90: (16, (2, 8), (10, 4)),
    0x91: (16, (2, 8), (10, 4)), 0x93: (16, (2, 8), (10, 4)), 0x9c: (16, (2, 8), (12, 2)),
    0x9e: (16, (2, 8), (10, 4)), 0xa0: (12, None, (6, 4)), 0xa3: (12, None, (6, 4)),
    0xa4: (12, None, (6, 4)), 0xa8: (12, (2, 4), (6, 4)), 0xaa: (12, (2, 4), (6, 4)),
    0xae: (12, (2, 4), (6, 4)), 0xaf: (12, (2, 4), (6, 4)), 0xb7: (12, (2, 4), (6, 4)),
}
WITH_SERVICE_ACTION = (0x48, 0x5e, 0x5f, 0x7f, 0x9e, 0xa3, 0xa4)
READS, WRITES, NEITHER, BOTH = 0x40, 0x20, 0x00, 0x60
EXPECTED = [0, 1, 511, 512, 513, 4096, 65536, 65537, 0x7fffffff, 0xffffffff]
LENGTHS = [0, 1, 2, 7, 8, 24, 127, 128, 255, 256, 4095, 65535, 65536, 0x7fffffff, 0xffffffff]
FILLS = [b"\0", b"\xff", b"\x18"]


class CommandCase:
    def __init__(self, cdb, direction=READS, expected=4096, fill=b"\0"):
        self.cdb, self.direction, self.expected, self.fill = cdb, direction, expected, fill

    def __str__(self):
        return (f"CDB {self.cdb.hex()}, flags {self.direction:#04x}, expected length "
                f"{self.expected}, data {self.fill.hex()}")

    def run(self, place):
        place.command(self)


def put(cdb, field, value):
    offset, size = field
    cdb[offset:offset + size] = (value % (1 << 8 * size)).to_bytes(size, "big")


def base_cdb(opcode, action=0, lba=0, length=1):
    size, address, count = COMMANDS[opcode]
    cdb = bytearray(size)
    cdb[0] = opcode
    if address:
        put(cdb, address, lba)
    if opcode in WITH_SERVICE_ACTION:
        cdb[1] = action
    if count:
        put(cdb, count, length)
    return cdb


def command_cases(blocks):
    addresses = [0, 1, blocks - 1, blocks, blocks + 1, (1 << 31) - 1, (1 << 32) - 1, 1 << 63,
                 (1 << 64) - 1]
    for opcode in range(256):  # also those that nobody has
        for direction, expected in (READS, 4096), (WRITES, 512), (BOTH, 512), (NEITHER, 0):
            yield CommandCase(bytes([opcode]) + bytes(15), direction, expected)
    for opcode, (size, address, count) in COMMANDS.items():
        actions = range(32) if opcode in WITH_SERVICE_ACTION else [0]
        for action, length in itertools.product(actions, LENGTHS if count else [0]):
            for direction in READS, WRITES:
                yield CommandCase(bytes(base_cdb(opcode, action, 0, length)), direction, 512)
        for lba, length in itertools.product(addresses if address else [], (0, 1, 2, 1 << 32)):
            yield CommandCase(bytes(base_cdb(opcode, 0x10, lba, max(0, length - 1))), READS, 512)
            yield CommandCase(bytes(base_cdb(opcode, 0x10, lba, length)), WRITES, 512)
        for expected, direction in itertools.product(EXPECTED, (READS, WRITES, BOTH, NEITHER)):
            yield CommandCase(bytes(base_cdb(opcode)), direction, expected)
        for at, value in itertools.product(range(1, size), (1, 0x0f, 0x80, 0xff)):
            cdb = base_cdb(opcode)
            cdb[at] = value
            yield CommandCase(bytes(cdb), (READS, WRITES)[value & 1], 512, FILLS[at % 3])


# ── combinations for long runs ──────────────────────────────────────────────────────────────────


def random_case(rng, blocks):
    kind = rng.randrange(3)
    if kind == 0:
        pdu = rng.choice(list(PDUS))
        changes = list(changes_of(pdu))
        return FieldCase(rng.choice([*PHASES, PENDING]), pdu, rng.sample(changes, rng.randrange(2, 6)))
    if kind == 1:
        text = b"".join(rng.choice(KEYS).encode() + b"=" + rng.choice(VALUES) + b"\0"
                        for _ in range(rng.randrange(2, 9)))
        return TextCase(rng.choice(PLACES), text[:8192], rng.random() < 0.2)
    opcode = rng.choice(list(COMMANDS))
    cdb = base_cdb(opcode, rng.randrange(32), rng.choice((0, blocks - 1, blocks, rng.getrandbits(64))),
                   rng.choice(LENGTHS))
    for _ in range(rng.randrange(3)):
        cdb[rng.randrange(1, len(cdb))] = rng.randrange(256)
    return CommandCase(bytes(cdb), rng.choice((READS, WRITES, BOTH, NEITHER)), rng.choice(EXPECTED),
                       rng.choice(FILLS))


# ── where they are sent ─────────────────────────────────────────────────────────────────────────


class Place:
    """One bad peer: its connections to a daemon, and how long each waited for its end or an answer.
    `own_target` is nobody else's: what another one resets is never answered (RFC 7143 §11.5.1). On
    `calm_target`, its own as well, nothing but plain writes and resets happens."""

    def __init__(self, daemon, number, target, chap_target, own_target, calm_target):
        self.daemon, self.number = daemon, number
        self.target, self.chap_target = target, chap_target
        self.own_target, self.calm_target = own_target, calm_target
        self.transfer_tag = None  # of the R2T that waits for an answer
        self.serial, self.commands = 0, None
        self.longest = (0.0, None)
        self.counts = collections.Counter()

    def name(self):
        return f"iqn.2026-11.local.test:bad-{self.number}"

    def leading_keys(self):
        return f"InitiatorName={self.name()}\0TargetName={self.target}\0".encode()

    def session(self, target, **options):
        self.serial = (self.serial + 1) % 0xff
        isid = bytes([0x80, 0, 0, 1, self.number, self.serial])
        return Session(self.daemon.port, target, name=self.name(), isid=isid,
                       timeout=CLOSE_SECONDS, **options)

    @contextlib.contextmanager
    def in_phase(self, phase):
        """A connection in this phase and the next CmdSN; always closed."""
        target = {"discovery": None, "chap": self.chap_target,
                  PENDING: self.calm_target}.get(phase, self.target)
        login = phase in ("full feature", "discovery", PENDING)
        with contextlib.closing(self.session(target, login=login)) as session:
            if phase in ("operational", "chap"):
                keys = {"InitiatorName": self.name(), "SessionType": "Normal", "TargetName": target,
                        "AuthMethod": "CHAP" if phase == "chap" else "None"}
                session.login_step(0, 1, keys)
            if phase == "chap":
                session.login_step(0, 1, {"CHAP_A": 5})
            self.transfer_tag = self.begin_write(session) if phase == PENDING else None
            yield session.socket, session.command_number

    @staticmethod
    def begin_write(session):
        """A WRITE of one block with the task tag of the table's PDUs; its R2T's transfer tag."""
        session.ready()
        session.send(session.header(SCSI_COMMAND, 0xa1, 1, words=struct.pack(">I", 512) +
                                    WRITE_10.ljust(16, b"\0")))
        session.command_number += 1
        header, _data = session.receive()
        if header[0] & 0x3f != R2T:
            raise LabError(f"opcode {header[0]:#x} instead of an R2T")
        return header[20:24]

    def took(self, case, began):
        self.longest = max(self.longest, (time.monotonic() - began, str(case)))

    def abuse(self, case, peer, data):
        """Sends, says that nothing more comes, and waits for the end of the connection."""
        began = time.monotonic()
        answered = False
        with contextlib.suppress(OSError):  # it may be closed already
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            try:
                while peer.recv(1 << 18):
                    answered = True
            except TimeoutError:
                raise LabError(f"the connection is still open after {CLOSE_SECONDS} s") from None
        self.counts["answered" if answered else "closed"] += 1
        self.took(case, began)

    # Commands share a session for as long as it lives: whatever one leaves behind, the next one meets.
    def command(self, case):
        began = time.monotonic()
        if not self.commands:
            self.commands = self.session(self.own_target)
        session = self.commands
        data = b""
        if case.direction & WRITES:
            data = case.fill * min(case.expected, 65536)
        try:
            tag = self.send_command(session, case, data)
            if not self.until_answered(session, case, tag):
                self.end_commands()
        except TimeoutError:
            self.end_commands()
            raise LabError(f"no answer after {CLOSE_SECONDS} s") from None
        except (Closed, ConnectionError):
            self.counts["closed"] += 1
            self.end_commands()
        self.took(case, began)

    def send_command(self, session, case, data):
        tag = next(session.tags) & 0x7fffffff
        header = struct.pack(">BB2xI8sIIII", SCSI_COMMAND, 0x81 | case.direction, len(data), bytes(8),
                             tag, case.expected, session.command_number, session.status_number)
        session.socket.sendall(header + case.cdb.ljust(16, b"\0") + data + bytes(-len(data) % 4))
        session.command_number = (session.command_number + 1) & 0xffffffff
        return tag

    def until_answered(self, session, case, tag):
        """Whether the session can be used further: not after more data than is worth sending was asked
        for."""
        for solicited in range(1 << 16):
            header, _data = session.receive()
            opcode = header[0] & 0x3f
            if opcode == SCSI_RESPONSE or opcode == DATA_IN and header[1] & 1:
                if int.from_bytes(header[16:20], "big") != tag:
                    raise LabError("an answer to something else")
                self.counts["good" if header[3] == GOOD else "refused"] += 1
                return True
            if opcode == R2T:
                if solicited >= 2:
                    return False
                offset, length = struct.unpack(">II", header[40:48])
                if offset + length > case.expected:
                    raise LabError(f"an R2T for {length} bytes at {offset} of {case.expected}")
                session.outgoing = case.fill * (offset + length) if offset < 1 << 21 else b""
                session.send_solicited(header)
        raise LabError("no end of the answer")

    def end_commands(self):
        self.commands.close()
        self.commands = None

    def close(self):
        if self.commands:
            self.end_commands()


def all_cases(blocks, seed):
    """In an order that the seed decides, so that what one leaves behind meets another one every time."""
    cases = [*field_cases(), *text_cases(), *command_cases(blocks)]
    random.Random(seed).shuffle(cases)
    return cases
