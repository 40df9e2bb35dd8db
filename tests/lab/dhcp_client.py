"""DHCP clients made by hand: any packet, on any host of a Segment, down to whole frames."""
import contextlib
import ctypes
import os
import socket
import struct
import time

from .pcap import mac_text, options_of

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
BROADCAST_MAC = b"\xff" * 6
UUID = bytes.fromhex("00112233445566778899aabbccddeeff")
# Option 175 as Debian's iPXE fills it in; then one without iSCSI.
IPXE = bytes.fromhex("b10501af4100001301012201011101012101011501011801011201012701011b0101")


@contextlib.contextmanager
def entered(namespace):
    """Sockets made inside belong to the namespace and stay there."""
    with open("/proc/thread-self/ns/net", "rb") as home, \
            open(f"/var/run/netns/{namespace}", "rb") as there:
        if _libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if _libc.setns(home.fileno(), CLONE_NEWNET):
                os._exit(3)  # nothing may run in the wrong network


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip_frame(source_mac, source, destination, source_port, destination_port, payload):
    udp = struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return BROADCAST_MAC + source_mac + b"\x08\0" + header + udp


class Reply:
    """A DHCP answer and how it came."""

    def __init__(self, frame, header):
        data = frame[header + 8:]
        self.source = socket.inet_ntoa(frame[26:30])
        self.destination = socket.inet_ntoa(frame[30:34])
        self.source_port, self.port = struct.unpack_from(">HH", frame, header)
        self.to_mac = mac_text(frame[:6])
        self.set(data)

    def set(self, data):
        self.xid = data[4:8]
        self.flags = struct.unpack_from(">H", data, 10)[0]
        self.address = socket.inet_ntoa(data[16:20])
        self.next_server = socket.inet_ntoa(data[20:24])
        self.file = data[108:236].split(b"\0")[0].decode()
        self.options = options_of(data[240:])
        self.kind = self.options.get(53, b"\0")[0]
        self.server = socket.inet_ntoa(self.options.get(54, bytes(4)))
        self.boot = self.file or self.options.get(67, b"").rstrip(b"\0").decode()
        return self

    def __repr__(self):
        return (f"type {self.kind} from {self.source}:{self.source_port} to {self.destination}:"
                f"{self.port}, address {self.address}, next {self.next_server}, boot {self.boot!r}, "
                f"options { {code: value.hex() for code, value in self.options.items()} }")


class Client:
    """One network card on eth0 of a host."""

    def __init__(self, namespace, mac, interface="eth0"):
        self.mac = bytes.fromhex(mac.replace(":", ""))
        with entered(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.bind((interface, 0))
        self.serial = 0

    def close(self):
        self.socket.close()

    def packet(self, kind, options=(), flags=0x8000, client_address="0.0.0.0", relay="0.0.0.0",
               secs=0):
        self.serial += 1
        self.xid = self.mac[2:5] + bytes([self.serial & 255])
        data = struct.pack(">BBBB4sHH4s4s4s4s", 1, 1, 6, 0, self.xid, secs, flags,
                           socket.inet_aton(client_address), bytes(4), bytes(4),
                           socket.inet_aton(relay)) + self.mac.ljust(16, b"\0") + bytes(192)
        data += b"\x63\x82\x53\x63" + bytes([53, 1, kind])
        for code, value in options:
            data += bytes([code, len(value)]) + value
        return (data + b"\xff").ljust(300, b"\0")

    def broadcast(self, kind, options=(), **words):
        packet = self.packet(kind, options, **words)
        self.socket.send(ip_frame(self.mac, "0.0.0.0", "255.255.255.255", 68, 67, packet))

    def replies(self, seconds, until=None):
        """Answers to the last packet, to port 68; ends with the first one that `until` takes."""
        found, deadline = [], time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame = self.socket.recv(4096)
            except TimeoutError:
                break
            if len(frame) < 42 or frame[12:14] != b"\x08\0" or frame[23] != socket.IPPROTO_UDP:
                continue
            header = 14 + (frame[14] & 15) * 4
            if frame[header + 2:header + 4] != struct.pack(">H", 68) or \
                    len(frame) < header + 8 + 240 or frame[header + 8] != 2 or \
                    frame[header + 12:header + 16] != self.xid or \
                    frame[header + 36:header + 42] != self.mac:
                continue
            found.append(Reply(frame, header))
            if until and until(found[-1]):
                break
        return found

    def ask(self, kind, options=(), server=None, seconds=2.0, **words):
        """Sends and gives the answer of `server` (or the first one), None: there was none."""
        def from_server(reply):
            return server in (None, reply.server)
        self.broadcast(kind, options, **words)
        return next((reply for reply in self.replies(seconds, from_server) if from_server(reply)),
                    None)

    def lease(self, server, options=(), seconds=2.0):
        """DISCOVER to ACK; gives the ACK. None: no offer, or no ACK."""
        offer = self.ask(DISCOVER, options, server, seconds)
        if not offer or offer.address == "0.0.0.0":
            return None
        return self.ask(REQUEST, [(50, socket.inet_aton(offer.address)),
                                  (54, socket.inet_aton(server)), *options], server, seconds)


def pxe(architecture=0, uuid=True):
    """What firmware sends: options 60, 93, 94, 97."""
    options = [(60, b"PXEClient:Arch:%05d:UNDI:003000" % architecture),
               (93, struct.pack(">H", architecture)), (94, b"\1\3\0")]
    return options + ([(97, b"\0" + UUID)] if uuid else [])


def http_boot(architecture=16):
    return [(60, b"HTTPClient:Arch:%05d:UNDI:003000" % architecture),
            (93, struct.pack(">H", architecture)), (94, b"\1\3\0"), (97, b"\0" + UUID)]


def ipxe(architecture=0, features=IPXE):
    return [*pxe(architecture), (77, b"iPXE"), (175, features)]


def ask_port(namespace, source, source_port, server, packet, seconds=2.0, port=4011):
    """Asks by UDP from an address of that host; gives (answer, its source port) or (None, 0)."""
    with entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.bind((source, source_port))
        asking.settimeout(seconds)
        asking.sendto(packet, (server, port))
        try:
            data, sender = asking.recvfrom(4096)
        except (TimeoutError, ConnectionRefusedError):
            return None, 0
    reply = object.__new__(Reply).set(data)
    reply.source, reply.source_port, reply.destination, reply.port = *sender, source, source_port
    return reply, sender[1]
