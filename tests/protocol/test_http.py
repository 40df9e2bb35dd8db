#!/usr/bin/env python3
"""The status listener over real sockets: answers, refusals, slow and broken clients, limits.

usage: test_http.py NETBOOT-TARGET
"""
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.process import Background, free_port, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

PROGRAM = sys.argv[1]
HEADER_SECONDS = 2
PER_SOURCE = 16
HOST = b"Host: 127.0.0.1\r\n"
ACTION = b"X-Netboot-Target: 1\r\n"
CLOSE = b"Connection: close\r\n"


class Daemon:
    """A daemon that serves one image in `folder`."""

    def __init__(self, folder, status_port):
        self.folder, self.status = Path(folder), status_port
        self.portal = free_port()
        self.folder.mkdir(exist_ok=True)
        image, config = self.folder / "disk.img", self.folder / "netboot.conf"
        with open(image, "wb") as disk:
            disk.truncate(16 << 20)
        config.write_text(f"""
            targets = ( {{ name = "laptop"; luns = ( {{ device = "{image}" }} );
                           auth = {{ mode = "none" }} }} );
            portals = [ "127.0.0.1:{self.portal}" ];
            interfaces = ( {{ name = "lo"; dhcp = "off" }} );
            boot = {{ http-listen = []; tftp-listen = [] }};
            status = {{ listen = "127.0.0.1:{status_port}"; hosts = [ "netboot.example" ] }};
            limits = {{ http-header = "{HEADER_SECONDS}s";
                        http-connections-per-source = {PER_SOURCE} }};
            state-directory = "{self.folder}/state";
            """)
        self.log = self.folder / "log"
        self.process = Background(PROGRAM, "-c", config, log=self.log)

    def says(self, text):
        return text in self.log.read_text()

    def stop(self):
        self.process.process.terminate()
        code = self.process.process.wait(timeout=20)
        if code:
            raise LabError(f"the daemon ended with {code}\n{self.log.read_text()[-4000:]}")


def talk(port, request, seconds=6):
    """Sends bytes and returns all that comes until the other side closes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(request)
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    return answer


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def get(port, path="/status"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer, answer.read()


REQUESTS = [
    # name, bytes, status
    ("a name that is configured", b"GET /status HTTP/1.1\r\nHost: netboot.example\r\n" + CLOSE, 200),
    ("percent-encoded once", b"GET /%73tatus HTTP/1.1\r\n" + HOST + CLOSE, 200),
    ("percent-encoded twice", b"GET /%2573tatus HTTP/1.1\r\n" + HOST + CLOSE, 404),
    ("a name made to point here", b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE, 421),
    ("no Host", b"GET /status HTTP/1.0\r\n", 400),
    ("two Hosts", b"GET /status HTTP/1.1\r\n" + HOST + HOST + CLOSE, 400),
    ("an unknown address", b"GET /nothing HTTP/1.1\r\n" + HOST + CLOSE, 404),
    ("climbing", b"GET /../status HTTP/1.1\r\n" + HOST + CLOSE, 400),
    ("an encoded NUL", b"GET /status%00 HTTP/1.1\r\n" + HOST + CLOSE, 400),
    ("a long address", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n" + HOST + CLOSE, 414),
    ("a browser's question", b"OPTIONS /serving HTTP/1.1\r\n" + HOST + CLOSE, 405),
    ("an action by GET", b"GET /luns/laptop/0/rearm HTTP/1.1\r\n" + HOST + CLOSE, 405),
    ("an action without the field", b"POST /luns/laptop/0/rearm HTTP/1.1\r\n" + HOST + CLOSE, 403),
    ("rearm", b"POST /luns/laptop/0/rearm HTTP/1.1\r\n" + HOST + ACTION + CLOSE, 200),
    ("rearm of no LUN", b"POST /luns/laptop/9/rearm HTTP/1.1\r\n" + HOST + ACTION + CLOSE, 404),
    ("a body for GET", b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello", 413),
    ("two lengths", b"POST /serving HTTP/1.1\r\n" + HOST + ACTION +
     b"Content-Length: 2\r\nContent-Length: 3\r\n\r\non", 400),
    ("a chunked body", b"POST /serving HTTP/1.1\r\n" + HOST + ACTION +
     b"Transfer-Encoding: chunked\r\n\r\n2\r\non\r\n0\r\n\r\n", 411),
    ("length and chunks", b"POST /serving HTTP/1.1\r\n" + HOST + ACTION +
     b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\non\r\n0\r\n\r\n", 411),
    ("a huge length", b"POST /serving HTTP/1.1\r\n" + HOST + ACTION +
     b"Content-Length: 99999999999999999999\r\n\r\non", 413),
    ("a body too large", b"POST /serving HTTP/1.1\r\n" + HOST + ACTION +
     b"Content-Length: 70000\r\n\r\n", 413),
    ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 0),
]


def test_documents(report, port):
    with report.test("JSON says what is served"):
        answer, body = get(port)
        status = json.loads(body)
        lun = status["targets"][0]["luns"][0]
        assert answer.getheader("Content-Type") == "application/json"
        assert (lun["state"], lun["size_bytes"], lun["read_only"]) == ("open", 16 << 20, False), lun
        assert status["serving"] and status["sessions"] == []
    with report.test("metrics"):
        answer, body = get(port, "/metrics")
        assert answer.getheader("Content-Type").startswith("text/plain; version=0.0.4")
        assert b'\nnetboot_target_lun_open{target="laptop",lun="0"} 1\n' in body
    with report.test("the page may load nothing and run nothing"):
        answer, body = get(port, "/")
        assert body.startswith(b"<!doctype html>")
        assert answer.getheader("Content-Security-Policy").startswith("default-src 'none'")
    with report.test("HEAD and keep-alive"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        for method, path in (("HEAD", "/"), ("GET", "/nothing"), ("GET", "/status")):
            connection.request(method, path)
            first = connection.sock
            body = connection.getresponse().read()
            assert connection.sock is first, f"closed after {method} {path}"
            assert bool(body) == (method != "HEAD")
        connection.close()


def test_serving(report, daemon):
    with report.test("POST /serving off and on"):
        for word, serving in ((b"off", False), (b"on", True)):
            answer = talk(daemon.status, b"POST /serving HTTP/1.1\r\n" + HOST + ACTION + CLOSE +
                          b"Content-Length: %d\r\n\r\n" % len(word) + word)
            assert status_of(answer) == 200, answer
            assert json.loads(get(daemon.status)[1])["serving"] == serving
            inquiry = subprocess.run(["iscsi-ls", f"iscsi://127.0.0.1:{daemon.portal}/"],
                                     capture_output=True, text=True, timeout=20)
            assert (inquiry.returncode == 0) == serving, inquiry


def closed_after(port, beginning, drip=b""):
    """Seconds until the daemon closes a connection that never finishes what it began."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(beginning)
        connection.settimeout(0.1)
        while time.monotonic() - begin < 10 * HEADER_SECONDS:
            try:
                if connection.recv(4096) == b"":
                    break
            except TimeoutError:
                pass
            except ConnectionError:
                break
            try:
                connection.sendall(drip)
            except ConnectionError:
                break
    return time.monotonic() - begin


def test_slow(report, port):
    half = b"GET /status HTTP/1.1\r\nX: "
    body = b"POST /serving HTTP/1.1\r\n" + HOST + ACTION + b"Content-Length: 3\r\n\r\no"
    for name, beginning, drip in (("silent", b"", b""), ("half a header", half, b""),
                                  ("a dripping header", half, b"a"), ("half a body", body, b"")):
        with report.test(f"closed in time: {name}"):
            seconds = closed_after(port, beginning, drip)
            assert HEADER_SECONDS - 0.5 < seconds < HEADER_SECONDS + 2, f"{seconds:.1f} s"


def test_limit(report, daemon):
    with report.test("connections of one source"):
        held = [socket.create_connection(("127.0.0.1", daemon.status)) for _ in range(PER_SOURCE)]
        with socket.create_connection(("127.0.0.1", daemon.status), timeout=5) as beyond:
            try:
                assert beyond.recv(1) == b""
            except ConnectionResetError:
                pass
        wait_for(lambda: daemon.says("http-connections-per-source"), 5, "line in the log")
        for connection in held:
            connection.close()
        wait_for(lambda: status_of(talk(daemon.status, b"GET / HTTP/1.1\r\n" + HOST + CLOSE +
                                        b"\r\n")) == 200, 5, "answer after the limit")


def test_taken_port(report, folder, port):
    with report.test("a taken port costs the status page, never the disks"):
        second = Daemon(folder / "second", port)
        try:
            wait_for(lambda: second.says("listening for iSCSI"), 15, "portal")
            assert second.says("Address already in use")
            assert second.says("disks are served all the same")
            socket.create_connection(("127.0.0.1", second.portal), timeout=5).close()
        finally:
            second.stop()


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder) / "first", free_port())
        try:
            wait_for(lambda: daemon.says("listening for iSCSI"), 15, "portal")
            test_documents(report, daemon.status)
            for name, request, status in REQUESTS:
                answer = talk(daemon.status, request + (b"" if b"\r\n\r\n" in request else b"\r\n"))
                report.check(name, status_of(answer) == status, answer[:200])
            test_serving(report, daemon)
            test_slow(report, daemon.status)
            test_limit(report, daemon)
            test_taken_port(report, Path(folder), daemon.status)
        finally:
            with report.test("the daemon ends in order, without a leak"):
                daemon.stop()
    report.finish()


main()
