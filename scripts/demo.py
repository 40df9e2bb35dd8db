"""Boots an emulated machine from a demo disk, over a cable that exists only for this: PXE, iPXE, iSCSI, root on
the exported disk. Installs what is missing first, so run it as root. Ends with the journal of that boot."""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build/demo"
sys.path.insert(0, str(TOP / "tests"))
from lab.process import exit_on_signals, inside, need_root
from lab.report import LabError

ATTACH = "socat -,rawer,escape=0x1d UNIX-CONNECT:"
STATUS = "http://127.0.0.1:9180"
VARIANT = "initramfs-tools"  # of the demo disk
EVERY_S = 15


def say(text):
    print(f"== {text}", flush=True)


def build():
    say("installing what is missing (Debian packages)")
    subprocess.run([TOP / "scripts/dependencies", "build", "demo"], check=True)
    say("building")
    subprocess.run(["cmake", "--preset", "release", "-B", BUILD, "-DBUILD_TESTING=OFF"], cwd=TOP,
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD], check=True)
    return BUILD / "netboot-target"


def print_journal(lab):
    say(f"the journal of this boot (GET {STATUS}/clients)")
    answer = subprocess.run([*inside(lab.server), "curl", "-s", f"{STATUS}/clients"], check=True,
                            capture_output=True, text=True).stdout
    for client in json.loads(answer)["clients"]:
        print(f"   {client['mac']}: {client['sentence']}")
        for step in client["steps"]:
            detail = f" ({step['detail']})" if step["detail"] else ""
            again = f", the last of {step['count']} times {step['last_ms'] / 1000:.1f} s ago"
            print(f"   {step['first_ms'] / 1000:6.1f} s ago  {step['words']}{detail}"
                  f"{again if step['count'] > 1 else ''}")


def console_of(lab):
    return lab.folder / "console"


def keep(lab):
    say("left up; in another terminal, for example:")
    print(f"  ip netns exec {lab.server} curl -s {STATUS}/")
    print(f"  {ATTACH}{console_of(lab)}")
    print("       is its console: press Enter, log in as root, no password; Ctrl-] leaves it")
    print("Ctrl-C ends everything.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except SystemExit:  # what a signal raises
        say("ended")


@contextlib.contextmanager
def progress(folder):
    """Says every few seconds how far the Debian is that is being made there."""
    done, began = threading.Event(), time.monotonic()

    def watch():
        while not done.wait(EVERY_S):
            unpacked = len(list(folder.glob("*/root/var/lib/dpkg/info/*.list")))
            print(f"-- {time.monotonic() - began:5.0f} s  {unpacked} packages are unpacked", flush=True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def demonstrate(options):
    from lab.boot import BootLab, Plan, boot, guest_report
    from lab.image import CACHE, build as build_guest
    say("making the demo disk: a small Debian that looks for its root over iSCSI (kept in build/guest)")
    with progress(CACHE / VARIANT):
        build_guest(VARIANT)
    # QEMU's card has an iPXE of its own, which would do: the usual way is shown, through TFTP.
    plan = Plan("demo", uefi=options.uefi, own_rom=not options.uefi, dhcp="none",
                variant=VARIANT,
                chainload="missing-features" if options.uefi else "always")
    with BootLab(plan) as lab:
        say(f"netboot-target serves it on a cable of its own; console in {lab.log}/console.log")
        say("power on" + (" (UEFI firmware)" if options.uefi else " (BIOS)"))
        machine = lab.power_on(console_socket=console_of(lab))
        boot(machine)
        at = machine.wait_for_console("login:", 60)
        say(f"{at:.0f} s after power-on:")
        print("   " + next(line for line in machine.console().splitlines() if "login:" in line)[:60])
        for key, value in guest_report(machine).items():
            print(f"   {key}: {value}")
        print_journal(lab)
        if options.keep:
            keep(lab)
    say("done: the machine booted from a disk that is not in it")


def main():
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--uefi", action="store_true", help="boot by UEFI firmware instead of BIOS")
    parser.add_argument("--keep", action="store_true", help="leave everything up to play with")
    parser.add_argument("--program", type=Path, help="use this netboot-target instead of building one")
    options = parser.parse_args()
    need_root()
    exit_on_signals()
    program = options.program.resolve() if options.program else build()
    os.environ["NETBOOT_TARGET"] = str(program)
    try:
        demonstrate(options)
    except LabError as error:
        sys.exit(f"demo: {error}\ndemo: the logs are in {TOP}/build/logs")


if __name__ == "__main__":
    main()
