"""A network of its own: an Ethernet segment in a namespace, and hosts and machines plugged into it."""
import contextlib
import itertools
import os
from pathlib import Path

from .bad_wire import Wire
from .process import Background, inside, run, wait_for

_numbers = itertools.count()


class Segment:
    """A cable: a bridge that forwards from the start. Everything goes when it is closed."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.prefix = f"nbt{os.getpid()}x{next(_numbers)}"
        self.taps = 0
        self.namespace = self.add_namespace("wire")
        # The cable itself is nobody: no address, no solicitation of its own.
        self.inside("sysctl", "-q", "net.ipv6.conf.all.disable_ipv6=1",
                    "net.ipv6.conf.default.disable_ipv6=1")
        self.inside("ip", "link", "add", "cable", "type", "bridge", "forward_delay", "0",
                    "mcast_snooping", "0")
        self.inside("ip", "link", "set", "cable", "up")

    def add_namespace(self, name):
        namespace = f"{self.prefix}-{name}"
        run("ip", "netns", "add", namespace)
        self.stack.callback(run, "ip", "netns", "delete", namespace, check=False)
        run(*inside(namespace), "ip", "link", "set", "lo", "up")
        return namespace

    def inside(self, *command):
        return run(*inside(self.namespace), *command)

    def add_host(self, name, *addresses):
        """A namespace with an eth0 on the cable; gives its name."""
        namespace = self.add_namespace(name)
        self.inside("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0",
                    "netns", namespace)
        self.plug_in(namespace, name, addresses)
        return namespace

    def add_far_host(self, name, *addresses, seed=1):
        """The same at the end of a cable of its own that can be made to fail; gives the namespace and
        that bad_wire.Wire, whose first end is the host."""
        namespace = self.add_namespace(name)
        wire = self.stack.enter_context(Wire([(namespace, "eth0"), (self.namespace, name)], seed))
        self.plug_in(namespace, name, addresses)
        return namespace, wire

    def plug_in(self, namespace, name, addresses):
        self.inside("ip", "link", "set", name, "master", "cable", "up")
        # Duplicate address detection would keep new addresses unusable for a second or two.
        run(*inside(namespace), "sysctl", "-q", "net.ipv6.conf.eth0.accept_dad=0")
        run(*inside(namespace), "ip", "link", "set", "eth0", "up")
        for address in addresses:
            run(*inside(namespace), "ip", "address", "add", address, "dev", "eth0")

    def add_tap(self):
        """A socket for one machine of QEMU's, which has to run in this namespace."""
        name = f"tap{self.taps}"
        self.taps += 1
        self.inside("ip", "tuntap", "add", "dev", name, "mode", "tap")
        self.inside("ip", "link", "set", name, "master", "cable", "up")
        return name

    def capture(self, path):
        """Records everything on the cable until it is stopped."""
        path = Path(path)
        capture = Background("tcpdump", "--immediate-mode", "-U", "-s", "512", "-i", "cable",
                             "-w", path, namespace=self.namespace, log=f"{path}.log")
        wait_for(lambda: "listening on" in capture.output(), 10, "capture")
        return capture

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.stack.close()
