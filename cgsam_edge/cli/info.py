"""``cgsam info``: shows the content of a bundle."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cgsam_edge import arithmetic
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli.engine_options import add_bundle
from cgsam_edge.errors import BundleError, printable
from cgsam_edge.parity import TargetParity
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from cgsam_edge.manifest import GraphSpec


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "info",
        help="show the content of a bundle",
        description="Print concepts, graphs, sizes, precision and parity of a bundle, after checking every file.",
    )
    add_bundle(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the bundle."""
    bundle = Bundle(options.bundle)
    bundle.verify()
    for line in describe(bundle):
        print(printable(line))
    return 0


def describe(bundle: Bundle) -> Iterator[str]:
    """Yield lines about a bundle; its informative entries are unchecked, so anything may be in them."""
    manifest, prompting = bundle.manifest, bundle.manifest.prompting
    created = manifest.created
    yield f"{bundle.path}: {bundle.size / 1e6:.1f} MB, format {manifest.format_version}, all files verified"
    yield f"made by {created.get('by', 'unknown')} from {_checkpoint(created)}"
    yield f"model: {created.get('model', 'not described')}"
    yield from _sharing(manifest.quality.get("sharing"))
    yield (
        f"prompts: trained for {' and '.join(prompting.trained_for)}; {amount(prompting.points, 'point')} from text, "
        f"threshold {prompting.threshold:g}, {amount(prompting.click_slots, 'click slot')}"
    )
    yield f"\n{amount(len(manifest.concepts), 'concept')}"
    for concept in manifest.concepts:
        yield f"  {' | '.join((concept.name, *concept.synonyms))}"
    for target, graphs in manifest.targets.items():
        opset = f", opset {created['onnx_opset']}" if "onnx_opset" in created else ""
        yield f"\n{target}{opset if target == 'onnxruntime' else ''}"
        for name, graph in graphs.items():
            yield from _graph(bundle, name, graph, _kept(manifest.quality.get("kept"), target, name))
        yield from _parity(bundle, target)
        yield from (f"  arithmetic: {line}" for line in arithmetic.lines(manifest.arithmetic, target))


def _sharing(found: Any) -> Iterator[str]:
    """Yield what sharing blocks saves, where the export measured it."""
    try:
        saved = 100 * (1 - found["macs"] / found["own_macs"])
        cost = f"{found['macs'] / 1e9:.2f} of {found['own_macs'] / 1e9:.2f} G multiply-adds, {saved:.0f} % less"
        how = "the most that pass the gate" if found["auto"] else "as requested"
        yield f"shared blocks: {found['chosen']} of {found['semantic']}, {how}; a further concept costs {cost}"
    except (TypeError, KeyError, ZeroDivisionError):
        return


def _checkpoint(created: dict[str, Any]) -> str:
    checkpoint = created.get("checkpoint")
    name = checkpoint.get("name") if isinstance(checkpoint, dict) else None
    return str(name or "an unnamed checkpoint")


def _kept(found: Any, target: str, graph: str) -> int:
    """Return the number of layers of a quantised graph that the gate put back in float."""
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return sum(one.get("target") == target and one.get("graph") == graph for one in entries)


def _graph(bundle: Bundle, name: str, graph: GraphSpec, kept: int) -> Iterator[str]:
    size = sum(bundle.manifest.files[file].size for file in bundle.files_of(graph.path))
    macs = bundle.manifest.macs(name)
    count = f", {macs / 1e9:.1f} G multiply-adds" if macs else ""
    rest = f", {amount(kept, 'layer')} put back in float" if kept else ""
    yield f"  {name:8} {graph.precision}  {size / 1e6:8.1f} MB{count}{rest}"
    for kind, tensors in (("in ", graph.inputs), ("out", graph.outputs)):
        for tensor in tensors:
            yield f"           {kind} {tensor.name} {'×'.join(map(str, tensor.shape))}"


def _parity(bundle: Bundle, target: str) -> Iterator[str]:
    """Yield the agreement that the export measured."""
    try:
        found = TargetParity.from_manifest(bundle.manifest.parity.get(target, ()))
    except BundleError as error:
        raise BundleError(f"{bundle.path}: {error}") from error
    kind = found.kind if found.means else "agreement"
    if found.means:
        yield f"  {kind}: {found.means}"
    for mask in found.masks:
        yield (
            f"  {kind} with PyTorch, {mask.concept!r}: logits within {mask.max_error:.1e} of their standard "
            f"deviation, {100 * mask.flipped:.3f} % of pixels flipped, mask IoU {mask.mask_iou:.4f}"
        )
