"""Pictures with their labels drawn on them, for the report: chosen by name, drawn from the labels."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.datasets import LabelledPicture
from cgsam_edge.errors import CgsamError
from cgsam_edge.image import load_image
from cgsam_edge.image_files import explained
from cgsam_edge.native_calls import NATIVE_CALL
from cgsam_edge.opencv import cv2
from cgsam_edge.overlay import palette
from cgsam_edge.rle import decode_rle

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHOWN, _UNSURE = 24, 12
_WIDTH = 320
_OPACITY = 0.5
_QUALITY = 80

Images = Callable[[str], "Path | bytes | None"]


@dataclass(frozen=True)
class Tile:
    """A picture of the sheet: name, one line about it, and a JPEG as a data URL."""

    name: str
    text: str
    jpeg: str
    unsure: bool


class ContactSheet:
    """Collects the pictures to show: an even selection by a hash of their names, and the first unsure ones.

    Args:
        names: of all pictures of the run.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._chosen = set(heapq.nsmallest(_SHOWN, names, key=_place))
        self._tiles: list[tuple[LabelledPicture, dict[str, float]]] = []
        self._unsure = 0

    def add(self, picture: LabelledPicture, unsure: dict[str, float]) -> None:
        """Keep a picture if it is to be shown."""
        if picture.name in self._chosen or (unsure and self._unsure < _UNSURE):
            self._unsure += bool(unsure)
            self._tiles.append((picture, unsure))

    def tiles(self, images: Images) -> Iterator[Tile]:
        """Draw the pictures; those that cannot be read any more are left out."""
        for picture, unsure in self._tiles:
            shown = _drawn(picture, images)
            if shown is not None:
                yield Tile(picture.name, _text(picture, unsure), _data_url(shown), bool(unsure))


def _place(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def _text(picture: LabelledPicture, unsure: dict[str, float]) -> str:
    if unsure:
        return "unsure: " + ", ".join(f"{name} {value:.2f}" for name, value in unsure.items())
    counts: dict[str, int] = {}
    for one in picture.objects:
        counts[one.concept] = counts.get(one.concept, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing found"


def _drawn(picture: LabelledPicture, images: Images) -> Image.Image | None:
    try:
        source = images(picture.name)
        if source is None:
            return None
        with explained(picture.name):
            image = load_image(Image.open(io.BytesIO(source)) if isinstance(source, bytes) else source)
    except CgsamError:  # it was readable when it was labelled
        return None
    width = min(_WIDTH, image.width)
    size = (width, max(1, round(image.height * width / image.width)))
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR)).copy()
    concepts = sorted({one.concept for one in picture.objects})
    for concept, shade in zip(concepts, palette(len(concepts)), strict=True):
        for one in picture.objects:
            if one.concept == concept:
                _tint(pixels, decode_rle(one.rle), shade)
    return Image.fromarray(pixels)


def _tint(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], shade: tuple[int, int, int]) -> None:
    height, width = pixels.shape[:2]
    with NATIVE_CALL:
        small = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    pixels[small] = ((1 - _OPACITY) * pixels[small] + _OPACITY * np.asarray(shade)).astype(np.uint8)
    with NATIVE_CALL:
        outlines, _ = cv2.findContours(small.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(pixels, outlines, -1, shade, 1)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
