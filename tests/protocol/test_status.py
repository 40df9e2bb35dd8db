#!/usr/bin/env python3
"""The status tells the truth: counters, parameters and states against what was really done. (Who
may ask, and how, is tested in test_http.py.)

usage: test_status.py NETBOOT-TARGET
"""
import re
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.initiator import CHECK_CONDITION, INITIATOR, Session  # noqa: E402
from lab.process import exit_on_signals, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402
from lab.targets import Secrets  # noqa: E402

SECRETS = Secrets("laptop", "laptop-secret-01", "server", "server-secret-01")
CHAP = (f'{{ mode = "mutual"; user = "{SECRETS.user}"; secret = "{SECRETS.secret}"; '
        f'target-user = "{SECRETS.target_user}"; target-secret = "{SECRETS.target_secret}" }}')
HOSTILE = 'iqn.2026-11.local.test:"\\}<b>'


def sessions_of(daemon, name):
    return [item for item in daemon.status()["sessions"] if item["target"] == iqn(name)]


def metrics(daemon):
    """{name: {labels: value}}; every line has to be as the text format says."""
    code, text = daemon.http("GET", "/metrics")
    assert code == 200 and text.endswith("\n")
    found, types = {}, {}
    label = r'[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in types, f"{name} has two types"
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = re.fullmatch(rf"([a-z_]+)(?:\{{({label}(?:,{label})*)\}})? ([0-9.e+]+)", line)
            assert match, line
            name, labels, value = match.groups()
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert name in types or base in types, f"{name} has no type"
            series = found.setdefault(name, {})
            assert labels not in series, f"twice: {line}"
            series[labels] = float(value)
    return found


def test_counters(report, daemon):
    with report.test("what a session did is counted"):
        session = Session(daemon.port, iqn("a"))
        session.ready()
        before = sessions_of(daemon, "a")[0]["counters"]
        for i in range(10):
            session.write(64 * i, bytes(32768))
        for i in range(20):
            session.read_blocks(8 * i, 8)
        session.read_blocks(0, 512)
        session.flush()
        assert session.command(session.read_cdb(0xfffffff, 1), data_in=512).status == CHECK_CONDITION
        after = sessions_of(daemon, "a")[0]["counters"]
        done = {key: after[key] - before[key] for key in before}
        assert done["commands"] == 33 and done["errors"] == 1, done
        assert done["writes"] == 10 and done["written_bytes"] == 10 * 32768, done
        assert done["reads"] == 21 and done["read_bytes"] == 20 * 4096 + 262144, done
        assert done["outstanding"] == 0 and done["zero_copy_bytes"] <= done["read_bytes"], done
    with report.test("warm large reads are sent without a copy, and counted so"):
        size = 262144
        for _ in range(4):
            session.read_blocks(0, size // 512)
        counters = sessions_of(daemon, "a")[0]["counters"]
        assert counters["zero_copy_bytes"] - after["zero_copy_bytes"] >= size, counters
    with report.test("the disk's counters"):
        operations = daemon.lun("a")["operations"]
        assert operations["write"]["count"] == 10, operations
        assert operations["write"]["bytes"] == 10 * 32768
        assert operations["flush"]["count"] == 1
        assert not any(item["errors"] for item in operations.values()), operations
        assert daemon.lun("a")["in_flight"] == 0
    with report.test("latency: one count per command, in buckets that fit what a client measured"):
        slowest = 0.0
        for _ in range(50):
            begin = time.monotonic()
            session.read_blocks(0, 512)
            slowest = max(slowest, time.monotonic() - begin)
        info = sessions_of(daemon, "a")[0]
        buckets = info["latency_log2_us"]
        assert len(buckets) == 24 and sum(buckets) == info["counters"]["commands"], info
        assert sum(buckets[1:]) > sum(buckets) // 2, buckets
        # the slowest one in use begins below what a client saw, or what a cold start may take
        highest = max(i for i, count in enumerate(buckets) if count)
        assert 2 ** (highest - 1) <= max(slowest, 2.0) * 1e6, (highest, slowest)
    with report.test("age and idle time"):
        time.sleep(1.1)
        info = sessions_of(daemon, "a")[0]
        assert info["idle_ms"] >= 1000 and info["age_ms"] >= info["idle_ms"], info
        session.command(bytes(6))
        assert sessions_of(daemon, "a")[0]["idle_ms"] < 1000
        session.logout()
        wait_for(lambda: not sessions_of(daemon, "a"), 5, "end of the session")


def test_parameters(report, daemon):
    with report.test("a session's parameters, addresses and names"):
        with Session(daemon.port, iqn("b"), secrets=SECRETS) as session:
            info = sessions_of(daemon, "b")[0]
            host, port = session.socket.getsockname()
            assert info["initiator"] == INITIATOR and info["auth"] == "mutual CHAP"
            assert info["peer"] == f"{host}:{port}"
            assert info["local"] == f"127.0.0.1:{daemon.port}"
            assert info["isid"] == session.isid.hex() and info["tsih"] > 0 and not info["discovery"]
            said = session.parameters
            negotiated = info["parameters"]
            assert negotiated["header_digest"] is False and negotiated["data_digest"] is False
            assert negotiated["initial_r2t"] == (said["InitialR2T"] == "Yes")
            assert negotiated["immediate_data"] == (said["ImmediateData"] == "Yes")
            assert negotiated["max_burst_bytes"] == int(said["MaxBurstLength"])
            assert negotiated["first_burst_bytes"] == int(said["FirstBurstLength"])
            assert negotiated["max_receive_bytes"] == int(said["MaxRecvDataSegmentLength"])
            assert negotiated["max_send_bytes"] == 1 << 18
    with report.test("a discovery session"):
        with Session(daemon.port):
            info = next(item for item in daemon.status()["sessions"] if item["discovery"])
            assert info["target"] == "" and info["initiator"] == INITIATOR
    with report.test("many sessions at once, each with its own TSIH"):
        held = [Session(daemon.port, iqn("a"), isid=struct.pack(">HI", 2, i)) for i in range(8)]
        status = daemon.status()
        assert len({item["tsih"] for item in status["sessions"]}) == 8
        assert status["connections"] == 8
        for session in held:
            session.logout()


def test_hostile(report, daemon):
    with report.test("a hostile initiator name breaks no format"):
        session = Session(daemon.port, login=False)
        session.name, session.target = HOSTILE, iqn("a")
        session.login()
        try:
            session.ready()
            assert HOSTILE in [item["initiator"] for item in daemon.status()["sessions"]]
            assert metrics(daemon)["netboot_target_session_commands_total"]
            page = daemon.http("GET", "/")[1]
            assert "&lt;b&gt;" in page and "<b>" not in page
        finally:
            session.logout()


def test_metrics(report, daemon):
    with report.test("metrics parse and say what the JSON says"):
        with Session(daemon.port, iqn("a")) as session:
            session.ready()
            session.write(0, bytes(4096))
            for _ in range(5):
                session.read_blocks(0, 8)
            found, status = metrics(daemon), daemon.status()
            info = sessions_of(daemon, "a")[0]
            prefix = "netboot_target_"
            assert found[prefix + "sessions"][None] == len(status["sessions"]) == 1
            assert found[prefix + "serving"][None] == 1
            lun = 'target="a",lun="0"'
            assert found[prefix + "lun_open"][lun] == found[prefix + "lun_healthy"][lun] == 1
            assert found[prefix + "lun_size_bytes"][lun] == 32 * MIB
            assert found[prefix + "lun_operations_total"][lun + ',operation="write"'] == \
                daemon.lun("a")["operations"]["write"]["count"]
            (labels, commands), = found[prefix + "session_commands_total"].items()
            assert f'tsih="{info["tsih"]}"' in labels
            assert commands == info["counters"]["commands"]
            buckets = [(float(re.search(r'le="([^"]+)"', key)[1].replace("+Inf", "inf")), value)
                       for key, value in found[prefix + "session_latency_seconds_bucket"].items()]
            buckets.sort()
            assert [value for _edge, value in buckets] == sorted(value for _edge, value in buckets)
            assert buckets[-1] == (float("inf"), commands), buckets[-1]
            assert found[prefix + "session_latency_seconds_count"][labels] == commands


def test_states(report, daemon, folder):
    with report.test("states of targets and LUNs"):
        assert daemon.lun("a")["state"] == "open" and daemon.lun("a")["problem"] == ""
        assert daemon.target("b")["auth"] == "mutual" and not daemon.target("b")["shared"]
        late = folder / "late.img"
        daemon.targets.append(target("late", f'device = "{late}"; wait = "1m"'))
        daemon.reload()
        lun = daemon.wait_lun("late", 0, lambda item: item["problem"])
        assert lun["state"] == "waiting" and str(late) in lun["problem"], lun
        assert not daemon.target("late")["ready"]
        assert metrics(daemon)["netboot_target_lun_open"]['target="late",lun="0"'] == 0
        late.touch()
        lun = daemon.wait_lun("late", 0, lambda item: "empty" in item["problem"] or
                              item["state"] != "waiting")
        assert lun["state"] != "open", lun
        late.write_bytes(bytes(8 * MIB))
        daemon.wait_lun("late", 0, lambda item: item["state"] == "open")
        assert daemon.target("late")["ready"]
    with report.test("owner"):
        with Session(daemon.port, iqn("late")):
            assert daemon.target("late")["owner"] == INITIATOR
        wait_for(lambda: daemon.target("late")["owner"] == "", 5, "target without an owner")
    with report.test("uptime, version, portals"):
        status = daemon.status()
        assert abs(time.time() - status["started_unix_seconds"] - status["uptime_seconds"]) < 3
        assert status["portals"] == daemon.portals and status["engine"] in ("io_uring", "threads")
        assert not status["draining"]
    with report.test("while it shuts down the status says so"):
        session = Session(daemon.port, iqn("a"))
        daemon.process.process.terminate()
        wait_for(lambda: daemon.status()["draining"], 3, "draining")
        assert not daemon.target("a")["ready"]
        session.logout()
        daemon.ends(10)


def main():
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        disks = [make_file(folder / f"{name}.img", 32 * MIB) for name in "ab"]
        targets = [target("a", disks[0]), target("b", disks[1], auth=CHAP)]
        with Daemon(folder / "daemon", targets).start() as daemon:
            test_counters(report, daemon)
            test_parameters(report, daemon)
            test_hostile(report, daemon)
            test_metrics(report, daemon)
            test_states(report, daemon, folder)
    report.finish()


main()
