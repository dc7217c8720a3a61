"""The device half on arm64 beside this machine: `make test-arm64`.

Segments, verifies and evaluates two scenes with two concepts on both, with the shipped bundle on each engine and with
an INT8 bundle; compares the masks pixel by pixel; runs all test vectors; writes `docs/devices/arm64.json` and
`docs/devices/results/python-arm64.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cgsam_edge.opencv import cv2
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.quality.scenes.concepts import CONCEPTS, IGNORE
from cgsam_edge.shipped import BUNDLE
from tests.arm64 import device, emulator
from tests.source import ROOT

RESULT = ROOT / "docs" / "devices" / "arm64.json"
VECTORS = ROOT / "docs" / "devices" / "results" / "python-arm64.json"
BOARDS = (1, 2, 4)
"""GB of memory of the boards that are asked about; a quarter is left to the system."""


def scenes(folder: Path, count: int = 2) -> Path:
    """Write scenes whose labels hold the two concepts alone."""
    write_scenes(folder, 3, range(count), 512, 512)
    for path in (folder / "labels").iterdir():
        old = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        new = np.full_like(old, IGNORE)
        for index, concept in enumerate(device.CONCEPTS):
            new[old == list(CONCEPTS).index(concept)] = index
        cv2.imwrite(str(path), new)
    (folder / "classes.txt").write_text("\n".join([*device.CONCEPTS, f"ignore: {IGNORE}"]) + "\n", encoding="utf-8")
    return folder


def int8(folder: Path) -> Path:
    """Export the reference model in INT8, unless that was done."""
    made = folder / "int8.cgsam"
    if not made.is_dir():
        words = ("--target", "onnxruntime", "--int8", "--calibration-count", "8", "--gate-count", "0")
        concepts = str(ROOT / "examples" / "concepts.txt")
        command = ["-c", "import sys; from cgsam_edge.cli import export_main; sys.exit(export_main(sys.argv[1:]))"]
        subprocess.run(
            [sys.executable, *command, "--concepts", concepts, *words, "--output", str(made)], check=True, cwd=ROOT
        )
    return made


def both(bundle: Path, pictures: Path, work: Path, backend: str, *options: str) -> dict[str, Any]:
    """Run a bundle here and under emulation, and compare."""
    words = ("-m", "tests.arm64.device", str(bundle), str(pictures))
    here, there = work / f"{bundle.stem}-{backend}-here", work / f"{bundle.stem}-{backend}-arm64"
    subprocess.run([sys.executable, *words, str(here), "--backend", backend, *options], check=True, cwd=ROOT)
    emulator.run(*words, str(there), "--backend", backend, *options)
    found = [json.loads((folder / "device.json").read_text(encoding="utf-8")) for folder in (here, there)]
    if found[1]["machine"] != "aarch64":
        raise RuntimeError(f"expected aarch64, got {found[1]['machine']}")
    failed = [f"{name} on {one['machine']}" for one in found for name, code in one["codes"].items() if code]
    if failed:
        raise RuntimeError(f"{bundle.name}, {backend}: {', '.join(failed)} failed, see above")
    return {"bundle": bundle.name, "engine": backend, **compare(here, there), "here": found[0], "arm64": found[1]}


def compare(here: Path, there: Path) -> dict[str, int]:
    """Return how many masks there are, how many pixels differ, and of how many."""
    with np.load(here / "masks.npz") as one, np.load(there / "masks.npz") as other:
        if set(one) != set(other):
            raise RuntimeError(f"expected the masks {sorted(one)}, got {sorted(other)}")
        differ = sum(int((one[name] != other[name]).sum()) for name in one)
        return {"masks": len(one.files), "pixels_differ": differ, "pixels": sum(one[name].size for name in one)}


def fits(peak: int) -> list[int]:
    """Return the boards whose memory is enough, in GB."""
    return [size for size in BOARDS if peak < 0.75 * size * 1e9]


def main() -> None:
    """Run all, print a line each, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.arm64", description=__doc__)
    parser.add_argument("--only", choices=("vectors", "onnxruntime", "openvino", "int8"), help="one part")
    asked = parser.parse_args()
    problem = emulator.missing()
    if problem:
        raise SystemExit(problem)
    work = emulator.HOME / "runs"
    pictures = scenes(work / "scenes")
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "onnxruntime": lambda: both(BUNDLE, pictures, work, "onnxruntime"),
        "openvino": lambda: both(BUNDLE, pictures, work, "openvino", "--masks-only"),
        "int8": lambda: both(int8(emulator.HOME), pictures, work, "onnxruntime", "--masks-only"),
    }
    kept = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    for name, part in parts.items():
        if asked.only in (None, name):
            kept[name] = found = part()
            kept[name]["boards_gb"] = fits(found["arm64"]["peak_memory"])
            RESULT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {found['pixels_differ']} of {found['pixels']} pixels differ", flush=True)
    if asked.only in (None, "vectors"):
        words = ("--target", "Python on arm64 (Cortex-A72)", "--how", "emulated", "--output", str(VECTORS))
        print(emulator.run("-m", "tests.vectors.consumer", *words))


if __name__ == "__main__":
    main()
