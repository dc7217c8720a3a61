"""``cgsam info``: what a bundle holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.bundle import Bundle
from cgsam_edge.parity import TargetParity

if TYPE_CHECKING:
    from cgsam_edge.manifest import GraphSpec


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "info",
        help="what a bundle holds",
        description="Print concepts, graphs, sizes, precision and parity of a bundle, after checking every file.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the bundle."""
    bundle = Bundle(options.bundle)
    bundle.verify()
    manifest = bundle.manifest
    print(f"{bundle.path}: {bundle.size / 1e6:.1f} MB, format {manifest.format_version}, all files verified")
    print(f"made by {manifest.created.get('by', 'unknown')} from {_checkpoint(manifest.created)}")
    print(f"model: {manifest.created.get('model', 'not described')}")
    prompting = manifest.prompting
    print(
        f"prompts: trained for {' and '.join(prompting.trained_for)}; {prompting.points} points from text, threshold "
        f"{prompting.threshold:g}, {prompting.click_slots} click slots"
    )
    print(f"\n{len(manifest.concepts)} concepts")
    for concept in manifest.concepts:
        print(f"  {' | '.join((concept.name, *concept.synonyms))}")
    for target, graphs in manifest.targets.items():
        opset = f", opset {manifest.created['onnx_opset']}" if "onnx_opset" in manifest.created else ""
        print(f"\n{target}{opset if target == 'onnxruntime' else ''}")
        for name, graph in graphs.items():
            _print_graph(bundle, name, graph)
        _print_parity(TargetParity.from_manifest(manifest.parity.get(target, ())))
    return 0


def _checkpoint(created: dict[str, Any]) -> str:
    return str(created.get("checkpoint", {}).get("name", "an unnamed checkpoint"))


def _print_graph(bundle: Bundle, name: str, graph: GraphSpec) -> None:
    size = sum(bundle.manifest.files[file].size for file in bundle.files_of(graph.path))
    macs = bundle.manifest.macs(name)
    print(
        f"  {name:8} {graph.precision}  {size / 1e6:8.1f} MB" + (f", {macs / 1e9:.1f} G multiply-adds" if macs else "")
    )
    for kind, tensors in (("in ", graph.inputs), ("out", graph.outputs)):
        for tensor in tensors:
            print(f"           {kind} {tensor.name} {'×'.join(map(str, tensor.shape))}")


def _print_parity(found: TargetParity) -> None:
    """Print what the export measured."""
    kind = found.kind if found.means else "agreement"
    if found.means:
        print(f"  {kind}: {found.means}")
    for mask in found.masks:
        print(
            f"  {kind} with PyTorch, {mask.concept!r}: logits within {mask.max_error:.1e} of their standard "
            f"deviation, {100 * mask.flipped:.3f} % of pixels flipped, mask IoU {mask.mask_iou:.4f}"
        )
