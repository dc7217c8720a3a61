"""The export, from files to a bundle: one recipe from top to bottom."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from cgsam_edge.arithmetic import lines
from cgsam_edge.bundle import Bundle
from cgsam_edge.calibration.quantiser import Quantiser
from cgsam_edge.calibration.ranking import Ranking
from cgsam_edge.export.concepts import ConceptLine, read_concepts
from cgsam_edge.export.export_steps import ExportSteps, count, parity_name
from cgsam_edge.export.fallback import Fallback, TargetAttempt
from cgsam_edge.export.fitting import check_size
from cgsam_edge.export.graphs.build import Graphs
from cgsam_edge.export.manifests import new_manifest, write_manifest
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.photo_sets import PhotoSets
from cgsam_edge.export.progress import Progress, StepProgress, silent
from cgsam_edge.export.quality_options import QualityOptions, check_together
from cgsam_edge.export.quality_report import Searches, gather_quality, without_gate, write_quality_report
from cgsam_edge.export.targets import QUANTISED
from cgsam_edge.export.torch_backend import open_in_torch
from cgsam_edge.manifest import GRAPH_NAMES, TEXT_GRAPHS, Manifest
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.labels import Remarks
from cgsam_edge.quality.verdicts import line
from cgsam_edge.staging import check_destination, staged


def export_bundle(
    options: ExportOptions,
    quality: QualityOptions | None = None,
    *,
    progress: Progress = silent,
    remarks: Remarks | None = None,
) -> Path:
    """Export a bundle and return its path.

    The bundle appears complete or not at all; an existing one stays until then.

    Args:
        options: source, destination and targets.
        quality: quantisation and gate; None compares no masks, and refuses "int8" and the image size "auto".
        progress: receives lines of progress.
        remarks: receives the pictures and labels that were left out.

    Raises:
        CheckpointError: the checkpoint or CLIP weights cannot be used.
        ConceptsError: the concepts file cannot be used.
        OutputError: the bundle cannot be written.
        ExportError: the conversion failed or disagrees with the reference.
        GateError: masks are too far from PyTorch's; no bundle was written, only a report next to its place.
    """
    check_together(options, quality)
    check_destination(options.destination)
    concepts = read_concepts(options.concepts, progress)
    judged = quality or QualityOptions(gate_count=0)
    with tempfile.TemporaryDirectory(prefix="cgsam-") as work:
        steps = ExportSteps(options, judged, StepProgress(progress, planned(options, judged)), Path(work))
        follow_recipe(steps, concepts, Path(work), judged=quality is not None, remarks=remarks)
    progress(f"wrote {options.destination}: {Bundle(options.destination).size / 1e6:.1f} MB, {count(concepts)}")
    for row in steps.progress.closing:
        progress(row)
    return options.destination


def follow_recipe(
    steps: ExportSteps, concepts: list[ConceptLine], work: Path, *, judged: bool, remarks: Remarks | None
) -> None:
    """Carry out all steps of an export, from the checkpoint to the bundle at its destination.

    Args:
        steps: steps of the export.
        concepts: the concepts of the bundle.
        work: a folder for temporary files.
        judged: whether quality options were given, even with an empty gate.
        remarks: receives the pictures and labels that were left out.
    """
    own = steps.read(concepts)
    steps = steps.fit(own, judged=judged)
    vocabulary = steps.text_features(own, concepts)
    photos = steps.choose_photos(own)
    if remarks is not None:
        remarks.left_out += photos.left_out
    model, size = steps.resize(own, vocabulary, photos)
    model, sharing = steps.share(model, vocabulary, photos)
    graphs = steps.fuse(model)
    cost = steps.count(model)
    manifest = new_manifest(model.config, steps.options, vocabulary, cost, own.config.sam.image_size)
    reference = open_in_torch(work / "reference", manifest, vocabulary, graphs)
    gate = steps.pytorch_masks(reference, photos) if photos.gate else None
    quantiser = steps.calibrate(graphs, reference, photos.calibration) if steps.options.quantised else None
    with staged(steps.options.destination) as folder:
        steps.write_texts(model, vocabulary, folder)
        manifest = steps.convert(graphs, manifest, folder)
        steps.record_examples(graphs, vocabulary, manifest, folder)
        manifest = steps.check_parity(model, graphs, manifest, folder)
        written = quantise_and_judge(steps, graphs, manifest, quantiser, gate, folder)
        if gate is not None and steps.quality.arithmetic and not refused(steps, written):
            found = [attempt.found for attempt in written.attempts]
            proven = steps.prove_arithmetic(found, graphs, reference, gate, written.manifest, folder)
            written = replace(written, manifest=proven)
        manifest = written.manifest
        if gate is not None:
            manifest = add_report(steps, written, photos, Searches(size, sharing), quantiser, gate, folder)
        elif judged:
            manifest = without_gate(steps, manifest)
        with steps.progress.step(f"write {steps.options.destination}"):
            write_manifest(manifest, folder)
        check_size(folder, steps.options)


@dataclass(frozen=True)
class Written:
    """All targets in the bundle.

    Attributes:
        manifest: manifest of the written graphs.
        attempts: the chosen one for each target, whether it passes or not; empty without a gate.
        ranking: ranking of the layers; None if no target needed it.
    """

    manifest: Manifest
    attempts: tuple[TargetAttempt, ...] = ()
    ranking: Ranking | None = None


def refused(steps: ExportSteps, written: Written) -> bool:
    """Return whether the export ends with its report, because a target does not pass."""
    return not steps.quality.allow_degraded and not all(one.found.passed for one in written.attempts)


def add_report(
    steps: ExportSteps,
    written: Written,
    photos: PhotoSets,
    searches: Searches,
    quantiser: Quantiser | None,
    gate: Gate,
    folder: Path,
) -> Manifest:
    """Write the report into the bundle, and return the manifest with its summary."""
    with steps.progress.step("report"):
        found = gather_quality(steps, written.attempts, written.ranking, photos, searches, quantiser, folder)
        proofs = written.manifest.arithmetic
        proven = [f"{target}: {text}" for target in proofs for text in lines(proofs, target)]
        found = replace(found, notes=(*found.notes, *proven))
        return write_quality_report(steps, found, written.manifest, gate, folder)


def quantise_and_judge(
    steps: ExportSteps,
    graphs: Graphs,
    converted: Manifest,
    quantiser: Quantiser | None,
    gate: Gate | None,
    folder: Path,
) -> Written:
    """Quantise each target as requested, and compare its masks with PyTorch's.

    Args:
        steps: steps of the export.
        graphs: what was converted.
        converted: manifest of the converted graphs.
        quantiser: None if nothing is quantised.
        gate: None if no masks are compared.
        folder: the bundle being written.
    """
    manifest, attempts = converted, []
    fallback = Fallback(steps, graphs, quantiser, gate, folder) if quantiser and gate else None
    for target in steps.options.targets:
        before, quantised = manifest, steps.options.lowest_of(target) in QUANTISED
        if quantiser is not None and quantised:
            manifest = steps.quantise(target, graphs, before, quantiser, folder)
        if gate is not None:
            attempt = TargetAttempt(manifest, steps.judge(target, gate, folder))
            if fallback is not None and quantised:
                attempt = fallback.improve(target, before, attempt)
            steps.progress.say(line(attempt.found))
            attempts.append(attempt)
            manifest = attempt.manifest
    return Written(manifest, tuple(attempts), fallback.ranking if fallback else None)


def planned(options: ExportOptions, quality: QualityOptions) -> tuple[str, ...]:
    """Return the names of an export's steps, in order; trials and a fallback add further steps."""
    graphs = (*GRAPH_NAMES, *(TEXT_GRAPHS if options.text_encoder else ()))
    return (
        *planned_preparation(options, quality),
        *(f"convert {graph} for {target}" for target in options.targets for graph in graphs),
        "record examples in PyTorch",
        *(f"{parity_name(target)} of {target} with PyTorch" for target in options.targets),
        *(name for target in options.targets for name in _planned_judgement(target, options, quality)),
        *(f"arithmetic of {target}" for target in options.targets if quality.gate_count and quality.arithmetic),
        *(["report"] if quality.gate_count else []),
        f"write {options.destination}",
    )


def planned_preparation(options: ExportOptions, quality: QualityOptions) -> tuple[str, ...]:
    """Return the names of the steps before anything is converted."""
    return (
        f"read {options.checkpoint.name}",
        "text features",
        "fuse the adapters",
        "count",
        *(["PyTorch's masks"] if quality.gate_count else []),
        *(["calibrate"] if options.quantised else []),
    )


def _planned_judgement(target: str, options: ExportOptions, quality: QualityOptions) -> tuple[str, ...]:
    quantised = options.lowest_of(target) in QUANTISED
    return (
        *([f"quantise for {target}"] if quantised else []),
        *([f"masks of {target}"] if quality.gate_count else []),
    )
