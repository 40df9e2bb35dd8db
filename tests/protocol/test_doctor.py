#!/usr/bin/env python3
"""--doctor: each thing that would stop a boot is made in a namespace, and has to be named with its cure.

usage: test_doctor.py NETBOOT-TARGET
"""
import contextlib
import ctypes
import os
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.boot import Dnsmasq  # noqa: E402
from lab.daemon import PROGRAM  # noqa: E402
from lab.disk import MIB, loop_device, make_file, scratch  # noqa: E402
from lab.network import Segment  # noqa: E402
from lab.process import Background, exit_on_signals, inside, need_root, run, wait_for  # noqa: E402
from lab.report import Report  # noqa: E402

CONFIG = """
interfaces = ( { name = "eth0"; dhcp = "proxy" } )
targets = ( { name = "a"; luns = ( { device = "%s" } ); auth = { mode = "none" } } )
state-directory = "%s"
"""
DROPPING = "table inet filter { chain input { type filter hook input priority 0; policy drop; }; }"


class Doctor:
    """Consulted in a host of its own, about one file."""

    def __init__(self, folder, host):
        self.folder, self.host = folder, host
        self.prefix, self.prepare = (), None  # what is in front of it, and what is done before
        self.programs = folder / "programs"  # found before those of the system
        self.programs.mkdir()
        self.disk = make_file(folder / "disk.img", 16 * MIB)
        self.file = folder / "netboot.conf"
        (folder / "state").mkdir()
        self.write(CONFIG % (self.disk, folder / "state"))

    def write(self, text):
        self.file.touch(mode=0o600)
        self.file.write_text(text)

    def consult(self):
        """Gives (exit code, {what: (kind, sentence)})."""
        done = run(*inside(self.host), *self.prefix, PROGRAM, "--doctor", "-c", self.file, check=False,
                   env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"},
                   preexec_fn=self.prepare)
        found = re.findall(r"^(ok|warning|PROBLEM) +(.{16,}?) (\S.*)$", done.stdout, re.M)
        lines = {what.strip(): (kind, text) for kind, what, text in found}
        assert lines, done.stdout
        return done.returncode, lines

    def program(self, name, text):
        """A program of this name that says `text`, as a shell would."""
        file = self.programs / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    @contextlib.contextmanager
    def world(self, *commands, hide_processes=False):
        """Commands first that change what it sees of the machine, and nobody else does."""
        script = " && ".join([*commands, 'exec "$@"'])
        hidden = ("--pid", "--fork", "--mount-proc") if hide_processes else ()
        self.prefix = ("unshare", "--mount", *hidden, "sh", "-c", script, "sh")
        try:
            yield
        finally:
            self.prefix = ()

    def expect(self, what, kind, *words):
        code, lines = self.consult()
        assert what in lines, lines
        assert lines[what][0] == kind, lines[what]
        for word in words:
            assert word in lines[what][1], f"no '{word}' in: {lines[what][1]}"
        problems = [line for line in lines.values() if line[0] == "PROBLEM"]
        assert code == (1 if problems else 0), f"exit code {code} with {problems}"


def test_healthy(report, doctor):
    with report.test("nothing is found where nothing is wrong"):
        code, lines = doctor.consult()
        wrong = {what: line for what, line in lines.items()
                 if line[0] != "ok" and what not in ("io_uring", "Landlock")}
        assert code == 0 and not wrong, wrong
        for port in "UDP port 67", "UDP port 4011", "UDP port 69", "TCP port 80", "TCP port 3260":
            assert "free" in lines[port][1], lines


def test_ports(report, doctor):
    with report.test("a DHCP and TFTP server on the same machine is named"):
        server = Dnsmasq(doctor.host, doctor.folder, "dnsmasq", "--dhcp-range=10.5.0.9,10.5.0.10",
                         "--enable-tftp", f"--tftp-root={doctor.folder}")
        try:
            doctor.expect("UDP port 67", "PROBLEM", "dnsmasq", "systemctl disable --now dnsmasq")
            doctor.expect("UDP port 69", "PROBLEM", f"process {server.process.pid}")
        finally:
            server.stop()
    with report.test("another program at the HTTP port is named"), \
            Background("python3", "-m", "http.server", "80", "--bind", "127.0.0.1",
                       namespace=doctor.host, log=doctor.folder / "http.log"):
        wait_for(lambda: run(*inside(doctor.host), "ss", "-Hltn", "sport = :80").stdout, 10, "port")
        doctor.expect("TCP port 80", "PROBLEM", "python3")
    with report.test("a daemon of ours that runs already is no problem"), \
            Background(PROGRAM, "-c", doctor.file, namespace=doctor.host,
                       log=doctor.folder / "daemon.log") as daemon:
        wait_for(lambda: run(*inside(doctor.host), "ss", "-Hltn", "sport = :3260").stdout, 20,
                 daemon.output)
        doctor.expect("TCP port 3260", "ok", "runs already", str(daemon.pid))
        doctor.expect("a LUN 0", "ok", "netboot-target")


def test_network(report, doctor):
    host = inside(doctor.host)
    with report.test("an input filter that drops is named, with the rule that lets clients in"):
        run(*host, "nft", DROPPING)
        doctor.expect("firewall", "warning", "inet filter input", "3260",
                      "nft insert rule inet filter input udp dport { 67, 4011, 69 } accept")
        run(*host, "nft", "delete", "table", "inet", "filter")
        doctor.expect("firewall", "ok")
    with report.test("an interface without link, switched off, or not there"):
        run(*host, "ip", "link", "set", "eth0", "down")
        doctor.expect("eth0", "PROBLEM", "ip link set eth0 up")
        run(*host, "ip", "link", "set", "eth0", "up")
        run(*host, "ip", "link", "add", "dangling", "type", "veth", "peer", "name", "other")
        run(*host, "ip", "link", "set", "dangling", "up")
        text = doctor.file.read_text()
        doctor.write(text.replace("eth0", "dangling"))
        doctor.expect("dangling", "warning", "cable")
        doctor.write(text.replace("eth0", "eth7"))
        doctor.expect("eth7", "PROBLEM", "netboot.conf:2", "no such interface")
        doctor.write(text.replace('interfaces = ( { name = "eth0"; dhcp = "proxy" } )', ""))
        doctor.expect("network", "PROBLEM", "interfaces")
        doctor.write(text)


LISTENER = """
import ctypes, socket, sys, time
name, kind, port, device = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
listener = socket.socket(socket.AF_INET, getattr(socket, kind))
if device:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
listener.bind(("0.0.0.0", port))
if kind == "SOCK_STREAM":
    listener.listen()
print("ready", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def listener(doctor, name, kind, port, device=""):
    """A program of this name at a port, on all interfaces or on one alone."""
    log = doctor.folder / f"{name}-{port}.log"
    log.unlink(missing_ok=True)
    with Background("python3", "-c", LISTENER, name, kind, port, device, namespace=doctor.host,
                    log=log) as process:
        wait_for(lambda: "ready" in process.output(), 10, process.output)
        yield process


def test_others(report, doctor):
    host = inside(doctor.host)
    with report.test("a DHCP server bound to another interface, as libvirt's is, is in nobody's way"):
        run(*host, "ip", "link", "add", "virbr0", "type", "bridge")
        with listener(doctor, "dnsmasq", "SOCK_DGRAM", 67, "virbr0"):
            doctor.expect("UDP port 67", "ok", "free")
            with Background(PROGRAM, "-c", doctor.file, namespace=doctor.host,
                            log=doctor.folder / "beside.log") as daemon:
                wait_for(lambda: "DHCP" in daemon.output(), 20, daemon.output)
                wait_for(lambda: len(run(*host, "ss", "-Hlun", "sport = :67").stdout.splitlines()) == 2,
                         20, daemon.output)
        with listener(doctor, "dnsmasq", "SOCK_DGRAM", 67, "eth0"):
            doctor.expect("UDP port 67", "PROBLEM", "dnsmasq")
        run(*host, "ip", "link", "delete", "virbr0")
    with report.test("another target is named with its cure: tgt"), \
            listener(doctor, "tgtd", "SOCK_STREAM", 3260) as process:
        doctor.expect("TCP port 3260", "PROBLEM", "tgtd", f"process {process.pid}",
                      "systemctl disable --now tgt")
    with report.test("another target is named with its cure: the kernel's own"), \
            listener(doctor, "nobody", "SOCK_STREAM", 3260), \
            doctor.world("mount -t tmpfs none /sys/module", "mkdir /sys/module/iscsi_target_mod",
                         hide_processes=True):
        doctor.expect("TCP port 3260", "PROBLEM", "LIO", "targetctl clear")
    with report.test("a program that takes addresses away is named, where one is to be set"):
        index = run(*host, "cat", "/sys/class/net/eth0/ifindex").stdout.strip()
        text = doctor.file.read_text()
        doctor.write(text.replace('"proxy"', '"auto"'))
        address = run(*host, "ip", "-4", "-br", "address", "show", "eth0").stdout.split()[2]
        run(*host, "ip", "address", "flush", "dev", "eth0")
        with doctor.world("mount -t tmpfs none /run", "mkdir -p /run/NetworkManager/devices",
                          f"echo managed=true >/run/NetworkManager/devices/{index}"):
            doctor.expect("eth0", "warning", "NetworkManager", "managed no")
        doctor.expect("eth0", "ok")
        run(*host, "ip", "address", "add", address, "dev", "eth0")
        doctor.write(text)


def refuse_io_uring():
    """As a container's filter does."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(0x7fff0000))  # SCMP_ACT_ALLOW
    number = seccomp.seccomp_syscall_resolve_name(b"io_uring_setup")
    seccomp.seccomp_rule_add_array(context, 0x00050001, number, 0, None)  # SCMP_ACT_ERRNO(EPERM)
    if seccomp.seccomp_load(context):
        raise OSError("seccomp_load")


def test_kernel(report, doctor):
    with report.test("where io_uring is refused, that is a warning"):
        doctor.prepare = refuse_io_uring
        doctor.expect("io_uring", "warning", "threads")
        doctor.prepare = None


UFW_RULES = """*filter
### tuple ### {action} udp 67,69,4011 0.0.0.0/0 any 0.0.0.0/0 in
-A ufw-user-input -p udp -m multiport --dports 67,69,4011 -j ACCEPT
### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow any 3260 0.0.0.0/0 any 0.0.0.0/0 in
COMMIT
"""


# As firewall-cmd(1) answers, of files beside it.
FIREWALL_CMD = r"""
cd "${0%/*}/../zones" || exit
case $* in
--get-zone-of-interface=*) cat "interfaces/${1#*=}" || { echo "no zone"; exit 2; } ;;
--get-default-zone) echo public ;;
--zone=*" --list-all") cat "${1#*=}" ;;
*) exit 2 ;;
esac"""
ZONE = """zone (active)
  target: {target}
  icmp-block-inversion: no
  interfaces: eth0
  sources:
  services: {services}
  ports:
"""


def test_firewalls(report, doctor):
    host = inside(doctor.host)
    for verdict in "drop", "counter reject", "log drop":
        with report.test(f"an input chain that accepts, but ends in '{verdict}'"):
            run(*host, "nft", "add table inet f; add chain inet f i { type filter hook input priority 0; };"
                f" add rule inet f i tcp dport 22 accept; add rule inet f i {verdict}")
            doctor.expect("firewall", "warning", "inet f i", "nft insert rule")
            run(*host, "nft", "delete", "table", "inet", "f")
    with report.test("an input chain that drops something alone is no obstacle"):
        run(*host, "nft", "add table inet f; add chain inet f i { type filter hook input priority 0; };"
            " add rule inet f i tcp dport 22 drop; add chain inet f other; add rule inet f other drop")
        doctor.expect("firewall", "ok")
        run(*host, "nft", "delete", "table", "inet", "f")
    with report.test("the rules of iptables-legacy, which nft does not show"):
        for rules in (":INPUT DROP [0:0]", ":INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\n"
                      "-A INPUT -j REJECT --reject-with icmp-port-unreachable"):
            doctor.program("iptables-legacy-save", f"cat <<END\n*filter\n{rules}\nCOMMIT\nEND")
            doctor.expect("firewall", "warning", "iptables-legacy", "3260")
        doctor.program("iptables-legacy-save", "cat <<END\n*mangle\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n"
                       ":INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.9/32 -j DROP\nCOMMIT\nEND")
        doctor.expect("firewall", "ok")
        doctor.program("iptables-legacy-save", "exit 1")
        doctor.expect("firewall", "warning", "as root")
        doctor.program("iptables-legacy-save", "exit 0")
        doctor.program("ip6tables-legacy-save", "echo '*filter'; echo ':INPUT DROP [0:0]'")
        doctor.expect("firewall", "warning", "ip6tables-legacy", "by IPv6")
        doctor.program("ip6tables-legacy-save", "exit 0")
    with report.test("ufw: a warning until each port is let in"):
        folder = doctor.folder / "ufw"
        folder.mkdir()
        (folder / "ufw.conf").write_text("ENABLED=yes\n")
        with doctor.world("mount -t tmpfs none /mnt", "cp -a /etc/. /mnt", "mkdir -p /mnt/ufw",
                          f"cp {folder}/* /mnt/ufw", "mount --bind /mnt /etc"):
            (folder / "user.rules").write_text(UFW_RULES.format(action="deny"))
            doctor.expect("firewall", "warning", "ufw allow PORT/udp")
            (folder / "user.rules").write_text(UFW_RULES.format(action="allow"))
            doctor.expect("firewall", "ok", "ufw")
    with report.test("firewalld: a warning until its service is let in"):
        fake = doctor.folder / "firewalld"
        shutil.copy(shutil.which("sleep"), fake)
        with Background(fake, "600", log=doctor.folder / "firewalld.log"):
            doctor.program("firewall-cmd", FIREWALL_CMD)
            zones = doctor.folder / "zones"
            (zones / "interfaces").mkdir(parents=True)
            for services, kind, word in ("ssh", "warning", "--zone=public --add-service=netboot-target"), \
                    ("ssh netboot-target", "ok", "zone public of eth0"):
                (zones / "public").write_text(ZONE.format(target="default", services=services))
                doctor.expect("firewall", kind, word)
            (zones / "interfaces/eth0").write_text("boot")
            for target, services, kind, word in ("default", "ssh", "warning", "--zone=boot --add-service"), \
                    ("default", "netboot-target ssh", "ok", "zone boot of eth0"), \
                    ("ACCEPT", "", "ok", "zone boot of eth0"):
                (zones / "boot").write_text(ZONE.format(target=target, services=services))
                doctor.expect("firewall", kind, word)
            doctor.program("firewall-cmd", "exit 253")
            doctor.expect("firewall", "warning", "as root")


def test_files(report, doctor):
    text = doctor.file.read_text()
    with report.test("missing iPXE files are named with their package"):
        doctor.write(text + f'boot = {{ directory = "{doctor.folder}" }}\n')
        doctor.expect("boot files", "PROBLEM", "package ipxe")
    with report.test("a disk that is not there, or in use"):
        doctor.write(text.replace("disk.img", "no.img"))
        doctor.expect("a LUN 0", "PROBLEM", "no.img")
        with loop_device(doctor.disk) as device:
            run("mkswap", device)
            run("swapon", device)
            try:
                doctor.write(CONFIG % (device, doctor.folder / "state"))
                doctor.expect("a LUN 0", "PROBLEM", "swap")
            finally:
                run("swapoff", device)
    with report.test("a disk that the kernel keeps for somebody else"):
        with loop_device(doctor.disk) as device:
            doctor.write(CONFIG % (device, doctor.folder / "state"))
            claim = os.open(device, os.O_RDONLY | os.O_EXCL)
            doctor.expect("a LUN 0", "PROBLEM", "claimed by another user")
            os.close(claim)
            doctor.expect("a LUN 0", "ok", "nobody else has it")
    with report.test("the mistakes of a file are told first"):
        doctor.write("nonsense = 1;\n")
        done = run(PROGRAM, "--doctor", "-c", doctor.file, check=False)
        assert done.returncode == 1 and "nonsense" in done.stdout, done


def main():
    if not PROGRAM:
        sys.exit(__doc__)
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder, Segment() as wire:
        doctor = Doctor(folder, wire.add_host("server", "10.5.0.1/24"))
        test_healthy(report, doctor)
        test_ports(report, doctor)
        test_network(report, doctor)
        test_others(report, doctor)
        test_kernel(report, doctor)
        test_firewalls(report, doctor)
        test_files(report, doctor)
    report.finish()


if __name__ == "__main__":
    main()
