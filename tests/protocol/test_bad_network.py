#!/usr/bin/env python3
"""Every protocol over a cable that loses, doubles, delays and reorders, is cut and mended, and on which resets
are forged: what was acknowledged is read back, peers that are gone are given up in time and never in
anybody's way. Needs root (network namespaces, taps).

usage: test_bad_network.py NETBOOT-TARGET [memory]
memory: only what bounds it, for a daemon without a sanitizer, which keeps freed memory for a while
"""
import contextlib
import hashlib
import random
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import iqn, target  # noqa: E402
from lab.dhcp_client import Client, entered, ipxe, pxe  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.far_daemon import FarDaemon  # noqa: E402
from lab.initiator import Load, Refused, Session  # noqa: E402
from lab.network import Segment  # noqa: E402
from lab.process import (exit_on_signals, inside, need_root, resident_bytes, run,  # noqa: E402
                         sanitized, wait_for)
from lab.report import LabError, Report, note  # noqa: E402

SERVER, CLIENT = "192.168.77.1", "192.168.77.2"
SEED = 20261122
KEEPALIVE_SECONDS, STALL_SECONDS, LOGIN_SECONDS, HOLD_SECONDS = 5, 6, 4, 2
GIVEN_UP_SECONDS = 2 * KEEPALIVE_SECONDS  # what limits.keepalive promises
PROBE_SECONDS = 1  # probes come at 5, 6 and 7 s
SLACK_SECONDS = 2.5
LIMITS = f"""keepalive = "{KEEPALIVE_SECONDS}s"; send-stall = "{STALL_SECONDS}s";
             login-deadline = "{LOGIN_SECONDS}s";"""
SLOT_BLOCKS, SLOTS = 64, 12
BAD = {"loss": 0.01, "duplicate": 0.01, "reorder": 0.02, "delay_ms": 1}
WORSE = {"loss": 0.05, "duplicate": 0.03, "reorder": 0.05, "delay_ms": 2}


class Far(FarDaemon):
    def wait_given_up(self, name):
        """Seconds until no session of this initiator is left."""
        began = time.monotonic()
        wait_for(lambda: not self.sessions(name), GIVEN_UP_SECONDS + 20, f"end of {name}")
        return time.monotonic() - began


class Place:
    """The cable with the daemon at its far end and a client's machine at the near one."""

    def __init__(self, folder, stack):
        self.segment = stack.enter_context(Segment())
        self.server, self.wire = self.segment.add_far_host("server", f"{SERVER}/24", seed=SEED)
        self.client = self.segment.add_host("client", f"{CLIENT}/24")
        files = folder / "daemon/files"
        files.mkdir(parents=True)
        self.content = random.Random(SEED).randbytes(3 * MIB + 77)
        (files / "loader.bin").write_bytes(self.content)
        names = [*Verifier.NAMES, "idle", "stalled", "healthy"]
        disks = [make_file(folder / f"{name}.img", 16 * MIB) for name in names]
        self.daemon = Far(folder / "daemon", [
            target(name, str(disk), more=f'hold = "{HOLD_SECONDS}s";')
            for name, disk in zip(names, disks)], limits=LIMITS)
        self.daemon.custom = files
        self.daemon.namespace = self.server
        self.daemon.start(namespace=self.server)

    def session(self, name, initiator="a", **options):
        with entered(self.client):
            return Session(self.daemon.port, iqn(name), address=SERVER,
                           name=f"iqn.2026-11.local.test:{initiator}", **options)

    def fetch(self, *words):
        return run(*inside(self.client), *words, timeout=60)

    @contextlib.contextmanager
    def weather(self, **faults):
        self.wire.set(**faults)
        try:
            yield
        finally:
            self.wire.mend()


# ── a client that never gives up ────────────────────────────────────────────────────────────────


class Verifier(threading.Thread):
    """Writes and reads one disk for ever; logs in again as often as it takes, and holds the daemon to
    everything that it acknowledged."""
    NAMES = ["first", "second", "third"]

    def __init__(self, place, name, io_seconds=12):
        super().__init__(daemon=True)
        self.place, self.name_, self.io_seconds = place, name, io_seconds
        self.random = random.Random(f"{SEED}/{name}")
        self.acknowledged = [0] * SLOTS     # a generation of each slot
        self.attempted = [0] * SLOTS        # the newest that was sent
        self.rounds = self.logins = 0
        self.error, self.stopping = None, False
        self.start()

    def content(self, slot, generation):
        if not generation:
            return bytes(512 * SLOT_BLOCKS)
        return random.Random(f"{self.name_}/{slot}/{generation}").randbytes(512 * SLOT_BLOCKS)

    def verify(self, session, slot):
        """What may be there: what was acknowledged, or whole newer writes whose answer was lost, block by
        block, since a write is no more atomic than a block."""
        data = session.read_blocks(slot * SLOT_BLOCKS, SLOT_BLOCKS)
        allowed = [self.content(slot, generation) for generation in
                   range(self.acknowledged[slot], self.attempted[slot] + 1)]
        for at in range(0, len(data), 512):
            if not any(data[at:at + 512] == content[at:at + 512] for content in allowed):
                raise AssertionError(
                    f"{self.name_}: slot {slot} byte {at} is none of the generations "
                    f"{self.acknowledged[slot]} to {self.attempted[slot]}")

    def write(self, session, slot):
        self.attempted[slot] += 1
        session.write(slot * SLOT_BLOCKS, self.content(slot, self.attempted[slot]))
        self.acknowledged[slot] = self.attempted[slot]
        self.rounds += 1

    def work(self, session):
        self.logins += 1
        session.ready()
        for slot in range(SLOTS):
            self.verify(session, slot)
        while not self.stopping:
            self.write(session, self.random.randrange(SLOTS))
            self.verify(session, self.random.randrange(SLOTS))
        for slot in range(SLOTS):
            self.verify(session, slot)
        session.logout()

    def run(self):
        while not self.stopping:
            try:
                with contextlib.closing(self.place.session(self.name_, self.name_,
                                                           timeout=self.io_seconds)) as session:
                    self.work(session)
            except AssertionError as error:
                self.error = error
                return
            except (LabError, OSError):
                time.sleep(0.2)

    def further(self, rounds, seconds):
        """Waits until it has done so many more."""
        goal = self.rounds + rounds

        def done():
            if self.error:
                raise LabError(str(self.error))
            return self.rounds >= goal
        wait_for(done, seconds, lambda: f"progress of {self.name_}: {self.rounds} of {goal} rounds, "
                 f"{self.logins} logins\n{self.place.daemon.says()[-2500:]}")

    def stop(self):
        self.stopping = True
        self.join(40)
        if self.error or self.is_alive():
            raise LabError(f"{self.name_} did not end: {self.error}")


def all_further(verifiers, rounds, seconds):
    for verifier in verifiers:
        verifier.further(rounds, seconds)


# ── protocols of a boot ─────────────────────────────────────────────────────────────────────────


def lease(place, number, seconds=20):
    """What firmware does: asks until it is answered."""
    client = Client(place.client, f"52:54:00:bb:00:{number:02x}")
    with contextlib.closing(client):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            acknowledgement = client.lease(SERVER, pxe() if number % 2 else ipxe(), 0.5)
            if acknowledgement:
                return acknowledgement.address
    raise LabError(f"client {number} has no address after {seconds} s")


def test_boot_protocols(report, place):
    wanted = hashlib.sha256(place.content).hexdigest()
    got = place.daemon.folder / "got"
    for words, faults in ("bad", BAD), ("worse", WORSE):
        with report.test(f"DHCP over a {words} cable"), place.weather(**faults):
            addresses = [lease(place, number) for number in range(12)]
            assert len(set(addresses)) == 12, addresses
        # Not by curl: it asks the server for five seconds of patience with each lost packet.
        with report.test(f"TFTP over a {words} cable"), place.weather(**faults):
            place.fetch("tftp", "-m", "binary", SERVER, "-c", "get", "undionly.kpxe", got)
            assert got.read_bytes() == Path("/usr/lib/ipxe/undionly.kpxe").read_bytes()
        with report.test(f"HTTP over a {words} cable"), place.weather(**faults):
            place.fetch("curl", "-sS", "-f", "-o", got, f"http://{SERVER}/loader.bin")
            assert hashlib.sha256(got.read_bytes()).hexdigest() == wanted
    with report.test("HTTP goes on where a reset broke it off"):
        got.unlink(missing_ok=True)
        with place.weather(reset=0.002):
            for _ in range(60):
                words = ["-C", "-"] if got.exists() else []
                done = run(*inside(place.client), "curl", "-sS", "-f", *words, "-o", got,
                           f"http://{SERVER}/loader.bin", check=False, timeout=60)
                if not done.returncode:
                    break
        assert hashlib.sha256(got.read_bytes()).hexdigest() == wanted


# ── iSCSI ───────────────────────────────────────────────────────────────────────────────────────


def test_data(report, place, verifiers):
    for words, faults, rounds in ("bad", BAD, 60), ("worse", WORSE, 15):
        with report.test(f"write, read, verify over a {words} cable, without a new login"):
            logins = [verifier.logins for verifier in verifiers]
            with place.weather(**faults):
                all_further(verifiers, rounds, 60)
            assert logins == [verifier.logins for verifier in verifiers], "sessions were lost"
    note(f"the cable: {place.wire.counts()}")


def test_cuts(report, place, verifiers):
    with report.test("a short cut: the sessions outlive it"):
        logins = [verifier.logins for verifier in verifiers]
        place.wire.cut()
        time.sleep(3)
        place.wire.mend()
        all_further(verifiers, 5, 30)
        assert logins == [verifier.logins for verifier in verifiers], "sessions were lost"
    for words, direction in ("a long cut", "both"), ("only the server is not heard", 0), \
            ("only the client is not heard", 1):
        with report.test(f"{words}: given up in time, and back with everything"):
            logins = [verifier.logins for verifier in verifiers]
            began = time.monotonic()
            place.wire.cut(direction)
            wait_for(lambda: not place.daemon.status()["sessions"],
                     GIVEN_UP_SECONDS + STALL_SECONDS + SLACK_SECONDS, "end of the sessions")
            note(f"given up after {time.monotonic() - began:.1f} s")
            place.wire.mend()
            all_further(verifiers, 5, 60)
            assert all(verifier.logins > before
                       for verifier, before in zip(verifiers, logins)), "no new login"


def test_resets(report, place, verifiers):
    with report.test("resets out of nowhere: every client comes back and misses nothing"):
        before = place.wire.counts()["resets"]
        with place.weather(reset=0.0005, **BAD):
            all_further(verifiers, 40, 90)
        all_further(verifiers, 5, 30)
        resets = place.wire.counts()["resets"] - before
        note(f"{resets} resets, {[verifier.logins for verifier in verifiers]} logins")
        assert resets > 2, resets
    for end, who in enumerate(("server", "client")):
        with report.test(f"a reset that only the {who} hears"):
            for _ in range(3):
                place.wire.reset(place.daemon.port, 2, end)
                all_further(verifiers, 5, 40)


# ── peers that are gone ─────────────────────────────────────────────────────────────────────────


def name_of(initiator):
    return f"iqn.2026-11.local.test:{initiator}"


def vanish(place, session):
    """The machine is gone and nothing of it is heard any more."""
    place.wire.cut()
    session.close()


def test_half_open(report, place):
    with report.test("an idle session of a machine that is gone ends after twice the keepalive"):
        session = place.session("idle")
        session.ready()
        vanish(place, session)
        seconds = place.daemon.wait_given_up(name_of("a"))
        place.wire.mend()
        note(f"given up after {seconds:.1f} s")
        assert KEEPALIVE_SECONDS + 1 < seconds < GIVEN_UP_SECONDS + SLACK_SECONDS, seconds
    with report.test("an idle session outlives the loss of all probes but the last"):
        time.sleep(HOLD_SECONDS)
        session = place.session("idle")
        session.ready()
        time.sleep(KEEPALIVE_SECONDS - 1)
        place.wire.cut()
        time.sleep(1 + 1.5 * PROBE_SECONDS)
        place.wire.mend()
        time.sleep(KEEPALIVE_SECONDS)
        session.ready()
        assert len(place.daemon.sessions(name_of("a"))) == 1
        session.logout()


def test_half_open_is_no_obstacle(report, place):
    """Each of them holds a session that the daemon takes for a live one."""
    def leave_behind(**options):
        began = time.monotonic()
        session = place.session("idle", **options)
        session.ready()
        seconds = time.monotonic() - began
        place.wire.set(1, cut=True)  # its end is not heard by the daemon …
        session.close()
        time.sleep(0.05)
        run(*inside(place.client), "ss", "-K", "dst", SERVER, check=False)
        place.wire.mend()
        return seconds
    with report.test("the same session again, at once"):
        assert max(leave_behind() for _ in range(4)) < 1
        assert len(place.daemon.sessions(name_of("a"))) == 1
    with report.test("twenty sessions of one initiator, each left behind"):
        seconds = [leave_behind(isid=bytes([0x40, 0, 0x27, 0x23, 0, number])) for number in range(20)]
        assert max(seconds) < 1, seconds
    with report.test("another initiator, as soon as they are given up and the disk is free"):
        place.wire.cut()
        try:
            began = time.monotonic()
            with contextlib.suppress(Refused):
                with entered(place.server):
                    Session(place.daemon.port, iqn("idle"), name=name_of("b")).close()
                raise LabError("the disk had two owners")
            place.daemon.wait_given_up(name_of("a"))
            time.sleep(HOLD_SECONDS + 0.5)
            with entered(place.server):
                Session(place.daemon.port, iqn("idle"), name=name_of("b")).logout()
            note(f"after {time.monotonic() - began:.1f} s")
        finally:
            place.wire.mend()
    with report.test("logins that were left half way end in time"):
        with entered(place.client):
            peers = [socket.create_connection((SERVER, place.daemon.port), 5) for _ in range(16)]
        place.wire.cut()
        for peer in peers:
            peer.close()
        time.sleep(LOGIN_SECONDS + SLACK_SECONDS)
        place.wire.mend()
        with place.session("idle", "b"):
            pass


class Healthy:
    """On the server's own machine, so that the cable is none of its business."""

    def __init__(self, place):
        with entered(place.server):
            self.session = Session(place.daemon.port, iqn("healthy"), name=name_of("healthy"))
        self.session.ready()
        self.load = Load(self.session)

    def check(self):
        before = self.load.rounds
        wait_for(lambda: self.load.error or self.load.rounds >= before + 3, 5, "healthy client")
        if self.load.error:
            raise LabError(f"the healthy client was disturbed: {self.load.error}")

    def stop(self):
        self.load.stop()
        self.session.logout()


def test_stalled(report, place):
    """Readers that ask for much and take nothing, then a cut cable: the daemon cannot even tell them."""
    healthy = Healthy(place)
    before = resident_bytes(place.daemon.pid)
    with report.test("stalled readers cost bounded memory and end in time"):
        stalled = []
        for number in range(8):
            session = place.session("stalled", isid=bytes([0, 2, 0x3d, 0, 1, number]))
            session.ready()
            stalled.append(session)
            for at in range(200):
                session.start(session.read_cdb(at % 32 * 1024, 1024), data_in=512 * 1024)
        with entered(place.client):
            web = [socket.create_connection((SERVER, 80), 5) for _ in range(8)]
        for one in web:
            one.sendall(b"GET /loader.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1)
        grown = resident_bytes(place.daemon.pid) - before
        place.wire.cut()
        began = time.monotonic()
        highest = grown
        while place.daemon.sessions(name_of("a")) and time.monotonic() < began + 40:
            highest = max(highest, resident_bytes(place.daemon.pid) - before)
            healthy.check()
        seconds = time.monotonic() - began
        note(f"8 sessions asked for 800 MB, 8 downloads for 24 MB: {highest / MIB:.1f} MiB more, "
             f"ended after {seconds:.1f} s")
        assert highest < 8 * 3 * MIB or sanitized(place.daemon.pid), highest
        assert seconds < STALL_SECONDS + SLACK_SECONDS, seconds
        place.wire.mend()
        for one in *web, *(session.socket for session in stalled):
            one.close()
    with report.test("one that reads a byte now and then does not stall anybody"):
        session = place.session("stalled", "a")
        session.ready()
        for at in range(64):
            session.start(session.read_cdb(at % 32 * 1024, 1024), data_in=512 * 1024)
        for _ in range(6):
            session.socket.recv(1)
            healthy.check()
        session.reset()
    healthy.stop()


def test_all(report, place):
    test_boot_protocols(report, place)
    verifiers = [Verifier(place, name) for name in Verifier.NAMES]
    all_further(verifiers, 3, 20)
    for test in test_data, test_cuts, test_resets:
        test(report, place, verifiers)
    with report.test("to the end, with everything in its place"):
        for verifier in verifiers:
            verifier.stop()
        note(f"{sum(verifier.rounds for verifier in verifiers)} writes, "
             f"{sum(verifier.logins for verifier in verifiers)} logins")
    for test in test_half_open, test_half_open_is_no_obstacle, test_stalled:
        test(report, place)


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch("/var/tmp") as folder, contextlib.ExitStack() as stack:
        place = Place(folder, stack)
        try:
            (test_stalled if "memory" in sys.argv[2:] else test_all)(report, place)
        finally:
            with report.test("the daemon ends in order, without a leak"):
                place.daemon.stop()
    report.finish()


main()
