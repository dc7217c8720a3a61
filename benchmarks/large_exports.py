"""Export ViT-L and ViT-H for every target and precision, each in a separate process, and write time and memory.

python -m benchmarks.large_exports FOLDER

Needs up to 20 GB in FOLDER, which keeps the checkpoints and, under ``results/``, what was measured: a second run goes
on where the first ended. The tables go to ``large.md`` and ``large.json``. With --together, one export of each model
and precision writes all targets, and calibrates once for them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.large import config, write
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tables import Table
from cgsam_edge.cli.labels import EXIT_LEFT_OUT
from cgsam_edge.export.targets import COREML, TARGETS
from cgsam_edge.files import write_beside
from cgsam_edge.runtimes import children

MODELS = ("vit_h", "vit_l", "vit_b")

PRECISIONS = tuple(dict.fromkeys(name for target in TARGETS.values() for name in target.precisions))

CONCEPTS = "car\nroad\n"

_EXPORTS = (
    "model, target, precision",
    "time",
    "processor time",
    "peak memory",
    "not in files",
    "slowest step",
    "bundle",
)
_CONCEPTS = ("model, target, precision", "open", "first mask", "second mask", "peak memory")


@dataclass(frozen=True)
class Combination:
    """What is exported: a model for one or several targets in a precision."""

    model: str
    targets: tuple[str, ...]
    precision: str

    @property
    def name(self) -> str:
        """A name for files."""
        return "-".join((self.model, *self.targets, self.precision))

    @property
    def engines(self) -> tuple[str, ...]:
        """The targets that run here; Core ML runs on Apple's devices alone."""
        return tuple(target for target in self.targets if target != COREML)


@dataclass(frozen=True)
class Study:
    """Where and how combinations are exported.

    Attributes:
        folder: of checkpoints, results and tables.
        pictures: number of calibration pictures of INT8 and INT4.
        options: further fields of `ExportOptions`.
        minutes: after which a job is stopped; None lets it take its time.
    """

    folder: Path
    pictures: int = 8
    options: dict[str, Any] = field(default_factory=dict)
    minutes: float | None = None

    def checkpoint(self, model: str) -> Path:
        """Return a model's seeded checkpoint, which is written if it is missing."""
        path = self.folder / f"{model}.safetensors"
        if not path.exists():
            write(config(model), path)
        return path

    def found(self, one: Combination) -> dict[str, Any] | None:
        """Return what an earlier run measured; None if it did not, or failed."""
        path = self._result(one)
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        complete = "export" in result and set(result.get("masks", {})) == {*one.engines}
        return result if complete and result.get("targets") == [*one.targets] else None

    def measure(self, one: Combination) -> dict[str, Any]:
        """Export a combination and segment with it; return, and keep, what was measured or why it failed.

        Of an export that failed or was stopped, the steps that it finished are kept.
        """
        bundle, stages = self.folder / f"{one.name}.cgsam", self.folder / f"{one.name}.stages.json"
        result: dict[str, Any] = {
            "model": one.model,
            "targets": [*one.targets],
            "precision": one.precision,
            "date": f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d}",
            "machine": Sensors().machine().processor,
        }
        request = {"bundle": str(bundle), "targets": one.targets, "precision": one.precision, "options": self.options}
        concepts = self.folder / "concepts.txt"
        concepts.write_text(CONCEPTS, encoding="utf-8")
        more = {"checkpoint": str(self.checkpoint(one.model)), "concepts": str(concepts), "pictures": self.pictures}
        more["stages"] = str(stages)
        try:
            result["export"] = _measured({"job": "export", **request, **more}, self.minutes)
            self._keep(one, result)
            result["masks"] = {}
            for engine in one.engines:
                result["masks"][engine] = _measured({"job": "segment", **request, "engine": engine}, self.minutes)
        except RuntimeError as error:
            result["error"] = str(error)
            result["stages"] = json.loads(stages.read_text(encoding="utf-8")) if stages.exists() else []
        finally:
            shutil.rmtree(bundle, ignore_errors=True)
            stages.unlink(missing_ok=True)
        self._keep(one, result)
        return result

    def _keep(self, one: Combination, result: dict[str, Any]) -> None:
        text = json.dumps(result, indent=1)
        self._result(one).parent.mkdir(exist_ok=True)
        write_beside(self._result(one), lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def _result(self, one: Combination) -> Path:
        return self.folder / "results" / f"{one.name}.json"


def _measured(request: dict[str, Any], minutes: float | None) -> dict[str, Any]:
    """Run a job in a separate process, which shows its progress.

    Raises:
        RuntimeError: it failed, and the message is its last line, or it was stopped.
    """
    command = [sys.executable, "-m", "benchmarks.large_child"]
    try:
        done = subprocess.run(
            command, input=json.dumps(request), env=children.environment(), stdout=subprocess.PIPE, text=True,
            check=False, timeout=None if minutes is None else 60 * minutes,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"stopped after {minutes:g} minutes") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise RuntimeError(lines[-1] if lines else f"it ended with {done.returncode}, as if the system had stopped it")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def tables(results: Sequence[dict[str, Any]]) -> tuple[Table, Table]:
    """Return the table of exports, and that of masks."""
    measured = [one for one in results if "export" in one]
    masks = tuple(row for one in measured for row in _concept_cells(one))
    where = "; ".join(sorted({f"{one['machine']}, {one['date']}" for one in measured}))
    return (
        Table(f"exports ({where})", _EXPORTS, tuple(_export_cells(one) for one in measured)),
        Table(f"one concept in float32 ({where})", _CONCEPTS, masks),
    )


def _named(one: dict[str, Any], engine: str = "") -> str:
    return f"{one['model']}, {engine or ' and '.join(one['targets'])}, {one['precision']}"


def _export_cells(one: dict[str, Any]) -> tuple[str, ...]:
    held = one["export"]
    slowest = max(held["stages"], key=lambda stage: stage["seconds"])
    return (
        _named(one),
        _time(held["wall_seconds"]),
        _time(held["cpu_seconds"]),
        _size(held["peak_memory"]),
        _size(held["peak_anonymous"]),
        f"{slowest['name']}, {slowest['seconds']:.0f} s",
        _size(held["size"]),
    )


def _concept_cells(one: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for engine, held in one.get("masks", {}).items():
        seconds = (f"{held[key]:.1f} s" for key in ("open_seconds", "first_seconds", "seconds"))
        yield _named(one, engine), *seconds, _size(held["peak_memory"])


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _size(count: int | None) -> str:
    if not count:
        return "unknown"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def run(study: Study, combinations: Sequence[Combination]) -> list[dict[str, Any]]:
    """Measure what no earlier run did, write the tables, and return all results."""
    study.folder.mkdir(parents=True, exist_ok=True)
    results = [study.found(one) or study.measure(one) for one in combinations]
    pages = "\n\n".join(table.markdown() for table in tables(results))
    (study.folder / "large.md").write_text(f"{pages}\n", encoding="utf-8")
    (study.folder / "large.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def chosen(
    models: Sequence[str] | None, targets: Sequence[str] | None, precisions: Sequence[str] | None, *, together: bool
) -> list[Combination]:
    """Return what is exported; None asks for ViT-H and ViT-L, all targets, or all of their precisions."""
    asked = targets or [*TARGETS]
    sets = [[*asked]] if together else [[target] for target in asked]
    return [
        Combination(model, tuple(target for target in group if precision in TARGETS[target].precisions), precision)
        for model in models or MODELS[:2]
        for group in sets
        for precision in dict.fromkeys(name for target in group for name in TARGETS[target].precisions)
        if precision in (precisions or [precision])
    ]


def main() -> int:
    """Measure what the command line asks for; exit code 3 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_exports", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=MODELS, action="append", help="may be repeated (default: vit_h and vit_l)")
    parser.add_argument("--target", choices=list(TARGETS), action="append", help="may be repeated (default: all)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, action="append", help="may be repeated (default: all of each target)"
    )
    parser.add_argument("--pictures", type=int, default=8, help="for calibration (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="after which a job is stopped (default: never)")
    parser.add_argument("--together", action="store_true", help="one export for all targets of a model and precision")
    options = parser.parse_args()
    combinations = chosen(options.model, options.target, options.precision, together=options.together)
    if not combinations:
        parser.error("none of these targets has such a precision.")
    results = run(Study(options.folder, options.pictures, minutes=options.minutes), combinations)
    for table in tables(results):
        print(table.text())
    failed = [one for one in results if "error" in one]
    for one in failed:
        print(f"{_named(one)}: {one['error']}", file=sys.stderr)
    return EXIT_LEFT_OUT if failed else 0


if __name__ == "__main__":
    sys.exit(main())
