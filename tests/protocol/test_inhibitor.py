#!/usr/bin/env python3
"""Staying awake while others run from its disks: the daemon's call to logind over a system bus of the test's
own. Without a bus, with one that never answers and with one that refuses, disks are served all the same.

usage: test_inhibitor.py NETBOOT-TARGET
"""
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.initiator import Session  # noqa: E402
from lab.process import exit_on_signals, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402

LINGER_SECONDS = 10  # how long the lock outlives the last session
METHOD_CALL, METHOD_RETURN, ERROR = 1, 2, 3


class Bus(threading.Thread):
    """As much of D-Bus as one client needs: it greets, and answers Inhibit as it was told. What is
    `held` are our ends of the locks that were given."""

    def __init__(self, path, manner):
        super().__init__(daemon=True)
        self.manner, self.calls, self.held, self.connections = manner, [], [], 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.start()

    def run(self):
        while True:
            peer, _ = self.socket.accept()
            self.connections += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        if self.manner == "silent":
            self.held.append(peer)  # open, and never a word
            return
        try:
            rest = self.authenticate(peer)
            while True:
                rest = self.answer(peer, rest)
        except (ConnectionError, EOFError, BrokenPipeError):
            peer.close()

    @staticmethod
    def more(peer):
        data = peer.recv(65536)
        if not data:
            raise EOFError
        return data

    def authenticate(self, peer):
        data, told = b"", 0
        while b"BEGIN\r\n" not in data:
            data += self.more(peer)
            lines = data.count(b"\r\n")
            for line in data.split(b"\r\n")[told:lines]:
                if b"AUTH" in line:
                    peer.sendall(b"OK 00112233445566778899aabbccddeeff\r\n")
                elif line == b"DATA":
                    peer.sendall(b"OK 00112233445566778899aabbccddeeff\r\n")
                elif line == b"NEGOTIATE_UNIX_FD":
                    peer.sendall(b"AGREE_UNIX_FD\r\n")
            told = lines
        return data.split(b"BEGIN\r\n", 1)[1]

    def answer(self, peer, data):
        """Takes one message of the front (little endian, D-Bus specification)."""
        def size():
            body, _serial, fields = struct.unpack_from("<III", data, 4)
            return -(-(16 + fields) // 8) * 8 + body
        while len(data) < 16 or len(data) < size():
            data += self.more(peer)
        message, rest = data[:size()], data[size():]
        serial = struct.unpack_from("<I", message, 8)[0]
        if message[1] == METHOD_CALL and b"Hello\0" in message:
            peer.sendall(self.message(METHOD_RETURN, serial, b"s", struct.pack("<I", 4) + b":1.1\0"))
        elif message[1] == METHOD_CALL and b"Inhibit\0" in message:
            self.calls.append(message)
            self.inhibit(peer, serial)
        return rest

    def inhibit(self, peer, serial):
        if self.manner == "refuses":
            text = b"Permission denied by the test"
            body = struct.pack("<I", len(text)) + text + b"\0"
            peer.sendall(self.message(ERROR, serial, b"s", body,
                                      b"org.freedesktop.DBus.Error.AccessDenied"))
            return
        ours, theirs = os.pipe()
        self.held.append(ours)
        socket.send_fds(peer, [self.message(METHOD_RETURN, serial, b"h", struct.pack("<I", 0))],
                        [theirs])
        os.close(theirs)

    @staticmethod
    def message(kind, reply_to, signature, body, error=None):
        def field(code, kind, value):
            return bytes([code, 1]) + kind + b"\0" + value

        def string(text):
            return struct.pack("<I", len(text)) + text + b"\0"
        fields = [field(5, b"u", struct.pack("<I", reply_to)),
                  field(7, b"s", string(b"org.freedesktop.DBus")),
                  field(8, b"g", bytes([len(signature)]) + signature + b"\0")]
        if error:
            fields.append(field(4, b"s", string(error)))
        if signature == b"h":
            fields.append(field(9, b"u", struct.pack("<I", 1)))
        array = b""
        for item in fields:
            array += bytes(-len(array) % 8) + item
        header = struct.pack("<BBBBIII", ord("l"), kind, 0, 1, len(body), reply_to, len(array))
        return header + array + bytes(-(16 + len(array)) % 8) + body

    def released(self, lock):
        """The daemon has closed its end."""
        os.set_blocking(lock, False)
        try:
            return os.read(lock, 1) == b""
        except BlockingIOError:
            return False


def serve(folder, name, bus_path):
    disk = make_file(folder / f"{name}.img", 8 * MIB)
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus_path}"}
    return Daemon(folder / name, [target("a", disk)]).start(env=environment)


def work(daemon):
    """Half a second of commands, each answered quickly."""
    slowest = 0.0
    with Session(daemon.port, iqn("a")) as session:
        session.ready()
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            begin = time.monotonic()
            session.read_blocks(0, 8)
            slowest = max(slowest, time.monotonic() - begin)
    return slowest


def test_lock(report, folder):
    bus = Bus(folder / "bus", "gives")
    with serve(folder, "gives", folder / "bus") as daemon:
        with report.test("nothing is asked for while there is no session"):
            assert bus.connections == 0
        with report.test("the first session locks sleep and the lid switch, a second one nothing more"):
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                daemon.wait_log("stays awake")
                call, = bus.calls
                for word in (b"sleep:handle-lid-switch\0", b"netboot-target\0", b"block\0"):
                    assert word in call, call
                work(daemon)
                assert len(bus.calls) == 1 and not bus.released(bus.held[0])
        with report.test("a new session soon after the last one keeps the lock"):
            time.sleep(1)
            work(daemon)
            time.sleep(1)
            assert not bus.released(bus.held[0])
        with report.test("the lock ends some seconds after the last session"):
            wait_for(lambda: bus.released(bus.held[0]), LINGER_SECONDS + 10, "release")
            assert len(bus.calls) == 1
        with report.test("the next session locks again, and the end of the daemon unlocks"):
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                wait_for(lambda: len(bus.held) == 2, 10, "second lock")
                assert not bus.released(bus.held[1])
                daemon.kill()
                wait_for(lambda: bus.released(bus.held[1]), 10, "release")


def test_without(report, folder):
    told = "nothing keeps this machine from going to sleep under its clients"
    for manner, words in (("absent", "No such file"), ("refuses", "Permission denied by the test")):
        bus = folder / f"bus-{manner}"
        if manner != "absent":
            Bus(bus, manner)
        with report.test(f"a bus that is {manner}: said once, and disks are served"
                         if manner == "absent" else
                         "a bus that refuses: said once, and disks are served"):
            with serve(folder, manner, bus) as daemon:
                for _ in range(3):
                    assert work(daemon) < 1
                daemon.wait_log(words)
                assert daemon.says().count(told) == 1, daemon.says()
    with report.test("a bus that never answers: nobody waits for it, not even the end"):
        bus = Bus(folder / "bus-silent", "silent")
        with serve(folder, "silent", folder / "bus-silent") as daemon:
            assert work(daemon) < 1
            assert bus.connections == 1
            daemon.stop(seconds=15)


def main():
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        test_lock(report, folder)
        test_without(report, folder)
    report.finish()


main()
