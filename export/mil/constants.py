"""The tier "constants": a half-precision program must equal its twin with every constant rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cgsam_edge.errors import ExportError

_TINY = 1e-7
"""coremltools does not round constants of a half-precision program to zero: smaller ones become this value."""


def compare_constants(twin: Any, half: Any, package: Path) -> int:
    """Compare two programs, as `load_function` gives them, and return how many constants were compared.

    Constants are matched by name, to which the conversion adds ``_to_fp16``; those in only one program are casts.

    Raises:
        ExportError: the operators or a constant differ.
    """
    if _kinds(twin) != _kinds(half):
        raise ExportError(f"MIL parity, tier constants: {package.name} has other operators than its fp32 twin.")
    known, compared = _constants(twin), 0
    for name, value in _constants(half).items():
        base = name.removesuffix("_to_fp16")
        expected = known.get(base, known.get(base.removesuffix("_promoted")))
        if expected is None:
            continue
        compared += 1
        if not same(expected, value):
            raise ExportError(
                f"MIL parity, tier constants: {name!r} of {package.name} is not the twin's value, rounded. No bundle "
                "was written."
            )
    return compared


def _kinds(function: Any) -> list[str]:
    return [op.op_type for op in function.operations if op.op_type not in ("const", "cast")]


def _constants(function: Any) -> dict[str, Any]:
    return {op.outputs[0].name: op.outputs[0].val for op in function.operations if op.op_type == "const"}


def same(expected: Any, value: Any) -> bool:
    """Return whether a constant equals this array, rounded if the program is in half precision."""
    got = np.asarray(value)
    if got.dtype != np.float16 or np.asarray(expected).dtype == np.float16:
        return bool(np.array_equal(expected, value))
    exact = np.asarray(expected)
    rounded = exact.astype(np.float16)
    vanished = (np.abs(exact) < _TINY) & (exact != 0)
    return bool(((rounded == got) | vanished & (np.abs(got) <= 2 * _TINY)).all())
