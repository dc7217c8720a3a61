"""What follows the conversion: quantise, compare masks with PyTorch's, repair, and report, or refuse."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from cgsam_edge.calibration.calibrate import Calibrated, Feeds, calibrate
from cgsam_edge.calibration.originals import Originals
from cgsam_edge.calibration.ranking import Layer, Ranking, rank
from cgsam_edge.errors import GateError, InputError
from cgsam_edge.export.manifests import write_manifest
from cgsam_edge.export.opened import machine, open_target, quantise, race_targets
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import Draft, Stages, export_bundle, resized
from cgsam_edge.export.quality_options import Chosen, QualityOptions, choose
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import AUTO
from cgsam_edge.export.sizing import Sizing
from cgsam_edge.export.torch_backend import TorchBackend, write_draft
from cgsam_edge.manifest import Manifest
from cgsam_edge.quality.defaults import MIN_IOU
from cgsam_edge.quality.findings import FloatLayer, Quality
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.report import HTML_FILE, save_report, write_report
from cgsam_edge.quality.resolution import SizeSearch
from cgsam_edge.quality.verdicts import line, refusal, summary
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import Vocabulary


class _OnlyReportedError(Exception):
    """Ends an export of which only the table of layers was wanted."""


def export_checked(options: ExportOptions, quality: QualityOptions, report: Callable[[str], None]) -> Path | None:
    """Export a bundle, quantise it, and refuse it if its masks got worse.

    Returns:
        The bundle's path; None with ``report_only``.

    Raises:
        GateError: masks are too far from PyTorch's; no bundle was written, and the report lies beside it.
        CgsamError: as `export_bundle`.
    """
    with tempfile.TemporaryDirectory(prefix="cgsam-") as work:
        try:
            return export_bundle(options, report, Finish(options, quality, Path(work)))
        except _OnlyReportedError:
            return None


class Finish:
    """The finisher of an export; see `cgsam_edge.export.pipeline.Finisher`.

    Args:
        options: what is exported.
        quality: how it is judged.
        work: a folder for what is needed meanwhile.
    """

    def __init__(self, options: ExportOptions, quality: QualityOptions, work: Path) -> None:
        self._options, self._quality, self._work = options, quality, work
        self._int8 = any(options.lowest_of(target) == "int8" for target in options.targets)
        if options.image_size == AUTO and not quality.gate_count:
            raise InputError("--image-size auto compares masks on the gate's pictures; --gate-count must not be 0.")
        self._gate: Gate | None = None
        self._chosen = Chosen(None, ())
        self._size: SizeSearch | None = None
        self._calibrated: Calibrated | None = None
        self._ranking: Ranking | None = None
        self._notes: list[str] = []
        self._originals = Originals(work / "originals")

    @property
    def stages(self) -> int:
        """How many stages of progress it adds; a repair adds more."""
        each = sum(self._options.lowest_of(target) == "int8" for target in self._options.targets)
        gate = (2 + len(self._options.targets)) if self._quality.gate_count else 0
        return gate + each + self._int8

    def size(
        self, model: ReferenceModel, vocabulary: Vocabulary, stage: Stages, report: Callable[[str], None]
    ) -> ReferenceModel:
        """Choose the pictures for all that follows, and the image size; see `Finisher.size`."""
        self._chosen = choose(self._quality, self._work, model.config.sam.image_size, calibrate=self._int8)
        self._notes = list(self._chosen.notes)
        if not self._options.resized or not self._chosen.gate:
            return resized(model, self._options)
        sizing = Sizing(self._options, self._quality.size_iou, self._chosen.gate, vocabulary, self._work / "sizes")
        sized, self._size = sizing.choose(model, stage, report)
        return sized

    def prepare(self, draft: Draft) -> None:
        """Compute PyTorch's masks, and calibrate; see `Finisher.prepare`."""
        for name in ("draft", "features"):
            (self._work / name).mkdir()
        write_draft(self._work / "draft", draft.manifest, draft.vocabulary, draft.graphs)
        self._reference = Segmenter(self._work / "draft", backend=TorchBackend(draft.graphs))
        chosen = self._chosen
        if chosen.gate:
            with draft.stage(f"PyTorch's masks on {len(chosen.gate)} pictures ({chosen.origin})"):
                self._gate = Gate(self._reference, chosen.gate, draft.report)
        if chosen.calibration is not None:
            with draft.stage(f"calibrate on {len(chosen.calibration.paths)} pictures ({chosen.calibration.origin})"):
                feeds = Feeds(chosen.calibration, self._reference, self._work / "features")
                self._calibrated = calibrate(draft.graphs, feeds, self._quality.smoothing, draft.report)
            self._tell(draft)
        if self._quality.report_only:
            self._report_layers(draft)

    def finish(self, draft: Draft) -> Manifest:
        """Quantise, judge, repair, report; see `Finisher.finish`."""
        kept: list[FloatLayer] = []
        found: list[TargetQuality] = []
        manifest = draft.manifest
        for target in self._options.targets:
            manifest = self._quantised(draft, manifest, target, frozenset())
            if self._gate is not None:
                with draft.stage(f"masks of {target}"):
                    found.append(self._judge(draft, target))
                manifest, found[-1], stayed = self._repair(draft, manifest, found[-1])
                kept += stayed
                draft.report(line(found[-1]))
        if self._gate is None:
            note = "no gate: --gate-count 0"
            draft.report(f"warning: {note}; nobody compared masks")
            return replace(manifest, quality={"gate": None, "notes": [note]})
        return self._concluded(draft, manifest, found, kept)

    def _tell(self, draft: Draft) -> None:
        """Report what calibration did, and what is doubtful about it."""
        assert self._calibrated is not None
        errors = ", ".join(f"{name} {value:.4f}" for name, value in self._calibrated.scores.items())
        draft.report(
            f"ranges by {self._calibrated.method} (error of the logits: {errors}); "
            f"{self._calibrated.smoothed} norms smoothed"
        )
        missing = self._calibrated.absent
        if missing:
            self._notes.append(
                f"{len(missing)} photos show none of the concepts tried on them: {', '.join(missing[:8])}"
            )
        for note in self._notes:
            draft.report(f"warning: {note}")

    def _rank(self, draft: Draft) -> Ranking:
        if self._ranking is None:
            assert self._calibrated is not None
            if self._gate is None:
                raise InputError("layers are tried on the gate's pictures; --gate-count must not be 0.")
            draft.stage.more(1)
            with draft.stage("try each layer alone"):
                self._ranking = rank(
                    self._gate, self._reference, tuple(draft.graphs), self._calibrated.ranges,
                    self._quality.repair_seconds, draft.report,
                )  # fmt: skip
            if self._ranking.unmeasured:
                self._notes.append(f"the time sufficed for all layers or blocks but {self._ranking.unmeasured}")
        return self._ranking

    def _report_layers(self, draft: Draft) -> None:
        if not self._int8:
            raise InputError("--report-only shows what INT8 does to each layer; add --precision int8.")
        ranking = self._rank(draft)
        draft.report("mask IoU with one layer quantised alone, the most harmful first")
        for s in ranking.sensitivity:
            draft.report(f"  {s.mean_iou:.4f}  error {s.error:.4f}  {s.graph}: {s.layer}")
        raise _OnlyReportedError

    def _quantised(self, draft: Draft, manifest: Manifest, target: str, kept: frozenset[Layer]) -> Manifest:
        """Quantise a target's graphs as far as asked for, and write the manifest that says so."""
        specs = dict(manifest.targets[target])
        if self._options.lowest_of(target) == "int8":
            assert self._calibrated is not None
            with draft.stage(f"quantise for {target}" + (f", {len(kept)} layers left out" if kept else "")):
                for graph in draft.graphs:
                    if self._options.precision_of(target, graph.name) == "int8":
                        stay = frozenset(layer for name, layer in kept if name == graph.name)
                        spec = manifest.targets[target][graph.name]
                        base = self._originals.restore(draft.folder, target, graph.name, spec)
                        specs[graph.name] = quantise(
                            target, graph, draft.folder, base, self._calibrated, stay, self._quality.coreml_kind
                        )
        manifest = replace(manifest, targets={**manifest.targets, target: specs})
        write_manifest(manifest, draft.folder)
        return manifest

    def _limits(self, target: str) -> GateLimits:
        given, lowest = self._quality.mean_iou, self._options.lowest_of(target)
        return GateLimits(MIN_IOU[lowest] if given is None else given, self._quality.labelled_drop)

    def _judge(self, draft: Draft, target: str) -> TargetQuality:
        assert self._gate is not None
        with open_target(draft.folder, target) as segmenter:
            return TargetQuality(target, self._gate.measure(segmenter), self._limits(target))

    def _repair(
        self, draft: Draft, manifest: Manifest, found: TargetQuality
    ) -> tuple[Manifest, TargetQuality, list[FloatLayer]]:
        """Leave out layers, twice as many each time, until the masks pass or none is left."""
        target, count = found.target, 1
        stayed: frozenset[Layer] = frozenset()
        best = found
        while not best.passed and self._options.lowest_of(target) == "int8" and self._quality.repair_seconds > 0:
            ranking = self._rank(draft)
            if count >= len(ranking.groups):
                break
            draft.report(f"{target}: {'; '.join(best.problems)}")
            stayed = ranking.worst(count)
            draft.stage.more(2)
            manifest = self._quantised(draft, manifest, target, stayed)
            with draft.stage(f"masks of {target} again"):
                best = self._judge(draft, target)
            count *= 2
        reasons = {(s.graph, s.layer): f"mask IoU {s.mean_iou:.4f} alone" for s in self._harm()}
        kept = [
            FloatLayer(target, graph, layer, reasons.get((graph, layer), "part of a harmful block"))
            for graph, layer in sorted(stayed)
        ]
        return manifest, best, kept

    def _harm(self) -> tuple[Any, ...]:
        return self._ranking.sensitivity if self._ranking else ()

    def _concluded(
        self, draft: Draft, manifest: Manifest, found: list[TargetQuality], kept: list[FloatLayer]
    ) -> Manifest:
        """Write the report; refuse what does not pass, unless it is allowed."""
        failed = [one for one in found if not one.passed]
        with draft.stage("report"):
            graphs = race_targets(draft.folder, [one.target for one in found])
            calibrated = self._calibrated
            method = [f"ranges by {calibrated.method}, {calibrated.smoothed} norms smoothed"] if calibrated else []
            quality = Quality(
                title=self._options.destination.name,
                reference="PyTorch, float32" + (f", at {self._size.chosen} pixels" if self._size else ""),
                pictures=f"{len(self._gate.pictures) if self._gate else 0} pictures: {self._chosen.origin}",
                targets=tuple(found), graphs=graphs, size=self._size, kept_in_float=tuple(kept),
                sensitivity=self._harm(),
                notes=(*method, *self._notes), machine=machine(), degraded=bool(failed),
            )  # fmt: skip
            with ExitStack() as stack:
                write_report(quality, draft.folder, self._masks(draft.folder, stack))
        if failed and not self._quality.allow_degraded:
            beside = self._options.destination.absolute()
            beside = beside.with_name(f"{beside.stem}.report")
            save_report(draft.folder, beside)
            raise GateError(refusal(failed, self._harm(), beside / HTML_FILE))
        for one in failed:
            draft.report(f"warning: {one.target} does not pass and is written all the same: {'; '.join(one.problems)}")
        return replace(manifest, quality=summary(quality))

    def _masks(self, folder: Path, stack: ExitStack) -> Callable[[str, Any], tuple[Image.Image, Any, Any]]:
        """Return what gives the report its pictures; targets stay open for the next one."""
        opened: dict[str, Segmenter] = {}

        def masks(target: str, pair: Any) -> tuple[Image.Image, Any, Any]:
            assert self._gate is not None
            if target not in opened:
                opened[target] = stack.enter_context(open_target(folder, target))
            return self._gate.masks(opened[target], pair)

        return masks
