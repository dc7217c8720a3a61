"""Road users: cars, pedestrians, bicyclists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cgsam_edge.quality.scenes.camera import Floats
from cgsam_edge.quality.scenes.canvas import UP, Canvas
from cgsam_edge.quality.scenes.concepts import BICYCLIST, CAR, PEDESTRIAN
from cgsam_edge.quality.scenes.mix import PLAIN

PAINTS = np.array([
    [180, 25, 30], [30, 50, 120], [215, 215, 215], [45, 45, 48], [130, 132, 136], [25, 85, 60], [205, 165, 45], [110, 140, 175],
    [90, 30, 35], [235, 235, 230], [60, 70, 85], [165, 150, 125],
], dtype=np.float64)  # fmt: skip
SKINS = np.array([[235, 195, 165], [200, 150, 115], [140, 95, 65], [95, 65, 45]], dtype=np.float64)
GLASS = np.array([45.0, 55.0, 65.0])
# Side views, front to the right: (length, height) shares of the car; the roof lies between the glass ends.
PROFILES: dict[str, tuple[tuple[float, ...], list[list[float]], list[str]]] = {
    "hatchback": ((4.0, 1.7, 1.5), [[0, .22], [0, .6], [.12, .97], [.55, 1], [.72, .64], [.97, .52], [1, .22]],
                  ["body", "glass", "body", "glass", "body", "body"]),
    "saloon": ((4.6, 1.75, 1.45), [[0, .22], [.01, .6], [.15, .66], [.3, .98], [.58, 1], [.73, .66], [.97, .55], [1, .22]],
               ["body", "body", "glass", "body", "glass", "body", "body"]),
    "van": ((5.2, 2.0, 2.3), [[0, .15], [0, .98], [.1, 1], [.78, 1], [.9, .58], [.99, .45], [1, .15]],
            ["body", "body", "body", "glass", "body", "body"]),
    "estate": ((4.7, 1.85, 1.75), [[0, .25], [0, .62], [.06, .97], [.62, 1], [.76, .64], [.98, .54], [1, .25]],
               ["body", "glass", "body", "glass", "body", "body"]),
    "bus": ((10.5, 2.5, 3.1), [[0, .12], [0, 1], [.05, 1], [.97, 1], [1, .9], [1, .4], [1, .12]],
            ["glass", "body", "body", "body", "glass", "body"]),
    "truck": ((7.5, 2.4, 3.2), [[0, .18], [0, 1], [.7, 1], [.72, .8], [.94, .8], [1, .5], [1, .16]],
              ["body", "body", "body", "body", "glass", "body"]),
}  # fmt: skip


def paint_car(canvas: Canvas, place: Floats, heading: float, kinds: Sequence[float] = PLAIN.vehicles) -> None:
    """Paint a vehicle at ``place`` (x, z), its front towards ``heading`` (radians from the x axis).

    ``kinds`` are the probabilities of `PROFILES`.
    """
    rng = canvas.rng
    kind = str(rng.choice(list(PROFILES), p=kinds))
    (length, width, height), profile, parts = PROFILES[kind]
    scale = rng.uniform(0.92, 1.08)
    size = np.array([length, height, width]) * scale
    paint = PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.75, 1.15)
    front = np.array([np.cos(heading), 0.0, np.sin(heading)])
    left = np.array([-front[2], 0.0, front[0]])
    base = np.array([place[0], 0.0, place[1]]) - front * size[0] / 2
    shape = np.array(profile)
    outline = base + shape[:, :1] * size[0] * front + shape[:, 1:] * size[1] * UP
    half = left * size[2] / 2
    tyres = base + np.array([[0.06, 0.02], [0.94, 0.02], [0.94, 0.3], [0.06, 0.3]]) @ np.stack(
        [size[0] * front, size[1] * UP]
    )
    for offset in (half * 0.9, -half * 0.9):  # the dark underside between the wheels
        canvas.polygon(tyres + offset, np.full(3, 18.0), CAR, left)
    _body(canvas, outline, half, front, np.stack([GLASS if part == "glass" else paint for part in parts]))
    _ends(canvas, base, front, half, size, paint)
    side = _towards(canvas, base + front * size[0] / 2, left)
    canvas.polygon(outline + half * side, paint, CAR, left * side)
    _side_windows(canvas, base + half * side * 1.005, front, size, kind, left * side)
    _wheels(canvas, base + half * side * 1.01, front, left * side, size, kind)


def _towards(canvas: Canvas, place: Floats, normal: Floats) -> float:
    """Return 1 if a surface with this normal faces the camera, else -1."""
    seen = canvas.camera.view(np.stack([place, place + normal * 0.1]))
    return 1.0 if (seen[1] - seen[0]) @ seen[0] < 0 else -1.0


def _body(canvas: Canvas, outline: Floats, half: Floats, front: Floats, colours: Floats) -> None:
    """Paint the strips between the two sides of the body that face the camera, the far ones first."""
    runs = np.diff(outline, axis=0)
    normals = runs[:, 1:2] * -front + (runs @ front)[:, None] * UP  # outlines run from the rear over the roof
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    middles = (outline[1:] + outline[:-1]) / 2
    for i in np.argsort(-canvas.camera.view(middles)[:, 2]):
        if _towards(canvas, middles[i], normals[i]) > 0:
            a, b = outline[i], outline[i + 1]
            canvas.polygon(np.stack([a - half, a + half, b + half, b - half]), colours[i], CAR, normals[i])


def _ends(canvas: Canvas, base: Floats, front: Floats, half: Floats, size: Floats, paint: Floats) -> None:
    """Paint lights, a bumper and a number plate on the end that faces the camera."""
    is_front = _towards(canvas, base + front * size[0], front) > 0
    at = base + front * (size[0] + 0.02 if is_front else -0.02)
    lamp = np.array([250.0, 245.0, 225.0]) if is_front else np.array([190.0, 20.0, 20.0])
    lamp = lamp / max(canvas.light.level, 0.4) if canvas.light.lamps else lamp
    boxes = np.array([[-1.0, 0.2, 1.0, 0.31], [-0.95, 0.4, -0.6, 0.5], [0.6, 0.4, 0.95, 0.5], [-0.3, 0.26, 0.3, 0.36]])
    colours = np.stack([paint * 0.5, lamp, lamp, np.array([225.0, 215.0, 120.0])])
    corners = [[at + s * half + t * size[1] * UP for s, t in ((a, b), (c, b), (c, d), (a, d))] for a, b, c, d in boxes]
    canvas.polygons(np.array(corners), colours, front if is_front else -front)


def _side_windows(canvas: Canvas, base: Floats, front: Floats, size: Floats, kind: str, normal: Floats) -> None:
    """Paint the side windows and the gaps of the doors."""
    spans = {
        "hatchback": [[.13, .36, .2, .36], [.39, .66, .39, .55]], "saloon": [[.24, .45, .31, .45], [.47, .69, .47, .58]],
        "estate": [[.06, .34, .09, .34], [.37, .72, .37, .62]], "van": [[.68, .87, .68, .79]],
        "bus": [[.03, .25, .03, .25], [.28, .5, .28, .5], [.53, .75, .53, .75], [.78, .95, .78, .95]],
        "truck": [[.78, .92, .78, .9]],
    }[kind]  # fmt: skip
    low, high = {"van": (0.6, 0.92), "bus": (0.45, 0.85), "truck": (0.5, 0.76)}.get(kind, (0.66, 0.92))
    corners = [[base + s * size[0] * front + t * size[1] * UP for s, t in ((a, low), (b, low), (d, high), (c, high))]
               for a, b, c, d in spans]  # fmt: skip
    canvas.polygons(np.array(corners), np.tile(GLASS * canvas.rng.uniform(0.6, 1.4), (len(spans), 1)), normal)


def _wheels(canvas: Canvas, base: Floats, front: Floats, normal: Floats, size: Floats, kind: str) -> None:
    """Paint the two wheels of one side."""
    radius = 0.5 if kind in {"bus", "truck"} else 0.33
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for share in (0.18, 0.8):
        hub = base + share * size[0] * front + radius * UP
        rim = np.outer(np.cos(turn), front) + np.outer(np.sin(turn), UP)
        canvas.polygon(hub + rim * radius, np.full(3, 22.0), CAR, normal)
        canvas.polygon(hub + rim * radius * 0.55, np.full(3, 140.0), CAR, normal)


def _clothes(canvas: Canvas) -> Floats:
    """Draw four colours (4, 3): trousers, jacket, skin, hair."""
    rng = canvas.rng
    trousers = np.array([[35, 40, 60], [30, 30, 32], [110, 100, 85], [70, 75, 90]], dtype=np.float64)[rng.integers(4)]
    jacket = (
        rng.uniform(15, 235, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(20, 130)) * rng.uniform(0.9, 1.1, 3)
    )
    hair = np.array([[40, 28, 20], [120, 85, 45], [150, 145, 140], [20, 18, 18]], dtype=np.float64)[rng.integers(4)]
    return np.stack([trousers, jacket, SKINS[rng.integers(len(SKINS))], hair])


@dataclass(frozen=True)
class Gait:
    """How someone moves: where to, and how far along in a step or a turn of the pedals.

    Attributes:
        heading: radians from the x axis.
        phase: radians.
    """

    heading: float
    phase: float


def paint_pedestrian(canvas: Canvas, place: Floats, ground: float, gait: Gait | None = None) -> None:
    """Paint a person at ``place`` (x, z) on ground of this height, who stands or walks anyhow, or as ``gait`` says."""
    rng = canvas.rng
    tall = rng.uniform(1.15, 1.4) if rng.random() < 0.15 else rng.uniform(1.55, 1.95)
    trousers, jacket, skin, hair = _clothes(canvas)
    walk = rng.uniform(0, 2 * np.pi)
    walk = walk if gait is None else gait.heading
    front = np.array([np.cos(walk), 0.0, np.sin(walk)])
    side = np.array([-front[2], 0.0, front[0]])
    base, stride = np.array([place[0], ground, place[1]]), rng.uniform(0, 0.32)
    stride = stride if gait is None else 0.3 * np.sin(gait.phase)
    hips, chest = base + 0.5 * tall * UP, base + 0.8 * tall * UP
    for sign in (-1.0, 1.0):
        foot = base + sign * (stride * front + 0.07 * side) + 0.03 * UP
        canvas.limb(np.stack([foot, hips + sign * 0.07 * side]), 0.075, trousers, PEDESTRIAN)
        canvas.limb(np.stack([foot, foot + 0.12 * front]), 0.06, np.full(3, 25.0), PEDESTRIAN)
    skirt = rng.random() < 0.3
    if skirt:
        canvas.limb(np.stack([hips - 0.15 * tall * UP, hips]), 0.17, jacket * 0.9, PEDESTRIAN)
    canvas.limb(np.stack([hips + 0.04 * UP, chest - 0.04 * UP]), rng.uniform(0.17, 0.23), jacket, PEDESTRIAN)
    for sign in (-1.0, 1.0):
        hand = hips + sign * (0.24 * side - rng.uniform(-0.2, 0.3) * front) + rng.uniform(-0.05, 0.3) * UP
        canvas.limb(np.stack([chest + sign * 0.19 * side, hand]), 0.055, jacket * 0.85, PEDESTRIAN)
    _head(canvas, base + 0.93 * tall * UP, tall, skin, hair, front, PEDESTRIAN)
    if rng.random() < 0.3:
        bag = chest - 0.2 * UP - 0.22 * front
        canvas.balls(bag[None], np.array([0.16]), rng.uniform(20, 180, (1, 3)), PEDESTRIAN)


def _head(canvas: Canvas, place: Floats, tall: float, skin: Floats, hair: Floats, front: Floats, label: int) -> None:
    """Paint a head with its hair, or a helmet in the colour of the hair."""
    radius = 0.065 * tall
    both = np.stack([place, place + 0.035 * UP - 0.03 * front])
    away = (
        float(canvas.camera.view(np.stack([place, place + front]))[:, 2] @ [-1, 1]) > 0
    )  # seen from behind: hair last
    order = [0, 1] if away else [1, 0]
    canvas.balls(both[order], np.array([radius, radius * 1.04])[order], np.stack([skin, hair])[order], label)


def paint_bicyclist(canvas: Canvas, place: Floats, heading: float, phase: float | None = None) -> None:
    """Paint a rider on a bicycle at ``place`` (x, z) on the road, riding towards ``heading``, pedals turned by ``phase``.

    Both angles are in radians; without a phase, the pedals are turned anyhow.
    """
    rng = canvas.rng
    trousers, jacket, skin, hair = _clothes(canvas)
    helmet = rng.uniform(30, 255, 3) if rng.random() < 0.6 else hair
    frame = PAINTS[rng.integers(len(PAINTS))]
    front = np.array([np.cos(heading), 0.0, np.sin(heading)])
    side = np.array([-front[2], 0.0, front[0]])
    base = np.array([place[0], 0.0, place[1]])
    hub_back, hub_front = base - 0.52 * front + 0.34 * UP, base + 0.52 * front + 0.34 * UP
    for hub in (hub_back, hub_front):
        _bike_wheel(canvas, hub, front)
    crank, seat, bars = base - 0.08 * front + 0.3 * UP, base - 0.22 * front + 0.95 * UP, base + 0.42 * front + 1.02 * UP
    ends = [(hub_back, crank), (crank, seat), (crank, bars - 0.2 * UP), (seat - 0.1 * UP, bars - 0.15 * UP),
            (hub_back, seat - 0.15 * UP), (hub_front, bars)]  # fmt: skip
    canvas.limbs(np.array(ends), np.full(6, 0.022), np.tile(frame, (6, 1)), BICYCLIST)
    canvas.limb(np.stack([bars - 0.25 * side, bars + 0.25 * side]), 0.02, np.full(3, 30.0), BICYCLIST)
    shoulder = base + rng.uniform(0.02, 0.2) * front + 1.45 * UP
    spin = rng.uniform(0, 2 * np.pi)
    spin = spin if phase is None else phase
    for sign in (-1.0, 1.0):
        foot = crank + sign * (0.17 * (np.cos(spin) * front + np.sin(spin) * UP) + 0.1 * side)
        knee = (seat + foot) / 2 + 0.22 * front + 0.1 * UP
        canvas.limb(np.stack([seat + 0.1 * sign * side, knee]), 0.08, trousers, BICYCLIST)
        canvas.limb(np.stack([knee, foot]), 0.06, trousers, BICYCLIST)
        canvas.limb(
            np.stack([shoulder + 0.18 * sign * side, bars + 0.22 * sign * side]), 0.05, jacket * 0.85, BICYCLIST
        )
    canvas.limb(np.stack([seat + 0.1 * UP, shoulder]), 0.18, jacket, BICYCLIST)
    _head(canvas, shoulder + 0.06 * front + 0.27 * UP, 1.75, skin, helmet, front, BICYCLIST)


def _bike_wheel(canvas: Canvas, hub: Floats, front: Floats) -> None:
    """Paint a bicycle wheel; its disc is labelled, the gaps between the spokes are seen through."""
    turn = np.linspace(0, 2 * np.pi, 16)
    rim = hub + 0.34 * (np.outer(np.cos(turn), front) + np.outer(np.sin(turn), UP))
    canvas.outline(rim, BICYCLIST)
    spokes = np.stack([rim[0:8:2], rim[7:15:2]], axis=1)
    canvas.limbs(spokes, np.full(4, 0.006), np.full((4, 3), 130.0))
    canvas.limbs(np.stack([rim[:-1], rim[1:]], axis=1), np.full(15, 0.022), np.full((15, 3), 25.0), BICYCLIST)
