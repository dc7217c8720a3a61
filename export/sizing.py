"""Measuring the loss at a smaller image size: masks of the resized model compared with its own size, in PyTorch.

Points from text are drawn pseudo-randomly among the pixels of the model's square, and another square gives other
points: masks would differ without any loss. Both therefore draw among the pixels of the original square, each on its
own similarity map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cgsam_edge.bundle import Bundle
from cgsam_edge.encoded import Encoded
from cgsam_edge.export.counting import fused_cost
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.image_sizes import smaller_sizes
from cgsam_edge.export.manifests import geometry_of, prompting_of
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.progress import StepProgress
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import resize
from cgsam_edge.export.torch_backend import NAME, TorchBackend, write_torch_bundle
from cgsam_edge.manifest import Manifest, Prompting
from cgsam_edge.prompts import drawn_clicks, similarity_map
from cgsam_edge.quality.gate import Gate, predict
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.quality.latency import Racer, race
from cgsam_edge.quality.pairs import class_miou
from cgsam_edge.quality.resolution import SizeSearch, SizeTrial
from cgsam_edge.results import ConceptResult
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import Vocabulary


class Sizing:
    """Tries image sizes of one model.

    Sizes are tried from the smallest up, and the first that passes is taken, so that it is certainly the smallest;
    because time grows at least with the area, failed trials are the cheap part.

    Args:
        options: options of the export, with the size.
        min_iou: lowest mean mask IoU that the size "auto" accepts; None if a size was given.
        pictures: pictures to compare masks on.
        vocabulary: the concepts.
        work: a folder for temporary files.
    """

    def __init__(
        self,
        options: ExportOptions,
        min_iou: float | None,
        pictures: Sequence[LabelledImage],
        vocabulary: Vocabulary,
        work: Path,
    ) -> None:
        self._options, self._pictures, self._vocabulary, self._work = options, pictures, vocabulary, work
        self._min_iou = min_iou

    def choose(self, model: ReferenceModel, progress: StepProgress) -> tuple[ReferenceModel, SizeSearch]:
        """Return the model at the requested or smallest passing size, and the search.

        Args:
            model: the model at its own size; returned unchanged if no smaller size passes.
            progress: receives a step for each size, and the table of all sizes.

        Raises:
            InputError: the requested size does not fit this model.
        """
        size = model.config.sam.image_size
        candidates = self._candidates(model)
        with progress.step(f"masks at the model's own {size} pixels"):
            segmenter, macs, seconds = self._open(model, "own")
            gate = Gate(segmenter, self._pictures, draws=0)
        search = SizeSearch(size, model.config.clip.image_size, macs, seconds, _own_miou(gate), (), size, self._min_iou)
        chosen = model
        for candidate in candidates:
            pixels = candidate.config.sam.image_size
            with progress.step(f"masks at {pixels} pixels"):
                trial = self._try(candidate, gate, size)
            search = replace(search, tried=(*search.tried, trial))
            if self._min_iou is None or trial.mean_iou >= self._min_iou:
                chosen, search = candidate, replace(search, chosen=pixels)
                break
        for line in (*search.lines(), f"image size: {search.conclusion}"):
            progress.say(line)
        return chosen, search

    def _candidates(self, model: ReferenceModel) -> list[ReferenceModel]:
        own, clip = model.config.sam.image_size, self._options.clip_image_size
        sizes = smaller_sizes(own) if self._options.auto_size else [self._options.fixed_size]
        return [resize(model, size, clip) for size in sizes]

    def _try(self, candidate: ReferenceModel, gate: Gate, own_size: int) -> SizeTrial:
        sizes = candidate.config.sam.image_size, candidate.config.clip.image_size
        segmenter, macs, seconds = self._open(candidate, f"{sizes[0]}")
        prompting = segmenter.bundle.manifest.prompting
        pairs = gate.measure(segmenter, ask=partial(from_text, own_size=own_size, prompting=prompting))
        found = TargetQuality(f"{sizes[0]} pixels", pairs, GateLimits(self._min_iou or 0.0))
        labelled = found.labelled[1] if found.labelled else None
        return SizeTrial(
            *sizes, macs, seconds, len(found.counted), found.mean_iou, found.worst_concept, found.flips, labelled
        )

    def _open(self, model: ReferenceModel, name: str) -> tuple[Segmenter, int, float]:
        """Return a model as a segmenter, its multiply-adds, and the seconds of one image with one concept."""
        config = model.config
        graphs = build_graphs(model, self._options.prompt_slots)
        prompting = prompting_of(config.prompt, self._options.prompt_slots)
        manifest = Manifest(geometry_of(config), prompting, self._vocabulary.concepts, files={}, targets={})
        folder, backend = (
            write_torch_bundle(self._work / name, manifest, self._vocabulary, graphs),
            TorchBackend(graphs),
        )
        timed = race([Racer(name, Bundle(folder), backend, NAME, SessionOptions())])
        seconds = sum(graph.latency.warm for graph in timed if graph.latency)
        macs = sum(cost.macs for cost in fused_cost(config).values())
        return Segmenter(folder, backend=backend), macs, seconds


def from_text(encoded: Encoded, concept: str, own_size: int, prompting: Prompting) -> ConceptResult:
    """Segment from text alone, with points drawn among the pixels of a square of ``own_size``."""
    similarity = predict(encoded, concept).similarity
    clicks = drawn_clicks(similarity_map(similarity, own_size), encoded.image.size, prompting)
    return predict(encoded, concept, clicks.points)


def _own_miou(gate: Gate) -> float | None:
    """Return the class mIoU of the reference's own masks; None without labels."""
    return class_miou((one.concept, one.label_overlap) for one in gate.expected)
