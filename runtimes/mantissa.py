"""In which arithmetic an engine multiplies, measured: a product whose result tells how many bits a number has.

Row k of the input is (1 + 2^-k, 1), and the column is (1, -1), so the result is 2^-k as long as the mantissa holds it.
A last row asks for a number that float16 does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.runtimes import tiny_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

_ROWS, _SIDE = 32, 32
_BITS = 23
"""Of float32's mantissa; rows 1 to 23 ask for them."""

_LARGE = 131072.0
"""2^17: exact in every arithmetic but float16, which ends at 65504."""

_NAMES = {(23, True): "float32", (10, True): "TF32", (10, False): "float16", (7, True): "bfloat16"}


def model() -> bytes:
    """Return an ONNX model: ``x`` (32, 32) to ``y`` (32, 32), float32."""
    weights = np.zeros((_SIDE, _SIDE), np.float32)
    weights[0], weights[1] = 1.0, -1.0
    nodes = [tiny_onnx.node("MatMul", ["x", "w"], "y")]
    shape = (_ROWS, _SIDE)
    return tiny_onnx.model(nodes, [tiny_onnx.tensor("w", tiny_onnx.FLOAT, weights)], shape, shape)


def question() -> Float:
    """Return what goes into the model, float32 (32, 32)."""
    rows = np.zeros((_ROWS, _SIDE), np.float32)
    rows[:, :2] = 1.0
    rows[1 : _BITS + 1, 0] += 2.0 ** -np.arange(1, _BITS + 1)
    rows[-1, :2] = _LARGE, 0.0
    return rows


def name(run: Callable[[Float], Float]) -> str:
    """Return the name of an engine's arithmetic, or how many bits it has where it has no name.

    Args:
        run: computes the model.
    """
    out = run(question())[:, 0].astype(np.float64)
    bits = next((k for k in range(_BITS, 0, -1) if abs(out[k] * 2.0**k - 1) < 0.5), 0)
    wide = bool(np.isfinite(out[-1]) and out[-1] > 0.9 * _LARGE)
    return _NAMES.get((bits, wide), f"{bits} bits of mantissa{'' if wide else ', and no number above 65504'}")
