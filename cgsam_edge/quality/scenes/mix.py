"""What scenes hold: the everyday mix that models are judged on, and a harder one to train on."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mix:
    """How often scenes hold each kind of thing.

    Attributes:
        name: short, in file names.
        pieces: by a kind's name (a method of `Layout`), the chance that a scene holds it, and the mean number beyond
            the first where it does.
        near: chance of an object close by.
        close: the kinds that it is drawn from; one that stands twice is drawn twice as often.
        vehicles: probability of each kind of vehicle, in the order of `objects.PROFILES`. All of them count as cars.
        reach: metres between the nearest and the farthest thing on the street.
    """

    name: str
    pieces: Mapping[str, tuple[float, float]]
    near: float
    close: tuple[str, ...]
    vehicles: tuple[float, ...]
    reach: float


PLAIN = Mix(
    "plain",
    {"car": (0.7, 3), "pedestrian": (0.65, 2.5), "bicyclist": (0.6, 1.5), "pole": (0.65, 2.5), "sign": (0.65, 2.5),
     "tree": (0.45, 3), "fence": (0.4, 2), "clutter": (0.2, 2)},
    0.4, ("car", "pedestrian", "bicyclist", "sign", "tree", "fence", "pole"), (0.32, 0.3, 0.13, 0.18, 0.07, 0.0), 22.0,
)  # fmt: skip
"""The scenes that figures in the documentation come from. A change here changes all of them."""

HARD = Mix(
    "hard",
    {"car": (0.8, 3), "pedestrian": (0.85, 4), "bicyclist": (0.8, 2.5), "pole": (0.75, 3), "sign": (0.8, 3.5),
     "tree": (0.45, 3), "fence": (0.6, 2.5), "clutter": (0.4, 2)},
    0.75, ("car", "pedestrian", "pedestrian", "bicyclist", "bicyclist", "sign", "fence", "pole"),
    (0.22, 0.2, 0.2, 0.12, 0.13, 0.13), 32.0,
)  # fmt: skip
"""More of what small models confuse: people and riders, near and far, vans, buses and trucks, signs and fences."""
