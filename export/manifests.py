"""The manifest of an export: properties of the model, and the versions that wrote it."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cgsam_edge._version import __version__
from cgsam_edge.bundle import file_spec
from cgsam_edge.export import clip_form
from cgsam_edge.export.config import ModelConfig, PromptConfig
from cgsam_edge.export.counting import FusionCosts
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.targets.onnxruntime import OPSET
from cgsam_edge.manifest import FILE_NAME, Geometry, Manifest, Prompting
from cgsam_edge.vocabulary import Vocabulary


def describe(config: ModelConfig) -> str:
    """Return a line about a model's sizes."""
    sam, clip = config.sam, config.clip
    semantic = sam.semantic_blocks
    which = f"{len(semantic)} of {len(sam.blocks)} blocks semantic" if semantic else "no semantic block"
    if semantic and len(semantic) < len(sam.blocks):
        which += f" ({', '.join(map(str, semantic))})"
    which += f", {sam.shared_blocks} of them shared" if sam.shared_blocks else ""
    return (
        f"SAM of width {sam.width}, {len(sam.blocks)} blocks, {sam.image_size} pixels; {which}; "
        f"CLIP of width {clip.width}, patch {clip.patch_size}, {clip.image_size} pixels, {clip_form.describe(clip)}"
    )


def geometry_of(config: ModelConfig) -> Geometry:
    """Return the sizes that a runtime needs."""
    sam, clip = config.sam, config.clip
    return Geometry(sam.image_size, sam.mask_size, clip.grid, clip.embed_dim)


def prompting_of(prompt: PromptConfig, prompt_slots: int) -> Prompting:
    """Return the prompting for runtimes."""
    return Prompting(
        prompt.threshold,
        prompt.points,
        prompt.dense_value,
        prompt_slots,
        prompt.trained_for or (),
        prompt.similarity_norm,
    )


def new_manifest(
    config: ModelConfig,
    options: ExportOptions,
    vocabulary: Vocabulary,
    cost: FusionCosts,
    own_size: int,
) -> Manifest:
    """Return the manifest of a bundle before conversion.

    Args:
        config: configuration of the exported model.
        options: options of the export.
        vocabulary: its concepts.
        cost: cost before and after fusion.
        own_size: the checkpoint's image size, from which the model may have been reduced.
    """
    return Manifest(
        geometry=geometry_of(config),
        prompting=prompting_of(config.prompt, options.prompt_slots),
        concepts=vocabulary.concepts,
        files={},
        targets={},
        created=_created(config, options, own_size),
        cost=cost.to_manifest(),
    )


def _created(config: ModelConfig, options: ExportOptions, own_size: int) -> dict[str, Any]:
    checkpoint = {"name": options.checkpoint.name, "sha256": file_spec(options.checkpoint).sha256}
    clip: dict[str, Any] = {"activation": config.clip.activation, "heads": list(config.clip.heads)}
    if options.clip is not None:
        clip |= {"name": options.clip.name, "sha256": file_spec(options.clip).sha256}
    return {
        "by": f"cgsam-edge {__version__}",
        "python": platform.python_version(),
        "versions": {
            name: package_version(name)
            for name in ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "coremltools", "open_clip_torch")
        },
        "checkpoint": {**checkpoint, "image_size": own_size},
        "clip": clip,
        "model": describe(config),
        **({"shared_blocks": config.sam.shared_blocks} if config.sam.shared_blocks else {}),
        "prompt_ensemble": options.prompt_ensemble,
        "onnx_opset": OPSET,
        "ios": options.ios,
    }


def package_version(package: str) -> str:
    """Return the version of an installed package, or a note that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json`` with the size and hash of every other file."""
    files = {
        path.relative_to(folder).as_posix(): file_spec(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILE_NAME
    }
    (folder / FILE_NAME).write_text(replace(manifest, files=files).to_json(), encoding="utf-8")
