"""The fallback: if the masks of a target in INT8 do not pass, its most sensitive layers are kept in float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cgsam_edge.calibration.quantiser import Quantiser
from cgsam_edge.calibration.ranking import Ranking
from cgsam_edge.calibration.saved import SavedGraphs
from cgsam_edge.export.export_steps import ExportSteps, Layers
from cgsam_edge.export.fitting import stored_size
from cgsam_edge.export.graphs.build import Graphs
from cgsam_edge.export.graphs.layers import convolutions
from cgsam_edge.export.manifests import write_manifest
from cgsam_edge.export.targets import TARGETS
from cgsam_edge.manifest import Manifest
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import TargetQuality
from cgsam_edge.wording import amount


@dataclass(frozen=True)
class TargetAttempt:
    """One attempt at writing a target, with the gate's findings.

    Attributes:
        manifest: manifest of the written graphs.
        found: the gate's findings.
        in_float: layers that were kept in float.
    """

    manifest: Manifest
    found: TargetQuality
    in_float: Layers = frozenset()

    @property
    def merit(self) -> tuple[float, float]:
        """Sort key for the quality of its masks: first the shortfall, then the mean mask IoU."""
        return (-self.found.shortfall, self.found.mean_iou)


@dataclass
class Fallback:
    """Finds the layers to keep in float for each target; layers are ranked once, when the first target needs it.

    Attributes:
        steps: steps of the export.
        graphs: what was converted.
        quantiser: quantiser of these graphs.
        gate: compares targets with PyTorch's masks.
        folder: the bundle being written.
        ranking: ranking of the layers; None until it is needed.
    """

    steps: ExportSteps
    graphs: Graphs
    quantiser: Quantiser
    gate: Gate
    folder: Path
    ranking: Ranking | None = field(default=None, init=False)

    def improve(self, target: str, converted: Manifest, first: TargetAttempt) -> TargetAttempt:
        """Return the best attempt for a target.

        Args:
            target: the target's name.
            converted: manifest with the target's converted graphs.
            first: attempt without any layer in float; returned if it passes, or if there is no time for others.
        """
        if first.found.passed or not self.steps.quality.fallback_minutes:
            return first
        ranking = self.ranking_of(target)

        def attempt(in_float: Layers) -> TargetAttempt:
            manifest = self.steps.quantise(target, self.graphs, converted, self.quantiser, self.folder, in_float)
            return TargetAttempt(manifest, self.steps.judge(target, self.gate, self.folder, again="again"), in_float)

        def too_large() -> bool:
            limit = self.steps.options.max_size
            return limit is not None and stored_size(self.folder, self.steps.options, target) > limit

        names = tuple(graph.name for graph in self.graphs)
        saved = SavedAttempt(self.folder, target, names, SavedGraphs(self.steps.work / "best"))
        return best_attempt(first, ranking, attempt, saved, too_large, self.steps.progress.say)

    def ranking_of(self, target: str) -> Ranking:
        """Return the ranking of the layers that a target quantises; the first call ranks those of all targets."""
        if self.ranking is None:
            self.ranking = self.steps.rank(self.quantiser, self.gate)
        if TARGETS[target].convolutions:
            return self.ranking
        return self.ranking.without({(graph.name, layer) for graph in self.graphs for layer in convolutions(graph)})


@dataclass(frozen=True)
class SavedAttempt:
    """The files of the best attempt to write a target.

    Attributes:
        bundle: the bundle being written.
        target: the target's name.
        graphs: names of its graphs.
        copies: folder of the copies.
    """

    bundle: Path
    target: str
    graphs: tuple[str, ...]
    copies: SavedGraphs

    def save(self) -> None:
        """Save the bundle's present files."""
        for graph in self.graphs:
            self.copies.save(self.bundle, self.target, graph)

    def restore(self, attempt: TargetAttempt) -> None:
        """Restore the saved files and their manifest."""
        for graph in self.graphs:
            self.copies.restore(self.bundle, self.target, graph)
        write_manifest(attempt.manifest, self.bundle)


def best_attempt(
    first: TargetAttempt,
    ranking: Ranking,
    attempt: Callable[[Layers], TargetAttempt],
    saved: SavedAttempt,
    too_large: Callable[[], bool],
    say: Callable[[str], None],
) -> TargetAttempt:
    """Keep more and more layers in float until a target's masks pass or no layer would remain in INT8.

    The number of layers or blocks in float doubles each time, the most sensitive first. More layers in float do not
    always give better masks, so the best attempt is saved, and restored at the end.

    Args:
        first: attempt without any layer in float, which did not pass.
        ranking: of the layers.
        attempt: function that writes and judges the target with some layers in float.
        saved: holder of the files of the best attempt.
        too_large: whether the bundle is larger than allowed, as it is written at the moment.
        say: receives a line about each attempt that did not pass.

    Returns:
        The first attempt that passes, or the best of those that do not; of equal ones, the earlier.
    """
    best = latest = first
    count = 1
    say(_problems(first))
    while not best.found.passed and count < len(ranking.groups):
        if latest is best:
            saved.save()
        latest = attempt(ranking.most_sensitive(count))
        if too_large():
            say(
                f"{latest.found.target}: with {amount(len(latest.in_float), 'layer')} kept it is larger than --max-size"
            )
            break
        if not latest.found.passed:
            say(_problems(latest))
        best = max(best, latest, key=lambda one: one.merit)
        count *= 2
    if latest is not best:
        saved.restore(best)
        say(f"{best.found.target}: the best of these has {len(best.in_float)} layers in float")
    return best


def _problems(attempt: TargetAttempt) -> str:
    return f"{attempt.found.target}: {'; '.join(attempt.found.problems)}"
