#!/usr/bin/env python3
"""The initiators that boot from us, each with its habits: isboot, iPXE and Microsoft's log in, find their
disk, run I/O, lose their connection and recover. Real ones are used in tests/boot and tests/guest;
these models (tests/lab/firmware.py) choke on whatever the real ones are known to choke on.

usage: test_initiators.py NETBOOT-TARGET
"""
import contextlib
import os
import random
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.faulty import Faulty  # noqa: E402
from lab.firmware import Choked, Ipxe, Isboot, Microsoft  # noqa: E402
from lab.initiator import (CHECK_CONDITION, DATA_IN, GOOD, NOP_IN, OPEN_ISCSI_ISID, Closed,  # noqa: E402
                           Session)
from lab.process import exit_on_signals, need_root, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402
from lab.targets import Secrets  # noqa: E402

NAME = "iqn.2010-04.org.ipxe:52540077-0002"
SECRETS = Secrets("laptop", "laptop-secret-01", "server", "server-secret-01")
ONE_WAY = Secrets("laptop", "laptop-secret-01", "", "")
CHAP = (f'{{ mode = "chap"; user = "{SECRETS.user}"; secret = "{SECRETS.secret}" }}')
MUTUAL = (f'{{ mode = "mutual"; user = "{SECRETS.user}"; secret = "{SECRETS.secret}"; '
          f'target-user = "{SECRETS.target_user}"; target-secret = "{SECRETS.target_secret}" }}')


def status_of(daemon, name):
    return [item for item in daemon.status()["sessions"] if item["target"] == iqn(name)]


def isboot(daemon, name="plain", **options):
    return Isboot(daemon.port, iqn(name), NAME, **options)


# ── isboot, line by line ────────────────────────────────────────────────────────────────────────

def test_isboot_login(report, daemon):
    with report.test("isboot: CmdSN begins where it likes, and goes on from there"):
        for first in (0, 1, 0x7fffffff, 0xffffffff):
            counters = Isboot.Counters()
            counters.command = first
            with contextlib.closing(isboot(daemon, counters=counters)) as initiator:
                for _ in range(3):
                    initiator.command(bytes(6))
    with report.test("isboot: its ExpStatSN is its own count, and is ignored"):
        for status in (0, 0x80000000, 0xfffffff0):
            counters = Isboot.Counters()
            counters.status = status
            with contextlib.closing(isboot(daemon, counters=counters)) as initiator:
                initiator.scan()
    with report.test("isboot: NSG with T=0, bit 7 instead of the I bit (0.2.14)"):
        with contextlib.closing(isboot(daemon, "chap", secrets=ONE_WAY)) as initiator:
            initiator.scan()
        for name, secrets in (("plain", None), ("mutual", SECRETS)):
            counters = Isboot.Counters()
            for _login in range(2):  # 0x83, then 0x03
                with contextlib.closing(isboot(daemon, name, secrets=secrets, counters=counters,
                                               version=14)) as initiator:
                    initiator.scan()
    with report.test("isboot: a new login of its one ISID ends the old session at once"):
        old = isboot(daemon)
        begin = time.monotonic()
        with contextlib.closing(isboot(daemon, counters=old.counters)) as new:
            assert time.monotonic() - begin < 1
            assert [item["tsih"] for item in status_of(daemon, "plain")] == [new.tsih]
            try:
                while True:
                    old.poll()
            except Closed:
                pass
        old.close()
    with report.test("isboot: TSIH is never 0, nor is that of the session before"):
        seen = set()
        counters = Isboot.Counters()
        for _ in range(8):
            with contextlib.closing(isboot(daemon, counters=counters)) as initiator:
                assert initiator.tsih not in seen
                seen.add(initiator.tsih)
    with report.test("isboot: CHAP in hexadecimal, one way and both"):
        for name, secrets in (("chap", ONE_WAY), ("mutual", SECRETS)):
            with contextlib.closing(isboot(daemon, name, secrets=secrets)) as initiator:
                initiator.scan()
                assert status_of(daemon, name)[0]["auth"] == ("CHAP" if name == "chap" else "mutual CHAP")
    with report.test("isboot: the operational stage ends with one answer that has our limits in it"):
        with contextlib.closing(isboot(daemon)) as initiator:
            assert initiator.receive_bytes == 262144 and initiator.wait_seconds <= 2
            assert {"HeaderDigest", "DataDigest", "MaxRecvDataSegmentLength", "InitialR2T",
                    "ImmediateData", "MaxBurstLength", "FirstBurstLength"} <= set(initiator.negotiated)


def test_isboot_commands(report, daemon, image):
    with report.test("isboot: a window of 256 and more, and nothing beyond it is dropped"):
        with contextlib.closing(isboot(daemon, "pair")) as initiator:
            luns, _identity = initiator.scan()
            assert initiator.window >= 256, initiator.window
            assert luns == [0, 1]
            initiator.cam(bytes(6), lun=1)
            tags = {initiator.start(struct.pack(">BBIBHB", 0x28, 0, 8 * number, 0, 8, 0),
                                    data_in=4096, lun=number % 2) for number in range(510)}
            while tags:
                ended = initiator.poll()
                if ended:
                    assert ended[1].status == GOOD, ended
                    tags.remove(ended[0])
    with report.test("isboot: good reads end with Data-In, in every size, also for 0.2.14"):
        data = image.read_bytes()
        for version in (14, 16):
            with contextlib.closing(isboot(daemon, version=version)) as initiator:
                initiator.scan()
                for blocks in (1, 7, 8, 64, 511, 512, 513, 2048):
                    answer = initiator.command(initiator.read_cdb(3, blocks), data_in=blocks * 512)
                    assert answer.status == GOOD and not answer.by_response, answer
                    assert answer.data == data[3 * 512:(3 + blocks) * 512]
    with report.test("isboot: errors come as a SCSI Response alone, without data before it"):
        for version in (14, 16):
            with contextlib.closing(isboot(daemon, version=version)) as initiator:
                initiator.scan()
                for cdb, expected in ((initiator.read_cdb(initiator.blocks, 8), 4096),
                                      (struct.pack(">BBBHB", 0x12, 1, 0xee, 255, 0), 255),
                                      (struct.pack(">BBBBBB", 0x1a, 0, 0x3e, 0, 255, 0), 255)):
                    answer = initiator.command(cdb, data_in=expected)
                    assert answer.status == CHECK_CONDITION and answer.by_response, answer
                    assert answer.sense_words[0] == 5 and not answer.data, answer
    with report.test("isboot: writes of up to 1 MiB in immediate data and R2Ts of our bursts"):
        with contextlib.closing(isboot(daemon)) as initiator:
            initiator.scan()
            for blocks in (1, 100, 512, 513, 2048):
                data = random.Random(blocks).randbytes(blocks * 512)
                answer = initiator.command(initiator.write_cdb(4096, blocks), data)
                assert answer.status == GOOD, answer
                answer = initiator.command(initiator.read_cdb(4096, blocks), data_in=blocks * 512)
                assert answer.data == data, f"{blocks} blocks read back differently"
    with report.test("isboot: a NOP-Out that is not immediate and has no F bit is answered"):
        with contextlib.closing(isboot(daemon)) as initiator:
            tag = initiator.nop()
            header, _data = initiator.next_pdu()
            assert header[0] & 0x3f == NOP_IN and int.from_bytes(header[16:20], "big") == tag
            initiator.scan()  # its CmdSN was counted
    with report.test("isboot: nobody looks at the LUN of a NOP-Out"):
        with contextlib.closing(isboot(daemon)) as initiator:
            for lun in (b"\x00\x00", b"\x00\x07", b"\xff\xff"):
                initiator.counters.tag += 1
                initiator.send(struct.pack(">BB6x8sIIII16x", 0x00, 0, lun.ljust(8, b"\0"),
                                           initiator.counters.tag, 0xffffffff,
                                           initiator.command_number, 0))
                initiator.counters.command += 1
                assert initiator.next_pdu()[0][0] & 0x3f == NOP_IN
            initiator.scan()
    with report.test("isboot: it is not pinged, and silence costs it nothing (0.2.14 answers no ping)"):
        for version in (14, 16):
            with contextlib.closing(isboot(daemon, version=version)) as initiator:
                initiator.scan()
                time.sleep(7)  # longer than keepalive
                initiator.scan()
                assert initiator.pings == 0
    with report.test("isboot: at shutdown it is told nothing, since it would take that for an error"):
        daemon.process.process.terminate()  # the caller starts it anew
        # its session is cut when running commands had their time; nothing but TCP tells it
        with contextlib.suppress(OSError, LabError):
            while True:
                daemon.status()
                time.sleep(0.1)
        daemon.ends(30)


def test_isboot_recovery(report, folder):
    data = random.Random("isboot").randbytes(64 << 10)
    with Faulty(folder / "isboot-disk", 16 * MIB, writes_per_second=60) as disk:
        daemon = Daemon(folder / "isboot", [target("plain", f'device = "{disk.device}"')])
        with daemon.start():
            initiator = isboot(daemon)
            first = initiator.scan()
            with report.test("isboot boots, runs I/O, loses its connection and recovers: a reset"):
                for number in range(24):
                    initiator.start(initiator.write_cdb(256 * number, 128), data)
                tsih = status_of(daemon, "plain")[0]["tsih"]
                assert daemon.http("POST", f"/sessions/{tsih}/drop")[0] == 200
                initiator = finish_all(initiator)
                assert initiator.scan() == first, "it would declare the disk lost"
            with report.test("the same with kill -9 and a restart of the daemon in the middle"):
                for number in range(24):
                    initiator.start(initiator.write_cdb(256 * number + 128, 128), data[::-1])
                daemon.process.process.kill()
                daemon.process.wait(30)
                daemon.launch()
                initiator = finish_all(initiator)
                assert initiator.scan() == first, "it would declare the disk lost"
            with report.test("and every write that was acknowledged is there"):
                for number in range(24):
                    for lba, wanted in ((256 * number, data), (256 * number + 128, data[::-1])):
                        answer = initiator.command(initiator.read_cdb(lba, 128), data_in=65536)
                        assert answer.data == wanted, f"LBA {lba}"
            initiator.close()


def finish_all(initiator):
    """Waits for everything that is under way, recovering as often as it takes; gives the last one."""
    deadline = time.monotonic() + 60
    attention = 0
    while initiator.running:
        if time.monotonic() > deadline:
            raise LabError(f"{len(initiator.running)} commands are still waiting")
        try:
            tag_was = dict(initiator.running)
            ended = initiator.poll()
        except (OSError, Closed):
            initiator = initiator.again()
            continue
        if not ended:
            continue
        tag, answer = ended
        if answer.status == CHECK_CONDITION and answer.sense_words[0] == 6 and attention < 8:
            attention += 1  # CAM sends it anew
            cdb, data_out, buffer, _received, lun = tag_was[tag][:5]
            initiator.start(cdb, data_out, len(buffer), lun)
        else:
            assert answer.status == GOOD, answer
    return initiator


# ── iPXE ────────────────────────────────────────────────────────────────────────────────────────

def test_ipxe(report, daemon, image):
    with report.test("iPXE: logs in without CHAP, with it, and both ways"):
        for name, secrets in (("plain", None), ("chap", ONE_WAY), ("mutual", SECRETS)):
            with contextlib.closing(Ipxe(daemon.port, iqn(name), secrets=secrets)) as initiator:
                assert initiator.open_disk() == (16 * MIB // 512, 512)
    with report.test("iPXE: reads what is there, in its 8 KiB pieces, and writes in its 512 bytes"):
        data = image.read_bytes()
        with contextlib.closing(Ipxe(daemon.port, iqn("plain"))) as initiator:
            initiator.open_disk()
            for blocks in (1, 16, 17, 128, 512):
                assert initiator.read_blocks(5, blocks) == data[5 * 512:(5 + blocks) * 512]
            for blocks in (1, 9, 300):
                text = os.urandom(512 * blocks)
                initiator.write(9000, text)
                assert initiator.read_blocks(9000, blocks) == text
    with report.test("iPXE: takes its CmdSN and StatSN from every PDU, and they are right in each"):
        with contextlib.closing(Ipxe(daemon.port, iqn("plain"))) as initiator:
            initiator.open_disk()
            for _ in range(3):  # StatSN of the Data-In without status, too
                tag = initiator.start(initiator.read_cdb(0, 64), data_in=32768)
                numbers = set()
                while True:
                    header, _data = initiator.next_pdu()
                    assert header[0] & 0x3f == DATA_IN and int.from_bytes(header[16:20], "big") == tag
                    numbers.add(bytes(header[24:32]))
                    if header[1] & 1:
                        break
                assert len(numbers) == 1, numbers
    with report.test("iPXE: an error is a SCSI Response, never a Data-In with status"):
        with contextlib.closing(Ipxe(daemon.port, iqn("plain"))) as initiator:
            blocks, _size = initiator.open_disk()
            answer = initiator.command(initiator.read_cdb(blocks - 1, 8), data_in=4096)
            assert answer.status == CHECK_CONDITION, answer
            answer = initiator.command(struct.pack(">BBBHB", 0x12, 0, 0, 1024, 0), data_in=1024)
            assert answer.status == GOOD and len(answer.data) < 1024, answer  # short: no S bit
    with report.test("iPXE: header and data in two segments cost no delayed acknowledgement"):
        begin = time.monotonic()
        with contextlib.closing(Ipxe(daemon.port, iqn("mutual"), secrets=SECRETS,
                                     cautious=True)) as initiator:
            taken = time.monotonic() - begin
            assert taken < 0.15, f"four login steps took {taken:.3f} s"
            initiator.open_disk()
    with report.test("iPXE: it is not pinged, and silence costs it nothing"):
        with contextlib.closing(Ipxe(daemon.port, iqn("plain"))) as initiator:
            initiator.open_disk()
            time.sleep(7)
            initiator.read_blocks(0, 8)
            assert initiator.pings == 0
    with report.test("iPXE opens twice and abandons one; its system logs in and that one ends"):
        with contextlib.closing(Ipxe(daemon.port, iqn("plain"))) as first:
            first.open_disk()
            with contextlib.closing(Ipxe(daemon.port, iqn("plain"))) as second:
                second.open_disk()
                assert len(status_of(daemon, "plain")) == 2
                first.read_blocks(0, 8)
                first.close()
                wait_for(lambda: len(status_of(daemon, "plain")) == 1, 5, "end of the first")
                with Session(daemon.port, iqn("plain"), name=second.name) as system:
                    system.ready()
                    sessions = status_of(daemon, "plain")
                    assert [item["isid"] for item in sessions] == [OPEN_ISCSI_ISID.hex()], sessions
                    assert daemon.says("the system that iPXE has booted has logged in"), daemon.says()
                    with contextlib.closing(Ipxe(daemon.port, iqn("plain"), name=second.name)) as third:
                        third.open_disk()  # somebody switched it on again: nobody is kicked
                        system.read_blocks(0, 8)
    with report.test("iPXE loses its connection, opens the disk anew and goes on"):
        initiator = Ipxe(daemon.port, iqn("plain"))
        initiator.open_disk()
        tsih = status_of(daemon, "plain")[0]["tsih"]
        assert daemon.http("POST", f"/sessions/{tsih}/drop")[0] == 200
        try:
            initiator.read_blocks(0, 8)
            raise Choked("the session is still there")
        except (Closed, OSError):
            initiator.close()
        with contextlib.closing(Ipxe(daemon.port, iqn("plain"))) as initiator:
            initiator.open_disk()
            initiator.read_blocks(0, 8)


# ── Microsoft's ─────────────────────────────────────────────────────────────────────────────────

def test_microsoft(report, daemon):
    with report.test("Microsoft's: old keys and a wish for recovery are answered, not misunderstood"):
        with Microsoft(daemon.port, iqn("plain"), NAME) as session:
            said = session.parameters
            assert said["ErrorRecoveryLevel"] == "0" and said["MaxOutstandingR2T"] == "1", said
            assert said["HeaderDigest"] == said["DataDigest"] == "None", said
            assert {said["OFMarker"], said["IFMarker"]} <= {"No", "Reject"}, said
            assert not {"NotUnderstood"} & set(said.values()), said
    with report.test("Microsoft's: CHAP with secrets of 12 and of 16 characters"):
        for name, secrets in (("chap", ONE_WAY), ("mutual", SECRETS), ("short", Secrets(
                "laptop", "laptop-12345", "", ""))):
            with Microsoft(daemon.port, iqn(name), NAME, secrets=secrets) as session:
                session.ready()
    with report.test("Microsoft's: pages 80h and 83h, caching mode page, capacity, flush, start"):
        with Microsoft(daemon.port, iqn("plain"), NAME) as session:
            session.ready()
            assert session.inquiry(0x80)[3] and session.inquiry(0x83)[3]
            mode = session.good(struct.pack(">BBBBBB", 0x1a, 8, 0x08, 0, 192, 0), data_in=192)
            assert mode[4] & 0x3f == 8 and mode[6] & 4, "no write cache is told"
            assert session.capacity()[1] == 512
            session.good(struct.pack(">BB4xIxx", 0xa0, 0, 1024), data_in=1024)
            session.good(struct.pack(">BBBBBB", 0x1b, 0, 0, 0, 1, 0))
            session.good(struct.pack(">BB5xHB", 0x5e, 2, 8, 0), data_in=8)
            session.write(64, bytes(65536))
            session.flush()
    with report.test("Microsoft's: boots behind iPXE under its name, loses its session, comes back"):
        with contextlib.closing(Ipxe(daemon.port, iqn("plain"), name=NAME)) as firmware:
            firmware.open_disk()
            with contextlib.closing(Microsoft(daemon.port, iqn("plain"), NAME)) as old:
                old.ready()
                assert [item["isid"] for item in status_of(daemon, "plain")] == [old.isid.hex()]
                old.write(64, b"w" * 512)
                with Microsoft(daemon.port, iqn("plain"), NAME) as new:
                    new.ready()
                    assert new.read_blocks(64, 1) == b"w" * 512
                    assert len(status_of(daemon, "plain")) == 1


def main():
    need_root()
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        images = {}
        for name in ("plain", "chap", "mutual", "short", "pair", "pair2"):
            images[name] = make_file(folder / f"{name}.img", 16 * MIB)
            images[name].write_bytes(random.Random(name).randbytes(2 * MIB) + bytes(14 * MIB))
        short = '{ mode = "chap"; user = "laptop"; secret = "laptop-12345" }'
        targets = [target("plain", images["plain"]), target("chap", images["chap"], auth=CHAP),
                   target("mutual", images["mutual"], auth=MUTUAL),
                   target("short", images["short"], auth=short),
                   target("pair", images["pair"], images["pair2"])]
        daemon = Daemon(folder / "daemon", targets, limits='keepalive = "5s"; send-stall = "5s";')
        with daemon.start():
            test_ipxe(report, daemon, images["plain"])
            test_microsoft(report, daemon)
            test_isboot_login(report, daemon)
            test_isboot_commands(report, daemon, images["plain"])
        test_isboot_recovery(report, folder)
    report.finish()


main()
