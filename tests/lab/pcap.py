"""Reads what Segment.capture() recorded: just enough of Ethernet, IPv4, UDP, DHCP and TFTP for checks."""
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Datagram:
    time: float
    source_mac: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    payload: bytes


@dataclass
class Dhcp:
    datagram: Datagram
    reply: bool
    client_mac: str
    your_address: str
    next_server: str
    file: str
    options: dict = field(default_factory=dict)

    @property
    def kind(self):
        kinds = {1: "DISCOVER", 2: "OFFER", 3: "REQUEST", 4: "DECLINE", 5: "ACK", 6: "NAK",
                 7: "RELEASE", 8: "INFORM"}
        return kinds.get(self.options.get(53, b"\0")[0], "?")


def packets(path):
    data = Path(path).read_bytes()
    if data[:4] != b"\xd4\xc3\xb2\xa1":
        raise ValueError(f"{path} is no little-endian pcap file")
    at = 24
    while at + 16 <= len(data):
        seconds, micros, kept, _length = struct.unpack_from("<IIII", data, at)
        yield seconds + micros / 1e6, data[at + 16:at + 16 + kept]
        at += 16 + kept


def mac_text(mac):
    return ":".join(f"{byte:02x}" for byte in mac)


def datagrams(path):
    for time, frame in packets(path):
        if frame[12:14] != b"\x08\0" or len(frame) < 34 or frame[23] != socket.IPPROTO_UDP:
            continue
        header = 14 + (frame[14] & 15) * 4
        source, destination = struct.unpack_from(">HH", frame, header)
        yield Datagram(time, mac_text(frame[6:12]), socket.inet_ntoa(frame[26:30]), source,
                       socket.inet_ntoa(frame[30:34]), destination, frame[header + 8:])


def options_of(data):
    found, at = {}, 0
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        found[data[at]] = found.get(data[at], b"") + data[at + 2:at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def dhcp_messages(path):
    for datagram in datagrams(path):
        data = datagram.payload
        if not {datagram.source_port, datagram.destination_port} & {67, 68, 4011} or \
                data[236:240] != b"\x63\x82\x53\x63":
            continue
        yield Dhcp(datagram, data[0] == 2, mac_text(data[28:34]), socket.inet_ntoa(data[16:20]),
                   socket.inet_ntoa(data[20:24]),
                   data[108:236].split(b"\0")[0].decode(errors="replace"), options_of(data[240:]))


def tftp_requests(path):
    """Names of the files that were asked for, in order."""
    for datagram in datagrams(path):
        if datagram.destination_port == 69 and datagram.payload[:2] == b"\0\1":
            yield datagram.payload[2:].split(b"\0")[0].decode(errors="replace")
