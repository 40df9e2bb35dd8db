#!/usr/bin/env python3
"""--doctor: each thing that would stop a boot is made in a namespace, and has to be named with its cure.

usage: test_doctor.py NETBOOT-TARGET
"""
import os
import re
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
        self.disk = make_file(folder / "disk.img", 16 * MIB)
        self.file = folder / "netboot.conf"
        (folder / "state").mkdir()
        self.write(CONFIG % (self.disk, folder / "state"))

    def write(self, text):
        self.file.touch(mode=0o600)
        self.file.write_text(text)

    def consult(self):
        """Gives (exit code, {what: (kind, sentence)})."""
        done = run(*inside(self.host), PROGRAM, "--doctor", "-c", self.file, check=False)
        found = re.findall(r"^(ok|warning|PROBLEM) +(.{16,}?) (\S.*)$", done.stdout, re.M)
        lines = {what.strip(): (kind, text) for kind, what, text in found}
        assert lines, done.stdout
        return done.returncode, lines

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
                      "nft add rule inet filter input udp dport { 67, 4011, 69 } accept")
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
        test_files(report, doctor)
    report.finish()


if __name__ == "__main__":
    main()
