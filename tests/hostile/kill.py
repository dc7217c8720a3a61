"""``python -m tests.hostile.kill [JOB …] --moments 50``: kill -9, full and read-only disks, over an existing output.

Each job runs over an output that exists and is killed: every other time at a moment of its run, and else at one of the
time in which it writes, both spread evenly. Then the old output must be there
whole, or a whole new one; the job runs once more, and nothing may be left of the killed one. Needs Linux, and root for
the disks (it mounts small tmpfs). Takes 4 to 8 minutes a job on two free cores, the export 25. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.jobs import Job, litter, prepare, restore, snapshot

_REFUSED = 3
_WATCH = 0.0005
"""Seconds between looks at the output folder."""

_KILLED = """\
| command | a run | killed | old output | whole new | half-written | with leftovers | after next run | in TMPDIR |
|---|---|---|---|---|---|---|---|---|"""

_DISKS = """
| command | disk | exit code | output | left |
|---|---|---|---|---|"""


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Run:
    """How a run went.

    Attributes:
        code: exit status; negative where it was killed.
        begins: seconds after which something hidden appeared in the output folder: it began to write.
        seconds: all in all.
    """

    code: int
    begins: float
    seconds: float


@dataclass(frozen=True)
class Moment:
    """When to kill: some seconds after the start, or after the run began to write."""

    seconds: float
    writing: bool = False


_NEVER = Moment(float("inf"))


def _run(job: Job, output: Path, temporary: Path, moment: Moment = _NEVER) -> Run:
    """Run a job, and kill its process group at a moment."""
    start = time.perf_counter()
    process = subprocess.Popen(
        job.command(output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    begins = float("inf")
    while process.poll() is None:
        now = time.perf_counter() - start
        begins = now if now < begins and _writes(output) else begins
        if now >= moment.seconds + (begins if moment.writing else 0):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(_WATCH)
    ended = time.perf_counter() - start
    return Run(process.returncode, min(begins, ended), ended)


def _writes(output: Path) -> bool:
    """Whether something hidden lies in a folder, as it does beside what is being written."""
    return any(name.startswith(".") for name in os.listdir(output))  # noqa: PTH208 — a walk meets what just went away


def kill(job: Job, root: Path, moments: int) -> str:
    """Kill a job at moments, half of them spread over its run and half over its writing; return its row of the table.

    Raises:
        AssertionError: an output was lost or half-written, or something was left lying about.
    """
    output, temporary = root / "output", root / "tmp"
    temporary.mkdir(exist_ok=True)
    old = snapshot(job.before)
    restore(job, output)
    whole = first = _run(job, output, temporary)
    assert whole.code == 0, f"{job.name}: does not run"
    seen: Counter[str] = Counter()
    for number in range(moments):
        restore(job, output)
        share, writing = (number + 0.5) / moments, bool(number % 2)
        length = whole.seconds - whole.begins if writing else whole.seconds
        seen["killed"] += _run(job, output, temporary, Moment(share * length, writing)).code < 0
        job.whole(output, job.before)
        left = litter(output)
        seen["left something"] += bool(left)
        kept = {name: digest for name, digest in snapshot(output).items() if name not in left and name in old}
        seen["old"] += kept == old
        again = _run(job, output, temporary)
        whole = again if again.code == 0 else whole  # the machine may have become slower or faster
        expected = 0 if "vocab" not in job.name or kept == old else _REFUSED
        assert again.code == expected, f"{job.name}: next run gave {again.code}"
        job.whole(output, job.before)
        assert not litter(output), f"{job.name}, moment {number}: {litter(output)}"
    temporaries = len(list(temporary.iterdir()))
    return (
        f"| `{job.name}` | {first.seconds:.1f} s | {seen['killed']} of {moments} | {seen['old']} | "
        f"{moments - seen['old']} | 0 | {seen['left something']} | 0 | {temporaries} |"
    )


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small disk in memory."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)


def bad_disk(job: Job, root: Path, *, full: bool) -> str:
    """Run a job over an output on a disk that is full, or read-only; return its row of the table.

    Raises:
        AssertionError: the job did not refuse by exit code 3, or changed or left something.
    """
    temporary = root / "tmp"
    temporary.mkdir(exist_ok=True)
    with disk(root / "disk", "size=64m") as mounted:
        output = mounted / "output"
        restore(job, output)
        old = snapshot(output)
        if full:
            _fill(mounted / "ballast")
        else:
            subprocess.run(["/bin/mount", "-o", "remount,ro", str(mounted)], check=True)
        code = _run(job, output, temporary).code
        assert code == _REFUSED, f"{job.name}: exit code {code}"
        assert snapshot(output) == old, f"{job.name}: changed or left {set(snapshot(output)) - set(old)}"
    return f"| `{job.name}` | {'full' if full else 'read-only'} | {code} | as before | none |"


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="segment, vocab, calibrate, export (default: all)")
    parser.add_argument("--moments", type=int, default=50, help="how often each is killed (default: 50)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-") as name:
        root = Path(name)
        jobs = [job for job in prepare(root) if not options.jobs or job.name.split()[0] in options.jobs]
        _say(_KILLED)
        for job in jobs if options.moments else ():
            _say(kill(job, root, options.moments))
        _say(_DISKS)
        for job in jobs if sys.platform == "linux" and os.geteuid() == 0 else ():
            for full in (True, False):
                _say(bad_disk(job, root, full=full))


if __name__ == "__main__":
    main()
