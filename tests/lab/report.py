"""Counts tests: a line per test, at the end "N passed, N failed" and the exit code."""
import contextlib
import sys
import time
import traceback


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def ok(self, name, note=""):
        self.passed += 1
        print(f"ok {name}{' - ' + note if note else ''}", flush=True)

    def fail(self, name, why):
        self.failed += 1
        print(f"not ok {name}\n" + "\n".join(f"    {line}" for line in str(why).splitlines()),
              flush=True)

    def check(self, name, condition, why=""):
        if condition:
            self.ok(name)
        else:
            self.fail(name, why or "the condition is false")
        return bool(condition)

    @contextlib.contextmanager
    def test(self, name):
        """One test: it passed when the block ends without an exception."""
        begin = time.monotonic()
        try:
            yield
        except Exception as error:  # a test may fail in any way, the next one still runs
            if not isinstance(error, LabError):
                error = traceback.format_exc()
            self.fail(name, error)
        else:
            self.ok(name, f"{time.monotonic() - begin:.1f} s")

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.failed == 0 and self.passed else 1)


class LabError(Exception):
    """Something did not go as a test expects; the text is for a person."""


def note(text):
    print(f"note: {text}", flush=True)


def step(text):
    """Progress of a long step."""
    print(f"-- {text}", flush=True)
