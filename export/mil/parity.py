"""MIL parity: agreement of written Core ML packages with PyTorch, as the evaluator computes them.

Tiers, because half precision hides small mistakes. A twin in single precision, converted by the same steps, must be
exact to rounding; each constant of the half-precision program must be the twin's, rounded; then its outputs and masks
must be as near as half precision goes. None of it ran on Apple's hardware: nothing here may be called Core ML parity.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cgsam_edge import prompts
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import ExportError
from cgsam_edge.export import parity
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.export.mil.constants import compare_constants
from cgsam_edge.export.mil.evaluator import Evaluator, EvaluatorBackend, Output, Step
from cgsam_edge.export.mil.lint import Finding, lint
from cgsam_edge.export.mil.package import load_function
from cgsam_edge.export.targets import coreml
from cgsam_edge.image import to_pixels

if TYPE_CHECKING:
    from cgsam_edge.export.reference import ReferenceModel

NAME = "MIL parity"

TWIN_LIMIT = {"mask_logits": 1e-3}
"""Largest error of the single-precision twin, in standard deviations of what PyTorch computes."""

TWIN_LIMIT_OTHERS = 1e-4
COSINE_LIMIT = 0.99999
"""Of the half-precision encoder's outputs with PyTorch's."""

MASK_IOU_LIMIT = {"fp32": 0.999, "fp16": 0.99}
FLIPPED_LIMIT = 1e-3
"""A mask of a few pixels may miss the IoU by one of them; so few flipped pixels pass."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of one output of one graph.

    Attributes:
        graph: the graph's name.
        tensor: the output's.
        max_error: largest difference, in standard deviations of PyTorch's; of a single number, the difference.
        cosine: of the two as vectors.
    """

    graph: str
    tensor: str
    max_error: float
    cosine: float


@dataclass
class Findings:
    """What was found so far.

    Attributes:
        twin: the tier "fp32 twin".
        constants: the tier "constants", how many were compared, by graph.
        half: the tier "fp16".
        peaks: the greatest magnitude of a value between the borders, by graph.
        lint: remarks.
    """

    twin: list[Agreement] = field(default_factory=list)
    constants: dict[str, int] = field(default_factory=dict)
    half: list[Agreement] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    lint: list[Finding] = field(default_factory=list)


def check(
    model: ReferenceModel,
    graphs: Graphs,
    bundle: Path,
    precision: str,
    ios: int,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure all tiers, and refuse packages that do not compute what PyTorch computes.

    Args:
        model: the reference model.
        graphs: what the packages were converted from.
        bundle: the bundle, with its packages written.
        precision: of the packages.
        ios: as they were converted.
        report: takes a line about each tier.

    Returns:
        What was measured, as the manifest holds it.

    Raises:
        ExportError: a tier failed.
    """
    found = Findings()
    values = example_values(graphs, Bundle(bundle))
    for graph in graphs:
        package = bundle / coreml.TARGET / f"{graph.name}.mlpackage"
        with tempfile.TemporaryDirectory() as folder:
            twin = package if precision == "fp32" else _twin(graph, Path(folder), ios)
            found.twin += check_twin(graph, twin, values)
            if precision == "fp16":
                found.constants[graph.name] = compare_constants(load_function(twin), load_function(package), package)
        peaks: dict[str, float] = {}
        if precision == "fp16":
            found.half += check_half(graph, package, values, peaks)
            found.peaks[graph.name] = max(peaks.values(), default=0.0)
        found.lint += lint(load_function(package), graph.name, precision, peaks)
    _report(found, report)
    masks = parity.check(model, bundle, EvaluatorBackend(), precision)
    _check_masks(masks, precision)
    return _as_manifest(found, masks)


def example_values(graphs: Graphs, bundle: Bundle) -> dict[str, Tensor]:
    """Return every tensor of a segmentation of the sample picture from the first concept's text, by PyTorch."""
    geometry, prompting = bundle.manifest.geometry, bundle.manifest.prompting
    picture = parity.sample_picture(geometry.image_size)
    values = {"pixels": torch.from_numpy(to_pixels(picture, geometry.image_size))}
    values |= graphs.image.run(values)
    similarity = values["clip_features"][1:].numpy() @ bundle.vocabulary.features[0]
    similarity = similarity.reshape(geometry.patch_grid, geometry.patch_grid)
    values["similarity"] = torch.from_numpy(similarity[None, None].copy())
    values["text_row"] = torch.from_numpy(bundle.vocabulary.rows[:1].copy())
    values |= graphs.concept.run(values)
    full_map = prompts.similarity_map(similarity, geometry.image_size)
    drawn = prompts.text_points(full_map, prompting)
    square = (geometry.image_size, geometry.image_size)
    clicks = prompts.Clicks(drawn, np.ones(len(drawn), np.float32))
    points, labels = prompts.fill_slots(clicks, square, geometry, prompting)
    values["points"], values["labels"] = torch.from_numpy(points), torch.from_numpy(labels)
    values["dense_prompt"] = torch.from_numpy(prompts.dense_prompt(full_map, geometry, prompting))
    values |= graphs.decoder.run(values)
    for graph in graphs.text[:1]:  # its inputs have nothing to do with the picture
        values |= graph.example()
        values |= graph.run(values)
    values["text"] = torch.from_numpy(bundle.vocabulary.features[:1].copy())  # what gave the row above
    return values


def _twin(graph: Graph, folder: Path, ios: int) -> Path:
    return folder / coreml.convert(graph, folder, "fp32", ios).path


def check_twin(graph: Graph, package: Path, values: Mapping[str, Tensor]) -> list[Agreement]:
    """Compare a single-precision package's outputs with PyTorch's.

    Raises:
        ExportError: an error is above the limit.
    """
    found = _agreements(graph, Evaluator(package), values)
    for one in found:
        limit = TWIN_LIMIT.get(one.tensor, TWIN_LIMIT_OTHERS)
        if not one.max_error <= limit:
            raise _refusal("fp32 twin", one, f"an error of {one.max_error:.1e} standard deviations, limit {limit:.0e}")
    return found


def check_half(graph: Graph, package: Path, values: Mapping[str, Tensor], peaks: dict[str, float]) -> list[Agreement]:
    """Compare a half-precision package's outputs with PyTorch's, and note the greatest magnitudes in ``peaks``.

    Raises:
        ExportError: an encoder's output is too far away.
    """

    def watch(_: Step, output: Output, value: Tensor) -> None:
        if output.dtype == "fp16" and value.numel():
            peaks[output.name] = value.abs().max().item()

    found = _agreements(graph, Evaluator(package), values, watch)
    for one in found:
        if graph.name != "decoder" and not one.cosine >= COSINE_LIMIT:
            raise _refusal("fp16", one, f"a cosine of {one.cosine:.7f}, at least {COSINE_LIMIT} expected")
    return found


def _agreements(
    graph: Graph,
    evaluator: Evaluator,
    values: Mapping[str, Tensor],
    watch: Callable[[Step, Output, Tensor], None] | None = None,
) -> list[Agreement]:
    made = evaluator.run({name: values[name] for name in graph.inputs}, watch)
    return [agreement(graph.name, name, values[name], made[name]) for name in graph.outputs]


def agreement(graph: str, name: str, expected: Tensor, got: Tensor) -> Agreement:
    """Compare two tensors of the same shape."""
    a, b = expected.double().flatten(), got.double().flatten()
    scale = a.std().item() if a.numel() > 1 else 1.0
    error = (a - b).abs().max().item() / scale
    return Agreement(graph, name, error, torch.nn.functional.cosine_similarity(a, b, dim=0).item())


def _refusal(tier: str, one: Agreement, what: str) -> ExportError:
    return ExportError(
        f"{NAME}, tier {tier}: {one.tensor!r} of the graph {one.graph!r} has {what}. No bundle was written."
    )


def _check_masks(masks: list[dict[str, Any]], precision: str) -> None:
    for mask in masks:
        if not (mask["mask_iou"] >= MASK_IOU_LIMIT[precision] or mask["flipped"] <= FLIPPED_LIMIT):
            raise ExportError(
                f"{NAME}, tier masks: {mask['concept']!r} has a mask IoU of {mask['mask_iou']:.4f}, at least "
                f"{MASK_IOU_LIMIT[precision]} expected. No bundle was written."
            )


def _report(found: Findings, report: Callable[[str], None]) -> None:
    worst = max(found.twin, key=lambda one: one.max_error)
    report(f"{NAME}, fp32 twin: outputs within {worst.max_error:.1e} of their standard deviation ({worst.tensor})")
    if found.half:
        report(f"{NAME}, constants: {sum(found.constants.values())} are the twin's, rounded")
        least = min(found.half, key=lambda one: one.cosine)
        peaks = ", ".join(f"{graph} {peak:.3g}" for graph, peak in found.peaks.items())
        report(f"{NAME}, fp16: outputs' cosine at least {least.cosine:.7f} ({least.tensor}); largest values: {peaks}")
    for finding in found.lint:
        report(f"lint: {finding}")


def _as_manifest(found: Findings, masks: list[dict[str, Any]]) -> dict[str, Any]:
    tiers: dict[str, Any] = {"fp32 twin": [asdict(one) for one in found.twin]}
    if found.half:
        tiers |= {"constants": found.constants, "fp16": [asdict(one) for one in found.half]}
    tiers["masks"] = masks
    return {
        "kind": NAME,
        "means": "the written packages, computed by the MIL evaluator; nothing ran on Apple's hardware",
        "tiers": tiers,
        "largest_value": found.peaks,
        "lint": [asdict(finding) for finding in found.lint],
    }
