"""The output of general exporters: the unfused model's three parts as ONNX, and their default INT8.

The parts are those of samexporter and of OpenVINO's notebooks: the encoder with its adapters, CLIP, and prompt encoder
with decoder. ``torch.onnx.export`` runs with its defaults; the number of points is dynamic.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsam_edge.export.graphs import normalise_pixels
from cgsam_edge.export.loading import load_reference
from cgsam_edge.image import load_image, to_pixels
from cgsam_edge.runtimes import telemetry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.export.reference import ReferenceModel

ENCODERS = ("clip", "encoder")
"""The parts that are quantised: both guides leave the decoder in float."""

PARTS = (*ENCODERS, "decoder")


class Clip(nn.Module):
    """CLIP-Surgery's vision tower: ``pixels`` (1, 3, S, S), normalised, to ``features`` (1, 1 + M, D)."""

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Run it."""
        return self.model.image_features(pixels)


class Encoder(nn.Module):
    """SAM's encoder with adapters: pixels, features and ``text`` (1, D) to ``embedding`` (1, 256, grid, grid)."""

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Run it."""
        return self.model.encode(pixels, features, text)


class Decoder(nn.Module):
    """Prompt encoder and mask decoder: embedding, ``dense`` (1, 1, m, m), ``points`` (1, N, 2), ``labels`` (1, N)."""

    def __init__(self, model: ReferenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, embedding: Tensor, dense: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``logits`` (1, 1, m, m) and ``iou`` (1, 1)."""
        return self.model.decode(embedding, dense, (points, labels))


@dataclass(frozen=True)
class Part:
    """A part before it is exported.

    Attributes:
        module: of PyTorch.
        inputs: examples by name, in the module's order.
        outputs: names.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]


def parts(model: ReferenceModel) -> dict[str, Part]:
    """Return the parts, with inputs of noise."""
    sam, clip, generator = model.config.sam, model.config.clip, torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    pixels = noise(1, 3, sam.image_size, sam.image_size)
    features, text = noise(1, 1 + clip.grid**2, clip.embed_dim), noise(1, clip.embed_dim)
    given = {
        "embedding": noise(1, sam.prompt_width, sam.grid, sam.grid),
        "dense": noise(1, 1, sam.mask_size, sam.mask_size),
        "points": noise(1, model.config.prompt.points, 2),
        "labels": torch.ones(1, model.config.prompt.points),
    }
    return {
        "clip": Part(Clip(model), {"pixels": pixels}, ("features",)),
        "encoder": Part(Encoder(model), {"pixels": pixels, "features": features, "text": text}, ("embedding",)),
        "decoder": Part(Decoder(model), given, ("logits", "iou")),
    }


def export(checkpoint: Path, folder: Path) -> None:
    """Write ``PART.onnx``, float32, with weights in files beside it."""
    for name, part in parts(load_reference(checkpoint)).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about its own future
            torch.onnx.export(
                part.module.eval(),
                tuple(part.inputs.values()),
                str(folder / f"{name}.onnx"),
                input_names=list(part.inputs),
                output_names=list(part.outputs),
                dynamic_shapes=_dynamic(part) if name == "decoder" else None,
                dynamo=True,
                verbose=False,
            )


def _dynamic(part: Part) -> dict[str, Any]:
    count = torch.export.Dim("count", min=1, max=64)
    return {name: {1: count} if name in ("points", "labels") else None for name in part.inputs}


def quantise_dynamic(plain: Path, folder: Path) -> None:
    """Write the encoders as ONNX Runtime's ``quantize_dynamic`` makes them by default."""
    quantize_dynamic = telemetry.load("onnxruntime.quantization").quantize_dynamic

    before = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it recommends its own pre-processing, which fails on models of this size
    for name in ENCODERS:
        quantize_dynamic(plain / f"{name}.onnx", folder / f"{name}.onnx", use_external_data_format=True)
    logging.root.setLevel(before)


def optimise(plain: Path, folder: Path, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Write the encoders as ONNX Runtime's own optimiser of transformers makes them for a ViT.

    Args:
        plain: folder of the float32 parts.
        folder: to write into.
        sizes: heads and width of each part.
    """
    optimizer = telemetry.load("onnxruntime.transformers.optimizer")
    for name in ENCODERS:
        heads, width = sizes[name]
        made = optimizer.optimize_model(str(plain / f"{name}.onnx"), "vit", heads, width, opt_level=0)
        made.save_model_to_file(str(folder / f"{name}.onnx"), use_external_data_format=True)


def quantise_nncf(plain: Path, folder: Path, checkpoint: Path, pictures: list[Path], text: NDArray[np.float32]) -> None:
    """Write the encoders as ``nncf.quantize`` makes them by default, calibrated on pictures.

    Args:
        plain: folder of the float32 parts.
        folder: to write ``PART.xml`` into.
        checkpoint: of the model, for the features that the encoder takes.
        pictures: files.
        text: text features (N, D); each picture takes the next one.
    """
    nncf, openvino = telemetry.load("nncf"), telemetry.load("openvino")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    fed = list(_feeds(load_reference(checkpoint), pictures, text))
    for name in ENCODERS:
        model = openvino.Core().read_model(str(plain / f"{name}.onnx"))
        names = [port.get_any_name() for port in model.inputs]
        data = nncf.Dataset([{key: one[key] for key in names} for one in fed])
        openvino.save_model(nncf.quantize(model, data, subset_size=len(fed)), str(folder / f"{name}.xml"))


@torch.inference_mode()
def _feeds(
    model: ReferenceModel, pictures: list[Path], text: NDArray[np.float32]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    for i, picture in enumerate(pictures):
        pixels = normalise_pixels(torch.from_numpy(to_pixels(load_image(picture), model.config.sam.image_size)))
        features, row = model.image_features(pixels), text[i % len(text)][None]
        yield {"pixels": pixels.numpy(), "features": features.numpy(), "text": row}
