"""Short boots: a machine is switched on beside the daemon, and the daemon's own words tell how far it
came. No operating system is needed, only what firmware and iPXE do."""
import contextlib
import json
import os
from pathlib import Path

from .boot import Dnsmasq
from .boot_daemon import BootDaemon
from .guest import OVMF_CODE, OVMF_VARS, Machine, tap_network
from .network import Segment
from .process import inside, run, wait_for
from .report import LabError
from .targets import PROGRAM

MAC = "52:54:00:77:00:09"
SERVER = "192.168.77.1"
ROUTER = "192.168.77.254"
RANGE = "--dhcp-range=192.168.77.100,192.168.77.200,1h"
OVMF = Path("/usr/share/OVMF")


# ── firmware ─────────────────────────────────────────────────────────────────────────────────────

def flash(folder, code, variables, *more):
    copy = folder / "variables.fd"
    copy.write_bytes(Path(variables).read_bytes())
    os.chmod(copy, 0o600)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
            "-drive", f"if=pflash,format=raw,unit=1,file={copy}", *more]


SMM = ("-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on")


def bios(_folder):
    """SeaBIOS, with the iPXE of the card's ROM."""
    return [], None


def uefi(folder):
    """OVMF's own PXE and HTTP clients, no iPXE in the card."""
    return flash(folder, OVMF_CODE, OVMF_VARS), ""


def uefi_with_ipxe(folder):
    """OVMF with the iPXE driver of the card's ROM."""
    return flash(folder, OVMF_CODE, OVMF_VARS), None


def uefi_http(folder):
    """OVMF that boots by HTTP alone."""
    options, rom = uefi(folder)
    for family in "IPv4", "IPv6":
        options += ["-fw_cfg", f"name=opt/org.tianocore/{family}PXESupport,string=no"]
    return options, rom


def uefi_secure(folder):
    """OVMF with Secure Boot and Microsoft's keys."""
    return flash(folder, OVMF / "OVMF_CODE_4M.secboot.fd", OVMF / "OVMF_VARS_4M.ms.fd", *SMM), ""


def uefi_ia32(folder):
    """OVMF on 32-bit x86, for which Debian has no iPXE."""
    return flash(folder, OVMF / "OVMF32_CODE_4M.secboot.fd", OVMF / "OVMF32_VARS_4M.fd", *SMM), ""


# ── the boot ─────────────────────────────────────────────────────────────────────────────────────

class ShortBoot:
    """A cable with our server on it, and a router that gives addresses unless `router` is None: the
    further options of its dnsmasq. `config` is the text of ours without its targets; `targets`
    replaces the one of a small empty disk, called laptop."""

    def __init__(self, folder, name, config="", targets=None, router=(), dhcp="proxy"):
        self.name, self.folder = name, Path(folder) / name
        self.folder.mkdir()
        self.config, self.targets = config, targets
        self.router_options, self.dhcp = router, dhcp
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.wire = stack.enter_context(Segment())
            self.server = self.wire.add_host("server", f"{SERVER}/24")
            if self.router_options is not None:
                self.router = self.wire.add_host("router", f"{ROUTER}/24")
                stack.callback(Dnsmasq(self.router, self.folder, "router", RANGE, "--no-ping",
                                       *self.router_options).stop)
            self.daemon = stack.enter_context(BootDaemon(
                PROGRAM, self.server, self.folder, f'{{ name = "eth0"; dhcp = "{self.dhcp}" }}',
                self.targets, self.config))
            self.daemon.start()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_error):
        self.stack.close()

    def inside(self, *command, **options):
        """Runs on the server."""
        return run(*inside(self.server), *command, **options).stdout

    def drop(self, protocol, port):
        """What a firewall does: packets to this port of the server vanish."""
        for words in ("add table inet lab",
                      "add chain inet lab in { type filter hook input priority 0; }",
                      f"add rule inet lab in {protocol} dport {port} drop"):
            self.inside("nft", words)

    def pull_cable(self):
        """Of the server."""
        self.wire.inside("ip", "link", "set", "server", "down")

    def power_on(self, firmware=bios, *options):
        more, rom = firmware(self.folder)
        machine = Machine(self.folder, "machine", *more, *tap_network(self.wire.add_tap(), MAC, rom=rom),
                          *options, namespace=self.wire.namespace, memory_mib=512)
        self.stack.enter_context(machine)
        self.machine = machine
        return machine

    # ── the daemon's words ──────────────────────────────────────────────────────────────────────

    def clients(self):
        return self.daemon.status("clients")["clients"]

    def client(self):
        """The story of the one machine; None: nobody was heard yet."""
        clients = self.clients()
        return next((one for one in clients if one["mac"] == MAC), clients[0] if clients else None)

    def wait_for(self, condition, seconds, what):
        """Waits until the client's story fits; gives it."""
        def fits():
            self.daemon.check_running()
            client = self.client()
            return client if client and condition(client) else None
        try:
            return wait_for(fits, seconds, what, pause_s=0.3)
        except LabError as error:
            raise LabError(f"{error}\nstory: {json.dumps(self.client(), indent=1)}\n"
                           f"screen: {self.machine.console()[-1500:]}") from None

    def wait_for_step(self, step, seconds):
        return self.wait_for(lambda one: one["step"] == step or
                             any(passed["name"] == step for passed in one["steps"]),
                             seconds, f"step {step}")

    def wait_for_stop(self, seconds):
        return self.wait_for(lambda one: one["state"] == "stopped", seconds, "end of the story")
