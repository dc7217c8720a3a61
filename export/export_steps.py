"""The steps of an export, a method each; `cgsam_edge.export.pipeline` puts them in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cgsam_edge.arithmetic import ArithmeticProof, lines
from cgsam_edge.calibration.quantiser import Quantiser
from cgsam_edge.calibration.ranges import Watched
from cgsam_edge.calibration.ranking import Ranking
from cgsam_edge.examples import EXAMPLES_FILE
from cgsam_edge.export import examples, parity
from cgsam_edge.export.arithmetic_proof import Prover
from cgsam_edge.export.arithmetic_search import Budget
from cgsam_edge.export.checkpoint import read_metadata
from cgsam_edge.export.concepts import ConceptLine, build_vocabulary, carried, check_lengths
from cgsam_edge.export.counting import FusionCosts, fusion_costs
from cgsam_edge.export.engines import open_target
from cgsam_edge.export.fitting import fit
from cgsam_edge.export.graphs.build import Graphs, build_graphs
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.manifests import describe, write_manifest
from cgsam_edge.export.mapped import release_memory
from cgsam_edge.export.mil import parity as mil_parity
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.photo_sets import PhotoSets, choose_photos
from cgsam_edge.export.progress import StepProgress
from cgsam_edge.export.quality_options import QualityOptions, thresholds
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import resize
from cgsam_edge.export.sharing import Sharing, share
from cgsam_edge.export.sizing import Sizing
from cgsam_edge.export.targets import COREML, QUANTISED, TARGETS
from cgsam_edge.export.tokenizer import write_text_files
from cgsam_edge.manifest import GRAPH_NAMES, VOCABULARY_FILE, Manifest
from cgsam_edge.parity import TargetParity
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import TargetQuality
from cgsam_edge.quality.photos import Photos
from cgsam_edge.quality.resolution import SizeSearch
from cgsam_edge.quality.shared_blocks import SharingSearch
from cgsam_edge.runtimes.registry import BACKENDS
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import Vocabulary
from cgsam_edge.wording import amount

Layers = frozenset[tuple[str, str]]
"""Graphs and layers."""


@dataclass(frozen=True)
class ExportSteps:
    """The steps of one export: each takes what earlier ones returned, and none changes what it was given.

    The only exception is `calibrate`, which smooths the graphs in place, because they contain all weights.

    Attributes:
        options: options of the export.
        quality: options of quantisation and the gate.
        progress: receives the steps, and other lines.
        work: a folder for temporary files.
    """

    options: ExportOptions
    quality: QualityOptions
    progress: StepProgress
    work: Path

    def read(self, concepts: Sequence[ConceptLine]) -> ReferenceModel:
        """Read the checkpoint: the model at its own size, with CLIP as in training."""
        options = self.options
        with self.progress.step(f"read {options.checkpoint.name}"):
            clip_size = None if options.resized else options.clip_image_size
            own = load_reference(
                options.checkpoint,
                clip=options.clip,
                clip_image_size=clip_size,
                clip_activation=options.clip_activation,
                clip_heads=options.clip_heads,
                prompt=options.prompt,
                progress=self.progress.say,
            )
        length = own.config.clip.context_length
        check_lengths(options.concepts, concepts, length, prompt_ensemble=options.prompt_ensemble)
        self.progress.say(describe(own.config))
        return own

    def fit(self, own: ReferenceModel, *, judged: bool) -> ExportSteps:
        """Choose the precision by ``max_size``; return the steps of an export with it."""
        options, chosen = fit(self.options, own.config, judged=judged)
        if chosen:
            self.progress.say(chosen)
        return replace(self, options=options)

    def text_features(self, own: ReferenceModel, concepts: list[ConceptLine]) -> Vocabulary:
        """Compute the concepts' text features, and adopt the checkpoint's calibrations for them."""
        checkpoint, ensemble = self.options.checkpoint, self.options.prompt_ensemble
        with self.progress.step("text features", f"of {count(concepts)}"):
            calibrated = carried(checkpoint, read_metadata(checkpoint), concepts, self.progress.say)
            return build_vocabulary(own, concepts, prompt_ensemble=ensemble, calibrated=calibrated)

    def choose_photos(self, own: ReferenceModel) -> PhotoSets:
        """Choose the pictures for calibration and for the gate."""
        side = own.config.sam.image_size
        photos = choose_photos(self.quality, self.work, side, calibrate=self.options.quantised)
        for note in photos.notes:
            self.progress.say(f"warning: {note}")
        return photos

    def resize(
        self, own: ReferenceModel, vocabulary: Vocabulary, photos: PhotoSets
    ) -> tuple[ReferenceModel, SizeSearch | None]:
        """Resize the model to the requested or smallest passing image size, and measure the loss."""
        options, search = self.options, None
        if not options.resized:
            return own, None
        if not photos.gate:
            model = resize(own, options.fixed_size, options.clip_image_size)
        else:
            limit = thresholds(options, self.quality).size_min_iou
            sizing = Sizing(options, limit, photos.gate, vocabulary, self.work / "sizes")
            model, search = sizing.choose(own, self.progress)
        if model is not own:
            self.progress.say(f"resized: {describe(model.config)}")
        return model, search

    def share(
        self, model: ReferenceModel, vocabulary: Vocabulary, photos: PhotoSets
    ) -> tuple[ReferenceModel, SharingSearch | None]:
        """Let all concepts share the condition of as many blocks as requested or as pass, and measure the cost."""
        options = self.options
        if not options.shared_blocks:
            return model, None
        if not photos.gate:
            return share(model, int(options.shared_blocks), vocabulary), None
        limits = thresholds(options, self.quality).targets[options.targets[0]]
        return Sharing(options, limits, photos.gate, vocabulary, self.work / "shared").choose(model, self.progress)

    def fuse(self, model: ReferenceModel) -> Graphs:
        """Fuse the adapters into the graphs that targets are converted from."""
        with self.progress.step("fuse the adapters"):
            graphs = build_graphs(model, self.options.prompt_slots, text=self.options.text_encoder)
        release_memory(model)
        return graphs

    def count(self, model: ReferenceModel) -> FusionCosts:
        """Count the savings of fusion."""
        with self.progress.step("count"):
            cost = fusion_costs(model.config)
        self.progress.say(cost.summary)
        return cost

    def pytorch_masks(self, reference: Segmenter, photos: PhotoSets) -> Gate:
        """Compute PyTorch's masks, with which every target is compared."""
        with self.progress.step("PyTorch's masks", f"on {amount(len(photos.gate), 'picture')} ({photos.origin})"):
            return Gate(reference, photos.gate, self.progress.say)

    def calibrate(self, graphs: Graphs, reference: Segmenter, photos: Photos) -> Quantiser:
        """Smooth the graphs and observe the ranges of their layers."""
        options = self.options
        with self.progress.step("calibrate", f"on {amount(len(photos.paths), 'picture')} ({photos.origin})"):
            quantiser = Quantiser.calibrate(
                graphs, reference, photos, self.work, smoothing=self.quality.smoothing,
                coreml_int8=self.quality.coreml_int8, progress=self.progress.say,
                watched=Watched(options.four_bits, options.convolved_graphs, self.work, options.ranged),
            )  # fmt: skip
        self.progress.say(quantiser.scores)
        for warning in quantiser.warnings:
            self.progress.say(f"warning: {warning}")
        return quantiser

    def rank(self, quantiser: Quantiser, gate: Gate) -> Ranking:
        """Rank the layers by the effect of quantising each one alone."""
        with self.progress.step("try each layer alone"):
            return quantiser.rank(gate, self.options.quantised_graphs, self.quality.fallback_minutes, self.progress.say)

    def write_texts(self, model: ReferenceModel, vocabulary: Vocabulary, folder: Path) -> None:
        """Write the vocabulary, and the files that the text graphs need."""
        vocabulary.save(folder / VOCABULARY_FILE)
        if self.options.text_encoder:
            write_text_files(model, folder, prompt_ensemble=self.options.prompt_ensemble)

    def convert(self, graphs: Graphs, manifest: Manifest, folder: Path) -> Manifest:
        """Write all graphs for all targets, in the precision before quantisation."""
        targets = {}
        for target in self.options.targets:
            specs, settings = {}, self.options.settings_of(target)
            for graph in graphs:
                with self.progress.step(f"convert {graph.name} for {target}"):
                    precision = self.options.base_of(target, graph.name)
                    specs[graph.name] = TARGETS[target].convert(graph, folder, precision, **settings)
                release_memory(graph.module)
            targets[target] = specs
        return replace(manifest, targets=targets)

    def record_examples(self, graphs: Graphs, vocabulary: Vocabulary, manifest: Manifest, folder: Path) -> None:
        """Write the examples that every engine is checked against."""
        with self.progress.step("record examples in PyTorch"):
            recorded = examples.record(graphs, vocabulary, manifest.geometry, manifest.prompting)
            recorded.save(folder / EXAMPLES_FILE)

    def check_parity(self, model: ReferenceModel, graphs: Graphs, manifest: Manifest, folder: Path) -> Manifest:
        """Compare the converted graphs with the reference model."""
        write_manifest(manifest, folder)
        measured = {}
        for target in self.options.targets:
            with self.progress.step(f"{parity_name(target)} of {target} with PyTorch"):
                found = self._parity(target, model, graphs, folder)
            self.progress.say(_agreement(target, found))
            measured[target] = found.to_manifest()
        return replace(manifest, parity=measured)

    def _parity(self, target: str, model: ReferenceModel, graphs: Graphs, folder: Path) -> TargetParity:
        bases = {self.options.base_of(target, graph) for graph in GRAPH_NAMES}
        precision = "fp16" if "fp16" in bases else "fp32"
        if target == COREML:
            return mil_parity.check(model, graphs, folder, precision, self.options.ios, self.progress.say)
        return parity.check(model, folder, BACKENDS[target], precision)

    def quantise(
        self,
        target: str,
        graphs: Graphs,
        manifest: Manifest,
        quantiser: Quantiser,
        folder: Path,
        in_float: Layers = frozenset(),
    ) -> Manifest:
        """Quantise the graphs of a target for which INT8 was requested, with some layers kept in float.

        Args:
            target: the target's name.
            graphs: what was converted.
            manifest: manifest with the target's converted graphs.
            quantiser: quantiser of these graphs.
            folder: the bundle being written; its manifest is written too.
            in_float: layers to keep in float; those of a graph in "int4" are then in INT8.
        """
        specs = dict(manifest.targets[target])
        for graph in graphs:
            release_memory(graph.module)
        with self.progress.step(
            f"quantise for {target}", f"with {amount(len(in_float), 'layer')} kept" if in_float else ""
        ):
            for graph in graphs:
                precision = self.options.precision_of(target, graph.name)
                if precision in QUANTISED:
                    kept = frozenset(layer for name, layer in in_float if name == graph.name)
                    specs[graph.name] = quantiser.quantise(target, graph, folder, specs[graph.name], kept, precision)
        made = replace(manifest, targets={**manifest.targets, target: specs})
        write_manifest(made, folder)
        return made

    def judge(self, target: str, gate: Gate, folder: Path, again: str = "") -> TargetQuality:
        """Compare a target's masks with PyTorch's."""
        limits = thresholds(self.options, self.quality).targets[target]
        with self.progress.step(f"masks of {target}", again), open_target(folder, target) as segmenter:
            return TargetQuality(target, gate.measure(segmenter), limits)

    def prove_arithmetic(
        self,
        judged: Sequence[TargetQuality],
        graphs: Graphs,
        reference: Segmenter,
        gate: Gate,
        made: Manifest,
        folder: Path,
    ) -> Manifest:
        """Find out which graphs may compute in less than float32, and return the manifest that says so."""
        kinds, budget = self.quality.arithmetic, Budget(60 * self.quality.arithmetic_minutes)
        prover = Prover(gate, graphs, reference, folder, kinds, budget, self.progress.say)
        found: dict[str, dict[str, ArithmeticProof]] = {}
        for one in judged:
            with self.progress.step(f"arithmetic of {one.target}"):
                proofs = prover.prove(one, made)
            found |= {one.target: proofs} if proofs else {}
            for text in lines(found, one.target):
                self.progress.say(f"{one.target}: {text}")
        return replace(made, arithmetic=found)


def count(concepts: Sequence[object]) -> str:
    """Return the number of concepts as a phrase."""
    return amount(len(concepts), "concept")


def parity_name(target: str) -> str:
    """Return the name of a target's comparison with PyTorch."""
    return mil_parity.NAME if target == COREML else "parity"


def _agreement(target: str, found: TargetParity) -> str:
    worst = found.worst
    kind = f" ({found.kind})" if found.means else ""
    return (
        f"{target}{kind}: logits within {worst.max_error:.1e} of their standard deviation, "
        f"{100 * worst.flipped:.3f} % of pixels flipped, mask IoU {worst.mask_iou:.4f}"
    )
