"""Things that move, and the camera that moves with them: the layout of one moment of a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cgsam_edge.quality.scenes.camera import Floats, Viewpoint
from cgsam_edge.quality.scenes.canvas import Canvas
from cgsam_edge.quality.scenes.furniture import paint_tree
from cgsam_edge.quality.scenes.ground import Street
from cgsam_edge.quality.scenes.layout import Layout
from cgsam_edge.quality.scenes.objects import Gait, paint_bicyclist, paint_car, paint_pedestrian

TRAVEL = 5.0
"""Seconds ahead of a driving camera in which the street still holds things."""


@dataclass(frozen=True)
class Ride:
    """How the camera moves.

    Attributes:
        speed: metres a second along the street.
        pan: radians a second.
        shake: 1 for a hand, less for a stand.
        beats: frequencies of the shake in Hz, its yaw, its pitch and its roll, (3,).
        starts: its phases in radians, (3,).
    """

    speed: float
    pan: float
    shake: float
    beats: Floats
    starts: Floats

    def at(self, start: Viewpoint, seconds: float) -> Viewpoint:
        """Return where the camera is after some seconds; it stays above a street that bends and climbs."""
        z = self.speed * seconds
        yaw, pitch, roll = self.shake * np.sin(2 * np.pi * self.beats * seconds + self.starts)
        return replace(
            start,
            z=z,
            x=start.x + start.bend * z * z,
            y=start.y - start.climb * z * z,
            yaw=start.yaw + self.pan * seconds + 0.006 * float(yaw),
            horizon=start.horizon + 0.008 * start.height * float(pitch),
            roll=start.roll + 0.005 * float(roll),
        )


def draw_ride(rng: np.random.Generator) -> Ride:
    """Draw a camera on a stand, in a hand, in a car, or one that pans."""
    kind = rng.choice(4, p=[0.3, 0.3, 0.2, 0.2])
    speed = (0.0, rng.uniform(0.5, 1.5), rng.uniform(3, 7), 0.0)[kind]
    pan = rng.choice([-1, 1]) * rng.uniform(0.06, 0.15) if kind == 3 else 0.0
    shake = (0.1, 1.0, 0.5, 0.4)[kind]
    return Ride(float(speed), float(pan), shake, rng.uniform(0.5, 2, 3), rng.uniform(0, 2 * np.pi, 3))


def draw_start(rng: np.random.Generator, width: int, height: int) -> Viewpoint:
    """Draw where the camera begins: at the height of a person's or a driver's eyes, looking along the street."""
    return Viewpoint(
        width, height, focal=max(width, height) * rng.uniform(0.8, 1.15), horizon=height * rng.uniform(0.35, 0.55),
        roll=rng.normal(0, 0.01), yaw=float(rng.normal(0, 0.12)), x=0.0, y=rng.uniform(1.3, 2.2),
        bend=rng.normal(0, 0.001) if rng.random() < 0.4 else 0.0, climb=rng.normal(0, 0.0002),
    )  # fmt: skip


class MovingLayout(Layout):
    """The pieces of one moment of a clip; each moment draws the same pieces, at other places.

    Args:
        canvas: for this moment, with random numbers that begin anew for each.
        street: the street.
        start: the first moment's point of view, which decides where things are.
        ride: how the camera moves.
        seconds: the time since then.
    """

    def __init__(self, canvas: Canvas, street: Street, start: Viewpoint, ride: Ride, seconds: float) -> None:
        self._start, self._ride, self._seconds = start, ride, seconds
        super().__init__(canvas, street)
        for _ in range(1 + self.rng.poisson(0.8)):
            self.car()
        for _ in range(1 + self.rng.poisson(1.2)):
            self.crossing()
        self.bush()

    def place(self, low: float, high: float, near: bool = False) -> Floats:
        """Draw (x, z) as in a still scene, seen from the start; a driving camera finds things further on too."""
        current, self.canvas.camera = self.canvas.camera, self._start
        place = super().place(low, high, near)
        self.canvas.camera = current
        return np.asarray(place + np.array([0.0, self.rng.uniform(0, self._ride.speed * TRAVEL)]))

    def moved(self, place: Floats, heading: float, speed: float) -> Floats:
        """Return a place (x, z) after the time that has passed."""
        return np.asarray(place + speed * self._seconds * np.array([np.cos(heading), np.sin(heading)]))

    def car(self, near: bool = False) -> None:
        """Park a car at a kerb, or let it drive on its side of the road."""
        rng, street = self.rng, self.street
        place, away, wobble = (
            self.place(street.left + 1, street.right - 1, near),
            rng.random() < 0.5,
            rng.normal(0, 0.02),
        )
        parked, speed, share = rng.random() < 0.45, rng.uniform(2.5, 8), rng.uniform(0.25, 0.32)
        width = street.right - street.left
        place[0] = (
            (street.right - 1.1 if away else street.left + 1.1)
            if parked
            else street.left + width * (1 - share if away else share)
        )
        place[1] += 0.0 if away or parked else rng.uniform(0, 2.5 * speed)
        heading = (np.pi / 2 if away else -np.pi / 2) + wobble
        place = self.moved(place, heading, 0.0 if parked else speed)
        camera = self.canvas.camera
        if np.hypot(place[0] - camera.x, place[1] - camera.z) > 4.5:
            self.add(place, 2.4, 1.4, lambda: paint_car(self.canvas, place, float(heading)))
        else:
            self.pass_over()

    def pedestrian(self, near: bool = False) -> None:
        """Let a person walk along a pavement, or stand there."""
        rng, street = self.rng, self.street
        low, high = street.left - street.left_walk - 0.3, street.right + street.right_walk + 0.3
        place, side = self.place(low, high, near), rng.random()
        place[0] = rng.uniform(low, street.left) if side < 0.5 else rng.uniform(street.right, high)
        heading = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.1)
        self._walker(place, float(heading), rng.uniform(0.8, 1.6) if rng.random() < 0.75 else 0.0)

    def crossing(self) -> None:
        """Let a person cross the street, from one edge of the view to the other."""
        rng, start = self.rng, self._start
        far = rng.uniform(8.5, 12)
        z = far + self._ride.speed * TRAVEL * rng.uniform(0.9, 1.1)
        side, speed = rng.choice([-1, 1]), rng.uniform(1.0, 1.7)
        reach = speed * TRAVEL * rng.uniform(0.3, 0.7)  # of the way, before the middle of the view
        x = far * np.sin(start.yaw) - side * reach
        self._walker(np.array([x, z]), 0.0 if side > 0 else np.pi, speed)

    def bush(self) -> None:
        """Put a bush as high as a person between the camera and those who cross, where the camera does not run into it."""
        far, side = self.rng.uniform(6, 7.5), self.rng.choice([-1, 1])
        x = far * np.sin(self._start.yaw) + side * self.rng.uniform(0.3, 1.2)
        place = np.array([x, far + self._ride.speed * TRAVEL])
        height = self.rng.uniform(1.9, 2.1)
        self.add(place, height, height, lambda: paint_tree(self.canvas, place, height, fixed=3))

    def _walker(self, place: Floats, heading: float, speed: float) -> None:
        place = self.moved(place, heading, speed)
        phase = self.rng.uniform(0, 2 * np.pi) + 2 * np.pi * 0.65 * speed * self._seconds
        gait = Gait(heading, phase)
        self.add(place, 0.5, 1.7, lambda: paint_pedestrian(self.canvas, place, self.ground(place), gait))

    def bicyclist(self, near: bool = False) -> None:
        """Let someone ride along the road."""
        rng, street = self.rng, self.street
        place, away = self.place(street.left + 0.4, street.right - 0.4, near), rng.random() < 0.5
        place[0] = street.right - rng.uniform(0.5, 1.6) if away else street.left + rng.uniform(0.5, 1.6)
        heading, speed = (np.pi / 2 if away else -np.pi / 2) + rng.normal(0, 0.05), rng.uniform(1.5, 4.5)
        phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * 0.3 * speed * self._seconds
        place = self.moved(place, heading, speed)
        self.add(place, 0.9, 1.6, lambda: paint_bicyclist(self.canvas, place, float(heading), phase))
