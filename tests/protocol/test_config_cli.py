#!/usr/bin/env python3
"""The command line and the configuration: what is checked, told, generated and refused.

usage: test_config_cli.py NETBOOT-TARGET
"""
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab.daemon import PROGRAM, Daemon, check, iqn, target  # noqa: E402
from lab.disk import MIB, make_file, scratch  # noqa: E402
from lab.initiator import Refused, Session, login_status  # noqa: E402
from lab.process import Background, exit_on_signals, run, wait_for  # noqa: E402
from lab.report import LabError, Report  # noqa: E402
from lab.targets import Secrets  # noqa: E402


def write(path, text, mode=0o600):
    path.unlink(missing_ok=True)
    path.touch(mode=mode)
    path.write_text(text)
    path.chmod(mode)
    return path


# ── the command line ────────────────────────────────────────────────────────────────────────────

def test_words(report):
    with report.test("--version, --help, --help=config"):
        done = check("--version")
        assert done.returncode == 0 and re.fullmatch(r"netboot-target \d+\.\d+\.\d+\n", done.stdout)
        done = check("--help")
        assert done.returncode == 0
        for option in ("--config", "--test", "--doctor", "--export", "--open", "--log-level", "--version"):
            assert option in done.stdout, option
        assert check("-h").stdout == done.stdout
        done = check("--help=config")
        for key in ("targets.luns.disk-with", "limits.drain", "discovery-auth.secret-file"):
            assert done.returncode == 0 and key in done.stdout, key
    for arguments, told in ((("--nonsense",), "nonsense"), (("-x",), "x"), (("file",), "file"),
                            (("--help=nothing",), "nothing"), (("--log-level", "loud"), "loud"),
                            (("-c",), "requires an argument"), (("--open",), "--export"),
                            (("-c", "/x", "--export", "/y"), "--export"), (("--export",), "export")):
        with report.test(f"wrong usage: {' '.join(arguments)}"):
            done = check(*arguments)
            assert done.returncode == 2 and told in done.stdout, done


GOOD = """
targets = ( { name = "a"; luns = ( { device = "/srv/a.img" } ); auth = { mode = "none" } } );
"""

SEMANTIC = """
log-level = "loud";
portalz = [ "*:3260" ];
targets = (
  { name = "a"; luns = ( { device = "/srv/a.img"; lun = 256 } ); auth = { mode = "none" } },
  { name = "a"; luns = ( { device = "/srv/b.img"; disk-with = "UUID=1" } ) },
  { name = "c"; luns = ( { device = "/srv/a.img" } ); auth = { mode = "chap"; secret = "short" } }
);
limits = { drain = 20; };
"""


def test_checks(report, folder):
    config = folder / "test.conf"
    with report.test("-t: a good file"):
        done = check("-t", "-c", write(config, GOOD))
        assert done.returncode == 0 and done.stdout == f"{config}: ok\n", done
    with report.test("-t: one syntax error, with its place, alone"):
        done = check("-t", "-c", write(config, GOOD + "nonsense = 1;\ntargets = ( {\n"))
        assert done.returncode == 1, done
        assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith(f"{config}:"), done
    with report.test("-t: all other errors together, each with its place"):
        done = check("-t", "-c", write(config, SEMANTIC))
        found = {int(line) for line in re.findall(rf"{re.escape(str(config))}:(\d+):", done.stdout)}
        assert done.returncode == 1 and found >= {2, 3, 5, 6, 7, 9}, done.stdout
        for word in ("portals", "loud", "256", "not both", "given twice", "12"):
            assert word in done.stdout, f"{word!r} is not in\n{done.stdout}"
    with report.test("-t: a file that is not there, a folder, an empty one"):
        for path in (folder / "none.conf", folder):
            done = check("-t", "-c", path)
            assert done.returncode == 1 and str(path) in done.stdout, done
        assert check("-t", "-c", write(config, "")).returncode in (0, 1)
    with report.test("the daemon refuses what -t refuses, with the same words"):
        told = check("-t", "-c", write(config, SEMANTIC)).stdout.splitlines()
        done = check("-c", config)
        assert done.returncode == 1, done
        for line in told:
            assert line.split(": ", 1)[-1] in done.stdout, line
    with report.test("a portal that is taken: told, exit 1"):
        disk = make_file(folder / "portal.img", 8 * MIB)
        with Daemon(folder / "first", [target("a", disk)]).start() as first:
            second = Daemon(folder / "second", [target("a", disk)])
            second.portals = first.portals
            with second.launch():
                second.ends(10, code=1)
                assert first.portals[0] in second.says() and "in use" in second.says()


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────

SECRETS = Secrets("laptop", "laptop-secret-01", "server", "server-secret-01")


def chap(words):
    return (f'{{ mode = "mutual"; user = "{SECRETS.user}"; target-user = "{SECRETS.target_user}"; '
            f'{words} }}')


def expect_chap(daemon, secrets=SECRETS):
    with Session(daemon.port, iqn("a"), secrets=secrets) as session:
        session.ready()
        assert daemon.status()["sessions"][0]["auth"] == "mutual CHAP"
    wrong = Secrets(secrets.user, "another-secret-02", secrets.target_user, secrets.target_secret)
    for options in ({}, {"secrets": wrong}):
        try:
            Session(daemon.port, iqn("a"), **options).close()
            raise AssertionError("logged in without the secret")
        except Refused as refused:
            assert refused.status == 0x0201, refused


def test_secrets(report, folder):
    disk = make_file(folder / "secrets.img", 8 * MIB)
    inline = chap(f'secret = "{SECRETS.secret}"; target-secret = "{SECRETS.target_secret}"')
    with report.test("secrets in the file: taken when it is private"):
        with Daemon(folder / "inline", [target("a", disk, auth=inline)]).start() as daemon:
            expect_chap(daemon)
            for secret in (SECRETS.secret, SECRETS.target_secret):
                assert not daemon.says(secret), "a secret is in the log"
                assert secret not in daemon.http("GET", "/status")[1]
                assert secret.encode() not in Path(f"/proc/{daemon.pid}/cmdline").read_bytes()
    for mode in (0o644, 0o640, 0o604):
        with report.test(f"secrets in a file of mode {mode:o}: refused with the cure"):
            daemon.config.chmod(mode)
            done = check("-t", "-c", daemon.config)
            assert done.returncode == 1 and "chmod" in done.stdout, done
            assert SECRETS.secret not in done.stdout
    with report.test("the same file without secrets may be read by everybody"):
        assert check("-t", "-c", write(folder / "open.conf", GOOD, 0o644)).returncode == 0
    files = [write(folder / "initiator.secret", SECRETS.secret + "\n"),
             write(folder / "target.secret", SECRETS.target_secret)]
    by_file = chap(f'secret-file = "{files[0]}"; target-secret-file = "{files[1]}"')
    with report.test("secret files"):
        with Daemon(folder / "files", [target("a", disk, auth=by_file)]).start() as daemon:
            daemon.config.chmod(0o644)
            expect_chap(daemon)
            write(files[0], "a-brand-new-secret")
            daemon.reload()
            new = Secrets(SECRETS.user, "a-brand-new-secret", SECRETS.target_user,
                          SECRETS.target_secret)
            wait_for(lambda: login_status(daemon.port, iqn("a"), secrets=new) == 0, 5, "new secret")
            expect_chap(daemon, new)
    for what, spoil, told in (
            ("readable by others", lambda: files[0].chmod(0o644), "chmod"),
            ("missing", files[0].unlink, "No such file"),
            ("a link", lambda: (files[0].unlink(), files[0].symlink_to(files[1])), "symbolic link"),
            ("too short", lambda: write(files[0], "short\n"), "5 characters")):
        with report.test(f"a secret file that is {what} is refused"):
            write(files[0], SECRETS.secret)
            spoil()
            done = check("-t", "-c", daemon.config)
            assert done.returncode == 1 and told in done.stdout, done
            assert "netboot.conf:" in done.stdout and "secret-file" in done.stdout, done
    credentials = folder / "credentials"
    credentials.mkdir(mode=0o700)
    for name, secret in (("one", SECRETS.secret), ("two", SECRETS.target_secret)):
        write(credentials / name, secret, 0o400)
    by_credential = chap('secret-credential = "one"; target-secret-credential = "two"')
    with report.test("systemd credentials"):
        environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)}
        with Daemon(folder / "credentials-daemon", [target("a", disk, auth=by_credential)]
                    ).start(env=environment) as daemon:
            expect_chap(daemon)
        done = check("-t", "-c", daemon.config)
        assert done.returncode == 1 and "LoadCredential=one" in done.stdout, done
    with report.test("the same secret for both directions is refused"):
        same = chap(f'secret = "{SECRETS.secret}"; target-secret = "{SECRETS.secret}"')
        done = check("-t", "-c", write(folder / "same.conf", f"targets = ( "
                                       f"{target('a', disk, auth=same)} );"))
        assert done.returncode == 1 and SECRETS.secret not in done.stdout, done


def test_algorithms(report, folder):
    disk = make_file(folder / "algorithms.img", 8 * MIB)
    words = f'secret = "{SECRETS.secret}"; target-secret = "{SECRETS.target_secret}";'

    def auth(algorithms):
        return chap(f"{words} algorithms = {algorithms};")

    with report.test("CHAP algorithms that are not named are refused, with a reload too"):
        only, without = '"md5"', '[ "sha256", "sha1" ]'  # the initiator knows MD5 alone
        with Daemon(folder / "algorithms", [target("a", disk, auth=auth(only))]).start() as daemon:
            assert login_status(daemon.port, iqn("a"), secrets=SECRETS) == 0
            daemon.targets = [target("a", disk, auth=auth(without))]
            daemon.reload()
            wait_for(lambda: login_status(daemon.port, iqn("a"), secrets=SECRETS) == 0x0201, 10,
                     "login that is refused")


def test_guessing(report, folder):
    disk = make_file(folder / "guess.img", 8 * MIB)
    auth = chap(f'secret = "{SECRETS.secret}"; target-secret = "{SECRETS.target_secret}"')
    with report.test("whoever fails to log in too often waits, others do not"):
        wrong = Secrets(SECRETS.user, "a-wrong-secret-0", SECRETS.target_user, SECRETS.target_secret)
        with Daemon(folder / "guess", [target("a", disk, auth=auth)],
                    limits="failed-logins-per-minute = 3;") as daemon:
            daemon.portals = [f"0.0.0.0:{daemon.port}"]
            daemon.start()
            for _ in range(3):
                assert seconds_of(daemon, 0x0201, wrong) < 1
            daemon.wait_log("limits.failed-logins-per-minute")
            assert 2.5 < seconds_of(daemon, 0x0201, wrong) < 5
            assert seconds_of(daemon, 0, SECRETS, "127.0.0.2") < 1
            assert 2.5 < seconds_of(daemon, 0, SECRETS) < 5


def seconds_of(daemon, expected, secrets, source="127.0.0.1"):
    begin = time.monotonic()
    status = login_status(daemon.port, iqn("a"), secrets=secrets, source=source)
    assert status == expected, status
    return time.monotonic() - begin


def kept_secrets(path):
    lines = dict((kind, (name, secret)) for kind, name, secret in
                 (line.split() for line in path.read_text().splitlines()))
    return Secrets(*lines["initiator"], *lines["target"])


def test_generated(report, folder):
    disk = make_file(folder / "generated.img", 8 * MIB)
    daemon = Daemon(folder / "generated", [target("a", disk, auth='{ mode = "mutual" }')])
    seen = []
    with report.test("generated secrets: told where, 0600, the same after a restart, they work"):
        for _ in range(2):
            with daemon.start():
                path = Path(daemon.target("a")["secrets_path"])
                assert path.parent == daemon.state and daemon.says(str(path))
                assert path.stat().st_mode & 0o777 == 0o600
                assert daemon.state.stat().st_mode & 0o777 == 0o700
                seen.append(path.read_text())
                secrets = kept_secrets(path)
                for secret in (secrets.secret, secrets.target_secret):
                    assert re.fullmatch(r"[A-Za-z0-9._]{16}", secret) and not daemon.says(secret)
                assert secrets.secret != secrets.target_secret
                expect_chap(daemon, secrets)
        assert seen[0] == seen[1]
    with report.test("a state directory that cannot be used is told, disks are served"):
        daemon.state = Path("/proc/nowhere/state")
        with daemon.start():
            assert daemon.says("/proc/nowhere/state")


# ── --export ────────────────────────────────────────────────────────────────────────────────────

def test_export(report, folder):
    if os.geteuid():
        report.fail("--export", "needs root: namespaces of its own")
        return
    disk = make_file(folder / "export.img", 8 * MIB)
    state = folder / "export-state"
    state.mkdir(mode=0o700)
    namespace = f"nbt{os.getpid()}-export"
    default_state = Path("/var/lib/netboot-target")
    made = not default_state.exists()
    run("ip", "netns", "add", namespace)
    try:
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        exported(report, folder, disk, state, namespace)
    finally:
        run("ip", "netns", "delete", namespace)
        if made and default_state.exists():
            default_state.rmdir()


def start_exported(folder, state, namespace, *arguments):
    """Runs in its own network, and with its own /var/lib/netboot-target."""
    script = ('mkdir -p /var/lib/netboot-target && mount --bind "$0" /var/lib/netboot-target && '
              'exec "$@"')
    return Background("unshare", "--mount", "--propagation", "private", "sh", "-c", script, state,
                      PROGRAM, *arguments, namespace=namespace, log=folder / "export.log")


def inside(namespace, *arguments):
    return run("ip", "netns", "exec", namespace, *arguments, check=False)


def exported(report, folder, disk, state, namespace):
    seen = []
    with report.test("--export: mutual CHAP with kept secrets, told with the next step"):
        for _ in range(2):
            (folder / "export.log").unlink(missing_ok=True)
            daemon = start_exported(folder, state, namespace, "--export", disk)
            try:
                wait_for(lambda: "next: " in daemon.output(), 15, "next step")
                told = daemon.output()
                assert str(disk) in told and "0.0.0.0:3260" in told and "[::]:3260" in told, told
                assert "status page: http://127.0.0.1:9180/" in told, told
                name = re.search(r"as (iqn\.\S+)", told)[1].rstrip(",")
                path = state / re.search(r"secrets: \S+/(secrets-\S+)", told)[1]
                assert path.stat().st_mode & 0o777 == 0o600
                secrets = kept_secrets(path)
                seen.append((name, path.read_text()))
                done = inside(namespace, "iscsi-inq", f"iscsi://127.0.0.1/{name}/0")
                assert done.returncode, "logged in without a secret"
                login = (f"iscsi://{secrets.user}%{secrets.secret}@127.0.0.1/{name}/0?"
                         f"target_user={secrets.target_user}&target_password={secrets.target_secret}")
                done = inside(namespace, "iscsi-inq", login)
                assert done.returncode == 0 and "NETBOOT" in done.stdout, done
            finally:
                code = daemon.stop()
            assert code == 0, daemon.output()
        assert seen[0] == seen[1], seen
    with report.test("--export --open: without a secret, several disks"):
        other = make_file(folder / "export2.img", 8 * MIB)
        (folder / "export.log").unlink()
        daemon = start_exported(folder, state, namespace, "--export", disk, "--export", other,
                                "--open")
        try:
            wait_for(lambda: daemon.output().count("serving target") == 2, 15, "two targets")
            names = re.findall(r"as (iqn\.[^\s,]+)", daemon.output())
            assert len(set(names)) == 2, names
            for name in names:
                done = inside(namespace, "iscsi-inq", f"iscsi://127.0.0.1/{name}/0")
                assert done.returncode == 0, done
        finally:
            code = daemon.stop()
        assert code == 0, daemon.output()
    with report.test("--export -t, and of a disk that is not there"):
        assert check("-t", "--export", disk).returncode == 0
        assert check("-t", "--export", "relative").returncode == 1
        (folder / "export.log").unlink()
        daemon = start_exported(folder, state, namespace, "--export", folder / "none.img")
        assert daemon.wait(15) == 1 and "none.img" in daemon.output()
        assert "next: " not in daemon.output(), "tells a next step when there is none"
    with report.test("before there is a configuration: what to do, and what the doctor sees all the same"):
        (empty := folder / "empty-etc").mkdir()
        without = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
                   'mount --bind "$0" /etc && exec "$@"', empty, PROGRAM)
        for arguments in (), ("-t",):
            done = inside(namespace, *without, *arguments)
            assert done.returncode == 1 and "there is no /etc/netboot.conf yet" in done.stdout, done
        done = inside(namespace, *without, "--doctor")
        assert "only this machine is looked at" in done.stdout and "iSCSI: free" in done.stdout, done


def main():
    exit_on_signals()
    report = Report()
    with scratch() as folder:
        test_words(report)
        test_checks(report, folder)
        test_secrets(report, folder)
        test_algorithms(report, folder)
        test_guessing(report, folder)
        test_generated(report, folder)
        test_export(report, folder)
    report.finish()


main()
