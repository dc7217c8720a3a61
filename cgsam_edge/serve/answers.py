"""From a result to the bytes of an answer, in any of the formats."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.datasets import FORMATS, labelled
from cgsam_edge.errors import CgsamError, InputError
from cgsam_edge.serve.schemas import FoundConcept, FoundObject, Masks, RunLengths, Seconds
from cgsam_edge.written_files import png_mark

if TYPE_CHECKING:
    from cgsam_edge.results import ConceptResult, Result
    from cgsam_edge.vocabulary import Vocabulary

JSON, PNG, ZIP = "application/json", "image/png", "application/zip"
_TYPES = {".json": JSON, ".geojson": "application/geo+json", ".xml": "application/xml", ".txt": "text/plain"}
_MOST_IN_8_BITS = 255


@dataclass(frozen=True)
class Answer:
    """An answer's body.

    Attributes:
        content: its bytes.
        media_type: its type.
        name: the name under which a browser saves it; empty for JSON.
    """

    content: bytes = field(repr=False)
    media_type: str = JSON
    name: str = ""


def masks(result: Result, handle: str, vocabulary: Vocabulary, seconds: Seconds, min_area: float) -> Answer:
    """Return the answer in the format "masks"."""
    width, height = result.image.size
    answer = Masks(
        image=handle,
        width=width,
        height=height,
        concepts=[_concept(one, vocabulary, min_area) for one in result.values()],
        left_out=dict(result.left_out),
        seconds=seconds,
    )
    return Answer(answer.model_dump_json().encode())


def picture(result: Result, kind: str, name: str) -> Answer:
    """Return a PNG: "overlay", "cutout" (transparent where no mask is) or "labels" (0 for none, then by concept)."""
    drawn = {"overlay": _overlay, "cutout": _cutout, "labels": _labels}[kind](result)
    file = io.BytesIO()
    drawn.save(file, "PNG", pnginfo=png_mark())
    return Answer(file.getvalue(), PNG, f"{Path(name).stem or 'image'}.{kind}.png")


def dataset(result: Result, kind: str, name: str, min_area: float) -> Answer:
    """Return a dataset of this one picture: the file that the format writes, or a zip of them if there are several."""
    one = labelled(name, result, min_area=min_area)
    with tempfile.TemporaryDirectory(prefix="cgsam-serve-") as folder:
        root = Path(folder)
        try:
            FORMATS[kind].write([one], list(result), root, images=lambda _: None)
        except (OSError, CgsamError) as error:  # whose messages may name the folder, which clients need not know
            reason = error.strerror if isinstance(error, OSError) else str(error).replace(str(root), kind)
            wrong = InputError if isinstance(error, InputError) else CgsamError
            raise wrong(f"{name}: the format {kind} could not be written ({reason}).") from error
        files = sorted(path for path in root.rglob("*") if path.is_file())
        if len(files) == 1:
            return Answer(files[0].read_bytes(), _TYPES.get(files[0].suffix, "application/octet-stream"), files[0].name)
        return Answer(_zipped(root, files), ZIP, f"{Path(name).stem or 'image'}.{kind}.zip")


def _zipped(root: Path, files: Sequence[Path]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:  # with a fixed date, so that the same masks give the same bytes
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix())
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return made.getvalue()


def _concept(found: ConceptResult, vocabulary: Vocabulary, min_area: float) -> FoundConcept:
    return FoundConcept(
        concept=found.name,
        present=found.present,
        calibrated=vocabulary.calibrated(found.name),
        presence=_rounded(found.presence),
        score=_rounded(found.score),
        skipped=found.skipped,
        area=found.area,
        box=list(found.bounding_box() or (0, 0, 0, 0)),
        mask=RunLengths(**found.rle()),
        objects=[
            FoundObject(area=one.area, box=list(one.box), mask=RunLengths(**one.rle()))
            for one in found.objects(min_area=min_area)
        ],
        points=found.points.astype(float).round(3).tolist(),
        labels=found.labels.astype(int).tolist(),
        prompt_box=None if found.box is None else found.box.astype(float).round(3).tolist(),
    )


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _overlay(result: Result) -> Image.Image:
    return result.overlay()


def _cutout(result: Result) -> Image.Image:
    return result.cutout()


def _labels(result: Result) -> Image.Image:
    numbers = result.label_map() + 1
    return Image.fromarray(numbers.astype(np.uint8 if len(result) <= _MOST_IN_8_BITS else np.uint16))
