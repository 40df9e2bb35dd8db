#!/usr/bin/env python3
"""Initiators that share a disk, or the daemon's memory, with others that do not play along; and what a
target may be told about its initiators: unsolicited data, pings.

usage: test_iscsi_sharing.py NETBOOT-TARGET
"""
import contextlib
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.initiator import (BUSY, DATA_OUT, GOOD, NOP_IN, NOP_OUT, R2T, RESERVED_TAG,  # noqa: E402
                           SCSI_COMMAND, SCSI_RESPONSE, IPXE_ISID, Session)
from lab.process import wait_for  # noqa: E402
from lab.report import Report, note  # noqa: E402

MEMORY_MIB = 16
GREEDY, COMMANDS = 40, 6
BUSY_SECONDS = 5  # how long everybody else may hear BUSY: a second, on a slow machine
PING_SECONDS = 1
ORDERED, HEAD_OF_QUEUE, SIMPLE = 2, 3, 1
TASK_SET_FULL = 0x28


def session(daemon, name, disk="disk", number=0, **options):
    return Session(daemon.port, iqn(disk), name=f"iqn.2026-11.local.test:{name}",
                   **({"isid": bytes([0x80, 0, 0, 0, 0, number])} | options))


def begin(one, tag, cdb, flags, expected, attribute=SIMPLE):
    """A command of which nothing more is sent and no answer is taken."""
    words = struct.pack(">I", expected) + cdb.ljust(16, b"\0")
    one.send(one.header(SCSI_COMMAND, 0x80 | flags | attribute, tag, words=words))
    one.command_number += 1


def works(one, daemon, seconds=10):
    """Writes and reads back, and has no reason to wait."""
    data = bytes([int(time.monotonic() * 10) % 256]) * (64 << 10)
    one.socket.settimeout(seconds)
    one.write(1024, data)
    assert one.read_blocks(1024, 128) == data
    daemon.check_running()


def test_order_of_others(daemon, stack):
    """A view that asks in order and then takes no answer, or sends no data: the owner goes on."""
    owner = stack.enter_context(session(daemon, "owner", "owned"))
    owner.ready()
    for number, attribute in enumerate((ORDERED, HEAD_OF_QUEUE)):
        reader = session(daemon, "reader", "owned", number)
        verifier = session(daemon, "verifier", "owned", number)
        for one in (reader, verifier):
            stack.callback(one.close)
            one.ready()
        for tag in range(1, 33):
            begin(reader, tag, reader.read_cdb(0, 1024), 0x40, 512 << 10, attribute)
        begin(verifier, 1, struct.pack(">BBIBHB", 0x2f, 2, 0, 0, 8, 0), 0x20, 4096, attribute)
        assert verifier.receive()[0][0] & 0x3f == R2T
        works(owner, daemon)


def writes(one, seconds):
    """How long it took until 512 KiB could be written; BUSY and TASK SET FULL say to come
    again."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        answer = one.command(one.write_cdb(0, 1024), bytes(512 << 10))
        if answer.status == GOOD:
            return time.monotonic() - began
        assert answer.status in (BUSY, TASK_SET_FULL), answer
        time.sleep(0.1)
    return seconds


def test_memory(daemon, stack):
    """More is asked to be sent than there is memory for, and nothing of it is sent."""
    healthy = stack.enter_context(session(daemon, "healthy", "other"))
    healthy.ready()
    greedy = []
    for number in range(GREEDY):
        one = session(daemon, "greedy", number=number)
        stack.callback(one.close)
        one.ready()
        greedy.append(one)
    for one in greedy:
        for tag in range(1, COMMANDS + 1):
            begin(one, tag, one.write_cdb(0, 2048), 0x20, 1 << 20)
    time.sleep(0.5)
    seconds = writes(healthy, 4 * BUSY_SECONDS)
    note(f"{GREEDY} sessions hold {MEMORY_MIB} MiB: another one waited {seconds:.1f} s for memory")
    assert seconds < BUSY_SECONDS, seconds
    assert writes(healthy, BUSY_SECONDS) < BUSY_SECONDS
    refused = 0
    for one in greedy:
        one.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                header, _data = one.receive()
                refused += header[0] & 0x3f == SCSI_RESPONSE and header[3] == BUSY
    assert refused, "nobody made way"
    assert len(daemon.status()["sessions"]) == GREEDY + 1, "nobody is closed for it"


class Eager(Session):
    """Asks for InitialR2T=No and sends the first burst unasked."""

    def login_step(self, stage, next_stage, keys):
        if "InitialR2T" in keys:
            keys = keys | {"InitialR2T": "No"}
        return super().login_step(stage, next_stage, keys)

    def write_unasked(self, lba, data, immediate_bytes, piece_bytes):
        tag = next(self.tags)
        words = struct.pack(">I", len(data)) + self.write_cdb(lba, len(data) // 512).ljust(16, b"\0")
        self.send(self.header(SCSI_COMMAND, 0x21, tag, words=words), data[:immediate_bytes])
        self.command_number += 1
        self.outgoing = data
        first = min(len(data), int(self.parameters["FirstBurstLength"]))
        for number, at in enumerate(range(immediate_bytes, first, piece_bytes)):
            end = min(at + piece_bytes, first)
            self.send(struct.pack(">BB6x8sII4xI4xII4x", DATA_OUT, 0x80 if end == first else 0,
                                  bytes(8), tag, RESERVED_TAG, self.status_number, number, at),
                      data[at:end])
        return self.finish(tag)


def test_unsolicited_data(daemon, stack):
    eager = stack.enter_context(Eager(daemon.port, iqn("eager"), name="iqn.2026-11.local.test:eager"))
    assert eager.parameters["InitialR2T"] == "No", eager.parameters
    eager.ready()
    for length, immediate, piece in ((64 << 10, 0, 8192), (64 << 10, 4096, 4096),
                                     (256 << 10, 512, 1 << 16), (1024, 512, 512)):
        data = bytes(range(256)) * (length // 256)
        assert eager.write_unasked(64, data, immediate, piece).status == GOOD
        assert eager.read_blocks(64, length // 512) == data
    strict = stack.enter_context(Eager(daemon.port, iqn("disk"), name="iqn.2026-11.local.test:strict"))
    assert strict.parameters["InitialR2T"] == "Yes", "the default"


def pings(one, seconds):
    """The transfer tags of the pings that come in this time."""
    found, until = [], time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        one.socket.settimeout(left)
        try:
            header, _data = one.receive()
        except TimeoutError:
            break
        assert header[0] & 0x3f == NOP_IN and header[16:20] == b"\xff" * 4, header.hex()
        found.append(header[20:24])
    one.socket.settimeout(15)
    return found


def test_pings(daemon, stack):
    silent = stack.enter_context(session(daemon, "silent", "pinged"))
    firmware = stack.enter_context(session(daemon, "firmware", "pinged", isid=IPXE_ISID))
    plain = stack.enter_context(session(daemon, "plain"))
    for one in (silent, firmware, plain):
        one.ready()
    found = pings(silent, 5 * PING_SECONDS)
    assert 2 <= len(found) <= 5 and len(set(found)) == len(found), found
    assert b"\xff" * 4 not in found
    silent.send(silent.header(NOP_OUT, 0x80, RESERVED_TAG, words=found[-1], immediate=True))
    assert silent.read_blocks(0, 1), "answered once in five times, and still there"
    assert not pings(firmware, 0.2) and not pings(plain, 0.2)
    wait_for(lambda: len(daemon.status()["sessions"]) == 3, 5, "all three sessions")


def main():
    report = Report()
    with scratch() as folder, contextlib.ExitStack() as stack:
        def disk(name, more="shared = true;"):
            return target(name, str(make_file(folder / f"{name}.img", 32 * MIB)), more=more)
        daemon = Daemon(folder / "daemon", [
            disk("disk"), disk("other"), disk("owned", 'others = "read-only";'),
            disk("eager", "shared = true; initial-r2t = false;"),
            disk("pinged", f'shared = true; ping = "{PING_SECONDS}s";')],
            more=f'io = {{ memory = "{MEMORY_MIB}M" }};',
            limits="sessions-per-initiator = 64; logins-per-source = 64;")
        daemon.start()
        try:
            for name, test in [(name, value) for name, value in globals().items()
                               if name.startswith("test_")]:
                with report.test(name[5:].replace("_", " ")), contextlib.ExitStack() as inner:
                    test(daemon, inner)
                wait_for(lambda: not daemon.status()["sessions"], 30, "end of the sessions")
        finally:
            with report.test("the daemon ends in order, without a leak"):
                daemon.stop()
    report.finish()


main()
