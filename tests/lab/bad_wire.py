"""A cable with faults, in user space: between two namespaces it loses, doubles, delays and reorders
frames, is cut and mended, and forges resets. Every decision comes from a seed, one draw per frame and
direction, so that the same frames meet the same fate.

Each end is a tap: it has no offloads, so every frame here is one that an Ethernet could carry."""
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .dhcp_client import checksum, entered
from .report import LabError

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x0002, 0x1000  # <linux/if_tun.h>
FRAME_BYTES = 2048
QUEUE_FRAMES = 20000  # of one direction; beyond it the wire loses frames, as a switch would
FIN, SYN, RST, ACK = 1, 2, 4, 16
BOTH = "both"


@dataclass
class Faults:
    """Chances are per frame."""
    loss: float = 0
    duplicate: float = 0
    reorder: float = 0      # these frames come late_ms after their time
    reset: float = 0        # a TCP segment becomes a reset of both its ends
    delay_ms: float = 0
    late_ms: float = 20
    cut: bool = False


class Wire:
    """The relay's handle; ends with it. `ends` are (namespace, interface) twice, made here."""

    def __init__(self, ends, seed):
        words = [word for end in ends for word in end]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab.bad_wire", str(seed), *words], text=True,
            cwd=Path(__file__).resolve().parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seed = seed
        self.expect()

    def expect(self):
        line = self.process.stdout.readline()
        if not line:
            raise LabError(f"the wire ended with {self.process.wait(5)}")
        return json.loads(line)

    def ask(self, **words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return self.expect()

    def set(self, direction=BOTH, **faults):
        """What it does from now on; what is not named is well. Direction 0: from the first end."""
        self.ask(direction=direction, faults=asdict(Faults(**faults)))

    def cut(self, direction=BOTH):
        self.set(direction, cut=True)

    def mend(self):
        self.set()

    def reset(self, port, frames=1, ends=BOTH):
        """The next segments of established connections to or from this port become resets; `ends`
        is the end (0 or 1) that hears of it, or both."""
        self.ask(reset={"port": port, "frames": frames, "ends": ends})

    def counts(self):
        """What happened since the start, by name."""
        return self.ask(counts=True)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


# ── the relay ───────────────────────────────────────────────────────────────────────────────────


def make_tap(namespace, name):
    with entered(namespace):
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


class Segment:
    """A TCP segment in an IPv4 frame; None from `of` for anything else."""

    def __init__(self, frame):
        self.frame = frame
        self.at = 14 + (frame[14] & 15) * 4
        self.ports = struct.unpack_from(">HH", frame, self.at)
        self.sequence, self.acknowledged = struct.unpack_from(">II", frame, self.at + 4)
        self.flags = frame[self.at + 13]
        total = struct.unpack_from(">H", frame, 16)[0]
        self.payload_bytes = total + 14 - self.at - (frame[self.at + 12] >> 4) * 4

    @staticmethod
    def of(frame):
        if len(frame) < 54 or frame[12:14] != b"\x08\0" or frame[23] != socket.IPPROTO_TCP:
            return None
        return Segment(frame)

    def established(self):
        return self.flags & (SYN | RST | ACK) == ACK

    def reset(self, back):
        """The frame that resets the receiver of this segment, or its sender (RFC 9293 §3.10.7.4:
        it must have exactly the next sequence number)."""
        frame = self.frame
        macs = frame[6:12] + frame[:6] if back else frame[:12]
        addresses = frame[30:34] + frame[26:30] if back else frame[26:34]
        ports = self.ports[::-1] if back else self.ports
        sequence = self.acknowledged if back else self.sequence
        expected = self.sequence + self.payload_bytes if back else self.acknowledged
        ip = struct.pack(">BBHHHBBH8s", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0, addresses)
        tcp = struct.pack(">HHIIBBHHH", *ports, sequence, expected & 0xffffffff, 0x50, RST | ACK,
                          0, 0, 0)
        pseudo = addresses + struct.pack(">HH", socket.IPPROTO_TCP, len(tcp))
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
        return macs + b"\x08\0" + ip + tcp


class Direction:
    """Frames from one tap to the other, those that are on the way in the order of their arrival."""

    def __init__(self, number, source, sink, seed):
        self.number, self.source, self.sink = number, source, sink
        self.random = random.Random(f"{seed}/{number}")
        self.faults = Faults()
        self.queue, self.serial = [], itertools.count()
        self.counts = dict.fromkeys(("frames", "lost", "doubled", "late", "resets", "cut"), 0)

    def add(self, frame, due):
        if len(self.queue) >= QUEUE_FRAMES:
            self.counts["lost"] += 1
            return
        heapq.heappush(self.queue, (due, next(self.serial), frame))

    def take(self, frame, now, relay):
        faults, counts = self.faults, self.counts
        lost, doubled, late, reset = (self.random.random() for _ in range(4))
        counts["frames"] += 1
        if faults.cut:
            counts["cut"] += 1
            return
        if relay.resets(self, frame, reset < faults.reset, now):
            counts["resets"] += 1
            return
        if lost < faults.loss:
            counts["lost"] += 1
            return
        due = now + faults.delay_ms / 1000
        if late < faults.reorder:
            counts["late"] += 1
            due += faults.late_ms / 1000
        self.add(frame, due)
        if doubled < faults.duplicate:
            counts["doubled"] += 1
            self.add(frame, due)

    def deliver(self, now):
        while self.queue and self.queue[0][0] <= now:
            try:
                os.write(self.sink, heapq.heappop(self.queue)[2])
            except OSError:  # its interface is down
                self.counts["lost"] += 1


class Relay:
    def __init__(self, taps, seed):
        first, second = taps
        self.directions = [Direction(0, first, second, seed), Direction(1, second, first, seed)]
        self.reset_order = {"port": 0, "frames": 0, "ends": BOTH}

    def resets(self, direction, frame, by_chance, now):
        """Whether the frame became resets."""
        order = self.reset_order
        if not by_chance and not order["frames"]:
            return False
        segment = Segment.of(frame)
        if not segment or not segment.established():
            return False
        ordered = order["frames"] and order["port"] in segment.ports
        if not by_chance and not ordered:
            return False
        ends = order["ends"] if ordered else BOTH
        order["frames"] -= 1 if ordered else 0
        for far in self.directions:  # direction 0 leads to end 1
            back = far is not direction
            if ends in (BOTH, 1 - far.number):
                far.add(segment.reset(back), now)
        return True

    def obey(self, order):
        if "faults" in order:
            for direction in self.directions:
                if order["direction"] in (BOTH, direction.number):
                    direction.faults = Faults(**order["faults"])
        if "reset" in order:
            self.reset_order = order["reset"]
        if "counts" in order:
            return {name: sum(direction.counts[name] for direction in self.directions)
                    for name in self.directions[0].counts}
        return {}

    def read(self, direction):
        now = time.monotonic()
        for _ in range(64):  # then the others have their turn
            try:
                frame = os.read(direction.source, FRAME_BYTES)
            except OSError:  # nothing more, or its interface is down
                return
            direction.take(frame, now, self)

    def pause_ms(self):
        dues = [direction.queue[0][0] for direction in self.directions if direction.queue]
        return max(0, (min(dues) - time.monotonic()) * 1000) if dues else None

    def run(self):
        poll = select.poll()
        by_tap = {direction.source: direction for direction in self.directions}
        for descriptor in *by_tap, sys.stdin.fileno():
            poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _events in poll.poll(self.pause_ms()):
                if descriptor in by_tap:
                    self.read(by_tap[descriptor])
                    continue
                line = sys.stdin.readline()
                if not line:
                    return
                print(json.dumps(self.obey(json.loads(line))), flush=True)
            now = time.monotonic()
            for direction in self.directions:
                direction.deliver(now)


def main():
    seed, *ends = sys.argv[1:]
    relay = Relay([make_tap(*ends[:2]), make_tap(*ends[2:])], seed)
    print("{}", flush=True)
    relay.run()


if __name__ == "__main__":
    main()
