"""INT8 for OpenVINO, by NNCF: the linear layers alone, with the inputs of real pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.targets.onnxruntime import layer_of
from cgsam_edge.manifest import GraphSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Feeds = Callable[[], Iterator[Mapping[str, NDArray[np.float32]]]]

PRECISION = "int8"


def quantise(
    graph: Graph, folder: Path, spec: GraphSpec, *, feeds: Feeds, count: int, kept: frozenset[str] = frozenset()
) -> GraphSpec:
    """Rewrite a float32 ``.xml`` and ``.bin`` with the linear layers in INT8, and other weights stored as float16.

    Args:
        graph: what the files were converted from.
        folder: the bundle being written.
        spec: of the float32 files.
        feeds: gives the graph's inputs for each calibration picture, one at a time, from the first.
        count: how many it gives.
        kept: layers that stay as they are.

    Raises:
        ExportError: NNCF could not quantise the graph.
    """
    import nncf
    import openvino

    path = folder / spec.path
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the files are replaced below
    model = core.read_model(str(path))
    layers = quantisable(graph).keys() - kept
    products = [op for op in model.get_ordered_ops() if op.get_type_name() == "MatMul"]
    others = [op.get_friendly_name() for op in products if layer_of(op.get_friendly_name()) not in layers]
    kinds = sorted({op.get_type_name() for op in model.get_ordered_ops()} & _FLOAT_KINDS)
    if layers:
        logging.getLogger("nncf").setLevel(logging.ERROR)
        try:
            model = nncf.quantize(
                model,
                nncf.Dataset(feeds(), dict),
                subset_size=count,
                model_type=nncf.ModelType.TRANSFORMER,
                ignored_scope=nncf.IgnoredScope(names=others, types=kinds),
                advanced_parameters=_parameters(nncf),
            )
        except Exception as error:  # NNCF raises many kinds
            raise ExportError(f"the graph {graph.name!r} could not be quantised for OpenVINO: {error}") from error
    _save(model, path)
    return GraphSpec(spec.path, PRECISION, spec.inputs, spec.outputs)


_FLOAT_KINDS = {"Convolution", "Interpolate", "Softmax", "MVN", "Add", "Multiply", "Subtract", "Divide", "Concat"}
"""Operators beside the products that NNCF would quantise or let quantised inputs reach; they stay in float."""


def _parameters(nncf: Any) -> Any:
    return nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix.ENABLE,  # seven-bit weights: processors without VNNI add in 16 bits
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),  # done before, for all
        disable_bias_correction=True,
    )


def _save(model: Any, path: Path) -> None:
    """Write beside, then rename; the weights first, so that no description is without them."""
    import openvino

    beside = path.with_name(f"part-{path.name}")
    openvino.save_model(model, str(beside), compress_to_fp16=True)
    beside.with_suffix(".bin").replace(path.with_suffix(".bin"))
    beside.replace(path)
