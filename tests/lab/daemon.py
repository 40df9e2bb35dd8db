"""The daemon under test: its configuration, its life, its status."""
import http.client
import json
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .process import Background, free_port, run, wait_for
from .report import LabError
from .targets import SANITIZER

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else None
AUTHORITY = "iqn.2026-11.local.test"


def target(name, *luns, auth='{ mode = "none" }', iqn=None, more=""):
    """One target's group. A LUN is a path or the inside of its group."""
    groups = [lun if isinstance(lun, str) and "=" in lun.split("/")[0] else f'device = "{lun}"'
              for lun in luns]
    name_line = f'iqn = "{iqn}";' if iqn is not None else f'iqn = "{AUTHORITY}:{name}";'
    return (f'{{ name = "{name}"; {name_line if iqn != "" else ""} auth = {auth}; {more}\n'
            f'  luns = ( {", ".join(f"{{ {group} }}" for group in groups)} ) }}')


@dataclass
class Daemon:
    folder: Path
    targets: list = field(default_factory=list)
    more: str = ""  # further top-level configuration
    limits: str = ""
    arguments: tuple = ()
    prefix: tuple = ()  # a command in front of the program
    portals: list = None
    program: Path = None  # another one than the test was started with
    process: Background = None

    def __post_init__(self):
        self.folder = Path(self.folder)
        self.folder.mkdir(exist_ok=True)
        self.port, self.status_port = free_port(), free_port()
        self.portals = self.portals or [f"127.0.0.1:{self.port}"]
        self.state = self.folder / "state"
        self.config = self.folder / "netboot.conf"
        self.log = self.folder / "log"

    # ── configuration ───────────────────────────────────────────────────────────────────────────

    def text(self):
        portals = ", ".join(f'"{portal}"' for portal in self.portals)
        return f"""
portals = [ {portals} ];
state-directory = "{self.state}";
status = {{ listen = "127.0.0.1:{self.status_port}" }};
interfaces = ( {{ name = "lo"; dhcp = "off" }} );
boot = {{ http-listen = []; tftp-listen = [] }};
limits = {{ {self.limits} }};
{self.more}
targets = ( {", ".join(self.targets)} );
"""

    def write_config(self, text=None):
        self.config.touch(mode=0o600)
        self.config.write_text(text or self.text())

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    def launch(self, **options):
        self.write_config()
        self.process = Background(*self.prefix, self.program or PROGRAM, *(self.arguments or ("-c", self.config)),
                                  log=self.log, **options)
        return self

    def start(self, seconds=60, **options):
        """Starts it and waits until every target is served."""
        self.launch(**options)
        try:
            self.wait_ready(seconds)
        except BaseException:
            self.process.stop(25)
            raise
        return self

    def wait_ready(self, seconds=60):
        def ready():
            self.check_running()
            try:
                return all(item["ready"] for item in self.status()["targets"])
            except OSError:
                return False
        wait_for(ready, seconds, lambda: f"daemon that is ready\n{self.says()[-3000:]}")

    def check_running(self):
        if not self.process.running:
            raise LabError(f"the daemon ended with {self.process.process.returncode}\n"
                           f"{self.says()[-6000:]}")

    @property
    def pid(self):
        return self.process.pid

    def says(self, text=None):
        """The log; or whether it has this text."""
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        return log if text is None else text in log

    def wait_log(self, text, seconds=10):
        wait_for(lambda: self.says(text), seconds, lambda: f"line with {text!r} in\n{self.says()[-3000:]}")

    def signal(self, number):
        self.process.process.send_signal(number)

    def reload(self, text=None, seconds=10):
        """Writes the configuration anew, sends SIGHUP and waits until it was read."""
        before = self.says().count("reload")
        self.write_config(text)
        self.signal(signal.SIGHUP)
        wait_for(lambda: self.says().count("reload") > before, seconds, "word about the reload")

    def ends(self, seconds=30, code=0):
        """Waits for its end and judges it."""
        found = self.process.wait(seconds)
        if found != code or SANITIZER in self.says():
            raise LabError(f"the daemon ended with {found}, expected {code}\n"
                           f"{self.says()[-6000:]}")

    def stop(self, seconds=30, code=0):
        if self.process and self.process.running:
            self.process.process.terminate()
        self.ends(seconds, code)

    def kill(self):
        """Ends it as a crash would; one that has ended by itself is an error."""
        self.check_running()
        self.process.kill()

    # ── status ──────────────────────────────────────────────────────────────────────────────────

    def http(self, method, path, body=None, port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.status_port, timeout=5)
        try:
            connection.request(method, path, body, {"X-Netboot-Target": "1"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self, port=None):
        code, body = self.http("GET", "/status", port=port)
        if code != 200:
            raise LabError(f"GET /status: {code} {body}")
        return json.loads(body)

    def target(self, name):
        return next(item for item in self.status()["targets"] if item["name"] == name)

    def lun(self, name, number=0):
        return next(item for item in self.target(name)["luns"] if item["number"] == number)

    def wait_lun(self, name, number, condition, seconds=15):
        """Waits until condition(LUN's status) is true; gives that status."""
        def fits():
            self.check_running()
            try:
                lun = self.lun(name, number)
            except OSError:  # it does not listen yet
                return None
            return lun if condition(lun) else None
        return wait_for(fits, seconds,
                        lambda: f"LUN {number} of {name} as expected\n{self.says()[-3000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process and self.process.running:
            if any(error):
                self.process.stop(25)
            else:
                self.stop()


def iqn(name):
    return f"{AUTHORITY}:{name}"


def check(*arguments, **options):
    """Runs the program to its end."""
    return run(PROGRAM, *arguments, check=False, timeout=20, **options)
