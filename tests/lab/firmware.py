"""Models of initiators that boot from us, each as strict and as odd as the real one: isboot (FreeBSD's
kernel module), iPXE, and Microsoft's as far as it is known. What one of them would choke on raises
Choked."""
import hashlib
import itertools
import os
import socket
import struct
import time

from .initiator import (CHECK_CONDITION, DATA_IN, DATA_OUT, GOOD, LOGIN, LOGIN_RESPONSE, NOP_IN, NOP_OUT,
                        R2T, RESERVED_TAG, SCSI_COMMAND, SCSI_RESPONSE, Answer, Closed, Session)
from .report import LabError

FINAL, STATUS, UNDERFLOW, OVERFLOW = 0x80, 0x01, 0x02, 0x04
OPERATIONAL, FULL_FEATURE = 1, 3


class Choked(LabError):
    """The real initiator would not have coped with this."""


def expect(condition, why):
    if not condition:
        raise Choked(why() if callable(why) else why)


def chap_response(identifier, secret, challenge):
    return hashlib.md5(bytes([identifier]) + secret.encode() + challenge).digest()


class Firmware(Session):
    """What the models share: PDUs by hand, and Data-In that is looked at closely."""
    flags_login = 0x40  # I

    def __init__(self, port, target, name, isid, address="127.0.0.1", secrets=None, timeout=30):
        super().__init__(port, target, address=address, name=name, isid=isid, secrets=secrets,
                         timeout=timeout, login=False)
        self.receive_bytes = 8192  # of the target's, until it declares more (RFC 7143 §13.12)
        self.pings = 0

    def next_pdu(self):
        header = self.read(48)
        length = int.from_bytes(header[5:8], "big")
        data = self.read(length + -length % 4)[:length]
        expect(header[4] == 0, "additional header segments")
        return header, data

    def login_pdu(self, flags, keys, tag, cid, tsih=0):
        text = b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys)
        self.send(struct.pack(">BBBB4x6sHIHHII16x", LOGIN | self.flags_login, flags, 0, 0, self.isid,
                              tsih, tag, cid, 0, self.command_number, self.status_number), text)

    def login_keys(self, header, data, tag):
        """The keys of a login answer, as these initiators read them."""
        expect(header[0] == LOGIN_RESPONSE, lambda: f"byte 0 is {header[0]:#x}, not 0x23")
        expect(int.from_bytes(header[16:20], "big") == tag, "another initiator task tag")
        status = int.from_bytes(header[36:38], "big")
        expect(status == 0, lambda: f"login refused with {status:04x}")
        expect(not header[1] & 0x40, "a login answer in several PDUs")
        pairs = [item.split("=", 1) for item in data.decode("ascii").split("\0") if item]
        expect(all(len(pair) == 2 for pair in pairs), lambda: f"a key without a value: {pairs}")
        expect("TargetAddress" not in dict(pairs), "TargetAddress in a login answer")
        return dict(pairs)


# ── isboot ──────────────────────────────────────────────────────────────────────────────────────

class Isboot(Firmware):
    """isboot 0.2.16; `version` 14 is the strictness of 0.2.14 on top. It counts CmdSN, StatSN and tags for
    itself and never begins anew, so the counters are handed from connection to connection."""
    ISID = bytes.fromhex("804953420001")
    OPERATIONAL_KEYS = (
        ("HeaderDigest", "None,CRC32C"), ("DataDigest", "None,CRC32C"),
        ("MaxRecvDataSegmentLength", 262144), ("DefaultTime2Wait", 2), ("DefaultTime2Retain", 60),
        ("ErrorRecoveryLevel", 0), ("MaxConnections", 1), ("InitialR2T", "Yes"),
        ("ImmediateData", "Yes"), ("MaxBurstLength", 1048576), ("MaxOutstandingR2T", 1),
        ("DataPDUInOrder", "Yes"), ("DataSequenceInOrder", "Yes"), ("FirstBurstLength", 262144))

    class Counters:
        def __init__(self):
            self.command = self.status = self.tag = 0
            self.login_toggle = 0

    def __init__(self, port, target, name, counters=None, version=16, **options):
        super().__init__(port, target, name, self.ISID, **options)
        self.version, self.counters = version, counters or self.Counters()
        self.running = {}  # tag: the command that waits
        self.log_in()

    # The counters stand in for the session's own.
    @property
    def command_number(self):
        return self.counters.command & 0xffffffff

    @command_number.setter
    def command_number(self, value):
        if hasattr(self, "counters"):
            self.counters.command = value

    @property
    def status_number(self):
        return self.counters.status & 0xffffffff

    @status_number.setter
    def status_number(self, value):
        pass  # never synchronised with the target's

    def login_round(self, flags, keys):
        if self.version <= 14:  # meant to toggle the I bit, toggles bit 7
            self.counters.login_toggle ^= 0x80
            self.flags_login = self.counters.login_toggle
        tag = self.counters.tag
        self.login_pdu(flags, keys, tag, cid=1)
        header, data = self.next_pdu()
        self.counters.status += 1
        return header, self.login_keys(header, data, tag)

    def log_in(self):
        names = [("InitiatorName", self.name), ("SessionType", "Normal"), ("TargetName", self.target)]
        if self.secrets:
            self.authenticate(names)
            names = []
        header, keys = self.login_round(FINAL | OPERATIONAL << 2 | FULL_FEATURE,
                                        [*names, *self.OPERATIONAL_KEYS])
        self.negotiated = keys
        expect(header[1] == FINAL | OPERATIONAL << 2 | FULL_FEATURE,
               lambda: f"the operational stage does not end with its one answer: {header[1]:#x}")
        self.tsih = int.from_bytes(header[14:16], "big")
        expect(self.tsih != 0, "TSIH 0")
        for digest in "HeaderDigest", "DataDigest":
            expect(keys[digest] == "None", lambda: f"{digest}={keys[digest]}, though None is offered")
        self.receive_bytes = int(keys.get("MaxRecvDataSegmentLength", 8192))
        self.first_burst = min(262144, int(keys["FirstBurstLength"]))
        self.max_burst = min(1048576, int(keys["MaxBurstLength"]))
        self.wait_seconds = int(keys["DefaultTime2Wait"])
        expected, most = struct.unpack(">II", header[28:36])
        self.window = most - expected + 1

    def authenticate(self, names):
        header, keys = self.login_round(OPERATIONAL, [*names, ("AuthMethod", "CHAP,None")])  # NSG, no T
        expect(keys["AuthMethod"] == "CHAP", lambda: f"AuthMethod={keys['AuthMethod']}")
        header, keys = self.login_round(OPERATIONAL, [("CHAP_A", 5)])
        expect(keys["CHAP_A"] == "5", "another algorithm")
        expect(keys["CHAP_C"].lower().startswith("0x"), "a challenge that is not hexadecimal")
        challenge = bytes.fromhex(keys["CHAP_C"][2:])
        expect(len(challenge) <= 1024, "a challenge of more than 1024 bytes")
        proof = chap_response(int(keys["CHAP_I"]), self.secrets.secret, challenge)
        ours = os.urandom(len(challenge))
        words = [("CHAP_N", self.secrets.user), ("CHAP_R", "0x" + proof.hex().upper())]
        if self.secrets.target_secret:
            words += [("CHAP_I", 255), ("CHAP_C", "0x" + ours.hex().upper())]
        header, keys = self.login_round(FINAL | OPERATIONAL, words)
        expect(header[1] & 0x83 == FINAL | OPERATIONAL, "the security stage does not end here")
        if self.secrets.target_secret:
            expect({"CHAP_N", "CHAP_R"} <= set(keys), "no proof in the same PDU")
            expect(keys["CHAP_R"][:2] == "0x", "a proof that is not hexadecimal")
            expect(bytes.fromhex(keys["CHAP_R"][2:]) ==
                   chap_response(255, self.secrets.target_secret, ours), "a wrong proof")

    # ── commands ────────────────────────────────────────────────────────────────────────────────

    def start(self, cdb, data_out=b"", data_in=0, lun=0):
        """Whatever MaxCmdSN says."""
        self.counters.tag = tag = self.counters.tag + 1
        flags = FINAL | 1 | (0x20 if data_out else 0) | (0x40 if data_in else 0)
        immediate = data_out[:min(self.first_burst, self.receive_bytes)]
        words = struct.pack(">I", len(data_out) or data_in) + bytes(cdb).ljust(16, b"\0")
        self.running[tag] = [bytes(cdb), data_out, bytearray(data_in), 0, lun]
        self.send(self.header(SCSI_COMMAND, flags, tag, lun, words), immediate)
        self.counters.command += 1
        return tag

    def take_data_in(self, header, data, command):
        offset = int.from_bytes(header[40:44], "big")
        _cdb, _out, buffer, received, _lun = command
        expect(offset == received, "Data-In out of order")
        expect(offset + len(data) <= len(buffer), "Data-In beyond the expected length")
        expect(header[1] & FINAL or len(data) % 4 == 0,
               "an odd segment in the middle, whose padding it would copy, too")
        buffer[offset:offset + len(data)] = data
        command[3] = received + len(data)

    def poll(self):
        """The next PDU: None, or (tag, Answer) of a command that has ended."""
        header, data = self.next_pdu()
        opcode, tag = header[0] & 0x3f, int.from_bytes(header[16:20], "big")
        if opcode == NOP_IN:
            if tag != RESERVED_TAG:
                self.counters.status += 1
            elif self.version >= 15:
                self.pong(header)
            self.pings += tag == RESERVED_TAG
            return None
        expect(opcode in (DATA_IN, R2T, SCSI_RESPONSE), f"unsupported opcode {opcode:#x}")
        expect(tag in self.running, lambda: f"an answer to no command of ours: {tag:#x}")
        command = self.running[tag]
        if opcode == R2T:
            self.answer_r2t(header, command)
            return None
        if opcode == DATA_IN:
            self.take_data_in(header, data, command)
            if not header[1] & STATUS:
                expect(self.version >= 15 or not header[1] & FINAL,
                       "F without status: 0.2.14 forgets the command here")
                return None
        self.counters.status += 1
        del self.running[tag]
        sense = data[2:2 + int.from_bytes(data[:2], "big")] if opcode == SCSI_RESPONSE else b""
        answer = Answer(header[3], sense, bytes(command[2][:command[3]]))
        answer.by_response = opcode == SCSI_RESPONSE
        answer.residual_flags = header[1] & (UNDERFLOW | OVERFLOW)
        return tag, answer

    def pong(self, ping):
        self.send(struct.pack(">BB14xI4sII16x", NOP_OUT | 0x40, FINAL, RESERVED_TAG, ping[20:24],
                              self.command_number, self.status_number))

    def answer_r2t(self, r2t, command):
        offset, length = struct.unpack(">II", r2t[40:48])
        length = min(length, self.max_burst)  # cut without a word
        for number, at in enumerate(range(offset, offset + length, self.receive_bytes)):
            end = min(at + self.receive_bytes, offset + length)
            self.send(struct.pack(">BB6x16s4xI4xII4x", DATA_OUT, FINAL if end == offset + length else 0,
                                  r2t[8:24], self.status_number, number, at), command[1][at:end])

    def finish(self, tag):
        while True:
            ended = self.poll()
            if ended and ended[0] == tag:
                return ended[1]

    def nop(self):
        """After 30 s of silence: not immediate, F clear, the LUN's low byte only."""
        self.counters.tag = tag = self.counters.tag + 1
        self.send(struct.pack(">BB6x8sIIII16x", NOP_OUT, 0, bytes(8), tag, RESERVED_TAG,
                              self.command_number, self.status_number))
        self.counters.command += 1
        return tag

    # ── CAM's scan ──────────────────────────────────────────────────────────────────────────────

    def cam(self, cdb, data_in=0, lun=0, retries=5):
        """A command as CAM sends it: unit attentions and BUSY are tried again."""
        for _ in range(retries):
            answer = self.command(bytes(cdb), data_in=data_in, lun=lun)
            if answer.status == GOOD:
                return answer.data
            expect(answer.by_response, "an error that came with Data-In")
            expect(not answer.data, "data before an error")
            key = answer.sense_words[0] if answer.sense else None
            if answer.status == CHECK_CONDITION and key != 6:
                return None
        raise Choked(f"{cdb.hex()} does not succeed: {answer}")

    def scan(self):
        """What scsi_xpt and da(4) ask; gives LUNs and the identity that must never change."""
        inquiry = self.cam(struct.pack(">BBBHB", 0x12, 0, 0, 36, 0), 36)
        inquiry = self.cam(struct.pack(">BBBBBB", 0x12, 0, 0, 0, inquiry[4] + 5, 0), inquiry[4] + 5)
        expect(inquiry[2] > 4, "older than SPC-3: LUNs would be tried one by one")
        short = self.cam(struct.pack(">BB4xIxx", 0xa0, 0, 16), 16)
        length = int.from_bytes(short[:4], "big") + 8
        lun_list = self.cam(struct.pack(">BB4xIxx", 0xa0, 0, length), length)
        expect(int.from_bytes(lun_list[:4], "big") + 8 == length, "another list of LUNs")
        self.luns = [lun_list[at + 1] for at in range(8, length, 8)]
        expect(inquiry[7] & 2, "CmdQue is 0: one command at a time")
        self.cam(struct.pack(">BBBBBB", 0x1a, 0, 0x0a, 0, 255, 0), 255)
        pages = self.cam(struct.pack(">BBBHB", 0x12, 1, 0, 255, 0), 255)
        identity = hashlib.md5(inquiry)
        for page in (0x83, 0x86, 0x80):
            if page in pages[4:]:
                data = self.cam(struct.pack(">BBBHB", 0x12, 1, page, 255, 0), 255)
                identity.update(data if page == 0x80 else b"")
        self.cam(bytes(6))
        last, size = struct.unpack(">II", self.cam(struct.pack(">B9x", 0x25), 8))
        self.blocks, self.block_bytes = last + 1, size
        self.cam(struct.pack(">BB8xIH", 0x9e, 0x10, 32, 0), 32)
        for page in (0xb2, 0xb0, 0xb1):
            if page in pages[4:]:
                self.cam(struct.pack(">BBBHB", 0x12, 1, page, 255, 0), 255)
        return self.luns, identity.hexdigest()

    def again(self, seconds=30, retry_status=()):
        """Its recovery: waits DefaultTime2Wait, connects until it is let in, sends everything anew."""
        waiting = list(self.running.values())
        self.close()
        time.sleep(min(self.wait_seconds, 2))
        deadline = time.monotonic() + seconds
        while True:
            try:
                successor = type(self)(self.port, self.target, self.name, self.counters, self.version,
                                       address=self.address, secrets=self.secrets)
                break
            except (OSError, LabError) as error:
                if time.monotonic() > deadline:
                    raise Choked(f"no way back in: {error}") from error
                time.sleep(0.2)
        for cdb, data_out, buffer, _received, lun in (command[:5] for command in waiting):
            successor.start(cdb, data_out, len(buffer), lun)
        return successor


# ── iPXE ────────────────────────────────────────────────────────────────────────────────────────

class Ipxe(Firmware):
    """iPXE's initiator: one command at a time, numbers taken from whatever PDU comes, a new ISID each time.
    `cautious`: sends header and data as two segments, and the second only when the first one is
    acknowledged, as its TCP does."""
    OPERATIONAL_KEYS = (
        ("HeaderDigest", "None"), ("DataDigest", "None"), ("MaxConnections", 1), ("InitialR2T", "Yes"),
        ("ImmediateData", "No"), ("MaxRecvDataSegmentLength", 8192), ("MaxBurstLength", 262144),
        ("FirstBurstLength", 65536), ("DefaultTime2Wait", 0), ("DefaultTime2Retain", 0),
        ("MaxOutstandingR2T", 1), ("DataPDUInOrder", "Yes"), ("DataSequenceInOrder", "Yes"),
        ("ErrorRecoveryLevel", 0))

    def __init__(self, port, target, name="iqn.2010-04.org.ipxe:52540077-0002", cautious=False, **options):
        super().__init__(port, target, name, bytes.fromhex("40002723") + os.urandom(2), **options)
        self.cautious, self.tags = cautious, itertools.count(int.from_bytes(os.urandom(2), "big"))
        if cautious:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)  # Nagle waits as it does
        self.command_number, self.status_number = 0, 0
        self.log_in()

    def send(self, header, data=b""):
        if not (self.cautious and data):
            super().send(header, data)
            return
        header = bytearray(header)
        header[5:8] = len(data).to_bytes(3, "big")
        self.socket.sendall(bytes(header))
        self.socket.sendall(data + bytes(-len(data) % 4))

    def next_pdu(self):
        header, data = super().next_pdu()
        opcode = header[0] & 0x3f
        # from every PDU: Data-In without S, R2T and NOP-In as well
        status, self.command_number = struct.unpack(">II", header[24:32])
        self.status_number = (status + 1) & 0xffffffff
        expect(opcode in (LOGIN_RESPONSE, DATA_IN, R2T, SCSI_RESPONSE, NOP_IN),
               f"unknown opcode {opcode:#x}")
        return header, data

    def login_round(self, stage, next_stage, keys):
        """T is set in every request."""
        tag = next(self.tags)
        self.login_pdu(FINAL | stage << 2 | next_stage, keys, tag, cid=0)
        header, data = self.next_pdu()
        keys = self.login_keys(header, data, tag)
        expect("Reject" not in keys.values(), lambda: f"a value is rejected: {keys}")
        return header, keys

    def log_in(self):
        method = "None" if not self.secrets else \
            "CHAP" if self.secrets.target_secret else "CHAP,None"
        header, keys = self.login_round(0, OPERATIONAL, [
            ("InitiatorName", self.name), ("TargetName", self.target), ("SessionType", "Normal"),
            ("AuthMethod", method)])
        if self.secrets:
            header = self.authenticate(keys)
        expect(header[1] & 0x83 == FINAL | OPERATIONAL, "the security stage does not end")
        header, self.negotiated = self.login_round(OPERATIONAL, FULL_FEATURE, self.OPERATIONAL_KEYS)
        expect(header[1] & 0x83 == FINAL | FULL_FEATURE, "the operational stage does not end")
        self.max_burst = int(self.negotiated.get("MaxBurstLength", 262144))

    def authenticate(self, keys):
        expect(keys.get("AuthMethod") == "CHAP", "the target does not ask for CHAP")
        header, keys = self.login_round(0, OPERATIONAL, [("CHAP_A", 5)])
        expect(not header[1] & FINAL, "T in the answer to CHAP_A, before anything is proven")
        challenge = bytes.fromhex(keys["CHAP_C"].removeprefix("0x"))
        ours = os.urandom(16)
        words = [("CHAP_N", self.secrets.user), ("CHAP_R", "0x" + chap_response(
            int(keys["CHAP_I"]), self.secrets.secret, challenge).hex())]
        if self.secrets.target_secret:
            words += [("CHAP_I", 3), ("CHAP_C", "0x" + ours.hex())]
        header, keys = self.login_round(0, OPERATIONAL, words)
        if self.secrets.target_secret:
            expect(keys.get("CHAP_N") == self.secrets.target_user, "another name than reverse-username")
            expect(bytes.fromhex(keys["CHAP_R"].removeprefix("0x")) ==
                   chap_response(3, self.secrets.target_secret, ours), "a wrong proof")
        return header

    def start(self, cdb, data_out=b"", data_in=0, lun=0):
        tag = next(self.tags)
        flags = FINAL | 1 | (0x20 if data_out else 0) | (0x40 if data_in else 0)
        words = struct.pack(">I", len(data_out) or data_in) + bytes(cdb).ljust(16, b"\0")
        self.outgoing, self.expected_bytes = data_out, data_in
        self.send(self.header(SCSI_COMMAND, flags, tag, lun, words))
        return tag

    def send_solicited(self, header):
        offset, length = struct.unpack(">II", header[40:48])
        for number, at in enumerate(range(offset, offset + length, 512)):
            end = min(at + 512, offset + length)
            self.send(struct.pack(">BB6x16s4xI4xII4x", DATA_OUT, FINAL if end == offset + length else 0,
                                  header[8:24], self.status_number, number, at), self.outgoing[at:end])

    def finish(self, tag):
        received = bytearray()
        while True:
            header, data = self.next_pdu()
            opcode = header[0] & 0x3f
            if opcode == NOP_IN:  # it can't answer
                self.pings += 1
                continue
            expect(int.from_bytes(header[16:20], "big") == tag, "an answer to something else")
            if opcode == R2T:
                self.send_solicited(header)
            elif opcode == DATA_IN:
                expect(len(data) <= 8192, "more than its MaxRecvDataSegmentLength")
                expect(int.from_bytes(header[40:44], "big") == len(received), "Data-In out of order")
                received += data
                if header[1] & STATUS:  # means to it: all of it, and GOOD
                    expect(len(received) == self.expected_bytes and not header[3],
                           "a short or bad read that ends with Data-In")
                    return Answer(GOOD, b"", bytes(received))
            elif opcode == SCSI_RESPONSE:
                sense = data[2:2 + int.from_bytes(data[:2], "big")] if data else b""
                return Answer(header[3], sense, bytes(received))
            else:
                raise Choked(f"a command answered with opcode {opcode:#x}")

    def open_disk(self):
        """TEST UNIT READY up to 10 times, READ CAPACITY(10), (16) only when (10) can't say it."""
        for _ in range(10):
            if self.command(bytes(6)).status == GOOD:
                break
        else:
            raise Choked("the unit does not become ready")
        last, size = struct.unpack(">II", self.good(struct.pack(">B9x", 0x25), data_in=8))
        if last == 0xffffffff:
            return self.capacity()
        return last + 1, size


# ── Microsoft's ─────────────────────────────────────────────────────────────────────────────────

class Microsoft(Session):
    """What is known of the initiator of Windows: an ISID of its own under Microsoft's number, the same at
    every login; the name and the address of the iBFT; markers and error recovery in its offer."""
    ISID = bytes.fromhex("400001370000")
    OPERATIONAL_KEYS = {
        "HeaderDigest": "None,CRC32C", "DataDigest": "None,CRC32C", "ErrorRecoveryLevel": 2,
        "InitialR2T": "No", "ImmediateData": "Yes", "MaxRecvDataSegmentLength": 65536,
        "MaxBurstLength": 262144, "FirstBurstLength": 65536, "MaxConnections": 1,
        "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes", "DefaultTime2Wait": 0,
        "DefaultTime2Retain": 60, "MaxOutstandingR2T": 16, "OFMarker": "No", "IFMarker": "No"}

    def __init__(self, port, target, name, **options):
        super().__init__(port, target, name=name, isid=self.ISID, **options)

    def login(self):
        keys = {"InitiatorName": self.name, "SessionType": "Normal", "TargetName": self.target,
                "AuthMethod": "CHAP" if self.secrets else "None,CHAP"}
        self.login_step(0, 1, keys)
        if self.secrets:
            self.prove()
        self.parameters, stage = self.login_step(1, 3, self.OPERATIONAL_KEYS)
        if stage != FULL_FEATURE:
            raise Choked("the operational stage does not end")


__all__ = ["Choked", "Closed", "Ipxe", "Isboot", "Microsoft", "expect"]
