"""A PATH with nothing but what the smallest Debian has and what scripts/dependencies brings: what works with it
works from a fresh clone on a fresh machine."""
import os
import re
from pathlib import Path

from .process import TOP, run


def packages(*groups):
    """Those of the smallest Debian, those of these groups, and all that they depend on."""
    wanted = run(TOP / "scripts/dependencies", "--list", *groups).stdout.split()
    depends, providers = {}, {}
    form = "${Package}\t${Priority}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    for line in run("dpkg-query", "-W", "-f", form).stdout.splitlines():
        name, priority, *lists = line.split("\t")
        needs, provides = (re.findall(r"(?:^|[,|]) *([a-z0-9][a-z0-9.+-]*)", words) for words in lists)
        depends[name] = needs
        for provided in provides:
            providers.setdefault(provided, []).append(name)
        if priority == "required":
            wanted.append(name)
    found = set()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            wanted += depends[name] if name in depends else providers.get(name, [])
    return found & depends.keys()


def small_path(folder, *groups):
    """Makes a folder of links to their programs, and gives the PATH."""
    folder.mkdir()
    files = {os.path.realpath(file) for file in run("dpkg", "-L", *packages(*groups)).stdout.splitlines()
             if re.search(r"/s?bin/[^/]+$", file)}
    for program in [*Path("/usr/bin").iterdir(), *Path("/usr/sbin").iterdir()]:
        if os.path.realpath(program) in files:
            (folder / program.name).unlink(missing_ok=True)
            (folder / program.name).symlink_to(program)
    return str(folder)
