"""Machines that run from a target: processes of their own that write, and when they lose their connection
come back until they are let in, as an operating system's initiator does. They can be frozen, and live
behind a cable that can be pulled."""
import contextlib
import ctypes
import itertools
import multiprocessing
import os
import signal
import time

from .initiator import OPEN_ISCSI_ISID, Refused, Session
from .process import inside, run, wait_for
from .report import LabError

CLONE_NEWNET = 0x40000000
_numbers = itertools.count()
_fork = multiprocessing.get_context("fork")


def _check(result, what):
    if result:
        raise OSError(ctypes.get_errno(), what)


def own_network():
    """The rest of this process's life in a network of its own, where only loopback is up."""
    _check(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET), "unshare")
    run("ip", "link", "set", "lo", "up")


def enter_network(namespace):
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET), "setns")
    finally:
        os.close(descriptor)


class Cable:
    """A namespace at the other end of a cable: it reaches us at `ours`."""
    ours, theirs = "192.168.99.1", "192.168.99.2"

    def __enter__(self):
        self.namespace = f"nbt{os.getpid()}c{next(_numbers)}"
        self.link = f"cable{next(_numbers)}"
        self.stack = contextlib.ExitStack()
        run("ip", "netns", "add", self.namespace)
        self.stack.callback(run, "ip", "netns", "delete", self.namespace)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0",
            "netns", self.namespace)
        run("ip", "address", "add", f"{self.ours}/24", "dev", self.link)
        run(*inside(self.namespace), "ip", "address", "add", f"{self.theirs}/24", "dev", "eth0")
        run(*inside(self.namespace), "ip", "link", "set", "eth0", "up")
        self.plug()
        return self

    def pull(self):
        run("ip", "link", "set", self.link, "down")

    def plug(self):
        run("ip", "link", "set", self.link, "up")

    def __exit__(self, *_error):
        self.stack.close()


class Machine:
    """Writes one block over and over: its name and a number that grows. `acknowledged` is the last
    number that was, `logins` counts, `refused` is the status of the last login that was."""

    def __init__(self, port, target, name, address="127.0.0.1", namespace=None, lba=64,
                 isid=OPEN_ISCSI_ISID, pause=0.002):
        self.where = dict(port=port, target=target, name=name, address=address, isid=isid, timeout=3)
        self.namespace, self.lba, self.pause = namespace, lba, pause
        self.acknowledged_value = _fork.Value("Q", 0)
        self.logins_value, self.refused_value = _fork.Value("I", 0), _fork.Value("I", 0)
        self.process = _fork.Process(target=self.run, daemon=True)

    @property
    def acknowledged(self):
        return self.acknowledged_value.value

    @property
    def logins(self):
        return self.logins_value.value

    @property
    def refused(self):
        return self.refused_value.value

    def block(self, number):
        return f"{self.where['name']} {number}".encode().ljust(512, b"\0")

    def run(self):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.namespace:
            enter_network(self.namespace)
        while True:
            with contextlib.suppress(LabError, OSError):
                try:
                    session = Session(**self.where)
                except Refused as refused:
                    self.refused_value.value = refused.status
                    raise
                self.work(session)
            time.sleep(0.1)

    def work(self, session):
        with contextlib.closing(session):
            session.ready()
            self.logins_value.value += 1
            while True:
                number = self.acknowledged + 1
                session.write(self.lba, self.block(number))
                self.acknowledged_value.value = number
                time.sleep(self.pause)

    def wait_working(self, seconds=20):
        """Waits until something is acknowledged that was not begun before."""
        before = self.acknowledged
        wait_for(lambda: self.acknowledged > before + 1, seconds,
                 lambda: f"write of {self.where['name']}; last refused with {self.refused:04x}")

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.join(10)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_error):
        self.kill()
