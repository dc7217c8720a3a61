"""The point of view: a pinhole camera in a street that may bend, climb or fall."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 0.35
"""Metres in front of the camera at which geometry is cut off."""
FAR_PIXEL = 30_000.0
"""Projected coordinates are clamped here, within what OpenCV's fixed-point drawing can hold."""


@dataclass(frozen=True)
class Viewpoint:
    """Street metres (x right, y up, z along the street) to pixels.

    Attributes:
        width, height: image size in pixels.
        focal: focal length in pixels.
        horizon: row of the horizon, may lie outside the image.
        roll, yaw: radians; yaw 0 looks along the street.
        x, y: the camera's place across the street and above the ground, metres.
        bend, climb: second-order sideways and upward shape of the street, 1/metres.
        z: the camera's place along the street, metres; 0 in a still scene.
    """

    width: int
    height: int
    focal: float
    horizon: float
    roll: float
    yaw: float
    x: float
    y: float
    bend: float
    climb: float
    z: float = 0.0

    def view(self, points: Floats) -> Floats:
        """Return street points (..., 3) as camera points (..., 3): right, down, forward."""
        z = points[..., 2]
        ahead = z - self.z
        across = points[..., 0] + self.bend * z * z - self.x
        down = self.y - points[..., 1] - self.climb * z * z
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        seen = np.empty_like(points)
        seen[..., 0], seen[..., 1], seen[..., 2] = across * cos - ahead * sin, down, across * sin + ahead * cos
        return seen

    def pixels(self, seen: Floats) -> Floats:
        """Return camera points (..., 3) with positive depth as pixel coordinates (..., 2)."""
        scale = self.focal / seen[..., 2]
        u, v = seen[..., 0] * scale, seen[..., 1] * scale + self.horizon - self.height / 2
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        flat = np.empty((*seen.shape[:-1], 2))
        flat[..., 0], flat[..., 1] = u * cos - v * sin + self.width / 2, u * sin + v * cos + self.height / 2
        return np.asarray(np.minimum(np.maximum(flat, -FAR_PIXEL), FAR_PIXEL))


def clip_near(polygon: Floats) -> Floats:
    """Cut a camera-space polygon (n, 3) at the near plane; fewer than 3 points remain if nothing is visible."""
    depth = polygon[:, 2]
    if depth.min() >= NEAR:
        return polygon
    if depth.max() < NEAR:
        return polygon[:0]
    kept: list[Floats] = []
    for i in range(len(polygon)):
        here, following = polygon[i - 1], polygon[i]
        if (here[2] < NEAR) != (following[2] < NEAR):
            kept.append(here + (following - here) * ((NEAR - here[2]) / (following[2] - here[2])))
        if following[2] >= NEAR:
            kept.append(following)
    return np.array(kept)
