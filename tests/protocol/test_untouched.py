#!/usr/bin/env python3
"""A disk that nobody has logged into is never written: not by start-up, by the search for kernels, by a
refused login, by a reload, by an end of any kind. The kernel's own count of what was written is the judge.

usage: test_untouched.py NETBOOT-TARGET
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, loop_device, make_file, scratch  # noqa: E402
from lab.initiator import Session, login_status  # noqa: E402
from lab.process import exit_on_signals, need_root, run  # noqa: E402
from lab.report import Report  # noqa: E402

AUTHENTICATION_FAILURE = 0x0201
OPEN, LOCKED = '{ mode = "none" }', '{ mode = "chap"; secret = "never-given-away" }'


def writes(device):
    """Sectors that were written and discarded (Documentation/block/stat.rst). A flush, which the kernel
    counts as a write, has none."""
    run("sync")
    counts = Path(f"/sys/block/{device.name}/stat").read_text().split()
    return int(counts[6]), int(counts[13])


def live_without_a_login(daemon):
    daemon.start()
    daemon.wait_lun("a", 0, lambda lun: lun["boot"]["scanned_unix_seconds"], 60)
    refused = login_status(daemon.port, iqn("a"))
    assert refused == AUTHENTICATION_FAILURE, hex(refused)
    daemon.http("POST", "/rescan")
    daemon.reload()
    daemon.stop()
    daemon.start()
    daemon.kill()


def test_mode(report, folder, device, image, mode):
    lun = f'device = "{device}"; write = "{mode}"'
    before, content = writes(device), image.read_bytes()
    with report.test(f"{mode}: a whole life without a login writes nothing"):
        with Daemon(folder / mode, [target("a", lun, auth=LOCKED)]) as daemon:
            live_without_a_login(daemon)
        assert writes(device) == before, (before, writes(device))
        assert image.read_bytes() == content
    with report.test(f"{mode}: a write of somebody who is logged in is counted"):
        with Daemon(folder / f"{mode}-open", [target("a", lun, auth=OPEN)]).start() as daemon:
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                session.write(0, bytes(512))
                session.flush()
        assert writes(device)[0] > before[0]


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        image = make_file(folder / "untouched.img", 32 * MIB)
        run("mkfs.ext4", "-q", image)
        with loop_device(image) as device:
            for mode in "direct", "buffered":
                test_mode(report, folder, device, image, mode)
    report.finish()


main()
