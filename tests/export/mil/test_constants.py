"""Compressed weights, as coremltools writes them, against its own decompression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder

from cgsam_edge.export.mil.evaluator import Evaluator
from cgsam_edge.export.mil.package import load_function
from cgsam_edge.export.mil.tools import quiet
from tests.conftest import slow
from tests.export.mil.packages import write

WEIGHT = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)


def compressed(kind: str, model: Any) -> Any:
    """Return a model of one linear layer with its weight compressed by coremltools' own tools."""
    optimize = ct.optimize.coreml
    configs: dict[str, tuple[Callable[..., Any], Any]] = {
        "int8": (optimize.linear_quantize_weights, optimize.OpLinearQuantizerConfig(weight_threshold=0)),
        "uint8": (
            optimize.linear_quantize_weights,
            optimize.OpLinearQuantizerConfig(mode="linear", dtype=np.uint8, weight_threshold=0),
        ),
        "int4": (
            optimize.linear_quantize_weights,
            optimize.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=16, weight_threshold=0),
        ),
        "lut4": (optimize.palettize_weights, optimize.OpPalettizerConfig(nbits=4, mode="uniform", weight_threshold=0)),
        "lut6": (optimize.palettize_weights, optimize.OpPalettizerConfig(nbits=6, mode="uniform", weight_threshold=0)),
        "lut4 grouped": (
            optimize.palettize_weights,
            optimize.OpPalettizerConfig(
                nbits=4, mode="uniform", granularity="per_grouped_channel", group_size=8, weight_threshold=0
            ),
        ),
    }
    function, config = configs[kind]
    return function(model, optimize.OptimizationConfig(global_config=config))


@pytest.mark.parametrize(
    ("kind", "ios", "operator"),
    [
        ("int8", 16, "constexpr_affine_dequantize"),
        ("uint8", 17, "constexpr_affine_dequantize"),
        ("int8", 18, "constexpr_blockwise_shift_scale"),
        ("int4", 18, "constexpr_blockwise_shift_scale"),
        ("lut4", 16, "constexpr_lut_to_dense"),
        ("lut6", 17, "constexpr_lut_to_dense"),
        ("lut6", 18, "constexpr_lut_to_dense"),
        ("lut4 grouped", 18, "constexpr_lut_to_dense"),
    ],
)
@pytest.mark.parametrize("precision", [slow("fp32"), "fp16"])
def test_compressed_weights(kind: str, ios: int, operator: str, precision: str, tmp_path: Path) -> None:
    """The layer of the identity gives the weight itself, which must be coremltools' own decompression to the bit."""
    shapes, eye = {"x": (64, 64)}, torch.eye(64)
    package = write(
        tmp_path / "one.mlpackage", shapes, lambda x: Builder.linear(x=x, weight=WEIGHT), precision=precision, ios=ios
    )
    with quiet():
        model = compressed(kind, ct.models.MLModel(str(package), skip_model_load=True))
        model.save(str(tmp_path / "small.mlpackage"))
        ct.optimize.coreml.decompress_weights(model).save(str(tmp_path / "large.mlpackage"))
    assert operator in {op.op_type for op in load_function(tmp_path / "small.mlpackage").operations}
    (small,), (large,) = (
        Evaluator(tmp_path / f"{name}.mlpackage").run({"x": eye}).values() for name in ("small", "large")
    )
    assert torch.equal(small, large)
    assert 0 < (small - torch.from_numpy(WEIGHT.T)).abs().max() < 0.7
