#!/usr/bin/env python3
"""Each key of the group `limits`: what happens at the limit, and that those who stay below it notice nothing.
A key without a test here is a failure. Needs root (network namespaces, taps, loop devices).

usage: test_limits.py NETBOOT-TARGET [KEY...]
"""
import contextlib
import json
import re
import signal
import socket
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, check, iqn, target  # noqa: E402
from lab.dhcp_client import DISCOVER, Client, entered, pxe  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.far_daemon import FarDaemon  # noqa: E402
from lab.faulty import Faulty  # noqa: E402
from lab.initiator import (LOGIN, R2T, SCSI_COMMAND, SCSI_RESPONSE, IPXE_ISID, Refused,  # noqa: E402
                           Session)
from lab.network import Segment  # noqa: E402
from lab.process import exit_on_signals, inside, need_root, run, wait_for  # noqa: E402
from lab.report import LabError, Report, note  # noqa: E402
from lab.targets import Secrets  # noqa: E402

SERVER = "192.168.78.1"
SOURCES = [f"192.168.78.{number}" for number in range(2, 10)]
VALUES = {
    "connections": 12, "connections-per-source": 6, "logins": 5, "logins-per-source": 3,
    "failed-logins-per-minute": 3, "login-deadline": "4s", "sessions-per-initiator": 3,
    "queue-depth": 8, "memory-per-connection": "512K", "text": "8K", "send-stall": "3s",
    "write-stall": "4s", "keepalive": "5s", "drain": "3s", "http-connections": 6, "http-connections-per-source": 4,
    "http-header": "2s", "http-body": "1K", "tftp-transfers": 5, "tftp-transfers-per-source": 3,
    "tftp-block": 600, "tftp-window": 3, "dhcp-replies-per-second": 5, "journal-clients": 4,
    "journal-events-per-client": 8,
}
FILE_BYTES = 100_000
LOGIN_SECONDS, STALL_SECONDS, WRITE_STALL_SECONDS, KEEPALIVE_SECONDS, DRAIN_SECONDS, HEADER_SECONDS = 4, 3, 4, 5, 3, 2
SLACK_SECONDS = 2.5  # loops on a busy machine; deadlines are looked at every second
TASK_SET_FULL = 0x28
CHAP = '{ mode = "chap"; user = "guest"; secret = "guest-secret-0123" }'


def limits_of(**changes):
    values = VALUES | {name.replace("_", "-"): value for name, value in changes.items()}
    return " ".join(f"{name} = {json.dumps(value)};" for name, value in values.items())


class Place:
    """The daemon, and a machine with many addresses at the end of a cable that can be cut."""

    def __init__(self, folder, stack):
        self.folder = folder
        segment = stack.enter_context(Segment())
        self.server = segment.add_host("server", f"{SERVER}/24")
        self.client, self.wire = segment.add_far_host(
            "client", *(f"{source}/24" for source in SOURCES))
        files = folder / "files"
        files.mkdir()
        (files / "big").write_bytes(bytes(FILE_BYTES))
        make_file(files / "huge", 16 * MIB)
        disk = make_file(folder / "disk.img", 64 * MIB)
        locked = make_file(folder / "locked.img", MIB)
        self.daemon = FarDaemon(folder / "daemon", [
            target("open", str(disk), more="shared = true;"),
            target("locked", str(locked), auth=CHAP, more="shared = true;")], limits=limits_of())
        self.daemon.namespace, self.daemon.custom = self.server, files
        self.daemon.start(namespace=self.server)

    def session(self, name, disk="open", source=SOURCES[0], **options):
        with entered(self.client):
            return Session(self.daemon.port, disk and iqn(disk), SERVER,
                           f"iqn.2026-11.local.test:{name}", source=source, **options)

    def connect(self, source=SOURCES[0], port=None, seconds=5):
        with entered(self.client):
            return socket.create_connection((SERVER, port or self.daemon.port), seconds,
                                            source_address=(source, 0))

    def udp(self, source, seconds=3):
        with entered(self.client):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((source, 0))
        one.settimeout(seconds)
        return one


def is_closed(peer, seconds):
    """Whether the other side closes it in that time, whatever it says before."""
    peer.settimeout(seconds)
    try:
        while peer.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def none_left(place):
    def all_ended():
        with contextlib.suppress(ConnectionError):  # http-connections: its peers are still counted
            return not place.daemon.status()["sessions"]
    wait_for(all_ended, 10, "end of the sessions")
    time.sleep(0.2)


# ── iSCSI connections and logins ────────────────────────────────────────────────────────────────


def test_connections(place, stack):
    sessions = [stack.enter_context(place.session(f"n{number}", None, SOURCES[number % 4]))
                for number in range(12)]
    assert is_closed(place.connect(SOURCES[5]), 2), "a thirteenth connection"
    for session in sessions:
        session.nop()
    sessions.pop().logout()
    time.sleep(0.3)
    place.session("again", None, SOURCES[5]).logout()


def test_connections_per_source(place, stack):
    sessions = [stack.enter_context(place.session(f"n{number}", None)) for number in range(6)]
    assert is_closed(place.connect(), 2), "a seventh connection"
    place.session("other", None, SOURCES[1]).logout()
    for session in sessions:
        session.nop()


def half_login(place, session):
    """Says who it is, and not that this is all."""
    session.send(struct.pack(">BB46x", LOGIN | 0x40, 0x04),
                 f"InitiatorName={session.name}\0TargetName={iqn('open')}\0".encode())
    assert session.receive()[0][0] == 0x23
    return session


def test_logins(place, stack):
    """Those who have not said a name make way, the oldest one first; the others do not."""
    inside_already = stack.enter_context(place.session("early"))
    silent = [stack.enter_context(place.connect(SOURCES[1 + number % 4])) for number in range(5)]
    place.session("late", source=SOURCES[6]).logout()
    assert is_closed(silent[0], 1) and not is_closed(silent[1], 0.1)
    for number in range(4):
        named = place.session(f"named{number}", source=SOURCES[1 + number % 4], login=False)
        half_login(place, stack.enter_context(contextlib.closing(named)))
    for one in silent:
        one.close()
    time.sleep(0.3)
    named = place.session("named4", source=SOURCES[5], login=False)
    half_login(place, stack.enter_context(contextlib.closing(named)))
    assert is_closed(place.connect(SOURCES[6]), 1), "a sixth login"
    inside_already.nop()


def test_logins_per_source(place, stack):
    half = [stack.enter_context(place.connect()) for _ in range(3)]
    assert is_closed(place.connect(), 1), "a fourth login of one address"
    place.session("other", source=SOURCES[1]).logout()
    assert not any(is_closed(one, 0.1) for one in half)


def login_seconds(place, source, secret):
    began = time.monotonic()
    with contextlib.suppress(Refused):
        place.session("guesser", "locked", source, secrets=Secrets("guest", secret, "", "")).logout()
    return time.monotonic() - began


def test_failed_logins_per_minute(place, _stack):
    source = SOURCES[7]  # not needed by others for this minute
    for _ in range(3):
        assert login_seconds(place, source, "wrong-secret-0123") < 1
    seconds = login_seconds(place, source, "guest-secret-0123")
    assert LOGIN_SECONDS / 2 - 0.5 < seconds < LOGIN_SECONDS, seconds
    assert login_seconds(place, SOURCES[1], "guest-secret-0123") < 1, "another address"


def test_login_deadline(place, stack):
    peers = [stack.enter_context(place.connect(source)) for source in SOURCES[:2]]
    header = struct.pack(">BB46x", LOGIN | 0x40, 0x87)
    began = time.monotonic()
    for at in range(2 * LOGIN_SECONDS):  # a byte now and then buys no time
        with contextlib.suppress(ConnectionError):
            peers[1].sendall(header[at:at + 1])
        if is_closed(peers[1], 1):
            break
    seconds = time.monotonic() - began
    assert is_closed(peers[0], 1), "not closed"
    assert LOGIN_SECONDS - 1 < seconds < LOGIN_SECONDS + SLACK_SECONDS, seconds


def test_sessions_per_initiator(place, stack):
    def one(number, source=SOURCES[0]):
        return stack.enter_context(place.session("many", source=source,
                                                 isid=bytes([0x80, 0, 0, 0, 0, number])))
    sessions = [one(number) for number in range(3)]
    sessions.append(one(3))  # of the same machine: the oldest one makes way
    assert is_closed(sessions[0].socket, 2), "four sessions of one name"
    for session in sessions[1:]:
        session.nop()
    try:
        one(4, SOURCES[1])
    except Refused as refused:
        assert refused.status == 0x0302, hex(refused.status)
    else:
        raise LabError("the same name at another address pushed a session out")
    place.session("other").logout()
    found = [stack.enter_context(place.session("many", None, isid=bytes([0x80, 1, 0, 0, 0, number])))
             for number in range(3)]
    other = stack.enter_context(place.session(
        "many", "locked", SOURCES[1], secrets=Secrets("guest", "guest-secret-0123", "", "")))
    for session in (*sessions[1:], *found, other):  # discovery and each target count their own
        session.nop()


# ── commands of one session ─────────────────────────────────────────────────────────────────────


def begin_write(session, tag, length=256 << 10):
    """A WRITE without its data; the R2T for it is not answered yet."""
    words = struct.pack(">I", length) + session.write_cdb(tag * 512, length // 512).ljust(16, b"\0")
    session.send(session.header(SCSI_COMMAND, 0xa1, tag, words=words))
    session.command_number += 1


def what_comes(session, seconds):
    """PDUs until nothing came for so long."""
    session.socket.settimeout(seconds)
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            found.append(session.receive()[0])
    session.socket.settimeout(15)
    return found


def test_queue_depth(place, stack):
    session = stack.enter_context(place.session("queue"))
    session.ready()
    assert session.window == 8, session.window
    for tag in range(1, 9):
        begin_write(session, tag)
    what_comes(session, 0.5)
    session.nop()
    assert session.window == 0, session.window
    for tag in range(9, 21):  # isboot goes on beyond the window; at twice of it is the end
        begin_write(session, tag)
    refused = [header for header in what_comes(session, 0.5)
               if header[0] & 0x3f == SCSI_RESPONSE and header[3] == TASK_SET_FULL]
    other = stack.enter_context(place.session("other", source=SOURCES[1]))
    other.ready()
    other.read_blocks(0, 8)
    session.reset()
    assert len(refused) == 4, f"{len(refused)} of 20 refused"


def test_memory_per_connection(place, stack):
    session = stack.enter_context(place.session("memory"))
    session.ready()
    for tag in range(1, 8):
        begin_write(session, tag)
    asked = [header for header in what_comes(session, 0.5) if header[0] & 0x3f == R2T]
    assert 1 <= len(asked) <= 2, f"{len(asked)} bursts of 256 KiB asked for at once"
    session.outgoing, ended = bytes(256 << 10), 0
    while ended < 7:  # each that ends makes room for the next one
        for header in asked:
            session.send_solicited(header)
        header, _data = session.receive()
        ended += header[0] & 0x3f == SCSI_RESPONSE and header[3] == 0
        asked = [header] if header[0] & 0x3f == R2T else []


def test_text(place, _stack):
    session = place.session("text", login=False)
    keys = b"InitiatorName=iqn.2026-11.local.test:text\0"
    for _ in range(4):
        text = keys + b"".join(b"X-%04d=%s\0" % (number, b"y" * 200) for number in range(14))
        header = struct.pack(">BB2x4x6s38x", LOGIN | 0x40, 0x40, session.isid)  # C: more to come
        with contextlib.suppress(ConnectionError):
            session.send(header, text)
        keys = b""
    assert is_closed(session.socket, 2), "12 KiB of keys were taken"


# ── connections that stand still ────────────────────────────────────────────────────────────────


def ask_for_much(session):
    session.ready()
    for at in range(64):
        session.start(session.read_cdb(at % 32 * 1024, 1024), data_in=512 << 10)


def gone_after(place, name, seconds):
    began = time.monotonic()
    full = f"iqn.2026-11.local.test:{name}"
    wait_for(lambda: not place.daemon.sessions(full), seconds + 20, f"end of {name}")
    return time.monotonic() - began


def test_send_stall(place, stack):
    session = stack.enter_context(place.session("stalled"))
    ask_for_much(session)
    seconds = gone_after(place, "stalled", STALL_SECONDS)
    note(f"given up after {seconds:.1f} s")
    assert STALL_SECONDS - 1 < seconds < STALL_SECONDS + SLACK_SECONDS, seconds


def test_write_stall(place, stack):
    """Data of a write that was asked for and does not come, or does not get on."""
    silent = stack.enter_context(place.session("silent"))
    silent.ready()
    begin_write(silent, 99)
    seconds = gone_after(place, "silent", WRITE_STALL_SECONDS)
    note(f"an R2T without an answer: given up after {seconds:.1f} s")
    assert WRITE_STALL_SECONDS - 1 < seconds < WRITE_STALL_SECONDS + SLACK_SECONDS, seconds
    assert place.daemon.says("limits.write-stall")
    working = stack.enter_context(place.session("working", source=SOURCES[1]))
    working.ready()
    for at in range(2 * WRITE_STALL_SECONDS):
        working.write(4096 + at * 1024, bytes(512 << 10))
        time.sleep(1)
    assert place.daemon.sessions("iqn.2026-11.local.test:working"), "one that sends what it owes"


CUT_WHILE = {
    "it is idle": lambda session: session.ready(),
    "it reads": lambda session: (session.ready(), session.start(session.read_cdb(0, 64),
                                                                data_in=64 * 512)),
    "it has stopped reading": ask_for_much,
    "it owes data": lambda session: (session.ready(), begin_write(session, 99)),
}


def test_keepalive(place, stack):
    """However long a stall may last: no longer one counts that nobody is there to end."""
    place.daemon.limits = limits_of(send_stall="60s", write_stall="60s")
    place.daemon.reload()
    stack.callback(place.daemon.reload)
    stack.callback(setattr, place.daemon, "limits", limits_of())
    stack.callback(place.wire.mend)
    for words, begin in CUT_WHILE.items():
        session = stack.enter_context(place.session("cut", source=SOURCES[2]))
        begin(session)
        if words != "it reads":
            time.sleep(0.5)
        place.wire.cut()
        seconds = gone_after(place, "cut", 2 * KEEPALIVE_SECONDS)
        place.wire.mend()
        note(f"the cable was pulled while {words}: given up after {seconds:.1f} s")
        assert KEEPALIVE_SECONDS < seconds < 2 * KEEPALIVE_SECONDS + 1, (words, seconds)


def test_drain(place, _stack):
    with Faulty(place.folder / "hung-disk", 16 * MIB) as disk, \
            Daemon(place.folder / "hung", [target("hung", disk.device)],
                   limits=limits_of()).start() as daemon:
        session = Session(daemon.port, iqn("hung"), isid=IPXE_ISID)
        session.ready()
        disk.hang()
        session.start(session.write_cdb(0, 8), bytes(4096))
        wait_for(lambda: daemon.lun("hung")["in_flight"], 5, "write in flight")
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        daemon.wait_log("ending without", 15)
        seconds = time.monotonic() - began
        disk.go_on()
        assert daemon.process.wait(15) == 1
        assert DRAIN_SECONDS - 0.5 < seconds < DRAIN_SECONDS + SLACK_SECONDS, seconds


# ── HTTP ────────────────────────────────────────────────────────────────────────────────────────

ANSWER_BYTES_PER_SECOND = 8 << 10  # of http_connection.c
GET = b"GET /big HTTP/1.1\r\nHost: 192.168.78.1\r\nConnection: close\r\n\r\n"


def answers_http(place, source):
    with contextlib.closing(place.connect(source, 80)) as peer:
        try:
            peer.sendall(GET)
            return peer.recv(12) == b"HTTP/1.1 200"
        except ConnectionError:
            return False


def test_http_connections(place, stack):
    """Those who have not asked anything make way, the oldest one first; the others do not."""
    idle = [stack.enter_context(place.connect(SOURCES[number % 2], 80)) for number in range(6)]
    assert answers_http(place, SOURCES[3]), "a seventh connection"
    assert is_closed(idle[0], 1) and not is_closed(idle[1], 0.1)
    for one in idle:
        one.close()
    time.sleep(0.3)
    for number in range(6):
        asking = stack.enter_context(place.connect(SOURCES[number % 2], 80))
        asking.sendall(GET.replace(b"big", b"huge"))  # and does not take all of it
    time.sleep(0.3)
    assert not answers_http(place, SOURCES[3]), "a seventh connection beside six that ask"


def test_http_connections_per_source(place, stack):
    for _ in range(4):
        stack.enter_context(place.connect(SOURCES[0], 80))
    assert not answers_http(place, SOURCES[0]), "a fifth connection of one address"
    assert answers_http(place, SOURCES[1]), "another address"


def test_http_header(place, stack):
    peer = stack.enter_context(place.connect(SOURCES[0], 80))
    began = time.monotonic()
    for at in range(10 * HEADER_SECONDS):
        with contextlib.suppress(ConnectionError):
            peer.sendall(GET[at:at + 1])
        if is_closed(peer, 0.3):
            break
    seconds = time.monotonic() - began
    assert HEADER_SECONDS - 0.5 < seconds < HEADER_SECONDS + SLACK_SECONDS, seconds
    cut_off_who_takes_nothing(place, stack)


def cut_off_who_takes_nothing(place, stack):
    """A boot file has the same time, and more by its length; the rest of it is not sent then."""
    with entered(place.client):
        peer = stack.enter_context(socket.socket())
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        peer.bind((SOURCES[1], 0))
        peer.connect((SERVER, 80))
    peer.sendall(GET)
    time.sleep(HEADER_SECONDS + FILE_BYTES / ANSWER_BYTES_PER_SECOND + SLACK_SECONDS)
    taken = 0
    peer.settimeout(5)
    with contextlib.suppress(ConnectionError):
        while piece := peer.recv(65536):
            taken += len(piece)
    assert 0 < taken < FILE_BYTES, f"{taken} bytes of the answer came after all"


def test_http_body(place, _stack):
    for length, code in (1024, 400), (1025, 413):
        found, _body = place.daemon.http("POST", "/serving", "x" * length)
        assert found == code, (length, found)


# ── TFTP ────────────────────────────────────────────────────────────────────────────────────────


def ask_tftp(place, stack, source, *options, goes_on=False):
    """Begins a transfer; gives the socket and the first answer."""
    words = b"\0".join([b"big", b"octet", *options]) + b"\0"
    one = stack.enter_context(place.udp(source))
    one.sendto(b"\0\1" + words, (SERVER, 69))
    answer, sender = one.recvfrom(2048)
    stack.callback(one.sendto, b"\0\5\0\0enough\0", sender)
    if goes_on:
        one.sendto(b"\0\4\0\1", sender)
        assert one.recv(2048)[:4] == b"\0\3\0\2"
    return answer


def test_tftp_transfers(place, stack):
    """Those of whom only the request was heard make way, the oldest one first; the others do not."""
    for number in range(6):
        assert ask_tftp(place, stack, SOURCES[number % 3])[:2] == b"\0\3", number
    stack.close()
    for number in range(5):
        assert ask_tftp(place, stack, SOURCES[number % 3], goes_on=True)[:2] == b"\0\3"
    assert ask_tftp(place, stack, SOURCES[4])[:2] == b"\0\5", "a sixth transfer"


def test_tftp_transfers_per_source(place, stack):
    for _ in range(3):
        assert ask_tftp(place, stack, SOURCES[0])[:2] == b"\0\3"
    assert ask_tftp(place, stack, SOURCES[0])[:2] == b"\0\5", "a fourth transfer of one address"
    assert ask_tftp(place, stack, SOURCES[1])[:2] == b"\0\3", "another address"


def test_tftp_block(place, stack):
    answer = ask_tftp(place, stack, SOURCES[0], b"blksize", b"1400")
    assert answer == b"\0\6blksize\x00600\0", answer


def test_tftp_window(place, stack):
    answer = ask_tftp(place, stack, SOURCES[0], b"windowsize", b"16")
    assert answer == b"\0\6windowsize\x003\0", answer


# ── DHCP and the journal ────────────────────────────────────────────────────────────────────────


def discover_from(place, numbers, pause_s=0.0):
    """One DISCOVER from each of these cards; gives how many were answered."""
    cards = [Client(place.client, f"52:54:00:aa:{number >> 8:02x}:{number & 255:02x}")
             for number in numbers]
    with contextlib.ExitStack() as stack:
        for card in cards:
            stack.callback(card.close)
        for card in cards:
            card.broadcast(DISCOVER, pxe())
            time.sleep(pause_s)
        time.sleep(1)  # an address is asked for before it is offered
        return sum(bool(card.replies(0.02, lambda _reply: True)) for card in cards)


def test_dhcp_replies_per_second(place, _stack):
    time.sleep(3)  # it may have twice the rate at once after a pause
    began = time.monotonic()
    answered = discover_from(place, range(60))
    allowed = 10 + 5 * (time.monotonic() - began) + 1
    note(f"{answered} of 60 in one burst")
    assert 5 <= answered <= allowed, answered
    time.sleep(2)
    assert discover_from(place, [1000]) == 1, "the next client"


def remembered(place):
    return json.loads(place.daemon.http("GET", "/clients")[1])["clients"]


def test_journal_clients(place, _stack):
    discover_from(place, range(200, 212), 0.25)
    found = [client["mac"] for client in remembered(place)]
    assert len(found) == 4 and "52:54:00:aa:00:d3" in found, found


def test_journal_events_per_client(place, stack):
    run(*inside(place.client), "curl", "-sS", "-o", "/dev/null",
        f"http://{SERVER}/boot.ipxe?mac=52-54-00-aa-00-01")
    for _ in range(20):
        for name in "undionly.kpxe", "big":
            run(*inside(place.client), "curl", "-sS", "-o", "/dev/null", f"tftp://{SERVER}/{name}")
    session = stack.enter_context(place.session("events"))
    session.ready()
    steps = [len(client["steps"]) for client in remembered(place)]
    assert max(steps) <= 8, steps


# ── all of them ─────────────────────────────────────────────────────────────────────────────────


def keys():
    text = check("--help=config").stdout
    return re.findall(r"^limits\.([a-z-]+) ", text, re.MULTILINE)


def main():
    need_root()
    exit_on_signals()
    report = Report()
    tests = {name: globals().get(f"test_{name.replace('-', '_')}") for name in keys()}
    report.check("each key of the group has its test and its value here",
                 all(tests.values()) and set(tests) == set(VALUES),
                 [name for name in {*tests, *VALUES} if not tests.get(name) or name not in VALUES])
    with scratch("/var/tmp") as folder, contextlib.ExitStack() as stack:
        place = Place(folder, stack)
        try:
            for name, test in tests.items():
                if sys.argv[2:] and name not in sys.argv[2:]:
                    continue
                with report.test(name):
                    with contextlib.ExitStack() as inner:
                        test(place, inner)
                    none_left(place)
        finally:
            with report.test("the daemon ends in order, without a leak"):
                place.daemon.stop()
    report.finish()


main()
