"""The Core ML target: one ML program, an ``.mlpackage`` folder, per graph."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgsam_edge import _version
from cgsam_edge.errors import CgsamError, ExportError
from cgsam_edge.export.graphs.bounded import Bounded
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.mil.package import DATA, read_spec
from cgsam_edge.export.mil.tools import coremltools, quiet
from cgsam_edge.export.targets import COREML, DEFAULT_IOS
from cgsam_edge.manifest import GraphSpec, TensorSpec

DESCRIPTIONS = {
    "pixels": "RGB, 0 to 255, squashed to the model's square with an antialiased bilinear filter",
    "tokens": "SAM's tokens before the concept enters; from the graph image to the graph concept",
    "clip_features": "CLIP's features, the class token first; times a text feature they give the similarity",
    "vision": "vision's part of the adapters' conditions; from the graph clip to the graph concept",
    "adapter_hidden": "the first adapter's hidden part; from the graph image to the graph concept",
    "similarity": "similarity of each CLIP patch with the concept, as it is",
    "text_row": "the concept's row of vocabulary.npz",
    "image_embedding": "SAM's image embedding for one concept",
    "points": "(x, y) in pixels of the model's square, one a slot",
    "labels": "1 inside, 0 outside, 2 and 3 a box's corners, -1 not a point, -2 an unused slot",
    "dense_prompt": "the similarity map's pixels above the threshold",
    "mask_logits": "above 0 inside the mask; interpolate to the image's size",
    "iou": "predicted IoU of the mask",
    "token_ids": "numbers of CLIP's tokens: divided by 256, and the rest",
    "end": "1 at the end token, else 0",
    "text_embedding": "CLIP's text embedding, unnormalised",
    "text": "a text feature of unit length",
}
"""A description of each tensor, which Xcode shows."""

_PURPOSE = {
    "clip": "CLIP-Guided SAM, once per image: CLIP's features.",
    "image": "CLIP-Guided SAM, once per image: SAM's prefix.",
    "concept": "CLIP-Guided SAM, once per image and concept: the image embedding.",
    "decoder": "CLIP-Guided SAM, once per prompt: mask logits and predicted IoU.",
    "text": "CLIP's text encoder, for new concepts.",
    "text_row": "The text half of the semantic adapters, for new concepts.",
}


def convert(graph: Graph, folder: Path, precision: str, ios: int = DEFAULT_IOS) -> GraphSpec:
    """Write one graph as an ML program; inputs and outputs are float32 multi-arrays in either precision.

    Args:
        graph: what to write.
        folder: the bundle being written; the package goes into ``coreml/``.
        precision: "fp16" computes and stores in half precision, "fp32" in single.
        ios: the oldest iOS version that must open it: 16, 17 or 18 (macOS 13, 14, 15).

    Raises:
        ExportError: the conversion failed.
    """
    with quiet():
        model = _to_mil(graph, precision, ios)
    _describe(model, graph.name)
    path = folder / COREML / f"{graph.name}.mlpackage"
    path.parent.mkdir(exist_ok=True)
    model.save(str(path))
    make_reproducible(path)
    return _spec(model, f"{COREML}/{path.name}", precision)


def _to_mil(graph: Graph, precision: str, ios: int) -> Any:
    ct = coremltools()
    precisions = {"fp16": ct.precision.FLOAT16, "fp32": ct.precision.FLOAT32}
    try:
        return ct.convert(
            _exported(graph),
            inputs=[ct.TensorType(name, shape, dtype=np.float32) for name, shape in graph.inputs.items()],
            outputs=[ct.TensorType(name, dtype=np.float32) for name in graph.outputs],
            minimum_deployment_target=getattr(ct.target, f"iOS{ios}"),
            compute_precision=precisions[precision],
            skip_model_load=True,
        )
    except CgsamError:
        raise
    except Exception as error:  # torch.export and coremltools raise many kinds of errors
        raise ExportError(f"the graph {graph.name!r} could not be converted to Core ML: {error}") from error


def _exported(graph: Graph) -> Any:
    """Return the graph as a torch.export program, without the nodes that coremltools does not support."""
    with torch.no_grad():
        program = torch.export.export(Bounded(graph), tuple(graph.example().values())).run_decompositions({})
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten.alias.default:  # the remains of a slice that takes everything
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
        elif node.target is torch.ops.aten._assert_tensor_metadata.default:  # noqa: SLF001 — an operator's name
            program.graph.erase_node(node)
    program.graph_module.recompile()
    return program


def _describe(model: Any, name: str) -> None:
    model.author = "cgsam-edge"
    model.version = _version.__version__
    model.short_description = _PURPOSE.get(name, name)
    for descriptions in (model.input_description, model.output_description):
        for tensor in list(descriptions):
            descriptions[tensor] = DESCRIPTIONS.get(tensor, tensor)


def make_reproducible(path: Path) -> None:
    """Remove everything that differs between two exports: the date, random identifiers, debug information."""
    model = read_spec(path)
    model.description.metadata.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    (path / DATA / "model.mlmodel").write_bytes(model.SerializeToString(deterministic=True))
    index = json.loads((path / "Manifest.json").read_text(encoding="utf-8"))
    stable = {
        key: str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])) for key, entry in index["itemInfoEntries"].items()
    }
    index["itemInfoEntries"] = {stable[key]: entry for key, entry in index["itemInfoEntries"].items()}
    index["rootModelIdentifier"] = stable[index["rootModelIdentifier"]]
    # With a line end, because coremltools rewrites the file when it opens a package; the bytes then stay the same.
    (path / "Manifest.json").write_text(json.dumps(index, indent=4, sort_keys=True) + "\n", encoding="utf-8")
    for extra in path.glob("*_debug_handle_mapping.json"):
        extra.unlink()


def _spec(model: Any, path: str, precision: str) -> GraphSpec:
    described = model.get_spec().description
    sides = [
        tuple(TensorSpec(t.name, tuple(t.type.multiArrayType.shape)) for t in side)
        for side in (described.input, described.output)
    ]
    return GraphSpec(path, precision, *sides)
