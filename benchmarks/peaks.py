"""Measure the rate of matrix products of each engine: ``python -m benchmarks.peaks [THREADS]`` prints it as JSON.

The benchmark runs it in a separate process while nothing else of it computes.
"""

from __future__ import annotations

import json
import subprocess
import sys

from cgsam_edge.bench import matmul, peak
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import children, registry
from cgsam_edge.runtimes.protocol import SessionOptions

Peaks = dict[str, dict[str, float]]
"""Multiply-adds a second by engine and precision."""


def measure(threads: int | None) -> Peaks:
    """Start the process, and return what it found.

    Raises:
        BackendError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.peaks", *([str(threads)] if threads else [])]
    done = subprocess.run(command, env=children.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"the products of matrices failed: {done.stderr.strip()[-300:]}")
    found: Peaks = json.loads(done.stdout.splitlines()[-1])
    return found


def greatest(several: list[Peaks]) -> Peaks:
    """Return the greatest rates: whatever else runs can only lower them."""
    made: Peaks = {}
    for one in several:
        for engine, rates in one.items():
            for precision, rate in rates.items():
                held = made.setdefault(engine, {})
                held[precision] = max(rate, held.get(precision, 0.0))
    return made


def _engine(name: str, threads: int | None) -> dict[str, float]:
    models = {
        "fp32": (matmul.float_model(), "float32"),
        "reduced": (matmul.float_model(), "reduced"),  # BF16 where engine and processor have it
        "int8": (matmul.int8_model(), "float32"),
    }
    rates = {
        key: peak.rate(registry.BACKENDS[name], model, SessionOptions(threads, "CPU", precision=arithmetic))
        for key, (model, arithmetic) in models.items()
    }
    return {precision: rate for precision, rate in rates.items() if rate is not None}


def _torch(threads: int | None) -> dict[str, float]:
    import torch

    if threads:
        torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    x, weights = (torch.randn(matmul.SIDE, matmul.SIDE, generator=generator) for _ in range(2))
    weights /= matmul.SIDE**0.5

    def rate(kind: torch.dtype) -> float:
        start, factor = x.to(kind), weights.to(kind)

        def run() -> None:
            made = start
            for _ in range(matmul.LAYERS):
                made = made @ factor

        return matmul.MACS / peak.best(run)

    return {"fp32": rate(torch.float32), "reduced": rate(torch.bfloat16)}


def main() -> None:
    """Measure, and print."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else None
    found = {name: _engine(name, threads) for name in ("onnxruntime", "openvino")}
    print(json.dumps(found | {"torch": _torch(threads)}))


if __name__ == "__main__":
    main()
