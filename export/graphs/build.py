"""The graphs of one model together, with named example inputs: the starting point of converters and parity checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cgsam_edge.export.config import DEFAULT_PROMPT_SLOTS, ModelConfig
from cgsam_edge.export.graphs import kernels
from cgsam_edge.export.graphs.decoder import DecoderGraph
from cgsam_edge.export.graphs.model import ClipGraph, ConceptGraph, ImageGraph
from cgsam_edge.export.graphs.text import START, TextGraph, TextRowGraph
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.prompts import EXTRA_SLOTS


@dataclass(frozen=True)
class Graph:
    """One graph before conversion.

    Attributes:
        name: "clip", "image", "concept", "decoder", "text" or "text_row".
        module: maps named tensors to a dict of named tensors.
        inputs: shape of each input by name, float32, in the order of the module's arguments.
        outputs: names in the order of the module's dict.
        limits: lowest and highest value of inputs, for targets with a small range of numbers.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def example(self) -> dict[str, Tensor]:
        """Return inputs of the right shapes; values are seeded noise, labels are valid."""
        generator = torch.Generator().manual_seed(0)
        made = {name: torch.randn(shape, generator=generator) for name, shape in self.inputs.items()}
        if "labels" in made:
            made["labels"] = made["labels"].sign()
        if "end" in made:  # the text graph: the empty name
            made = {name: torch.zeros(shape) for name, shape in self.inputs.items()}
            made["token_ids"][..., :2] = (
                torch.tensor([[START, START + 1]]).unsqueeze(1).div(torch.tensor([[256], [1]]), rounding_mode="floor")
                % 256
            )
            made["end"][:, 1] = 1
        return made

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute the outputs in PyTorch; inputs that the graph does not have are ignored."""
        with kernels.using():
            out: dict[str, Tensor] = self.module(**{name: inputs[name] for name in self.inputs})
        return out


@dataclass(frozen=True)
class Graphs:
    """The four graphs of a bundle, and the text graphs for adding concepts, if requested."""

    clip: Graph
    image: Graph
    concept: Graph
    decoder: Graph
    text: tuple[Graph, ...] = ()

    def __iter__(self) -> Iterator[Graph]:
        return iter((self.clip, self.image, self.concept, self.decoder, *self.text))


def _clip_outputs(config: ModelConfig) -> tuple[str, ...]:
    return ("clip_features", *(["vision"] if any(block.vision for block in config.sam.blocks) else []))


def _image_outputs(config: ModelConfig) -> tuple[str, ...]:
    return ("tokens", *(["adapter_hidden"] if config.sam.first_own < len(config.sam.blocks) else []))


def build_text_graphs(model: ReferenceModel) -> tuple[Graph, ...]:
    """Return the graphs from tokens to a text feature, and from that to a row of the table if the model has one."""
    clip = model.config.clip
    inputs = {"token_ids": (1, 2, clip.context_length), "end": (1, clip.context_length)}
    limits = {"token_ids": (0.0, 255.0), "end": (0.0, 1.0), "text": (-1.0, 1.0)}
    text = Graph("text", TextGraph(model.clip).eval(), inputs, ("text_embedding",), limits)
    if not any(block.text for block in model.config.sam.blocks):
        return (text,)
    row = Graph("text_row", TextRowGraph(model).eval(), {"text": (1, clip.embed_dim)}, ("text_row",), limits)
    return text, row


def build_graphs(model: ReferenceModel, prompt_slots: int = DEFAULT_PROMPT_SLOTS, *, text: bool = False) -> Graphs:
    """Fuse a reference model into the graphs of a bundle.

    Args:
        model: the reference model; tensors that fusion leaves alone are shared with it.
        prompt_slots: number of click slots; three more slots are for a box and SAM's "not a point" token.
        text: whether to add the text graphs for adding concepts.
    """
    sam, clip = model.config.sam, model.config.clip
    grid, r = sam.grid, sam.mlp_adapter_width
    slots = prompt_slots + EXTRA_SLOTS
    clip_graph = ClipGraph(model).eval()
    image = ImageGraph(model).eval()
    concept = ConceptGraph(model, clip_graph, image).eval()
    shapes = {
        "pixels": (1, 3, sam.image_size, sam.image_size),
        "tokens": (1, grid, grid, sam.width),
        "adapter_hidden": (1, grid, grid, r),
        "vision": (1, sum(block.vision for block in sam.blocks) * r, clip.grid, clip.grid),
        "similarity": (1, 1, clip.grid, clip.grid),
        "text_row": (1, sum(block.text for block in sam.blocks), r),
    }
    decoder_inputs = {
        "image_embedding": (1, sam.prompt_width, grid, grid),
        "points": (1, slots, 2),
        "labels": (1, slots),
        "dense_prompt": (1, 1, sam.mask_size, sam.mask_size),
    }
    limits = _limits(model, clip_graph)
    return Graphs(
        Graph("clip", clip_graph, {"pixels": shapes["pixels"]}, _clip_outputs(model.config), limits),
        Graph("image", image, {name: shapes[name] for name in image.input_names}, _image_outputs(model.config), limits),
        Graph("concept", concept, {name: shapes[name] for name in concept.input_names}, ("image_embedding",), limits),
        Graph("decoder", DecoderGraph(model).eval(), decoder_inputs, ("mask_logits", "iou"), limits),
        build_text_graphs(model) if text else (),
    )


def _limits(model: ReferenceModel, clip: ClipGraph) -> dict[str, tuple[float, float]]:
    """Return each input's possible range: from the bundle's contract, from the weights, or a generous estimate."""
    size, dense = float(model.config.sam.image_size), float(model.config.prompt.dense_value)
    if clip.clip.positions.is_meta:  # the graph is only counted, never run
        return {}
    last_norm: Any = model.sam.image_encoder.neck[-1]
    channels = model.config.sam.prompt_width
    embedding = channels**0.5 * last_norm.weight.abs().max().item() + last_norm.bias.abs().max().item()
    symmetric = {
        "tokens": 2.0**14,  # a layer norm comes next
        "adapter_hidden": 2.0**10,
        "text_row": 2.0**10,
        "similarity": float(model.config.clip.embed_dim) ** 0.5,  # features of at most 1, a text of unit length
        "image_embedding": embedding,  # the largest output of a layer norm
    }
    if clip.vision_products is not None:
        symmetric["vision"] = clip.vision_products.abs().sum(dim=1).max().item()
    ranges = {"pixels": (0.0, 255.0), "points": (0.0, size), "labels": (-2.0, 3.0)}
    ranges["dense_prompt"] = (min(0.0, dense), max(0.0, dense))
    return ranges | {name: (-limit, limit) for name, limit in symmetric.items()}
