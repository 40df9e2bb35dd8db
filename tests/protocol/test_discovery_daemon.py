#!/usr/bin/env python3
"""When the daemon looks at what its disks hold, and what it keeps of that; a real Debian. Needs root (loop
devices, mounts).

usage: test_discovery_daemon.py NETBOOT-TARGET
"""
import hashlib
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.boot_disks import (copy_while_mounted, initramfs, kernel, make_disk, make_ext4,  # noqa: E402
                            mounted, own_mounts, write_more)
from lab.daemon import Daemon, iqn, target  # noqa: E402
from lab.discover import BIOS, X64, expect_linux, look  # noqa: E402
from lab.disk import digest, scratch  # noqa: E402
from lab.distributions import (BOOT, LINUX, ROOT, debian_disk, debian_tree,  # noqa: E402
                               install_grub)
from lab.initiator import Session  # noqa: E402
from lab.process import TOP, exit_on_signals, need_root, run, wait_for  # noqa: E402
from lab.report import LabError, Report, note  # noqa: E402


def boot_of(daemon, name="a"):
    return daemon.lun(name)["boot"]


def wait_found(daemon, condition=lambda boot: boot["scanned_unix_seconds"] and not boot["busy"],
               name="a", seconds=60):
    def fits():
        daemon.check_running()
        boot = boot_of(daemon, name)
        return boot if condition(boot) else None
    return wait_for(fits, seconds, lambda: f"catalog as expected: {boot_of(daemon, name)}")


def rescan(daemon, name="a"):
    """Also waits for the pause between two looks."""
    def taken():
        code, text = daemon.http("POST", f"/luns/{name}/0/rescan")
        return code == 202 or (code != 409 and (_ for _ in ()).throw(LabError(text)))
    before = daemon.says().count("boot entries can be offered") + daemon.says().count("last clean")
    wait_for(taken, 20, "rescan that is taken")
    wait_for(lambda: daemon.says().count("boot entries can be offered") +
             daemon.says().count("last clean") > before, 60, "end of the rescan")


def offered(boot):
    return [item["id"] for item in boot["entries"] if not item["problem"]]


def test_not_prepared(report, folder):
    with report.test("a disk with no prepared kernel says so of its own loader too"):
        tree = debian_tree() | {"boot/initrd.img-6.1.0-13-amd64": initramfs("without", "zstd")}
        bare = debian_disk(folder, "bare", tree)
        found = look(bare)
        assert found.offered == ["disk"] and found.entry("disk")["starts-linux"], found.index
        with Daemon(folder / "bare", [target("a", bare)]).start() as daemon:
            boot = wait_found(daemon)
            assert offered(boot) == [] and len(boot["entries"]) == 3, boot
            assert "setup/linux.sh" in boot["entries"][-1]["problem"], boot


def test_daemon(report, folder, disk):
    with report.test("the daemon looks at start, on request and after the last session"):
        before = digest(disk)
        with Daemon(folder / "daemon", [target("a", disk)]).start() as daemon:
            boot = wait_found(daemon)
            assert offered(boot) == ["vmlinuz-6.1.0-13-amd64", "disk"], boot
            assert not boot["stale"] and not boot["problem"] and not boot["notes"]
            code, text = daemon.http("POST", "/luns/a/0/rescan")
            assert code == 409 and "a moment ago" in text, text
            rescan(daemon)
            assert daemon.http("POST", "/luns/b/0/rescan")[0] == 404
            looks = daemon.says().count("can be offered")
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                code, text = daemon.http("POST", "/rescan")
                assert code == 409 and "in use" in text, text
                assert offered(boot_of(daemon)) == offered(boot)
            wait_for(lambda: daemon.says().count("can be offered") > looks, 60,
                     "look after the last session")
        assert digest(disk) == before
    with report.test("a session that begins during a look ends it, and the last result stays"):
        slow = folder / "slow"
        slow.write_text("#!/bin/sh\nif [ -e " + str(folder / "hang") + " ]; then touch "
                        f"{folder / 'hangs'}; exec sleep 60; fi\nexec "
                        f'{Path(sys.argv[1]).parent / "netboot-target-discover"} "$@"\n')
        slow.chmod(0o755)
        environment = {**os.environ, "NETBOOT_TARGET_DISCOVER": str(slow)}
        with Daemon(folder / "during", [target("a", disk)]).start(env=environment) as daemon:
            first = wait_found(daemon)
            (folder / "hang").touch()
            wait_for(lambda: daemon.http("POST", "/rescan")[0] == 202, 20, "rescan that is taken")
            wait_for((folder / "hangs").exists, 10, "helper that hangs")
            assert boot_of(daemon)["busy"]
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                wait_for(lambda: not boot_of(daemon)["busy"], 10, "end of the look")
                assert boot_of(daemon)["entries"] == first["entries"]
                wait_for(lambda: not run("pgrep", "-P", daemon.pid, check=False).stdout, 10,
                         "end of the helper")
            (folder / "hang").unlink()
            wait_found(daemon, lambda boot: boot["scanned_unix_seconds"] >
                       first["scanned_unix_seconds"])
    with report.test("a helper that fails or hangs is told about, and served all the same"):
        (folder / "hang").touch()
        with Daemon(folder / "hangs-on", [target("a", disk)],
                    more='discovery = { time = "1s" };').start(env=environment) as daemon:
            boot = wait_found(daemon, lambda boot: boot["problem"])
            assert "discovery.time" in boot["problem"], boot
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
        environment["NETBOOT_TARGET_DISCOVER"] = "/bin/false"
        with Daemon(folder / "fails", [target("a", disk)]).start(env=environment) as daemon:
            assert "exit code 1" in wait_found(daemon, lambda boot: boot["problem"])["problem"]
        environment["NETBOOT_TARGET_DISCOVER"] = str(folder / "absent")
        with Daemon(folder / "absent-helper", [target("a", disk)]).start(env=environment) as daemon:
            assert "cannot be run" in wait_found(daemon, lambda boot: boot["problem"])["problem"]


def test_daemon_stale(report, folder):
    with report.test("a dirty journal keeps the last clean result, a clean one replaces it"):
        disk = make_ext4(folder / "served.img", debian_tree(), folder, ROOT)
        with Daemon(folder / "stale", [target("a", disk)]).start() as daemon:
            clean = wait_found(daemon)
            assert "vmlinuz-6.1.0-13-amd64" in offered(clean)
            dirty = folder / "served.dirty"
            with mounted(shutil.copy(disk, folder / "served.copy"), folder / "mount") as top:
                (top / "boot/vmlinuz-6.1.0-13-amd64").unlink()
                run("sync", "-f", top)
                shutil.copy(folder / "served.copy", dirty)
            with open(disk, "r+b") as file:
                file.write(dirty.read_bytes())
            rescan(daemon)
            boot = boot_of(daemon)
            assert boot["stale"] and boot["entries"] == clean["entries"], boot
            with open(disk, "r+b") as file:
                file.write((folder / "served.copy").read_bytes())
            rescan(daemon)
            boot = boot_of(daemon)
            assert not boot["stale"] and offered(boot) == [], boot


def test_daemon_stale_volume(report, folder):
    with report.test("of two filesystems one is dirty: the other one's kernels are those of now"):
        one = make_ext4(folder / "one.ext4", debian_tree(), folder, ROOT)
        tree = {"boot/vmlinuz-5.1": kernel("five"), "boot/initrd.img-5.1": initramfs("dracut"),
                "etc/kernel/cmdline": f"root=UUID={BOOT}"}
        two = make_ext4(folder / "two.ext4", tree, folder, BOOT)

        def put(one, two, disk=folder / "both.img"):
            new = make_disk(folder / "both.new", [(LINUX, one), (LINUX, two)])
            with open(disk, "r+b" if disk.exists() else "xb") as file:
                file.write(new.read_bytes())
            return disk
        disk = put(one, two)
        with Daemon(folder / "volumes", [target("a", disk)]).start() as daemon:
            clean = wait_found(daemon)
            first = [item["id"] for item in clean["entries"]]
            assert first == ["vmlinuz-6.1.0-13-amd64", "vmlinuz-6.1.0-9-amd64", "vmlinuz-5.1"], first
            # a kernel goes here without a trace yet, and another one comes there
            dirty = copy_while_mounted(
                one, folder / "one.dirty", folder,
                lambda top: ((top / "boot/vmlinuz-6.1.0-13-amd64").unlink(), write_more(top)))
            tree |= {"boot/vmlinuz-5.2": kernel("five.2"), "boot/initrd.img-5.2": initramfs("dracut")}
            put(dirty, make_ext4(folder / "two.new", tree, folder, BOOT))
            rescan(daemon)
            boot = boot_of(daemon)
            assert boot["stale"], boot
            seen = {item["id"]: item["seen_unix_seconds"] for item in boot["entries"]}
            assert list(seen) == [*first[:2], "vmlinuz-5.2", "vmlinuz-5.1"], boot
            assert seen[first[0]] == seen[first[1]] == clean["scanned_unix_seconds"], boot
            assert seen["vmlinuz-5.1"] == seen["vmlinuz-5.2"] == boot["scanned_unix_seconds"], boot
            assert offered(boot) == [first[0], "vmlinuz-5.2", "vmlinuz-5.1"], boot
            put(one, folder / "two.new")  # it was mounted and unmounted meanwhile
            rescan(daemon)
            boot = boot_of(daemon)
            assert not boot["stale"] and first[0] not in offered(boot), boot
            assert {item["seen_unix_seconds"] for item in boot["entries"]} == \
                {boot["scanned_unix_seconds"]}, boot


def test_daemon_never_clean(report, folder):
    with report.test("a result that was never clean gives way to the next one"):
        root = make_ext4(folder / "never.ext4", debian_tree(), folder, ROOT)
        dirty = copy_while_mounted(root, folder / "never.dirty", folder, write_more)
        disk = make_disk(folder / "never.img", [("83", dirty)], table="dos")
        with Daemon(folder / "never", [target("a", disk)]).start() as daemon:
            boot = wait_found(daemon)
            assert boot["stale"] and not boot["entries"], boot
            install_grub(disk)
            rescan(daemon)
            boot = boot_of(daemon)
            assert boot["stale"] and offered(boot) == ["disk"], boot


def blob_count(daemon):
    """How many kernels and initrds the daemon has mapped."""
    maps = Path(f"/proc/{daemon.pid}/maps").read_text()
    return len({line.split()[4] for line in maps.splitlines() if "/memfd:disk" in line})


def test_daemon_memory(report, folder, disk):
    with report.test("disks with the same kernels share them; the limit is for all of them"):
        copies = [shutil.copy(disk, folder / f"copy{n}.img") for n in range(3)]
        for number, copy in enumerate(copies):
            with open(copy, "r+b") as file:  # an identity of its own: the MBR's disk signature
                file.seek(440)
                file.write(bytes([number + 1] * 4))
        targets = [target(f"t{n}", copy) for n, copy in enumerate(copies)]
        with Daemon(folder / "memory", targets).start() as daemon:
            for n in range(3):
                assert "vmlinuz-6.1.0-13-amd64" in offered(wait_found(daemon, name=f"t{n}"))
            assert blob_count(daemon) == 4, blob_count(daemon)  # two kernels, two initrds
        with Daemon(folder / "no-memory", targets[:1], more='discovery = { memory = "0" };'
                    ).start() as daemon:
            boot = wait_found(daemon, name="t0")
            assert offered(boot) == ["disk"], boot
            assert blob_count(daemon) == 0
    with report.test("kernels.discover = false, and a reload that changes it"):
        off = [target("a", disk, more="kernels = { discover = false };")]
        daemon = Daemon(folder / "off", off)
        with daemon.start():
            with Session(daemon.port, iqn("a")) as session:
                session.ready()
                assert not boot_of(daemon)["entries"]
                code, text = daemon.http("POST", "/rescan")
                assert code == 409 and "discover" in text, text
                daemon.targets = [target("a", disk)]
                daemon.reload()
                session.ready()  # its session goes on
            assert offered(wait_found(daemon)) == ["vmlinuz-6.1.0-13-amd64", "disk"]
            daemon.targets = [target("a", disk, more='kernels = { cmdline = "root=x"; path = "/"; };')]
            daemon.reload()
            wait_found(daemon, lambda boot: offered(boot) == ["disk"])


def test_real_debian(report):
    """Where the boot tests have built their guests already."""
    for variant in "initramfs-tools", "dracut":
        disk = TOP / f"build/guest/{variant}/disk.img"
        if not disk.exists():
            note(f"there is no guest with {variant} yet")
            continue
        with report.test(f"a real Debian with {variant}"):
            found = look(disk)
            name = next(item for item in found.offered if item.startswith("vmlinuz-"))
            entry = expect_linux(found, name, initramfs=variant, iscsi=True, machines=BIOS | X64)
            assert hashlib.sha256(found.kernel(entry)).digest() == \
                hashlib.sha256((disk.parent / "vmlinuz").read_bytes()).digest()
            assert found.initrds(entry) == [(disk.parent / "initrd").read_bytes()]
            assert entry["title"].startswith("Debian GNU/Linux 12 (bookworm), Linux 6.1"), entry


def main():
    exit_on_signals()
    need_root()
    own_mounts()
    report = Report()
    with scratch() as folder:
        debian = debian_disk(folder)
        test_not_prepared(report, folder)
        test_daemon(report, folder, debian)
        test_daemon_stale(report, folder)
        test_daemon_stale_volume(report, folder)
        test_daemon_never_clean(report, folder)
        test_daemon_memory(report, folder, debian)
    test_real_debian(report)
    report.finish()


if __name__ == "__main__":
    main()
