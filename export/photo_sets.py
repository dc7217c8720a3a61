"""The pictures of one export: for calibration, and for the gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cgsam_edge.errors import InputError
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.quality import photos
from cgsam_edge.quality.gate import unlabelled
from cgsam_edge.quality.labels import LabelledImage, Remarks, open_labels
from cgsam_edge.quality.photos import Photos

NO_PHOTOS = Photos((), "")


@dataclass(frozen=True)
class PhotoSets:
    """The pictures of one export.

    Attributes:
        calibration: empty if nothing is quantised.
        gate: empty for no gate.
        origin: origin of the gate's pictures.
        notes: warnings about them, and remarks about those left out, one line each.
        left_out: unusable pictures and labels, each with the reason.
    """

    calibration: Photos = NO_PHOTOS
    gate: tuple[LabelledImage, ...] = ()
    origin: str = ""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def choose_photos(options: QualityOptions, work: Path, side: int, *, calibrate: bool) -> PhotoSets:
    """Read or render the pictures for calibration and for the gate.

    Args:
        options: options with their folders.
        work: a folder for rendered pictures.
        side: side of rendered pictures in pixels.
        calibrate: whether calibration pictures are needed.

    Raises:
        InputError: a folder holds too few readable pictures, or labels do not fit.
    """
    calibration, aside = NO_PHOTOS, None
    notes: list[str] = []
    left_out: list[str] = []
    if calibrate and options.calibration is not None:
        calibration = photos.from_folder(options.calibration)
        left_out += calibration.skipped
        if options.gate_images is None and options.gate_count:
            calibration, aside = calibration.split(options.gate_count)
        calibration = calibration.take(options.calibration_count)
    elif calibrate:
        calibration = photos.rendered(work / "calibration", photos.RENDERED_SERIES, options.calibration_count, side)
        notes.append("calibrated on rendered street scenes: photos like those that the device will see would be better")
    elif options.calibration is not None:
        notes.append(
            f"{options.calibration} is not used: no graph is in INT8 or four bits. To compare masks on these photos, "
            "give them as --gate-images"
        )
    gate: tuple[LabelledImage, ...] = ()
    origin = ""
    if options.gate_count and options.gate_images is not None:
        remarks = Remarks()
        gate, origin = _given(options, options.gate_images, remarks), str(options.gate_images)
        notes, left_out = notes + remarks.notes, left_out + remarks.left_out
    elif options.gate_count:
        aside = aside or photos.rendered(work / "gate", photos.GATE_SERIES, options.gate_count, side)
        gate, origin = unlabelled(aside.take(options.gate_count)), aside.origin
    skipped = [f"skipped {line}" for line in left_out]
    return PhotoSets(calibration, gate, origin, (*skipped, *notes), tuple(left_out))


def _given(options: QualityOptions, images: Path, remarks: Remarks) -> tuple[LabelledImage, ...]:
    """Return the given gate pictures, with their labels if there are any; ``remarks`` receives those left out."""
    if options.gate_labels is None:
        found = photos.from_folder(images, least=1)
        remarks.left_out += found.skipped
        return unlabelled(found.take(options.gate_count))
    if options.gate_labels.is_dir() and options.gate_classes is None:
        raise InputError(
            f"{options.gate_labels}: index PNGs need --gate-classes FILE with one concept a line, in index order."
        )
    labels = open_labels(images, options.gate_labels, options.gate_classes, options.labels_orientation)
    labels = labels.take(options.gate_count)
    pictures = tuple(photos.readable(labels.read(remarks), remarks))
    if not pictures:
        reasons = (f"skipped {line}" for line in remarks.left_out)
        raise InputError("\n  ".join((f"{options.gate_labels}: none of the gate's pictures can be used.", *reasons)))
    return pictures
