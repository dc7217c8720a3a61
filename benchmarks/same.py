"""Check that masks are the same on every run and with every number of threads: ``python -m benchmarks.same``.

Each engine, precision and number of threads makes five runs of all concepts on a rendered scene: three of one opening
and two of another. Logits are compared byte by byte. Prints a Markdown table; about a minute on two quiet cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgsam_edge import Segmenter
from cgsam_edge.quality.scenes.render import render

Logits = NDArray[np.float32]

RUNS = (3, 2)
"""Number of runs of the first and of the second opening."""


def compute(bundle: Path | None, backend: str, precision: str, threads: int) -> tuple[list[Logits], str]:
    """Return the logits (concepts, h, w) of every run, and the arithmetic that the engine states."""
    image = render(1, 0, 512, 512).image
    found = []
    for runs in RUNS:
        with Segmenter(bundle, backend=backend, device="cpu", precision=precision, threads=threads) as segmenter:
            stated = segmenter.placement.precision
            for _ in range(runs):
                result = segmenter.segment(image, skip_absent=False)
                found.append(np.stack([concept.logits for concept in result.values()]))
    return found, stated


def difference(one: Logits, other: Logits) -> str:
    """Return how far two sets of logits differ, and how many pixels of the masks."""
    if one.tobytes() == other.tobytes():
        return "the same"
    pixels = int(((one > 0) != (other > 0)).sum())
    return f"logits differ by up to {np.abs(one - other).max():.2g}, pixels: {pixels:,} of {one.size:,}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same", description=__doc__)
    parser.add_argument("--backends", nargs="*", default=["onnxruntime", "openvino"])
    parser.add_argument("--precisions", nargs="*", default=["float32", "reduced"])
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--bundle", type=Path, help="default: the reference bundle")
    args = parser.parse_args()
    print("| engine | precision | arithmetic | threads | runs that are the same | against the first row's threads |")
    print("|---|---|---|---|---|---|")
    for backend in args.backends:
        for precision in args.precisions:
            first: Logits | None = None
            for threads in args.threads:
                runs, stated = compute(args.bundle, backend, precision, threads)
                same = sum(run.tobytes() == runs[0].tobytes() for run in runs)
                against = "" if first is None else difference(first, runs[0])
                first = runs[0] if first is None else first
                print(
                    f"| {backend} | {precision} | {stated} | {threads} | {same} of {len(runs)} | {against} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
