"""How an export is quantised and judged, and the pictures for both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cgsam_edge.calibration.quantise import coreml
from cgsam_edge.calibration.smoothing import STRENGTH
from cgsam_edge.errors import InputError
from cgsam_edge.quality import photos
from cgsam_edge.quality.defaults import AUTO_SIZE_MIN_IOU, MAX_DROP
from cgsam_edge.quality.gate import unlabelled
from cgsam_edge.quality.labels import LabelledImage, coco_names, read_classes, read_coco, read_index_labels
from cgsam_edge.quality.photos import Photos


@dataclass(frozen=True)
class QualityOptions:
    """How an export is quantised and judged.

    Attributes:
        calibration: folder of photos; None renders street scenes.
        calibration_count: pictures to calibrate on.
        gate_images: folder of pictures that the gate compares masks on; None sets some of the photos aside, or renders.
        gate_labels: folder of index PNGs with ``gate_classes``, or a COCO JSON, for those pictures.
        gate_classes: class file.
        gate_count: pictures of the gate; 0 leaves the gate out, which the manifest says.
        mean_iou: least mean mask IoU; None takes `MIN_IOU`.
        size_iou: least mean mask IoU, with the model at its own size, of the image size "auto".
        labelled_drop: most loss of class mIoU.
        allow_degraded: write a bundle that does not pass, marked as such.
        report_only: measure what each layer's quantisation does, and write nothing.
        repair_seconds: how long layers may be tried when the gate fails; 0 for no repair.
        coreml_kind: what "int8" is on Core ML: see `quantise.coreml.KINDS`.
        smoothing: of outlier channels, 0 for none.
    """

    calibration: Path | None = None
    calibration_count: int = 64
    gate_images: Path | None = None
    gate_labels: Path | None = None
    gate_classes: Path | None = None
    gate_count: int = 8
    mean_iou: float | None = None
    size_iou: float = AUTO_SIZE_MIN_IOU
    labelled_drop: float = MAX_DROP
    allow_degraded: bool = False
    report_only: bool = False
    repair_seconds: float = 600.0
    coreml_kind: str = coreml.DEFAULT_KIND
    smoothing: float = STRENGTH

    def __post_init__(self) -> None:
        """Refuse what contradicts itself before anything is computed."""
        photos.check_apart(self.calibration, self.gate_images)
        if self.gate_labels is not None and self.gate_images is None:
            raise InputError("--gate-labels needs --gate-images: the pictures that they belong to.")
        if self.calibration_count < photos.LEAST:
            raise InputError(f"calibration needs at least {photos.LEAST} pictures, got {self.calibration_count}.")
        for iou in (self.mean_iou, self.size_iou):
            if iou is not None and not 0 <= iou <= 1:
                raise InputError(f"a mask IoU is from 0 to 1, got {iou}.")
        if self.coreml_kind not in coreml.KINDS:
            raise InputError(f"no kind {self.coreml_kind!r} of Core ML's INT8; expected {', '.join(coreml.KINDS)}.")


@dataclass(frozen=True)
class Chosen:
    """The pictures of one export.

    Attributes:
        calibration: None where nothing is quantised.
        gate: empty for no gate.
        origin: where the gate's come from.
        notes: what is doubtful about them, a line each.
    """

    calibration: Photos | None
    gate: tuple[LabelledImage, ...]
    origin: str = ""
    notes: tuple[str, ...] = ()


def choose(options: QualityOptions, work: Path, side: int, *, calibrate: bool) -> Chosen:
    """Read or render the pictures for calibration and for the gate.

    Args:
        options: where they are.
        work: a folder for rendered ones.
        side: of rendered ones, in pixels.
        calibrate: whether something is quantised.

    Raises:
        InputError: a folder holds too few readable pictures, or labels do not fit.
    """
    calibration = aside = None
    notes: list[str] = []
    if calibrate and options.calibration is not None:
        calibration = photos.from_folder(options.calibration)
        notes += [f"skipped {line}" for line in calibration.skipped]
        if options.gate_images is None:
            calibration, aside = calibration.split(options.gate_count or 1)
        calibration = calibration.take(options.calibration_count)
    elif calibrate:
        calibration = photos.rendered(work / "calibration", photos.RENDERED_SERIES, options.calibration_count, side)
        notes.append("calibrated on rendered street scenes: photos of what the device will see are better")
    if not options.gate_count:
        return Chosen(calibration, (), notes=tuple(notes))
    if options.gate_images is not None:
        gate, skipped = _given(options)
        return Chosen(calibration, gate, str(options.gate_images), (*notes, *skipped))
    if aside is None:
        aside = photos.rendered(work / "gate", photos.GATE_SERIES, options.gate_count, side)
    return Chosen(calibration, unlabelled(aside.take(options.gate_count)), aside.origin, tuple(notes))


def _given(options: QualityOptions) -> tuple[tuple[LabelledImage, ...], tuple[str, ...]]:
    """Return the gate's pictures that were named, with labels where there are, and what was skipped."""
    assert options.gate_images is not None
    found = photos.from_folder(options.gate_images, least=1)
    skipped = tuple(f"skipped {line}" for line in found.skipped)
    if options.gate_labels is None:
        return unlabelled(found.take(options.gate_count)), skipped
    labelled = list(_labelled(options, options.gate_images, options.gate_labels))
    total, count = len(labelled), options.gate_count
    return tuple(labelled[i * total // count] for i in range(count)) if count < total else tuple(labelled), skipped


def _labelled(options: QualityOptions, images: Path, labels: Path) -> Iterator[LabelledImage]:
    if labels.is_file():
        return read_coco(images, labels, coco_names(labels))
    if options.gate_classes is None:
        raise InputError(f"{labels}: index PNGs need --gate-classes FILE with one concept a line, in index order.")
    return read_index_labels(images, labels, read_classes(options.gate_classes))
