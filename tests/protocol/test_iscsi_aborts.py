#!/usr/bin/env python3
"""Task management on a slow disk with many writes under way: when a function is answered, nothing of what it
ended lands any more. Needs root (loop devices).

usage: test_iscsi_aborts.py NETBOOT-TARGET
"""
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import iqn  # noqa: E402
from lab.disk import scratch  # noqa: E402
from lab.initiator import Closed, Session  # noqa: E402
from lab.late_writes import (PIECES, expect_in_flight, expect_quiet, slow_target,  # noqa: E402
                             start_writes)
from lab.process import exit_on_signals, need_root, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402

# RFC 7143 §11.5.1 and §11.6.1
ABORT_TASK, COLD_RESET = 1, 7
COMPLETE, NO_TASK = 0, 1
# Of all of the tasks that are under way here.
FUNCTIONS = {"ABORT TASK SET": 2, "CLEAR TASK SET": 4, "LOGICAL UNIT RESET": 5,
             "TARGET WARM RESET": 6, "TARGET COLD RESET": COLD_RESET}


@contextlib.contextmanager
def busy_target(folder, name):
    """Gives the daemon, a session with writes under way, and their tags."""
    with slow_target(folder, name, "shared = true;") as daemon, \
            contextlib.closing(Session(daemon.port, iqn("a"))) as session:
        session.ready()
        tags = start_writes(session)
        wait_for(lambda: daemon.lun("a")["in_flight"], 5, "write in flight")
        expect_in_flight(daemon)
        yield daemon, session, tags


def test_all_tasks(report, folder):
    for name, function in FUNCTIONS.items():
        with report.test(f"{name}: its answer comes behind the last write"), \
                busy_target(folder, f"function-{function}") as (daemon, session, _tags):
            response, ended = session.finish_management(session.start_management(function))
            assert response == COMPLETE and len(ended) < PIECES, (response, ended)
            in_flight = daemon.lun("a")["in_flight"]
            assert in_flight == 0, f"{in_flight} requests are under way behind the answer"
            if function == COLD_RESET:
                with contextlib.suppress(Closed):
                    raise AssertionError(f"the session goes on: {session.receive()}")
                with Session(daemon.port, iqn("a")) as again:
                    again.ready()
                    expect_quiet(again, 1)
            else:
                session.ready()
                expect_quiet(session, 1)


def test_one_task(report, folder):
    with report.test("ABORT TASK, sent twice: both answers come behind the write"), \
            busy_target(folder, "twice") as (daemon, session, tags):
        requests = [session.start_management(ABORT_TASK, tags[-1]) for _ in range(2)]
        for number, request in enumerate(requests):
            response, ended = session.finish_management(request)
            assert response in (COMPLETE, NO_TASK)[:number + 1], response
            assert tags[-1] not in ended, "it was answered as well"
            in_flight = daemon.lun("a")["in_flight"]
            # Workers may overtake each other a little; but it was the last of them.
            assert in_flight < PIECES // 2, f"{in_flight} requests are under way behind answer {number}"


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        test_all_tasks(report, folder)
        test_one_task(report, folder)
    report.finish()


main()
