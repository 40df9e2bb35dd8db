"""The daemon with its boot services, in a namespace that has an interface on a cable."""
import json
import signal
from pathlib import Path

from .disk import make_file
from .process import Background, inside, run, wait_for
from .report import LabError
from .targets import SANITIZER

IQN = "iqn.2026-11.local.test:lab"


def empty_target(folder):
    """A small disk with nothing on it, for everybody."""
    disk = make_file(Path(folder) / "disk.img", 16 << 20)
    return (f'{{ name = "laptop"; iqn = "{IQN}"; luns = ( {{ device = "{disk}" }} ); '
            f'auth = {{ mode = "none" }} }}')


class BootDaemon:
    """Serves `targets` (the inside of their list; an empty disk when not given). `interfaces` is the
    inside of that list, None: the configuration names none. `top` are further lines."""

    def __init__(self, program, namespace, folder, interfaces, targets=None, top="", prefix=()):
        self.program, self.namespace, self.prefix = program, namespace, prefix
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.log = self.folder / "daemon.log"
        self.log.unlink(missing_ok=True)
        self.config = self.folder / "netboot.conf"
        self.config.touch(mode=0o600)
        named = "" if interfaces is None else f"interfaces = ( {interfaces} );"
        self.config.write_text(f"""
            {named}
            targets = ( {targets or empty_target(self.folder)} );
            state-directory = "{self.folder}/state";
            {top}
            """)
        self.process = None

    def start(self, says=None):
        """Starts it and waits until it serves, or until it has said this."""
        self.process = Background(*self.prefix, self.program, "-c", self.config, "--log-level",
                                  "debug", namespace=self.namespace, log=self.log)
        if says:
            self.wait(says)
        else:
            wait_for(self.answers, 20, "status of the daemon")
        return self

    def wait_ready(self):
        """Until every disk is served."""
        wait_for(lambda: self.answers() and all(one["ready"] for one in self.status()["targets"]),
                 15, "daemon that is ready")

    def answers(self):
        self.check_running()
        return run(*inside(self.namespace), "curl", "-s", "-o", "/dev/null",
                   "http://127.0.0.1:9180/status", check=False).returncode == 0

    def check_running(self):
        if not self.process.running:
            raise LabError(f"the daemon ended:\n{self.output()[-3000:]}")

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def says(self, text):
        return text in self.output()

    def wait(self, text, seconds=15):
        def said():
            self.check_running()
            return self.says(text)
        try:
            wait_for(said, seconds, f"{text!r} in the log")
        except LabError as error:
            raise LabError(f"{error}\n{self.output()[-3000:]}") from None

    def status(self, path="status"):
        return json.loads(run(*inside(self.namespace), "curl", "-s",
                              f"http://127.0.0.1:9180/{path}").stdout)

    def reload(self):
        self.process.process.send_signal(signal.SIGHUP)

    def kill(self):
        """Ends it as a crash would; one that has ended by itself is an error."""
        self.check_running()
        self.process.kill()

    def stop(self):
        if self.process.running:
            self.process.process.terminate()
        code = self.process.wait(20)
        if code or SANITIZER in self.output():
            raise LabError(f"the daemon ended with {code}\n{self.output()[-4000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if not any(error):
            self.stop()
        elif self.process:
            self.process.stop()
