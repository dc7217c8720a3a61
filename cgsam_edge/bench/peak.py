"""How fast an engine multiplies matrices on this machine: the limit that graphs are compared with."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.bench import matmul
from cgsam_edge.errors import BackendError

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend, SessionOptions

_SECONDS = 0.5
"""Seconds for which a product is repeated; the best run counts, because disturbances only add time."""


def rate(backend: Backend, model: bytes, options: SessionOptions) -> float | None:
    """Return the multiply-adds a second that an engine reaches on a model of `matmul`; None if it cannot run it."""
    fed = {"x": np.random.default_rng(1).standard_normal((matmul.SIDE, matmul.SIDE)).astype(np.float32)}
    with suppress(BackendError), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "products.onnx"
        path.write_bytes(model)
        session = backend.open(path, options)
        try:
            return matmul.MACS / best(lambda: session.run(fed))
        finally:
            session.close()
    return None


def best(run: Callable[[], object]) -> float:
    """Return the seconds of the shortest of some runs."""
    run()
    times: list[float] = []
    while len(times) < 3 or sum(times) < _SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
