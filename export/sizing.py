"""Measuring what a smaller image size costs: masks of the resized model beside those at its own size, in PyTorch.

Points drawn from text are a lottery among the pixels of the model's square, and another square draws others: masks
would differ with no loss. So both draw among the pixels of the own size's square, each on its own similarity map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from cgsam_edge.bundle import Bundle
from cgsam_edge.encoded import Encoded
from cgsam_edge.export.counting import fused_cost
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.manifests import geometry_of, prompting_of
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import Stages, resized
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import AUTO, resize, smaller_sizes
from cgsam_edge.export.torch_backend import NAME, TorchBackend, write_draft
from cgsam_edge.manifest import Manifest, Prompting
from cgsam_edge.prompts import similarity_map, text_points
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

    Sizes are tried from the smallest up, and the first that passes is taken, so that it is the smallest without any
    assumption about those between; as time grows at least with the area, what is tried in vain is the cheap part.

    Args:
        options: what is exported, and at which size.
        limit: least mean mask IoU that the size "auto" accepts.
        pictures: to compare masks on.
        vocabulary: the concepts.
        work: a folder for what is needed meanwhile.
    """

    def __init__(
        self,
        options: ExportOptions,
        limit: float,
        pictures: Sequence[LabelledImage],
        vocabulary: Vocabulary,
        work: Path,
    ) -> None:
        self._options, self._pictures, self._vocabulary, self._work = options, pictures, vocabulary, work
        self._limit = limit if options.image_size == AUTO else None

    def choose(
        self, model: ReferenceModel, stage: Stages, report: Callable[[str], None]
    ) -> tuple[ReferenceModel, SizeSearch]:
        """Return the model at the size that is asked for or that passes, and what was found on the way.

        Args:
            model: at its own size; returned as it is where no smaller size passes.
            stage: progress; gets a stage for each size.
            report: takes lines of progress, the table of all sizes among them.

        Raises:
            InputError: the size that is asked for is not one for this model.
        """
        size = model.config.sam.image_size
        candidates = self._candidates(model)
        stage.more(1)
        with stage(f"masks at the model's own {size} pixels"):
            segmenter, macs, seconds = self._open(model, "own")
            gate = Gate(segmenter, self._pictures)
        search = SizeSearch(size, model.config.clip.image_size, macs, seconds, _own_miou(gate), (), size, self._limit)
        chosen = model
        for candidate in candidates:
            pixels = candidate.config.sam.image_size
            stage.more(1)
            with stage(f"masks at {pixels} pixels"):
                trial = self._try(candidate, gate, size)
            search = replace(search, tried=(*search.tried, trial))
            if self._limit is None or trial.mean_iou >= self._limit:
                chosen, search = candidate, replace(search, chosen=pixels)
                break
        for line in (*search.lines(), f"image size: {search.conclusion}"):
            report(line)
        return chosen, search

    def _candidates(self, model: ReferenceModel) -> list[ReferenceModel]:
        clip = self._options.clip_image_size
        if self._limit is None:
            return [resized(model, self._options)]
        return [resize(model, size, clip) for size in smaller_sizes(model.config.sam.image_size)]

    def _try(self, candidate: ReferenceModel, gate: Gate, own_size: int) -> SizeTrial:
        sizes = candidate.config.sam.image_size, candidate.config.clip.image_size
        segmenter, macs, seconds = self._open(candidate, f"{sizes[0]}")
        prompting = segmenter.bundle.manifest.prompting
        pairs = gate.measure(segmenter, ask=partial(from_text, own_size=own_size, prompting=prompting))
        found = TargetQuality(f"{sizes[0]} pixels", pairs, GateLimits(self._limit or 0.0))
        labelled = found.labelled[1] if found.labelled else None
        return SizeTrial(
            *sizes, macs, seconds, len(found.counted), found.mean_iou, found.worst_concept, found.flips, labelled
        )

    def _open(self, model: ReferenceModel, name: str) -> tuple[Segmenter, int, float]:
        """Return a model as a segmenter, its multiply-adds, and the seconds of one image with one concept."""
        config = model.config
        graphs = build_graphs(model, self._options.click_slots)
        manifest = Manifest(
            geometry_of(config), prompting_of(config.prompt, self._options.click_slots), self._vocabulary.concepts,
            files={}, targets={}, cost={graph: asdict(cost) for graph, cost in fused_cost(config).items()},
        )  # fmt: skip
        folder, backend = self._work / name, TorchBackend(graphs)
        folder.mkdir(parents=True)
        write_draft(folder, manifest, self._vocabulary, graphs)
        timed = race([Racer(name, Bundle(folder), backend, NAME, SessionOptions())])
        seconds = sum(graph.latency.warm for graph in timed if graph.latency)
        return Segmenter(folder, backend=backend), sum(graph.macs or 0 for graph in timed), seconds


def from_text(encoded: Encoded, concept: str, own_size: int, prompting: Prompting) -> ConceptResult:
    """Segment from text alone, with points drawn among the pixels of a square of ``own_size``."""
    similarity = predict(encoded, concept).similarity
    drawn = text_points(similarity_map(similarity, own_size), prompting)
    return predict(encoded, concept, (drawn * (np.asarray(encoded.image.size) / own_size)).astype(np.float32))


def _own_miou(gate: Gate) -> float | None:
    """Return the class mIoU of the reference's own masks; None without labels."""
    return class_miou((one.concept, one.label_overlap) for one in gate.expected)
