"""The verifying client (tests/proof/verifier.c), driven from tests."""
import os
import subprocess
from pathlib import Path

from .process import TOP, inside
from .report import LabError

VERIFIER = Path(os.environ.get("PROOF_TOOLS", TOP / "build/release/tests/proof")) / "verifier"
NO_SESSION, LOST = 3, 4  # exit codes


class Verifier:
    """Knows what may be on one LUN; `state` is its memory between runs."""

    def __init__(self, folder, target, lun=0, name="verifier", **options):
        self.target, self.folder = target, Path(folder)
        self.log = self.folder / f"{name}.log"
        self.words = [str(VERIFIER), "--state", str(self.folder / f"{name}.state"),
                      "--portal", target.portals[0], "--target", target.name,
                      "--lun", str(target.first_lun + lun)]
        for option, value in options.items():
            self.words += [f"--{option.replace('_', '-')}", str(value)]

    def command(self, verb, **options):
        words = [*inside(self.target.namespace), *self.words, verb]
        for option, value in options.items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        return words

    def run(self, verb, seconds=120, **options):
        """Runs to its end; a broken promise, or no session, is an error. Gives what it printed."""
        done = subprocess.run(self.command(verb, **options), capture_output=True, text=True,
                              timeout=seconds, check=False)
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{verb} {options}\n{done.stdout}{done.stderr}")
        if done.returncode:
            raise LabError(f"verifier {verb}: exit code {done.returncode}\n"
                           f"{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return done.stdout

    def start(self, **options):
        """Begins a load; end_load() waits for its end."""
        self.process = subprocess.Popen(self.command("load", **options), stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def end_load(self, seconds=90, killed=False):
        """Gives what it printed. `killed`: its target was, so that it has lost its sessions, or never had any."""
        try:
            output = self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise LabError(f"the verifier has not ended\n{self.process.communicate()[0]}") from None
        if self.process.returncode not in ((NO_SESSION, LOST) if killed else (0,)):
            raise LabError(f"verifier: exit code {self.process.returncode}\n{output[-3000:]}")
        return output

    def counts(self, output):
        """The last counters it printed, as a dictionary."""
        line = next((line for line in output.splitlines() if "writes=" in line), "writes=0")
        return {key: int(value) for key, value in
                (word.split("=") for word in line.split() if "=" in word)}
