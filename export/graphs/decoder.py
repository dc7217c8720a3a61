"""The graph ``decoder``: SAM's prompt encoder and mask decoder with a fixed number of prompt slots.

An unused slot is masked in every softmax that could see it, so it has no effect. SAM's own label -1 is a learned token
that takes part in attention, and cannot stand for a missing point.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn

from cgsam_edge.export.graphs.upscaling import Upscaling
from cgsam_edge.export.reference import ReferenceModel

MASKED = -3e4
"""Added to the scores of masked slots: its exponential is zero, and it is finite in float16."""


class MaskedAttention(nn.Module):
    """segment_anything's decoder attention with a mask over the keys.

    Args:
        attention: the layer whose weights are used.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads = attention.num_heads
        self.q_proj, self.k_proj, self.v_proj = attention.q_proj, attention.k_proj, attention.v_proj
        self.out_proj = attention.out_proj
        self.scale = 1 / math.sqrt(attention.internal_dim // attention.num_heads)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from q (1, N, C) to k and v (1, M, C) with an additive mask (1, 1, 1, M): (1, N, C)."""
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in self._project(q, k, v))
        scores = (q * self.scale) @ k.transpose(-2, -1)
        if mask is not None:
            scores = scores + mask
        out: Tensor = self.out_proj((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
        return out

    def _project(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.q_proj(q), self.k_proj(k), self.v_proj(v)


class TwoWayLayer(nn.Module):
    """segment_anything's TwoWayAttentionBlock with masked slots.

    Args:
        layer: the block whose weights are used.
    """

    norm1: Any
    norm2: Any
    norm3: Any
    norm4: Any
    mlp: Any

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.first = bool(layer.skip_first_layer_pe)
        self.self_attn = MaskedAttention(layer.self_attn)
        self.to_image = MaskedAttention(layer.cross_attn_token_to_image)
        self.to_token = MaskedAttention(layer.cross_attn_image_to_token)
        self.norm1, self.norm2, self.norm3, self.norm4 = layer.norm1, layer.norm2, layer.norm3, layer.norm4
        self.mlp = layer.mlp

    def forward(self, x: Tensor, image: Tensor, pe: Tensor, image_pe: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Update tokens (1, N, C) and image (1, M, C), given their positional encodings."""
        if self.first:
            x = self.norm1(self.self_attn(x, x, x, mask))
        else:
            q = x + pe
            x = self.norm1(x + self.self_attn(q, q, x, mask))
        x = self.norm2(x + self.to_image(x + pe, image + image_pe, image))
        x = self.norm3(x + self.mlp(x))
        image = self.norm4(image + self.to_token(image + image_pe, x + pe, x, mask))
        return x, image


class DecoderGraph(nn.Module):
    """The computation for each prompt.

    Labels: 1 a click inside, 0 outside, 2 and 3 a box's corners, -1 SAM's "not a point" token, -2 an unused slot.

    Args:
        model: the reference model.
    """

    image_pe: Tensor

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        prompt, decoder = model.sam.prompt_encoder, model.sam.mask_decoder
        self.image_size = model.config.sam.image_size
        self.pe_layer = prompt.pe_layer
        self.dense_first, self.dense_last = prompt.mask_downscaling[:-1], _of_tokens(prompt.mask_downscaling[-1])
        self.layers = nn.ModuleList(TwoWayLayer(layer) for layer in decoder.transformer.layers)
        self.final = MaskedAttention(decoder.transformer.final_attn_token_to_image)
        self.final_norm = decoder.transformer.norm_final_attn
        self.upscaling = Upscaling(decoder.output_upscaling)
        self.hyper = decoder.output_hypernetworks_mlps[0]  # multimask_output=False keeps only the first mask
        self.iou_head = decoder.iou_prediction_head
        labels = [prompt.not_a_point_embed, *prompt.point_embeddings]
        tokens = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        self.label_embeddings = nn.Parameter(torch.cat([e.weight.detach() for e in labels]), requires_grad=False)
        self.output_tokens = nn.Parameter(torch.cat(tokens).detach(), requires_grad=False)
        self.register_buffer("image_pe", prompt.get_dense_pe().detach().flatten(2).transpose(1, 2))

    def forward(
        self, image_embedding: Tensor, points: Tensor, labels: Tensor, dense_prompt: Tensor
    ) -> dict[str, Tensor]:
        """Return ``mask_logits`` (1, 1, m, m) and ``iou`` (1, 1).

        Args:
            image_embedding: (1, 256, grid, grid).
            points: (1, slots, 2), (x, y) in SAM's pixels.
            labels: (1, slots), see the class.
            dense_prompt: (1, 1, m, m).
        """
        x, mask = self._tokens(points, labels)
        image = _as_tokens(image_embedding) + self.dense_last(_as_tokens(self.dense_first(dense_prompt)))
        pe = x
        for layer in self.layers:
            x, image = layer(x, image, pe, self.image_pe, mask)
        x = self.final_norm(x + self.final(x + pe, image + self.image_pe, image))
        return {"mask_logits": self.upscaling(image, self.hyper(x[:, 1])), "iou": self.iou_head(x[:, 0])[:, :1]}

    def _tokens(self, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return output and prompt tokens (1, 5 + slots, C) and the additive mask over them (1, 1, 1, 5 + slots)."""
        coords = (points + 0.5) / self.image_size  # the centre of the pixel, as segment_anything shifts
        placed = (labels >= 0).to(points.dtype).unsqueeze(-1)
        sparse = self.pe_layer._pe_encoding(coords) * placed  # noqa: SLF001 — the public form writes in place
        for i in range(len(self.label_embeddings)):
            sparse = sparse + (labels == i - 1).to(points.dtype).unsqueeze(-1) * self.label_embeddings[i]
        unused = torch.cat([torch.zeros_like(labels[:, :1]).expand(1, len(self.output_tokens)), (labels < -1)], dim=1)
        tokens = torch.cat([self.output_tokens.unsqueeze(0), sparse], dim=1)
        return tokens, (unused.to(points.dtype) * MASKED)[:, None, None, :]


def _as_tokens(x: Tensor) -> Tensor:
    """Map (1, C, H, W) to (1, H·W, C)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _of_tokens(layer: nn.Conv2d) -> nn.Linear:
    """Return a convolution of single pixels as a layer of tokens: added as tokens, the sum is turned only once."""
    made = nn.Linear(layer.in_channels, layer.out_channels, device="meta")
    made.weight = nn.Parameter(layer.weight.detach().flatten(1), requires_grad=False)
    assert layer.bias is not None
    made.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return made
