"""What a device does with a bundle, timed, and its masks saved: `python -m tests.arm64.device BUNDLE SCENES OUT`.

Runs with the device's packages alone, on any processor; `__main__` runs it on two and compares.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import cgsam_edge
from cgsam_edge.cli import main as cgsam

CONCEPTS = ("car", "road")


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 3)


def masks(bundle: Path, scenes: list[Path], backend: str, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the masks of two concepts in each scene, and a click's."""
    found = {}
    with timed(seconds, "open"):
        segmenter = cgsam_edge.Segmenter(bundle, backend=backend, device="cpu", precision="float32")
    with segmenter:
        for scene in scenes:
            with timed(seconds, "image"):
                encoded = segmenter.encode(scene)
            for concept in CONCEPTS:
                with timed(seconds, "concept"):
                    found[f"{scene.stem} {concept}"] = encoded.predict(concept).mask
            with timed(seconds, "click"):
                found[f"{scene.stem} click"] = encoded.predict(CONCEPTS[0], points=[[100, 200]]).mask
    return found


def quietly(*arguments: str) -> int:
    """Run a command, and return its exit code; what it prints is shown only if it fails."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = cgsam(arguments)
        except SystemExit as error:  # arguments that the command does not have
            code = int(error.code or 0)
    if code:
        print(f"cgsam {' '.join(arguments)}: exit code {code}\n{out.getvalue()}")
    return code


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scenes", type=Path, help="a folder with images, labels and classes.txt")
    parser.add_argument("out", type=Path, help="a folder to write masks.npz and device.json into")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--count", type=int, default=2, help="scenes")
    parser.add_argument("--masks-only", action="store_true", help="leave out verify and eval")
    asked = parser.parse_args()
    seconds: dict[str, float] = {}
    scenes = sorted((asked.scenes / "images").iterdir())[: asked.count]
    found = masks(asked.bundle, scenes, asked.backend, seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    asked.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(asked.out / "masks.npz", **found)
    codes = {}
    commands: dict[str, Callable[[], int]] = {
        "verify": lambda: quietly("verify", str(asked.bundle), "--backend", asked.backend, "--device", "cpu"),
        "eval": lambda: quietly(
            *("eval", str(asked.bundle), "--images", str(asked.scenes / "images")),
            *("--labels", str(asked.scenes / "labels"), "--classes", str(asked.scenes / "classes.txt")),
            *("--backend", asked.backend, "--device", "cpu"),  # the labels hold the two concepts alone
        ),
    }
    for name, work in commands.items():
        if not asked.masks_only:
            with timed(seconds, name):
                codes[name] = work()
    result = {"machine": platform.machine(), "seconds": seconds, "peak_memory": peak, "codes": codes}
    (asked.out / "device.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
