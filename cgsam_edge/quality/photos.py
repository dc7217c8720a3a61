"""Pictures for calibration and for the gate: a user's folder, or rendered scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cgsam_edge.agreement import spread_evenly
from cgsam_edge.errors import ImageError, InputError
from cgsam_edge.image import load_image
from cgsam_edge.quality.labels.folders import IMAGE_SUFFIXES, image_files_or_none
from cgsam_edge.quality.labels.index_labels import labels_beside
from cgsam_edge.quality.labels.index_png import holds_indices
from cgsam_edge.quality.labels.labelled import LabelledImage, Remarks
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.written_files import is_marked_png

LEAST = 8
"""Fewest usable photos for meaningful ranges."""

RENDERED_SERIES, GATE_SERIES = 3, 4
"""Seeds of the rendered scenes for calibration and for the gate; no model was trained or evaluated on them."""

GATE_SIDE = 1024
"""Longest side of unlabelled pictures in the gate; larger ones are scaled down."""


@dataclass(frozen=True)
class Photos:
    """Pictures that can be read.

    Attributes:
        paths: files, in order of their names.
        origin: where they come from, for messages and the report.
        rendered: whether they are rendered scenes.
        skipped: files that could not be read, one line each.
    """

    paths: tuple[Path, ...]
    origin: str
    rendered: bool = False
    skipped: tuple[str, ...] = ()

    def take(self, count: int) -> Photos:
        """Return at most ``count`` pictures, spread evenly."""
        return Photos(spread_evenly(self.paths, count), self.origin, self.rendered, self.skipped)

    def split(self, count: int) -> tuple[Photos, Photos]:
        """Set ``count`` evenly spread pictures aside (at least two, at most a quarter); return the rest and those."""
        aside = set(self.take(max(2, min(count, len(self.paths) // 4))).paths)
        rest = tuple(p for p in self.paths if p not in aside)
        kept = tuple(p for p in self.paths if p in aside)
        return Photos(rest, self.origin, self.rendered, self.skipped), Photos(
            kept, f"{self.origin}, set aside", self.rendered
        )


def from_folder(folder: Path, least: int = LEAST) -> Photos:
    """Return the pictures of a folder that can be read.

    Hidden files and overlays of ``cgsam segment`` are ignored; labels next to their photos are skipped.

    Raises:
        InputError: there is no such folder, or it holds fewer than ``least`` readable pictures (the others are
            named).
    """
    paths = []
    found = image_files_or_none(folder)
    labels = sorted(path for path in labels_beside(found) if holds_indices(path))
    skipped = [f"{path}: looks like the label of the image of the same name, not like a photo." for path in labels]
    drawn = [path for path in found if is_marked_png(path)]
    skipped += [f"{path}: cgsam drew it, from another picture." for path in drawn]
    for path in sorted({*found} - {*labels, *drawn}):
        try:
            load_image(path)
            paths.append(path)
        except ImageError as error:  # noqa: PERF203 — one bad file must not end it
            skipped.append(str(error))
    if len(paths) < least:
        reasons = "".join(f"\n  skipped {line}" for line in skipped)
        raise InputError(
            f"{folder}: usable photos: {len(paths)}; at least {least} are needed, and 64 like those that the device "
            f"will see are better ({', '.join(IMAGE_SUFFIXES)}).{reasons}"
        )
    return Photos(tuple(paths), str(folder), skipped=tuple(skipped))


def readable(images: Iterable[LabelledImage], remarks: Remarks) -> Iterator[LabelledImage]:
    """Yield the labelled images whose file can be decoded; ``remarks`` receives the others."""
    for image in images:
        try:
            load_image(image.path)
        except ImageError as error:
            remarks.left_out.append(str(error))
            continue
        yield image


def rendered(folder: Path, series: int, count: int, side: int) -> Photos:
    """Render street scenes into a folder."""
    write_scenes(folder, series, range(count), side, side)
    return Photos(tuple(sorted((folder / "images").iterdir())), "rendered street scenes", rendered=True)


def small(image: Image.Image) -> Image.Image:
    """Return a picture no larger than `GATE_SIDE`."""
    out = image.copy()
    out.thumbnail((GATE_SIDE, GATE_SIDE), Image.Resampling.BILINEAR)
    return out


def check_apart(calibration: Path | None, gate: Path | None) -> None:
    """Refuse overlapping folders for calibration and evaluation.

    Raises:
        InputError: they are the same folder, or one contains the other.
    """
    if calibration is None or gate is None:
        return
    a, b = calibration.resolve(), gate.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise InputError(
            f"{gate}: the gate's pictures must not be calibration pictures ({calibration}): a model must be judged on "
            "other data than it was fitted to. Name another folder, or leave --gate-images out, which sets some "
            "calibration photos aside."
        )
