"""The layout of a scene: draws the camera, the street and everything in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cgsam_edge.quality.scenes.camera import Floats, Viewpoint
from cgsam_edge.quality.scenes.canvas import Canvas
from cgsam_edge.quality.scenes.furniture import (
    paint_clutter,
    paint_pole,
    paint_sign,
    paint_traffic_light,
    paint_tree,
)
from cgsam_edge.quality.scenes.ground import (
    KERB,
    Street,
    paint_distance,
    paint_ground,
    paint_shadows,
    paint_sky,
    shadow_of,
)
from cgsam_edge.quality.scenes.light import draw_light
from cgsam_edge.quality.scenes.mix import PLAIN, Mix
from cgsam_edge.quality.scenes.objects import paint_bicyclist, paint_car, paint_pedestrian
from cgsam_edge.quality.scenes.structures import paint_building, paint_fence


@dataclass(frozen=True)
class Piece:
    """An object to paint.

    Attributes:
        depth: distance of its far end, metres.
        shadow: its shadow on the ground, or None.
        paint: paints it.
        number: counted from 1, those that the camera cannot see too.
    """

    depth: float
    shadow: Floats | None
    paint: Callable[[], None]
    number: int


def draw_camera(rng: np.random.Generator, width: int, height: int) -> Viewpoint:
    """Draw a point of view: mostly a driver's, sometimes a walker's, up, down, across or from a window."""
    kind = rng.choice(4, p=[0.78, 0.08, 0.06, 0.08])
    tilt = (rng.uniform(0.3, 0.62), rng.uniform(0.65, 1.15), rng.uniform(-0.35, 0.2), rng.uniform(0.3, 0.7))[kind]
    yaw = rng.normal(0, 0.2) if kind != 3 else rng.choice([-1, 1]) * rng.uniform(0.7, 1.57)
    return Viewpoint(
        width, height, focal=max(width, height) * rng.uniform(0.75, 1.25), horizon=height * tilt,
        roll=rng.normal(0, 0.02), yaw=float(yaw), x=0.0, y=rng.uniform(1.1, 2.2) if rng.random() < 0.93 else rng.uniform(2.5, 5),
        bend=rng.normal(0, 0.002) if rng.random() < 0.5 else 0.0, climb=rng.normal(0, 0.0004),
    )  # fmt: skip


def draw_street(rng: np.random.Generator) -> Street:
    """Draw a street's cross-section; the camera stands at x = 0, on the road or on a pavement."""
    width = rng.uniform(5, 9) if rng.random() < 0.7 else rng.uniform(9, 18)
    left = (
        -rng.uniform(0.2, 0.8) * width
        if rng.random() < 0.75
        else rng.choice([rng.uniform(0.5, 3), -width - rng.uniform(0.5, 3)])
    )
    walks = np.where(rng.random(2) < 0.9, rng.uniform(1.3, 6, 2), 0.0)
    grass = rng.random(2) < 0.25
    return Street(float(left), float(left + width), float(walks[0]), float(walks[1]), bool(grass[0]), bool(grass[1]))


class Layout:
    """The pieces of one scene.

    Attributes:
        pieces: every object on the ground, unordered.
    """

    def __init__(self, canvas: Canvas, street: Street, mix: Mix = PLAIN) -> None:
        """Draw all pieces; the frequency of each kind varies between scenes, and is often zero."""
        self.canvas, self.street, self.rng, self.mix = canvas, street, canvas.rng, mix
        self.pieces: list[Piece] = []
        self._noted = 0
        rng = self.rng
        for side in (-1.0, 1.0):
            self.frontage(side)
        crowded = rng.uniform(0.4, 1.3)
        for kind, (chance, mean) in mix.pieces.items():
            if rng.random() < chance:
                for _ in range(1 + rng.poisson(mean * crowded)):
                    self.kinds[kind]()
        if rng.random() < mix.near:  # one object close by
            self.kinds[mix.close[rng.integers(len(mix.close))]](near=True)

    @property
    def kinds(self) -> Mapping[str, Callable[..., None]]:
        """What adds a piece of each kind; all take ``near``."""
        return {
            "car": self.car, "pedestrian": self.pedestrian, "bicyclist": self.bicyclist, "pole": self.pole,
            "sign": self.sign, "tree": self.tree, "fence": self.fence, "clutter": self.clutter,
        }  # fmt: skip

    def place(self, low: float, high: float, near: bool = False) -> Floats:
        """Draw (x, z) with x between the bounds (metres across), in front of the camera."""
        camera, rng = self.canvas.camera, self.rng
        far = rng.uniform(2.2, 6) if near else 3 + self.mix.reach * rng.beta(1.1, 2.4)
        for _ in range(12):
            turn = camera.yaw + rng.uniform(-0.5, 0.5) * camera.width / camera.focal
            x, z = far * np.sin(turn), far * np.cos(turn)
            if low <= x <= high:
                return np.array([x, z])
            far = rng.uniform(2.2, 9) if near else 3 + self.mix.reach * rng.beta(1.1, 2.4)
        return np.array([rng.uniform(low, high), rng.uniform(4, 22)])

    def ground(self, place: Floats) -> float:
        """Return the height of the ground at (x, z): pavements lie a kerb above the road."""
        return 0.0 if self.street.left < place[0] < self.street.right else KERB

    def add(self, place: Floats, width: float, height: float, paint: Callable[[], None]) -> None:
        """Note a piece at (x, z) with a shadow of this width and height."""
        depth = float(self.canvas.camera.view(np.array([place[0], 0.0, place[1]]))[2])
        self.note(depth, shadow_of(self.canvas, place, width, height), paint)

    def pass_over(self) -> None:
        """Count a piece that cannot be seen."""
        self._noted += 1

    def note(self, depth: float, shadow: Floats | None, paint: Callable[[], None], behind: float = 0.0) -> None:
        """Count a piece, and keep it unless it lies behind the camera; it is painted ``behind`` metres further away."""
        self.pass_over()
        if depth > 0.8:
            self.pieces.append(Piece(depth + behind, shadow, paint, self._noted))

    def frontage(self, side: float) -> None:
        """Line one side of the street with houses, trees, a fence, or nothing."""
        rng, street = self.rng, self.street
        edge = street.left - street.left_walk if side < 0 else street.right + street.right_walk
        kind = rng.choice(4, p=[0.62, 0.16, 0.1, 0.12])
        set_back = 0.0 if rng.random() < 0.7 else rng.uniform(1, 8)
        fenced = kind == 2 or (set_back > 1 and rng.random() < 0.5)
        z, gap = -35.0 + rng.uniform(0, 10), rng.uniform(0, 0.5)
        tall = rng.uniform(4, 9) if rng.random() < 0.5 else rng.uniform(8, 22)
        while z < 95 and kind != 3:
            length = rng.uniform(6, 24)
            if kind == 0 and rng.random() > gap * 0.6:
                self.house(edge + side * set_back, z, length, tall * rng.uniform(0.75, 1.3), side)
            elif kind != 2 or rng.random() < 0.3:
                for _ in range(rng.integers(1, 4)):
                    self.tree_at(np.array([edge + side * rng.uniform(1.5, 9), z + rng.uniform(0, length)]))
            z += length + (rng.uniform(1, 10) if rng.random() < gap else 0.0)
        if fenced:
            self.fence_at(edge + side * 0.15, rng.uniform(-30, 0), rng.uniform(40, 90))

    def house(self, x: float, z: float, length: float, height: float, side: float) -> None:
        """Note a house; its far end counts as its distance, so that objects in front of it are painted later."""
        size = np.array([length, self.rng.uniform(7, 14), height])
        ends = np.array(
            [[x, 0.0, z], [x, 0.0, z + length], [x + side * size[1], 0.0, z], [x + side * size[1], 0.0, z + length]]
        )
        depth = float(self.canvas.camera.view(ends)[:, 2].max())
        away = -self.canvas.light.sun[[0, 2]] / max(float(self.canvas.light.sun[1]), 0.25) * height
        shadow = ends[[0, 1, 1, 0]] + np.array([[0, 0, 0], [0, 0, 0], [away[0], 0, away[1]], [away[0], 0, away[1]]])
        self.note(depth, shadow, lambda: paint_building(self.canvas, np.array([x, z]), size, side), behind=3)

    def car(self, near: bool = False) -> None:
        """Park a car at a kerb, or let it drive, turn or cross."""
        rng, street = self.rng, self.street
        place = self.place(street.left + 1.0, street.right - 1.0, near)
        if rng.random() < 0.5:
            place[0] = street.left + 1.1 if rng.random() < 0.5 else street.right - 1.1
        heading = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.06)
        heading = rng.uniform(0, 2 * np.pi) if rng.random() < 0.2 else heading
        if np.hypot(*place) > 4.5:
            self.add(place, 2.4, 1.4, lambda: paint_car(self.canvas, place, float(heading), self.mix.vehicles))

    def pedestrian(self, near: bool = False) -> None:
        """Put a person on a pavement, sometimes on the road."""
        street = self.street
        low, high = street.left - street.left_walk - 0.3, street.right + street.right_walk + 0.3
        place = self.place(low, high, near)
        if street.left < place[0] < street.right and self.rng.random() < 0.6:
            place[0] = (
                self.rng.uniform(low, street.left) if self.rng.random() < 0.5 else self.rng.uniform(street.right, high)
            )
        self.add(place, 0.5, 1.7, lambda: paint_pedestrian(self.canvas, place, self.ground(place)))

    def bicyclist(self, near: bool = False) -> None:
        """Put a rider on the road, mostly along it."""
        place = self.place(self.street.left + 0.4, self.street.right - 0.4, near)
        heading = self.rng.choice([-1, 1]) * np.pi / 2 + self.rng.normal(0, 0.35)
        heading = self.rng.uniform(0, 2 * np.pi) if self.rng.random() < 0.3 else heading
        self.add(place, 0.9, 1.6, lambda: paint_bicyclist(self.canvas, place, float(heading)))

    def verge(self, near: bool = False) -> Floats:
        """Draw (x, z) on a pavement, near its kerb more often than not."""
        street, place = self.street, self.place(self.street.left - 4, self.street.right + 4, near)
        if street.left - 0.2 < place[0] < street.right + 0.2:
            place[0] = self.rng.choice(
                [street.left - self.rng.uniform(0.3, 2), street.right + self.rng.uniform(0.3, 2)]
            )
        return place

    def pole(self, near: bool = False) -> None:
        """Put a pole on a pavement."""
        place = self.verge(near)
        self.add(place, 0.2, 6.0, lambda: paint_pole(self.canvas, place, self.ground(place)))

    def sign(self, near: bool = False) -> None:
        """Put a sign or a traffic light on a pavement."""
        place = self.verge(near)
        paint = paint_traffic_light if self.rng.random() < 0.3 else paint_sign
        self.add(place, 0.4, 2.5, lambda: paint(self.canvas, place, self.ground(place)))

    def tree(self, near: bool = False) -> None:
        """Put a tree on a pavement or beyond it."""
        place = self.verge(near)
        place[0] += np.sign(place[0]) * self.rng.uniform(0, 4)
        self.tree_at(place)

    def tree_at(self, place: Floats) -> None:
        """Put a tree at (x, z)."""
        height = self.rng.uniform(3, 11)
        self.add(place, height * 0.4, height, lambda: paint_tree(self.canvas, place, height))

    def fence(self, near: bool = False) -> None:
        """Put a fence along a pavement, or across one."""
        rng, place = self.rng, self.verge(near)
        if rng.random() < 0.7:
            self.fence_at(float(place[0]), float(place[1]), float(place[1] + rng.uniform(3, 20)))
            return
        ends = np.stack([place, place + np.array([rng.uniform(2, 6), rng.uniform(-0.5, 0.5)])])
        height = rng.uniform(0.8, 1.9)
        self.add(ends.mean(axis=0), 2.0, height, lambda: paint_fence(self.canvas, ends, height))

    def fence_at(self, x: float, start: float, end: float) -> None:
        """Put a fence along the street at x from z = start to end, piece by piece (each has its own distance)."""
        height, seed, step = self.rng.uniform(0.8, 1.9), int(self.rng.integers(1 << 30)), 6.0
        for z in np.arange(start, end, step):
            ends = np.array([[x, z], [x, min(z + step, end)]])
            depth = float(self.canvas.camera.view(np.array([[x, 0.0, z], [x, 0.0, ends[1, 1]]]))[:, 2].max())
            self.note(depth, None, lambda ends=ends: self._same_fence(ends, height, seed))  # type: ignore[misc]

    def _same_fence(self, ends: Floats, height: float, seed: int) -> None:
        """Paint one piece of a long fence with the fence's own random numbers, so that all pieces look alike."""
        kept, self.canvas.rng = self.canvas.rng, np.random.default_rng(seed)
        paint_fence(self.canvas, ends, height)
        self.canvas.rng = kept

    def clutter(self, near: bool = False) -> None:
        """Put a bin or a box on a pavement."""
        place = self.verge(near)
        self.add(place, 0.8, 0.8, lambda: paint_clutter(self.canvas, place, self.ground(place)))


def compose(rng: np.random.Generator, width: int, height: int, mix: Mix = PLAIN) -> Canvas:
    """Draw and paint one scene, far objects first."""
    canvas = Canvas(draw_camera(rng, width, height), draw_light(rng), rng)
    street = draw_street(rng)
    paint_sky(canvas)
    if rng.random() < 0.85:
        paint_distance(canvas)
    paint_ground(canvas, street)
    layout = Layout(canvas, street, mix)
    paint_shadows(canvas, [piece.shadow for piece in layout.pieces if piece.shadow is not None])
    for piece in sorted(layout.pieces, key=lambda piece: -piece.depth):
        piece.paint()
    return canvas
