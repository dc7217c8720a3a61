"""What the lint finds in programs made for it, and that it leaves sound ones alone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder

from cgsam_edge.export.mil.lint import Finding, lint
from tests.export.mil.packages import program

SHAPES = {"x": (2, 3, 4)}


def findings(body: Any, precision: str = "fp16", peaks: dict[str, float] | None = None) -> list[Finding]:
    made = program(SHAPES, lambda x: body(Builder.cast(x=x, dtype="fp16") if precision == "fp16" else x))
    return lint(made.functions["main"], "image", precision, peaks)


def norm(x: Any, epsilon: float) -> Any:
    made = Builder.layer_norm(x=x, axes=[2], epsilon=np.float16(epsilon))
    return Builder.cast(x=made, dtype="fp32")


def test_a_sound_program() -> None:
    assert findings(lambda x: norm(x, 1e-3), peaks={"x": 100.0}) == []


@pytest.mark.parametrize(
    ("body", "rule", "message"),
    [
        (lambda x: Builder.shape(x=x), "dynamic shape", "1 × shape"),
        (lambda x: Builder.non_zero(x=x), "data dependent", "1 × non_zero"),
        (lambda x: Builder.gather_nd(x=x, indices=[[0, 1]]), "data dependent", "1 × gather_nd"),
        (
            lambda x: Builder.scatter(data=x, indices=[0], updates=np.zeros((1, 3, 4), np.float16)),
            "data dependent",
            "1 × scatter",
        ),
        (
            lambda x: Builder.sin(x=Builder.cos(x=Builder.cast(x=x, dtype="fp32"))),
            "dtype",
            "1 × cos in fp32: the Neural Engine computes in float16 alone",
        ),
        (lambda x: norm(x, 1e-5), "epsilon", "1 × layer_norm with 1.0e-05: in float16 that is subnormal"),
        (lambda x: norm(x, 0.0), "epsilon", "1 × layer_norm with 0.0e+00: in float16 that is zero"),
        (
            lambda x: Builder.reshape(x=x, shape=[1, 2, 1, 3, 2, 2]),
            "rank",
            "of rank 6; Core ML ends at 5",
        ),
    ],
    ids=["shape", "non_zero", "gather_nd", "scatter", "fp32 inside", "subnormal", "zero", "rank"],
)
def test_finding(body: Any, rule: str, message: str) -> None:
    found = [finding for finding in findings(body) if finding.rule == rule]
    assert any(message in finding.message for finding in found), findings(body)
    assert str(found[0]).startswith(f"image: {rule}: ")


@pytest.mark.parametrize(
    ("peak", "message"),
    [(4e4, "reaches 4e[+]04: is over half of what fits"), (7e4, "overflows"), (float("nan"), "nan")],
)
def test_headroom(peak: float, message: str) -> None:
    (finding,) = findings(lambda x: norm(x, 1e-3), peaks={"x": 1.0, "hot": peak})
    assert finding.rule == "headroom"
    assert finding.message.startswith("'hot'")
    assert re.search(message, finding.message)


def test_single_precision_has_no_such_worries() -> None:
    assert findings(lambda x: Builder.layer_norm(x=x, axes=[2], epsilon=1e-6), "fp32", {"x": 1e6}) == []
