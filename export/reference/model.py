"""The whole of CLIP-Guided SAM, unfused, as upstream computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn

from cgsam_edge.export.config import ModelConfig, SamConfig
from cgsam_edge.export.reference.adapters import conditioning
from cgsam_edge.export.reference.clip_surgery import build_clip, clip_pixels, embed_image, normalise
from cgsam_edge.export.reference.image_encoder import ImageEncoder
from cgsam_edge.export.reference.similarity import dense_prompt, similarity, similarity_map


class Sam(nn.Module):
    """Image encoder, prompt encoder and mask decoder; its keys are those of ``model_state_dict``."""

    prompt_encoder: Any  # segment_anything has no types
    mask_decoder: Any

    def __init__(self, config: SamConfig, embed_dim: int) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder(config, embed_dim)
        self.prompt_encoder = PromptEncoder(
            embed_dim=config.prompt_width,
            image_embedding_size=(config.grid, config.grid),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_channels,
        )
        self.mask_decoder = MaskDecoder(
            num_multimask_outputs=config.mask_tokens - 1,
            transformer=TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=config.prompt_width,
                num_heads=config.decoder_heads,
                mlp_dim=config.decoder_mlp_width,
                attention_downsample_rate=config.decoder_downsample,
            ),
            transformer_dim=config.prompt_width,
            iou_head_depth=config.iou_depth,
            iou_head_hidden_dim=config.iou_width,
        )


@dataclass(frozen=True)
class Prediction:
    """The result of one prompt.

    Attributes:
        image_embedding: (1, 256, grid, grid).
        mask_logits: (1, 1, mask_size, mask_size); the mask is where they are > 0.
        iou: (1, 1), the predicted IoU.
    """

    image_embedding: Tensor
    mask_logits: Tensor
    iou: Tensor


class ReferenceModel(nn.Module):
    """CLIP-Guided SAM in float32.

    Args:
        config: sizes and prompting.

    Attributes:
        sam: keys of the checkpoint's ``model_state_dict``.
        clip: open_clip's model, keys of OpenAI's layout.
        shared_texts: (N, D), the text features whose mean the shared blocks take; no entry of the state.
    """

    clip: Any  # open_clip has no types

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.sam = Sam(config.sam, config.clip.embed_dim)
        self.clip = build_clip(config.clip)
        self.shared_texts = torch.zeros(1, config.clip.embed_dim, device="cpu")  # in a model without data too

    def image_features(self, pixels: Tensor) -> Tensor:
        """F of the contract: normalised pixels (B, 3, S, S) to (B, 1 + M, D)."""
        embedding = embed_image(self.clip.visual, clip_pixels(pixels, self.config.clip.image_size))
        return normalise(embedding, self.config.prompt.similarity_norm, self.config.clip.norm_scale)

    def encode(self, pixels: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Return the image embedding (B, 256, grid, grid) of normalised pixels, F and t (B, D)."""
        scores = similarity(features, text)
        shared = (self.shared_texts.to(text.device)[None], features[:, 1:])
        out: Tensor = self.sam.image_encoder(pixels, text, conditioning(features, scores), shared)
        return out

    def map(self, features: Tensor, text: Tensor) -> Tensor:
        """Return the similarity map in SAM's pixels, (B, 1, S, S), in [0, 1]."""
        return similarity_map(similarity(features, text), self.config.sam.image_size)

    def dense_prompt(self, full_map: Tensor) -> Tensor:
        """Return the dense prompt (B, 1, mask_size, mask_size) of a similarity map."""
        prompt = self.config.prompt
        return dense_prompt(full_map, self.config.sam.mask_size, prompt.threshold, prompt.dense_value)

    def decode(
        self, embedding: Tensor, dense: Tensor, points: tuple[Tensor, Tensor] | None, box: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits (1, 1, m, m) and predicted IoU (1, 1).

        Args:
            embedding: image embedding (1, 256, grid, grid).
            dense: dense prompt (1, 1, m, m).
            points: coordinates (1, N, 2) as (x, y) in SAM's pixels and labels (1, N), 1 inside and 0 outside.
            box: (1, 4) as (x0, y0, x1, y1) in SAM's pixels.
        """
        sparse, dense_embedding = self.sam.prompt_encoder(points=points, boxes=box, masks=dense)
        logits, iou = self.sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense_embedding,
            multimask_output=False,
        )
        return logits, iou

    @torch.inference_mode()
    def predict(
        self, pixels: Tensor, text: Tensor, points: tuple[Tensor, Tensor] | None, box: Tensor | None = None
    ) -> Prediction:
        """Run the whole model on one image (1, 3, S, S), one concept t (1, D) and given prompts."""
        features = self.image_features(pixels)
        embedding = self.encode(pixels, features, text)
        logits, iou = self.decode(embedding, self.dense_prompt(self.map(features, text)), points, box)
        return Prediction(embedding, logits, iou)
