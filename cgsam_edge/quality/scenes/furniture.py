"""Street furniture and plants: poles, signs, traffic lights, trees, and objects without a label."""

import numpy as np

from cgsam_edge.quality.scenes.camera import Floats
from cgsam_edge.quality.scenes.canvas import UP, Canvas
from cgsam_edge.quality.scenes.concepts import IGNORE, POLE, SIGN, TREE

STEEL = np.array([120.0, 124.0, 128.0])


def _steel(canvas: Canvas) -> Floats:
    """Draw the colour of a pole: galvanised, dark, green or wooden."""
    rng = canvas.rng
    kinds = np.array([STEEL, [45, 48, 50], [40, 62, 50], [110, 85, 60], [170, 172, 172]])
    return np.asarray(kinds[rng.integers(len(kinds))] * rng.uniform(0.75, 1.2))


def paint_pole(canvas: Canvas, place: Floats, ground: float) -> None:
    """Paint a lamp post, a bare pole or a bollard at ``place`` (x, z)."""
    rng, colour = canvas.rng, _steel(canvas)
    base = np.array([place[0], ground, place[1]])
    kind = rng.random()
    height = rng.uniform(0.9, 1.2) if kind < 0.15 else rng.uniform(4.5, 10)
    radius = rng.uniform(0.08, 0.16)
    canvas.limb(np.stack([base, base + min(1.2, height) * UP]), radius * 1.35, colour * 0.9, POLE)
    canvas.limb(np.stack([base, base + height * UP]), radius, colour, POLE)
    if kind > 0.4:  # an arm with a lamp, over the road or away from it
        arm = np.array([rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 2.2), rng.uniform(0, 0.5), rng.uniform(-0.3, 0.3)])
        tip = base + height * UP + arm
        canvas.limb(np.stack([base + height * UP, tip]), radius * 0.7, colour, POLE)
        lamp = np.array([255.0, 235.0, 180.0]) / max(0.35, canvas.light.level) if canvas.light.lamps else colour * 1.2
        canvas.limb(np.stack([tip, tip + arm * 0.25]), radius * 1.5, np.clip(lamp, 0, 400), POLE)


def _plate(canvas: Canvas, middle: Floats, along: Floats, shape: str, size: Floats, colours: Floats) -> None:
    """Paint a sign plate: its rim, its field, and a mark in the middle."""
    turn = np.linspace(0, 2 * np.pi, {"round": 18, "triangle": 4, "diamond": 5, "stop": 9}.get(shape, 5))[:-1]
    turn = turn + {"triangle": np.pi / 2, "stop": np.pi / 8}.get(shape, 0.0)
    corners = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if shape == "board":
        corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    normal = np.array([along[2], 0.0, -along[0]])
    flat = corners @ np.stack([along * size[0] / 2, UP * size[1] / 2])
    canvas.polygon(middle + flat, colours[0], SIGN, normal)
    canvas.polygon(middle + flat * 0.78, colours[1], SIGN, normal)
    rng = canvas.rng
    for _ in range(rng.integers(1, 4)):  # lettering or a pictogram
        s, t, w, h = rng.uniform(-0.45, 0.2), rng.uniform(-0.4, 0.3), rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.25)
        bar = np.array([[s, t], [s + w, t], [s + w, t + h], [s, t + h]]) @ np.stack(
            [along * size[0] / 2, UP * size[1] / 2]
        )
        canvas.polygon(middle + bar * 0.9, colours[2], SIGN, normal)


def paint_sign(canvas: Canvas, place: Floats, ground: float) -> None:
    """Paint a traffic sign or a board on a pole at ``place`` (x, z), turned roughly to the camera."""
    rng, colour = canvas.rng, _steel(canvas)
    red, white, blue = np.array([200.0, 25.0, 30.0]), np.array([240.0, 240.0, 238.0]), np.array([25.0, 70.0, 170.0])
    yellow, green, black = np.array([245.0, 200.0, 30.0]), np.array([15.0, 105.0, 70.0]), np.array([25.0, 25.0, 25.0])
    shape, colours = [
        ("round", [red, white, black]), ("triangle", [red, white, black]), ("round", [blue, blue, white]),
        ("board", [white, blue, white]), ("board", [white, green, white]), ("stop", [white, red, white]),
        ("diamond", [black, yellow, black]), ("board", [black, yellow, black]), ("round", [red, red, white]),
    ][rng.integers(9)]  # fmt: skip
    base = np.array([place[0], ground, place[1]])
    seen_along = np.array([np.cos(canvas.camera.yaw), 0.0, -np.sin(canvas.camera.yaw)])
    turn = rng.uniform(-0.7, 0.7)
    along = np.array([seen_along[0] * np.cos(turn) - seen_along[2] * np.sin(turn), 0.0,
                      seen_along[0] * np.sin(turn) + seen_along[2] * np.cos(turn)])  # fmt: skip
    width = rng.uniform(0.6, 1.1) * (1.0 if shape != "board" else rng.uniform(0.8, 2.2))
    size = np.array([width, rng.uniform(0.6, 1.1) if shape == "board" else width])
    top = rng.uniform(1.2, 3.4)
    canvas.limb(np.stack([base, base + (top + 0.2) * UP]), rng.uniform(0.04, 0.07), colour, POLE)
    _plate(canvas, base + top * UP, along, shape, size, np.stack(colours) * rng.uniform(0.75, 1.05))
    if rng.random() < 0.25:
        below = base + (top - size[1] / 2 - 0.3) * UP
        _plate(canvas, below, along, "board", np.array([0.7, 0.4]), np.stack([black, white, black]))


def paint_traffic_light(canvas: Canvas, place: Floats, ground: float) -> None:
    """Paint a traffic light at ``place`` (x, z): its head counts as a sign, its post as a pole."""
    rng = canvas.rng
    base = np.array([place[0], ground, place[1]])
    top = rng.uniform(2.4, 3.4)
    canvas.limb(np.stack([base, base + top * UP]), 0.08, _steel(canvas), POLE)
    along = np.array([np.cos(canvas.camera.yaw), 0.0, -np.sin(canvas.camera.yaw)])
    back = np.array([[-0.22, -0.5], [0.22, -0.5], [0.22, 0.55], [-0.22, 0.55]]) @ np.stack([along, UP])
    canvas.polygon(base + top * UP + back, np.full(3, 28.0), SIGN, np.array([0.0, 0.0, -1.0]))
    on = int(rng.integers(3))
    lamps = np.array([[235.0, 30.0, 25.0], [250.0, 180.0, 30.0], [40.0, 230.0, 120.0]])
    bright = np.where(np.arange(3)[:, None] == on, lamps / max(canvas.light.level, 0.4), lamps * 0.2)
    centres = base + (top + np.array([0.35, 0.02, -0.3]))[:, None] * UP - 0.02 * np.array([-along[2], 0.0, along[0]])
    canvas.balls(centres, np.full(3, 0.12), np.clip(bright, 0, 300), SIGN)


def paint_tree(canvas: Canvas, place: Floats, height: float, fixed: int | None = None) -> None:
    """Paint a leafy tree, a conifer, a bare tree or a bush at ``place`` (x, z), or the ``fixed`` one of them, 0 to 3.

    A bush is lower than ``height``, unless it is fixed.
    """
    rng = canvas.rng
    base = np.array([place[0], 0.0, place[1]])
    bark = np.array([rng.uniform(55, 105), rng.uniform(45, 85), rng.uniform(35, 70)])
    drawn = rng.choice(4, p=[0.5, 0.13, 0.17, 0.2])
    kind = int(drawn) if fixed is None else fixed
    if kind == 2:
        _bare(canvas, base, height, bark * 0.8)
        return
    height = height if kind != 3 or fixed is not None else rng.uniform(0.8, 2.2)
    trunk = height * (rng.uniform(0.25, 0.45) if kind == 0 else 0.1)
    leaf = np.array([rng.uniform(35, 120), rng.uniform(75, 140), rng.uniform(20, 60)])
    if rng.random() < 0.15:  # autumn
        leaf = np.array([rng.uniform(140, 200), rng.uniform(90, 140), rng.uniform(30, 60)])
    if kind != 3:
        canvas.limb(np.stack([base, base + (trunk + 0.2 * height) * UP]), rng.uniform(0.1, 0.24), bark, TREE)
    count = 90
    up = np.sort(rng.uniform(0, 1, count))
    wide = {0: np.sqrt(np.clip(1 - (2 * up - 0.9) ** 2, 0.03, 1)), 1: 1 - up, 3: np.sqrt(np.clip(1 - up**2, 0.03, 1))}[
        kind
    ]
    reach = height * rng.uniform(0.2, 0.34) * (1.6 if kind == 3 else 0.55 if kind == 1 else 1.0)
    turn, out = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count)) * wide * reach
    centres = base + np.stack([np.cos(turn) * out, trunk + up * (height - trunk), np.sin(turn) * out], axis=1)
    order = np.argsort(-canvas.camera.view(centres)[:, 2] + rng.uniform(-0.5, 0.5, count))
    radii = rng.uniform(0.07, 0.17, count) * reach * 1.6
    shades = (0.55 + 0.6 * up + rng.uniform(-0.2, 0.2, count))[:, None] * leaf
    canvas.balls(centres[order], radii[order], np.clip(shades, 0, 255)[order], TREE)


def _bare(canvas: Canvas, base: Floats, height: float, colour: Floats) -> None:
    """Paint a bare tree; the label covers the gaps between its twigs, as a person would outline the crown."""
    rng = canvas.rng
    starts, runs, radius = base[None], np.array([[0.0, height * 0.4, 0.0]]), height * 0.02
    for depth in range(5):
        ends = np.stack([starts, starts + runs], axis=1)
        canvas.limbs(
            ends,
            np.full(len(ends), max(radius, 0.012)),
            np.tile(colour, (len(ends), 1)),
            TREE,
            0.05 * height * (depth > 1),
        )
        starts, runs = np.repeat(starts + runs, 3, axis=0), np.repeat(runs, 3, axis=0)
        long = np.linalg.norm(runs, axis=1, keepdims=True)
        bend = rng.uniform(-0.75, 0.75, runs.shape) + np.array([0.0, 0.12, 0.0])
        runs, radius = (runs + bend * long) * rng.uniform(0.55, 0.75, (len(runs), 1)), radius * 0.6


def paint_clutter(canvas: Canvas, place: Floats, ground: float) -> None:
    """Paint something without a label: a bin, a box, a bench."""
    rng = canvas.rng
    width, height = rng.uniform(0.4, 1.2), rng.uniform(0.5, 1.2)
    base = np.array([place[0], ground, place[1]])
    colour = rng.uniform(30, 160, 3)
    along, deep = np.array([width, 0.0, 0.0]), np.array([0.0, 0.0, rng.uniform(0.3, 0.8)])
    top = base + height * UP
    side = along if canvas.camera.view(base[None])[0, 0] < 0 else 0 * along
    canvas.polygon(np.stack([base, base + along, top + along, top]), colour, IGNORE, np.array([0.0, 0.0, -1.0]))
    canvas.polygon(np.stack([base + side, base + side + deep, top + side + deep, top + side]), colour * 0.8, IGNORE)
    canvas.polygon(np.stack([top, top + along, top + along + deep, top + deep]), colour * 1.2, IGNORE)
