"""Boots through the menu: the daemon finds the kernels on the exported disk and sends one by HTTP."""
import contextlib

from .boot import SERVING, BootLab, BootTarget, Ours, Plan  # noqa: F401, the last is for tests
from .guest import Machine, tap_network, uefi_firmware
from .process import exit_on_signals, need_root, wait_for
from .report import LabError, Report
from .targets import Lun, Secrets

USER, PASSWORD = "me", "correct.Horse_9"


class MenuTarget(BootTarget):
    """`clients` and `menu` are the insides of these groups, `kernels` of the target's."""
    clients = menu = kernels = ""

    def config(self):
        return super().config().replace(
            f'iqn = "{self.name}"', f'iqn = "{self.name}"\n  kernels = {{ {self.kernels} }}')

    def services(self):
        return f"""
interfaces = ( {{ name = "eth0"; dhcp = "auto" }} )
boot = {{ chainload = "{self.plan.chainload}" }}
clients = ( {self.clients} )
menu = {{ user = "{USER}"; password = "{PASSWORD}"; {self.menu} }}
"""


class MenuOurs(Ours):
    def __init__(self, lab):
        super().__init__(lab)
        self.target = MenuTarget([Lun(lab.disk, read_only=lab.read_only)], lab.folder, ["*"], 3260,
                                 lab.secrets, namespace=lab.server)
        self.target.plan, self.target.status_port = lab.plan, 9180
        for name, text in lab.words.items():
            setattr(self.target, name, text)


SERVING["menu"] = MenuOurs


class MenuLab(BootLab):
    """`words`: see MenuTarget."""

    def __init__(self, plan, read_only=False, secrets=True, **words):
        super().__init__(plan, "menu")
        self.read_only, self.words = read_only, words
        self.secrets = Secrets() if secrets else None

    def __enter__(self):
        super().__enter__()
        with contextlib.ExitStack() as stack:
            stack.push(super().__exit__)
            # found before anybody asks, so that the times that are told are those of the boot
            wait_for(lambda: "can be offered" in self.target.process.output(), 60,
                     lambda: f"kernels on the disk\n{self.target.process.output()[-3000:]}")
            stack.pop_all()
        return self

    def power_on_as(self, mac, name="machine", memory_mib=1024):
        """A machine of this name and MAC, running; it belongs to the lab."""
        options = tap_network(self.wire.add_tap(), mac, rom=None if self.plan.own_rom else "")
        if self.plan.uefi:
            options += uefi_firmware(self.folder, name)
        machine = Machine(self.folder, name, *options, namespace=self.wire.namespace,
                          memory_mib=memory_mib, log=self.log / f"{name}.log")
        self.stack.enter_context(machine)
        return machine

    def steps(self, mac):
        """What the journal tells of a machine: a list of its steps."""
        clients = self.target.ask("/clients")["clients"]
        return next(client["steps"] for client in clients if client["mac"] == mac)


def judge_kernel(report, lab, mac, machine):
    """Kernel and initrd came by HTTP, whole, and no boot loader of the disk was in between."""
    sent = {step["detail"]: step for step in lab.steps(mac) if step["name"] == "kernel"}
    report.check("kernel and initrd came by HTTP",
                 any(name.startswith("vmlinuz") for name in sent) and
                 any(name.startswith("initrd") for name in sent) and
                 all(step["bytes"] > 1_000_000 for step in sent.values()), sent)
    report.check("no boot loader of the disk ran", "GRUB loads" not in machine.console(),
                 machine.console()[-1000:])


def run_menu_test(lab, test):
    """`test(report, lab)` inside of the lab, judged."""
    need_root()
    exit_on_signals()
    report = Report()
    try:
        with lab:
            test(report, lab)
    except LabError as error:
        report.fail("the boot came to its end", f"{error}\nlogs: {lab.log}")
    report.finish()
