"""A client that goes on: what an initiator with an operating system behind it does when its target is
restarted. It logs in again and expects that nothing it was told is written has been lost."""
import os
import threading
import time

from .dhcp_client import entered
from .initiator import CHECK_CONDITION, GOOD, Closed, Refused, Session
from .report import LabError

RETRY_STATUS = 0x0301  # service unavailable: what a target answers that is not ready yet
UNIT_ATTENTION = 6


class SteadyClient(threading.Thread):
    """Writes and reads back a region of its own over one session at a time. `error`: what no client
    may see; `longest_gap`: seconds without an answer; `obeys`: logs out when it is asked to."""

    def __init__(self, namespace, number, target, secrets, address, obeys=True, port=3260):
        super().__init__(daemon=True)
        self.namespace, self.obeys = namespace, obeys
        self.login = {"target": target, "address": address, "secrets": secrets,
                      "name": f"iqn.2026-11.local.test:steady-{number}",
                      "isid": bytes.fromhex("00023d0000") + bytes([number])}
        self.port, self.lba, self.blocks = port, 4096 + number * 1024, 64
        self.rounds = self.logins = 0
        self.longest_gap, self.error, self.stopping = 0.0, None, False
        self.acknowledged = self.sent = None
        self.last = time.monotonic()
        self.start()

    def connect(self):
        with entered(self.namespace):
            session = Session(self.port, **self.login)
        self.logins += 1
        return session

    def command(self, session, cdb, data_out=b"", data_in=0):
        """A unit attention is news, not an error."""
        while True:
            answer = session.command(cdb, data_out, data_in)
            if answer.status == GOOD:
                return answer.data
            if answer.status != CHECK_CONDITION or answer.sense_words[0] != UNIT_ATTENTION:
                raise LabError(f"an I/O error: CDB {bytes(cdb).hex()}: {answer}")

    def check(self, session):
        found = self.command(session, session.read_cdb(self.lba, self.blocks),
                             data_in=self.blocks * 512)
        if self.acknowledged and found not in (self.acknowledged, self.sent):
            raise LabError("an acknowledged write is lost")
        self.acknowledged = found  # also what was written without an answer, now that it was seen

    def work(self, session):
        self.check(session)
        while not self.stopping and not (self.obeys and session.logout_requested):
            self.sent = os.urandom(512) * self.blocks
            self.command(session, session.write_cdb(self.lba, self.blocks), self.sent)
            self.acknowledged = self.sent
            self.check(session)
            now = time.monotonic()
            self.longest_gap, self.last = max(self.longest_gap, now - self.last), now
            self.rounds += 1

    def run(self):
        while not self.stopping and not self.error:
            try:
                with self.connect() as session:
                    self.work(session)
            except Refused as refused:
                if refused.status != RETRY_STATUS:
                    self.error = refused
                time.sleep(0.2)
            except (Closed, OSError):
                time.sleep(0.2)
            except LabError as error:
                self.error = error

    def goes_on(self, rounds):
        """It has done more than so many rounds, without an error."""
        if self.error:
            raise LabError(f"{self.login['name']} after {self.rounds} rounds: {self.error}")
        return self.rounds > rounds

    def stop(self):
        self.stopping = True
        self.join(30)
        self.goes_on(-1)
