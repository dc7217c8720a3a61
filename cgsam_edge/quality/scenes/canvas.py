"""The canvas of a scene: an oversampled picture and a sharp label map, from the same street coordinates."""

import numpy as np
from numpy.typing import NDArray

from cgsam_edge.opencv import cv2
from cgsam_edge.quality.scenes.camera import NEAR, Floats, Viewpoint, clip_near
from cgsam_edge.quality.scenes.concepts import IGNORE
from cgsam_edge.quality.scenes.light import Light

FINE = 2
"""The picture is painted at this multiple of its size, then averaged down: antialiasing."""
BITS = 4
"""Fractional bits of OpenCV's fixed-point coordinates."""
UP = np.array([0.0, 1.0, 0.0])
SIDEWAYS = np.array([0.5, 0.5, -0.5])
"""The mean normal of the visible side of round objects."""
THICKEST = 2000
"""Pixels; OpenCV refuses lines much thicker than this."""


class Canvas:
    """Paints far objects first: later calls cover earlier ones.

    Attributes:
        image: (FINE * height, FINE * width, 3) uint8 RGB.
        labels: (height, width) uint8 concept indices.
        rng: the scene's random numbers.
    """

    def __init__(self, camera: Viewpoint, light: Light, rng: np.random.Generator) -> None:
        """Start with an empty, unlabelled picture."""
        self.camera, self.light, self.rng = camera, light, rng
        self.image = np.zeros((camera.height * FINE, camera.width * FINE, 3), np.uint8)
        self.labels = np.full((camera.height, camera.width), IGNORE, np.uint8)

    def distance(self, points: Floats) -> float:
        """Return the mean depth in metres of street points (n, 3)."""
        return float(self.camera.view(points)[..., 2].mean())

    def polygon(self, points: Floats, colour: Floats, label: int | None = None, normal: Floats = UP) -> None:
        """Fill a flat polygon (n, 3); without a label, the label below is kept (details of a surface)."""
        seen = clip_near(self.camera.view(points))
        if len(seen) < 3:
            return
        shaded = self.light.shade(colour[None], normal, seen[:, 2].mean(keepdims=True))
        fixed = self._fixed(self.camera.pixels(seen))
        cv2.fillPoly(self.image, [fixed * FINE], shaded[0].tolist(), cv2.LINE_8, BITS)
        if label is not None:
            cv2.fillPoly(self.labels, [fixed], label, cv2.LINE_8, BITS)

    def outline(self, points: Floats, label: int) -> None:
        """Label a polygon (n, 3) without painting it: see-through objects such as a railing."""
        seen = clip_near(self.camera.view(points))
        if len(seen) >= 3:
            cv2.fillPoly(self.labels, [self._fixed(self.camera.pixels(seen))], label, cv2.LINE_8, BITS)

    def polygons(self, points: Floats, colours: Floats, normal: Floats = UP) -> None:
        """Fill many unlabelled details: (n, corners, 3) with (n, 3) colours, one normal for all."""
        seen = self.camera.view(points)
        whole = (seen[..., 2] > NEAR).all(axis=1)
        seen, colours = seen[whole], colours[whole]
        pixels = self.camera.pixels(seen)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
        seen_at_all = (
            (high > 0).all(1) & (low < (self.camera.width, self.camera.height)).all(1) & ((high - low).max(1) > 1)
        )
        fixed = self._fixed(pixels[seen_at_all]) * FINE
        shaded = self.light.shade(colours[seen_at_all], normal, seen[seen_at_all][..., 2].mean(axis=1)).tolist()
        for corners, colour in zip(fixed, shaded, strict=True):
            cv2.fillConvexPoly(self.image, corners, colour, cv2.LINE_8, BITS)

    def limbs(self, ends: Floats, radii: Floats, colours: Floats, label: int | None = None, halo: float = 0.0) -> None:
        """Draw round bars, e.g. arms or branches, in order.

        Args:
            ends: (n, 2, 3) street points.
            radii: (n,) metres.
            colours: (n, 3) RGB.
            label: for the pixels of the bars, or None to leave the labels alone.
            halo: metres by which the labelled bar is wider than the painted one.
        """
        seen = self.camera.view(ends)
        whole = (seen[..., 2] > NEAR).all(axis=1)
        seen, radii = seen[whole], radii[whole]
        depth = seen[..., 2].mean(axis=1)
        shaded = self.light.shade(colours[whole], SIDEWAYS, depth).tolist()
        fixed = self._fixed(self.camera.pixels(seen))
        scale = 2 * self.camera.focal / depth
        painted = np.maximum(1, np.round(radii * scale * FINE)).astype(int).tolist()
        marked = np.maximum(1, np.round((radii + halo) * scale)).astype(int).tolist()
        for fine, ends_, colour, wide in zip(
            (fixed * FINE).tolist(), fixed.tolist(), shaded, zip(painted, marked, strict=True), strict=True
        ):
            cv2.line(self.image, fine[0], fine[1], colour, min(wide[0], THICKEST), cv2.LINE_8, BITS)
            if label is not None:
                cv2.line(self.labels, ends_[0], ends_[1], label, min(wide[1], THICKEST), cv2.LINE_8, BITS)

    def limb(self, ends: Floats, radius: float, colour: Floats, label: int | None = None) -> None:
        """Draw one round bar between two points (2, 3); radius in metres."""
        self.limbs(ends[None], np.array([radius]), colour[None], label)

    def balls(self, centres: Floats, radii: Floats, colours: Floats, label: int | None = None) -> None:
        """Draw balls in order: centres (n, 3), radii (n,) in metres, RGB colours (n, 3)."""
        seen = self.camera.view(centres)
        visible = seen[:, 2] > NEAR + radii
        seen, radii, colours = seen[visible], radii[visible], colours[visible]
        fixed = self._fixed(self.camera.pixels(seen))
        sizes = np.round(np.minimum(radii * self.camera.focal / seen[:, 2], 4096) * (1 << BITS)).astype(int)
        shaded = self.light.shade(colours, SIDEWAYS, seen[:, 2]).tolist()
        for fine, centre, size, colour in zip(
            (fixed * FINE).tolist(), fixed.tolist(), sizes.tolist(), shaded, strict=True
        ):
            cv2.circle(self.image, fine, size * FINE, colour, -1, cv2.LINE_8, BITS)
            if label is not None:
                cv2.circle(self.labels, centre, size, label, -1, cv2.LINE_8, BITS)

    @staticmethod
    def _fixed(pixels: Floats) -> NDArray[np.int32]:
        """Return pixel coordinates (..., 2) in OpenCV's fixed-point form."""
        return np.round(pixels * (1 << BITS)).astype(np.int32)


def face(origin: Floats, along: Floats, up: Floats, boxes: Floats) -> Floats:
    """Return rectangles (n, 4) of (left, bottom, right, top) on a plane as corners (n, 4, 3)."""
    left, bottom, right, top = boxes.T
    s = np.stack([left, right, right, left], axis=1)[..., None]
    t = np.stack([bottom, bottom, top, top], axis=1)[..., None]
    return np.asarray(origin + s * along + t * up)


def vary(rng: np.random.Generator, colour: Floats, spread: float, count: int) -> Floats:
    """Return ``count`` colours (count, 3) around one, each brighter or darker by up to ``spread``."""
    return np.asarray(np.clip(colour * rng.uniform(1 - spread, 1 + spread, (count, 1)), 0, 255))
