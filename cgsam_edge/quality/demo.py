"""The first picture that a new user sees: a rendered street scene, with the masks of the reference model.

The scene was chosen by the model's held-out metrics and is recorded in ``models/demo.json``;
``python -m benchmarks.pictures`` chooses again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from cgsam_edge import shipped
from cgsam_edge.files import check_folder, make_folder, write_beside
from cgsam_edge.quality.label_prompts import LabelPrompting, predict_with
from cgsam_edge.quality.scenes import CONCEPTS, IGNORE, Scene, render
from cgsam_edge.results import Result
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.wording import amount
from cgsam_edge.written_files import CLICKS_SUFFIX, OVERLAY_SUFFIX, png_mark

SIDE = 512
CLICKS = 3
"""The most clicks, each on the greatest error of the mask so far, like those of ``cgsam eval``."""

_GAP, _CAPTION = 12, 40
"""Pixels between two adjacent pictures, and for the text above them."""


@dataclass(frozen=True)
class Choice:
    """The scenes of the demo.

    Attributes:
        series: series of rendered scenes; training did not use it.
        scene: index in the series of the scene with all concepts.
        clicked_scene: index of the scene of the second picture.
        clicked: concept of the second picture.
    """

    series: int
    scene: int
    clicked_scene: int
    clicked: str


def demo_scene(series: int, index: int) -> Scene:
    """Return a scene of 512 by 512 pixels with its labels."""
    return render(series, index, SIDE, SIDE)


@dataclass(frozen=True)
class Pictures:
    """The files that `write_demo` wrote.

    Attributes:
        scene: the scene without masks.
        overlay: the masks of all concepts, from their names.
        clicks: one concept of another scene, from its name alone and with clicks.
        result: the masks of all concepts.
    """

    scene: Path
    overlay: Path
    clicks: Path
    result: Result


def choice() -> Choice:
    """Return the scenes recorded in the package."""
    held = json.loads(shipped.DEMO.read_text(encoding="utf-8"))
    return Choice(held["series"], held["scene"], held["clicks"]["scene"], held["clicks"]["concept"])


def write_demo(segmenter: Segmenter, folder: Path, chosen: Choice | None = None) -> Pictures:
    """Render the scene, segment it, and write three pictures.

    Args:
        segmenter: a bundle that holds the eleven concepts of the rendered scenes.
        folder: folder for the pictures; it is created if necessary.
        chosen: scenes to show instead of the recorded ones.

    Raises:
        OutputError: a picture cannot be written.
        UnknownConceptError: the bundle does not hold a concept.
    """
    check_folder(folder)
    one = choice() if chosen is None else chosen
    scene = demo_scene(one.series, one.scene)
    result = segmenter.segment(scene.image, CONCEPTS)
    made = Pictures(
        folder / "street.png", folder / f"street{OVERLAY_SUFFIX}.png", folder / f"street{CLICKS_SUFFIX}.png", result
    )
    make_folder(folder)
    _save(made.scene, Image.fromarray(scene.image))
    _save(made.overlay, result.overlay(), png_mark())
    _save(made.clicks, clicks_picture(segmenter, demo_scene(one.series, one.clicked_scene), one.clicked), png_mark())
    return made


def clicks_picture(segmenter: Segmenter, scene: Scene, concept: str) -> Image.Image:
    """Return a concept's mask from its name alone, next to the one with clicks that correct it."""
    encoded = segmenter.encode(scene.image)
    truth = scene.labels == CONCEPTS.index(concept)
    known = scene.labels != IGNORE
    shown = [predict_with(encoded, concept, LabelPrompting(mode, CLICKS), truth, known) for mode in ("text", "clicks")]
    width, height = encoded.image.size
    both = Image.new("RGB", (2 * width + _GAP, height + _CAPTION), (24, 24, 24))
    draw, font = ImageDraw.Draw(both), ImageFont.load_default(20)
    words = (f"“{concept}” alone", f"“{concept}” and {amount(len(shown[1].points), 'click')}")
    for left, one, text in zip((0, width + _GAP), shown, words, strict=True):
        both.paste(Result(encoded.image, {one.name: one}).overlay().crop((0, 0, width, height)), (left, _CAPTION))
        draw.text((left + 10, _CAPTION / 2), text, font=font, fill=(255, 255, 255), anchor="lm")
    return both


def labels_right(result: Result, scene: Scene) -> float:
    """Return the share of pixels that are right: in their concept's colour, or in none where the thing has no name."""
    named = np.where(scene.labels < len(CONCEPTS), scene.labels.astype(np.int32), -1)
    return float(np.mean(result.label_map() == named))


def _save(path: Path, picture: Image.Image, mark: PngInfo | None = None) -> None:
    write_beside(path, partial(picture.save, format="PNG", pnginfo=mark))
