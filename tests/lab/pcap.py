"""Reads what Segment.capture() recorded: just enough of Ethernet, IPv4, UDP, TCP, DHCP, TFTP and iSCSI for
checks."""
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


@dataclass
class TcpSegment:
    time: float
    source: tuple  # address, port
    destination: tuple
    sequence: int
    acknowledged: int
    flags: int
    length: int     # of its payload on the wire
    payload: bytes  # what was captured of it


def tcp_segments(path):
    for time, frame in packets(path):
        if frame[12:14] != b"\x08\0" or len(frame) < 54 or frame[23] != socket.IPPROTO_TCP:
            continue
        header = 14 + (frame[14] & 15) * 4
        source, destination, sequence, acknowledged = struct.unpack_from(">HHII", frame, header)
        data = header + (frame[header + 12] >> 4) * 4
        length = struct.unpack_from(">H", frame, 16)[0] + 14 - data
        yield TcpSegment(time, (socket.inet_ntoa(frame[26:30]), source),
                         (socket.inet_ntoa(frame[30:34]), destination), sequence, acknowledged,
                         frame[header + 13], length, frame[data:data + length])


def is_behind(sequence, other):
    """Sequence numbers wrap (RFC 9293 §3.4)."""
    return (other - sequence) & 0xffffffff < 1 << 31


@dataclass
class Login:
    """The first Login Request of a connection (RFC 7143 §11.12)."""
    time: float
    client: tuple
    isid: str
    tsih: int


def iscsi_logins(path, port=3260):
    found = set()
    for segment in tcp_segments(path):
        if segment.destination[1] == port and segment.payload[:1] == b"\x43" and \
                len(segment.payload) >= 16 and segment.source not in found:
            found.add(segment.source)
            yield Login(segment.time, segment.source, segment.payload[8:14].hex(),
                        int.from_bytes(segment.payload[14:16], "big"))


def acknowledgement_delays(path, server_ports, clients=None):
    """Seconds from each new segment of data for the server until its first acknowledgement, as
    [(delay, segment)]; `clients` narrows it to these (address, port)."""
    waiting, newest, delays = {}, {}, []
    for segment in tcp_segments(path):
        client = segment.source if segment.destination[1] in server_ports else segment.destination
        if clients is not None and client not in clients:
            continue
        end = (segment.sequence + segment.length) & 0xffffffff
        if segment.destination[1] in server_ports:
            if segment.length and (client not in newest or not is_behind(end, newest[client])):
                newest[client] = end
                waiting.setdefault(client, []).append((end, segment))
        elif segment.source[1] in server_ports:
            queue = waiting.get(client, [])
            while queue and is_behind(queue[0][0], segment.acknowledged):
                asked = queue.pop(0)[1]
                delays.append((segment.time - asked.time, asked))
    return delays
