"""Options of an export: source, destination, targets and precision."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.export.config import DEFAULT_PROMPT_SLOTS, Activation, PromptConfig
from cgsam_edge.export.image_sizes import AUTO, check_size
from cgsam_edge.export.targets import (
    CONVOLVED_GRAPHS,
    COREML,
    DEFAULT_IOS,
    IOS_VERSIONS,
    QUANTISED,
    QUANTISED_GRAPHS,
    TARGETS,
)
from cgsam_edge.manifest import GRAPH_NAMES, TEXT_GRAPHS


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export: source, destination, targets and precision.

    Attributes:
        checkpoint: a CLIP-Guided SAM or plain SAM checkpoint.
        concepts: the concepts file.
        output: the bundle; None means ``<stem of the concepts file>.cgsam`` in the working folder.
        targets: names in `TARGETS`.
        precision: "fp32", "fp16", "int8" or "int4" for all graphs, or entries for some, such as
            "image=int8,decoder=fp16"; None means each target's default. "int8" and "int4" apply to the encoder graphs;
            the others are then "fp16". What is said of "image" alone holds for "clip" too.
        max_size: most bytes that a device stores that takes one target of the bundle; without ``precision``, the most
            precise of "fp32", "fp16", "int8" and "int4" that fits is taken. None means any size.
        clip: public CLIP weights for a checkpoint without CLIP.
        clip_activation: activation of CLIP's MLPs; None determines it, see `clip_form`.
        clip_heads: heads of CLIP's vision tower, or of vision and text; None determines them.
        image_size: side in pixels that images are squashed to, see `resize`; "auto" takes the smallest whose masks
            pass; None means the checkpoint's own.
        clip_image_size: side in pixels at which CLIP runs; None means the size of its training, but never more than
            ``image_size``.
        shared_blocks: number of semantic blocks, from the first, in which all concepts share one condition, see
            `sharing`; "auto" takes the most whose masks pass.
        prompt: settings that checkpoints do not record.
        prompt_slots: largest number of clicks in one prompt.
        prompt_ensemble: average concept names over CLIP's templates.
        text_encoder: add CLIP's text encoder, so that concepts can be added to the bundle later.
        ios: the oldest iOS that Core ML packages must run on: 16, 17 or 18.
    """

    checkpoint: Path
    concepts: Path
    output: Path | None = None
    targets: tuple[str, ...] = ("onnxruntime",)
    precision: str | None = None
    max_size: int | None = None
    clip: Path | None = None
    clip_activation: Activation | None = None
    clip_heads: tuple[int, ...] | None = None
    image_size: int | Literal["auto"] | None = None
    clip_image_size: int | None = None
    shared_blocks: int | Literal["auto"] = 0
    prompt: PromptConfig = field(default_factory=PromptConfig)
    prompt_slots: int = DEFAULT_PROMPT_SLOTS
    prompt_ensemble: bool = False
    text_encoder: bool = False
    ios: int = DEFAULT_IOS

    def __post_init__(self) -> None:
        for target in self.targets:
            self._check_target(target)
        if self.ios not in IOS_VERSIONS:
            raise InputError(f"no iOS version {self.ios!r}; expected one of {', '.join(map(str, IOS_VERSIONS))}.")
        if self.clip_heads is not None and not (len(self.clip_heads) in (1, 2) and min(self.clip_heads) > 0):
            raise InputError(f"clip_heads must be VISION or VISION,TEXT, each 1 or more, got {self.clip_heads}.")
        if self.prompt_slots < self.prompt.points:
            raise InputError(f"{self.prompt.points} text points do not fit {self.prompt_slots} prompt slots.")
        if self.max_size is not None and self.max_size <= 0:
            raise InputError(f"max_size must be a number of bytes above 0, got {self.max_size}.")
        if self.fixed_size is not None:
            check_size(self.fixed_size)
        elif self.image_size not in (None, AUTO):
            raise InputError(f"an image size is a number of pixels, or {AUTO!r}, got {self.image_size!r}.")

        if self.shared_blocks != AUTO and not (isinstance(self.shared_blocks, int) and self.shared_blocks >= 0):
            raise InputError(f"shared blocks are a number from 0, or {AUTO!r}, got {self.shared_blocks!r}.")

    def _check_target(self, name: str) -> None:
        if name not in TARGETS:
            raise InputError(f"no target {name!r}; expected one of {', '.join(TARGETS)}.")
        target = TARGETS[name]
        for word in self.precisions.values():
            if word not in target.precisions:
                held = ", ".join(target.precisions)
                raise InputError(f"target {name!r} has no precision {word!r}; expected one of {held}.")
        missing = [module for module in target.needs if not importlib.util.find_spec(module)]
        if missing:
            raise BackendError(f"target {name!r} needs {', '.join(missing)}: pip install 'cgsam-edge[{name}]'.")

    @property
    def auto_size(self) -> bool:
        """Whether the export searches for the smallest image size whose masks pass."""
        return self.image_size == AUTO

    @property
    def fixed_size(self) -> int | None:
        """The image size as a number; None if it was not given, or "auto"."""
        return self.image_size if isinstance(self.image_size, int) else None

    @property
    def auto_shared(self) -> bool:
        """Whether the export looks for the most blocks that can be shared."""
        return self.shared_blocks == AUTO

    @property
    def resized(self) -> bool:
        """Whether SAM, or the CLIP that a checkpoint holds, may run at a size other than that of training."""
        return self.image_size is not None or (self.clip_image_size is not None and self.clip is None)

    @property
    def precisions(self) -> dict[str, str]:
        """The precision of each graph that was given one; the key "" stands for all others.

        Raises:
            InputError: an unknown graph is named, or one that is never quantised.
        """
        parts = [part.strip() for part in self.precision.split(",")] if self.precision else []
        made = {}
        for part in parts:
            graph, given, word = part.rpartition("=")
            if given and graph not in (*GRAPH_NAMES, *TEXT_GRAPHS):
                raise InputError(
                    f"no graph {graph!r} in --precision; expected {', '.join(GRAPH_NAMES)}, as in image=int8."
                )
            if given and word in QUANTISED and graph not in QUANTISED_GRAPHS:
                raise InputError(f"the graph {graph!r} is never quantised: that would harm masks and save no time.")
            made[graph] = word
        return made

    def precision_of(self, target: str, graph: str) -> str:
        """Return the precision at which a graph is written for a target."""
        words = {"": TARGETS[target].default_precision, **self.precisions}
        if "image" in words:
            words.setdefault("clip", words["image"])  # as before CLIP was a graph apart
        word = words.get(graph, words[""])
        return "fp16" if word in QUANTISED and graph not in QUANTISED_GRAPHS else word

    def base_of(self, target: str, graph: str) -> str:
        """Return the precision at which a graph is converted, before it may be quantised."""
        word = self.precision_of(target, graph)
        return TARGETS[target].quantised_from if word in QUANTISED else word

    def lowest_of(self, target: str) -> str:
        """Return the lowest precision among a target's graphs."""
        words = {self.precision_of(target, graph) for graph in GRAPH_NAMES}
        return next(word for word in (*QUANTISED, "fp16", "fp32") if word in words)

    @property
    def quantised_graphs(self) -> frozenset[str]:
        """Names of the graphs that are quantised for some target."""
        pairs = ((graph, target) for graph in QUANTISED_GRAPHS for target in self.targets)
        return frozenset(graph for graph, target in pairs if self.precision_of(target, graph) in QUANTISED)

    @property
    def quantised(self) -> bool:
        """Whether some graph of some target is quantised."""
        return any(self.lowest_of(target) in QUANTISED for target in self.targets)

    @property
    def four_bits(self) -> bool:
        """Whether some graph of some target has weights of four bits."""
        return any(self.lowest_of(target) == "int4" for target in self.targets)

    @property
    def ranged(self) -> bool:
        """Whether some graph computes with inputs in INT8; Core ML's ranges are measured on its own graphs."""
        engines = (target for target in self.targets if target != COREML)
        return any(self.precision_of(target, graph) == "int8" for target in engines for graph in QUANTISED_GRAPHS)

    @property
    def convolved_graphs(self) -> frozenset[str]:
        """Names of the graphs whose convolutions some target computes in INT8."""
        pairs = ((graph, one) for graph in CONVOLVED_GRAPHS for one in self.targets if TARGETS[one].convolutions)
        return frozenset(graph for graph, one in pairs if self.precision_of(one, graph) == "int8")

    def settings_of(self, target: str) -> dict[str, Any]:
        """Return the options that a target's converter takes."""
        return {name: getattr(self, name) for name in TARGETS[target].settings}

    @property
    def destination(self) -> Path:
        """Path of the bundle."""
        return self.output or Path(f"{self.concepts.stem}.cgsam")
