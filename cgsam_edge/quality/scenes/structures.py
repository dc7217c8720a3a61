"""Buildings and fences: the fixed structures along a street."""

from dataclasses import dataclass

import numpy as np

from cgsam_edge.quality.scenes.camera import Floats
from cgsam_edge.quality.scenes.canvas import UP, Canvas, face, vary
from cgsam_edge.quality.scenes.concepts import BUILDING, FENCE

FACADES = np.array([
    [150, 80, 62], [128, 70, 58], [176, 140, 92], [196, 172, 126], [205, 200, 190], [225, 222, 214], [122, 118, 112],
    [92, 84, 78], [160, 150, 138], [182, 118, 88], [148, 166, 178], [214, 186, 160], [74, 62, 58], [188, 178, 120],
], dtype=np.float64)  # fmt: skip
TRADES = np.array([[170, 30, 35], [25, 60, 140], [20, 100, 60], [40, 40, 45], [215, 175, 50], [130, 30, 100], [200, 200, 195]],
                  dtype=np.float64)  # fmt: skip


@dataclass(frozen=True)
class Wall:
    """An upright rectangle: its lower left corner seen from outside, direction along it, outward normal."""

    origin: Floats
    along: Floats
    normal: Floats
    length: float
    height: float

    def faces(self, canvas: Canvas) -> bool:
        """Say whether the camera is on the outer side."""
        camera, middle = canvas.camera, self.origin + self.along * self.length / 2
        seen = camera.view(np.stack([middle, middle + self.normal]))
        return bool((seen[1] - seen[0]) @ seen[0] < 0)

    def paint(self, canvas: Canvas, boxes: Floats, colours: Floats) -> None:
        """Paint details (n, 4) given as (left, bottom, right, top) in metres on the wall."""
        canvas.polygons(face(self.origin, self.along, UP, boxes), colours, self.normal)


@dataclass(frozen=True)
class Style:
    """The look of one building: colours (RGB), metres, and features."""

    wall: Floats
    trim: Floats
    glass: Floats
    storey: float
    bay: float
    window: tuple[float, float]
    shop: bool
    courses: bool
    lit: float


def draw_style(canvas: Canvas) -> Style:
    """Draw the style of a building."""
    rng = canvas.rng
    wall = FACADES[rng.integers(len(FACADES))] * rng.uniform(0.8, 1.15) + rng.uniform(-12, 12, 3)
    glass = np.array([[45.0, 55.0, 65.0], [90.0, 115.0, 135.0], [25.0, 28.0, 32.0]])[rng.integers(3)] * rng.uniform(
        0.7, 1.3
    )
    return Style(
        wall,
        np.clip(wall * rng.choice([0.6, 1.25, 1.4]), 0, 245),
        glass,
        rng.uniform(2.7, 3.7),
        rng.uniform(1.8, 4.0),
        (rng.uniform(0.35, 0.8), rng.uniform(0.4, 0.75)),
        bool(rng.random() < 0.5),
        bool(rng.random() < 0.5),
        rng.uniform(0.1, 0.6) if canvas.light.lamps else 0.0,
    )


def paint_building(canvas: Canvas, corner: Floats, size: Floats, side: float) -> None:
    """Paint a house with its street front at x = corner[0], from z = corner[1].

    Args:
        corner: (x, z) of the front's near end.
        size: (length along the street, depth away from it, height), metres.
        side: -1 left of the street, 1 right of it.
    """
    (x, z), (length, depth, height) = corner, size
    style = draw_style(canvas)
    ahead, out = np.array([0.0, 0.0, 1.0]), np.array([side, 0.0, 0.0])
    front, near, far = np.array([x, 0.0, z]), np.array([x, 0.0, z]), np.array([x, 0.0, z + length])
    walls = [
        Wall(far, out, ahead, depth, height),
        Wall(near, out, -ahead, depth, height),
        Wall(front, ahead, -out, length, height),
    ]
    gable = canvas.rng.uniform(1.5, 4.0) if canvas.rng.random() < 0.45 else 0.0
    for wall in walls:
        if wall.faces(canvas):
            _wall(canvas, wall, style, street_front=wall is walls[2], gable=gable)
    if gable:
        _roof(canvas, walls[2], style, depth, gable)


def _wall(canvas: Canvas, wall: Wall, style: Style, street_front: bool, gable: float) -> None:
    """Paint one wall: its surface, then courses, windows and the ground floor."""
    length, height = wall.length, wall.height
    outline: list[tuple[float, float]] = [(0, 0), (length, 0), (length, height), (0, height)]
    if gable and not street_front:
        outline.insert(3, (length / 2, height + gable))
    corners = np.array([wall.origin + s * wall.along + t * UP for s, t in outline])
    pieces = max(1, int(length // 6)) if abs(canvas.camera.bend) > 1e-4 and street_front else 1
    if pieces > 1:  # a bent street: the front follows it
        steps = np.linspace(0, length, pieces + 1)
        low = wall.origin + steps[:, None] * wall.along
        corners = np.concatenate([low, (low + height * UP)[::-1]])
    canvas.polygon(corners, style.wall, BUILDING, wall.normal)
    if style.courses:
        t = np.arange(0.3, height, style.storey / 4)
        wall.paint(
            canvas,
            np.stack([0 * t, t, 0 * t + length, t + 0.05], axis=1),
            vary(canvas.rng, style.wall * 0.85, 0.05, len(t)),
        )
    if street_front or canvas.rng.random() < 0.5:
        _windows(canvas, wall, style, street_front)
    if street_front:
        _ground_floor(canvas, wall, style)
    wall.paint(canvas, np.array([[0, height - 0.3, length, height]]), style.trim[None])


def _windows(canvas: Canvas, wall: Wall, style: Style, street_front: bool) -> None:
    """Paint a grid of windows with frames; some are lit in the evening."""
    rng = canvas.rng
    start = style.storey if street_front else 0.0
    floors = np.arange(start, wall.height - style.storey * 0.8, style.storey)
    bays = np.arange(wall.length % style.bay / 2, wall.length - style.bay * 0.99, style.bay)
    if not len(floors) or not len(bays):
        return
    s, t = (grid.ravel() for grid in np.meshgrid(bays, floors))
    wide, tall = style.window[0] * style.bay, style.window[1] * style.storey
    left, bottom = s + (style.bay - wide) / 2, t + (style.storey - tall) / 2
    boxes = np.stack([left, bottom, left + wide, bottom + tall], axis=1)
    glass = vary(rng, style.glass, 0.35, len(boxes))
    lit = rng.random(len(boxes)) < style.lit
    glass[lit] = np.array([255.0, 215.0, 140.0]) / max(canvas.light.level, 0.35) * rng.uniform(0.5, 1.0)
    frame = np.array([-0.1, -0.1, 0.1, 0.1])
    wall.paint(canvas, boxes + frame, np.tile(style.trim, (len(boxes), 1)))
    wall.paint(canvas, boxes, glass)
    if wide > 0.9:
        middle = boxes.copy()
        middle[:, 0] = (boxes[:, 0] + boxes[:, 2]) / 2 - 0.04
        middle[:, 2] = middle[:, 0] + 0.08
        wall.paint(canvas, middle, np.tile(style.trim, (len(boxes), 1)))


def _ground_floor(canvas: Canvas, wall: Wall, style: Style) -> None:
    """Paint doors, or shop windows under a coloured fascia."""
    rng, top = canvas.rng, style.storey
    wide = rng.uniform(3, 6) if style.shop else rng.uniform(4, 8)
    units = np.arange(0.3, wall.length - wide, wide)
    for s in units:
        if style.shop:
            trade = TRADES[rng.integers(len(TRADES))] * rng.uniform(0.8, 1.1)
            boxes = np.array(
                [
                    [s, top - 0.7, s + wide - 0.3, top],
                    [s + 0.2, 0.5, s + wide - 1.5, top - 0.8],
                    [s + wide - 1.3, 0.1, s + wide - 0.4, top - 0.8],
                ]
            )
            glow = 2.0 if style.lit else 1.0
            wall.paint(canvas, boxes, np.stack([trade, np.clip(style.glass * 1.2 * glow, 0, 255), trade * 0.6]))
        else:
            door = TRADES[rng.integers(len(TRADES))] * 0.8
            boxes = np.array([[s, 0.1, s + 1.0, 2.2], [s + 1.6, 0.9, s + 1.6 + wide * 0.4, 2.3]])
            wall.paint(canvas, boxes, np.stack([door, style.glass]))


def _roof(canvas: Canvas, front: Wall, style: Style, depth: float, gable: float) -> None:
    """Paint the street side of a pitched roof, with chimneys."""
    rng = canvas.rng
    tiles = np.array([[120.0, 70.0, 55.0], [75.0, 75.0, 80.0], [95.0, 80.0, 70.0]])[rng.integers(3)] * rng.uniform(
        0.8, 1.2
    )
    eaves = front.origin + front.height * UP
    ridge = eaves - front.normal * depth / 2 + gable * UP
    end = front.along * front.length
    canvas.polygon(
        np.stack([eaves, eaves + end, ridge + end, ridge]), tiles, BUILDING, (front.normal + UP) / np.sqrt(2)
    )
    for s in rng.uniform(0.1, 0.9, rng.integers(0, 3)):
        base = ridge + end * s - 0.6 * UP
        bar = np.stack([base, base + 0.8 * front.along, base + 0.8 * front.along + 1.8 * UP, base + 1.8 * UP])
        canvas.polygon(bar, style.wall * 0.8, BUILDING, front.normal)


def paint_fence(canvas: Canvas, ends: Floats, height: float) -> None:
    """Paint a fence between two ground places (2, 2) given as (x, z): railings, boards or a mesh with posts.

    Railings and meshes are labelled as a person would outline them: as one surface, gaps included.
    """
    rng = canvas.rng
    base = np.array([[x, 0.1, z] for x, z in ends])
    run = base[1] - base[0]
    length = float(np.linalg.norm(run))
    along = run / length
    normal = np.array([along[2], 0.0, -along[0]])
    kind = rng.integers(3)
    colour = np.array([[40.0, 42.0, 45.0], [125.0, 90.0, 60.0], [150.0, 155.0, 155.0]])[kind] * rng.uniform(0.7, 1.3, 3)
    wall = Wall(base[0], along, normal, length, height)
    if kind == 1:
        canvas.polygon(
            np.stack([base[0], base[1], base[1] + height * UP, base[0] + height * UP]), colour, FENCE, normal
        )
        s = np.arange(0, length, 0.25)
        wall.paint(canvas, np.stack([s, 0 * s, s + 0.04, 0 * s + height], axis=1), np.tile(colour * 0.6, (len(s), 1)))
        return
    canvas.outline(np.stack([base[0], base[1], base[1] + height * UP, base[0] + height * UP]), FENCE)
    gap, bar = (rng.uniform(0.15, 0.3), 0.06) if kind == 0 else (rng.uniform(1.5, 2.5), 0.09)
    s = np.arange(0, length, gap)
    wall.paint(canvas, np.stack([s, 0 * s, s + bar, 0 * s + height], axis=1), vary(rng, colour, 0.1, len(s)))
    t = np.array([0.12, 0.9]) * height if kind == 0 else np.linspace(0.1, 0.95, int(rng.integers(3, 6))) * height
    wall.paint(canvas, np.stack([0 * t, t, 0 * t + length, t + 0.08], axis=1), np.tile(colour, (len(t), 1)))
