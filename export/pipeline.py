"""The export, from files to a bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import InputError
from cgsam_edge.examples import EXAMPLES_FILE
from cgsam_edge.export import examples, parity
from cgsam_edge.export.checkpoint import read_metadata
from cgsam_edge.export.concepts import ConceptLine, build_vocabulary, carried, check_lengths, read_concepts
from cgsam_edge.export.counting import cost_report
from cgsam_edge.export.graphs.build import Graph, Graphs, build_graphs
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.manifests import describe, new_manifest, write_manifest
from cgsam_edge.export.mil import parity as mil_parity
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import AUTO, resize
from cgsam_edge.export.targets import TARGETS, coreml
from cgsam_edge.export.tokenizer import write_text_files
from cgsam_edge.manifest import GRAPH_NAMES, VOCABULARY_FILE, GraphSpec, Manifest
from cgsam_edge.staging import check_destination, staged
from cgsam_edge.vocabulary import Vocabulary

Report = Callable[[str], None]
"""Called with one line of progress."""


class Stages:
    """Progress: a numbered line when a stage begins, and its seconds when it ends.

    Args:
        report: takes each line.
        total: how many stages there will be.
    """

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def more(self, count: int) -> None:
        """Expect some more stages than at first."""
        self._total += count

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run one stage."""
        self._done += 1
        self._report(f"[{self._done}/{self._total}] {name} …")
        start = time.perf_counter()
        yield
        self._report(f"[{self._done}/{self._total}] {name}: {time.perf_counter() - start:.1f} s")


@dataclass(frozen=True)
class Draft:
    """A bundle while it is written.

    Attributes:
        options: what is exported.
        model: the reference model.
        graphs: what targets are converted from; a finisher may smooth them before that.
        vocabulary: its concepts.
        manifest: as far as it goes.
        folder: the bundle's, beside its destination.
        stage: progress.
        report: takes lines of progress.
    """

    options: ExportOptions
    model: ReferenceModel
    graphs: Graphs
    vocabulary: Vocabulary
    manifest: Manifest
    folder: Path
    stage: Stages
    report: Report

    def convert(self, graph: Graph, target: str) -> GraphSpec:
        """Write one graph for a target, in the precision before it may be quantised."""
        settings = self.options.settings_of(target)
        return TARGETS[target].convert(graph, self.folder, self.options.base_of(target, graph.name), **settings)


class Finisher(Protocol):
    """What measures: size, quantisation, and the judgement of masks. The room `calibration` has it."""

    @property
    def stages(self) -> int:
        """How many stages of progress it adds."""

    def size(self, model: ReferenceModel, vocabulary: Vocabulary, stage: Stages, report: Report) -> ReferenceModel:
        """Bring a model, as the checkpoint has it, to the size that is asked for, and measure what that costs."""

    def prepare(self, draft: Draft) -> None:
        """Ready the graphs before they are converted."""

    def finish(self, draft: Draft) -> Manifest:
        """Quantise what was written, judge it, and return the manifest; raise where it shall not appear."""


def export_bundle(options: ExportOptions, report: Report = lambda _: None, finisher: Finisher | None = None) -> Path:
    """Export a bundle and return its path.

    The bundle appears complete or not at all; one that was there before stays until then.

    Args:
        options: what to export.
        report: takes lines of progress.
        finisher: quantises and judges; without one, "int8" and the image size "auto" are refused.

    Raises:
        CheckpointError: the checkpoint or CLIP weights cannot be used.
        ConceptsError: the concepts file cannot be used.
        OutputError: the bundle cannot be written.
        ExportError: the conversion failed or disagrees with the reference.
    """
    if finisher is None:
        _refuse_measured(options)
    added = finisher.stages if finisher else 0
    stage = Stages(report, total=6 + (6 if options.text_encoder else 4) * len(options.targets) + added)
    destination = options.destination
    check_destination(destination)
    concepts = read_concepts(options.concepts, report)
    with stage(f"read {options.checkpoint.name}"):
        own = _load(options, report)
    length = own.config.clip.context_length
    check_lengths(options.concepts, concepts, length, prompt_ensemble=options.prompt_ensemble)
    report(describe(own.config))
    with stage(f"text features of {_count(concepts)}"):
        calibrated = carried(options.checkpoint, read_metadata(options.checkpoint), concepts, report)
        ensemble = options.prompt_ensemble
        vocabulary = build_vocabulary(own, concepts, prompt_ensemble=ensemble, calibrated=calibrated)
    model = finisher.size(own, vocabulary, stage, report) if finisher else resized(own, options)
    if model is not own:
        report(f"resized: {describe(model.config)}")
    with stage("fuse the adapters"):
        graphs = build_graphs(model, options.click_slots, text=options.text_encoder)
    with stage("count"):
        cost = cost_report(model.config)
    report(_saved(cost))
    with staged(destination) as folder:
        vocabulary.save(folder / VOCABULARY_FILE)
        if options.text_encoder:
            write_text_files(model, folder, prompt_ensemble=options.prompt_ensemble)
        manifest = new_manifest(model.config, options, vocabulary, cost, own.config.sam.image_size)
        draft = Draft(options, model, graphs, vocabulary, manifest, folder, stage, report)
        if finisher:
            finisher.prepare(draft)
        targets = {name: _convert(draft, name) for name in options.targets}
        manifest = replace(manifest, targets=targets)
        with stage("record examples in PyTorch"):
            recorded = examples.record(graphs, vocabulary, manifest.geometry, manifest.prompting)
            recorded.save(folder / EXAMPLES_FILE)
        write_manifest(manifest, folder)
        measured: dict[str, Any] = {}
        for name in options.targets:
            with stage(f"{_parity_name(name)} of {name} with PyTorch"):
                measured[name] = _check_parity(name, model, graphs, folder, options, report)
            report(_agreement(name, measured[name]))
        manifest = replace(manifest, parity=measured)
        if finisher:
            manifest = finisher.finish(replace(draft, manifest=manifest))
        with stage(f"write {destination}"):
            write_manifest(manifest, folder)
    report(f"wrote {destination}: {Bundle(destination).size / 1e6:.1f} MB, {_count(concepts)}")
    return destination


def _refuse_measured(options: ExportOptions) -> None:
    """Refuse what only a finisher can do."""
    if any(options.lowest_of(target) == "int8" for target in options.targets):
        raise InputError("int8 needs calibration: cgsam_edge.export.finish.Finish does it.")
    if options.image_size == AUTO:
        raise InputError("the image size 'auto' needs measuring: cgsam_edge.export.finish.Finish does it.")


def _load(options: ExportOptions, report: Report) -> ReferenceModel:
    """Return the model at its own size, with CLIP beside that as training had it."""
    clip_size = None if options.resized else options.clip_image_size
    return load_reference(
        options.checkpoint,
        clip=options.clip,
        clip_image_size=clip_size,
        clip_activation=options.clip_activation,
        clip_heads=options.clip_heads,
        prompt=options.prompt,
        progress=report,
    )


def resized(own: ReferenceModel, options: ExportOptions) -> ReferenceModel:
    """Return a model at the image sizes that are asked for."""
    if not options.resized:
        return own
    assert options.image_size != AUTO
    return resize(own, options.image_size, options.clip_image_size)


def _count(concepts: list[ConceptLine]) -> str:
    return "1 concept" if len(concepts) == 1 else f"{len(concepts)} concepts"


def _saved(cost: dict[str, Any]) -> str:
    before, after = cost["reference"], cost["fused"]
    parts = [
        f"{name} {before[key] / unit:.{digits}f} → {after[key] / unit:.{digits}f}{suffix}"
        for name, key, unit, suffix, digits in (
            ("parameters", "parameters", 1e6, " M", 1),
            ("multiply-adds", "macs", 1e9, " G", 1),
            ("kernels", "kernels", 1, "", 0),
        )
    ]
    return "fusion: " + ", ".join(parts)


def _parity_name(target: str) -> str:
    return mil_parity.NAME if target == coreml.TARGET else "parity"


def _check_parity(
    target: str, model: ReferenceModel, graphs: Graphs, folder: Path, options: ExportOptions, report: Report
) -> Any:
    bases = {options.base_of(target, graph) for graph in GRAPH_NAMES}
    precision = "fp16" if "fp16" in bases else "fp32"
    if target == coreml.TARGET:
        return mil_parity.check(model, graphs, folder, precision, options.ios, report)
    return parity.check(model, folder, target, precision)


def _agreement(name: str, found: Any) -> str:
    masks = found["tiers"]["masks"] if isinstance(found, dict) else found
    worst = max(masks, key=lambda f: f["rms_error"])
    kind = f" ({mil_parity.NAME})" if isinstance(found, dict) else ""
    return (
        f"{name}{kind}: logits within {worst['max_error']:.1e} of their standard deviation, "
        f"{100 * worst['flipped']:.3f} % of pixels flipped, mask IoU {worst['mask_iou']:.4f}"
    )


def _convert(draft: Draft, target: str) -> dict[str, GraphSpec]:
    specs = {}
    for graph in draft.graphs:
        with draft.stage(f"convert {graph.name} for {target}"):
            specs[graph.name] = draft.convert(graph, target)
    return specs
