"""A small iSCSI initiator that does exactly what a test says: names, ISIDs, single PDUs, no retry."""
import contextlib
import hashlib
import itertools
import os
import socket
import struct
import threading
import time

from .report import LabError

INITIATOR = "iqn.2026-11.local.test:initiator"
OPEN_ISCSI_ISID = bytes.fromhex("00023d000001")
IPXE_ISID = bytes.fromhex("400027231234")
ISBOOT_ISID = bytes.fromhex("804953420001")

# RFC 7143 §11.2.1.2
NOP_OUT, SCSI_COMMAND, LOGIN, TEXT, DATA_OUT, LOGOUT = 0x00, 0x01, 0x03, 0x04, 0x05, 0x06
NOP_IN, SCSI_RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE = 0x20, 0x21, 0x23, 0x24
MANAGEMENT, MANAGEMENT_RESPONSE = 0x02, 0x22
DATA_IN, LOGOUT_RESPONSE, R2T, ASYNC, REJECT = 0x25, 0x26, 0x31, 0x32, 0x3f
RESERVED_TAG = 0xffffffff
PIECE_BYTES = 64 << 10  # of immediate data and of one Data-Out

GOOD, CHECK_CONDITION, BUSY, RESERVATION_CONFLICT = 0x00, 0x02, 0x08, 0x18


class Refused(LabError):
    """A login that was answered with an error."""

    def __init__(self, status):
        super().__init__(f"login refused with {status:04x}")
        self.status = status


class Closed(LabError):
    """The target has closed the connection."""


class Answer:
    """How a command ended."""

    def __init__(self, status, sense, data):
        self.status, self.sense, self.data = status, sense, data

    @property
    def sense_words(self):
        """(key, ASC/ASCQ) of fixed-format sense (SPC-4 §4.5.3)."""
        return (self.sense[2] & 15, self.sense[12] << 8 | self.sense[13]) if self.sense else None

    def __repr__(self):
        return f"status {self.status:#x} sense {self.sense_words} {len(self.data)} bytes"


class Session:
    """One connection and the session on it; a context that logs out at its end."""

    def __init__(self, port, target=None, address="127.0.0.1", name=INITIATOR,
                 isid=OPEN_ISCSI_ISID, secrets=None, timeout=15, login=True, source=None):
        self.port, self.target, self.address, self.name = port, target, address, name
        self.isid, self.secrets = isid, secrets
        self.tags, self.lock = itertools.count(1), threading.Lock()
        self.command_number = self.status_number = 1
        self.waiting, self.logout_requested = b"", None
        self.socket = socket.create_connection((address, port), timeout=timeout,
                                               source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if login:
            try:
                self.login()
            except Exception:
                self.close()
                raise

    # ── PDUs ────────────────────────────────────────────────────────────────────────────────────

    def send(self, header, data=b""):
        header = bytearray(header)
        header[5:8] = len(data).to_bytes(3, "big")
        self.socket.sendall(bytes(header) + data + bytes(-len(data) % 4))

    def read(self, count):
        while len(self.waiting) < count:
            try:
                piece = self.socket.recv(1 << 20)
            except ConnectionError as error:
                raise Closed(str(error)) from None
            if not piece:
                raise Closed("the target has closed the connection")
            self.waiting += piece
        data, self.waiting = self.waiting[:count], self.waiting[count:]
        return data

    def receive(self):
        """The next PDU: its header and data. Async Messages are noted on the way."""
        while True:
            header = self.read(48)
            length = int.from_bytes(header[5:8], "big")
            data = self.read(length + -length % 4)[:length]
            pinged = header[0] & 0x3f == NOP_IN and header[16:20] == b"\xff" * 4
            if not pinged and (header[0] & 0x3f not in (R2T, DATA_IN) or header[1] & 1):
                self.status_number = int.from_bytes(header[24:28], "big") + 1
            expected, most = struct.unpack(">II", header[28:36])
            self.window = most - expected + 1
            if header[0] & 0x3f != ASYNC:
                return header, data
            if header[36] == 1:
                self.logout_requested = time.monotonic()

    def header(self, opcode, flags, tag, lun=0, words=b"", number=None, immediate=False):
        number = self.command_number if number is None else number
        return struct.pack(">BB2xI8sI", opcode | (0x40 if immediate else 0), flags, 0,
                           bytes([0, lun]) + bytes(6), tag) + words.ljust(4, b"\0")[:4] + \
            struct.pack(">II", number, self.status_number) + words[4:].ljust(16, b"\0")

    # ── login ───────────────────────────────────────────────────────────────────────────────────

    def login_step(self, stage, next_stage, keys):
        """Sends keys and asks to leave the stage; gives the answer's keys and the stage after."""
        text = b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys.items())
        header = struct.pack(">BBBB4x6sHIHHII16x", LOGIN | 0x40, 0x80 | stage << 2 | next_stage,
                             0, 0, self.isid, 0, 0, 0, 0, self.command_number, self.status_number)
        self.send(header, text)
        header, data = self.receive()
        if header[0] & 0x3f != LOGIN_RESPONSE:
            raise LabError(f"login answered with opcode {header[0]:#x}")
        status = int.from_bytes(header[36:38], "big")
        if status:
            raise Refused(status)
        pairs = (item.split("=", 1) for item in data.decode().split("\0") if item)
        return dict(pairs), header[1] & 3 if header[1] & 0x80 else stage

    def login(self):
        keys = {"InitiatorName": self.name,
                "SessionType": "Normal" if self.target else "Discovery"}
        if self.target:
            keys["TargetName"] = self.target
        keys["AuthMethod"] = "CHAP" if self.secrets else "None"
        answer, stage = self.login_step(0, 1, keys)
        if self.secrets:
            stage = self.prove()
        if stage != 1:
            raise LabError(f"the security stage goes on: {answer}")
        keys = {"HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "Yes",
                "ImmediateData": "Yes", "MaxRecvDataSegmentLength": 1 << 18,
                "MaxBurstLength": 1 << 18, "FirstBurstLength": PIECE_BYTES,
                "ErrorRecoveryLevel": 0}
        self.parameters, stage = self.login_step(1, 3, keys)

    def prove(self):
        """CHAP with MD5, both ways when there is a secret of the target's (RFC 7143 §12.1.3)."""
        def response(identifier, secret, challenge):
            return hashlib.md5(bytes([identifier]) + secret.encode() + challenge).hexdigest()
        challenge, _stage = self.login_step(0, 1, {"CHAP_A": 5})
        keys = {"CHAP_N": self.secrets.user,
                "CHAP_R": "0x" + response(int(challenge["CHAP_I"]), self.secrets.secret,
                                          bytes.fromhex(challenge["CHAP_C"][2:]))}
        ours = os.urandom(16)
        if self.secrets.target_secret:
            keys |= {"CHAP_I": 7, "CHAP_C": "0x" + ours.hex()}
        proof, stage = self.login_step(0, 1, keys)
        if self.secrets.target_secret:
            expected = response(7, self.secrets.target_secret, ours)
            if proof.get("CHAP_R", "").lower() != "0x" + expected or \
                    proof.get("CHAP_N") != self.secrets.target_user:
                raise LabError(f"the target could not prove itself: {proof.get('CHAP_N')}")
        return stage

    # ── commands ────────────────────────────────────────────────────────────────────────────────

    def start(self, cdb, data_out=b"", data_in=0, lun=0):
        """Sends a command and gives its tag."""
        tag = next(self.tags)
        flags = 0x81 | (0x20 if data_out else 0) | (0x40 if data_in else 0)
        words = struct.pack(">I", len(data_out) or data_in) + cdb.ljust(16, b"\0")
        self.outgoing = data_out
        self.send(self.header(SCSI_COMMAND, flags, tag, lun, words), data_out[:PIECE_BYTES])
        self.command_number += 1
        return tag

    def send_solicited(self, header):
        """Data-Out for an R2T (RFC 7143 §11.7, §11.8)."""
        offset, length = struct.unpack(">II", header[40:48])
        for number, at in enumerate(range(offset, offset + length, PIECE_BYTES)):
            end = min(at + PIECE_BYTES, offset + length)
            flags = 0x80 if end == offset + length else 0
            self.send(struct.pack(">BB6x16s4xI4xII4x", DATA_OUT, flags, header[8:24],
                                  self.status_number, number, at), self.outgoing[at:end])

    def finish(self, tag):
        """Waits for the end of this command."""
        data = bytearray()
        while True:
            header, payload = self.receive()
            opcode = header[0] & 0x3f
            if opcode == NOP_IN:
                continue
            if int.from_bytes(header[16:20], "big") != tag:
                raise LabError(f"an answer to something else, opcode {opcode:#x}")
            if opcode == R2T:
                self.send_solicited(header)
            elif opcode == DATA_IN:
                offset = int.from_bytes(header[40:44], "big")
                if offset != len(data):
                    raise LabError(f"Data-In at {offset}, expected {len(data)}")
                data += payload
                if header[1] & 1:
                    return Answer(header[3], b"", bytes(data))
            elif opcode == SCSI_RESPONSE:
                sense = payload[2:2 + int.from_bytes(payload[:2], "big")] if payload else b""
                return Answer(header[3], sense, bytes(data))
            else:
                raise LabError(f"a command answered with opcode {opcode:#x}")

    def command(self, cdb, data_out=b"", data_in=0, lun=0):
        return self.finish(self.start(bytes(cdb), data_out, data_in, lun))

    def ready(self, lun=0):
        """TEST UNIT READY until the unit attentions are told; gives them."""
        told = []
        for _ in range(8):
            answer = self.command(bytes(6), lun=lun)
            if answer.status == GOOD:
                return told
            told.append(answer.sense_words)
        raise LabError(f"the unit does not become ready: {told}")

    def good(self, cdb, data_out=b"", data_in=0, lun=0):
        """A command that has to succeed; gives its data."""
        answer = self.command(cdb, data_out, data_in, lun)
        if answer.status != GOOD:
            raise LabError(f"CDB {bytes(cdb).hex()}: {answer}")
        return answer.data

    @staticmethod
    def write_cdb(lba, blocks, fua=False):
        return struct.pack(">BBIBHB", 0x2a, 8 if fua else 0, lba, 0, blocks, 0)

    @staticmethod
    def read_cdb(lba, blocks):
        return struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0)

    def write(self, lba, data, lun=0, fua=False):
        return self.good(self.write_cdb(lba, len(data) // 512, fua), data, lun=lun)

    def read_blocks(self, lba, blocks, lun=0):
        return self.good(self.read_cdb(lba, blocks), data_in=blocks * 512, lun=lun)

    def flush(self, lun=0):
        return self.good(struct.pack(">BB8x", 0x35, 0), lun=lun)

    def inquiry(self, page=None, lun=0):
        return self.good(struct.pack(">BBBHB", 0x12, page is not None, page or 0, 1024, 0),
                         data_in=1024, lun=lun)

    def capacity(self, lun=0):
        """Blocks and bytes per block (READ CAPACITY(16))."""
        last, size = struct.unpack(">QI", self.good(struct.pack(">BB8xIH", 0x9e, 0x10, 32, 0),
                                                    data_in=32, lun=lun)[:12])
        return last + 1, size

    def start_management(self, function, referenced=RESERVED_TAG):
        """Sends a task management function (RFC 7143 §11.5.1) and gives its tag."""
        tag = next(self.tags)
        self.send(self.header(MANAGEMENT, 0x80 | function, tag,
                              words=struct.pack(">I", referenced), immediate=True))
        return tag

    def finish_management(self, tag):
        """Waits for its response (§11.6.1), and takes the ends of commands before it: gives both,
        the latter as tags."""
        ended = []
        while True:
            header, _data = self.receive()
            opcode, about = header[0] & 0x3f, int.from_bytes(header[16:20], "big")
            if opcode == MANAGEMENT_RESPONSE and about == tag:
                return header[2], ended
            if opcode != SCSI_RESPONSE:
                raise LabError(f"a management function answered with opcode {opcode:#x}")
            ended.append(about)

    def nop(self):
        """Pings the target, and hears what it had to say before."""
        tag = next(self.tags)
        self.send(self.header(NOP_OUT, 0x80, tag, words=struct.pack(">I", RESERVED_TAG),
                              immediate=True), b"ping")
        header, data = self.receive()
        if header[0] & 0x3f != NOP_IN or data != b"ping":
            raise LabError(f"a ping answered with opcode {header[0]:#x}")

    def send_targets(self):
        self.send(self.header(TEXT, 0x80, next(self.tags), words=struct.pack(">I", RESERVED_TAG)),
                  b"SendTargets=All\0")
        self.command_number += 1
        header, data = self.receive()
        if header[0] & 0x3f != TEXT_RESPONSE:
            raise LabError(f"SendTargets answered with opcode {header[0]:#x}")
        return data.decode().rstrip("\0").split("\0") if data else []

    def logout(self):
        self.send(self.header(LOGOUT, 0x80, next(self.tags)))
        self.command_number += 1
        while (self.receive()[0][0] & 0x3f) != LOGOUT_RESPONSE:
            pass
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Gone as if the machine had lost its power and told by a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self.socket.fileno() < 0:
            return
        with contextlib.suppress(LabError, OSError):
            self.socket.settimeout(3)
            self.logout()
        self.close()


def login_status(port, target, **options):
    """0, or the status class and detail of a refused login: 0x0301."""
    try:
        with Session(port, target, **options):
            return 0
    except Refused as refused:
        return refused.status


class Load(threading.Thread):
    """Writes and reads back one region until it is stopped; `rounds` counts, `error` says what
    ended it."""

    def __init__(self, session, lba=2048, blocks=64, lun=0):
        super().__init__(daemon=True)
        self.session, self.lba, self.blocks, self.lun = session, lba, blocks, lun
        self.rounds, self.error, self.stopping = 0, None, False
        self.start()

    def work(self):
        while not self.stopping:
            data = os.urandom(512) * self.blocks
            self.session.write(self.lba, data, self.lun)
            if self.session.read_blocks(self.lba, self.blocks, self.lun) != data:
                raise LabError("read something else than was written")
            self.rounds += 1

    def run(self):
        try:
            self.work()
        except (LabError, OSError) as error:
            self.error = error

    def stop(self):
        self.stopping = True
        self.join(20)
        if self.error:
            raise LabError(f"the load ended after {self.rounds} rounds: {self.error}")
        return self.rounds
