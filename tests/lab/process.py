"""Processes with time-outs: each is ended by whoever started it."""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .report import LabError

TOP = Path(__file__).resolve().parents[2]


def exit_on_signals():
    """A test that is ended from outside still undoes what it set up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))


def need_root():
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: needs root (loop devices, network namespaces)")


def run(*command, timeout=60, check=True, **options):
    """Runs a command to its end and returns it, with its output as text."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, timeout=timeout, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"")
        if isinstance(output, bytes):
            output = output.decode(errors="replace")
        raise LabError(f"{' '.join(command)}: no end after {timeout} s\n{output[-2000:]}") from None
    if check and done.returncode:
        raise LabError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done


def inside(namespace):
    """What stands in front of a command that runs in a network namespace."""
    return ["ip", "netns", "exec", namespace] if namespace else []


def wait_for(condition, seconds, what, pause_s=0.05):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"after {seconds} s still no {what() if callable(what) else what}")
        time.sleep(pause_s)


GIVEN_PORTS = set()


def free_port(family=socket.AF_INET):
    """One that nobody has, and that was not given before: its user may not have bound it yet."""
    while True:
        with socket.socket(family) as probe:
            probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in GIVEN_PORTS:
            GIVEN_PORTS.add(port)
            return port


class Background:
    """A program that runs beside the test, its output in a file."""

    def __init__(self, *command, log, cpu=None, namespace=None, **options):
        self.command = [str(word) for word in command]
        if cpu is not None:
            self.command = ["taskset", "-c", str(cpu), *self.command]
        self.command = [*inside(namespace), *self.command]
        self.killed = False  # by kill()
        self.log = Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, **options)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process.poll() is None

    def output(self):
        return self.log.read_text(errors="replace")

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.command[0]} has not ended after {seconds} s") from None

    def kill(self):
        if self.running:
            self.killed = True
            self.process.kill()
        self.process.wait(10)

    def stop(self, seconds=10):
        """Asks it to end; kills it when it does not."""
        if self.running:
            self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.stop()


class Usage:
    """What a process costs: read twice, subtract."""

    def __init__(self, pid):
        # user and system time of all threads, also of those that have ended; proc(5), fields 14, 15
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.cpu_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        self.wakeups = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                status = (task / "status").read_text()
            except FileNotFoundError:
                continue
            self.wakeups += int(status.split("voluntary_ctxt_switches:")[1].split()[0])
        self.time = time.monotonic()

    def __sub__(self, before):
        difference = object.__new__(Usage)
        difference.cpu_seconds = self.cpu_seconds - before.cpu_seconds
        difference.wakeups = self.wakeups - before.wakeups
        difference.time = self.time - before.time
        return difference


def resident_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def sanitized(pid):
    """Whether it runs under AddressSanitizer, which keeps freed memory for a while."""
    return "libasan" in Path(f"/proc/{pid}/maps").read_text()
