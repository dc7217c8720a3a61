"""Calibrating a bundle on labelled images: when a concept counts as present, and when it is surely absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cgsam_edge.errors import InputError
from cgsam_edge.quality.defaults import MAX_RECALL_LOSS
from cgsam_edge.quality.labels import Labels, Remarks, match_classes
from cgsam_edge.quality.observation import observe
from cgsam_edge.quality.presence_fit import PresenceCalibration, fit
from cgsam_edge.quality.screening_fit import ScreeningCalibration, check_loss, fit_screening
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import Vocabulary
from cgsam_edge.wording import left_out


@dataclass(frozen=True)
class CalibratedBundle:
    """The result of a calibration.

    Attributes:
        vocabulary: the bundle's, with the new tables.
        presence: when concepts count as present.
        screening: when they are surely absent.
        images: number of images used.
        remarks: what was left out, and notes.
    """

    vocabulary: Vocabulary
    presence: PresenceCalibration
    screening: ScreeningCalibration
    images: int
    remarks: Remarks

    @property
    def notes(self) -> dict[str, Any]:
        """The manifest's entries about the calibration."""
        presence = {"images": self.images, "auroc": self.presence.auroc}
        return {"presence": presence, "screening": self.screening.notes()}


def calibrate_bundle(
    segmenter: Segmenter,
    labels: Labels,
    max_recall_loss: float = MAX_RECALL_LOSS,
    *,
    skip_unknown: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> CalibratedBundle:
    """Calibrate on labelled images, some of which lack the concept; unusable images are left out.

    Args:
        segmenter: the opened bundle.
        labels: labelled images that are not used for evaluation.
        max_recall_loss: largest share of concepts correctly called present that similarity may rule out.
        skip_unknown: leave out classes that the bundle does not know.
        progress: called with the number of images done.

    Raises:
        InputError: the loss is not a share, the bundle does not know a class, or there are too few images.
    """
    check_loss(max_recall_loss)
    vocabulary = segmenter.bundle.vocabulary
    matched = match_classes(labels.names, vocabulary, skip_unknown=skip_unknown)
    remarks = Remarks(notes=matched.notes())
    images = labels.read(remarks, frozenset(matched.classes))
    found = observe(segmenter, images, matched.classes, progress, remarks)
    try:
        presence = fit(found, vocabulary.names)
        screening = fit_screening(found, presence.table, max_recall_loss)
    except InputError as error:
        if not remarks.left_out:
            raise
        raise InputError(
            f"{error} Left out: {left_out(len(remarks.left_out))}. The first: {remarks.left_out[0]}"
        ) from error
    learnt = replace(vocabulary, presence=presence.table, screening=screening.table)
    return CalibratedBundle(learnt, presence, screening, len({one.image for one in found}), remarks)
