"""The graphs ``clip``, ``image`` and ``concept``: CLIP, and SAM's fused encoder, cut where the concept enters."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsam_edge.export import fusion
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
    """What SAM computes once per image.

    Without semantic blocks, ``tokens`` are those after the last block, and it is the only output for SAM.

    Args:
        model: the reference model; tensors that fusion does not change are shared.
    """

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        config = model.config
        encoder = model.sam.image_encoder
        self.patch_embed, self.pos_embed = encoder.patch_embed, encoder.pos_embed
        cut = config.sam.semantic_blocks[0] + 1 if config.sam.semantic_blocks else len(encoder.blocks)
        self.blocks = nn.ModuleList(fuse_block(block, config.sam) for block in encoder.blocks[:cut])

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map RGB pixels (1, 3, S, S), 0 to 255, to the named outputs of the graph."""
        out = {}
        embedded = self.patch_embed(normalise_pixels(pixels)) + self.pos_embed
        shape = embedded.shape[1:3]
        tokens = embedded.flatten(1, 2)
        for block in self.blocks:
            if isinstance(block, SemanticBlock):
                tokens, hidden = block.prepare(tokens)
                out["adapter_hidden"] = hidden.unflatten(1, shape)
            else:
                tokens = block(tokens)
        return {"tokens": tokens.unflatten(1, shape), **out}


def _vision_products(model: ReferenceModel) -> Tensor | None:
    """Stack W1 Wv of all blocks with a vision projection: (n·r, D)."""
    adapters = ((a.D_fc1, a.vis_projection) for a in semantic_adapters(model))
    products = [fusion.wide(d)[0] @ fusion.wide(v)[0] for d, v in adapters if v is not None]
    return torch.cat(products).float() if products else None


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
        self.grid, self.width = config.grid, config.mlp_adapter_width
        semantic = config.semantic_blocks
        last = image.blocks[-1]
        self.first_up = last.up if isinstance(last, SemanticBlock) else None
        rest = range(semantic[0] + 1, len(encoder.blocks)) if semantic else range(0)
        self.blocks = nn.ModuleList(fuse_block(encoder.blocks[i], config) for i in rest)
        self.kinds = [(config.blocks[i].text, config.blocks[i].vision) for i in semantic]
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
        if any(vision for _, vision in self.kinds):
            names += ["vision", "similarity"]
        if any(text for text, _ in self.kinds):
            names.append("text_row")
        return tuple(names)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Return ``image_embedding`` (1, 256, grid, grid) of the inputs that ``input_names`` lists.

        ``similarity`` (1, 1, g, g) is the raw similarity on CLIP's patches, not the map; ``text_row`` (1, n, r).
        """
        x = inputs["tokens"].flatten(1, 2)  # engines have one operator for a norm of three axes
        conditions = self._conditions(inputs)
        if self.first_up is not None:
            x = add_adapter(x, inputs["adapter_hidden"].flatten(1, 2), next(conditions), self.first_up)
        for block in self.blocks:
            x = block(x, next(conditions)) if isinstance(block, SemanticBlock) else block(x)
        return {"image_embedding": self.neck(x.transpose(1, 2).unflatten(2, (self.grid, self.grid)))}

    def _conditions(self, inputs: dict[str, Tensor]) -> Iterator[Tensor]:
        """Yield each semantic block's condition, (B, N or 1, r)."""
        texts, visions, r = 0, 0, self.width
        for text, vision in self.kinds:
            condition: Tensor | None = None
            if vision:
                part = slice(visions * r, (visions + 1) * r)
                assert self.sums is not None
                low = inputs["vision"][:, part] + inputs["similarity"] * self.sums[:, part]
                size = (self.grid, self.grid)
                condition = F.interpolate(low, size, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
                visions += 1
            if text:
                row = inputs["text_row"][:, texts].reshape(-1, 1, r)
                condition = row if condition is None else condition + row
                texts += 1
            assert condition is not None
            yield condition
