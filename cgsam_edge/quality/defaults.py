"""Defaults of the options that judge masks, in a file without imports, so that `--help` is fast."""

from __future__ import annotations

MIN_IOU = {"fp32": 0.98, "fp16": 0.98, "int8": 0.95}
"""Least mean mask IoU at which `cgsam compare` says that two bundles agree, by the lower precision of the two."""

MAX_DROP = 0.01
"""Largest drop of class mIoU compared with PyTorch, if there are labels."""

ARITHMETIC_MAX_DROP = 0.005
"""Most class mIoU that a target in arithmetic below float32 may lose against itself in float32, where labels are."""

ARITHMETIC_MAX_DISAGREEMENT = 0.25
"""Most mean mask IoU with PyTorch that it may lose against itself in float32, in units of what other points do."""

ARITHMETIC_MINUTES = 10.0
"""How long an export may try arithmetic below float32, for all targets together."""

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
"""Lowest mean mask IoU, compared with the model at its own size, that ``--image-size auto`` accepts."""

COMPARED_PICTURES = 8
"""Largest number of pictures on which two bundles are compared."""

EVALUATION_MODES = ("text", "clicks", "box")
"""Kinds of prompts in an evaluation: text alone, or with clicks or a box; the first is the default."""

CLICKS = 3
"""Most clicks that correct a mask in an evaluation with clicks."""

MAX_RECALL_LOSS = 0.01
"""Share of correct "present" decisions that screening may lose on the calibration images."""

ORIENTATIONS = ("upright", "stored")
"""What labels were drawn on: the photo as viewers show it, or its pixels as stored."""
