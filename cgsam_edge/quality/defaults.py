"""Defaults of the options that judge masks, in a file that imports nothing, so that the command line can show them."""

from __future__ import annotations

MIN_IOU = {"fp32": 0.98, "fp16": 0.98, "int8": 0.95}
"""Least mean mask IoU at which `cgsam compare` says that two bundles agree, by the lower precision of the two."""

MAX_DROP = 0.01
"""Most class mIoU that a target may lose against PyTorch where labels are given."""

MAX_DISAGREEMENT = 0.5
"""Most that a target's masks may differ from PyTorch's, 1 - mean mask IoU, in units of what other points do to them."""

DRAWS = 2
"""Further draws of the points of text, with which the gate measures what other points do to PyTorch's masks."""

LEAST_UNIT = 0.04
"""The least that other points count as doing: where they move nothing, a mean mask IoU of 0.98 passes."""

MAX_FLIPS = 0.015
"""Share of presence decisions that may change; one may, however few there are."""

MAX_SCORE_CHANGE = 0.01
"""Most that scores, the predicted IoU, may change in the mean where labels are given."""

AUTO_SIZE_MIN_IOU = 0.9
"""Least mean mask IoU, with the model at its own size, of a size that ``--image-size auto`` accepts."""

COMPARED_PICTURES = 8
"""Pictures that two bundles are compared on, at most."""

EVALUATION_MODES = ("text", "clicks")
"""How an evaluation asks for concepts: from text alone, or with clicks; the first where nothing is said."""

CLICKS = 3
"""Clicks inside each object, where an evaluation clicks."""

MAX_RECALL_LOSS = 0.01
"""Of what presence finds, the share that screening may lose on the calibration images."""

ORIENTATIONS = ("upright", "stored")
"""What labels can be drawn on: the photo as viewers show it, or its pixels as stored."""
