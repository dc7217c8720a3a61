"""What a run found, counted picture by picture in constant memory."""

from __future__ import annotations

import bisect
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cgsam_edge.bulk.rows import LabelRow, maker_id
from cgsam_edge.datasets import LabelledPicture

SIZES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Bounds between the bars of object sizes, as shares of the picture."""

TENTHS = tuple(i / 10 for i in range(1, 10))
"""Bounds between the bars of scores and presences."""

_LISTED = 100
"""Pictures that are listed by name on the report page."""


@dataclass
class ConceptTotals:
    """Counts of one concept: pictures that hold it, its objects, and their pixels as shares of their pictures."""

    pictures: int = 0
    objects: int = 0
    sizes: Counter[int] = field(default_factory=Counter)
    scores: Counter[int] = field(default_factory=Counter)
    presences: Counter[int] = field(default_factory=Counter)


@dataclass
class PartTotals:
    """Counts of the data sets, or of the pictures that are set aside."""

    pictures: int = 0
    objects: int = 0


class LabelTotals:
    """Counts of a run.

    Args:
        concepts: of the data set, in its order.

    Attributes:
        concepts: counts by concept.
        pictures, objects: that are labelled, those set aside included.
        failed: number of pictures that could not be used.
        unsure: number of pictures that are set aside for a person.
        sure, aside: pictures and objects of the data sets, and of those that are set aside.
        failures: the first 100 errors by picture.
        doubts: the first 100 unsure pictures, each with the presence of its unsure concepts.
        splits: pictures of each part of the data set.
        makers: pictures by what made their labels, JSON.
    """

    def __init__(self, concepts: Iterable[str]) -> None:
        self.concepts = {name: ConceptTotals() for name in concepts}
        self.pictures = self.objects = self.failed = self.unsure = 0
        self.sure, self.aside = PartTotals(), PartTotals()
        self.failures: dict[str, str] = {}
        self.doubts: dict[str, dict[str, float]] = {}
        self.splits: Counter[str] = Counter()
        self.makers: Counter[str] = Counter()

    def add(self, row: LabelRow, picture: LabelledPicture, unsure: dict[str, float]) -> None:
        """Count a labelled picture."""
        self.pictures += 1
        self.objects += len(picture.objects)
        self.makers[row.maker] += 1
        part = self.aside if unsure else self.sure
        part.pictures += 1
        part.objects += len(picture.objects)
        if unsure:
            self.unsure += 1
            if len(self.doubts) < _LISTED:
                self.doubts[row.name] = unsure
        elif picture.split:
            self.splits[picture.split] += 1
        for name, presence in row.presences().items():
            self.concepts[name].presences[_bin(TENTHS, presence)] += 1
        pixels = picture.width * picture.height
        for name in {one.concept for one in picture.objects}:
            self.concepts[name].pictures += 1
        for one in picture.objects:
            counts = self.concepts[one.concept]
            counts.objects += 1
            counts.sizes[_bin(SIZES, one.area / pixels)] += 1
            counts.scores[_bin(TENTHS, one.score)] += 1

    def add_failure(self, row: LabelRow) -> None:
        """Count a picture that could not be used."""
        self.failed += 1
        if len(self.failures) < _LISTED:
            self.failures[row.name] = row.error

    def manifest(self) -> dict[str, Any]:
        """Return the counts, and what made the labels, as JSON values."""
        return {
            "pictures": self.pictures,
            "failed": self.failed,
            "unsure": self.unsure,
            "objects": self.objects,
            "in_data_sets": {"pictures": self.sure.pictures, "objects": self.sure.objects},
            "set_aside": {"pictures": self.aside.pictures, "objects": self.aside.objects},
            "splits": dict(sorted(self.splits.items())),
            "concepts": {
                name: {"pictures": counts.pictures, "objects": counts.objects} for name, counts in self.concepts.items()
            },
            "makers": {
                maker_id(maker): {**json.loads(maker), "pictures": count}
                for maker, count in sorted(self.makers.items())
            },
        }


def _bin(bounds: Sequence[float], value: float) -> int:
    return bisect.bisect_right(bounds, value)
