"""CRC32C, and a session of the test initiator with header and data digests (RFC 7143 §13.1)."""
import struct

from .initiator import ASYNC, DATA_IN, R2T, Session
from .report import LabError


def _table():
    for value in range(256):
        for _bit in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        yield value


TABLE = tuple(_table())


def crc32c(data):
    """As it stands on the wire."""
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return struct.pack("<I", crc ^ 0xffffffff)


class DigestSession(Session):
    """Offers CRC32C alone where it is told to, and checks every digest it gets."""

    def __init__(self, port, target, header=True, data=True, **options):
        self.wanted = {"HeaderDigest": header, "DataDigest": data}
        self.header_digest = self.data_digest = False
        super().__init__(port, target, **options)

    def login_step(self, stage, next_stage, keys):
        if stage == 1:
            keys |= {key: "CRC32C" for key, wanted in self.wanted.items() if wanted}
        answer, stage = super().login_step(stage, next_stage, keys)
        if stage == 3:
            self.header_digest = answer.get("HeaderDigest") == "CRC32C"
            self.data_digest = answer.get("DataDigest") == "CRC32C"
            if (self.header_digest, self.data_digest) != tuple(self.wanted.values()):
                raise LabError(f"asked for {self.wanted}, got {answer}")
        return answer, stage

    def encode(self, header, data=b""):
        header = bytearray(header)
        header[5:8] = len(data).to_bytes(3, "big")
        padded = data + bytes(-len(data) % 4)
        return (bytes(header) + (crc32c(header) if self.header_digest else b"") + padded +
                (crc32c(padded) if self.data_digest and data else b""))

    def send(self, header, data=b""):
        self.socket.sendall(self.encode(header, data))

    def receive(self):
        while True:
            header = self.read(48)
            if self.header_digest and self.read(4) != crc32c(header):
                raise LabError("wrong header digest")
            length = int.from_bytes(header[5:8], "big")
            padded = self.read(length + -length % 4)
            if self.data_digest and length and self.read(4) != crc32c(padded):
                raise LabError("wrong data digest")
            if header[0] & 0x3f not in (R2T, DATA_IN) or header[1] & 1:
                self.status_number = int.from_bytes(header[24:28], "big") + 1
            if header[0] & 0x3f != ASYNC:
                return header, padded[:length]
