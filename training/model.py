"""The small model that is trained here: sizes, initial weights, and a forward pass for batches.

It is the reference model of the exporter, weight for weight; only the loop around it differs: B images with K concepts
each share everything that does not depend on the concept, and prompts are decoded in one batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsam_edge.export.config import BlockConfig, ClipConfig, ModelConfig, PromptConfig, SamConfig
from cgsam_edge.export.graphs.model import PIXEL_MEAN, PIXEL_STD
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.adapters import SemanticAdapter, conditioning
from cgsam_edge.export.reference.clip_surgery import clip_pixels, embed_image, normalise
from cgsam_edge.export.reference.similarity import similarity


def small_config(
    image_size: int = 512,
    width: int = 192,
    blocks: int = 7,
    semantic: int = 3,
    clip_layers: int = 7,
    clip_mlp: int = 4,
    prompt_width: int | None = None,
) -> ModelConfig:
    """Return the sizes of the trained models.

    Args:
        image_size: pixels; CLIP gets half of it. Tokens are 16 pixels wide.
        width: channels of both vision towers, a multiple of 64.
        blocks: depth of SAM's encoder.
        semantic: how many of the last blocks depend on the concept. They run once per concept, so they see windows of
            8x8 tokens; of the blocks before them, which run once per image, every other one is global.
        clip_layers: depth of CLIP's vision tower, 7 or more: the last six are doubled by CLIP-Surgery.
        clip_mlp: width of the MLPs of CLIP's vision tower, as a multiple of ``width``.
        prompt_width: channels of SAM's decoder; None for ``width``.
    """
    shared, prompts = blocks - semantic, prompt_width or width
    globals_ = set(range(shared - 1, -1, -2)[:2])
    encoder = tuple(
        BlockConfig(0 if i in globals_ else 8, space_adapter=True, mlp_adapter=True, text=i >= shared, vision=i >= shared)
        for i in range(blocks)
    )  # fmt: skip
    sam = SamConfig(
        image_size=image_size, patch_size=16, width=width, heads=width // 64, mlp_width=4 * width,
        space_adapter_width=width // 4, mlp_adapter_width=width // 4, prompt_width=prompts, blocks=encoder,
        decoder_mlp_width=2 * prompts, iou_width=prompts,
    )  # fmt: skip
    clip = ClipConfig(
        embed_dim=128, image_size=image_size // 2, patch_size=16, width=width, layers=clip_layers,
        mlp_width=clip_mlp * width, text_width=64, text_layers=2, context_length=77, vocab_size=49408,
    )  # fmt: skip
    return ModelConfig(sam, clip, PromptConfig(trained_for=("text", "clicks")))


def initialise(config: ModelConfig, seed: int) -> ReferenceModel:
    """Return an untrained model with seeded weights."""
    torch.manual_seed(seed)
    model = ReferenceModel(config)
    nn.init.trunc_normal_(model.sam.image_encoder.pos_embed, std=0.02)
    for module in model.sam.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in model.sam.modules():
        if isinstance(module, SemanticAdapter):  # features of unit norm: make the conditioning as strong as the tokens
            for layer in (module.text_projection, module.vis_projection):
                if layer is not None:
                    nn.init.normal_(layer.weight)
    return model


@dataclass(frozen=True)
class Prompts:
    """One kind of prompt for n (image, concept) pairs, in the model's pixels.

    Attributes:
        points: (n, p, 2) as (x, y) and labels (n, p), or None.
        boxes: (n, 4) as (x0, y0, x1, y1), or None.
    """

    points: tuple[Tensor, Tensor] | None
    boxes: Tensor | None


def prefix(model: ReferenceModel, pixels: Tensor) -> Tensor:
    """Return the tokens (B, grid, grid, C) before the first block that depends on the concept; any size of pixels."""
    encoder = model.sam.image_encoder
    x: Tensor = encoder.patch_embed(pixels)
    position: Tensor = encoder.pos_embed
    if x.shape[1:3] != position.shape[1:3]:  # pretraining on smaller pictures
        smaller = F.interpolate(position.permute(0, 3, 1, 2), x.shape[1:3], mode="bilinear", antialias=True)
        position = smaller.permute(0, 2, 3, 1)
    x = x + position
    for block in encoder.blocks[: model.config.sam.semantic_blocks[0]]:
        x = block(x)
    return x


def features(model: ReferenceModel, pixels: Tensor) -> Tensor:
    """Return F (B, 1 + M, D) as use does; of pixels smaller than the model's, on a smaller grid of patches."""
    whole = model.config.sam.image_size
    if pixels.shape[-1] == whole:
        return model.image_features(pixels)
    visual, config = model.clip.visual, model.config.clip
    side = config.grid * pixels.shape[-1] // whole
    table = visual.positional_embedding
    grid = table[1:].T.unflatten(1, (config.grid, config.grid))[None]
    smaller = F.interpolate(grid, (side, side), mode="bilinear", antialias=True)[0].flatten(1).T
    embedding = embed_image(visual, clip_pixels(pixels, side * config.patch_size), torch.cat([table[:1], smaller]))
    return normalise(embedding, model.config.prompt.similarity_norm)


def suffix(model: ReferenceModel, tokens: Tensor, text: Tensor | None, patches: Tensor | None) -> Tensor:
    """Return image embeddings (n, prompt width, grid, grid) of tokens (n, grid, grid, C), t (n, D), F_p + s_p (n, M, D)."""
    encoder = model.sam.image_encoder
    for block in encoder.blocks[model.config.sam.semantic_blocks[0] :]:
        tokens = block(tokens, text, patches)
    out: Tensor = encoder.neck(tokens.permute(0, 3, 1, 2))
    return out


def encode(model: ReferenceModel, tokens: Tensor, features: Tensor, text: Tensor, seen: Tensor | None = None) -> Tensor:
    """Return image embeddings (n, prompt width, grid, grid) from prefix tokens, F (n, 1 + M, D) and t (n, D).

    Where ``seen`` (n,) is 0 instead of 1, the adapters get no vision and no similarity, and have to go by the text.
    """
    patches = conditioning(features, similarity(features, text))
    return suffix(model, tokens, text, patches if seen is None else patches * seen[:, None, None])


def decode(model: ReferenceModel, embedding: Tensor, dense: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
    """Decode n prompts, each on its own image embedding: segment_anything's decoder repeats one image instead.

    Returns:
        Mask logits (n, 1, m, m) and predicted IoU (n,), both of mask token 0 (no multimask).
    """
    prompt_encoder, decoder = model.sam.prompt_encoder, model.sam.mask_decoder
    n = embedding.shape[0]
    with torch.autocast(embedding.device.type, enabled=False):  # bfloat16 is too coarse for coordinates
        sparse, dense_embedding = prompt_encoder(points=prompts.points, boxes=prompts.boxes, masks=dense)
        position = prompt_encoder.get_dense_pe().expand(n, -1, -1, -1)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(n, -1, -1)
    hidden, keys = decoder.transformer(embedding + dense_embedding, position, torch.cat([own, sparse], dim=1))
    upscaled = decoder.output_upscaling(keys.transpose(1, 2).reshape(embedding.shape))
    weights = decoder.output_hypernetworks_mlps[0](hidden[:, 1])
    logits = torch.einsum("nc,nchw->nhw", weights, upscaled).unsqueeze(1)
    return logits, decoder.iou_prediction_head(hidden[:, 0])[:, 0]


@contextmanager
def sized(model: ReferenceModel, side: int) -> Iterator[None]:
    """Let the prompt encoder take prompts in pixels of pictures of another side within a context."""
    try:
        _set_side(model, side)
        yield
    finally:
        _set_side(model, model.config.sam.image_size)


def _set_side(model: ReferenceModel, side: int) -> None:
    encoder = model.sam.prompt_encoder
    encoder.input_image_size = (side, side)
    encoder.image_embedding_size = (side // model.config.sam.patch_size,) * 2


class DenseHead(nn.Module):
    """Reads all concepts at once from the image embedding; only for pretraining SAM's encoder, and then dropped.

    Args:
        config: sizes of SAM.
        concepts: number of output channels.
    """

    def __init__(self, config: SamConfig, concepts: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(config.prompt_width // 8, concepts, kernel_size=1)

    def forward(self, model: ReferenceModel, embedding: Tensor) -> Tensor:
        """Map embeddings (B, C, grid, grid) to logits (B, concepts, m, m), through the decoder's own upscaling."""
        out: Tensor = self.read(model.sam.mask_decoder.output_upscaling(embedding))
        return out


class TokenHead(nn.Module):
    """Reads all concepts at once from the tokens before the first block that depends on the concept; only for training.

    The joint loss sees a few concepts of a picture; through this head the shared blocks learn from all of its labels.

    Args:
        config: sizes of SAM.
        concepts: number of output channels.
        fine: outputs per token and axis.
    """

    def __init__(self, config: SamConfig, concepts: int, fine: int = 4) -> None:
        super().__init__()
        self.norm, self.fine = nn.LayerNorm(config.width), fine
        self.read = nn.Linear(config.width, concepts * fine * fine)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, grid, grid, C) to logits (B, concepts, fine * grid, fine * grid)."""
        return F.pixel_shuffle(self.read(self.norm(tokens)).permute(0, 3, 1, 2), self.fine)


def pixels_of(images: Tensor, size: int) -> Tensor:
    """Return uint8 RGB (B, H, W, 3) as normalised pixels (B, 3, size, size)."""
    scaled = images.permute(0, 3, 1, 2).float() / 255
    if scaled.shape[-2:] != (size, size):
        scaled = F.interpolate(scaled, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return normalised(scaled)


def normalised(pixels: Tensor) -> Tensor:
    """Normalise RGB pixels of 0 to 1 (B, 3, S, S) as the model wants them."""
    mean = torch.tensor(PIXEL_MEAN, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=pixels.device).view(1, 3, 1, 1)
    return (pixels - mean) / std
