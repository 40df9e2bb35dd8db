#!/usr/bin/env python3
"""What `auto` never does, on interfaces made for it: where it does not become a server, when it goes back
to being none, and what happens to its address. test_dhcp.py has what it answers. Needs root.

usage: test_dhcp_auto.py NETBOOT-TARGET [TEST...]
"""
import contextlib
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.boot import Dnsmasq  # noqa: E402
from lab.boot_daemon import IQN, BootDaemon  # noqa: E402
from lab.dhcp_client import ACK, DISCOVER, REQUEST, Client, entered, pxe  # noqa: E402
from lab.initiator import Session  # noqa: E402
from lab.network import Segment  # noqa: E402
from lab.pcap import dhcp_messages  # noqa: E402
from lab.process import Background, exit_on_signals, inside, need_root, run, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402

PROGRAM = sys.argv[1]
FALLBACK, ROUTER = "192.168.99.1", "192.168.99.254"
DEFAULT_FALLBACK = "192.168.200.1"
AUTO = f'dhcp = "auto"; probe = "1s"; fallback-address = "{FALLBACK}/24"'
RELEASE_S = 120  # a role that was lost keeps its address for so long behind the last session


def named(interface="eth0", more=AUTO):
    return f'{{ name = "{interface}"; {more} }}'


def daemon_at(namespace, folder, interfaces, **words):
    return BootDaemon(PROGRAM, namespace, Path(folder) / f"of-{namespace}", interfaces, **words)


def ip(namespace, *words):
    return run(*inside(namespace), "ip", *words).stdout


def addresses(namespace):
    """Every IPv4 address there is, but loopback's."""
    lines = ip(namespace, "-4", "-oneline", "address", "show").splitlines()
    return [line.split()[3] for line in lines if line.split()[1] != "lo"]


@contextlib.contextmanager
def client(namespace, mac):
    one = Client(namespace, mac)
    try:
        yield one
    finally:
        one.close()


@contextlib.contextmanager
def router(wire, folder, *options, name="router"):
    """Somebody's DHCP server."""
    host = wire.add_host(name, f"{ROUTER}/24")
    server = Dnsmasq(host, Path(folder), f"dnsmasq-{host}",
                     "--dhcp-range=192.168.99.100,192.168.99.200,1h", *options)
    try:
        yield host
    finally:
        server.stop()


# ── interfaces that nobody named ─────────────────────────────────────────────────────────────────

def looks_like(*facts):
    """A prefix under which eth0 has these entries in sysfs: no namespace holds real hardware, and none
    can be made. What the kernel tells by netlink stays as it is."""
    entries = " ".join(f"/sys/class/net/eth0/{fact}" for fact in facts)
    return ("unshare", "--mount", "sh", "-c",
            f'mount -t tmpfs none /sys/class/net && mkdir -p {entries} && exec "$@"', "sh")


UNNAMED = [
    # name, further entries of sysfs; what the kernel is told; what the log says
    ("wired", ("device",), (), f"eth0: address {DEFAULT_FALLBACK}, DHCP role server"),
    ("wireless", ("device", "wireless"), (), "there is no wired network interface"),
    ("wireless-phy", ("device", "phy80211"), (), "there is no wired network interface"),
    ("tap", ("device", "tun_flags"), (), "there is no wired network interface"),
    ("port", ("device", "brport"),
     (("link", "add", "br0", "type", "bridge"), ("link", "set", "eth0", "master", "br0"),
      ("link", "set", "br0", "up")),
     "the interface is a bridge port and the configuration does not name it"),
    ("virtual", None,
     (("link", "add", "br1", "type", "bridge"), ("link", "set", "br1", "up"),
      ("tuntap", "add", "dev", "tap7", "mode", "tap"), ("link", "set", "tap7", "up")),
     "there is no wired network interface"),
]


def test_unnamed(report, wires, folder):
    """All of them at the same time, each on a cable of its own: the probe takes its five seconds."""
    with contextlib.ExitStack() as stack:
        running = []
        for name, facts, commands, says in UNNAMED:
            wire = stack.enter_context(Segment())
            host = wire.add_host("host")
            for command in commands:
                ip(host, *command)
            pcap = folder / f"{name}.pcap"
            capture = wire.capture(pcap)
            stack.callback(capture.stop)
            daemon = daemon_at(host, folder, None, prefix=looks_like(*facts) if facts else ())
            stack.enter_context(daemon.start())
            running.append((name, says, daemon, capture, pcap))
        wait_for(lambda: running[0][2].says(running[0][1]), 20, "server on the wired one")
        time.sleep(1)
        for name, says, daemon, capture, pcap in running:
            with report.test(f"an interface that is not named: {name}"):
                daemon.wait(says, 2)
                capture.stop()
                sent = list(dhcp_messages(pcap))
                if name == "wired":
                    assert addresses(daemon.namespace) == [f"{DEFAULT_FALLBACK}/24"]
                    assert {message.kind for message in sent} == {"DISCOVER"}
                    continue
                assert addresses(daemon.namespace) == [], addresses(daemon.namespace)
                assert not daemon.says("role server"), daemon.output()
                assert not sent, sent


NAMED = [
    # name, interface, how it is made
    ("a bridge", "br0", (("link", "add", "br0", "type", "bridge", "forward_delay", "0"),
                         ("link", "set", "eth0", "master", "br0"), ("link", "set", "br0", "up"))),
    ("one end of a pair", "eth0", ()),
]


def test_named(report, wire, folder):
    for name, interface, commands in NAMED:
        with report.test(f"an interface that is named is taken: {name}"), Segment() as own:
            host = own.add_host("host")
            for command in commands:
                ip(host, *command)
            with daemon_at(host, folder, named(interface)).start() as daemon:
                daemon.wait(f"{interface}: address {FALLBACK}, DHCP role server")
                assert addresses(host) == [f"{FALLBACK}/24"]
    for fact in "wireless", "brport", "tun_flags":
        with report.test(f"an interface that is named is taken: with {fact}"), Segment() as own:
            host = own.add_host("host")
            with daemon_at(host, folder, named(),
                           prefix=looks_like("device", fact)).start() as daemon:
                daemon.wait(f"eth0: address {FALLBACK}, DHCP role server")


# ── others who configure the interface ───────────────────────────────────────────────────────────

def test_managers(report, wire, folder):
    with report.test("an interface that NetworkManager holds is named, with the cure"):
        host = wire.add_host("nm")
        index = ip(host, "-oneline", "link", "show", "eth0").split(":")[0]
        prefix = ("unshare", "--mount", "sh", "-c",
                  "mount -t tmpfs none /run && mkdir -p /run/NetworkManager/devices && "
                  f"printf '[device]\\nmanaged=true\\n' >/run/NetworkManager/devices/{index} && "
                  'exec "$@"', "sh")
        with daemon_at(host, folder, named(), prefix=prefix).start() as daemon:
            daemon.wait("eth0: NetworkManager configures this interface and may take our address "
                        "away; to keep it off: nmcli device set")
    with report.test("an interface that systemd-networkd holds is named, with the cure"):
        host = wire.add_host("networkd")
        for name in "network", "netif":
            (folder / name).mkdir()
        (folder / "network/eth0.network").write_text("[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n")
        run("chown", "systemd-network", folder / "netif")
        shared = (f"mount -t tmpfs none /run && mkdir -p /run/systemd/netif && "
                  f"mount --bind {folder}/netif /run/systemd/netif && ")
        networkd = Background(
            "unshare", "--mount", "sh", "-c", shared + f"mount --bind {folder}/network "
            "/etc/systemd/network && mount -o remount,ro /sys && exec /lib/systemd/systemd-networkd",
            namespace=host, log=folder / "networkd.log")
        with networkd:
            wait_for(lambda: list((folder / "netif/links").glob("*")) or not networkd.running, 20,
                     lambda: f"word of networkd\n{networkd.output()}")
            prefix = ("unshare", "--mount", "sh", "-c", shared + 'exec "$@"', "sh")
            # it asks for an address of its own, over and over: that is no server
            with daemon_at(host, folder, named(), prefix=prefix).start() as daemon:
                daemon.wait("eth0: systemd-networkd configures this interface and may take our "
                            "address away; to keep it off: Unmanaged=yes", 20)


# ── servers of others ────────────────────────────────────────────────────────────────────────────

def test_other_servers(report, wire, folder):
    with report.test("a server that takes its time to answer is waited for"), Segment() as own, \
            router(own, folder):  # without --no-ping dnsmasq looks for three seconds first
        host = own.add_host("host")
        more = f'dhcp = "auto"; fallback-address = "{FALLBACK}/24"'  # the probe of five seconds
        with daemon_at(host, folder, named(more=more)).start() as daemon:
            daemon.wait("another DHCP server is there", 15)
            assert addresses(host) == [] and not daemon.says("role server")
    with report.test("of two that are servers by configuration, with addresses, one serves"), Segment() as own:
        hosts = [own.add_host("one", "192.168.99.3/24"), own.add_host("two", "192.168.99.4/24")]
        with contextlib.ExitStack() as stack:
            daemons = [stack.enter_context(daemon_at(host, folder, named(more='dhcp = "server"')).start(
                "DHCP role server: the configuration says so")) for host in hosts]
            wait_for(lambda: any(one.says("DHCP role proxy: another netboot-target serves") for one in daemons),
                     15, "one that yields")
            time.sleep(1)
            assert sum(one.says("another netboot-target serves") for one in daemons) == 1
            with client(own.add_host("three"), "52:54:00:00:0a:04") as one:
                one.broadcast(DISCOVER)
                given = [reply for reply in one.replies(1.5) if reply.address != "0.0.0.0"]
                assert len(given) == 1, given
    with report.test("of two that start at the same time one serves"), Segment() as own:
        hosts = [own.add_host("one"), own.add_host("two")]
        with contextlib.ExitStack() as stack:
            daemons = [stack.enter_context(daemon_at(host, folder, named()).start())
                       for host in hosts]
            wait_for(lambda: any(one.says("DHCP role server") for one in daemons), 15, "server")
            wait_for(lambda: any(one.says("another netboot-target serves") for one in daemons), 15,
                     "one that yields")
            time.sleep(1)
            assert sum(bool(addresses(host)) for host in hosts) == 1, [addresses(host)
                                                                       for host in hosts]


# ── several interfaces ───────────────────────────────────────────────────────────────────────────

@contextlib.contextmanager
def second_cable(namespace, number):
    """eth1 of that host, with somebody at its other end."""
    host = f"far{number}"
    run("ip", "netns", "add", host)
    try:
        ip(namespace, "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", host)
        ip(host, "link", "set", "eth0", "up")
        ip(namespace, "link", "set", "eth1", "up")
        yield host
    finally:
        run("ip", "netns", "delete", host)


def test_two_cables(report, wire, folder):
    both = named("eth0", 'dhcp = "auto"; probe = "1s"'), named("eth1", 'dhcp = "auto"; probe = "1s"')
    other = "192.168.201.1"
    with Segment() as own:
        host, near = own.add_host("host"), own.add_host("near")
        with second_cable(host, 1) as far:
            for what in "at the same time", "again in the same order":
                with report.test(f"two cables get two networks, {what}"), \
                        daemon_at(host, folder, ", ".join(both)).start() as daemon:
                    daemon.wait(f"eth0: address {DEFAULT_FALLBACK}, DHCP role server")
                    daemon.wait(f"eth1: address {other}, DHCP role server")
                    for namespace, server in ((near, DEFAULT_FALLBACK), (far, other)):
                        with client(namespace, "52:54:00:00:0b:01") as one:
                            ack = one.lease(server, pxe(0))
                            assert ack and ack.kind == ACK, f"nothing from {server}"
                            assert ack.address.rpartition(".")[0] == server.rpartition(".")[0], ack
                            ip(namespace, "address", "replace", f"{ack.address}/24", "dev", "eth0")
                            run(*inside(namespace), "curl", "-sf", "-m", "5", "-o", "/dev/null",
                                f"tftp://{server}/undionly.kpxe")
                            ip(namespace, "address", "flush", "dev", "eth0", "scope", "global")
            with report.test("a network that another interface is in is not taken"):
                ip(host, "address", "add", "192.168.200.77/24", "dev", "eth1")
                with daemon_at(host, folder, both[0]).start() as daemon:
                    daemon.wait(f"eth0: address {other}, DHCP role server")
            with report.test("where that address was wished for, its cure is named instead"):
                with daemon_at(host, folder, named(more='dhcp = "auto"; probe = "1s"; '
                                                   'pool = "192.168.200.10-192.168.200.20"')).start() as daemon:
                    daemon.wait("eth0: the fallback address 192.168.200.1 lies in the network of eth1, so "
                                "answers would leave there: set another fallback-address for eth0")
                    assert addresses(host) == ["192.168.200.77/24"], addresses(host)


def test_reload(report, wire, folder):
    server, host = wire.add_host("server"), wire.add_host("host")
    daemon = daemon_at(server, folder, named()).start(f"eth0: address {FALLBACK}, DHCP role server")
    daemon.wait_ready()

    def reload(old, new):
        daemon.config.write_text(daemon.config.read_text().replace(old, new))
        daemon.reload()

    with report.test("another fallback-address is taken at a reload"):
        reload(FALLBACK, "192.168.98.1")
        daemon.wait("eth0: address 192.168.98.1, DHCP role server")
        assert addresses(server) == ["192.168.98.1/24"], addresses(server)
    with report.test("as long as a session comes over the old one that stays"):
        reload("192.168.98.1", FALLBACK)
        daemon.wait(f"giving back the fallback address 192.168.98.1: fallback-address has changed")
        wait_for(lambda: addresses(server) == [f"{FALLBACK}/24"], 10, "the address of before")
        with session_from(host) as session:
            reload(FALLBACK, "192.168.97.1")
            daemon.wait("configuration reloaded")
            time.sleep(3)
            session.nop()
            assert addresses(server) == [f"{FALLBACK}/24"], addresses(server)
        wait_for(lambda: addresses(server) == ["192.168.97.1/24"], 20, "the new address")
    with report.test("an interface that is no longer served loses its address, behind its sessions"):
        ip(server, "link", "add", "eth7", "type", "veth", "peer", "name", "peer7")
        reload("192.168.97.1", FALLBACK)
        wait_for(lambda: addresses(server) == [f"{FALLBACK}/24"], 10, "the address of before")
        with session_from(host) as session:
            reload('name = "eth0"', 'name = "eth7"')
            time.sleep(3)
            session.nop()
            assert addresses(server) == [f"{FALLBACK}/24"], addresses(server)
        wait_for(lambda: addresses(server) == [], 20, "end of the address")
        assert daemon.says("the interface is no longer served")
    daemon.stop()


# ── its own address ──────────────────────────────────────────────────────────────────────────────

@contextlib.contextmanager
def session_from(host):
    """Somebody who uses the disk over the fallback address."""
    ip(host, "address", "add", "192.168.99.50/24", "dev", "eth0")
    try:
        with entered(host):
            session = Session(3260, IQN, FALLBACK)
        yield session
        session.close()
    finally:
        ip(host, "address", "flush", "dev", "eth0", "scope", "global")


class Spare:
    """A server that was overtaken by another one: its address has to outlive the session over it, and
    not much longer. It takes two minutes, beside which the other tests run."""

    def __init__(self, stack, folder):
        self.folder = folder
        folder.mkdir()
        self.wire = stack.enter_context(Segment())
        self.server, self.host = self.wire.add_host("server"), self.wire.add_host("host")
        self.daemon = stack.enter_context(daemon_at(self.server, folder, named()).start(
            f"eth0: address {FALLBACK}, DHCP role server"))
        self.stack = stack

    def restart(self, report):
        with report.test("over a restart with a session it keeps its address, and serves again"):
            self.daemon.wait_ready()
            with session_from(self.host) as session:
                session.nop()
                self.daemon.stop()
                assert addresses(self.server) == [f"{FALLBACK}/24"]
                self.daemon.log.unlink()
                self.daemon.start(f"eth0: address {FALLBACK}, DHCP role server")
                self.daemon.wait_ready()

    def overtake(self, report, name):
        with report.test(f"a server that shows up later makes it a proxy: {name}"):
            self.session = self.stack.enter_context(session_from(self.host))
            self.stack.enter_context(router(self.wire, self.folder, "--no-ping"))
            with client(self.host, "52:54:00:00:0a:01") as one:  # chooses the other one
                ack = one.lease(ROUTER, pxe(0))
                assert ack and ack.kind == ACK, ack
            self.daemon.wait("DHCP role proxy: another DHCP server is there, server=" + ROUTER)
            with client(self.host, "52:54:00:00:0a:02") as one:
                for _ in range(3):
                    one.broadcast(DISCOVER, pxe(0))
                    replies = one.replies(1.0)
                    given = {reply.server for reply in replies if reply.address != "0.0.0.0"}
                    assert given <= {ROUTER}, replies
                one.broadcast(REQUEST, [(50, socket.inet_aton("10.1.2.3"))])
                assert not [reply for reply in one.replies(1.0) if reply.server == FALLBACK]
            assert addresses(self.server) == [f"{FALLBACK}/24"]
        self.since = time.monotonic()

    def goes(self, report):
        with report.test("the address goes two minutes behind the last session over it"):
            self.daemon.wait(f"giving back the fallback address {FALLBACK}", RELEASE_S + 30)
            wait_for(lambda: not addresses(self.server), 5, "end of the address")
            assert time.monotonic() - self.since > RELEASE_S - 10, "it went at once"

    def stays(self, report):
        with report.test("the address stays as long as a session comes over it"):
            time.sleep(max(0, RELEASE_S + 10 - (time.monotonic() - self.since)))
            self.session.nop()
            assert addresses(self.server) == [f"{FALLBACK}/24"], "it went under its session"
            self.session.close()


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = Path(folder)
        chosen = [test for test in tests if not sys.argv[2:] or test.__name__ in sys.argv[2:]]
        if not sys.argv[2:]:
            used, spare = Spare(stack, folder / "used"), Spare(stack, folder / "spare")
            used.restart(report)
            used.overtake(report, "with a session that goes on")
            spare.overtake(report, "with a session that ends")
            spare.session.close()
        for test in chosen:
            (folder / test.__name__).mkdir()
            with Segment() as wire:
                test(report, wire, folder / test.__name__)
        if not sys.argv[2:]:
            spare.goes(report)
            used.stays(report)
    report.finish()


tests = [test_unnamed, test_named, test_managers, test_other_servers, test_two_cables, test_reload]
main()
