"""Options of quantisation and the gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cgsam_edge.arithmetic import BELOW_FLOAT32
from cgsam_edge.errors import InputError
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.targets import COREML_INT8, DEFAULT_COREML_INT8
from cgsam_edge.quality.defaults import ARITHMETIC_MINUTES, AUTO_SIZE_MIN_IOU, MAX_DISAGREEMENT, MAX_DROP
from cgsam_edge.quality.judge import GateLimits


@dataclass(frozen=True)
class QualityOptions:
    """Options of quantisation and the gate.

    Attributes:
        calibration: folder of photos; None means rendered street scenes.
        calibration_count: number of calibration pictures.
        gate_images: folder of the gate's pictures; None sets some calibration photos aside, or renders scenes.
        gate_labels: folder of index PNGs with ``gate_classes``, or a COCO JSON, for those pictures.
        gate_classes: class file.
        labels_orientation: how photos with an EXIF rotation were labelled, "upright" or "stored"; None means upright,
            and leaves out, by name, labels that only fit the stored pixels.
        gate_count: number of gate pictures; 0 skips the gate, which the manifest records.
        min_iou: least mean mask IoU that passes; None judges by labels, or else by what other draws of points do.
        max_drop: largest drop of class mIoU against labels that passes.
        max_disagreement: without labels, the most that masks may differ from PyTorch's, in units of what other draws of
            points do to them.
        allow_degraded: write a bundle that does not pass, marked as degraded.
        fallback_minutes: time limit for trying layers one by one when a target in INT8 does not pass, to keep the most
            sensitive ones in float; 0 for no fallback.
        arithmetic: kinds below float32 that are tried, of which devices may then use those that pass; none tries none.
        arithmetic_minutes: how long that may take, for all targets together.
        coreml_int8: meaning of "int8" on Core ML, one of `COREML_INT8`.
        smoothing: share of the difference between outlier channels that moves into the weights, from 0 (none) to 1.

    Raises:
        InputError: an option is out of its range, or contradicts another.
    """

    calibration: Path | None = None
    calibration_count: int = 64
    gate_images: Path | None = None
    gate_labels: Path | None = None
    gate_classes: Path | None = None
    labels_orientation: str | None = None
    gate_count: int = 8
    min_iou: float | None = None
    max_drop: float = MAX_DROP
    max_disagreement: float = MAX_DISAGREEMENT
    allow_degraded: bool = False
    fallback_minutes: float = 10.0
    arithmetic: tuple[str, ...] = BELOW_FLOAT32
    arithmetic_minutes: float = ARITHMETIC_MINUTES
    coreml_int8: str = DEFAULT_COREML_INT8
    smoothing: float = 0.5

    def __post_init__(self) -> None:
        from cgsam_edge.quality import photos  # it imports image libraries, which `--help` does not need

        photos.check_apart(self.calibration, self.gate_images)
        if self.gate_labels is not None and self.gate_images is None:
            raise InputError("--gate-labels needs --gate-images: the pictures that they belong to.")
        if self.calibration_count < photos.LEAST:
            raise InputError(f"calibration needs at least {photos.LEAST} pictures, got {self.calibration_count}.")
        if self.min_iou is not None and not 0 <= self.min_iou <= 1:
            raise InputError(f"min_iou must be from 0 to 1, got {self.min_iou}.")
        if not self.max_disagreement >= 0:
            raise InputError(f"a disagreement is 0 or more, got {self.max_disagreement}.")
        if not 0 <= self.smoothing <= 1:
            raise InputError(f"smoothing must be from 0 to 1, got {self.smoothing}.")
        if not self.fallback_minutes >= 0:
            raise InputError(f"fallback_minutes must be 0 or more, got {self.fallback_minutes}.")
        unknown = [kind for kind in self.arithmetic if kind not in BELOW_FLOAT32]
        if unknown:
            raise InputError(f"no arithmetic {unknown[0]!r} to prove; expected {' or '.join(BELOW_FLOAT32)}.")
        if not self.arithmetic_minutes >= 0:
            raise InputError(f"arithmetic is tried for 0 minutes or more, got {self.arithmetic_minutes}.")
        if self.coreml_int8 not in COREML_INT8:
            raise InputError(f"no kind {self.coreml_int8!r} of Core ML's INT8; expected {', '.join(COREML_INT8)}.")


@dataclass(frozen=True)
class Thresholds:
    """The limits for the masks of one export.

    Attributes:
        size_min_iou: least mean mask IoU of the image size "auto", with the model at its own size; None where a size
            was named, or none.
        targets: limits of each target.
    """

    size_min_iou: float | None
    targets: dict[str, GateLimits]


def thresholds(options: ExportOptions, quality: QualityOptions) -> Thresholds:
    """Return the limits for masks.

    With the image size "auto", ``min_iou`` is of that size, and targets are judged as if none was named.
    """
    size, of_targets = None, quality.min_iou
    if options.auto_size:
        size, of_targets = AUTO_SIZE_MIN_IOU if quality.min_iou is None else quality.min_iou, None
    limits = GateLimits(of_targets, quality.max_drop, quality.max_disagreement)
    return Thresholds(size, dict.fromkeys(options.targets, limits))


def check_together(options: ExportOptions, quality: QualityOptions | None) -> None:
    """Refuse an export that needs to measure masks but has no gate.

    Raises:
        InputError: INT8 without quality options, or an "auto" without the gate's pictures.
    """
    if quality is None and options.quantised:
        raise InputError("int8 and int4 need calibration: pass quality options, such as quality=QualityOptions().")
    if quality is None and options.auto_size:
        raise InputError("the image size 'auto' needs measurements: pass quality options.")
    if quality is None and options.auto_shared:
        raise InputError("the number of shared blocks 'auto' needs measurements: pass quality options.")
    if quality is not None and options.auto_shared and not quality.gate_count:
        raise InputError("--shared-blocks auto compares masks on the gate's pictures, so --gate-count must not be 0.")
    if quality is not None and options.auto_size and not quality.gate_count:
        raise InputError("--image-size auto compares masks on the gate's pictures, so --gate-count must not be 0.")
