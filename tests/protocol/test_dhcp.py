#!/usr/bin/env python3
"""DHCP on a cable of its own: the answers of each role, how auto finds its role, and that nobody else
is disturbed. Needs root (network namespaces).

usage: test_dhcp.py NETBOOT-TARGET [TEST...]
"""
import contextlib
import re
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.boot import Dnsmasq  # noqa: E402
from lab.boot_daemon import BootDaemon  # noqa: E402
from lab.dhcp_client import (ACK, DISCOVER, INFORM, NAK, OFFER, REQUEST, Client,  # noqa: E402
                             ask_port, entered, http_boot, ipxe, pxe)
from lab.network import Segment  # noqa: E402
from lab.pcap import dhcp_messages  # noqa: E402
from lab.process import exit_on_signals, inside, need_root, run, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

PROGRAM = sys.argv[1]
SERVER, ROUTER, FALLBACK = "192.168.77.1", "192.168.77.254", "192.168.99.1"
NAMED = "52:54:00:00:00:99"
LOADERS = "/usr/lib/ipxe"


class Daemon(BootDaemon):
    """A daemon on one interface, with one client that has an address of its own."""

    def __init__(self, namespace, folder, dhcp="auto", interface="eth0", more="", prefix=(), top="",
                 more_clients=None):
        super().__init__(PROGRAM, namespace, folder,
                         f'{{ name = "{interface}"; dhcp = "{dhcp}"; probe = "1s"; {more} }}',
                         top=f'clients = ( {{ mac = "{NAMED}"; target = "laptop"; open = true; '
                             f'address = "192.168.77.50" }}{", " + more_clients if more_clients else ""} );{top}',
                         prefix=prefix)
        self.start("listening for iSCSI on")


@contextlib.contextmanager
def dnsmasq(namespace, folder, *options):
    """A DHCP server of somebody else's, one that offers at once."""
    server = Dnsmasq(namespace, Path(folder), f"dnsmasq-{namespace}", "--no-ping", *options)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def client(wire_host, mac):
    one = Client(wire_host, mac)
    try:
        yield one
    finally:
        one.close()


def ip(namespace, *words):
    return run(*inside(namespace), "ip", *words).stdout


# ── proxy ────────────────────────────────────────────────────────────────────────────────────────

PROXY_ANSWERS = [
    # name, options, file or beginning of the URL, option 60, option 43
    ("BIOS", pxe(0), "undionly.kpxe", b"PXEClient", b"\x06\x01\x08\xff"),
    ("BIOS without option 97", pxe(0, uuid=False), "undionly.kpxe", b"PXEClient",
     b"\x06\x01\x08\xff"),
    ("UEFI", pxe(7), "snponly.efi", b"PXEClient", None),
    ("UEFI that calls itself EBC", pxe(9), "snponly.efi", b"PXEClient", None),
    ("UEFI HTTP boot", http_boot(16), f"http://{SERVER}:80/snponly.efi", b"HTTPClient", None),
    ("iPXE", ipxe(0), f"http://{SERVER}/boot.ipxe?mac=", b"PXEClient", None),
    ("iPXE on UEFI", ipxe(7), f"http://{SERVER}/boot.ipxe?mac=", b"PXEClient", None),
    ("iPXE without iSCSI", ipxe(0, bytes.fromhex("130101270101")), "undionly.kpxe", b"PXEClient",
     None),
]


def test_proxy_answers(report, host):
    for number, (name, options, boot, vendor, suboptions) in enumerate(PROXY_ANSWERS):
        with report.test(f"proxy: {name}"), client(host, f"52:54:00:00:01:{number:02x}") as one:
            offer = one.ask(DISCOVER, options, SERVER)
            assert offer, "no answer"
            assert offer.kind == OFFER and offer.address == "0.0.0.0", offer
            assert offer.destination == "255.255.255.255" and offer.flags & 0x8000, offer
            assert offer.next_server == SERVER and offer.boot.startswith(boot), offer
            assert offer.options.get(60) == vendor, offer
            assert offer.options.get(43) == suboptions, offer
            uuid = dict(options).get(97)
            assert offer.options.get(97) == uuid, offer


def test_proxy_silence(report, host):
    silent = [("a client that does not boot", []),
              ("an architecture without a boot file", pxe(11)),
              ("an unknown architecture", pxe(0x1234))]
    for name, options in silent:
        with report.test(f"proxy is silent: {name}"), client(host, "52:54:00:00:02:01") as one:
            one.broadcast(DISCOVER, options)
            replies = one.replies(1.5)
            assert not [reply for reply in replies if reply.server == SERVER], replies
            assert [reply for reply in replies if reply.server == ROUTER], "the router was silent"
    with report.test("proxy is silent: REQUEST and INFORM on port 67"), \
            client(host, "52:54:00:00:02:02") as one:
        for kind in REQUEST, INFORM:
            one.broadcast(kind, pxe(7))
            assert not [reply for reply in one.replies(0.7) if reply.server == SERVER]


def test_boot_server(report, host):
    ip(host, "address", "add", "192.168.77.20/24", "dev", "eth0")
    for port, options, boot in ((4011, pxe(7), "snponly.efi"), (68, pxe(0), "undionly.kpxe"),
                                (68, ipxe(0), f"http://{SERVER}/boot.ipxe")):
        with report.test(f"port 4011 answers {boot} to port {port}"), \
                client(host, "52:54:00:00:03:01") as one:
            packet = one.packet(REQUEST, options, flags=0, client_address="192.168.77.20")
            answer, source_port = ask_port(host, "192.168.77.20", port, SERVER, packet)
            assert answer, "no answer"
            assert source_port == 4011 and answer.kind == ACK and answer.boot.startswith(boot), \
                answer
            assert answer.next_server == SERVER and answer.address == "0.0.0.0", answer
    with report.test("port 4011 leaves clients of other boot servers alone"), \
            client(host, "52:54:00:00:03:02") as one:
        packet = one.packet(REQUEST, [*pxe(0), (54, socket.inet_aton(ROUTER))],
                            client_address="192.168.77.20")
        assert ask_port(host, "192.168.77.20", 4011, SERVER, packet, 1.0) == (None, 0)
    with report.test("a relay is answered at its port 67"), \
            client(host, "52:54:00:00:03:03") as one:
        packet = one.packet(DISCOVER, [*pxe(0), (82, b"\1\4eth7")], relay="192.168.77.20")
        answer, _port = ask_port(host, "192.168.77.20", 67, SERVER, packet, port=67)
        assert answer and answer.kind == OFFER and answer.boot == "undionly.kpxe", answer
        assert answer.options.get(82) == b"\1\4eth7", answer
    ip(host, "address", "flush", "dev", "eth0", "scope", "global")


def test_named_client(report, host):
    with report.test("a client with an address of its own gets everything from us"), \
            client(host, NAMED) as one:
        ack = one.lease(SERVER, pxe(7))
        assert ack and ack.kind == ACK and ack.address == "192.168.77.50", ack
        assert ack.boot == "snponly.efi" and ack.next_server == SERVER, ack
        assert ack.options[1] == socket.inet_aton("255.255.255.0") and 3 not in ack.options, ack


def router_solicitation(mac):
    source = bytes.fromhex("fe800000000000000000000000000077")
    target = bytes.fromhex("ff020000000000000000000000000002")
    icmp = bytes([133, 0, 0, 0]) + bytes(4)
    data = source + target + struct.pack(">II", len(icmp), 58) + icmp
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    icmp = icmp[:2] + struct.pack(">H", ~total & 0xffff) + icmp[4:]
    header = struct.pack(">IHBB", 6 << 28, len(icmp), 58, 255) + source + target
    return bytes.fromhex("333300000002") + mac + b"\x86\xdd" + header + icmp


def advertisements(one, seconds):
    found, deadline = [], time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        one.socket.settimeout(left)
        with contextlib.suppress(TimeoutError):
            frame = one.socket.recv(4096)
            if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 134:
                found.append(frame)
    return found


def test_router_help(report, host):
    with report.test("a booting client hears at once that there is no IPv6 router"), \
            client(host, "52:54:00:00:04:01") as one:
        one.ask(DISCOVER, ipxe(0), SERVER)
        one.socket.send(router_solicitation(one.mac))
        frames = advertisements(one, 1.5)
        assert len(frames) == 1, f"{len(frames)} advertisements"
        assert frames[0][:6] == one.mac, "not to this client alone"
        assert frames[0][54 + 6:54 + 8] == b"\0\0", "it has a lifetime"
        assert len(frames[0]) == 14 + 40 + 16 + 8, "it says more than that"
    with report.test("others hear nothing of the kind"), client(host, "52:54:00:00:04:02") as one:
        one.socket.send(router_solicitation(one.mac))
        assert not advertisements(one, 1.5)


def test_proxy(report, wire, folder):
    server = wire.add_host("server", f"{SERVER}/24")
    router = wire.add_host("router", f"{ROUTER}/24")
    host = wire.add_host("host")
    capture = wire.capture(folder / "proxy.pcap")
    with dnsmasq(router, folder, "--dhcp-range=192.168.77.100,192.168.77.200,1h"), \
            Daemon(server, folder / "proxy") as daemon:
        with report.test("auto on an interface with an address is a proxy, and says so"):
            daemon.wait(f"eth0: address {SERVER}, DHCP role proxy")
        test_proxy_answers(report, host)
        test_proxy_silence(report, host)
        test_boot_server(report, host)
        test_router_help(report, host)
        capture.stop()
        with report.test("no address was given by us, none was asked for by us"):
            ours = [message for message in dhcp_messages(folder / "proxy.pcap")
                    if message.datagram.source == SERVER]
            assert len(ours) > len(PROXY_ANSWERS)
            assert {message.your_address for message in ours} == {"0.0.0.0"}
            assert not {51, 1, 3} & {code for message in ours for code in message.options}
        test_named_client(report, host)


# ── auto ─────────────────────────────────────────────────────────────────────────────────────────

def address_of(namespace):
    found = re.findall(r"inet (\S+)/.* (\S+)$", ip(namespace, "-4", "address", "show", "eth0"),
                       re.MULTILINE)
    return found[0] if found else (None, None)


def test_alone(report, wire, folder):
    server, host = wire.add_host("server"), wire.add_host("host")
    more = f'fallback-address = "{FALLBACK}/24"; router = "192.168.99.254"; dns = [ "192.168.99.253", "192.168.99.252" ]'
    daemon = Daemon(server, folder / "alone", more=more)
    with report.test("auto alone on the cable becomes the server"):
        daemon.wait(f"eth0: address {FALLBACK}, DHCP role server")
        assert address_of(server) == (FALLBACK, "eth0:nbt"), address_of(server)
    with client(host, "52:54:00:00:05:01") as one:
        with report.test("a client that boots gets an address and its boot file"):
            ack = one.lease(FALLBACK, pxe(0))
            assert ack and ack.kind == ACK and ack.address.startswith("192.168.99."), ack
            assert ack.boot == "undionly.kpxe" and ack.next_server == FALLBACK, ack
            assert ack.options[51] == b"\xff" * 4, "the lease ends"
            assert ack.options[3] == socket.inet_aton("192.168.99.254"), ack
            assert ack.options[6] == bytes([192, 168, 99, 253, 192, 168, 99, 252]), ack
        with report.test("so does its operating system, the same one"):
            again = one.lease(FALLBACK)
            assert again and again.address == ack.address and not again.boot, again
        with report.test("an address of another network is refused"):
            nak = one.ask(REQUEST, [(50, socket.inet_aton("10.1.2.3"))], FALLBACK)
            assert nak and nak.kind == NAK, nak
        with report.test("after kill -9 it serves again, with the same addresses"):
            daemon.kill()
            assert address_of(server)[0] == FALLBACK
            daemon.log.unlink()
            daemon.start("DHCP role server")
            reboot = one.ask(REQUEST, [(50, socket.inet_aton(ack.address))], FALLBACK)
            assert reboot and reboot.kind == ACK and reboot.address == ack.address, reboot
            assert one.lease(FALLBACK).address == ack.address
    with report.test("a second one on the same cable leaves the service to the first"):
        second = wire.add_host("second")
        with Daemon(second, folder / "second", more=more) as other:
            other.wait("another netboot-target serves this network")
            time.sleep(2)
            assert not other.says("DHCP role server") and address_of(second) == (None, None)
    with report.test("a server that shows up later makes it a proxy"), \
            client(host, "52:54:00:00:05:02") as one:
        one.broadcast(REQUEST, [(50, socket.inet_aton("192.168.99.77")),
                                (54, socket.inet_aton("192.168.99.253"))])
        daemon.wait("DHCP role proxy: another DHCP server is there")
        assert address_of(server)[0] == FALLBACK, "the address went before its sessions"
    with report.test("it ends in order and takes its address with it"):
        daemon.stop()
        assert address_of(server) == (None, None)


def test_listens_ahead(report, wire, folder):
    with report.test("what listens at the fallback address alone is there when that is"):
        server, host = wire.add_host("server20"), wire.add_host("host20", "192.168.99.60/24")
        at = f'portals = [ "{FALLBACK}:3260" ]; boot = {{ http-listen = [ "{FALLBACK}:80" ]; ' \
             f'tftp-listen = [ "{FALLBACK}:69" ] }};'
        with Daemon(server, folder / "ahead", more=f'fallback-address = "{FALLBACK}/24"', top=at) as daemon:
            for port in 3260, 80, 69:
                daemon.wait(f"{FALLBACK}:{port}: this machine does not have that address yet")
            daemon.wait(f"eth0: address {FALLBACK}, DHCP role server")
            with client(host, "52:54:00:00:0d:01") as one:
                assert one.ask(DISCOVER, ipxe(0), FALLBACK).boot.startswith(f"http://{FALLBACK}/boot.ipxe")
            for url in f"http://{FALLBACK}/boot.ipxe?mac=x", f"tftp://{FALLBACK}/undionly.kpxe":
                run(*inside(host), "curl", "-sf", "-m", "5", "-o", "/dev/null", url)
            with entered(host):
                socket.create_connection((FALLBACK, 3260), timeout=5).close()


def test_obstacles(report, wire, folder):
    fallback = f'fallback-address = "{FALLBACK}/24"'
    with report.test("auto beside a DHCP server is a proxy, without an address until it has one"):
        server, router = wire.add_host("server2"), wire.add_host("router2", "192.168.99.254/24")
        with dnsmasq(router, folder, "--dhcp-range=192.168.99.100,192.168.99.200,1h"), \
                Daemon(server, folder / "beside", more=fallback) as daemon:
            daemon.wait("another DHCP server is there, but the interface has no IPv4 address")
            with client(wire.add_host("host21"), "52:54:00:00:0e:01") as one:
                one.ask(DISCOVER, pxe(0), seconds=0.5)
                says(daemon, one, "eth0 of this server has no IPv4 address")
            ip(server, "address", "add", "192.168.99.7/24", "valid_lft", "600", "preferred_lft",
               "600", "dev", "eth0")
            daemon.wait("eth0: address 192.168.99.7, DHCP role proxy: the interface has an address "
                        "from a DHCP server")
            assert address_of(server)[0] == "192.168.99.7"
    with report.test("auto with a default route is a proxy"):
        server = wire.add_host("server3")
        ip(server, "route", "add", "default", "dev", "eth0")
        with Daemon(server, folder / "route", more=fallback) as daemon:
            daemon.wait("the default route leads over this interface")
            time.sleep(2)
            assert address_of(server) == (None, None)
    with report.test("so it is with a default route for IPv6 alone, also one that comes later"):
        server = wire.add_host("server17")
        with Daemon(server, folder / "route6", more=fallback) as daemon:
            daemon.wait("eth0: looking for another DHCP server")
            ip(server, "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
            daemon.wait("the default route leads over this interface")
            time.sleep(2)
            assert address_of(server) == (None, None)
        with Daemon(server, folder / "route6-again", more=fallback) as daemon:
            daemon.wait("the default route leads over this interface")
            assert not daemon.says("looking for another DHCP server")
    with report.test("auto without a cable waits for it"):
        server = wire.add_host("server4")
        wire.inside("ip", "link", "set", "server4", "down")
        with Daemon(server, folder / "cable", more=fallback) as daemon:
            daemon.wait("eth0: no cable is connected")
            time.sleep(2)
            assert address_of(server) == (None, None)
            wire.inside("ip", "link", "set", "server4", "up")
            daemon.wait(f"eth0: address {FALLBACK}, DHCP role server")
    with report.test("a fallback address that somebody has is not taken"):
        server = wire.add_host("server5")
        wire.add_host("holder", f"{FALLBACK}/24")
        with Daemon(server, folder / "taken", more=fallback) as daemon:
            daemon.wait(f"the fallback address {FALLBACK} is in use by")
            assert address_of(server) == (None, None)
    with report.test("an interface that comes late is served"):
        server = wire.add_host("server6")
        with Daemon(server, folder / "late", interface="eth7", dhcp="proxy") as daemon:
            daemon.wait("eth7: the interface is not there yet")
            ip(server, "link", "add", "eth7", "type", "veth", "peer", "name", "peer7")
            ip(server, "address", "add", "192.168.55.1/24", "dev", "eth7")
            for name in "eth7", "peer7":
                ip(server, "link", "set", name, "up")
            daemon.wait("eth7: address 192.168.55.1, DHCP role proxy")
            ip(server, "link", "delete", "eth7")
            daemon.wait("eth7: the interface is gone")


# ── where it cannot ──────────────────────────────────────────────────────────────────────────────

def serves_disks(daemon):
    with entered(daemon.namespace):
        socket.create_connection(("127.0.0.1", 3260), timeout=5).close()


def test_refusals(report, wire, folder):
    with report.test("off answers nobody"):
        server, host = wire.add_host("server7", f"{SERVER}/24"), wire.add_host("host7")
        with Daemon(server, folder / "off", dhcp="off"), client(host, "52:54:00:00:06:01") as one:
            assert not one.ask(DISCOVER, pxe(0), SERVER, 1.0)
    with report.test("a taken port 67 is named with its cure, disks are served"):
        server = wire.add_host("server8", "192.168.88.1/24")
        with dnsmasq(server, folder, "--dhcp-range=192.168.88.100,192.168.88.200,1h") as other, \
                Daemon(server, folder / "port", dhcp="proxy") as daemon:
            daemon.wait("eth0: UDP port 67 cannot be opened: Address already in use; another "
                        "program has it, such as dnsmasq")
            serves_disks(daemon)
            other.stop()
            daemon.wait("eth0: address 192.168.88.1, DHCP role proxy", 25)
    with report.test("without privileges it says which are missing, disks are served"):
        server = wire.add_host("server9")
        with Daemon(server, folder / "raw", more=f'fallback-address = "{FALLBACK}/24"',
                    prefix=("setpriv", "--bounding-set=-net_raw,-net_admin",
                            "--inh-caps=-net_raw,-net_admin")) as daemon:
            daemon.wait("that needs CAP_NET_RAW")
            serves_disks(daemon)
        with Daemon(server, folder / "admin", more=f'fallback-address = "{FALLBACK}/24"',
                    prefix=("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")) \
                as daemon:
            daemon.wait("that needs CAP_NET_ADMIN")
            serves_disks(daemon)
        with Daemon(server, folder / "bind", prefix=(
                "setpriv", "--bounding-set=-net_bind_service,-net_admin,-net_raw",
                "--inh-caps=-net_bind_service,-net_admin,-net_raw")) as daemon:
            daemon.wait("eth0: UDP port 67 cannot be opened: Permission denied; that needs "
                        "CAP_NET_BIND_SERVICE")
            serves_disks(daemon)


def test_serving(report, wire, folder):
    with report.test("POST /serving off ends offers, on resumes them"):
        server, host = wire.add_host("server10", f"{SERVER}/24"), wire.add_host("host10")
        with Daemon(server, folder / "serving", dhcp="proxy") as daemon, \
                client(host, "52:54:00:00:07:01") as one:
            assert one.ask(DISCOVER, pxe(0), SERVER)
            for word, offered in (("off", False), ("on", True)):
                run(*inside(server), "curl", "-sf", "-X", "POST", "-H", "X-Netboot-Target: 1",
                    "-d", word, "http://127.0.0.1:9180/serving")
                assert bool(one.ask(DISCOVER, pxe(0), SERVER, 1.0)) == offered, word
                if word == "off":
                    says(daemon, one, "Serving is switched off: switch it on again")
    with report.test("as the server it goes on with addresses meanwhile, and says why it boots nobody"):
        server, host = wire.add_host("server14", "192.168.78.1/24"), wire.add_host("host14")
        with Daemon(server, folder / "serving-off", dhcp="server") as daemon, \
                client(host, "52:54:00:00:07:02") as one:
            run(*inside(server), "curl", "-sf", "-X", "POST", "-H", "X-Netboot-Target: 1", "-d", "off",
                "http://127.0.0.1:9180/serving")
            ack = one.lease("192.168.78.1", pxe(0))
            assert ack and ack.address.startswith("192.168.78.") and not ack.boot, ack
            says(daemon, one, "Serving is switched off: switch it on again")


def says(daemon, one, words):
    """The story of a client that is not told what to load names the cause at once."""
    def sentence():
        for found in daemon.status("clients")["clients"]:
            if bytes.fromhex(found["mac"].replace(":", "")) == one.mac:
                return words in found["sentence"]
        return False
    try:
        wait_for(sentence, 5, repr(words))
    except LabError as error:
        raise LabError(f"{error}: {daemon.status('clients')['clients']}") from None


def test_no_boot_file(report, wire, folder):
    with report.test("a machine that we have no file for gets an address, and its story tells"):
        server, host = wire.add_host("server15", f"{SERVER}/24"), wire.add_host("host15")
        with Daemon(server, folder / "no-file", dhcp="server") as daemon, \
                client(host, "52:54:00:00:0a:01") as one:
            ack = one.lease(SERVER, pxe(11))
            assert ack and ack.address.startswith("192.168.77.") and not ack.boot, ack
            says(daemon, one, "There is no boot file for its architecture (ARM 64-bit UEFI)")
        with client(host, "52:54:00:00:0a:02") as one, \
                Daemon(server, folder / "no-client", dhcp="server") as daemon:
            assert one.lease(SERVER)
            assert not daemon.status("clients")["clients"], "an operating system is no boot"
    with report.test("without a boot port iPXE and UEFI HTTP boot are told apart from the rest"):
        with Daemon(server, folder / "no-http", dhcp="proxy", top="boot = { http-listen = [ ] };") \
                as daemon:
            for number, options in enumerate((ipxe(0), http_boot(16))):
                with client(host, f"52:54:00:00:0a:1{number}") as one:
                    assert not one.ask(DISCOVER, options, SERVER, 0.7)
                    says(daemon, one, "no HTTP port for booting is open at our address there")
            with client(host, "52:54:00:00:0a:19") as one:
                assert one.ask(DISCOVER, pxe(0), SERVER), "by TFTP"


def test_address_held(report, wire, folder):
    with report.test("a client whose address somebody else has is not answered, and its story says who"):
        server, host = wire.add_host("server16", f"{SERVER}/24"), wire.add_host("host16")
        holder = wire.add_host("holder16", "192.168.77.50/24")
        mac = ip(holder, "-br", "link", "show", "eth0").split()[2]
        with Daemon(server, folder / "held", dhcp="proxy") as daemon, client(host, NAMED) as one:
            assert not one.ask(DISCOVER, pxe(0), SERVER, 2)
            says(daemon, one, f"192.168.77.50 is in use by {mac}")


def test_other_networks(report, wire, folder):
    with report.test("boot files and scripts stay on the boot interfaces"):
        server = wire.add_host("server12", f"{SERVER}/24")
        ip(server, "link", "add", "other", "type", "veth", "peer", "name", "peer0")
        ip(server, "address", "add", "192.168.66.1/24", "dev", "other")
        ip(server, "link", "set", "other", "up")
        with Daemon(server, folder / "networks", dhcp="proxy"):
            for address, status in ((SERVER, "200"), ("192.168.66.1", "403")):
                for path in "boot.ipxe?mac=" + NAMED.replace(":", "-"), "undionly.kpxe":
                    answer = run(*inside(server), "curl", "-s", "-o", "/dev/null", "-w",
                                 "%{http_code}", f"http://{address}/{path}").stdout
                    assert answer == status, (address, path, answer)
                tftp = run(*inside(server), "curl", "-s", "-o", "/dev/null",
                           f"tftp://{address}/undionly.kpxe", check=False)
                assert (tftp.returncode == 0) == (address == SERVER), (address, tftp)


def test_portal(report, wire, folder):
    mac = NAMED.replace(":", "-")
    for name, portal, masked in (("on the client's link", SERVER, True),
                                 ("on another link", "192.168.66.1", False)):
        with report.test(f"a disk {name}: iPXE {'forgets' if masked else 'keeps'} its gateway"):
            server = wire.add_host(f"server18{masked:d}", f"{SERVER}/24")
            host = wire.add_host(f"host18{masked:d}", "192.168.77.60/24")
            ip(server, "link", "add", "other", "type", "veth", "peer", "name", "peer0")
            ip(server, "address", "add", "192.168.66.1/24", "dev", "other")
            ip(server, "link", "set", "other", "up")
            with Daemon(server, folder / name, dhcp="proxy", top=f'portals = [ "{portal}:3260" ];') as daemon:
                daemon.wait_ready()
                script = run(*inside(host), "curl", "-sf", f"http://{SERVER}/boot.ipxe?mac={mac}").stdout
                assert portal in script, script
                assert ("gateway 0.0.0.0" in script) == masked, script
        ip(server, "link", "set", "eth0", "down")


def test_serial(report, wire, folder):
    with report.test("a client that is also known by its serial number goes by its MAC in DHCP"):
        server, host = wire.add_host("server19", f"{SERVER}/24"), wire.add_host("host19")
        listed = '{ mac = "52:54:00:00:0c:01"; serial = "S1"; address = "192.168.77.51"; ' \
                 'boot-file = "ipxe.pxe"; target = "laptop" }'
        with Daemon(server, folder / "serial", dhcp="proxy", more_clients=listed), \
                client(host, "52:54:00:00:0c:01") as one:
            ack = one.lease(SERVER, pxe(0))
            assert ack and ack.address == "192.168.77.51" and ack.boot == "ipxe.pxe", ack


def test_uuid(report, wire, folder):
    with report.test("a client known by its UUID has its boot file, in whichever order firmware sends it"):
        server, host = wire.add_host("server22", f"{SERVER}/24"), wire.add_host("host22")
        sent = dict(pxe(0))[97][1:]
        turned = sent[3::-1] + sent[5:3:-1] + sent[7:5:-1] + sent[8:]
        for word, uuid in ("sent", sent), ("turned", turned):
            listed = f'{{ uuid = "{uuid_text(uuid)}"; address = "192.168.77.52"; boot-file = "ipxe.pxe"; ' \
                     'target = "laptop" }'
            with Daemon(server, folder / f"uuid-{word}", dhcp="proxy", more_clients=listed), \
                    client(host, "52:54:00:00:0f:01") as one:
                ack = one.lease(SERVER, pxe(0))
                assert ack and ack.address == "192.168.77.52" and ack.boot == "ipxe.pxe", (word, ack)


def test_pxe_style(report, wire, folder):
    with report.test("a client's pxe-style comes before what its firmware is usually told"):
        server, host = wire.add_host("server24", f"{SERVER}/24"), wire.add_host("host24")
        # against PROXY_ANSWERS, the other way round
        rows = [("52:54:00:00:10:01", "boot-server", pxe(0), None),
                ("52:54:00:00:10:02", "direct", pxe(7), b"\x06\x01\x08\xff")]
        listed = ", ".join(f'{{ mac = "{mac}"; pxe-style = "{style}"; target = "laptop" }}'
                           for mac, style, _, _ in rows)
        with Daemon(server, folder / "style", dhcp="proxy", more_clients=listed):
            for mac, style, options, suboptions in rows:
                with client(host, mac) as one:
                    offer = one.ask(DISCOVER, options, SERVER)
                    assert offer and offer.options.get(43) == suboptions, (style, offer)


# boot.files' keys, the numbers that firmware and its HTTP boot call themselves (IANA)
ARCHITECTURES = [("bios", 0x00), ("efi-ia32", 0x06), ("efi-x64", 0x07), ("efi-arm32", 0x0a),
                 ("efi-arm64", 0x0b), ("efi-riscv64", 0x1b), ("efi-loongarch64", 0x27)]


def test_boot_files(report, wire, folder):
    with report.test("each architecture gets the boot file that boot.files names for it"):
        server, host = wire.add_host("server25", f"{SERVER}/24"), wire.add_host("host25")
        own = folder / "own-files"
        own.mkdir()
        for key, _ in ARCHITECTURES:
            (own / f"{key}.own").write_bytes(b"loader")
        files = "; ".join(f'{key} = "{key}.own"' for key, _ in ARCHITECTURES)
        top = f'boot = {{ custom-directory = "{own}"; files = {{ {files} }} }};'
        with Daemon(server, folder / "files", dhcp="proxy", top=top) as daemon:
            daemon.wait_ready()
            for number, (key, architecture) in enumerate(ARCHITECTURES):
                with client(host, f"52:54:00:00:11:{number:02x}") as one:
                    offer = one.ask(DISCOVER, pxe(architecture), SERVER)
                    assert offer and offer.boot == f"{key}.own", (key, offer)


def uuid_text(uuid):
    words = uuid.hex()
    return "-".join((words[:8], words[8:12], words[12:16], words[16:20], words[20:]))


def test_other_pxe_server(report, wire, folder):
    with report.test("another PXE server that wins is named in the client's story"):
        server, host = wire.add_host("server13", f"{SERVER}/24"), wire.add_host("host13")
        router = wire.add_host("router13", f"{ROUTER}/24")
        with dnsmasq(router, folder, "--dhcp-range=192.168.77.100,192.168.77.200,1h",
                     f"--dhcp-boot=pxelinux.0,{ROUTER},{ROUTER}"), \
                Daemon(server, folder / "winner") as daemon, \
                client(host, "52:54:00:00:09:01") as one:
            for _ in range(2):  # its first answer may come before we listen to others
                one.broadcast(DISCOVER, pxe(0))
                assert {SERVER, ROUTER} == {reply.server for reply in one.replies(1.0)}

            def story():
                clients = daemon.status("clients")["clients"]
                return clients[0]["state"] == "stopped" and clients[0]["sentence"]
            sentence = wait_for(story, 40, "end of the story")
            assert ROUTER in sentence, sentence


def test_reload(report, wire, folder):
    with report.test("a reload changes the role"):
        server, host = wire.add_host("server11", f"{SERVER}/24"), wire.add_host("host11")
        with Daemon(server, folder / "reload", dhcp="off") as daemon, \
                client(host, "52:54:00:00:08:01") as one:
            assert not one.ask(DISCOVER, pxe(0), SERVER, 0.7)
            daemon.config.write_text(daemon.config.read_text().replace('"off"', '"server"'))
            daemon.reload()
            daemon.wait(f"eth0: address {SERVER}, DHCP role server: the configuration says so")
            assert one.lease(SERVER, pxe(0)).address.startswith("192.168.77.")


def main():
    need_root()
    exit_on_signals()
    report = Report()
    chosen = [test for test in tests if not sys.argv[2:] or test.__name__ in sys.argv[2:]]
    with tempfile.TemporaryDirectory() as folder:
        for test in chosen:
            with Segment() as wire:
                test(report, wire, Path(folder))
    report.finish()


tests = [test_proxy, test_alone, test_listens_ahead, test_obstacles, test_refusals, test_serving,
         test_no_boot_file, test_address_held, test_other_networks, test_portal, test_serial, test_uuid, test_pxe_style, test_boot_files,
         test_other_pxe_server, test_reload]
main()
