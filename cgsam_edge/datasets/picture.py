"""A labelled picture: what every data set format is written from, and one line of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.mask_runs import MaskRuns
from cgsam_edge.objects import MIN_AREA
from cgsam_edge.polygons import MIN_ROUND_TRIP, TOLERANCE, Polygon, mask_polygons, signed_area

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.objects import ObjectMask
    from cgsam_edge.results import Result

_PLAIN = re.compile(r"[^\x00-\x1f\x7f\\\ud800-\udfff]+")
"""Characters that every format can hold in a name: no control characters, no backslash, valid UTF-8."""

Outlines = list[list[list[int]]]
"""Polygons of one object, see `LabelledObject.outlines`."""

ImageSource = Callable[[str], "Path | bytes | None"]
"""Returns a picture's file, its bytes, or None if it need not be copied, by `LabelledPicture.name`."""


def no_images(_: str) -> Path | bytes | None:
    """Return None: no picture is copied."""
    return None


@dataclass(frozen=True)
class LabelledObject:
    """One object of a labelled picture.

    Attributes:
        concept: the concept.
        rle: the mask within the whole picture as COCO's compressed RLE, ``{"size": [H, W], "counts": str}``.
        box: x, y, width, height in pixels.
        area: pixels.
        score: predicted IoU of the concept's mask.
        presence: confidence that the concept is in the picture.
        outlines: the polygons at the default tolerance, if they were computed before: of each polygon its rings, the
            outer one first, and of each ring its corners as x, y, x, y and so on. None if they were not. A copy with
            another mask, as `dataclasses.replace` makes it, does not keep them.
    """

    concept: str
    rle: dict[str, Any] = field(repr=False)
    box: tuple[int, int, int, int]
    area: int
    score: float
    presence: float
    outlines: Outlines | None = field(default=None, repr=False, compare=False)
    _outlined: tuple[Any, Any] = field(default=(None, None), repr=False, compare=False)
    """The outlines, and the mask that they are of."""

    def __post_init__(self) -> None:
        held, mask = self._outlined
        if self.outlines is not None and self.outlines is held and self.rle != mask:
            object.__setattr__(self, "outlines", None)
        object.__setattr__(self, "_outlined", (self.outlines, dict(self.rle)))

    @classmethod
    def of(cls, found: ObjectMask) -> LabelledObject:
        """Take over an object of a result."""
        return cls(found.concept, found.rle(), found.box, found.area, found.score, found.presence)

    def runs(self) -> MaskRuns:
        """Return the mask as runs, without a full-size mask.

        Raises:
            InputError: the RLE is not valid.
        """
        return MaskRuns.of_rle(self.rle)

    def crop(self) -> NDArray[np.bool_]:
        """Return the mask within its box, bool (h, w).

        Raises:
            InputError: the RLE is not valid.
        """
        return self.runs().crop(self.box)

    def polygons(self, tolerance: float = TOLERANCE) -> list[Polygon]:
        """Return the outlines with their holes, see `cgsam_edge.polygons.mask_polygons`.

        They are computed anew, but for those of the default tolerance that the object holds.
        """
        if self.outlines is not None and tolerance == TOLERANCE:
            return [_polygon(rings) for rings in self.outlines]
        return mask_polygons(self.runs(), tolerance)

    def computed_outlines(self) -> Outlines:
        """Return `outlines`, computed if there are none."""
        return [[ring.astype(np.int64).ravel().tolist() for ring in one.rings] for one in self.polygons()]


def _checked(outlines: Any, box: Sequence[int], area: int) -> Outlines:
    """Return an object's outlines; raise `ValueError` if they cannot be those of its mask.

    A part of a few pixels may have none, so they need not reach the sides of the box.
    """
    corners, size, length = [np.zeros((0, 2))], 0.0, 0.0
    for ring in (ring for rings in outlines for ring in rings):
        if not all(type(number) is int for number in ring) or len(ring) < 6 or len(ring) % 2:
            raise ValueError(f"a ring has three corners or more of two whole numbers each, got {ring!r:.60}")
        corners.append(np.reshape(ring, (-1, 2)))
        size += signed_area(corners[-1])
        length += float(np.abs(corners[-1] - np.roll(corners[-1], 1, axis=0)).sum())
    x, y, width, height = box
    found = np.concatenate(corners) - (x, y)
    if (found < 0).any() or (found > (width, height)).any() or abs(size - area) > _LOSS * area + length:
        raise ValueError("the outlines are of another mask")
    made: Outlines = outlines
    return made


_LOSS = 1 - MIN_ROUND_TRIP
"""Share of a mask's area that outlines may leave out, besides half a pixel along their length."""


def _polygon(rings: Sequence[Sequence[int]]) -> Polygon:
    outer, *holes = (np.asarray(ring, np.float32).reshape(-1, 2) for ring in rings)
    return Polygon(outer, tuple(holes))


@dataclass(frozen=True)
class LabelledPicture:
    """One picture and its objects.

    Attributes:
        name: file name, with folders divided by ``/`` if it lies in any, such as ``street/0001.jpg``.
        width: pixels.
        height: pixels.
        objects: its objects.
        split: name of the part of the data set that it belongs to, such as "train", or None for a data set in one.
    """

    name: str
    width: int
    height: int
    objects: tuple[LabelledObject, ...] = field(default=(), repr=False)
    split: str | None = None

    def __post_init__(self) -> None:
        path = PurePosixPath(self.name)
        outside = not path.name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
        if outside or not _PLAIN.fullmatch(self.name):
            raise InputError(
                f"{self.name!r} is no name for a picture; expected a relative path in UTF-8 such as 'a/0001.jpg'."
            )
        for one in self.objects:
            if list(one.rle.get("size", ())) != [self.height, self.width]:
                raise InputError(
                    f"{self.name}: {self.width} × {self.height} pixels, but the mask of {one.concept!r} has the size "
                    f"{one.rle.get('size')!r}; expected [{self.height}, {self.width}]."
                )
        if self.split is not None and not self.split.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"{self.split!r} is no name for a split; expected letters and digits, such as 'train'.")

    def to_json(self) -> str:
        """Return one line of JSON, without a line break at its end; the same bytes for the same labels.

        Outlines are not in it: they follow from the masks. See `outlines_json`.
        """
        found = [
            {
                "concept": one.concept,
                "area": one.area,
                "box": list(one.box),
                "score": one.score,
                "presence": one.presence,
                "rle": {"size": list(one.rle["size"]), "counts": one.rle["counts"]},
            }
            for one in self.objects
        ]
        body = {
            "name": self.name, "width": self.width, "height": self.height, "split": self.split, "objects": found,
        }  # fmt: skip
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    def outlines_json(self) -> str:
        """Return the outlines of all objects as one line of JSON, computed where there are none."""
        return json.dumps([one.computed_outlines() for one in self.objects], separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str, outlines: str = "") -> LabelledPicture:
        """Read a line that `to_json` wrote.

        Args:
            line: the labels.
            outlines: from `outlines_json` of the same labels, so that writers need not compute them; empty for none.

        Raises:
            InputError: it is no such line, or the outlines are of other labels.
        """
        try:
            body = json.loads(line)
            rings = json.loads(outlines) if outlines else [None] * len(body["objects"])
            found = tuple(
                LabelledObject(
                    one["concept"],
                    {"size": one["rle"]["size"], "counts": one["rle"]["counts"]},
                    (one["box"][0], one["box"][1], one["box"][2], one["box"][3]),
                    *(one["area"], one["score"], one["presence"]),
                    None if held is None else _checked(held, one["box"], one["area"]),
                )
                for one, held in zip(body["objects"], rings, strict=True)
            )
            return cls(body["name"], body["width"], body["height"], found, body["split"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{line[:60]!r} … is no labelled picture ({error!r}); expected a line of LabelledPicture.to_json()."
            ) from error


def labelled(name: str, result: Result, *, min_area: float = MIN_AREA, split: str | None = None) -> LabelledPicture:
    """Return a result's objects as a labelled picture; concepts that are not `present` have none.

    Args:
        name: `LabelledPicture.name`.
        result: of the segmentation.
        min_area: smallest object and smallest hole, in pixels or as a share of the picture.
        split: `LabelledPicture.split`.

    Raises:
        InputError: `name` is no relative path, or `min_area` is neither pixels nor a share.
    """
    found = tuple(LabelledObject.of(one) for one in result.objects(min_area=min_area))
    return LabelledPicture(name, *result.image_size, found, split)


class DatasetFormat(Protocol):
    """Writes labelled pictures in the format that other tools read."""

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        concepts: Sequence[str],
        output: Path,
        *,
        images: ImageSource = no_images,
    ) -> list[Path]:
        """Write a data set; pictures are taken one at a time, and the same labels give the same bytes.

        Args:
            pictures: in the order of the data set.
            concepts: all concepts, in the order of their numbers.
            output: folder of the data set; made if it does not exist, and files in it are replaced.
            images: returns a picture's file or bytes by name, to be copied into the data set, or None.

        Returns:
            The files that a tool opens first.

        Raises:
            InputError: a picture has an object whose concept is not in `concepts`, or the format cannot hold it.
            OutputError: a file cannot be written.
        """
        ...


def numbers(concepts: Sequence[str]) -> dict[str, int]:
    """Return the number of each concept, from 0.

    Raises:
        InputError: there is no concept, or one occurs twice.
    """
    if not concepts or len(set(concepts)) != len(concepts):
        raise InputError(f"a data set needs one concept or more, each named once; got {list(concepts)!r:.200}.")
    return {name: number for number, name in enumerate(concepts)}


def number_of(found: LabelledObject, known: dict[str, int], picture: LabelledPicture) -> int:
    """Return the number of an object's concept.

    Raises:
        InputError: it is not a concept of the data set.
    """
    if found.concept not in known:
        listed = ", ".join(known)
        raise InputError(f"{picture.name}: labelled {found.concept!r}, but the data set's concepts are {listed}.")
    return known[found.concept]
