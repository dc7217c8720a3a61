"""The graphs ``clip``, ``image`` and ``concept``: CLIP, and SAM's fused encoder, cut where the concept enters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsam_edge.export import fusion
from cgsam_edge.export.config import SamConfig
from cgsam_edge.export.graphs.clip import ClipFeatures
from cgsam_edge.export.graphs.encoder import SemanticBlock, add_adapter, fuse_block
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.adapters import SemanticAdapter
from cgsam_edge.export.reference.clip_surgery import clip_pixels

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


def normalise_pixels(pixels: Tensor) -> Tensor:
    """Map RGB values 0 to 255, float32 (B, 3, S, S), to normalised pixels, by the operations of training."""
    mean, std = (torch.tensor(v, device=pixels.device).reshape(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    return (pixels / 255 - mean) / std


def semantic_adapters(model: ReferenceModel) -> Iterator[SemanticAdapter]:
    """Yield the semantic adapters in the order of their blocks."""
    for block in model.sam.image_encoder.blocks:
        if isinstance(block.MLP_Adapter, SemanticAdapter):
            yield block.MLP_Adapter


class ClipGraph(nn.Module):
    """CLIP's features of an image, and what they add to the adapters' conditions.

    Args:
        model: the reference model; tensors that fusion does not change are shared.
    """

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        config = model.config
        self.clip_size, self.grid = config.clip.image_size, config.clip.grid
        self.clip = ClipFeatures(model.clip.visual, config.clip, config.prompt.similarity_norm)
        products = _vision_products(model)
        self.vision_products = None if products is None else nn.Parameter(products, requires_grad=False)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map RGB pixels (1, 3, S, S), 0 to 255, to ``clip_features`` and, with semantic vision, ``vision``."""
        features = self.clip(clip_pixels(normalise_pixels(pixels), self.clip_size))
        out = {"clip_features": features[0]}
        if self.vision_products is not None:
            products = features[:, 1:] @ self.vision_products.T  # engines prefer the constant on the right
            out["vision"] = products.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return out


class ImageGraph(nn.Module):
    """What SAM computes once per image: up to the first block whose condition is the concept's own.

    Where no block has one, ``tokens`` are those after the last block, and it is the only output.

    Args:
        model: the reference model; tensors that fusion does not change are shared.
    """

    blocks: Any  # a ModuleList of FusedBlock and SemanticBlock
    shared_rows: Tensor

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        config = model.config
        encoder = model.sam.image_encoder
        self.conditions = BlockConditions.of_blocks(config.sam, shared=True)
        self.register_buffer("shared_rows", _shared_rows(model))
        self.patch_embed = encoder.patch_embed
        self.positions = nn.Parameter(encoder.pos_embed.detach().flatten(1, 2), requires_grad=False)
        self.first_own = config.sam.first_own
        self.blocks = nn.ModuleList(fuse_block(b, config.sam) for b in encoder.blocks[: self.first_own + 1])

    @property
    def first_up(self) -> nn.Module | None:
        """The layer of the last block that the concept graph computes; None where no block is the concept's own."""
        return getattr(self.blocks[self.first_own], "up", None) if self.first_own < len(self.blocks) else None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs that this model has, in the order of ``forward``."""
        return ("pixels", "vision") if self.conditions.vision else ("pixels",)

    def forward(self, pixels: Tensor, vision: Tensor | None = None) -> dict[str, Tensor]:
        """Map RGB pixels (1, 3, S, S), 0 to 255, and ``vision`` of the clip graph to the outputs of the graph."""
        out = {}
        conditions = self.conditions.of(vision, self.shared_rows)
        embedded = self.patch_embed(normalise_pixels(pixels))
        shape = embedded.shape[1:3]
        tokens = embedded.flatten(1, 2) + self.positions  # flat first: OpenVINO would turn a sum of four axes
        for i, block in enumerate(self.blocks):
            if i == self.first_own:
                tokens, hidden = block.prepare(tokens)
                out["adapter_hidden"] = hidden.unflatten(1, shape)
            else:
                tokens = block(tokens, next(conditions)) if isinstance(block, SemanticBlock) else block(tokens)
        return {"tokens": tokens.unflatten(1, shape), **out}


def _vision_products(model: ReferenceModel) -> Tensor | None:
    """Stack W1 Wv of all blocks with a vision projection: (n·r, D)."""
    adapters = ((a.D_fc1, a.vis_projection) for a in semantic_adapters(model))
    products = [fusion.wide(d)[0] @ fusion.wide(v)[0] for d, v in adapters if v is not None]
    return torch.cat(products).float() if products else None


def _shared_rows(model: ReferenceModel) -> Tensor:
    """Return the mean rows of the vocabulary that shared blocks take, (1, n, r), of all blocks that take text."""
    adapters = [one for one in semantic_adapters(model) if one.text_projection is not None]
    if not model.config.sam.shared_blocks:
        adapters = []
    texts = model.shared_texts
    rows = [fusion.text_row(one, texts.to(one.D_fc1.weight.device)).mean(dim=0) for one in adapters]
    return torch.stack(rows)[None] if rows else torch.zeros(1, 0, 1)


@dataclass(frozen=True)
class BlockConditions:
    """The conditions of those semantic blocks that share one, or of those that have their own.

    Attributes:
        kinds: of each block, whether it takes text and whether it takes vision.
        first_text, first_vision: blocks before these that take them.
        grid: SAM's tokens along one side.
        width: r, channels of a condition.
    """

    kinds: tuple[tuple[bool, bool], ...]
    first_text: int
    first_vision: int
    grid: int
    width: int

    @classmethod
    def of_blocks(cls, config: SamConfig, *, shared: bool) -> BlockConditions:
        """Return the conditions of the shared blocks, or of the others."""
        kinds = tuple((config.blocks[i].text, config.blocks[i].vision) for i in config.semantic_blocks)
        before, after = kinds[: config.shared_blocks], kinds[config.shared_blocks :]
        sizes = config.grid, config.mlp_adapter_width
        if shared:
            return cls(before, 0, 0, *sizes)
        return cls(after, sum(text for text, _ in before), sum(vision for _, vision in before), *sizes)

    @property
    def text(self) -> bool:
        """Whether one of the blocks takes text."""
        return any(text for text, _ in self.kinds)

    @property
    def vision(self) -> bool:
        """Whether one of the blocks takes vision."""
        return any(vision for _, vision in self.kinds)

    def of(
        self,
        vision: Tensor | None,
        rows: Tensor | None,
        similarity: Tensor | None = None,
        sums: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Yield each block's condition, (B, N or 1, r).

        Args:
            vision: as the clip graph gives it, of all blocks that take it.
            rows: (1, n, r), of all blocks that take text.
            similarity: (1, 1, g, g); None where the concept's is left out.
            sums: what it is multiplied by, (1, n·r, 1, 1).
        """
        texts, visions, r, size = self.first_text, self.first_vision, self.width, (self.grid, self.grid)
        for takes_text, takes_vision in self.kinds:
            condition: Tensor | None = None
            if takes_vision:
                part = slice(visions * r, (visions + 1) * r)
                assert vision is not None
                low = vision[:, part]
                if similarity is not None and sums is not None:
                    low = low + similarity * sums[:, part]
                condition = F.interpolate(low, size, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
                visions += 1
            if takes_text:
                assert rows is not None
                row = rows[:, texts].reshape(-1, 1, r)
                condition = row if condition is None else condition + row
                texts += 1
            assert condition is not None
            yield condition


class ConceptGraph(nn.Module):
    """The computation for each image and concept: from the first condition to the image embedding.

    Args:
        model: the reference model.
        clip: its clip graph, whose products give the sums that the similarity is multiplied by.
        image: its image graph, whose last block ends here.
    """

    sums: Tensor | None

    def __init__(self, model: ReferenceModel, clip: ClipGraph, image: ImageGraph) -> None:
        super().__init__()
        config = model.config.sam
        encoder = model.sam.image_encoder
        self.grid = config.grid
        self.conditions = BlockConditions.of_blocks(config, shared=False)
        self.first_up = image.first_up
        self.blocks = nn.ModuleList(fuse_block(block, config) for block in encoder.blocks[config.first_own + 1 :])
        self.neck = encoder.neck
        vision = clip.vision_products
        self.register_buffer(
            "sums", None if vision is None else vision.double().sum(dim=1).float()[None, :, None, None]
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs that this model has, in the order of ``forward``."""
        names = ["tokens"]
        if self.first_up is not None:
            names.append("adapter_hidden")
        if self.conditions.vision:
            names += ["vision", "similarity"]
        if self.conditions.text:
            names.append("text_row")
        return tuple(names)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Return ``image_embedding`` (1, 256, grid, grid) of the inputs that ``input_names`` lists.

        ``similarity`` (1, 1, g, g) is the raw similarity on CLIP's patches, not the map; ``text_row`` (1, n, r).
        """
        x = inputs["tokens"].flatten(1, 2)  # engines have one operator for a norm of three axes
        conditions = self.conditions.of(
            inputs.get("vision"), inputs.get("text_row"), inputs.get("similarity"), self.sums
        )
        if self.first_up is not None:
            x = add_adapter(x, inputs["adapter_hidden"].flatten(1, 2), next(conditions), self.first_up)
        for block in self.blocks:
            x = block(x, next(conditions)) if isinstance(block, SemanticBlock) else block(x)
        return {"image_embedding": self.neck(x.transpose(1, 2).unflatten(2, (self.grid, self.grid)))}
