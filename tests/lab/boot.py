"""The whole chain: a machine without a disk is switched on next to the server, and the operating system
on the server's disk starts on it. Shared by tests/boot and scripts/demo."""
import argparse
import contextlib
import json
import re
import secrets as random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from .disk import loop_device, scratch
from .guest import Machine, tap_network, uefi_firmware
from .image import check_root, copy_disk, read_root_file
from .network import Segment
from .pcap import dhcp_messages, tftp_requests
from .process import TOP, Background, exit_on_signals, inside, need_root, run, wait_for
from .report import LabError, Report, step
from .targets import Lun, NetbootTarget, Secrets, Tgt

MAC = "52:54:00:77:00:02"
SERVER = "192.168.77.1"
ROUTER = "192.168.77.254"
IPXE = Path("/usr/lib/ipxe")


@dataclass
class Plan:
    """One way to boot."""
    name: str
    uefi: bool = False
    http_boot: bool = False  # UEFI's own HTTP client instead of PXE
    own_rom: bool = True     # False: the firmware's PXE client, without iPXE in the card's ROM
    dhcp: str = "proxy"      # "proxy": beside a DHCP server; "none": ours is the only one
    variant: str = "dracut"
    chainload: str = "missing-features"
    limits: str = ""         # of the daemon, when they are not the default ones
    faults: dict = None      # of the cable to the server: bad_wire.Faults
    seed: int = 1
    ipv6_router: bool = False  # one that advertises itself, which firmware waits for


class Dnsmasq:
    """DHCP by Debian's dnsmasq, in a namespace."""

    def __init__(self, namespace, folder, name, *options):
        self.process = Background(
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=eth0",
            "--user=root", "--group=root", "--log-dhcp", "--leasefile-ro", "--pid-file", *options,
            namespace=namespace, log=folder / f"{name}.log")
        wait_for(lambda: "DHCP" in self.process.output() or not self.process.running, 10, name)
        if not self.process.running:
            raise LabError(f"{name} ended:\n{self.process.output()}")

    def stop(self):
        self.process.stop()


class Peer:
    """What netboot-target replaces: dnsmasq for DHCP and TFTP, tgt for the disk, a script by hand."""

    def __init__(self, lab):
        self.lab = lab
        self.secrets = Secrets()
        self.target = Tgt([Lun(lab.disk)], lab.folder, [SERVER], 3260, self.secrets,
                          namespace=lab.server)

    def start(self):
        self.target.start()
        root = self.lab.folder / "tftp"
        root.mkdir()
        for file in "undionly.kpxe", "snponly.efi":
            shutil.copy(IPXE / file, root)
        (root / "boot.ipxe").write_text(f"""#!ipxe
set initiator-iqn iqn.2026-11.local.lab:${{net0/mac:hexhyp}}
set username {self.secrets.user}
set password {self.secrets.secret}
set reverse-username {self.secrets.target_user}
set reverse-password {self.secrets.target_secret}
sanboot iscsi:{SERVER}::{self.target.port}:1:{self.target.name} || shell
""")
        common = [f"--tftp-root={root}", "--enable-tftp", "--dhcp-match=set:ipxe,175"]
        self.dhcp = Dnsmasq(self.lab.server, self.lab.folder, "dnsmasq-peer", *common,
                            *self.dhcp_options())

    def dhcp_options(self):
        if self.lab.plan.dhcp == "proxy":
            return ["--dhcp-range=192.168.77.0,proxy",
                    f"--dhcp-boot=tag:ipxe,boot.ipxe,{SERVER},{SERVER}",
                    f"--pxe-service=tag:!ipxe,x86PC,netboot,undionly.kpxe,{SERVER}",
                    f"--pxe-service=tag:!ipxe,X86-64_EFI,netboot,snponly.efi,{SERVER}",
                    f"--pxe-service=tag:!ipxe,BC_EFI,netboot,snponly.efi,{SERVER}"]
        # No pxe-service here: with one, OVMF asks port 4011 and gets no answer.
        return ["--dhcp-range=192.168.77.100,192.168.77.200,1h",
                "--dhcp-match=set:efi,option:client-arch,7",
                "--dhcp-match=set:http,option:client-arch,16",
                f"--dhcp-boot=tag:ipxe,boot.ipxe,{SERVER},{SERVER}",
                f"--dhcp-boot=tag:!ipxe,tag:efi,snponly.efi,{SERVER},{SERVER}",
                f"--dhcp-boot=tag:!ipxe,tag:!efi,undionly.kpxe,{SERVER},{SERVER}"]

    def stop(self):
        self.dhcp.stop()
        self.target.stop()


class BootTarget(NetbootTarget):
    """netboot-target with its boot services, for one client that is known by its MAC."""
    plan = None
    shared = False

    def services(self):
        auto = '; fallback-address = "192.168.77.1/24"' if self.plan.dhcp == "none" else ""
        return f"""
interfaces = ( {{ name = "eth0"; dhcp = "auto"{auto} }} )
boot = {{ chainload = "{self.plan.chainload}" }}
clients = ( {{ mac = "{MAC}"; target = "lab"; open = true }} )
limits = {{ {self.plan.limits} }}
"""


class Ours:
    """netboot-target alone."""

    def __init__(self, lab):
        self.lab = lab
        self.target = BootTarget([Lun(lab.disk)], lab.folder, ["*"], 3260, Secrets(),
                                 namespace=lab.server)
        self.target.plan = lab.plan
        self.target.status_port = 9180  # of a namespace of its own

    def start(self):
        self.target.start()

    def stop(self):
        self.target.stop()


SERVING = {"netboot-target": Ours, "peer": Peer}


class BootLab:
    """A cable with a server on it, perhaps a router with DHCP, and a machine without a disk."""

    def __init__(self, plan, serving="netboot-target"):
        self.plan = plan
        self.stack = contextlib.ExitStack()
        self.log = TOP / "build/logs" / f"boot-{plan.name}"
        self.serving = serving

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(scratch())
            self.log.mkdir(parents=True, exist_ok=True)
            stack.callback(self.keep_logs)
            self.image = self.copy_image()
            self.disk = stack.enter_context(loop_device(self.image))
            self.wire = stack.enter_context(Segment())
            # Alone on the cable netboot-target takes its address itself.
            alone = self.plan.dhcp == "none" and self.serving == "netboot-target"
            addresses = [] if alone else [f"{SERVER}/24"]
            if self.plan.faults:
                self.server, self.bad_wire = self.wire.add_far_host("server", *addresses,
                                                                    seed=self.plan.seed)
                self.bad_wire.set(**self.plan.faults)
            else:
                self.server = self.wire.add_host("server", *addresses)
            if self.plan.dhcp == "proxy":
                router = self.wire.add_host("router", f"{ROUTER}/24", "fd77::1/64")
                advertising = ["--enable-ra", "--dhcp-range=fd77::,ra-only"]
                self.router = Dnsmasq(router, self.folder, "router",
                                      "--dhcp-range=192.168.77.100,192.168.77.200,1h",
                                      *(advertising if self.plan.ipv6_router else []))
                stack.callback(self.router.stop)
            self.capture_file = self.folder / "wire.pcap"
            self.capture = self.wire.capture(self.capture_file)
            stack.callback(self.capture.stop)
            self.server_side = SERVING[self.serving](self)
            stack.push(self.end_serving)
            self.server_side.start()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def end_serving(self, *error):
        """What ended a test before is told, not what that did to the server."""
        with contextlib.suppress(LabError if any(error) else ()):
            self.server_side.stop()

    def copy_image(self):
        return copy_disk(self.plan.variant, self.folder / "disk.img")

    def keep_logs(self):
        for file in list(self.folder.glob("*.log")) + list(self.folder.glob("*.pcap")):
            shutil.copy(file, self.log)

    @property
    def target(self):
        return self.server_side.target

    def power_on(self, *more_options, **words):
        """Gives the machine, running; it belongs to the lab. `words` are Machine's."""
        options = tap_network(self.wire.add_tap(), MAC, rom=None if self.plan.own_rom else "")
        if self.plan.uefi:
            options += uefi_firmware(self.folder, "machine")
            if self.plan.http_boot:
                for family in "IPv4", "IPv6":
                    options += ["-fw_cfg",
                                f"name=opt/org.tianocore/{family}PXESupport,string=no"]
        machine = Machine(self.folder, "machine", *options, *more_options,
                          namespace=self.wire.namespace, memory_mib=1024, log=self.log / "console.log",
                          **words)
        self.stack.enter_context(machine)
        return machine


MILESTONES = [  # what the console shows, in this order
    ("GRUB runs from the exported disk", "GRUB loads the kernel", 120),
    ("Linux starts", "Linux version", 90)]


def boot(machine, report=None):
    """Waits for an operating system that answers. Prints when each milestone was passed."""
    for name, text, seconds in MILESTONES:
        at = machine.wait_for_console(text, seconds)
        step(f"{at:5.1f} s  {name}")
        if report:
            report.ok(name, f"{at:.1f} s after power-on")
    machine.wait_for_agent(600)
    step(f"{time.monotonic() - machine.began:5.1f} s  the system answers from its root")


REPORT = r"""
echo "root=$(findmnt -no SOURCE /)"
device=$(basename $(findmnt -no SOURCE /)); disk=$(basename $(dirname $(readlink -f /sys/class/block/$device)))
echo "path=$(readlink -f /sys/block/$disk)"
for session in /sys/class/iscsi_session/session*; do
    echo "session=$(cat $session/targetname)"
    echo "session_user=$(cat $session/username 2>/dev/null)"
    echo "session_user_in=$(cat $session/username_in 2>/dev/null)"
    echo "initiator=$(cat $session/initiatorname)"
done
for file in target0/target-name target0/chap-name target0/rev-chap-name initiator/initiator-name ethernet0/mac; do
    echo "ibft:$file=$(cat /sys/firmware/ibft/$file 2>/dev/null)"
done
dd if=/dev/$disk of=/dev/null bs=1M count=64 iflag=direct 2>&1 | tail -1 | sed 's/^/read=/'
"""


def guest_report(machine):
    """What the guest says about itself, as a dictionary."""
    lines = machine.run(REPORT, 120).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def judge_guest(report, lab, machine):
    """The guest's own words: root on iSCSI, the session and the iBFT are those of our target."""
    words = guest_report(machine)
    text = "\n".join(f"{key}={value}" for key, value in words.items())
    name = lab.target.name
    report.check("the root is a disk of the iSCSI session",
                 re.fullmatch(r"/dev/sd[a-z]\d+", words.get("root", "")) and
                 "/session" in words.get("path", ""), text)
    report.check("the session is our target's", words.get("session") == name, text)
    report.check("the iBFT names our target", words.get("ibft:target0/target-name") == name, text)
    secrets = lab.target.secrets
    report.check("the iBFT carries the CHAP names of both sides",
                 (words.get("ibft:target0/chap-name"), words.get("ibft:target0/rev-chap-name")) ==
                 (secrets.user, secrets.target_user), text)
    report.check("the session has the names of both sides",
                 (words.get("session_user"), words.get("session_user_in")) ==
                 (secrets.user, secrets.target_user), text)
    if lab.serving != "peer":
        ways = {session["auth"] for session in lab.target.ask("/status")["sessions"]}
        report.check("both sides have proven themselves", ways == {"mutual CHAP"}, f"{ways}\n{text}")
    report.check("the iBFT has the machine's MAC", words.get("ibft:ethernet0/mac") == MAC, text)
    step(words.get("read", "no read time"))
    return words


def judge_disk(report, lab, machine):
    """Files written by the guest are on the image after its power-off, and the filesystem is clean."""
    nonce = random.token_hex(16)
    machine.run(f"echo {nonce} >/root/synced; sync; echo {nonce} >/root/late")
    machine.begin("systemctl poweroff")
    at = machine.wait_for_power_off(180)
    report.ok("the machine switches itself off", f"{at:.1f} s after power-on")
    lab.target.stop()
    check = check_root(lab.image)
    report.check("the filesystem on the image is clean", check.returncode == 0, check.stdout)
    for file in "synced", "late":
        found = read_root_file(lab.image, f"/root/{file}").decode(errors="replace").strip()
        report.check(f"the {file} file is on the image", found == nonce, f"found {found!r}")


def replies_of_server(lab):
    """DHCP replies of the server's machine, by its MAC: its address may not be its own yet."""
    link = json.loads(run(*inside(lab.server), "ip", "-json", "link", "show", "eth0").stdout)
    return [message for message in dhcp_messages(lab.capture_file)
            if message.reply and message.datagram.source_mac == link[0]["address"]]


def judge_wire(report, lab):
    """What the cable saw: who handed out addresses, and by what way the loader came."""
    plan = lab.plan
    replies = replies_of_server(lab)
    given = {message.client_mac for message in replies if message.your_address != "0.0.0.0"}
    if plan.dhcp == "proxy":
        report.check("beside another DHCP server we answer, and hand out no address",
                     replies and not given, f"{len(replies)} answers, addresses for {given}")
    else:
        report.check("the machine has its address from us", given == {MAC},
                     f"{len(replies)} answers, addresses for {given}")
    if plan.faults:
        counts = lab.bad_wire.counts()
        report.check("the cable did what it was told to", counts["lost"] > 100, counts)
        step(f"the cable: {counts}")
    if not plan.http_boot and (plan.chainload == "always" or not plan.own_rom):
        loader = "snponly.efi" if plan.uefi else "undionly.kpxe"
        asked = list(tftp_requests(lab.capture_file))
        report.check(f"{loader} came by TFTP", any(name.endswith(loader) for name in asked),
                     f"asked for by TFTP: {asked}")


def run_boot_test(plan):
    """The whole of a test: boot, hear the guest, switch off, look at the disk."""
    parser = argparse.ArgumentParser(description=f"Boots a machine: {plan}")
    parser.add_argument("--serving", choices=SERVING, default="netboot-target")
    serving = parser.parse_args().serving
    need_root()
    exit_on_signals()
    report = Report()
    try:
        with BootLab(plan, serving) as lab:
            machine = lab.power_on()
            boot(machine, report)
            judge_guest(report, lab, machine)
            judge_wire(report, lab)
            judge_disk(report, lab, machine)
    except LabError as error:
        report.fail("the boot came to its end", f"{error}\nlogs: {TOP}/build/logs/boot-{plan.name}")
    report.finish()
