"""Running a program where no network exists, and seeing whatever it tries to reach and to leave behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest

from cgsam_edge.runtimes import cache, children, telemetry

_SWITCHES = re.compile(
    r"CI|TF_BUILD|TRAVIS|CIRCLECI|BUILDKITE|TEAMCITY_\w+|JENKINS\w*|GITHUB_\w+|GITLAB_\w+|ORT_\w+|NNCF_\w+|XDG_\w+"
)
"""Variables that silence an engine by themselves, and those that lead out of the home folder."""

_STRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=network")
_NO_NETWORK = ("unshare", "--map-root-user", "--net")
_COUNTED = {"OutRequests", "OutNoRoutes", "Ip6OutRequests", "Ip6OutNoRoutes", "ActiveOpens", "OutDatagrams"}
_LOOPBACK = ("ip", "link", "set", "lo", "up")
_WITH_LOOPBACK = f'{" ".join(_LOOPBACK)} && exec "$@"'
_HERE = re.compile(r'sin_addr=inet_addr\("(127\.[\d.]+|0\.0\.0\.0)"\)|AF_INET6, "(::1|::|::ffff:127\.[\d.]+)"')
_COUNT = 'file=$1; shift; "$@"; code=$?; cat /proc/net/snmp /proc/net/snmp6 > "$file"; exit $code'


@dataclass(frozen=True)
class Watched:
    """What a program did.

    Attributes:
        code: that it ended with.
        output: what it printed.
        errors: likewise, on the other stream.
        attempts: to use a network, as strace or the namespace's own counters show them.
        left: files in the home folder and in the one for temporary files.
        cache: files in the product's cache folder.
    """

    code: int
    output: str
    errors: str
    attempts: list[str]
    left: list[str]
    cache: list[str]


STRACE, COUNTERS = "strace", "counters"


def watchers() -> list[str]:
    """Return what can watch here, the one that says most first."""
    return [STRACE, COUNTERS] if _works(*_STRACE, "-o", os.devnull) else [COUNTERS]


def run(
    arguments: list[str], folder: Path, watcher: str = "", *, loopback: bool = False, **environment: str
) -> Watched:
    """Run Python with these arguments in a separate network namespace, with a fresh home folder.

    With ``loopback``, its processes may reach each other by addresses of the machine itself, which count as no attempt;
    only strace can tell these from others.
    """
    if not _works(*_NO_NETWORK):
        pytest.skip("unshare cannot make a network namespace here")
    places = {name: folder / name for name in ("home", "tmp", "cache")}
    for place in places.values():
        place.mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not _SWITCHES.fullmatch(name)}
    own = {"HOME": places["home"], "TMPDIR": places["tmp"], cache.ENVIRONMENT: places["cache"]}
    kept |= {name: str(value) for name, value in own.items()}
    for name in (telemetry.ENVIRONMENT, children.NO_TRIAL):
        kept.pop(name, None)
    record, traced = folder / "record", (watcher or watchers()[0]) == STRACE
    before = (*_STRACE, "-o", str(record)) if traced else ("sh", "-c", _COUNT, "sh", str(record))
    if loopback and not (traced and _works(*_NO_NETWORK, *_LOOPBACK, ends=False)):
        pytest.skip("strace and ip are needed to watch what uses the loopback network")
    inside = ("sh", "-c", _WITH_LOOPBACK, "sh") if loopback else ()
    command = [*_NO_NETWORK, *inside, *before, sys.executable, *arguments]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False)
    text = record.read_text(errors="replace")
    attempts = _traced(text) if traced else _counted(text)
    attempts = [line for line in attempts if not (loopback and _HERE.search(line))]
    return Watched(done.returncode, done.stdout, done.stderr, attempts, _files(places["home"], places["tmp"]),
                   _files(places["cache"]))  # fmt: skip


@lru_cache
def _works(*command: str, ends: bool = True) -> bool:
    """Whether a command runs: one that runs another (``ends``), or one that does something itself."""
    whole = [*command, *(["true"] if ends else [])]
    return shutil.which(command[0]) is not None and subprocess.run(whole, check=False).returncode == 0


def _traced(text: str) -> list[str]:
    """Return the calls that connect or send to another machine.

    A socket that is only made is none: libraries ask the system for its network interfaces through one.
    """
    return [line for line in text.splitlines() if re.search(r"\b(connect|send\w+)\(.*\bAF_(INET|PACKET|VSOCK)", line)]


def _counted(text: str) -> list[str]:
    """Return the namespace's counters of what was sent, or could not be sent, that are not zero."""
    lines = [line.split() for line in text.splitlines()]
    pairs = [line for line in lines if len(line) == 2]  # of IPv6
    for names, values in pairwise(lines):
        if names and values and names[0] == values[0] and values[-1].lstrip("-").isdigit():
            pairs += [[name, value] for name, value in zip(names, values, strict=True)]
    return [f"{name} {value}" for name, value in pairs if name in _COUNTED and value not in ("0", name)]


def _files(*folders: Path) -> list[str]:
    return sorted(str(path) for folder in folders for path in folder.rglob("*") if not path.is_dir())
