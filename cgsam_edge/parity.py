"""Agreement with the PyTorch model as measured by an export and recorded in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cgsam_edge.errors import BundleError


@dataclass(frozen=True)
class MaskParity:
    """Agreement of a target with PyTorch for one concept.

    Attributes:
        concept: its name.
        max_error: largest difference of the logits, in standard deviations of PyTorch's.
        rms_error: root mean square of the differences, likewise.
        flipped: share of pixels whose logit has the other sign.
        mask_iou: intersection over union of the masks; 1 where both are empty.
        score_error: difference of the predicted IoU.
    """

    concept: str
    max_error: float
    rms_error: float
    flipped: float
    mask_iou: float
    score_error: float


@dataclass(frozen=True)
class TargetParity:
    """Agreement of one target with PyTorch.

    Attributes:
        masks: agreement for each concept that was compared.
        kind: name of the measurement.
        means: explanation of the kind, or empty.
        tiers: further comparisons by name, as in the manifest.
        remarks: further entries of the manifest by key.
    """

    masks: tuple[MaskParity, ...]
    kind: str = "parity"
    means: str = ""
    tiers: Mapping[str, Any] | None = None
    remarks: Mapping[str, Any] | None = None

    @property
    def worst(self) -> MaskParity:
        """The concept with the largest error of the logits."""
        return max(self.masks, key=lambda mask: mask.rms_error)

    def to_manifest(self) -> list[Any] | dict[str, Any]:
        """Return the manifest's form: a list of concepts, or an object if there are tiers."""
        masks = [asdict(mask) for mask in self.masks]
        if self.tiers is None:
            return masks
        return {"kind": self.kind, "means": self.means, "tiers": {**self.tiers, "masks": masks}, **(self.remarks or {})}

    @classmethod
    def from_manifest(cls, found: Any) -> TargetParity:
        """Read the manifest's form.

        Raises:
            BundleError: it has another form.
        """
        try:
            if isinstance(found, dict):
                known = {"kind", "means", "tiers"}
                tiers = {name: tier for name, tier in found["tiers"].items() if name != "masks"}
                remarks = {key: value for key, value in found.items() if key not in known}
                return cls(_masks(found["tiers"]["masks"]), str(found["kind"]), str(found["means"]), tiers, remarks)
            return cls(_masks(found))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"manifest: parity does not have the form that an export writes ({error!r}). Export the bundle again."
            ) from error


def _masks(found: Any) -> tuple[MaskParity, ...]:
    names = [field.name for field in fields(MaskParity)]
    return tuple(MaskParity(str(one["concept"]), *(float(one[name]) for name in names[1:])) for one in found)
