#!/usr/bin/env python3
"""Writes the seeds of connection.c: one file per story, in the actions that it reads.

usage: connection_seeds.py FOLDER
"""
import struct
import sys
from pathlib import Path

ACTIONS = ("open raw login pdu read_write pull dispatch rest release residency fault heal resize "
           "close time seldom pdu_again pull_slowly").split()
MAKE_NUMBER, WRONG_DIGEST, IN_BYTES, CUT, ANSWER_R2T, LAST_TASK, AHS = 1, 2, 4, 8, 16, 32, 192
SMALL_POOL, SHARED, INITIAL_R2T, DIGESTS, ZERO_COPY = 1, 2, 4, 8, 16
NOP, COMMAND, TASK_MANAGEMENT, LOGIN, TEXT, DATA_OUT, LOGOUT = range(7)
IMMEDIATE, FINAL, CONTINUE, READ, WRITE = 0x40, 0x80, 0x40, 0x40, 0x20
RESERVED = 0xffffffff
BLOCK_READ, BLOCK_WRITE, OPERATIONS = 0, 1, 6


def act(name, *data, peer=0):
    """The action byte: which one modulo their number, whose in its upper two bits."""
    number = next(byte for byte in range(64 * peer, 64 * peer + 64)
                  if byte % len(ACTIONS) == ACTIONS.index(name))
    return bytes([number]) + b"".join(item if isinstance(item, bytes) else bytes([item])
                                      for item in data)


def login(offer=0xb0, isid=0, peer=0):
    return act("login", offer, isid, 0, peer=peer)


def pdu(opcode, flags=FINAL, how=MAKE_NUMBER, lun=0, itt=1, word=0, rest=b"", length=0, fill=0,
        peer=0):
    return act("pdu", how, opcode, flags, 0x80 if lun else 0, itt, struct.pack(">I", word),
               rest.ljust(16, b"\0"), struct.pack(">H", length), fill, peer=peer)


def ready(peer=0):
    return pdu(COMMAND, FINAL | 1, peer=peer) + act("pull", peer=peer)


def read(lba, blocks, more=0, peer=0):
    return act("read_write", more << 1, lba, blocks, 0, peer=peer)


def write(lba, blocks, immediate=0, more=0, unsolicited=False, peer=0):
    return act("read_write", 1 | more << 1 | (8 if unsolicited else 0), lba, blocks, immediate,
               peer=peer)


def data_out(final=True, how=ANSWER_R2T, peer=0):
    return pdu(DATA_OUT, FINAL if final else 0, how, fill=7, peer=peer)


def manage(function, how=LAST_TASK, lun=0, peer=0):
    return pdu(TASK_MANAGEMENT | IMMEDIATE, FINAL | function, how, lun, 99, peer=peer)


def raw(data, peer=0):
    return act("raw", struct.pack(">H", len(data)), data, peer=peer)


def text_pdu(opcode, flags, text, tag=RESERVED, number=0):
    """A request with real text, as it stands on the wire without digests."""
    length = len(text)
    header = struct.pack(">BB3x", opcode, flags) + length.to_bytes(3, "big") + bytes(8) + \
        struct.pack(">IIII", 5, tag, number, 0) + bytes(16)
    return header + text + bytes(-length % 4)


PULL, DISPATCH = act("pull"), act("dispatch", 0)
COLD, WARM = act("residency", 0), act("residency", 1)
LINES = b"InitiatorName=iqn.2010-04.org.ipxe:a\0TargetName=iqn.2026-11.local:disk\0"


def operation_byte(flags, operation):
    """A byte with these flags that names the operation, modulo their number."""
    return next(flags | low for low in range(16) if (flags | low) % OPERATIONS == operation)


def fault(operation, error=0, first=0):
    return act("fault", operation_byte(error << 4, operation), first)


HUNG_WRITES = act("fault", operation_byte(0x80, BLOCK_WRITE), 0)
STORIES = {
    "reads": login() + ready() + b"".join(read(i, 1 << i) for i in range(8)) + PULL,
    "reads-digests": login(0xb6) + ready() + read(0, 200) + read(3, 5, 3) + PULL,
    "reads-small-segments": login(0x00) + ready() + read(0, 100) + PULL,
    "reads-zero-copy": login(0xf0) + ready() + read(0, 255) + PULL,
    "reads-cold": login(0xa0) + ready() + COLD + read(0, 255) + read(9, 8) + PULL + DISPATCH +
                  PULL + DISPATCH + PULL,
    "reads-error": login(0xa0) + ready() + COLD + fault(BLOCK_READ, 0, 20) + read(0, 255) +
                   PULL + DISPATCH + PULL + DISPATCH + PULL + DISPATCH + PULL,
    "reads-shrink": login(0xa0) + ready() + read(0, 255) + act("pull_slowly") + act("resize", 9) +
                    act("release") + PULL + DISPATCH + PULL,
    "writes-immediate": login(0xb0) + ready() + write(0, 8, 64) + DISPATCH + PULL,
    "writes-r2t": login(0xb0) + ready() + write(0, 200) + PULL + data_out(False) + data_out() +
                  DISPATCH + PULL,
    "writes-bursts": login(0x20) + ready() + write(0, 4) + (PULL + data_out()) * 4 +
                     DISPATCH + PULL,
    "writes-unsolicited": login(0xb0) + ready() + write(0, 100, 8, unsolicited=True) +
                          pdu(DATA_OUT, FINAL, 0, 0, 2, RESERVED,
                              struct.pack(">4xII", 0, 512), 512, 3) + PULL + data_out() +
                          DISPATCH + PULL,
    "writes-digests": login(0xb6) + ready() + write(0, 20, 16) + PULL + data_out() + DISPATCH +
                      PULL + pdu(NOP, how=WRONG_DIGEST | MAKE_NUMBER, word=RESERVED, length=5),
    "writes-wrong-order": login(0xb0) + ready() + write(0, 20) + PULL +
                          pdu(DATA_OUT, FINAL, 0, 0, 2, 0, struct.pack(">4xII", 5, 0), 512, 3) +
                          PULL,
    "writes-credit": login(0xb0) + ready() + b"".join(write(i * 8, 100, i) for i in range(8)) +
                     (PULL + data_out() + DISPATCH) * 8 + PULL,
    "small-pool": login() + login(0xb0, 8, peer=1) + ready() +
                  ready(1) + write(0, 255) + PULL + COLD + read(0, 64, peer=1) +
                  act("pull", peer=1) + write(0, 64, peer=1) + act("pull", peer=1),
    "pings": login() + ready() + pdu(NOP, word=RESERVED, length=9, fill=1) * 3 +
             pdu(NOP | IMMEDIATE, itt=255, word=RESERVED) + PULL,
    "ahs": login(0xb6) + ready() + pdu(COMMAND, FINAL | READ | 1, AHS | MAKE_NUMBER, word=512,
                                       rest=bytes.fromhex("28000000000000000100")) + PULL,
    "inquiry": login() + pdu(COMMAND, FINAL | READ | 1, word=96,
                             rest=bytes.fromhex("120000006000")) + PULL,
    "management": login() + ready() + HUNG_WRITES +
                  write(0, 8, 64) + write(8, 8, 64) + write(40, 100) + PULL +
                  b"".join(manage(n) for n in range(1, 13) if n not in (6, 7)) + PULL +
                  act("heal") + DISPATCH + PULL,
    "cold-reset": login() + login(0xb0, 8, peer=1) + manage(7) + PULL +
                  act("pull", peer=1),
    "abort-held": login(0xa0) + ready() + COLD + read(0, 255) + PULL + DISPATCH +
                  act("pull_slowly") + manage(1) + act("pull_slowly") + act("release") + PULL,
    "task-aborted": login() + login(0xb0, 8, peer=1) + ready() + ready(1) +
                    act("seldom", 5, peer=1) + act("pull", peer=1) + write(0, 20) + PULL +
                    write(0, 20) + HUNG_WRITES + write(0, 8, 64) + manage(4, peer=1) +
                    act("close") + act("heal") + DISPATCH + act("pull", peer=1),
    "reinstated": login() + ready() + HUNG_WRITES +
                  write(0, 8, 64) + login(0xb0, 0, peer=1) + login(0xb0, 0, peer=2) +
                  act("heal") + DISPATCH + act("pull", peer=2) + act("pull", peer=1),
    "too-many-sessions": b"".join(login(0xb0, n << 3, peer=n) + act("pull", peer=n)
                                  for n in range(4)),
    "login-slow": act("open", 0) + raw(text_pdu(LOGIN | IMMEDIATE, 0x44, LINES[:20])) + PULL +
                  raw(text_pdu(LOGIN | IMMEDIATE, 0x87, LINES[20:])) + PULL + act("time", 200),
    "login-deadline": act("open", 0) + act("time", 100) + act("time", 100),
    "login-pipelined": login(0xb6) + pdu(NOP | IMMEDIATE, word=RESERVED, length=5,
                                         how=MAKE_NUMBER | CUT) + PULL + act("rest") + PULL,
    "port-scan": act("open", 0) + raw(b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n" * 2),
    "discovery": login(1) + PULL + raw(text_pdu(TEXT | IMMEDIATE, FINAL, b"SendTargets=All\0")) +
                 PULL + raw(text_pdu(TEXT | IMMEDIATE, CONTINUE, b"SendTar")) + PULL +
                 raw(text_pdu(TEXT | IMMEDIATE, FINAL, b"gets=All\0", 1)) + PULL,
    "text": login() + PULL + raw(text_pdu(TEXT | IMMEDIATE, FINAL,
                                          b"MaxRecvDataSegmentLength=512\0")) + PULL +
            raw(text_pdu(TEXT | IMMEDIATE, FINAL, b"Nonsense=1\0")) + PULL,
    "logout": login() + ready() + write(0, 8, 64) + read(0, 8) + pdu(LOGOUT | IMMEDIATE, FINAL) +
              PULL + DISPATCH,
    "logout-refused": login() + pdu(LOGOUT | IMMEDIATE, FINAL | 1, word=0x50000) +
                      pdu(LOGOUT | IMMEDIATE, FINAL | 2) + pdu(LOGOUT | IMMEDIATE, FINAL | 9) +
                      PULL,
    "window": login() + ready() + b"".join(read(n, 1) for n in range(20)) + PULL,
    "drain": login() + login(0xb0, 6 | 8, peer=1) + act("seldom", 0) + PULL +
             act("pull", peer=1) + act("seldom", 1),
    "removed": login() + ready() + write(0, 8, 64) + act("seldom", 2) + DISPATCH,
    "cut": login() + pdu(COMMAND, FINAL | WRITE | 1, MAKE_NUMBER | CUT, word=4096, length=4096,
                         rest=bytes.fromhex("2a000000000000000800")) + manage(5) + act("rest") +
           DISPATCH + PULL,
    "byte-by-byte": login(0xb6) + ready() + pdu(NOP, how=IN_BYTES | MAKE_NUMBER, word=RESERVED,
                                                length=50) + PULL,
}

OPTIONS = {"reads-zero-copy": ZERO_COPY, "small-pool": SMALL_POOL | SHARED,
           "writes-bursts": INITIAL_R2T, "writes-digests": DIGESTS}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, story in STORIES.items():
        (folder / name).write_bytes(bytes([OPTIONS.get(name, SHARED)]) + story)


main()
