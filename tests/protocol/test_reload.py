#!/usr/bin/env python3
"""SIGHUP: what did not change goes on, what changed comes back, what is broken is refused.

usage: test_reload.py NETBOOT-TARGET
"""
import hashlib
import hmac
import socket
import string
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.initiator import Closed, Load, Refused, Session, login_status  # noqa: E402
from lab.process import exit_on_signals, free_port, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402
from lab.targets import Secrets  # noqa: E402

KNOCKING_ISID = bytes.fromhex("00023d0000ff")
RETRY = 0x0301  # service unavailable: initiators come back; at 02xx they give up


class Knocking(threading.Thread):
    """Logs in and out without pause; keeps every answer."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.port, self.name, self.answers, self.stopping = port, name, [], False
        self.start()

    def run(self):
        while not self.stopping:
            try:
                self.answers.append(login_status(self.port, iqn(self.name), isid=KNOCKING_ISID))
            except (Closed, OSError) as error:
                self.answers.append(repr(error))
            time.sleep(0.01)

    def stop(self):
        self.stopping = True
        self.join(20)
        return self.answers


def wait_served(daemon, name):
    wait_for(lambda: login_status(daemon.port, iqn(name)) == 0, 10, f"target {name}")


def test_unchanged(report, daemon, disks):
    with report.test("an unchanged target keeps its session and its load"):
        session = Session(daemon.port, iqn("a"))
        session.ready()
        load = Load(session)
        for _ in range(5):
            rounds = load.rounds
            daemon.reload()
            wait_for(lambda: load.rounds > rounds or load.error, 5, "load that goes on")
        tsih = daemon.status()["sessions"][0]["tsih"]
        daemon.targets[1] = target("b", disks[1], more='alias = "changed";')
        daemon.reload()
        daemon.wait_ready()
        time.sleep(0.2)
        assert load.stop() > 0
        assert [item["tsih"] for item in daemon.status()["sessions"]] == [tsih]
        session.logout()


def test_changed(report, daemon, disks):
    with report.test("a changed target ends its sessions and comes back; logins meanwhile 03/01"):
        with Session(daemon.port, iqn("b")) as session:
            session.ready()
            session.write(0, b"before" + bytes(506))
            knocking = Knocking(daemon.port, "b2")
            daemon.targets[1] = target("b", disks[1], iqn=iqn("b2"))
            daemon.reload()
            try:
                session.nop()
                raise AssertionError("the old session goes on")
            except (Closed, ConnectionError):
                pass
        wait_served(daemon, "b2")
        with Session(daemon.port, iqn("b2")) as session:
            session.ready()
            assert session.read_blocks(0, 1)[:6] == b"before"
        wait_for(lambda: 0 in knocking.answers, 10, "knock that is answered")
        answers = knocking.stop()
        first = next(i for i, answer in enumerate(answers) if answer in (0, RETRY))
        assert set(answers[first:]) <= {0, RETRY}, answers[first:]
    with report.test("under its name again, while a client knocks: never 02xx"):
        daemon.targets[1] = target("b", disks[1])
        daemon.reload()
        wait_served(daemon, "b")
        knocking = Knocking(daemon.port, "b")
        for alias in ("one", "two", "three"):
            daemon.targets[1] = target("b", disks[1], more=f'alias = "{alias}";')
            daemon.reload()
            wait_served(daemon, "b")
        answers = knocking.stop()
        closed = [answer for answer in answers if isinstance(answer, str)]
        numbers = {answer for answer in answers if not isinstance(answer, str)}
        assert numbers <= {0, RETRY} and 0 in numbers, answers
        assert len(closed) <= 6, closed  # those that were inside when it was replaced
    with report.test("a changed target under load: what was acknowledged is there"):
        session = Session(daemon.port, iqn("b"))
        session.ready()
        load = Load(session, lba=4096, blocks=512)
        wait_for(lambda: load.rounds > 3 or load.error, 5, "load")
        daemon.targets[1] = target("b", disks[1], more="digests = \"prefer\";")
        daemon.reload()
        wait_for(lambda: load.error, 10, "end of the load")
        wait_served(daemon, "b")
        assert daemon.target("b")["ready"]


def test_added_and_removed(report, daemon, disks):
    with report.test("a target is added"):
        daemon.targets.append(target("c", disks[2]))
        daemon.reload()
        wait_served(daemon, "c")
    with report.test("a target is removed: its session ends, its disk is free, its name unknown"):
        session = Session(daemon.port, iqn("c"))
        session.ready()
        daemon.targets.pop()
        daemon.reload()
        wait_for(lambda: login_status(daemon.port, iqn("c")) == 0x0203, 5, "answer 02/03")
        assert "c" not in [item["name"] for item in daemon.status()["targets"]]
        session.close()
        daemon.targets[0] = target("a", disks[0], disks[2])
        daemon.reload()
        daemon.wait_ready()
        with Session(daemon.port, iqn("a")) as session:
            session.ready(lun=1)
    with report.test("two targets swap their disks"):
        daemon.targets = [target("a", disks[1]), target("b", disks[0])]
        daemon.reload()
        daemon.wait_ready()
        assert daemon.lun("a")["device"] == str(disks[1])
        assert daemon.lun("b")["device"] == str(disks[0])
        daemon.targets = [target("a", disks[0]), target("b", disks[1])]
        daemon.reload()
        daemon.wait_ready()


def test_portals(report, daemon):
    with report.test("portals come and go, sessions stay"):
        old, new = daemon.port, free_port()
        session = Session(old, iqn("a"))
        session.ready()
        daemon.portals = [f"127.0.0.1:{new}"]
        daemon.reload()
        wait_for(lambda: login_status(new, iqn("b")) == 0, 5, "new portal")
        try:
            login_status(old, iqn("b"))
            raise AssertionError("the old portal still accepts")
        except ConnectionRefusedError:
            pass
        session.nop()
        session.logout()
        assert daemon.status()["portals"] == daemon.portals
        daemon.portals = [f"127.0.0.1:{old}"]
        daemon.reload()
        wait_served(daemon, "a")
    with report.test("a portal that cannot be opened costs only itself"):
        with socket.create_server(("127.0.0.1", 0)) as other:
            daemon.portals = [f"127.0.0.1:{other.getsockname()[1]}", f"127.0.0.1:{daemon.port}"]
            daemon.reload()
            daemon.wait_log("another program listens there")
            wait_served(daemon, "a")
        daemon.portals = daemon.portals[1:]
        daemon.reload()


def test_broken(report, daemon):
    with report.test("a broken configuration is refused with its place, the old one stays"):
        session = Session(daemon.port, iqn("a"))
        session.ready()
        load = Load(session)
        for text, told in (("targets = ( { ", "netboot.conf:"), ("nonsense = 1;\n" + daemon.text(),
                           "nonsense"), (daemon.text() + "log-level = \"loud\";", "loud")):
            daemon.reload(text)
            daemon.wait_log("reload refused: the running configuration stays")
            daemon.wait_log(told)
        daemon.config.unlink()
        daemon.signal(1)
        wait_for(lambda: daemon.says().count("reload refused") == 4, 5, "refusal")
        assert load.stop() > 0
        session.logout()
        daemon.reload()


def test_limits(report, daemon):
    with report.test("limits change"):
        daemon.limits = "connections-per-source = 2;"
        daemon.reload()
        held = [Session(daemon.port, iqn("a"), isid=bytes([0, 2, 61, 0, 0, i])) for i in range(2)]
        try:
            login_status(daemon.port, iqn("a"))
            raise AssertionError("a third connection was taken")
        except (Closed, ConnectionError):
            pass
        for session in held:
            session.logout()
        daemon.limits = ""
        daemon.reload()
        wait_served(daemon, "a")
    with report.test("the command window follows queue-depth"):
        daemon.limits = "queue-depth = 7;"
        daemon.reload()
        with Session(daemon.port, iqn("a")) as session:
            session.ready()
            session.nop()
            assert session.window == 7, session.window
        daemon.limits = ""
        daemon.reload()


def test_discovery(report, daemon):
    with report.test("discovery asks for CHAP when it is told to"):
        with Session(daemon.port) as session:
            assert f"TargetName={iqn('a')}" in session.send_targets()
        daemon.more = 'discovery-auth = { mode = "chap"; secret = "discovery-secret" };'
        daemon.reload()
        try:
            Session(daemon.port).close()
            raise AssertionError("discovery without CHAP")
        except Refused as refused:
            assert refused.status == 0x0201, refused
        daemon.more = ""
        daemon.reload()
        Session(daemon.port).logout()


def derived(key, purpose):
    """HMAC-SHA-256 in the alphabet of generated secrets."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "._"
    digest = hmac.digest(key.encode(), purpose.encode(), hashlib.sha256)
    return "".join(alphabet[byte % 64] for byte in digest[:16])


def test_derived(report, daemon, disks):
    with report.test("derived names and secrets follow what they are derived from"):
        kept = daemon.targets
        daemon.targets = kept + [target("c", disks[2], iqn="", auth='{ mode = "mutual" }')]
        with Session(daemon.port, iqn("a")) as session:
            session.ready()
            for authority, key in (("one", "1" * 32), ("two", "1" * 32), ("two", "2" * 32)):
                secrets = Secrets("c", derived(key, "initiator secrets-c"), "netboot-target",
                                  derived(key, "target secrets-c"))
                daemon.more = (f'iqn-authority = "iqn.2026-11.local.{authority}";\n'
                               f'secret-key = "{key}";')
                daemon.reload()

                def let_in():
                    names = [item["iqn"] for item in daemon.status()["targets"]
                             if item["iqn"].startswith(f"iqn.2026-11.local.{authority}:")]
                    try:
                        return names and login_status(daemon.port, names[-1], secrets=secrets) == 0
                    except (Closed, ConnectionError):  # in the one that is replaced
                        return False
                wait_for(let_in, 20, f"target c of {authority}, key {key}")
            session.nop()  # what gives its own goes on
            session.logout()
        daemon.targets, daemon.more = kept, ""
        daemon.reload()


def test_storm(report, daemon, disks):
    with report.test("a storm of reloads, under load, leaves no descriptor behind"):
        wait_for(lambda: not daemon.status()["connections"], 5, "quiet")
        before = len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))
        session = Session(daemon.port, iqn("a"))
        session.ready()
        load = Load(session)
        for i in range(40):
            daemon.targets[1] = target("b", disks[1], more=f'alias = "{i}";')
            # Whole at once: a file that is empty for a moment would be a configuration without targets.
            fresh = daemon.config.with_suffix(".fresh")
            fresh.touch(mode=0o600)
            fresh.write_text(daemon.text())
            fresh.replace(daemon.config)
            daemon.signal(1)
            time.sleep(0.01)
        daemon.wait_ready()
        wait_served(daemon, "b")
        assert load.stop() > 0
        session.logout()
        wait_for(lambda: len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())) <= before, 5,
                 "descriptors that are closed")
    with report.test("what needs a restart is told"):
        daemon.reload(daemon.text().replace(str(daemon.state), f"{daemon.state}2"))
        daemon.wait_log("state-directory has changed, which takes effect at the next start")
        daemon.reload()


def main():
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        disks = [make_file(folder / f"{name}.img", 16 * MIB) for name in "abc"]
        targets = [target("a", disks[0]), target("b", disks[1])]
        with Daemon(folder / "daemon", targets) as daemon:
            daemon.start()
            test_unchanged(report, daemon, disks)
            test_changed(report, daemon, disks)
            test_added_and_removed(report, daemon, disks)
            test_portals(report, daemon)
            test_broken(report, daemon)
            test_limits(report, daemon)
            test_discovery(report, daemon)
            test_derived(report, daemon, disks)
            test_storm(report, daemon, disks)
            with report.test("the daemon ends in order, without a leak"):
                daemon.stop()
    report.finish()


main()
