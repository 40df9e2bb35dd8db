"""Work for a guest: files with a flush behind each, whose sums are kept apart, until it is told to stop or
the first error. Scripts for Machine.run(); `folder` lies on the disk under test, /run does not."""
from .process import wait_for
from .report import LabError

BEGIN = """
cat >/run/load <<'END'
i=0
while [ ! -e /run/stop ]; do
    head -c 300k /dev/urandom >/run/block || break
    dd if=/run/block of=FOLDER/$((i % 200)) bs=64k conv=fsync status=none || { echo failed >>/run/load.errors; break; }
    sha256sum </run/block >/run/sum.$((i % 200))
    i=$((i + 1))
    echo $i >/run/progress
done
touch /run/stopped
END
rm -f /run/stop /run/stopped /run/load.errors
sh /run/load >/run/load.log 2>&1 &
"""

STOP = """
touch /run/stop
for i in $(seq 150); do [ -e /run/stopped ] && break; sleep 1; done
[ -e /run/stopped ] || { echo 'the load hangs'; dmesg | tail -30; exit 1; }
[ ! -e /run/load.errors ] || { cat /run/load.log; dmesg | tail -30; exit 1; }
"""

COMPARE = """
for sum in /run/sum.*; do
    sha256sum <FOLDER/${sum##*.} | cmp - $sum || { echo "${sum##*.} is not what was written"; exit 1; }
done
"""

NO_ERRORS = "if dmesg | grep -iE 'I/O error|critical .* error|EXT4-fs error'; then exit 1; fi\n"


def begin(folder):
    return BEGIN.replace("FOLDER", folder)


def compare(folder):
    return COMPARE.replace("FOLDER", folder)


def progress(machine, seconds=30):
    """How many files are written and flushed."""
    return int(machine.run("cat /run/progress 2>/dev/null || echo 0", seconds))


def wait_for_progress(machine, more, seconds):
    """Waits until so many more files are flushed; gives how many."""
    before = progress(machine)

    def further():
        if machine.run("cat /run/load.errors 2>/dev/null || true", 30):
            raise LabError("the load broke off:\n" +
                           machine.run("cat /run/load.log; dmesg | tail -30", 30))
        return progress(machine) >= before + more
    wait_for(further, seconds, lambda: f"progress beyond {before} files\n" +
             machine.run("dmesg | tail -30", 30))
    return progress(machine) - before
