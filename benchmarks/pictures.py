"""Choose the demo's scene from the shipped model's held-out metrics, and draw the pictures of README and docs again.

``python -m benchmarks.pictures`` takes some minutes. It writes ``cgsam_edge/models/demo.json`` and ``docs/images``.
With ``--redraw`` it draws the scenes that were chosen last, which takes a minute.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from benchmarks import moving_picture, sheet_picture, tracked_picture
from benchmarks.objects_picture import objects_picture
from cgsam_edge import Segmenter, shipped
from cgsam_edge.agreement import mask_iou
from cgsam_edge.files import write_beside
from cgsam_edge.quality.demo import CLICKS, Choice, choice, clicks_picture, demo_scene, labels_right
from cgsam_edge.quality.label_prompts import LabelPrompting, predict_with
from cgsam_edge.quality.scenes import CONCEPTS, IGNORE

SERIES = 1
"""Held out: training saw series 0, and presence was calibrated on series 2."""

QUARTILE = 0.75
RULE = (
    "Of the held-out scenes in which cars and road cover a hundredth each or more, ordered by the share of "
    "pixels that are right, in their concept's colour or in none where the thing has no name, the one at the upper "
    "quartile: a quarter of those come out better."
)

EXAMPLES = ("car", "road")
"""What the documentation's first examples ask the scene for."""

LEAST_SHARE, GAIN = 0.01, 0.3
CLICKS_RULE = (
    "Of the concepts that cover a hundredth of a scene or more, and whose IoU three clicks raise by 0.3 or more to "
    "over 0.5, the one that ends best: chosen to show what clicks can do, not what they do on average."
)

OBJECTS = ("car", "building", "tree")
"""Concepts whose objects are drawn."""

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"


@dataclass(frozen=True)
class Ranked:
    """A scene, and how much of it is right.

    Attributes:
        scene: its index in the series.
        right: share of pixels that are right in the overlay, see `labels_right`.
        examples: whether it holds enough of `EXAMPLES`.
    """

    scene: int
    right: float
    examples: bool


@dataclass(frozen=True)
class Clicked:
    """A concept of a scene with and without clicks.

    Attributes:
        scene: its index in the series.
        concept: its name.
        from_name: IoU of the mask from the name alone.
        with_clicks: IoU of the mask from the name and clicks.
    """

    scene: int
    concept: str
    from_name: float
    with_clicks: float

    @property
    def gain(self) -> float:
        """What clicks add to the IoU."""
        return self.with_clicks - self.from_name


def rank(segmenter: Segmenter, count: int) -> list[Ranked]:
    """Return the first ``count`` held-out scenes, the worst first."""
    found = []
    for index in tqdm(range(count), unit="scene"):
        scene = demo_scene(SERIES, index)
        held = all((scene.labels == CONCEPTS.index(name)).mean() >= LEAST_SHARE for name in EXAMPLES)
        found.append(Ranked(index, labels_right(segmenter.segment(scene.image, CONCEPTS), scene), held))
    return sorted(found, key=lambda one: one.right)


def at(ranked: list[Ranked], share: float) -> Ranked:
    """Return the scene at this quantile."""
    return ranked[round(share * (len(ranked) - 1))]


def clicked(segmenter: Segmenter, count: int) -> list[Clicked]:
    """Return every concept that covers some of the first ``count`` held-out scenes, from its name and with clicks."""
    found = []
    for number in tqdm(range(count), unit="scene"):
        scene = demo_scene(SERIES, number)
        encoded = segmenter.encode(scene.image)
        for index, concept in enumerate(CONCEPTS):
            truth = scene.labels == index
            if truth.mean() >= LEAST_SHARE:
                known = scene.labels != IGNORE
                pair = [
                    predict_with(encoded, concept, LabelPrompting(mode, CLICKS), truth, known)
                    for mode in ("text", "clicks")
                ]
                found.append(Clicked(number, concept, *(mask_iou(one.mask, truth) for one in pair)))
    return found


def helped(found: list[Clicked]) -> list[Clicked]:
    """Return those that clicks improve, the greatest IoU last."""
    return sorted((one for one in found if one.gain >= GAIN and one.with_clicks > 0.5), key=lambda one: one.with_clicks)


def main() -> None:
    """Rank, choose and draw, or only draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many held-out scenes to rank (default: 200)")
    parser.add_argument("--clicked", type=int, default=60, help="how many of them to click in (default: 60)")
    parser.add_argument("--redraw", action="store_true", help="draw the scenes that were chosen last")
    options = parser.parse_args()
    with Segmenter(backend="onnxruntime") as segmenter:
        if not options.redraw:
            choose(segmenter, options.count, options.clicked)
        notes = json.loads(shipped.DEMO.read_text(encoding="utf-8"))
        draw(segmenter, choice(), notes["median"]["scene"])
        write_beside(IMAGES / "nine.webp", partial(sheet_picture.write, SERIES, notes["scenes"], segmenter))


def choose(segmenter: Segmenter, count: int, with_clicks: int) -> None:
    """Rank the first held-out scenes, and write ``demo.json``."""
    found = clicked(segmenter, with_clicks)
    ranked = rank(segmenter, count)
    among = [one for one in ranked if one.examples]
    shown, median, best = at(among, QUARTILE), at(ranked, 0.5), helped(found)[-1]
    notes = {
        "series": SERIES, "scene": shown.scene, "rule": RULE, "scenes": count, "among": len(among),
        "right": round(shown.right, 4), "median": {"scene": median.scene, "right": round(median.right, 4)},
        "clicks": {
            "scene": best.scene, "concept": best.concept, "rule": CLICKS_RULE,
            "iou_from_name": round(best.from_name, 4), "iou_with_clicks": round(best.with_clicks, 4),
            "scenes": with_clicks, "concepts": len(found), "helped": len(helped(found)),
            "mean_from_name": round(fmean(one.from_name for one in found), 4),
            "mean_with_clicks": round(fmean(one.with_clicks for one in found), 4),
        },
    }  # fmt: skip
    text = json.dumps(notes, indent=1) + "\n"
    write_beside(shipped.DEMO, partial(Path.write_text, data=text, encoding="utf-8"))


def draw(segmenter: Segmenter, shown: Choice, median: int) -> None:
    """Write the pictures of README and docs, the moving one among them."""
    IMAGES.mkdir(exist_ok=True)
    pictures = {
        "street": segmenter.segment(demo_scene(SERIES, shown.scene).image, CONCEPTS).overlay(),
        "clicks": clicks_picture(segmenter, demo_scene(SERIES, shown.clicked_scene), shown.clicked),
        "objects": objects_picture(segmenter.segment(demo_scene(SERIES, median).image, CONCEPTS), OBJECTS),
        "median": segmenter.segment(demo_scene(SERIES, median).image, CONCEPTS).overlay(),
    }
    for name, picture in pictures.items():
        write_beside(IMAGES / f"{name}.png", partial(picture.save, format="PNG", optimize=True))
    moving = moving_picture.frames(segmenter, shown)
    write_beside(IMAGES / "demo.webp", partial(moving_picture.save, moving))
    write_beside(IMAGES / "tracks.webp", partial(tracked_picture.write, segmenter))


if __name__ == "__main__":
    main()
