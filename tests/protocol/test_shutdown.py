#!/usr/bin/env python3
"""SIGTERM: nothing new is accepted, initiators are asked to log out, disks get their last writes and
their last flush, and the exit code says whether all of it worked. Needs root (loop devices).

usage: test_shutdown.py NETBOOT-TARGET
"""
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, loop_device, make_file, scratch  # noqa: E402
from lab.faulty import Faulty  # noqa: E402
from lab.initiator import (IPXE_ISID, ISBOOT_ISID, OPEN_ISCSI_ISID, Closed, Load, Session,
                           login_status)  # noqa: E402
from lab.process import exit_on_signals, need_root, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

PATIENCE = 3  # seconds that the Async logout request gives


def seconds_to_end(daemon, most=30, code=0, signals=1):
    begin = time.monotonic()
    for _ in range(signals):
        daemon.signal(signal.SIGTERM)
    daemon.ends(most, code)
    return time.monotonic() - begin


def listen_for_logout(session):
    """Waits until the target says something by itself; True: it asked to log out."""
    session.socket.settimeout(10)
    try:
        session.receive()
    except Closed:
        pass
    return session.logout_requested is not None


def test_idle(report, folder, disk):
    with report.test("nothing connected: at once"):
        with Daemon(folder / "idle", [target("a", disk)]).start() as daemon:
            assert seconds_to_end(daemon) < 1
            assert daemon.says("shutting down, 0 sessions")
    for number in (signal.SIGTERM, signal.SIGINT):
        with report.test(f"{signal.Signals(number).name} many times"):
            with Daemon(folder / f"many-{number}", [target("a", disk)]).start() as daemon:
                for _ in range(20):
                    daemon.signal(number)
                daemon.ends(10)
                assert daemon.says().count("shutting down") == 1
    with report.test("while it starts"):
        for pause in (0, 0.02, 0.05, 0.1, 0.2):
            with Daemon(folder / "early", [target("a", disk)]).launch() as daemon:
                time.sleep(pause)
                daemon.signal(signal.SIGTERM)
                code = daemon.process.wait(10)
                assert code in (0, -signal.SIGTERM), (code, daemon.says())  # before it listens
    with report.test("while it waits for a disk"):
        lun = f'device = "{folder}/none.img"; wait = "5m"'
        with Daemon(folder / "waiting", [target("a", lun)]).launch() as daemon:
            daemon.wait_log("waiting for it")
            assert seconds_to_end(daemon) < 1


def test_logout_request(report, folder, disk):
    for name, isid, asked in (("open-iscsi", OPEN_ISCSI_ISID, True), ("iPXE", IPXE_ISID, False),
                              ("isboot", ISBOOT_ISID, False)):
        with report.test(f"{name} is {'' if asked else 'not '}asked to log out"):
            with Daemon(folder / name, [target("a", disk)]).start() as daemon:
                session = Session(daemon.port, iqn("a"), isid=isid)
                session.ready()
                begin = time.monotonic()
                daemon.signal(signal.SIGTERM)
                assert listen_for_logout_in_time(session) == asked
                daemon.ends(10)
                seconds = time.monotonic() - begin
                assert seconds < PATIENCE + 2 and (asked or seconds < 1.5), seconds
    with report.test("who logs out as asked is not waited for any longer"):
        with Daemon(folder / "polite", [target("a", disk)]).start() as daemon:
            session = Session(daemon.port, iqn("a"))
            session.ready()
            begin = time.monotonic()
            daemon.signal(signal.SIGTERM)
            time.sleep(0.2)
            session.nop()
            assert session.logout_requested
            session.logout()
            daemon.ends(10)
            assert time.monotonic() - begin < 1.5
    with report.test("nobody new gets in while it ends; those inside may work on"):
        with Daemon(folder / "closed", [target("a", disk)]).start() as daemon:
            session = Session(daemon.port, iqn("a"))
            session.ready()
            half = Session(daemon.port, iqn("a"), login=False)
            wait_for(lambda: daemon.status()["connections"] == 2, 5, "second connection")
            daemon.signal(signal.SIGTERM)
            daemon.wait_log("shutting down")
            try:
                login_status(daemon.port, iqn("a"))
                raise AssertionError("a connection was accepted")
            except ConnectionError:
                pass
            try:
                half.login()
                raise AssertionError("a login was taken")
            except LabError as error:
                assert getattr(error, "status", None) == 0x0301, error
            session.write(8, b"late" + bytes(508))
            session.flush()
            session.logout()
            daemon.ends(10)
            assert disk.read_bytes()[4096:4100] == b"late"


def listen_for_logout_in_time(session):
    answer = []
    thread = threading.Thread(target=lambda: answer.append(listen_for_logout(session)), daemon=True)
    thread.start()
    thread.join(PATIENCE + 3)
    return session.logout_requested is not None


def test_data(report, folder):
    with report.test("under load: what was acknowledged is on the disk"):
        backing = make_file(folder / "load.img", 32 * MIB)
        with loop_device(backing) as device:
            with Daemon(folder / "load", [target("a", device)]).start() as daemon:
                session = Session(daemon.port, iqn("a"))
                session.ready()
                written, acknowledged = {}, {}
                thread = threading.Thread(target=write_until_closed, daemon=True,
                                          args=(session, written, acknowledged))
                thread.start()
                time.sleep(0.5)
                assert seconds_to_end(daemon) < PATIENCE + 2
                thread.join(5)
            with open(device, "rb") as disk:
                for lba, data in acknowledged.items():
                    disk.seek(lba * 512)
                    assert disk.read(512) in (data, written[lba]), lba
            assert len(acknowledged) > 20, len(acknowledged)


def write_until_closed(session, written, acknowledged):
    try:
        for i in range(1 << 20):
            lba = i % 4096
            written[lba] = os.urandom(512)
            session.write(lba, written[lba])
            acknowledged[lba] = written[lba]
    except (LabError, OSError):
        pass


def test_slow_disk(report, folder):
    with report.test("writes in flight on a slow disk are waited for, then flushed"):
        with Faulty(folder / "slow-disk", 16 * MIB, writes_per_second=2) as disk:
            with Daemon(folder / "slow", [target("a", disk.device)]).start() as daemon:
                session = Session(daemon.port, iqn("a"), isid=IPXE_ISID)
                session.ready()
                blocks = {lba: os.urandom(512) for lba in (0, 1000, 2000, 3000, 4000)}
                for lba, data in blocks.items():
                    session.start(session.write_cdb(lba, 1), data)
                wait_for(lambda: daemon.lun("a")["in_flight"], 5, "writes in flight")
                seconds = seconds_to_end(daemon)
                assert 0.5 < seconds < 15, seconds
            on_disk = Path(disk.image).read_bytes()
            for lba, data in blocks.items():
                assert on_disk[lba * 512:lba * 512 + 512] == data, lba
            assert not daemon.says("flush failed")


def test_hung_disk(report, folder, healthy):
    with report.test("a hung disk is given limits.drain, others are flushed, the exit code is 1"):
        with Faulty(folder / "hung-disk", 16 * MIB) as disk:
            targets = [target("hung", disk.device), target("well", healthy)]
            with Daemon(folder / "hung", targets, limits='drain = "4s";').start() as daemon:
                session = Session(daemon.port, iqn("hung"), isid=IPXE_ISID)
                session.ready()
                other = Session(daemon.port, iqn("well"), isid=IPXE_ISID)
                other.ready()
                disk.hang()
                session.start(session.write_cdb(0, 8), bytes(4096))
                wait_for(lambda: daemon.lun("hung")["in_flight"], 5, "write in flight")
                load = Load(other)
                time.sleep(0.3)
                assert load.rounds > 0 and not load.error, "the other disk hangs too"
                begin = time.monotonic()
                daemon.signal(signal.SIGTERM)
                daemon.wait_log("ending without", 10)
                seconds = time.monotonic() - begin
                disk.go_on()  # a thread inside the kernel can't be ended
                assert daemon.process.wait(15) == 1
                assert 3.5 < seconds < 6, seconds


def test_hung_file_system(report, folder, healthy):
    with report.test("a file whose file system hangs stops nobody else"):
        with Faulty(folder / "hung-mount", 16 * MIB, loop=False) as disk:
            targets = [target("hung", disk.device), target("well", healthy)]
            with Daemon(folder / "hung-file", targets).start() as daemon:
                other = Session(daemon.port, iqn("well"))
                other.ready()
                load = Load(other)
                disk.hang()
                longest = longest_pause(load, 6.5)  # sizes are looked at every 5 seconds
                disk.go_on()
                load.stop()
                other.logout()
                assert longest < 1, longest


def longest_pause(load, seconds):
    """Between two rounds of a load, watched for so long."""
    rounds, since, longest = load.rounds, time.monotonic(), 0.0
    end = since + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
        now = time.monotonic()
        longest = max(longest, now - since)
        if load.rounds != rounds:
            rounds, since = load.rounds, now
    return longest


def test_failing_flush(report, folder):
    with report.test("a last flush that fails is told"):
        with Faulty(folder / "bad-disk", 16 * MIB, [{"iotype": "flush", "errno": 5}]) as disk:
            with Daemon(folder / "bad", [target("a", disk.device)]).start() as daemon:
                session = Session(daemon.port, iqn("a"), isid=IPXE_ISID)
                session.ready()
                session.write(0, bytes(4096))
                session.close()
                daemon.signal(signal.SIGTERM)
                code = daemon.process.wait(15)
                assert daemon.says("the last flush failed, acknowledged writes may be lost")
                assert code == 1, code


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        disk = make_file(folder / "disk.img", 16 * MIB)
        test_idle(report, folder, disk)
        test_logout_request(report, folder, disk)
        test_data(report, folder)
        test_slow_disk(report, folder)
        test_hung_disk(report, folder, disk)
        test_hung_file_system(report, folder, disk)
        test_failing_flush(report, folder)
    report.finish()


main()
