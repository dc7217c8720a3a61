"""The Python runtime as a consumer of the vectors: `python -m tests.vectors.consumer --output FILE --target WORDS`.

Needs the device's packages alone, so that it runs wherever the package does.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cgsam_edge import Segmenter
from cgsam_edge.agreement import mask_iou
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import CgsamError
from tests.vectors import cases, hostile
from tests.vectors.__main__ import bundles, make
from tests.vectors.values import FOLDER, problem, read, read_index

RUNS = 5


def run_stages(folder: Path) -> dict[str, dict[str, int]]:
    """Make all vectors again, and count by stage those that keep what is expected."""
    make(folder)
    passed: Counter[str] = Counter()
    of: Counter[str] = Counter()
    for made, kept in zip(read_index(folder)["vectors"], read_index()["vectors"], strict=True):
        stage = kept["stage"]
        of[stage] += 1
        wrong = [
            found
            for key, value in kept["expected"].items()
            if (found := problem(stage, key, read(made["expected"][key], folder), read(value))) is not None
        ]
        if wrong:
            print(f"{stage} {kept['name']}: {'; '.join(map(str, wrong))}")
        passed[stage] += not wrong
    return {stage: {"passed": passed[stage], "of": count} for stage, count in of.items()}


def compare_masks(backend: str) -> dict[str, Any]:
    """Compare the masks of all bundles with those expected."""
    ious, differ, pixels = [], 0, 0
    for path in bundles():
        with Segmenter(path, backend=backend, device="cpu", precision="float32") as segmenter:
            encoded = {name: segmenter.encode(cases.draw(name)) for name in cases.PICTURES}
            for vector in (one for one in read_index()["vectors"] if one["stage"] == "bundle"):
                given = vector["given"]
                prompt = {key: given[key] for key in ("points", "labels", "box") if key in given}
                mask = encoded[Path(given["picture"]).stem].predict(given["concept"], **prompt).mask
                expected = np.asarray(read(vector["expected"]["mask"])) > 0
                ious.append(mask_iou(mask, expected))
                differ, pixels = differ + int((mask != expected).sum()), pixels + mask.size
    return {"count": len(ious), "least_iou": min(ious), "pixels_differ": differ, "pixels": pixels}


def refuse(backend: str, folder: Path) -> dict[str, int]:
    """Count the hostile bundles that are refused with the words that a reader needs."""
    recipes = json.loads((FOLDER / "hostile.json").read_text(encoding="utf-8"))["recipes"]
    refused = 0
    for recipe in recipes:
        path = hostile.make(recipe, bundles()[-1], folder)
        try:
            with Segmenter(path, backend=backend, device="cpu") as segmenter:
                segmenter.segment(cases.draw("wide"), "car")
        except CgsamError as error:
            refused += all(word in str(error) for word in recipe["says"])
    return {"refused": refused, "of": len(recipes)}


def measure(backend: str) -> tuple[dict[str, float], int]:
    """Return the seconds of each step, medians, and how many nodes the device left to others."""
    picture = cases.draw("wide")
    start = time.perf_counter()
    segmenter = Segmenter(bundles()[-1], backend=backend, device="cpu", precision="float32")
    opened = time.perf_counter() - start
    with segmenter:
        encoded = segmenter.encode(picture)
        steps: dict[str, Callable[[], object]] = {
            "image": lambda: segmenter.encode(picture),
            "concept": lambda: segmenter.encode(picture).predict("car"),
            "decoder": lambda: encoded.predict("car", points=[[20, 20]]),
        }
        found = {name: statistics.median(_seconds(work) for _ in range(RUNS)) for name, work in steps.items()}
        found["concept"] = max(found["concept"] - found["image"], 0.0)
        elsewhere = sum(len(graph.nodes) - 1 for graph in segmenter.placement.graphs)
    return {"open": opened, **found}, elsewhere


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors.consumer", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="results, in the vectors' format")
    parser.add_argument("--target", required=True, help="what ran, in words")
    parser.add_argument("--how", default="hardware", help="hardware, emulated or software")
    parser.add_argument("--backend", default="onnxruntime", help="the engine")
    parser.add_argument("--notes", default="", help="a short sentence")
    asked = parser.parse_args()
    from cgsam_edge.runtimes import registry

    with tempfile.TemporaryDirectory() as name:
        stages, masks = run_stages(Path(name) / "made"), compare_masks(asked.backend)
        hostile_found = refuse(asked.backend, Path(name))
    seconds, elsewhere = measure(asked.backend)
    result = {
        "target": asked.target,
        "engine": f"{asked.backend} {registry.find(asked.backend).version()}",
        "how": asked.how,
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "formats": sorted({Bundle(path).manifest.format_version for path in bundles()}),
        "stages": stages,
        "masks": masks,
        "hostile": hostile_found,
        "nodes_elsewhere": elsewhere,
        "seconds": {key: round(value, 4) for key, value in seconds.items()},
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **({"notes": asked.notes} if asked.notes else {}),
    }
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {asked.output}")


if __name__ == "__main__":
    main()
