#!/usr/bin/env python3
"""One owner per disk: who gets it, who is refused and told why, who gets back in after a pulled cable, a
frozen host and a killed daemon, and that nothing the old owner wrote lands after the new one's first
command. Needs root (namespaces, loop devices).

usage: test_owners.py NETBOOT-TARGET
"""
import concurrent.futures
import contextlib
import http.client
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.initiator import INITIATOR, Refused, Session, login_status  # noqa: E402
from lab.late_writes import (expect_in_flight, expect_quiet, slow_target,  # noqa: E402
                             start_writes)
from lab.machine import Cable, Machine, own_network  # noqa: E402
from lab.process import exit_on_signals, free_port, need_root, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402

OWNED, RETRY = 0x0202, 0x0301
RIVAL = "iqn.2026-11.local.test:rival"
WRITE_PROTECTED = (7, 0x2700)


def rival_status(daemon, **options):
    return login_status(daemon.port, iqn("a"), name=RIVAL, **options)


def is_free(daemon):
    return daemon.target("a")["owner"] == ""


# ── first come ──────────────────────────────────────────────────────────────────────────────────

def race(daemon, names):
    """All log in at once; gives the sessions that got in, and the statuses of the others."""
    def log_in(name):
        try:
            return Session(daemon.port, iqn("a"), name=name)
        except Refused as refused:
            return refused.status
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(log_in, names))
    return ([item for item in results if isinstance(item, Session)],
            [item for item in results if not isinstance(item, Session)])


def test_race(report, folder, disk):
    names = [f"iqn.2026-11.local.test:racer-{number}" for number in range(6)]
    with Daemon(folder / "race", [target("a", disk)]).start() as daemon:
        with report.test("of clients that race for one disk exactly one gets it, the others are told"):
            for _round in range(8):
                winners, statuses = race(daemon, names)
                assert len(winners) == 1 and set(statuses) == {OWNED}, (winners, statuses)
                owner = daemon.target("a")
                assert owner["owner"] == winners[0].name
                assert abs(owner["owner_since_unix_seconds"] - time.time()) < 3, owner
                assert owner["hold_ends_unix_seconds"] == 0, owner
                winners[0].logout()
                wait_for(lambda: is_free(daemon), 5, "free disk")
            assert daemon.says("the target's writable disks are another initiator's: owned for ")
            assert daemon.says("s and logged in, iqn.2026-11.local.test:racer-"), daemon.says()


def test_record(report, folder, disk):
    daemon = Daemon(folder / "record", [target("a", disk)])
    with report.test("a restart knows the owner of whom a login was answered a moment before kill -9"):
        for number in range(6):
            name = f"iqn.2026-11.local.test:owner-{number}"
            with daemon.start():
                since = daemon.target("a")["owner_since_unix_seconds"]
                if number:
                    code, text = daemon.http("POST", "/owner/release")
                    assert code == 200, text
                session = Session(daemon.port, iqn("a"), name=name)
                daemon.kill()
                session.close()
            with daemon.start():
                assert rival_status(daemon) == OWNED
                owner = daemon.target("a")
                assert owner["owner"] == name and owner["owner_since_unix_seconds"] >= since, owner
                assert 595 < owner["hold_ends_unix_seconds"] - time.time() < 602, owner
                daemon.kill()
    with report.test("since when: the record remembers it over restarts"):
        with daemon.start():
            before = daemon.target("a")["owner_since_unix_seconds"]
        time.sleep(1.1)
        with daemon.start():
            after = daemon.target("a")["owner_since_unix_seconds"]
            assert abs(after - before) <= 1 and time.time() - after > 1, (before, after)


# ── the owner gets back in ──────────────────────────────────────────────────────────────────────

def expect_shut_out(daemon, seconds=0.0, **options):
    """The rival tries, again and again."""
    deadline = time.monotonic() + seconds
    while True:
        assert rival_status(daemon, **options) == OWNED
        if time.monotonic() >= deadline:
            return
        time.sleep(0.1)


def test_cable(report, folder, disk):
    with Cable() as cable:
        daemon = Daemon(folder / "cable", [target("a", disk)],
                        limits='keepalive = "5s"; send-stall = "5s";')
        daemon.portals = [f"127.0.0.1:{daemon.port}", f"{cable.ours}:{daemon.port}"]
        with daemon.start(), Machine(daemon.port, iqn("a"), INITIATOR, address=cable.ours,
                                     namespace=cable.namespace) as machine:
            machine.wait_working()
            for name, pulled_seconds in (("noticed by nobody yet", 1), ("whose session was ended", 14)):
                with report.test(f"a pulled cable, {name}: the rival is refused, the owner goes on"):
                    cable.pull()
                    expect_shut_out(daemon, pulled_seconds)
                    if pulled_seconds > 10:
                        wait_for(lambda: not daemon.status()["sessions"], 10, "end of the session")
                        owner = daemon.target("a")
                        assert owner["hold_ends_unix_seconds"] > time.time() + 500, owner
                        expect_shut_out(daemon)
                        assert daemon.says("and awaited for another "), daemon.says()
                    cable.plug()
                    machine.wait_working()
                    assert daemon.target("a")["hold_ends_unix_seconds"] == 0
                    expect_shut_out(daemon)
            assert machine.logins >= 2 and machine.refused == 0, (machine.logins, machine.refused)


def test_frozen(report, folder, disk):
    daemon = Daemon(folder / "frozen", [target("a", disk)], limits='keepalive = "5s";')
    with daemon.start(), Machine(daemon.port, iqn("a"), INITIATOR) as machine:
        with report.test("a frozen host: the rival is refused, the owner goes on where it was"):
            machine.wait_working()
            machine.freeze()
            expect_shut_out(daemon, 7)
            machine.thaw()
            machine.wait_working()
            assert machine.logins == 1, machine.logins


def test_restarts(report, folder, disk):
    daemon = Daemon(folder / "restarts", [target("a", disk)])
    with Machine(daemon.port, iqn("a"), INITIATOR) as machine:
        for way in ("kill -9", "kill -9, again", "an orderly restart"):
            with report.test(f"{way}: the rival tries first and is refused, the owner gets back in"):
                with daemon.start():
                    machine.thaw()
                    machine.wait_working()
                    machine.freeze()
                    acknowledged = machine.acknowledged
                    if "-9" in way:
                        daemon.kill()
                    else:
                        daemon.stop()
                with daemon.start():
                    expect_shut_out(daemon, 0.5)
                    machine.thaw()
                    machine.wait_working()
                    assert machine.refused in (0, RETRY) and machine.acknowledged > acknowledged
                    with Session(daemon.port, iqn("a"), isid=bytes.fromhex("00023d000009")) as second:
                        second.ready()  # another of its sessions enters beside
                        assert len(daemon.status()["sessions"]) == 2
                    machine.wait_working()
                    machine.freeze()
                    daemon.kill()
        machine.thaw()
    with report.test("a logout on request of the target that shuts down frees nothing"):
        with daemon.start():
            session = Session(daemon.port, iqn("a"))
            session.ready()
            daemon.process.process.terminate()
            with contextlib.suppress(Exception):
                while not session.logout_requested:
                    session.nop()
                session.logout()
            daemon.ends(20)
            assert session.logout_requested
        with daemon.start():
            expect_shut_out(daemon)
            assert login_status(daemon.port, iqn("a")) == 0


# ── nothing lands late ──────────────────────────────────────────────────────────────────────────


def when_let_in(daemon, seconds, name=RIVAL, **options):
    """The session that gets in at last."""
    def attempt():
        try:
            return Session(daemon.port, iqn("a"), name=name, **options)
        except Refused as refused:
            assert refused.status in (OWNED, RETRY), refused
            return None
    return wait_for(attempt, seconds, lambda: f"way in for {name}\n{daemon.says()[-2000:]}")


def test_late_writes(report, folder):
    with report.test("after the hold the rival gets in, and no write of the first lands afterwards"):
        with slow_target(folder, "hold", 'hold = "1s";') as daemon:
            session = Session(daemon.port, iqn("a"))
            session.ready()
            start_writes(session)
            wait_for(lambda: daemon.lun("a")["in_flight"], 5, "write in flight")
            session.reset()
            expect_in_flight(daemon)
            with when_let_in(daemon, 20) as rival:
                rival.ready()
                expect_quiet(rival, 4)
                assert daemon.target("a")["owner"] == RIVAL
            with Session(daemon.port, iqn("a")) as owner:  # logged out: free again
                owner.ready()
    with report.test("after a release of an owner that is there, too; and the owner is refused"):
        with slow_target(folder, "release") as daemon:
            session = Session(daemon.port, iqn("a"))
            session.ready()
            start_writes(session)
            wait_for(lambda: daemon.lun("a")["in_flight"], 5, "write in flight")
            code, text = daemon.http("POST", "/targets/a/owner/release", RIVAL)
            assert code == 202, (code, text)
            expect_in_flight(daemon)
            assert rival_status(daemon) == RETRY
            with when_let_in(daemon, 20) as rival:
                rival.ready()
                assert login_status(daemon.port, iqn("a")) == OWNED
                expect_quiet(rival, 4)
            assert daemon.says("owner released: by=127.0.0.1 target=a "
                               f"owner={INITIATOR} sessions=1 next={RIVAL}"), daemon.says()
    with report.test("the owner's own next session waits for them, with the same ISID or another"):
        for number, isid in enumerate(("00023d000001", "400027239999")):
            with slow_target(folder, f"again-{number}") as daemon:
                session = Session(daemon.port, iqn("a"), isid=bytes.fromhex("00023d000001"))
                session.ready()
                start_writes(session)
                wait_for(lambda: daemon.lun("a")["in_flight"], 5, "write in flight")
                session.reset()
                expect_in_flight(daemon)
                with Session(daemon.port, iqn("a"), isid=bytes.fromhex(isid)) as again:
                    assert daemon.lun("a")["in_flight"] == 0
                    again.ready()
                    expect_quiet(again, 3)
    with report.test("kill -9 of the daemon in the middle of them: nothing lands behind its successor"):
        with slow_target(folder, "killed") as daemon:
            session = Session(daemon.port, iqn("a"))
            session.ready()
            start_writes(session)
            wait_for(lambda: daemon.lun("a")["in_flight"], 5, "write in flight")
            daemon.process.process.kill()
            daemon.process.wait(20)
            session.close()
            daemon.start(20)
            expect_shut_out(daemon)
            code, text = daemon.http("POST", "/targets/a/owner/release")
            assert code == 200, (code, text)
            with when_let_in(daemon, 20) as rival:
                rival.ready()
                expect_quiet(rival, 4)


def test_frozen_and_released(report, folder, disk):
    with report.test("a host that was frozen while its target was given away writes no more"):
        with Daemon(folder / "given", [target("a", disk)]).start() as daemon, \
                Machine(daemon.port, iqn("a"), INITIATOR) as machine:
            machine.wait_working()
            machine.freeze()
            code, text = daemon.http("POST", "/targets/a/owner/release", RIVAL + "\n")
            assert code in (200, 202), (code, text)
            with when_let_in(daemon, 10) as rival:
                rival.ready()
                rival.write(machine.lba, bytes(512))
                machine.thaw()
                wait_for(lambda: machine.refused == OWNED, 10, "refusal of the old owner")
                assert rival.read_blocks(machine.lba, 1) == bytes(512)
            machine.wait_working()  # the rival has logged out


# ── what a person may do ────────────────────────────────────────────────────────────────────────

def test_actions(report, folder, disk):
    other = make_file(folder / "other.img", 8 * MIB)
    with Daemon(folder / "actions", [target("a", disk), target("b", other)]).start() as daemon:
        with report.test("POST /sessions/ID/drop ends that session, and its disk stays its own"):
            first = Session(daemon.port, iqn("a"))
            first.ready()
            tsih = daemon.status()["sessions"][0]["tsih"]
            assert daemon.http("POST", f"/sessions/{tsih ^ 1}/drop")[0] == 404
            assert daemon.http("POST", "/sessions/x/drop")[0] == 404
            assert daemon.http("POST", f"/sessions/{tsih}/drop")[0] == 200
            assert not daemon.status()["sessions"]
            assert first.socket.recv(1) == b"", "its connection is still there"
            first.close()
            assert daemon.says(f"session dropped: by=127.0.0.1 tsih={tsih} "), daemon.says()
            assert rival_status(daemon) == OWNED
        with report.test("POST /owner/release: by name, or the only one that is owned"):
            assert daemon.http("POST", "/targets/none/owner/release")[0] == 404
            assert daemon.http("POST", "/targets/b/owner/release")[0] == 409
            assert daemon.http("POST", "/owner/release", "no name")[0] == 400
            assert daemon.http("POST", "/owner/release", "x" * 300)[0] in (400, 413)
            assert daemon.target("a")["owner"] == INITIATOR
            Session(daemon.port, iqn("b")).close()
            wait_for(lambda: daemon.target("b")["hold_ends_unix_seconds"], 5, "lost session")
            code, text = daemon.http("POST", "/owner/release")
            assert code == 409 and "/targets/NAME/owner/release" in text, (code, text)
            assert daemon.http("POST", "/targets/b/owner/release")[0] == 200
            assert daemon.target("b")["owner"] == ""
            assert daemon.http("POST", "/owner/release")[0] == 200
            assert is_free(daemon) and daemon.http("POST", "/owner/release")[0] == 409
            assert daemon.says(f"owner released: by=127.0.0.1 target=a owner={INITIATOR} sessions=0 "
                               "next=anybody")
            assert rival_status(daemon) == 0
        with report.test("POST /serving off: a connection that breaks comes back, nobody new comes"):
            with Session(daemon.port, iqn("b")) as first:
                first.ready()
                assert daemon.http("POST", "/serving", "off")[0] == 200
                assert login_status(daemon.port, iqn("b"), name=RIVAL) == RETRY
                assert daemon.http("POST", f"/sessions/{daemon.status()['sessions'][0]['tsih']}/drop")[0] == 200
                assert login_status(daemon.port, iqn("b"), name=RIVAL) == RETRY
                assert login_status(daemon.port, iqn("b")) == 0
            assert daemon.http("POST", "/serving", "on")[0] == 200
        with report.test("the status page tells the owner"):
            Session(daemon.port, iqn("a")).close()
            wait_for(lambda: daemon.target("a")["hold_ends_unix_seconds"], 5, "lost session")
            page = daemon.http("GET", "/")[1]
            assert INITIATOR in page and "Lost, and waited for another" in page


# ── a view for the others ───────────────────────────────────────────────────────────────────────

def test_view(report, folder, disk):
    with Daemon(folder / "view", [target("a", disk, more='others = "read-only";')]).start() as daemon:
        with report.test("others = read-only: they read what the owner writes, and change nothing"):
            with Session(daemon.port, iqn("a")) as owner, \
                    Session(daemon.port, iqn("a"), name=RIVAL) as view:
                owner.ready()
                view.ready()
                owner.write(8, b"x" * 512)
                assert view.read_blocks(8, 1) == b"x" * 512
                mode = view.good(struct.pack(">BBBBBB", 0x1a, 8, 0x3f, 0, 255, 0), data_in=255)
                assert mode[2] & 0x80, "WP is not set"
                for cdb, data in ((view.write_cdb(8, 1), bytes(512)),
                                  (struct.pack(">BBIBHB", 0x41, 0, 8, 0, 1, 0), bytes(512)),
                                  (struct.pack(">BBB2xIB", 0x5f, 0, 0, 24, 0), bytes(24))):
                    answer = view.command(cdb, data)
                    assert answer.sense_words == WRITE_PROTECTED, (cdb, answer)
                sessions = {item["initiator"]: item["read_only"]
                            for item in daemon.status()["sessions"]}
                assert sessions == {INITIATOR: False, RIVAL: True}, sessions
                assert daemon.target("a")["owner"] == INITIATOR
                assert owner.read_blocks(8, 1) == b"x" * 512
        with report.test("a view ends with its session: the next login is judged anew"):
            with Session(daemon.port, iqn("a"), name=RIVAL) as owner:
                owner.ready()
                owner.write(8, b"y" * 512)


# ── after-script ────────────────────────────────────────────────────────────────────────────────

MAC = "52:54:00:ab:cd:01"


def fetch_script(port, mac=MAC, source=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5,
                                            source_address=(source, 0) if source else None)
    connection.request("GET", f"/boot.ipxe?mac={mac.replace(':', '-')}&uuid="
                              "00112233-4455-6677-8899-aabbccddeeff&serial=")
    text = connection.getresponse().read().decode()
    connection.close()
    assert "sanboot" in text or "sanhook" in text, text


class ScriptedDaemon(Daemon):
    """One whose scripts can be fetched."""

    def text(self):
        return super().text().replace("http-listen = []", f'http-listen = "127.0.0.1:{self.boot}"')


def test_after_script(report, folder, disk):
    name = "iqn.2026-11.local.test:scripted"
    daemon = ScriptedDaemon(folder / "script", more=f"""
        clients = ( {{ mac = "{MAC}"; target = "a"; open = true; initiator = "{name}" }} );""")
    daemon.boot = free_port()

    def use(more, lun=f'device = "{disk}"'):
        daemon.targets = [target("a", lun, more=more)]

    def status(**options):
        return login_status(daemon.port, iqn("a"), **{"name": name, **options})

    with report.test("after-script: a first login needs a script of its own address lately"):
        use('after-script = "3s";')
        with daemon.start():
            assert status() == OWNED
            assert daemon.says("has not fetched its boot script lately"), daemon.says()
            fetch_script(daemon.boot)
            assert status(name=RIVAL) == OWNED
            assert status(source="127.0.0.2") == OWNED
            assert status() == 0
            time.sleep(3.2)
            assert status() == OWNED  # it had logged out, and the script is old
    with report.test("a client that runs comes back at any time: after a restart, from elsewhere"):
        for more, lun in (('after-script = "1s";', f'device = "{disk}"'),
                          ('after-script = "1s"; shared = true;', f'device = "{disk}"'),
                          ('after-script = "1s";', f'device = "{disk}"; read-only = true')):
            use(more, lun)
            with daemon.start():
                fetch_script(daemon.boot)
                session = Session(daemon.port, iqn("a"), name=name)
                time.sleep(1.2)
                with contextlib.closing(Session(daemon.port, iqn("a"), name=name,
                                                isid=bytes.fromhex("00023d000002"))):
                    pass
                session.close()
                wait_for(lambda: not daemon.status()["sessions"], 5, "end of its sessions")
                Session(daemon.port, iqn("a"), name=name, source="127.0.0.2").close()
                assert status(name=RIVAL) == OWNED
                daemon.kill()
            with daemon.start():
                assert status(name=RIVAL) == OWNED
                assert status(source="127.0.0.3") == 0  # and logs out
                assert status() == OWNED
    with report.test("who logs out of one of two sessions comes back, until it has logged out of both"):
        use('after-script = "3s"; shared = true;')
        with daemon.start():
            fetch_script(daemon.boot)
            first = Session(daemon.port, iqn("a"), name=name)
            other = Session(daemon.port, iqn("a"), name=name, isid=bytes.fromhex("00023d000002"))
            time.sleep(3.2)
            first.logout()
            wait_for(lambda: len(daemon.status()["sessions"]) == 1, 5, "end of the first")
            assert status() == 0
            other.logout()
            wait_for(lambda: not daemon.status()["sessions"], 5, "end of the other")
            assert status() == OWNED
            first.close()
            other.close()


def main():
    need_root()
    exit_on_signals()
    own_network()
    report = Report()
    with scratch() as folder:
        disk = make_file(folder / "disk.img", 16 * MIB)
        test_race(report, folder, disk)
        test_record(report, folder, disk)
        test_cable(report, folder, disk)
        test_frozen(report, folder, disk)
        test_restarts(report, folder, disk)
        test_late_writes(report, folder)
        test_frozen_and_released(report, folder, disk)
        test_actions(report, folder, disk)
        test_view(report, folder, disk)
        test_after_script(report, folder, disk)
    report.finish()


main()
