"""README's moving picture: the demo's scene, concept by concept, and then a concept that clicks improve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from cgsam_edge.quality.demo import CLICKS, SIDE, Choice, demo_scene, labels_right
from cgsam_edge.quality.label_prompts import TEXT, LabelPrompting, predict_with
from cgsam_edge.quality.scenes import CONCEPTS, IGNORE
from cgsam_edge.results import Result

if TYPE_CHECKING:
    from pathlib import Path

    from cgsam_edge.segmenter import Segmenter

WIDTH, CAPTION = 842, 40
"""Pixels of a frame: its width, and the height of the line of text above the picture."""

SHORT, LONG = 750, 2500
"""Milliseconds for which a frame is shown."""

QUALITY = 80
"""Of the WebP file, from 0 to 100."""

_DARK, _WHITE = (24, 24, 24), (255, 255, 255)


@dataclass(frozen=True)
class MovingFrame:
    """One frame.

    Attributes:
        picture: RGB.
        milliseconds: for which it is shown.
    """

    picture: Image.Image
    milliseconds: int


def frames(segmenter: Segmenter, shown: Choice) -> list[MovingFrame]:
    """Return all frames: names first, then clicks."""
    return [*_from_names(segmenter, shown), *_from_clicks(segmenter, shown)]


def save(moving: list[MovingFrame], path: Path) -> None:
    """Write the frames as an animated WebP file that repeats."""
    first, *others = [one.picture for one in moving]
    durations = [one.milliseconds for one in moving]
    first.save(path, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=QUALITY, method=6)


def _from_names(segmenter: Segmenter, shown: Choice) -> list[MovingFrame]:
    """Add one present concept after the other, and the absent ones at the end."""
    scene = demo_scene(shown.series, shown.scene)
    encoded = segmenter.encode(scene.image)
    every = encoded.segment(CONCEPTS)
    present = [name for name in CONCEPTS if every[name].present]
    moving = [MovingFrame(_frame(encoded.image, "a rendered street scene"), SHORT)]
    for count in range(1, len(present) + 1):
        names = present[:count]
        picture = Result(encoded.image, {name: every[name] for name in names}).overlay()
        moving.append(MovingFrame(_frame(picture, f"--concepts {','.join(names)}"), SHORT))
    right = f"all {len(CONCEPTS)} concepts: {100 * labels_right(every, scene):.0f} % of the pixels are right"
    ordered = Result(encoded.image, {name: every[name] for name in sorted(CONCEPTS, key=lambda n: n not in present)})
    return [*moving, MovingFrame(_frame(ordered.overlay(), right), LONG)]


def _from_clicks(segmenter: Segmenter, shown: Choice) -> list[MovingFrame]:
    """Show a concept's mask from its name alone, and then with one click after the other."""
    scene = demo_scene(shown.series, shown.clicked_scene)
    encoded, name = segmenter.encode(scene.image), shown.clicked
    truth, known = scene.labels == CONCEPTS.index(name), scene.labels != IGNORE
    moving = [MovingFrame(_frame(encoded.image, "another scene"), SHORT)]
    for count in range(CLICKS + 1):
        prompting = LabelPrompting("clicks", count) if count else TEXT
        found = predict_with(encoded, name, prompting, truth, known)
        text = f"“{name}” and {count} click{'s' * (count > 1)}" if count else f"“{name}” alone"
        picture = _frame(Result(encoded.image, {found.name: found}).overlay(), text)
        moving.append(MovingFrame(picture, LONG if count in (0, CLICKS) else 2 * SHORT))
    return moving


def _frame(picture: Image.Image, text: str) -> Image.Image:
    """Return a picture, which may have a legend at its right, on a canvas with a line of text above it."""
    frame = Image.new("RGB", (WIDTH, SIDE + CAPTION), _DARK)
    frame.paste(picture, (0, CAPTION))
    font = ImageFont.load_default(17)
    ImageDraw.Draw(frame).text((10, CAPTION / 2), text, font=font, fill=_WHITE, anchor="lm")
    return frame
