"""How a picture moved since the one before it: dense optical flow, and where it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Float = NDArray[np.float32]

SIDE = 256
"""Cells of the square on which motion is computed, whatever the picture's size."""

_TOLERANCE = 20.0
"""Grey levels, of 255, by which a cell may differ from what moved there before it is hardly trusted."""

_CUT = 0.35
"""Mean trust below which two pictures show different scenes."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where each cell of a picture lay in the picture before.

    Attributes:
        flow: float32 (SIDE, SIDE, 2), the way back in cells, right and down.
        trust: float32 (SIDE, SIDE), 0 to 1: how well each cell looks like the one that it came from.
    """

    flow: Float = field(repr=False)
    trust: Float = field(repr=False)

    @classmethod
    def between(cls, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> Motion:
        """Compute the motion between two grey pictures (SIDE, SIDE)."""
        with NATIVE_CALL:
            finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
            flow = np.asarray(finder.calc(now, before, np.zeros((SIDE, SIDE, 2), np.float32)), np.float32)
            origin = _origin(flow)
            seen = cv2.remap(before, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            difference = cv2.blur(cv2.absdiff(now, seen).astype(np.float32), (5, 5))
        inside = ((origin >= 0) & (origin <= SIDE - 1)).all(axis=2)
        trust = np.where(inside, np.exp(-((difference / _TOLERANCE) ** 2)), 0)
        return cls(flow, trust.astype(np.float32))

    @property
    def is_cut(self) -> bool:
        """Whether the two pictures show different scenes."""
        return float(self.trust.mean()) < _CUT

    def carry(self, values: Float) -> Float:
        """Return values (m, m) of the picture before, such as logits, moved to where they belong now."""
        side = len(values)
        with NATIVE_CALL:
            flow = self.flow if side == SIDE else cv2.resize(self.flow, (side, side)) * (side / SIDE)
            return np.asarray(cv2.remap(values, _origin(flow), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def trust_at(self, side: int) -> Float:
        """Return ``trust`` on a grid of (side, side)."""
        if side == SIDE:
            return self.trust
        with NATIVE_CALL:
            return np.asarray(cv2.resize(self.trust, (side, side)), np.float32)


def grey(image: Image.Image) -> NDArray[np.uint8]:
    """Return an RGB picture squashed to (SIDE, SIDE), in grey."""
    pixels = np.asarray(image)
    with NATIVE_CALL:
        small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _origin(flow: NDArray[np.floating]) -> Float:
    side = len(flow)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    return np.asarray(flow + np.stack([columns, rows], axis=-1), np.float32)
