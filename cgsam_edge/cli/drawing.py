"""From a result to the files that are written: the overlay, and the masks as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.cli.looks import OVERLAY, Look
from cgsam_edge.written_files import FORMAT, png_mark

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from cgsam_edge.cli.inputs import Item
    from cgsam_edge.results import Result


class Parcel:
    """Passes content from stage to stage with a single owner, so that it is freed as soon as it has been used.

    Args:
        item: the image or frame.
        content: the last stage's output.
    """

    def __init__(self, item: Item, content: Any) -> None:
        self.item = item
        self._content = content

    def take(self) -> Any:
        """Return the content, and release it."""
        content, self._content = self._content, None
        return content


@dataclass(frozen=True, eq=False)
class Drawn:
    """The output for one image or frame.

    Attributes:
        text: the JSON document.
        picture: what was drawn: a PNG's bytes for an image; for a frame uint8 RGB (H, W, 3), or RGBA (H, W, 4),
            with even sides.
        summary: for each concept, its share of the pixels, or that it is absent.
        present: whether each concept is present.
        seconds: when a frame is shown.
        until: when the next frame follows, if the file states it; otherwise equal to ``seconds``.
        bare: whether something should be blurred or kept, and nothing of it was found.
    """

    text: str
    picture: Any
    summary: str
    present: dict[str, bool]
    seconds: float = 0.0
    until: float = 0.0
    bare: bool = False


def draw(parcel: Parcel, look: Look = OVERLAY) -> Drawn:
    """Encode the masks as JSON, and draw the picture; the image is freed before the picture is compressed."""
    item, result = parcel.item, parcel.take()
    text, summary = json.dumps(document(_head(item), result), ensure_ascii=False), _summary(result)
    present, bare = presences(result), look.is_bare(result)
    frame = item.frame
    overlay = look.draw(result, moving=frame is not None)
    del result
    if frame is None:
        return Drawn(text, _png(overlay), summary, present, bare=bare)
    until = frame.seconds + (frame.duration or 0.0)
    return Drawn(text, even(overlay), summary, present, frame.seconds, until, bare)


def _head(item: Item) -> dict[str, Any]:
    frame, name = item.frame, str(item.source.file)
    return {"image": name} if frame is None else {"video": name, "frame": frame.number, "time": round(frame.seconds, 6)}


def presences(result: Result) -> dict[str, bool]:
    """Return whether each concept is present."""
    return {one.name: one.present for one in result.values()}


def document(head: dict[str, Any], result: Result) -> dict[str, Any]:
    """Return the JSON document of a result, with "tracks" if it has any.

    Args:
        head: what the image is.
        result: its masks.
    """
    width, height = result.image_size
    body = {"width": width, "height": height, "annotations": result.to_coco(), "left_out": dict(result.left_out)}
    tracks = {"tracks": [one.to_coco() for one in result.tracks]} if result.tracks else {}
    return {"format": FORMAT, "format_version": 1, **head, **body, **tracks}


def _png(image: Image.Image) -> memoryview:
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1, pnginfo=png_mark())  # a third of the time, a fifth larger
    return file.getbuffer()


def even(image: Image.Image) -> NDArray[np.uint8]:
    """Return pixels with even sides, which codecs require; a column or row at the edge is repeated."""
    return np.pad(np.asarray(image), ((0, image.height % 2), (0, image.width % 2), (0, 0)), mode="edge")


def _summary(result: Result) -> str:
    pixels = result.image_size[0] * result.image_size[1]
    absent = {True: "absent (skipped)", False: "absent"}  # skipped: similarity alone ruled it out
    found = [
        f"{c.name} {f'{100 * c.area / pixels:.1f} %' if c.present else absent[c.skipped]}" for c in result.values()
    ]
    return ", ".join([*found, *(f"{name} left out ({option})" for name, option in result.left_out.items())])
