"""A machine in QEMU (always emulated, never KVM) and the agent inside its guest."""
import base64
import json
import os
import socket
import time
from pathlib import Path

from .image import EMULATED, build
from .process import Background, wait_for
from .report import LabError

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")


# What a guest says when it will not come up any more.
GIVEN_UP = ("(initramfs)", "Entering emergency mode", "Kernel panic", "dracut:/#",
            "dracut-initqueue: timeout, still waiting")


class Silence(LabError):
    """Nothing was said in time."""


class Line:
    """A text line over a unix socket of QEMU's."""

    def __init__(self, path, process):
        self.socket = socket.socket(socket.AF_UNIX)
        self.pending = b""

        def connected():
            if not process.running:
                raise LabError(f"QEMU ended:\n{process.output()[-3000:]}")
            try:
                self.socket.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True
        wait_for(connected, 20, f"socket {path}")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def receive(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.pending:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                part = self.socket.recv(65536)
            except TimeoutError:
                raise Silence(f"the guest was silent for {seconds:.0f} s") from None
            if not part:
                raise LabError("the machine has ended")
            self.pending += part
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode(errors="replace")


class Machine:
    """Starts at once. `options` say what it boots and what network it has."""

    def __init__(self, folder, name, *options, namespace=None, memory_mib=768, log=None,
                 console_socket=None):
        """`console_socket`: where its serial line can be attached to; its log is kept all the same."""
        self.folder = Path(folder)
        self.console_log = Path(log) if log else self.folder / f"{name}.console"
        self.console_log.unlink(missing_ok=True)
        agent, monitor = self.folder / f"{name}.agent", self.folder / f"{name}.qmp"
        serial = ["-serial", f"file:{self.console_log}"]
        if console_socket:
            serial = ["-chardev", f"socket,id=console,path={console_socket},server=on,wait=off,"
                      f"logfile={self.console_log}", "-serial", "chardev:console"]
        self.began = time.monotonic()
        self.process = Background(
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-nodefaults", "-display", "none",
            "-machine", "q35,graphics=off", "-m", memory_mib, "-no-reboot",
            *serial,
            "-qmp", f"unix:{monitor},server=on,wait=off",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={agent},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=lab",
            *options, namespace=namespace, log=self.folder / f"{name}.qemu")
        self.agent = Line(agent, self.process)
        self.monitor = Line(monitor, self.process)
        self.monitor.receive(20)
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        """One command of QEMU's machine protocol."""
        self.monitor.send(json.dumps({"execute": name, "arguments": arguments}))
        while True:
            answer = json.loads(self.monitor.receive(20))
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU refused {name}: {answer['error']['desc']}")

    def console(self):
        try:
            return self.console_log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_for_agent(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.agent.receive(1)
                break
            except Silence:
                words = [text for text in GIVEN_UP if text in self.console()]
                if words or time.monotonic() > deadline:
                    why = f"the console says '{words[0]}'" if words else f"none after {seconds} s"
                    raise LabError(f"no guest: {why}\n{self.console()[-3000:]}") from None
        if line != "ready":
            raise LabError(f"the guest said {line!r}")

    def wait_for_console(self, text, seconds, times=1):
        """Waits until the console has shown the text so many times; gives the time since power-on."""
        def there():
            if not self.process.running:
                raise LabError(f"the machine ended before '{text}':\n{self.console()[-2000:]}\n"
                               f"{self.process.output()[-2000:]}")
            return self.console().count(text) >= times
        try:
            wait_for(there, seconds, f"'{text}' on the console")
        except LabError as error:
            raise LabError(f"{error}\n{self.console()[-2500:]}") from None
        return time.monotonic() - self.began

    def begin(self, script):
        self.agent.send(base64.b64encode(script.encode()).decode())

    def result(self, seconds, check=True):
        code, _, output = self.agent.receive(seconds).partition(" ")
        output = base64.b64decode(output).decode(errors="replace")
        if check and code != "0":
            raise LabError(f"in the guest, exit code {code}:\n{output[-3000:]}\n"
                           f"console:\n{self.console()[-800:]}")
        return output if check else (int(code), output)

    def run(self, script, seconds=180, check=True):
        """Runs a shell script in the guest; gives its output, or (exit code, output)."""
        self.begin(script)
        return self.result(seconds, check)

    def freeze(self):
        """As a suspended host does to its guests: no instruction runs, no packet is taken."""
        self.command("stop")

    def go_on(self):
        self.command("cont")

    def reset(self):
        """The reset button. From then on a reboot of the guest's own does not end the machine."""
        self.command("set-action", reboot="reset")
        self.command("system_reset")

    def wait_for_power_off(self, seconds):
        try:
            self.process.wait(seconds)
        except LabError:
            raise LabError(f"no power-off after {seconds} s\n{self.console()[-2500:]}") from None
        return time.monotonic() - self.began

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()


def user_network(address=None):
    """QEMU's own network: 10.0.2.2 and fec0::2 are the host's loopback."""
    return ["-netdev", "user,id=net0,ipv6=on,ipv6-net=fec0::/64",
            "-device", "virtio-net-pci,netdev=net0,romfile="]


def tap_network(tap, mac, model="virtio-net-pci", rom=None):
    """A tap that exists already; rom "" takes the network card's boot ROM away."""
    device = f"{model},netdev=net0,mac={mac},bootindex=1" + ("" if rom is None else f",romfile={rom}")
    return ["-netdev", f"tap,id=net0,ifname={tap},script=no,downscript=no", "-device", device]


def small_guest(folder, name, network, **options):
    """The Debian kernel with nothing but the agent: for tests of the initiator."""
    image = build("initramfs-tools")
    return Machine(folder, name,
                   "-kernel", image / "vmlinuz", "-initrd", image / "initrd", "-append",
                   f"root=/dev/vda rw {EMULATED} console=ttyS0 net.ifnames=0 panic=-1 init=/usr/lib/lab/init",
                   "-drive", f"file={image / 'root.ext4'},format=raw,if=virtio,snapshot=on",
                   *network, **options)


def uefi_firmware(folder, name):
    """OVMF with variables of its own."""
    variables = Path(folder) / f"{name}.vars"
    variables.write_bytes(OVMF_VARS.read_bytes())
    os.chmod(variables, 0o600)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
