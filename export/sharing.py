"""One condition for all concepts in the first semantic blocks, so that they are computed once an image.

A semantic block's condition is made from the image's CLIP features, the concept's similarity with them, and its text.
In a shared block the similarity is left out and the text is the mean over the vocabulary, fixed at export: a concept
that is added later changes no other concept's mask. Everything up to the first block with a condition of the concept's
own moves from the graph ``concept`` into the graph ``image``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cgsam_edge.errors import InputError
from cgsam_edge.export.counting import fused_cost
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.manifests import geometry_of, prompting_of
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.progress import StepProgress
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.torch_backend import open_in_torch
from cgsam_edge.manifest import Manifest
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.quality.shared_blocks import SharingSearch, SharingTrial
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.vocabulary import Vocabulary


def share(model: ReferenceModel, blocks: int, vocabulary: Vocabulary) -> ReferenceModel:
    """Return a model whose first semantic blocks share one condition; it shares all tensors with ``model``.

    Args:
        model: with a condition for each concept everywhere.
        blocks: how many of its semantic blocks.
        vocabulary: the concepts whose mean text they take.

    Raises:
        InputError: the model has fewer semantic blocks.
    """
    semantic = len(model.config.sam.semantic_blocks)
    if not 0 <= blocks <= semantic:
        raise InputError(f"{blocks} blocks cannot be shared: the model has {semantic} that depend on the concept.")
    config = replace(model.config, sam=replace(model.config.sam, shared_blocks=blocks))
    with torch.device("meta"):
        made = ReferenceModel(config)
    made.sam.load_state_dict(model.sam.state_dict(), assign=True)
    made.clip.load_state_dict(model.clip.state_dict(), assign=True)
    made.clip.attn_mask = model.clip.attn_mask
    made.shared_texts = torch.from_numpy(vocabulary.features.copy())
    return made.eval().requires_grad_(requires_grad=False)


def further_macs(model: ReferenceModel) -> int:
    """Return the multiply-adds of one more concept of an image that is encoded already."""
    cost = fused_cost(model.config)
    return cost["concept"].macs + cost["decoder"].macs


class Sharing:
    """Tries how many blocks can be shared, from all of them down; the first that passes is taken.

    Args:
        options: what is exported.
        limits: what passes; they decide where the number is "auto".
        pictures: to compare masks on.
        vocabulary: the concepts.
        work: a folder for what is needed meanwhile.
    """

    def __init__(
        self,
        options: ExportOptions,
        limits: GateLimits,
        pictures: Sequence[LabelledImage],
        vocabulary: Vocabulary,
        work: Path,
    ) -> None:
        self._options, self._limits, self._pictures = options, limits, pictures
        self._vocabulary, self._work = vocabulary, work

    def choose(self, model: ReferenceModel, progress: StepProgress) -> tuple[ReferenceModel, SharingSearch]:
        """Return the model with the blocks shared that were asked for or that pass, and what was found on the way.

        Args:
            model: with a condition for each concept everywhere; returned as it is where nothing passes.
            progress: takes a step for each number, and the table of all of them.

        Raises:
            InputError: more blocks are asked for than the model has.
        """
        semantic, asked = len(model.config.sam.semantic_blocks), self._options.shared_blocks
        counts = range(semantic, 0, -1) if self._options.auto_shared else [int(asked)]
        candidates = [share(model, count, self._vocabulary) for count in counts]
        with progress.step("masks without shared blocks"):
            gate = Gate(self._open(model, "own"), self._pictures)
        search = SharingSearch(semantic, further_macs(model), (), 0, auto=self._options.auto_shared)
        chosen = model
        for candidate in candidates:
            count = candidate.config.sam.shared_blocks
            with progress.step(f"masks with {count} of {semantic} blocks shared"):
                found = TargetQuality(f"{count} shared", gate.measure(self._open(candidate, str(count))), self._limits)
            trial = SharingTrial.of(count, further_macs(candidate), found)
            search = replace(search, tried=(*search.tried, trial))
            if found.passed or not self._options.auto_shared:
                chosen, search = candidate, replace(search, chosen=count)
                break
        for line in (*search.lines(), f"shared blocks: {search.conclusion}"):
            progress.say(line)
        return chosen, search

    def _open(self, model: ReferenceModel, name: str) -> Segmenter:
        graphs = build_graphs(model, self._options.prompt_slots)
        prompting = prompting_of(model.config.prompt, self._options.prompt_slots)
        manifest = Manifest(geometry_of(model.config), prompting, self._vocabulary.concepts, files={}, targets={})
        return open_in_torch(self._work / name, manifest, self._vocabulary, graphs)
