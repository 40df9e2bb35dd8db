"""The iSCSI targets that tests drive: netboot-target, and tgt as a peer for comparison."""
import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from .process import TOP, Background, free_port, inside, run, wait_for
from .report import LabError

SANITIZER = "Sanitizer:"  # in what it says when one has found something
PROGRAM = Path(os.environ.get("NETBOOT_TARGET", TOP / "build/release/netboot-target"))


@dataclass
class Lun:
    device: Path
    read_only: bool = False
    write: str = "auto"
    sanitize: bool = False
    write_cache: bool = True


@dataclass
class Secrets:
    user: str = "guest"
    secret: str = "guest-secret-0123"
    target_user: str = "target"
    target_secret: str = "target-secret-4567"


@dataclass
class Target:
    """What every peer is told; `name` and `first_lun` are its own."""
    luns: list
    folder: Path  # for its log and state
    addresses: list = field(default_factory=lambda: ["127.0.0.1"])
    port: int = 0
    secrets: Secrets = None
    cpu: int = None
    namespace: str = None
    process: Background = None
    program: Path = PROGRAM

    def __post_init__(self):
        self.port = self.port or free_port()

    @property
    def pid(self):
        return self.process.pid

    @property
    def portals(self):
        return [f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
                for address in self.addresses]

    def url(self, lun=0):
        login = f"{self.secrets.user}%{self.secrets.secret}@" if self.secrets else ""
        return f"iscsi://{login}{self.portals[0]}/{self.name}/{self.first_lun + lun}"

    def launch(self, *command, **options):
        self.process = Background(*command, cpu=self.cpu, namespace=self.namespace,
                                  log=self.folder / f"{self.kind}.log", **options)

        def listening():
            if not self.process.running:
                raise LabError(f"{self.kind} ended:\n{self.process.output()[-3000:]}")
            return run(*inside(self.namespace), "ss", "-Hltn", f"sport = :{self.port}").stdout
        wait_for(listening, 60, f"{self.kind} listening on port {self.port}")

    def check_running(self):
        if not self.process.running:
            raise LabError(f"{self.kind} ended with {self.process.process.returncode}:\n"
                           f"{self.process.output()[-4000:]}")

    def kill(self):
        """Ends it as a crash would; one that has ended by itself is an error."""
        self.check_running()
        self.process.kill()

    def stop(self):
        self.process.stop()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        if any(error):  # which is told already
            self.process.stop()
        else:
            self.stop()


class NetbootTarget(Target):
    kind = "netboot-target"
    name = "iqn.2026-11.local.netboot-target:lab"
    first_lun = 0
    status_port = 0
    end_codes = (0,)
    service = None  # sandbox.Service: what the shipped unit takes away is taken away
    shared = True  # any test may log in under any name

    def config(self):
        words = []
        for number, lun in enumerate(self.luns):
            words.append(f'{{ lun = {number}; device = "{lun.device}"; write = "{lun.write}"; '
                         f"read-only = {str(lun.read_only).lower()}; "
                         f"sanitize = {str(lun.sanitize).lower()}; "
                         f"write-cache = {str(lun.write_cache).lower()} }}")
        auth = '{ mode = "none" }'
        if self.secrets:
            auth = (f'{{ mode = "mutual"; user = "{self.secrets.user}"; '
                    f'secret = "{self.secrets.secret}"; '
                    f'target-user = "{self.secrets.target_user}"; '
                    f'target-secret = "{self.secrets.target_secret}" }}')
        portals = ", ".join(f'"{portal}"' for portal in self.portals)
        return f"""
portals = [ {portals} ]
state-directory = "{self.folder}/state"
targets = ( {{
  name = "lab"
  shared = {str(self.shared).lower()}
  iqn = "{self.name}"
  luns = ( {", ".join(words)} )
  auth = {auth}
}} )
status = {{ listen = "127.0.0.1:{self.status_port}" }}
{self.services()}
"""

    def launch_service(self, *command):
        for path in self.folder, self.folder / "state", self.folder / "netboot.conf":
            os.chown(path, self.service.user, self.service.user)
        cpu, self.cpu = self.cpu, None  # no taskset in front
        try:
            self.launch(*command, preexec_fn=functools.partial(self.service.enter, cpu))
        finally:
            self.cpu = cpu

    def services(self):
        """No boot services: only iSCSI, with room for every test."""
        return """
interfaces = ( { name = "lo", dhcp = "off" } )
boot = { http-listen = []; tftp-listen = [] }
limits = { connections = 2048; connections-per-source = 2048; logins-per-source = 64;
           sessions-per-initiator = 2048 }
"""

    def ask(self, path):
        """JSON from the status listener; None while there is no answer."""
        answer = run(*inside(self.namespace), "curl", "--silent", "--max-time", "5",
                     f"http://127.0.0.1:{self.status_port}{path}", check=False).stdout
        try:
            return json.loads(answer)
        except ValueError:
            return None

    def ready(self):
        status = self.ask("/status")
        return status and all(target["ready"] for target in status["targets"])

    def start(self):
        self.status_port = self.status_port or free_port()
        (self.folder / "state").mkdir(exist_ok=True)
        file = self.folder / "netboot.conf"
        file.touch(mode=0o600)
        file.write_text(self.config())
        if self.service:
            self.launch_service(self.program, "-c", file)
        else:
            self.launch(self.program, "-c", file)
        wait_for(self.ready, 60, "disk that is open")

    def stop(self):
        """Asks it to end, and judges how it does."""
        code = self.process.stop(30)
        if not (code in self.end_codes or self.process.killed) or SANITIZER in self.process.output():
            raise LabError(f"{self.kind} ended with {code}:\n{self.process.output()[-6000:]}")


class Tgt(Target):
    """Debian's tgt. LUN 0 is its controller; it does not end at SIGTERM."""
    kind = "tgtd"
    name = "iqn.2026-11.local.peer:tgt"
    first_lun = 1

    @property
    def environment(self):
        return {**os.environ, "TGT_IPC_SOCKET": str(self.folder / "tgtd")}

    def admin(self, *words):
        run(*inside(self.namespace), "tgtadm", "--lld", "iscsi", *words, env=self.environment)

    def start(self):
        portals = ",".join(f"portal={portal}" for portal in self.portals)
        self.launch("tgtd", "--foreground", "--iscsi", portals, env=self.environment)
        self.admin("--op", "new", "--mode", "target", "--tid", "1", "--targetname", self.name)
        for key in "HeaderDigest", "DataDigest":
            self.admin("--op", "update", "--mode", "target", "--tid", "1", "--name", key,
                       "--value", "CRC32C,None")
        for number, lun in enumerate(self.luns, 1):
            flags = ["--bsoflags", "direct"] if lun.write == "direct" else []
            self.admin("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", number,
                       "--backing-store", lun.device, *flags)
            if lun.read_only:
                self.admin("--op", "update", "--mode", "logicalunit", "--tid", "1",
                           "--lun", number, "--params", "readonly=1")
        if self.secrets:
            self.add_account(self.secrets.user, self.secrets.secret)
            self.add_account(self.secrets.target_user, self.secrets.target_secret, "--outgoing")
        self.admin("--op", "bind", "--mode", "target", "--tid", "1", "--initiator-address", "ALL")

    def add_account(self, user, secret, *direction):
        self.admin("--op", "new", "--mode", "account", "--user", user, "--password", secret)
        self.admin("--op", "bind", "--mode", "account", "--tid", "1", "--user", user, *direction)

    def stop(self):
        self.process.kill()
