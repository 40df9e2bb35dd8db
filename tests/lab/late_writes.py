"""Writes that a disk is still at while they are aborted or their owner is gone: none may land afterwards."""
import contextlib
import time

from .daemon import Daemon, target
from .disk import MIB
from .faulty import Faulty

REGION_LBA, PIECES, PIECE_BLOCKS = 1024, 12, 8
STRIDE = 4 * PIECE_BLOCKS  # adjacent writes would be merged into one


def piece(name, number):
    return f"{name} {number}".encode().ljust(512 * PIECE_BLOCKS, b".")


def place(number):
    """The first block of a piece."""
    return REGION_LBA + number * STRIDE


def start_writes(session):
    """Many writes at once on a disk that takes a second for a few of them; gives their tags."""
    return [session.start(session.write_cdb(place(number), PIECE_BLOCKS), piece("old", number))
            for number in range(PIECES)]


def region(session):
    return session.read_blocks(REGION_LBA, PIECES * STRIDE)


def expect_quiet(session, seconds):
    """From its first command on nobody but this session changes the region."""
    seen = region(session)
    data = piece("new", 1)
    for number in range(0, PIECES, 2):
        session.write(place(number), data)
        at = number * STRIDE * 512
        seen = seen[:at] + data + seen[at + len(data):]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert region(session) == seen, "an old write has landed late"
        time.sleep(0.1)


@contextlib.contextmanager
def slow_target(folder, name, more="", writes_per_second=6):
    with Faulty(folder / f"slow-{name}", 16 * MIB, writes_per_second=writes_per_second) as disk:
        lun = f'device = "{disk.device}"; write = "direct"'
        with Daemon(folder / name, [target("a", lun, more=more)]).start() as daemon:
            yield daemon


def expect_in_flight(daemon):
    assert daemon.lun("a")["in_flight"] > 0, "nothing is left that could land late"
