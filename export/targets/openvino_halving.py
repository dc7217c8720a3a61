"""Pictures halved by OpenVINO: a bilinear resize to exactly half is the mean of four pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from cgsam_edge.runtimes import telemetry


def halve_by_means(model: Any) -> None:
    """Replace each bilinear resize of pictures to half their sides by a convolution of each channel with a quarter.

    The weights are powers of two, so only the order of the sums differs. OpenVINO's CPU takes six times as long for
    its resize of 512 pixels.
    """
    opset13 = telemetry.load("openvino.opset13")

    for node in [op for op in model.get_ordered_ops() if op.get_type_name() == "Interpolate"]:
        if not _halves(node):
            continue
        channels = node.input(0).get_shape()[1]
        quarter = opset13.constant(np.full((channels, 1, 1, 2, 2), 0.25, np.float32))
        means = opset13.group_convolution(node.input_value(0), quarter, [2, 2], [0, 0], [0, 0], [1, 1])
        means.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(means.output(0))


def _halves(node: Any) -> bool:
    given, made, asked = node.input(0).get_shape(), node.output(0).get_shape(), node.get_attributes()
    plain = asked["mode"] in ("linear", "linear_onnx") and not asked["antialias"]
    centred = asked["coordinate_transformation_mode"] in ("half_pixel", "pytorch_half_pixel")
    padded = any(asked["pads_begin"]) or any(asked["pads_end"])
    halved = len(given) == _AXES and list(given) == [*made[:2], 2 * made[2], 2 * made[3]]
    return plain and centred and not padded and halved


_AXES = 4
