"""Sky, distance and ground: everything behind and below the objects."""

from dataclasses import dataclass

import numpy as np

from cgsam_edge.opencv import cv2
from cgsam_edge.quality.scenes.camera import Floats
from cgsam_edge.quality.scenes.canvas import Canvas, vary
from cgsam_edge.quality.scenes.concepts import BUILDING, IGNORE, PAVEMENT, ROAD, SKY, TREE

STATIONS = np.concatenate([np.linspace(-70, -6, 10), np.linspace(-4, 12, 17), np.linspace(15, 120, 16)])
"""Places along the street, in metres, where its bent outline is sampled."""
KERB = 0.13


@dataclass(frozen=True)
class Street:
    """The cross-section of a street in metres: road from ``left`` to ``right``, then pavements, then other ground.

    Attributes:
        left, right: edges of the road.
        left_walk, right_walk: widths of the pavements, 0 for none.
        grass_left, grass_right: whether the ground beyond is a lawn (unlabelled) rather than paved.
    """

    left: float
    right: float
    left_walk: float
    right_walk: float
    grass_left: bool
    grass_right: bool


def paint_sky(canvas: Canvas) -> None:
    """Fill the whole picture with a gradient and clouds, labelled sky."""
    camera, light, rng = canvas.camera, canvas.light, canvas.rng
    top = min(1.0, max(0.15, camera.horizon / camera.height))
    mix = np.clip(np.linspace(0, 1 / top, camera.height), 0, 1)[:, None, None] ** 1.5
    gradient = (light.zenith * (1 - mix) + light.skyline * mix).astype(np.float32)
    coarse = sum(cv2.resize(rng.standard_normal((2**k + 2, 2**k + 3), np.float32), (64, 64)) / k for k in (2, 3, 4))
    cloud = (np.clip(coarse * 0.5 + rng.uniform(-0.3, 0.4), 0, 1) * light.clouds).astype(np.float32)
    full = cv2.resize(cloud, (camera.width, camera.height))[..., None]
    white = np.clip(light.skyline * rng.uniform(0.75, 1.2), 0, 255).astype(np.float32)
    painted = np.clip(gradient + (white - gradient) * full, 0, 255).astype(np.uint8)
    cv2.resize(painted, canvas.image.shape[1::-1], dst=canvas.image, interpolation=cv2.INTER_NEAREST)
    canvas.labels[:] = SKY


def paint_distance(canvas: Canvas) -> None:
    """Close the horizon all around with a far skyline of houses, of trees, or of both."""
    rng, count = canvas.rng, 70
    houses = rng.uniform(0, 1) if rng.random() < 0.6 else float(rng.integers(2))
    heights = rng.uniform(2, rng.uniform(5, 16))
    colours = np.array([[120.0, 110.0, 100.0], [60.0, 75.0, 50.0]])
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    for angle, is_house in zip(angles, rng.random(count) < houses, strict=True):
        wide, tall = rng.uniform(0.05, 0.14), heights * rng.uniform(0.5, 1.5)
        around = angle + (np.array([-1, -1, 1, 1]) if is_house else np.array([-1, -0.7, -0.2, 0.3, 0.8, 1])) * wide
        up = (
            np.array([-25, tall, tall, -25])
            if is_house
            else np.array([-25, tall * 0.7, tall, tall * 0.9, tall * 0.6, -25])
        )
        if np.cos(around.mean() - np.pi / 2 + canvas.camera.yaw) > -0.2:
            base = np.stack([np.cos(around) * 118, up, np.sin(around) * 118], axis=1)
            colour = colours[0 if is_house else 1] * rng.uniform(0.7, 1.4)
            canvas.polygon(_unwarped(canvas, base), colour, BUILDING if is_house else TREE)


def _unwarped(canvas: Canvas, points: Floats) -> Floats:
    """Return points such that the street's bend and climb leave them where they are."""
    z2 = points[:, 2] ** 2
    return points - np.stack([canvas.camera.bend * z2, canvas.camera.climb * z2, 0 * z2], axis=1)


def band(left: float, right: float, height: float = 0.0) -> Floats:
    """Return the outline (n, 3) of a strip of ground that follows the street."""
    edge = [
        np.stack([np.full(len(STATIONS), x), np.full(len(STATIONS), height), STATIONS], axis=1) for x in (left, right)
    ]
    return np.concatenate([edge[0], edge[1][::-1]])


def paint_ground(canvas: Canvas, street: Street) -> None:
    """Paint lawns, pavements, kerbs and the road, then their markings."""
    rng = canvas.rng
    asphalt = rng.uniform(45, 110) * rng.uniform(0.95, 1.05, 3)
    stone = asphalt.mean() * rng.uniform(1.25, 2.1) * rng.uniform(0.94, 1.06, 3)
    if rng.random() < 0.4:  # brick red or sandy paving
        stone *= np.array([(1.15, 0.9, 0.8), (1.12, 1.02, 0.82)][rng.integers(2)])
    lawn = np.array([rng.uniform(60, 120), rng.uniform(100, 150), rng.uniform(40, 70)])
    sides = (
        (-90.0, street.left - street.left_walk, street.left, street.grass_left),
        (90.0, street.right + street.right_walk, street.right, street.grass_right),
    )
    for outer, walk, edge, is_grass in sides:
        canvas.polygon(band(outer, walk, KERB), lawn if is_grass else stone, IGNORE if is_grass else PAVEMENT)
        if walk != edge:
            canvas.polygon(band(walk, edge, KERB), stone, PAVEMENT)
        _paving(canvas, walk if is_grass else walk + np.sign(outer) * 25, edge, stone)
    canvas.polygon(band(street.left, street.right), asphalt, ROAD)
    _patches(canvas, street, asphalt)
    _markings(canvas, street)
    for edge, side in ((street.left, 1.0), (street.right, -1.0)):
        both = np.concatenate([band(edge, edge, 0.0)[: len(STATIONS)], band(edge, edge, KERB)[: len(STATIONS)][::-1]])
        canvas.polygon(both, stone * rng.uniform(0.65, 1.15), PAVEMENT, np.array([side, 0.0, 0.0]))


def _slabs(xs: Floats, zs: Floats, height: float) -> Floats:
    """Return ground rectangles (n, 4, 3) from (n, 2) ranges across and along the street."""
    x = np.stack([xs[:, 0], xs[:, 1], xs[:, 1], xs[:, 0]], axis=1)
    z = np.stack([zs[:, 0], zs[:, 0], zs[:, 1], zs[:, 1]], axis=1)
    return np.stack([x, np.full_like(x, height), z], axis=-1)


def _paving(canvas: Canvas, walk: float, edge: float, stone: Floats) -> None:
    """Draw the joints between paving slabs."""
    rng = canvas.rng
    if walk == edge:
        return
    low, high = sorted((walk, edge))
    z = np.arange(-30, 30, rng.uniform(0.7, 2.0))
    across = _slabs(np.tile([low, high], (len(z), 1)), np.stack([z, z + 0.04], axis=1), KERB)
    canvas.polygons(across, np.tile(stone * 0.78, (len(z), 1)))
    x = np.arange(low, high, rng.uniform(0.7, 2.0))
    pieces = np.arange(-30.0, 36.0, 6.0)
    xs, zs = np.repeat(x, len(pieces)), np.tile(pieces, len(x))
    along = _slabs(np.stack([xs, xs + 0.04], axis=1), np.stack([zs, zs + 6], axis=1), KERB)
    if rng.random() < 0.7:
        canvas.polygons(along, np.tile(stone * 0.78, (len(xs), 1)))


def _patches(canvas: Canvas, street: Street, asphalt: Floats) -> None:
    """Draw repairs, stains and manholes on the road."""
    rng, count = canvas.rng, int(canvas.rng.integers(0, 16))
    x, z = rng.uniform(street.left, street.right - 0.5, count), rng.uniform(-15, 45, count)
    wide, deep = rng.uniform(0.3, 2.5, count), rng.uniform(0.3, 7, count)
    xs = np.stack([x, np.minimum(x + wide, street.right)], axis=1)
    canvas.polygons(_slabs(xs, np.stack([z, z + deep], axis=1), 0.0), vary(rng, asphalt, 0.16, count))


def _markings(canvas: Canvas, street: Street) -> None:
    """Draw lane lines, edge lines, zebra crossings and stop lines."""
    rng = canvas.rng
    white = np.array([225.0, 225.0, 220.0]) * rng.uniform(0.7, 1.05)
    slabs: list[Floats] = []
    width = street.right - street.left
    for lane in range(1, int(width // 3)):
        if rng.random() < 0.75:
            x, period = street.left + lane * width / (width // 3), rng.uniform(3, 9)
            z = np.arange(-60, 90, period)
            deep = period * (1.0 if rng.random() < 0.2 else rng.uniform(0.3, 0.6))
            slabs.append(_slabs(np.tile([x - 0.07, x + 0.07], (len(z), 1)), np.stack([z, z + deep], axis=1), 0.0))
    for x in (street.left + 0.35, street.right - 0.5):
        if rng.random() < 0.35:
            z = np.arange(-60, 90, 5.0)
            slabs.append(_slabs(np.tile([x, x + 0.12], (len(z), 1)), np.stack([z, z + 5], axis=1), 0.0))
    if rng.random() < 0.3:
        at = np.arange(street.left + 0.3, street.right - 0.5, 1.0)
        far = rng.uniform(2, 30)
        slabs.append(
            _slabs(np.stack([at, at + 0.5], axis=1), np.tile([far, far + rng.uniform(2, 4)], (len(at), 1)), 0.0)
        )
    if slabs:
        corners = np.concatenate(slabs)
        canvas.polygons(corners, vary(rng, white, 0.08, len(corners)))


def paint_shadows(canvas: Canvas, outlines: list[Floats]) -> None:
    """Darken the ground under shadow outlines (n, 3), softly at their edges."""
    camera, light = canvas.camera, canvas.light
    if light.direct < 0.15 or not outlines:
        return
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for outline in outlines:
        seen = camera.view(outline)
        if seen[:, 2].min() > 0.4:
            cv2.fillPoly(mask, [np.round(camera.pixels(seen)).astype(np.int32)], 255)
    mask[canvas.labels == SKY] = 0
    soft = cv2.blur(mask, (3, 3))
    darkness = cv2.resize(soft, canvas.image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    factor = cv2.LUT(darkness, np.round(255 * (1 - np.arange(256) / 255 * 0.55 * light.direct)).astype(np.uint8))
    cv2.multiply(canvas.image, cv2.merge([factor] * 3), dst=canvas.image, scale=1 / 255)


def shadow_of(canvas: Canvas, place: Floats, width: float, height: float) -> Floats:
    """Return the ground outline (4, 3) of the shadow of an upright object at ``place`` (x, z)."""
    sun = canvas.light.sun
    away = -sun[[0, 2]] / max(float(sun[1]), 0.25) * height
    side = np.array([-sun[2], sun[0]]) / (np.hypot(sun[0], sun[2]) + 1e-9) * width / 2
    corners = np.stack([place - side, place + side, place + side * 0.8 + away, place - side * 0.8 + away])
    return np.stack([corners[:, 0], np.full(4, 0.02), corners[:, 1]], axis=1)
