"""What a person at the machine sees and types: the serial console and QEMU's keyboard."""
import re
import time

from .process import wait_for
from .report import LabError

KEYS = {" ": "spc", "/": "slash", "-": "minus", ".": "dot", "\n": "ret", ":": "shift-semicolon",
        "_": "shift-minus"}


class Screen:
    """Reads on from where the last text was found."""

    def __init__(self, machine):
        self.machine, self.at = machine, 0

    def text(self):
        """Without cursor movements, and joined where the screen's edge broke a line."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.machine.console())
        return re.sub(r"\r?\n", "", plain)

    def wait(self, words, seconds):
        """Gives the time since power-on."""
        def there():
            if not self.machine.process.running:
                raise LabError(f"the machine has ended:\n{self.text()[-2000:]}")
            return words in self.text()[self.at:]
        try:
            wait_for(there, seconds, f"{words!r} on the screen", pause_s=0.2)
        except LabError as error:
            raise LabError(f"{error}\n{self.text()[self.at:][-2500:]}") from None
        self.at = self.text().index(words, self.at) + len(words)
        return time.monotonic() - self.machine.began

    def press(self, *names):
        """Keys by QEMU's names, one after the other; "shift-a" are two at once."""
        for name in names:
            keys = [{"type": "qcode", "data": key} for key in name.split("-")]
            self.machine.command("send-key", keys=keys)
            time.sleep(0.15)

    def type(self, text):
        for sign in text:
            self.press(KEYS.get(sign, f"shift-{sign.lower()}" if sign.isupper() else sign))
