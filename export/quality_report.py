"""An export's findings about its masks: the report next to the graphs, the error message, and the manifest's entry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.calibration.quantiser import Quantiser
from cgsam_edge.calibration.ranking import Ranking
from cgsam_edge.errors import GateError
from cgsam_edge.export.engines import machine, open_target, time_targets
from cgsam_edge.export.export_steps import ExportSteps
from cgsam_edge.export.fallback import TargetAttempt
from cgsam_edge.export.photo_sets import PhotoSets
from cgsam_edge.manifest import Manifest
from cgsam_edge.quality.findings import FloatLayer, Quality
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.report import HTML_FILE, save_report, write_report
from cgsam_edge.quality.resolution import SizeSearch
from cgsam_edge.quality.shared_blocks import SharingSearch
from cgsam_edge.quality.terminal import export_table
from cgsam_edge.quality.verdicts import refusal, summary
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from PIL import Image

    from cgsam_edge.quality.gate import Mask
    from cgsam_edge.quality.pairs import MaskPair
    from cgsam_edge.quality.pictures import Masks


@dataclass(frozen=True)
class Searches:
    """What was tried before anything was converted.

    Attributes:
        size: of the image; None where the model keeps its own.
        sharing: of blocks; None where none is shared.
    """

    size: SizeSearch | None = None
    sharing: SharingSearch | None = None

    @property
    def remarks(self) -> str:
        """What they made of the model, to be added to its name."""
        size = f", at {self.size.chosen} pixels" if self.size else ""
        return size + (f", with {amount(self.sharing.chosen, 'block')} shared" if self.sharing else "")


def gather_quality(
    steps: ExportSteps,
    attempts: Sequence[TargetAttempt],
    ranking: Ranking | None,
    photos: PhotoSets,
    searches: Searches,
    quantiser: Quantiser | None,
    folder: Path,
) -> Quality:
    """Gather the findings about each target, and time the graphs on this machine."""
    found = tuple(attempt.found for attempt in attempts)
    method, doubts = ((quantiser.method,), quantiser.warnings) if quantiser else ((), ())
    late = ranking.unmeasured if ranking else 0
    return Quality(
        title=steps.options.destination.name,
        reference="PyTorch, float32" + searches.remarks,
        pictures=f"{amount(len(photos.gate), 'picture')}: {photos.origin}",
        targets=found,
        graphs=time_targets(folder, [one.target for one in found]),
        size=searches.size,
        sharing=searches.sharing,
        kept_in_float=tuple(_float_layers(attempts, ranking)) if ranking else (),
        sensitivity=ranking.sensitivity if ranking else (),
        notes=(
            *method, *photos.notes, *doubts,
            *([f"there was no time for {late} of the layers or blocks"] if late else []),
        ),
        machine=machine(),
        degraded=not all(one.passed for one in found),
    )  # fmt: skip


def _float_layers(attempts: Sequence[TargetAttempt], ranking: Ranking) -> Iterator[FloatLayer]:
    for one in attempts:
        for graph, layer in sorted(one.in_float):
            yield FloatLayer(one.found.target, graph, layer, ranking.reason((graph, layer)))


def write_quality_report(
    steps: ExportSteps, quality: Quality, manifest: Manifest, gate: Gate, folder: Path
) -> Manifest:
    """Write the report, and raise if a target fails without permission; return the manifest with the summary.

    Raises:
        GateError: a target does not pass; the report is next to the destination.
    """
    with ExitStack() as opened:
        write_report(quality, folder, _masks(gate, folder, opened))
    failed = [one for one in quality.targets if not one.passed]
    if failed and not steps.quality.allow_degraded:
        destination = steps.options.destination.absolute()
        beside = destination.with_name(f"{destination.stem}.report")
        save_report(folder, beside)
        raise GateError(refusal(failed, quality.sensitivity, beside / HTML_FILE))
    for one in failed:
        steps.progress.say(
            f"warning: {one.target} does not pass and is written nevertheless: {'; '.join(one.problems)}"
        )
    steps.progress.closing += export_table(quality)
    return replace(manifest, quality=summary(quality))


def without_gate(steps: ExportSteps, manifest: Manifest) -> Manifest:
    """Return the manifest of a bundle whose masks were not compared, and print a warning."""
    note = "no gate: --gate-count 0"
    steps.progress.say(f"warning: {note}; masks were not compared with PyTorch's")
    return replace(manifest, quality={"gate": None, "notes": [note]})


def _masks(gate: Gate, folder: Path, opened: ExitStack) -> Masks:
    """Return the function that computes the report's pictures; each target is opened once."""
    segmenters = {}

    def masks(target: str, pair: MaskPair) -> tuple[Image.Image, Mask, Mask]:
        if target not in segmenters:
            segmenters[target] = opened.enter_context(open_target(folder, target))
        return gate.masks(segmenters[target], pair)

    return masks
