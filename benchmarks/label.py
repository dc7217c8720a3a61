"""`cgsam label` by the clock: one worker against two, processes against Ray, and whether the data sets are the same.

    python -m benchmarks.label --pictures 2000 --runs plain-2,ray-2 --work /tmp/labelling --output docs

Renders the pictures once, into the folder of the work, and runs the command in turns, each worker with one thread, each
run into a new folder. Of each run it keeps the time to the first label, from the first to the last label, and for the
writing of the data sets, and the CPU seconds of the driver (the process of the command), of the workers, and of Ray's
own processes. Writes ``label-run.json`` and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.quality.scenes.__main__ import write_scenes

SERIES = 23
COMMAND = "import sys; from cgsam_edge.cli import main\nif __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
LABELS = "labels"
_POLL = 0.1
_LOOKS_BETWEEN_CPU = 5
"""Looks at the folder for each look at the processes, which costs more."""


@dataclass(frozen=True)
class Kind:
    """How a run is made: "plain-2" is two processes, "ray-2" two workers on a cluster that the run starts."""

    name: str
    workers: int
    ray: bool

    @classmethod
    def parse(cls, text: str) -> Kind:
        """Read a name."""
        how, _, count = text.partition("-")
        if how not in ("plain", "ray") or not count.isdecimal() or count == "0":
            raise argparse.ArgumentTypeError(f"expected plain-N or ray-N, such as plain-2, got {text!r}")
        return cls(text, int(count), how == "ray")


@dataclass(frozen=True)
class LabelTurn:
    """One run.

    Attributes:
        kind: name of its `Kind`.
        pictures: that were labelled.
        start: seconds to the first label: engines, and Ray's cluster.
        labelling: seconds from the first to the last label.
        writing: seconds after it: data sets, report, and the end of all processes.
        driver, workers, others: CPU seconds of these processes.
        digest: of all files but the shards, whose order is that of the work.
    """

    kind: str
    pictures: int
    start: float
    labelling: float
    writing: float
    driver: float
    workers: float
    others: float
    digest: str

    @property
    def rate(self) -> float:
        """Pictures a second between the first and the last label."""
        return (self.pictures - 1) / self.labelling

    @property
    def seconds(self) -> float:
        """The whole run."""
        return self.start + self.labelling + self.writing


def render_pictures(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Render pictures that are not there yet; return their folder."""
    images = folder / f"{size[0]}x{size[1]}" / "images"
    held = len(list(images.iterdir())) if images.is_dir() else 0
    if held < count:
        write_scenes(images.parent, SERIES, range(held, count), size[1], size[0])
    return images


def measure(kind: Kind, source: Path, output: Path, options: Sequence[str]) -> LabelTurn:
    """Run the command once, and watch its processes and its labels."""
    more = ["--cluster", "auto"] if kind.ray else []
    arguments = [str(source), "--output", str(output), "--workers", str(kind.workers), "--threads", "1", *more]
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", COMMAND, "label", *arguments, *options], stdout=subprocess.PIPE)
    watched = _Watched(process.pid, output / LABELS)
    looks = 0
    while process.poll() is None:
        watched.look_at_labels()
        if looks % _LOOKS_BETWEEN_CPU == 0:
            watched.look_at_processes()
        looks += 1
        time.sleep(_POLL)
    ended = time.monotonic()
    if process.returncode or watched.first is None:
        raise SystemExit(f"cgsam label failed with exit code {process.returncode}")
    seconds = watched.seconds()
    return LabelTurn(
        kind.name,
        _pictures(output),
        watched.first - begun,
        max(watched.last - watched.first, _POLL),
        ended - watched.last,
        seconds["driver"],
        seconds["worker"],
        seconds["other"],
        digest(output),
    )


def _pictures(output: Path) -> int:
    found: dict[str, int] = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    return found["pictures"]


class _Watched:
    """CPU seconds of a process and all below it, and when its labels came."""

    def __init__(self, pid: int, labels: Path) -> None:
        self._root, self._labels = psutil.Process(pid), labels
        self._seconds: dict[tuple[int, float], tuple[str, float]] = {}
        self.first: float | None = None
        self.last, self._bytes = 0.0, 0

    def look_at_labels(self) -> None:
        """Note the time if there are more labels than before."""
        held = sum(path.stat().st_size for path in self._labels.glob("*.jsonl"))
        if held > self._bytes:
            self.last, self._bytes = time.monotonic(), held
            self.first = self.first or self.last

    def look_at_processes(self) -> None:
        """Note what each process has used so far."""
        with suppress(psutil.NoSuchProcess):
            for one in (self._root, *self._root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    times = one.cpu_times()
                    self._seconds[one.pid, one.create_time()] = (self._role(one), times.user + times.system)

    def _role(self, one: psutil.Process) -> str:
        if one.pid == self._root.pid:
            return "driver"
        line = " ".join(one.cmdline())
        return "worker" if "RayLabeller" in line or "spawn_main" in line else "other"

    def seconds(self) -> dict[str, float]:
        """Return CPU seconds by role."""
        total: dict[str, float] = defaultdict(float)
        for role, seconds in self._seconds.values():
            total[role] += seconds
        return total


def digest(output: Path) -> str:
    """Return SHA-256 of all files of a run but its shards, with their places."""
    made = hashlib.sha256()
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        place = path.relative_to(output)
        if LABELS not in place.parts[:1]:
            made.update(f"{place.as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return made.hexdigest()


def markdown(turns: Sequence[LabelTurn]) -> str:
    """Return the table: medians of each kind's turns, and whether all files were the same."""
    kinds = list(dict.fromkeys(one.kind for one in turns))
    lines = ["| run | turns | pictures | to the first label, s | pictures a second | writing, s | whole, s |"]
    lines[0] += " core seconds: driver | workers | others |"
    lines.append(f"|---|{'---:|' * 9}")
    for kind in kinds:
        mine = [one for one in turns if one.kind == kind]
        cells = [_median(mine, name) for name in ("start", "rate", "writing", "seconds", "driver", "workers", "others")]
        shown = [f"{cells[0]:.1f}", f"{cells[1]:.2f}", *(f"{cell:.1f}" for cell in cells[2:])]
        lines.append(f"| {kind} | {len(mine)} | {mine[0].pictures:,} | {' | '.join(shown)} |")
    lines += ["", *_sentences(turns, kinds)]
    return "\n".join(lines)


def _sentences(turns: Sequence[LabelTurn], kinds: Sequence[str]) -> Iterator[str]:
    rates = {kind: _median([one for one in turns if one.kind == kind], "rate") for kind in kinds}
    for kind in kinds[1:]:
        yield f"{kind} labels {rates[kind] / rates[kinds[0]]:.2f} times as many pictures a second as {kinds[0]}."
    same = len({one.digest for one in turns}) == 1
    yield f"All files but the shards are {'the same byte for byte' if same else 'NOT THE SAME'} in all runs."


def _median(turns: Sequence[LabelTurn], name: str) -> float:
    return statistics.median(float(getattr(one, name)) for one in turns)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=2000, metavar="N")
    parser.add_argument("--size", default="160x128", metavar="WxH", help="of the pictures (default: %(default)s)")
    parser.add_argument("--concepts", default="car,road", metavar="NAMES")
    parser.add_argument("--to", default="coco", metavar="FORMATS")
    parser.add_argument("--runs", default="plain-1,plain-2,ray-2", metavar="KINDS", help="plain-N or ray-N, in turns")
    parser.add_argument(
        "--turns", type=int, default=1, metavar="N", help="how often each is run (default: %(default)s)"
    )
    parser.add_argument("--backend", default="onnxruntime", metavar="NAME")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="for pictures and runs; kept")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for label-run.json")
    parser.add_argument("--render-only", action="store_true", help="render the pictures, and run nothing")
    made = parser.parse_args(arguments)
    made.kinds = [Kind.parse(one) for one in made.runs.split(",")]
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = parse(arguments)
    width, height = map(int, options.size.split("x"))
    images = render_pictures(options.work, options.pictures, (width, height))
    if options.render_only:
        return
    sources = sorted(images.iterdir())[: options.pictures]
    listed = _linked(sources, options.work / f"first-{options.pictures}-{options.size}")
    chosen = ["--to", options.to, "--concepts", options.concepts, "--backend", options.backend]
    turns = []
    for number in range(options.turns):
        for kind in options.kinds:
            output = options.work / f"{kind.name}-{number}"
            shutil.rmtree(output, ignore_errors=True)
            turns.append(measure(kind, listed, output, chosen))
            _keep(turns, options)
    print(markdown(turns))


def _keep(turns: Sequence[LabelTurn], options: argparse.Namespace) -> None:
    """Write what has been measured so far."""
    facts = {"pictures": options.pictures, "size": options.size, "concepts": options.concepts, "formats": options.to}
    machine = asdict(Sensors().machine())
    del machine["host"]
    body = {**facts, "machine": machine, "date": time.strftime("%Y-%m-%d"), "turns": [asdict(one) for one in turns]}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "label-run.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def _linked(sources: Sequence[Path], folder: Path) -> Path:
    """Return a folder of these pictures alone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for one in sources:
        (folder / one.name).hardlink_to(one)
    return folder


if __name__ == "__main__":
    main()
