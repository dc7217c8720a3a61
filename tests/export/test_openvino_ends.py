"""The identity behind outputs of OpenVINO's graphs that are sums: exact, and worth its place in BF16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13

from cgsam_edge.export.targets.openvino import _end_in_products

TOKENS, WIDTH = 64, 96


def residual(last: Callable[[Any], Any]) -> openvino.Model:
    """Three layers, each added to what it takes, as in a transformer; ``last`` makes the output of the sum."""
    random = np.random.default_rng(0)
    x = given = opset13.parameter([1, TOKENS, WIDTH], np.float32, name="x")
    for _ in range(3):
        weights = random.standard_normal((WIDTH, WIDTH)).astype(np.float32) / WIDTH
        x = opset13.add(x, opset13.relu(opset13.matmul(x, opset13.constant(weights), False, True)))
    out = last(x)
    out.output(0).set_names({"tokens"})
    return openvino.Model([opset13.result(out)], [given], "residual")


def squares(x: Any) -> Any:
    return opset13.reshape(x, opset13.constant(np.array([1, 8, 8, WIDTH])), special_zero=False)


def run(model: openvino.Model, hint: str) -> tuple[Any, Any]:
    """Return the output for values of all sizes, and the compiled model."""
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    values = np.random.default_rng(1).standard_normal((1, TOKENS, WIDTH)).astype(np.float32)
    values *= np.float32(10) ** np.arange(-30, 34, dtype=np.float32)[:, None]
    return compiled(values)["tokens"], compiled


def products(model: openvino.Model) -> int:
    return sum(op.get_type_name() == "MatMul" for op in model.get_ops())


@pytest.mark.parametrize("last", [squares, lambda x: x])
def test_float32_stays_the_same_to_the_bit(last: Callable[[Any], Any]) -> None:
    plain, ended = residual(last), residual(last)
    _end_in_products(ended)
    assert products(ended) == products(plain) + 1
    expected, got = run(plain, "f32")[0], run(ended, "f32")[0]
    assert np.isfinite(expected).all()
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "last", [opset13.relu, lambda x: opset13.add(x, opset13.constant(np.ones((1, 1, WIDTH), np.float32)))]
)
def test_other_outputs_are_left_alone(last: Callable[[Any], Any]) -> None:
    model = residual(last)
    _end_in_products(model)
    assert products(model) == 3


def test_sums_are_then_in_bf16_too() -> None:
    """Conversions of the engine's own graph show it: without the product, there is one before and after each layer."""
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    plain, ended = residual(squares), residual(squares)
    _end_in_products(ended)
    assert conversions(run(plain, "bf16")[1]) > 2
    assert conversions(run(ended, "bf16")[1]) <= 2  # of the input, and of the output


def conversions(compiled: Any) -> int:
    kinds = [op.get_rt_info()["layerType"].astype(str) for op in compiled.get_runtime_model().get_ops()]
    return sum(kind in ("Reorder", "Convert") for kind in kinds)
