"""The log of QEMU's blklogwrites (the format of the kernel's dm-log-writes): what a disk was told, in order."""
import struct
from dataclasses import dataclass

from .report import LabError

MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
UNIT = 512  # of sector numbers


@dataclass
class Entry:
    offset: int
    data: bytes
    flags: int

    @property
    def is_flush(self):
        return bool(self.flags & FLUSH)


def read_log(path):
    """Every entry, in order."""
    with open(path, "rb") as log:
        magic, _version, count, sector_bytes = struct.unpack("<QQQI", log.read(28))
        if magic != MAGIC:
            raise LabError(f"{path} is no log of writes")
        log.seek(sector_bytes)
        entries = []
        for _ in range(count):
            head = log.read(sector_bytes)
            sector, sectors, flags, _data = struct.unpack_from("<QQQQ", head)
            data = b"" if flags & DISCARD else log.read(sectors * UNIT)
            entries.append(Entry(sector * UNIT, bytes(sectors * UNIT) if flags & DISCARD else data,
                                 flags))
        return entries
