"""One measured job of `benchmarks.large_exports` in a separate process: an export, or a concept's mask.

It reads a JSON object from standard input, and prints one as its last line.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cgsam_edge.bench.memory import peak_memory
from cgsam_edge.errors import CgsamError

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_STEP = re.compile(r"\[\d+/\d+\] (?P<name>.+?)(?P<end> …|: (?P<seconds>[\d.]+) s)$")


class AnonymousPeak:
    """Samples the memory that no file backs, which the system cannot drop; 0 where it does not report it."""

    def __init__(self) -> None:
        self.bytes, self._done = 0, threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample ten times a second while the block runs."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1) and _STATUS.exists():
            found = re.search(r"RssAnon:\s+(\d+)", _STATUS.read_text(encoding="utf-8"))
            self.bytes = max(self.bytes, 1024 * int(found[1]) if found else 0)


class Stages:
    """Takes an export's lines of progress, and notes each step's seconds and greatest memory.

    Args:
        kept: a file for what was noted so far, should the export be stopped.
    """

    def __init__(self, kept: Path) -> None:
        self.found: list[dict[str, Any]] = []
        self._kept = kept

    def __call__(self, line: str) -> None:
        """Take a line, and show it."""
        print(line, file=sys.stderr, flush=True)
        step = _STEP.match(line)
        if step and step["end"] == " …":
            _reset_peak()
        elif step:
            self.found.append({"name": step["name"], "seconds": float(step["seconds"]), "peak_memory": peak_memory()})
            self._kept.write_text(json.dumps(self.found), encoding="utf-8")

    @property
    def peak(self) -> int:
        """The greatest memory of all steps."""
        return max((stage["peak_memory"] or 0 for stage in self.found), default=0)


def _reset_peak() -> None:
    """Let the system count the greatest resident size anew; without effect where it cannot."""
    if _RESET.exists():
        _RESET.write_text("5", encoding="ascii")


def cpu_seconds() -> float:
    """Return the processor's time of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def export(request: dict[str, Any]) -> dict[str, Any]:
    """Export a bundle without a gate: seeded weights give no masks that could be judged."""
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.export.options import ExportOptions
    from cgsam_edge.export.pipeline import export_bundle
    from cgsam_edge.export.quality_options import QualityOptions

    bundle, stages = Path(request["bundle"]), Stages(Path(request["stages"]))
    options = ExportOptions(
        checkpoint=Path(request["checkpoint"]),
        concepts=Path(request["concepts"]),
        output=bundle,
        targets=tuple(request["targets"]),
        precision=request["precision"],
        **request.get("options", {}),
    )
    quality = QualityOptions(gate_count=0, calibration_count=request["pictures"])
    export_bundle(options, quality, progress=stages)
    return {"size": Bundle(bundle).size, "stages": stages.found, "peak_memory": stages.peak}


def segment(request: dict[str, Any]) -> dict[str, Any]:
    """Open a bundle as a device does, in float32, and segment one picture with one concept."""
    import numpy as np

    from cgsam_edge import Segmenter

    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    start = time.perf_counter()
    with Segmenter(request["bundle"], backend=request["engine"], device="cpu", precision="float32") as segmenter:
        concept = segmenter.concepts[0]
        opened = time.perf_counter()
        segmenter.segment(picture, concept, skip_absent=False)
        first = time.perf_counter()
        segmenter.segment(picture, concept, skip_absent=False)
        again = time.perf_counter()
    return {
        "open_seconds": opened - start,
        "first_seconds": first - opened,
        "seconds": again - first,
        "peak_memory": peak_memory(),
    }


JOBS = {"export": export, "segment": segment}


def main() -> int:
    """Do what standard input asks for, and print what was measured, or why it failed."""
    request, anonymous = json.load(sys.stdin), AnonymousPeak()
    start = time.perf_counter()
    try:
        with anonymous.watched():
            measured = JOBS[request["job"]](request)
    except CgsamError as error:
        print(str(error).replace("\n", " "))
        return error.exit_code
    taken = {"wall_seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds()}
    print(json.dumps({**measured, **taken, "peak_anonymous": anonymous.bytes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
