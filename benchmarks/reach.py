"""Write the table of all consumers of bundles from their tests' results: `python -m benchmarks.reach`.

Reads `docs/devices/results/*.json`, whose format `docs/vectors/README.md` states, and writes `docs/devices/results.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "devices" / "results.md"
STAGES = (
    *("upright", "pixels", "map", "dense", "priority", "points", "slots"),
    *("mask", "presence", "screening", "names", "bundle", "segment"),
)
HOW = ("hardware", "emulated", "software")
KEYS = ("target", "engine", "how", "date", "formats", "stages", "masks", "hostile", "seconds")

HEAD = """\
# Every consumer against the test vectors

Written by `python -m benchmarks.reach` from `docs/devices/results/`, one file a consumer, which its test writes. The
model is the seeded one of 256 pixels, and the machine did other work at the same time, so times say little. "Emulated"
ran on another CPU's instructions, "software" in place of an accelerator: both prove numbers and say nothing about a
device's speed, drivers or memory.

[The vectors](../vectors/README.md) says what each stage is.
"""


def read(path: Path) -> dict[str, Any]:
    """Return the results of a consumer.

    Raises:
        SystemExit: the file does not hold results; the message names it and the fault.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in KEYS if key not in found]
        unknown = set(found["stages"]) - set(STAGES) if not missing else set()
    except (OSError, ValueError, TypeError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}).") from error
    if missing or unknown or found["how"] not in HOW:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has stages {sorted(unknown)}, how {found['how']!r}"
        raise SystemExit(f"{path}: {wrong}; docs/vectors/README.md says what it must hold.")
    return found


def page(results: list[dict[str, Any]]) -> str:
    """Return the page in Markdown."""
    results = sorted(results, key=lambda one: (HOW.index(one["how"]), one["target"]))
    return "\n".join([HEAD, _table(results, _SUMMARY), "## Stages\n", _table(results, _STAGES), _notes(results)])


def _share(found: dict[str, int] | None, done: str) -> str:
    if not found:
        return "not run"
    return str(found["of"]) if found[done] == found["of"] else f"**{found[done]} of {found['of']}**"


def _stage(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda one: _share(one["stages"].get(name), "passed")


def _seconds(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda one: f"{one['seconds'][name] * 1e3:.0f}" if one["seconds"].get(name) is not None else ""


def _elsewhere(one: dict[str, Any]) -> str:
    return "" if one.get("nodes_elsewhere") is None else str(one["nodes_elsewhere"])


def _memory(one: dict[str, Any]) -> str:
    return f"{one['peak_memory'] / 1e6:.0f} MB" if one.get("peak_memory") else ""


_TARGET: dict[str, Callable[[dict[str, Any]], str]] = {"target": lambda one: one["target"]}

_SUMMARY: dict[str, Callable[[dict[str, Any]], str]] = {
    **_TARGET,
    "engine": lambda one: one["engine"],
    "how": lambda one: one["how"],
    "formats": lambda one: ", ".join(map(str, one["formats"])),
    "masks": lambda one: str(one["masks"]["count"]),
    "least IoU": lambda one: f"{one['masks']['least_iou']:.5f}",
    "pixels that differ": lambda one: f"{one['masks']['pixels_differ']} of {one['masks']['pixels']}",
    "hostile bundles refused": lambda one: _share(one["hostile"], "refused"),
    "nodes not on the device": _elsewhere,
    "open, ms": _seconds("open"),
    "image, ms": _seconds("image"),
    "concept, ms": _seconds("concept"),
    "decoder, ms": _seconds("decoder"),
    "peak memory": _memory,
    "date": lambda one: one["date"],
}
_STAGES: dict[str, Callable[[dict[str, Any]], str]] = {**_TARGET, **{name: _stage(name) for name in STAGES}}


def _table(results: list[dict[str, Any]], columns: dict[str, Callable[[dict[str, Any]], str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell(one) for cell in columns.values())} |" for one in results]
    return "\n".join(lines) + "\n"


def _notes(results: list[dict[str, Any]]) -> str:
    notes = [f"- {one['target']}: {one['notes']}" for one in results if one.get("notes")]
    return "\n".join(["Numbers are of vectors that passed; bold ones did not all pass.\n", *notes]).rstrip() + "\n"


def main() -> None:
    """Write the page that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reach", description=__doc__)
    parser.add_argument("--output", type=Path, default=PAGE, help="the page (docs/devices/results.md)")
    arguments = parser.parse_args()
    results = [read(path) for path in sorted((PAGE.parent / "results").glob("*.json"))]
    arguments.output.write_text(page(results), encoding="utf-8")
    print(f"wrote {arguments.output}: {len(results)} consumers")


if __name__ == "__main__":
    main()
