"""``python -m tests.hostile.kill [JOB …] --moments 50``: kill -9, full and read-only disks, over an existing output.

Each job runs over an output that exists and is killed at moments spread over its run. Then the old output must be there
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
from pathlib import Path

from tests.hostile.jobs import Job, litter, prepare, restore, snapshot

_REFUSED = 3

_KILLED = """\
| command | a run | killed | old output | whole new | half-written | with leftovers | after next run | in TMPDIR |
|---|---|---|---|---|---|---|---|---|"""

_DISKS = """
| command | disk | exit code | output | left |
|---|---|---|---|---|"""


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _run(job: Job, output: Path, temporary: Path, seconds: float | None = None) -> int:
    """Run a job, kill its process group after some seconds, and return its exit status."""
    process = subprocess.Popen(
        job.command(output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def kill(job: Job, root: Path, moments: int) -> str:
    """Kill a job at moments spread over its run, and return its row of the table.

    Raises:
        AssertionError: an output was lost or half-written, or something was left lying about.
    """
    output, temporary = root / "output", root / "tmp"
    temporary.mkdir(exist_ok=True)
    old = snapshot(job.before)
    restore(job, output)
    start = time.perf_counter()
    assert _run(job, output, temporary) == 0, f"{job.name}: does not run"
    seconds = time.perf_counter() - start
    seen: Counter[str] = Counter()
    for moment in range(moments):
        restore(job, output)
        if _run(job, output, temporary, seconds * (moment + 0.5) / moments) == 0:
            seen["ended before"] += 1
        job.whole(output, job.before)
        left = litter(output)
        seen["left something"] += bool(left)
        kept = {name: digest for name, digest in snapshot(output).items() if name not in left and name in old}
        seen["old"] += kept == old
        code = _run(job, output, temporary)
        assert code == (0 if "vocab" not in job.name or kept == old else _REFUSED), f"{job.name}: next run gave {code}"
        job.whole(output, job.before)
        assert not litter(output), f"{job.name}, moment {moment}: {litter(output)}"
    old_ones, others = seen["old"], moments - seen["old"]
    temporaries = len(list(temporary.iterdir()))
    return (
        f"| `{job.name}` | {seconds:.1f} s | {moments} | {old_ones} | {others} | 0 | {seen['left something']} | 0 | "
        f"{temporaries} |"
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
        code = _run(job, output, temporary)
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
