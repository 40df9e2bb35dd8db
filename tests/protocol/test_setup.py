#!/usr/bin/env python3
"""The setup scripts as the daemon prints them: who gets them, what a linter and a parser say of them, and
what they do to systems of stand-ins: Fedora, Silverblue, Arch and FreeBSD. tests/guest/setup runs linux.sh
in real Debian guests.

usage: test_setup.py NETBOOT-TARGET
"""
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.busybox import BusyboxRoot  # noqa: E402
from lab.daemon import Daemon, target  # noqa: E402
from lab.disk import make_file  # noqa: E402
from lab.process import TOP, free_port, run  # noqa: E402
from lab.report import LabError, Report  # noqa: E402

USER, PASSWORD = "me", "menu-password-0123"
SECRET, TARGET_SECRET, LONG = "first-secret'12", "target-secret-34", "a-secret-of-more-than-16"
AUTH = '{{ mode = "mutual"; user = "u"; secret = "{}"; target-user = "t"; target-secret = "{}" }}'
MENU = f'menu = {{ user = "{USER}"; password = "{PASSWORD}" }};'
CLIENTS = """clients = (
    { mac = "52:54:00:00:00:01"; target = "known"; initiator = "iqn.2026-11.local.a:pc" },
    { mac = "52:54:00:00:00:02"; target = "two"; initiator = "iqn.2026-11.local.a:two" },
    { mac = "52:54:00:00:00:03"; target = "two"; initiator = "iqn.2026-11.local.a:three" },
    { serial = "PF/7"; target = "known"; device = "%s"; initiator = "iqn.2026-11.local.a:own" } );"""
PARSER = Path(__file__).parent / "powershell"


def expect(condition, text):
    if not condition:
        raise LabError(str(text))


class Server(Daemon):
    """One that boots machines on the loopback."""

    def text(self):
        self.boot_port = getattr(self, "boot_port", None) or free_port()
        return super().text().replace("http-listen = []", f'http-listen = "127.0.0.1:{self.boot_port}"')

    def get(self, path, password=PASSWORD, *words):
        """(status, body), by curl with HTTP Digest."""
        login = ["--digest", "--user", f"{USER}:{password}"] if password else []
        answer = run("curl", "--silent", "--max-time", "20", "--write-out", "\n%{http_code}", *login, *words,
                     f"http://127.0.0.1:{self.boot_port}{path}", check=False).stdout
        body, _, status = answer.rpartition("\n")
        return int(status), body

    def script(self, name):
        status, body = self.get(f"/setup/{name}")
        expect(status == 200, f"{name}: {status} {body[:300]}")
        return body


# ── who gets them ───────────────────────────────────────────────────────────────────────────────────

def served(report, server):
    with report.test("without the menu's password there is no script"):
        for password in None, "wrong-password":
            for name in "linux.sh", "windows.ps1", "freebsd.sh":
                status, body = server.get(f"/setup/{name}", password)
                expect(status == 401 and SECRET[:5] not in body, f"{status} {body[:200]}")
    with report.test("the scripts hold the address, the names and the secrets"):
        for name in "linux.sh", "windows.ps1":
            body = server.script(name)
            for word in "127.0.0.1", str(server.port), "iqn.2026-11.local.test:first", TARGET_SECRET:
                expect(f"'{word}'" in body, f"{word} is missing in {name}")
        expect("\nchap_secret='first-secret'\\''12'\n" in server.script("linux.sh"), "quoting")
        expect("\n$ChapSecret = 'first-secret''12'\n" in server.script("windows.ps1"), "quoting")
    with report.test("a target is chosen by its name"):
        body = server.script("linux.sh?target=open")
        expect("'iqn.2026-11.local.test:open'" in body and "\nchap_user=''\n" in body, body[:500])
        status, body = server.get("/setup/linux.sh?target=nobody")
        expect(status == 404 and "no such target" in body, f"{status} {body}")
    with report.test("the initiator's name is one that may log in"):
        for query, name in (("", "iqn.2010-04.org.ipxe:%m"), ("?target=known", "iqn.2026-11.local.a:pc"),
                            ("?target=known.PF_7-da090cb8", "iqn.2026-11.local.a:own"),
                            ("?target=known.PF_7-da090cb8&mac=52-54-00-00-00-98", "iqn.2026-11.local.a:own"),
                            ("?target=known&mac=52-54-00-00-00-99", "iqn.2010-04.org.ipxe:%m"),
                            ("?target=strict", "iqn.1994-05.local.b:%m"),
                            ("?target=two&mac=52-54-00-00-00-02", "iqn.2026-11.local.a:two"),
                            ("?target=two", "iqn.2010-04.org.ipxe:%m")):
            body = server.script(f"linux.sh{query}")
            expect(f"\ninitiator='{name}'\n" in body, f"{query}: {body[:900]}")
        status, body = server.get("/setup/linux.sh?target=unclear")
        expect(status == 409 and "targets.initiators" in body, f"{status} {body[:300]}")
    with report.test("a target of a disk for each machine says how to name the machine's"):
        status, body = server.get("/setup/linux.sh?target=each")
        expect(status == 409 and "?target=each.52-54-00" in body, f"{status} {body[:300]}")
    with report.test("a secret that Windows does not take is said, and not shown"):
        status, body = server.get("/setup/windows.ps1?target=long")
        expect(status == 409 and "takes 12 to 16" in body and LONG not in body, f"{status} {body}")
        expect(LONG in server.script("linux.sh?target=long"), "not in linux.sh")
    with report.test("there are no other scripts"):
        status, body = server.get("/setup/macos.sh")
        expect(status == 404, f"{status} {body}")
    with report.test("the log says who got one, without the secrets"):
        expect(server.says("setup script sent, with secrets: script=linux.sh target=first"), server.says())
        for secret in SECRET, TARGET_SECRET, LONG:
            expect(not server.says(secret), "a secret is in the log")


# ── what they are ───────────────────────────────────────────────────────────────────────────────────

def linted(report, server, folder):
    for name in "linux.sh", "freebsd.sh":
        with report.test(f"shellcheck finds nothing in {name}"):
            for what, text in (("raw", (TOP / "src/boot/setup" / name).read_text()),
                               ("rendered", server.script(name))):
                file = folder / f"{what}-{name}"
                file.write_text(text)
                done = run("shellcheck", "--shell=sh", file, check=False)
                expect(done.returncode == 0, done.stdout)
    with report.test("a script that was cut short on its way does nothing"):
        for name in "linux.sh", "freebsd.sh":
            lines = server.script(name).splitlines()
            expect(lines[-1] == 'main "$@" </dev/null', lines[-1])
            before = [line for line in lines[:-1] if line and line[0] not in " \t#}"]
            loose = [line for line in before if "(" not in line and "=" not in line and
                     not line.startswith(("set ", "umask ", "END", "    "))]
            # What is left are lines of documents inside of functions.
            file = folder / "cut.sh"
            file.write_text("\n".join(lines[:-1]) + "\n")
            done = run("sh", file, check=False)
            expect(done.returncode == 0 and not done.stdout, f"{done.stdout}\n{loose}")


def parse(text, folder):
    """What a parser of PowerShell sees. It is installed with the versions of package-lock.json."""
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for file in PARSER.iterdir():
            shutil.copy(file, folder)
        run("npm", "ci", "--ignore-scripts", "--omit=peer", "--no-audit", "--no-fund", cwd=folder, timeout=180)
    script = folder / "windows.ps1"
    script.write_text(text)
    with open(script, "rb") as file:
        # Without optimizing the parser's code, which takes longer than using it.
        return json.loads(run("node", "--liftoff-only", "parse.mjs", cwd=folder, stdin=file).stdout)


# Commands of Windows that windows.ps1 may call, with the parameters that it gives them by name.
WINDOWS = {
    "Set-StrictMode": "Version", "Test-Path": "LiteralPath", "Get-Item": "LiteralPath",
    "New-Item": "Path Force", "Remove-Item": "LiteralPath Recurse ErrorAction",
    "Set-ItemProperty": "LiteralPath Name Value Type", "Remove-ItemProperty": "LiteralPath Name ErrorAction",
    "ConvertTo-Json": "Depth Compress", "ConvertFrom-Json": "", "New-Object": "", "Out-Null": "",
    "Write-Output": "", "Where-Object": "", "Sort-Object": "", "Select-Object": "First",
    "Get-Service": "Name", "Set-Service": "Name StartupType", "Start-Service": "Name",
    "Stop-Service": "Name Force ErrorAction", "Get-PnpDevice": "Class ErrorAction",
    "Get-CimInstance": "ClassName", "Set-CimInstance": "Property", "New-CimInstance": "ClassName Property",
    "Remove-CimInstance": "", "powercfg.exe": "", "Get-Disk": "", "Find-NetRoute": "RemoteIPAddress",
    "Get-NetAdapter": "InterfaceIndex ErrorAction", "Get-InitiatorPort": "",
    "Set-InitiatorPort": "NodeAddress NewNodeAddress", "Set-IscsiChapSecret": "ChapSecret",
    "New-IscsiTargetPortal": "TargetPortalAddress TargetPortalPortNumber", "Connect-IscsiTarget": "",
    "Get-IscsiTarget": "NodeAddress", "Get-IscsiSession": "", "Unregister-IscsiSession": "",
    "Disconnect-IscsiTarget": "NodeAddress Confirm",
    "Remove-IscsiTargetPortal": "TargetPortalAddress Confirm", "Update-HostStorageCache": ""}


def is_known(call, functions):
    if call["name"] in functions:
        return True
    known = WINDOWS.get(call["name"])
    return known is not None and all(word.lstrip("-") in known.split() for word in call["parameters"])


def powershell(report, server):
    text = server.script("windows.ps1")
    folder = TOP / "build/powershell-parser" / hashlib.sha256(
        (PARSER / "package-lock.json").read_bytes()).hexdigest()[:16]
    with report.test("windows.ps1 is PowerShell, raw and rendered"):
        for source in (TOP / "src/boot/setup/windows.ps1").read_text(), text:
            expect(source.isascii(), "Windows PowerShell reads anything but ASCII otherwise")
            errors = parse(source, folder)["errors"]
            expect(not errors, "\n".join(errors))
    with report.test("the parser finds a missing brace and a quote that is not doubled"):
        expect(parse(text.replace("{", "", 1), folder)["errors"], "a brace is missing")
        expect(parse(text.replace("first-secret''12", "first-secret'12"), folder)["errors"], "a quote")
    tree = parse(text, folder)
    called = {call["name"] for call in tree["calls"]}
    with report.test("it calls nothing but Windows' commands and its own functions, and uses them all"):
        unknown = [call for call in tree["calls"] if not is_known(call, tree["functions"])]
        expect(not unknown, unknown)
        expect(set(tree["functions"]) <= called, set(tree["functions"]) - called)
    with report.test("what install changes, uninstall restores; install undoes itself when a step fails"):
        inside = {}
        for call in tree["calls"]:
            inside.setdefault(call["inside"], []).append(call["name"])
        steps = ["Set-Initiator", "Set-DriverStart", "Disable-PageFile", "Disable-Hibernation"]
        order = inside["Install-Setup"]
        expect([name for name in order if name in steps] == steps, order)
        expect(order.index("Write-State") < order.index("Set-Initiator") < order.index("Restore-Setup"), order)
        expect("if ($again) {" in text and text.index("if ($again) {") < text.index("        Restore-Setup"),
               "a later install that fails takes the first one back")
        for name in "Set-Number", "Set-AutomaticPageFile", "New-CimInstance", "powercfg.exe", "Remove-State":
            expect(name in inside["Restore-Setup"], f"{name} is not restored")
        for name in "Install-Setup", "Uninstall-Setup", "Test-Setup", "Connect-Disk", "Disconnect-Disk":
            expect(inside[name][0] == "Assert-Administrator", name)


# ── what they do: Linux of stand-ins ────────────────────────────────────────────────────────────────

PACKAGES = """
for word; do
    case $1:$word in
    *:-* | *:"$1") ;;
    install:*) echo $word >>/state/packages ;;
    uninstall:*) sed -i "/^$word$/d" /state/packages ;;
    esac
done
"""
RPM = """
case $1 in
-qa) cat /state/packages ;;
-q) grep -qx "$2" /state/packages ;;
-e)
    ! grep -qsx "$2" /state/needed || exit 1
    # dracut-network needs it, as far as the stand-ins go.
    [ $2 != iscsi-initiator-utils ] || ! grep -qx dracut-network /state/packages || exit 1
    sed -i "/^$2$/d" /state/packages
    ;;
esac
"""
# An image of stand-ins is the list of its files.
DRACUT_FILES = """
[ ! -e /state/generator-fails ] || exit 1
list() {
    echo usr/lib/systemd/systemd
    grep -qs 'add_dracutmodules.* iscsi ' /etc/dracut.conf.d/*.conf || return 0
    grep -qx iscsi-initiator-utils /state/packages || return 0
    echo usr/sbin/iscsiadm; echo usr/sbin/iscsiroot
    echo usr/lib/modules/6.9/iscsi_tcp.ko.xz; echo usr/lib/modules/6.9/iscsi_ibft.ko.xz
    for file in $(sed -n 's/^ *install_items+="\\(.*\\)"/\\1/p' /etc/dracut.conf.d/*.conf); do
        [ -e $file ] && echo ${file#/}
    done
}
"""
OWN_WORDS = ("BOOT_IMAGE=(hd0)/vmlinuz initrd=a rd.iscsi.firmware=1 rd.neednet=1 ip=ibft noresume "
             "systemd.mask=sleep.target systemd.mask=suspend.target systemd.mask=hibernate.target "
             "systemd.mask=hybrid-sleep.target systemd.mask=suspend-then-hibernate.target")


def linux_root(folder):
    root = BusyboxRoot(folder)
    root.write("/etc/fstab", "UUID=1 / ext4 defaults 0 1\n")
    root.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    root.write("/proc/cmdline", f"{OWN_WORDS} root=UUID=1 ro systemd.mask=own.target quiet\n")
    root.write("/lib/modules/6.9/modules.dep")
    root.write("/state/packages", "bash\n")
    root.write("/usr/lib/systemd/system/iscsi.service")
    for name in "systemctl", "udevadm", "kernel-install":
        root.stand_in(name, "exit 0\n")
    root.stand_in("df", "echo; echo disk 1000000 1 999999 1% /\n")
    root.stand_in("rpm", RPM)
    root.stand_in("dnf", PACKAGES)
    return root


def fedora(folder):
    root = linux_root(folder)
    root.write("/boot/initramfs-6.9.img", "usr/lib/systemd/systemd\n", 0o600)
    root.write("/boot/loader/entries/1.conf", "title Fedora\n")
    root.write("/usr/libexec/nm-initrd-generator", "", 0o755)
    root.stand_in("dracut", DRACUT_FILES + 'list >"$3.new" && mv "$3.new" "$3"\n')
    root.stand_in("lsinitrd", 'cat "$1"\n')
    return root


def silverblue(folder):
    root = linux_root(folder)
    root.write("/run/ostree-booted")
    root.write("/boot/ostree/fedora-1/initramfs-6.9.img", "usr/lib/systemd/systemd\n")
    root.stand_in("dracut", DRACUT_FILES)
    root.stand_in("lsinitrd", 'cat "$1"\n')
    root.stand_in("rpm-ostree", PACKAGES + """
[ $1 = initramfs ] || exit 0
. /stand-in/dracut
case $2 in
"") if [ -e /state/enabled ]; then echo Initramfs regeneration: enabled; else echo disabled; fi ;;
--enable) touch /state/enabled; mkdir -p /boot/ostree/fedora-2; list >/boot/ostree/fedora-2/initramfs-6.9.img ;;
--disable) rm -r /state/enabled /boot/ostree/fedora-2 ;;
esac
""")
    return root


def arch(folder):
    root = linux_root(folder)
    for name in "dnf", "rpm", "kernel-install":
        root.path(f"/stand-in/{name}").unlink()
    root.write("/etc/mkinitcpio.conf.d/user.conf", "")
    root.write("/boot/initramfs-linux.img", "init\n")
    root.stand_in("pacman", """
case $1 in
-Qq) if [ $# = 1 ]; then cat /state/packages; else grep -qx "$2" /state/packages; fi ;;
-S) echo open-iscsi >>/state/packages ;;
-Rn) sed -i /^open-iscsi$/d /state/packages ;;
esac
""")
    root.stand_in("mkinitcpio", """
[ ! -e /state/generator-fails ] || exit 1
{
    echo init
    if grep -qs 'HOOKS+=(netboot-initiator)' /etc/mkinitcpio.conf.d/*; then
        for file in iscsistart modules/iscsi_tcp.ko.zst modules/iscsi_ibft.ko.zst; do echo usr/bin/$file; done
        [ -e /etc/initcpio/install/netboot-initiator ] && echo hooks/netboot-initiator
    fi
} >/boot/initramfs-linux.img
""")
    root.stand_in("lsinitcpio", 'cat "$1"\n')
    return root


def debian(folder):
    """With an iscsi.initramfs of the owner's, who knows of iSCSI."""
    root = linux_root(folder)
    for name in "dnf", "rpm", "kernel-install":
        root.path(f"/stand-in/{name}").unlink()
    root.write("/usr/share/initramfs-tools/hook-functions")
    root.write("/boot/initrd.img-6.9", "init\n")
    root.write("/etc/iscsi/iscsi.initramfs", "ISCSI_IN_PASSWORD=secret\n", 0o600)
    root.stand_in("apt-get", PACKAGES)
    root.stand_in("dpkg", "shift; for word; do sed -i /^$word$/d /state/packages; done\n")
    root.stand_in("dpkg-query", """
if [ -n "$4" ]; then
    grep -qx "$4" /state/packages && echo -n installed
else
    sed 's/^/installed /' /state/packages
fi
""")
    root.stand_in("update-initramfs", """
[ ! -e /state/generator-fails ] || exit 1
{
    echo init
    grep -qx open-iscsi /state/packages && echo sbin/iscsistart && echo etc/iscsi.initramfs &&
        echo usr/lib/modules/6.9/iscsi_tcp.ko && echo usr/lib/modules/6.9/iscsi_ibft.ko
} >"/boot/initrd.img-$3"
""")
    root.stand_in("lsinitramfs", 'cat "$1"\n')
    return root


LINUX = {"Debian": debian, "Fedora": fedora, "Silverblue": silverblue, "Arch": arch}
FOLDERS = ["/etc", "/boot", "/var", "/state", "/usr"]


def same(before, after):
    different = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    expect(not different, "\n".join(f"{name}: {before.get(name)} → {after.get(name)}" for name in different))


def runs(root, script, words, code, text):
    found, output = root.run(script, *words.split())
    expect(found == code and text in output, f"exit code {found}\n{output}")
    return output


def linux(report, script, name, folder):
    root = LINUX[name](folder)
    before = root.fingerprint(*FOLDERS)
    with report.test(f"{name}: check says no, install does it, check says yes"):
        runs(root, script, "check", 1, "Not prepared")
        same(before, root.fingerprint(*FOLDERS))
        runs(root, script, "", 0, "Done:")
        runs(root, script, "check", 0, "Prepared")
    with report.test(f"{name}: a second install changes nothing"):
        between = root.fingerprint(*FOLDERS)
        output = runs(root, script, "install", 0, "Done:")
        expect("writing" not in output and "making" not in output, output)
        same(between, root.fingerprint(*FOLDERS))
    if name == "Debian":
        with report.test("an iscsi.initramfs that was there goes on in ours, as private as it was"):
            path = root.path("/etc/iscsi/iscsi.initramfs")
            expect(path.read_text().startswith("ISCSI_IN_PASSWORD=secret\n# netboot-initiator"), path.read_text())
            expect(path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode))
    if name == "Fedora":
        with report.test("the words of a boot over the network stay out of /etc/kernel/cmdline"):
            expect(root.read("/etc/kernel/cmdline") == "root=UUID=1 ro systemd.mask=own.target quiet\n",
                   root.read("/etc/kernel/cmdline"))
    with report.test(f"{name}: uninstall restores everything"):
        runs(root, script, "uninstall", 0, "Done:")
        same(before, root.fingerprint(*FOLDERS))
        runs(root, script, "uninstall", 1, "nothing to take back")


def linux_failures(report, script, name, folder):
    root = LINUX[name](folder)
    before = root.fingerprint(*FOLDERS)
    with report.test(f"{name}: a generator that fails leaves everything as it was"):
        root.write("/state/generator-fails")
        runs(root, script, "", 1, "Everything is put back")
        root.path("/state/generator-fails").unlink()
        same(before, root.fingerprint(*FOLDERS))


def linux_fails_again(report, script, folder):
    root = fedora(folder)
    with report.test("an install that fails takes nothing of an earlier one away: the disk may be booted by that"):
        runs(root, script, "", 0, "Done:")
        root.write("/boot/initramfs-6.9.img", "made by somebody else\n")
        root.write("/state/generator-fails")
        between = root.fingerprint(*FOLDERS)
        for _ in range(2):
            runs(root, script, "", 1, "What an earlier install made stays")
            same(between, root.fingerprint(*FOLDERS))
        root.path("/state/generator-fails").unlink()
        runs(root, script, "", 0, "making /boot/initramfs-6.9.img anew")
        runs(root, script, "check", 0, "Prepared")
        runs(root, script, "uninstall", 0, "Done:")
        expect(root.read("/boot/initramfs-6.9.img") == "usr/lib/systemd/systemd\n", "iSCSI is in it still")
        expect(root.read("/state/packages") == "bash\n", root.read("/state/packages"))


def linux_updates(report, script, folder):
    """Between install and uninstall life goes on."""
    root = fedora(folder)
    with report.test("images that were made anew since are not overwritten by old ones"):
        runs(root, script, "", 0, "Done:")
        for kernel in "6.9", "6.10":
            root.write(f"/lib/modules/{kernel}/modules.dep")
            root.command("/stand-in/dracut", "--force", "--quiet", f"/boot/initramfs-{kernel}.img", kernel)
        root.write("/boot/initramfs-6.9.img", root.read("/boot/initramfs-6.9.img") + "a newer driver\n")
        runs(root, script, "uninstall", 0, "making /boot/initramfs-6.10.img anew")
        for kernel in "6.9", "6.10":
            found = root.read(f"/boot/initramfs-{kernel}.img")
            expect(found == "usr/lib/systemd/systemd\n", found)
    with report.test("nor are they after one more install, and an image that holds our files is no copy"):
        runs(root, script, "", 0, "Done:")
        root.write("/lib/modules/6.11/modules.dep")
        root.command("/stand-in/dracut", "--force", "--quiet", "/boot/initramfs-6.11.img", "6.11")
        root.write("/boot/initramfs-6.9.img", root.read("/boot/initramfs-6.9.img") + "a newer driver\n")
        runs(root, script, "", 0, "Done:")
        output = runs(root, script, "uninstall", 0, "making /boot/initramfs-6.9.img anew")
        expect("making /boot/initramfs-6.11.img anew" in output, output)
        expect("making /boot/initramfs-6.10.img anew" not in output, output)
        for kernel in "6.9", "6.10", "6.11":
            found = root.read(f"/boot/initramfs-{kernel}.img")
            expect(found == "usr/lib/systemd/systemd\n", found)
    with report.test("packages that something else needs now are not removed"):
        runs(root, script, "", 0, "Done:")
        root.write("/state/needed", "iscsi-initiator-utils\n")
        runs(root, script, "uninstall", 0, "something else needs them: iscsi-initiator-utils")
        expect(root.read("/state/packages") == "bash\niscsi-initiator-utils\n", root.read("/state/packages"))
        root.path("/state/needed").unlink()
    with report.test("names of disks that another machine does not have are told"):
        root.write("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n")
        root.write("/proc/cmdline", "root=/dev/sda1 ro\n")
        output = runs(root, script, "", 0, "note: /etc/fstab mounts / from /dev/sda1")
        expect("the kernel line says root=/dev/sda1" in output, output)
    with report.test("an unknown command is told"):
        runs(root, script, "destroy", 1, "unknown command 'destroy'")


# ── FreeBSD of stand-ins ────────────────────────────────────────────────────────────────────────────

def freebsd_root(folder):
    root = BusyboxRoot(folder)
    root.write("/etc/rc.conf", 'hostname="beastie"\nifconfig_em0="DHCP"\n')
    root.write("/etc/fstab", "/dev/gpt/root / ufs rw 1 1\n")
    root.write("/boot/loader.conf", "")
    for name in "/usr/local/etc", "/var/db":
        root.path(name).mkdir(parents=True)
    root.stand_in("uname", "echo FreeBSD\n")
    root.stand_in("ifconfig", "exit 0\n")
    root.stand_in("sysctl", 'case $2 in net.isboot.nic) cat /state/nic 2>/dev/null ;; *) echo "$2" ;; esac\n')
    root.stand_in("pkg", """
case $1 in
info) [ -e /state/$3 ] ;;
install) [ ! -e /state/pkg-fails ] && mkdir -p /boot/modules && touch /state/$3 /boot/modules/isboot.ko ;;
delete) rm -r /state/$3 /boot/modules ;;
esac
""")
    root.stand_in("sysrc", """
case $1 in
-ni) sed -n "s/^$2=\\"\\(.*\\)\\"/\\1/p" /etc/rc.conf ;;
-ix) sed -i "/^$2=/d" /etc/rc.conf ;;
*) [ ! -e /state/sysrc-fails ] && echo "${1%%=*}=\\"${1#*=}\\"" >>/etc/rc.conf ;;
esac
""")
    return root


def freebsd(report, script, folder):
    root = freebsd_root(folder)
    before = root.fingerprint(*FOLDERS)
    with report.test("FreeBSD: check says no, install does it, check says yes"):
        runs(root, script, "check", 1, "Not prepared")
        same(before, root.fingerprint(*FOLDERS))
        runs(root, script, "", 0, "Done:")
        runs(root, script, "check", 0, "Prepared")
        expect('isboot_load="YES"' in root.read("/boot/loader.conf.d/netboot_initiator.conf"), "loader.conf")
        expect('ifconfig_bootnet0="NOAUTO"' in root.read("/etc/rc.conf"), root.read("/etc/rc.conf"))
    with report.test("FreeBSD: the script in rc.d renames the card of the root, and only that one"):
        root.write("/etc/rc.subr", 'load_rc_config() { :; }\nrun_rc_command() { $start_cmd; }\n')
        root.stand_in("ifconfig", 'echo "$*" >>/state/renamed\n')
        rc = root.read("/usr/local/etc/rc.d/netboot_initiator")
        runs(root, rc, "start", 0, "")
        expect(not root.path("/state/renamed").exists(), "renamed without isboot")
        root.write("/state/nic", "em1\n")
        runs(root, rc, "start", 0, "Renaming em1")
        expect(root.read("/state/renamed") == "em1 name bootnet0\n", root.read("/state/renamed"))
        root.write("/state/nic", "bootnet0\n")
        runs(root, rc, "start", 0, "")
        expect(root.read("/state/renamed") == "em1 name bootnet0\n", root.read("/state/renamed"))
    with report.test("FreeBSD: no uninstall while it runs from there"):
        runs(root, script, "uninstall", 1, "right now")
        for name in "/state/nic", "/state/renamed", "/etc/rc.subr":
            root.path(name).unlink()
    with report.test("FreeBSD: a second install changes nothing"):
        between = root.fingerprint(*FOLDERS)
        expect("writing" not in runs(root, script, "install", 0, "Done:"), "it wrote")
        same(between, root.fingerprint(*FOLDERS))
    with report.test("FreeBSD: uninstall restores everything"):
        runs(root, script, "uninstall", 0, "Done:")
        same(before, root.fingerprint(*FOLDERS))
    with report.test("FreeBSD: uninstall keeps what was added to rc.conf since"):
        runs(root, script, "install", 0, "Done:")
        root.write("/etc/rc.conf", root.read("/etc/rc.conf") + 'sshd_enable="YES"\n')
        runs(root, script, "uninstall", 0, "Done:")
        expect(root.read("/etc/rc.conf") == 'hostname="beastie"\nifconfig_em0="DHCP"\nsshd_enable="YES"\n',
               root.read("/etc/rc.conf"))


def freebsd_failures(report, script, folder):
    root = freebsd_root(folder)
    for name in "pkg-fails", "sysrc-fails":
        with report.test(f"FreeBSD: everything is put back when {name.replace('-', ' ')}"):
            before = root.fingerprint(*FOLDERS)
            root.write(f"/state/{name}")
            runs(root, script, "", 1, "Everything is put back")
            root.path(f"/state/{name}").unlink()
            same(before, root.fingerprint(*FOLDERS))
    with report.test("FreeBSD: names of disks that another machine does not have are told"):
        root.write("/etc/fstab", "/dev/ada0p2 / ufs rw 1 1\n")
        runs(root, script, "", 0, "mounts / from /dev/ada0p2")
    with report.test("FreeBSD: an install that fails takes nothing of an earlier one away"):
        root.write("/etc/rc.conf", "")
        root.write("/state/sysrc-fails")
        between = root.fingerprint(*FOLDERS)
        runs(root, script, "", 1, "What an earlier install made stays")
        same(between, root.fingerprint(*FOLDERS))
        root.path("/state/sysrc-fails").unlink()
        runs(root, script, "", 0, "Done:")
        runs(root, script, "check", 0, "Prepared")
    with report.test("FreeBSD: another system is refused"):
        root.stand_in("uname", "echo Linux\n")
        runs(root, script, "", 1, "not FreeBSD")


def main():
    report = Report()
    with tempfile.TemporaryDirectory(prefix="netboot-target-setup-") as path:
        folder = Path(path)
        disks = [make_file(folder / f"disk{number}", 1 << 20) for number in range(8)]
        server = Server(folder / "server", targets=[
            target("first", disks[0], auth=AUTH.format(SECRET, TARGET_SECRET)), target("open", disks[1]),
            target("long", disks[2], auth=AUTH.format(LONG, TARGET_SECRET)), target("known", disks[3]),
            target("strict", disks[4], more='initiators = [ "iqn.1994-05.local.b:*" ];'),
            target("two", disks[5]),
            target("unclear", disks[6], more='initiators = [ "iqn.*:b?" ];'),
            target("each", f"{folder}/each-%m.img")], more=MENU + CLIENTS % disks[7])
        with server.start():
            served(report, server)
            linted(report, server, folder)
            powershell(report, server)
            script, bsd_script = server.script("linux.sh"), server.script("freebsd.sh")
        for name in LINUX:
            linux(report, script, name, folder / name)
        for name in "Debian", "Fedora", "Arch":
            linux_failures(report, script, name, folder / f"{name}-fails")
        linux_fails_again(report, script, folder / "fails-again")
        linux_updates(report, script, folder / "updates")
        freebsd(report, bsd_script, folder / "FreeBSD")
        freebsd_failures(report, bsd_script, folder / "FreeBSD-fails")
    report.finish()


if __name__ == "__main__":
    main()
