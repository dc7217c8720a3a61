"""A picture of the worst, median and best masks of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cgsam_edge.image import load_image
from cgsam_edge.quality.label_prompts import LabelPrompting, predict_with
from cgsam_edge.quality.labels import Labels, match_classes
from cgsam_edge.quality.labels.folders import printable
from cgsam_edge.quality.pairs import extremes
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.quality.metrics import Evaluation
    from cgsam_edge.quality.pairs import LabelPair

_TILE = 240
_GAP = 6
_CAPTION = 18


def shown(evaluation: Evaluation, count: int = 3) -> list[tuple[str, LabelPair]]:
    """Return ("worst" | "median" | "best", pair), at most ``count`` of each, of concepts that images hold."""
    return extremes([pair for pair in evaluation.pairs if pair.held], count, count, count)


Masks = Callable[["LabelPair"], "tuple[NDArray[np.bool_], NDArray[np.bool_]]"]
"""Function from a pair to the label's mask and the bundle's mask."""


def contact_sheet(evaluation: Evaluation, masks: Masks) -> Image.Image:
    """Draw a row for each shown pair: the image, the label in green, the bundle's mask in orange."""
    chosen = shown(evaluation)
    height = _TILE * 3 // 4
    sheet = Image.new("RGB", (3 * (_TILE + _GAP), max(1, len(chosen)) * (height + _CAPTION + _GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, (kind, pair) in enumerate(chosen):
        top = row * (height + _CAPTION + _GAP)
        caption = f"{kind}: {pair.concept}, IoU {pair.iou:.3f}, {printable(pair.image.name)}   image | label | bundle"
        draw.text((2, top), caption, fill="black", font=font)
        image = load_image(pair.image)
        truth, mask = masks(pair)
        tiles = (image, _tint(image, truth, (40, 200, 60)), _tint(image, mask, (255, 140, 0)))
        for column, tile in enumerate(tiles):
            sheet.paste(tile.resize((_TILE, height)), (column * (_TILE + _GAP), top + _CAPTION))
    return sheet


def evaluation_sheet(
    evaluation: Evaluation, segmenter: Segmenter, labels: Labels, prompting: LabelPrompting
) -> Image.Image:
    """Draw the contact sheet of an evaluation; the shown masks are computed once more.

    Args:
        evaluation: from `evaluate_labels`.
        segmenter: the bundle that was evaluated.
        labels: the labels of the evaluation.
        prompting: of the evaluation.
    """
    matched = match_classes([*labels.names], segmenter.bundle.vocabulary, skip_unknown=True)
    entries = {entry.path: entry for entry in labels.entries}

    def masks(pair: LabelPair) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        image = entries[pair.image].load(frozenset(matched.classes), [])
        joined = matched.joined(image)
        truth = joined.masks[pair.concept]
        if evaluation.tile is not None:
            tiles: dict[str, Any] = {"tile": evaluation.tile, "overlap": evaluation.overlap, "skip_absent": False}
            return truth, segmenter.segment(pair.image, pair.concept, **tiles)[pair.concept].mask
        encoded = segmenter.encode(pair.image)
        return truth, predict_with(encoded, pair.concept, prompting, truth, joined.valid).mask

    return contact_sheet(evaluation, masks)


def _tint(image: Image.Image, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> Image.Image:
    pixels = np.asarray(image).copy()
    pixels[mask] = (0.4 * pixels[mask] + 0.6 * np.asarray(colour)).astype(np.uint8)
    return Image.fromarray(pixels)
