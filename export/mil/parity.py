"""MIL parity: agreement of written Core ML packages with PyTorch, as the evaluator computes them.

There are tiers, because half precision hides small mistakes. A twin in single precision, converted by the same steps,
must be exact to rounding; each constant of the half-precision program must equal the twin's, rounded; then outputs and
masks must be as close as half precision allows. Nothing of this runs on Apple's hardware: never call it Core ML parity.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cgsam_edge.agreement import deviation
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import ExportError
from cgsam_edge.export import parity
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.export.mapped import release_memory
from cgsam_edge.export.mil.constants import compare_constants
from cgsam_edge.export.mil.evaluator import Evaluator, EvaluatorBackend, Output, Step
from cgsam_edge.export.mil.lint import Finding, lint
from cgsam_edge.export.mil.package import load_function
from cgsam_edge.export.progress import Progress, silent
from cgsam_edge.export.targets import COREML, coreml
from cgsam_edge.image import to_pixels
from cgsam_edge.parity import TargetParity
from cgsam_edge.prompts import decoder_prompt

if TYPE_CHECKING:
    from cgsam_edge.export.reference import ReferenceModel

NAME = "MIL parity"

TWIN_LIMIT = {"mask_logits": 1e-3}
"""Largest error of the single-precision twin, in standard deviations of PyTorch's values."""

TWIN_LIMIT_OTHERS = 1e-4
COSINE_LIMIT = 0.99999
"""Lowest cosine of the half-precision encoder's outputs with PyTorch's."""

MASK_IOU_LIMIT = {"fp32": 0.999, "fp16": 0.99}
FLIPPED_LIMIT = 1e-3
"""Share of flipped pixels that passes, because one pixel may spoil the IoU of a tiny mask."""


@dataclass(frozen=True)
class OutputParity:
    """Agreement of one output of one graph.

    Attributes:
        graph: the graph's name.
        tensor: name of the output.
        max_error: largest difference, see `deviation`.
        cosine: cosine of the two as vectors.
    """

    graph: str
    tensor: str
    max_error: float
    cosine: float


@dataclass
class TierFindings:
    """The findings so far.

    Attributes:
        twin: the tier "fp32 twin".
        constants: the tier "constants", how many were compared, by graph.
        half: the tier "fp16".
        peaks: largest magnitude of an inner value, by graph.
        lint: remarks.
    """

    twin: list[OutputParity] = field(default_factory=list)
    constants: dict[str, int] = field(default_factory=dict)
    half: list[OutputParity] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    lint: list[Finding] = field(default_factory=list)


def check(
    model: ReferenceModel,
    graphs: Graphs,
    bundle: Path,
    precision: str,
    ios: int,
    progress: Progress = silent,
) -> TargetParity:
    """Measure all tiers, and refuse packages that disagree with PyTorch.

    Args:
        model: the reference model.
        graphs: the original graphs of the packages.
        bundle: the bundle, with its packages written.
        precision: precision of the packages.
        ios: iOS version of the conversion.
        progress: receives a line about each tier.

    Raises:
        ExportError: a tier failed.
    """
    found = TierFindings()
    values = example_values(graphs, Bundle(bundle))
    for graph in graphs:
        for _ in _measured(graph, bundle / COREML / f"{graph.name}.mlpackage", values, precision, ios, found):
            release_memory(graph.module)  # each program that was read has all of the graph's weights
    for line in _lines(found):
        progress(line)
    masks = parity.check(model, bundle, EvaluatorBackend(), precision)
    _check_masks(masks, precision)
    return _with_tiers(masks, found)


def _measured(
    graph: Graph, package: Path, values: Mapping[str, Tensor], precision: str, ios: int, found: TierFindings
) -> Iterator[None]:
    """Measure the tiers of a graph, and yield after each step, when nothing that it read is needed any longer."""
    with tempfile.TemporaryDirectory() as folder:
        twin = package if precision == "fp32" else _twin(graph, Path(folder), ios)
        yield
        found.twin += check_twin(graph, twin, values)
        yield
        if precision == "fp16":
            found.constants[graph.name] = compare_constants(load_function(twin), load_function(package), package)
    yield
    peaks: dict[str, float] = {}
    if precision == "fp16":
        found.half += check_half(graph, package, values, peaks)
        found.peaks[graph.name] = max(peaks.values(), default=0.0)
        yield
    found.lint += lint(load_function(package), graph.name, precision, peaks)
    yield


def example_values(graphs: Graphs, bundle: Bundle) -> dict[str, Tensor]:
    """Return every tensor of a segmentation of the sample picture from the first concept's text, by PyTorch."""
    geometry, prompting = bundle.manifest.geometry, bundle.manifest.prompting
    picture = parity.sample_picture(geometry.image_size)
    values = {"pixels": torch.from_numpy(to_pixels(picture, geometry.image_size))}
    values |= graphs.clip.run(values)
    values |= graphs.image.run(values)
    similarity = values["clip_features"][1:].numpy() @ bundle.vocabulary.features[0]
    similarity = similarity.reshape(geometry.patch_grid, geometry.patch_grid)
    values["similarity"] = torch.from_numpy(similarity[None, None].copy())
    values["text_row"] = torch.from_numpy(bundle.vocabulary.rows[:1].copy())
    values |= graphs.concept.run(values)
    prompt = decoder_prompt(similarity, (geometry.image_size, geometry.image_size), geometry, prompting)
    values["points"], values["labels"] = torch.from_numpy(prompt.points), torch.from_numpy(prompt.labels)
    values["dense_prompt"] = torch.from_numpy(prompt.dense)
    values |= graphs.decoder.run(values)
    for graph in graphs.text[:1]:  # its inputs do not depend on the picture
        values |= graph.example()
        values |= graph.run(values)
    values["text"] = torch.from_numpy(bundle.vocabulary.features[:1].copy())  # the input that gave the row above
    return values


def _twin(graph: Graph, folder: Path, ios: int) -> Path:
    return folder / coreml.convert(graph, folder, "fp32", ios).path


def check_twin(graph: Graph, package: Path, values: Mapping[str, Tensor]) -> list[OutputParity]:
    """Compare a single-precision package's outputs with PyTorch's.

    Raises:
        ExportError: an error is above the limit.
    """
    found = _outputs(graph, Evaluator(package), values)
    for one in found:
        limit = TWIN_LIMIT.get(one.tensor, TWIN_LIMIT_OTHERS)
        if not one.max_error <= limit:
            raise _refusal("fp32 twin", one, f"an error of {one.max_error:.1e} standard deviations, limit {limit:.0e}")
    return found


def check_half(
    graph: Graph, package: Path, values: Mapping[str, Tensor], peaks: dict[str, float]
) -> list[OutputParity]:
    """Compare a half-precision package's outputs with PyTorch's, and record the largest magnitudes in ``peaks``.

    Raises:
        ExportError: an encoder's output differs too much.
    """

    def watch(_: Step, output: Output, value: Tensor) -> None:
        if output.dtype == "fp16" and value.numel():
            peaks[output.name] = value.abs().max().item()

    found = _outputs(graph, Evaluator(package), values, watch)
    for one in found:
        if graph.name != "decoder" and not one.cosine >= COSINE_LIMIT:
            raise _refusal("fp16", one, f"a cosine of {one.cosine:.7f}, at least {COSINE_LIMIT} expected")
    return found


def _outputs(
    graph: Graph,
    evaluator: Evaluator,
    values: Mapping[str, Tensor],
    watch: Callable[[Step, Output, Tensor], None] | None = None,
) -> list[OutputParity]:
    made = evaluator.run({name: values[name] for name in graph.inputs}, watch)
    return [compare_outputs(graph.name, name, values[name], made[name]) for name in graph.outputs]


def compare_outputs(graph: str, name: str, expected: Tensor, got: Tensor) -> OutputParity:
    """Compare two tensors of the same shape."""
    error = deviation(expected.numpy(), got.numpy())
    a, b = expected.double().flatten(), got.double().flatten()
    return OutputParity(graph, name, error.max, torch.nn.functional.cosine_similarity(a, b, dim=0).item())


def _refusal(tier: str, one: OutputParity, what: str) -> ExportError:
    return ExportError(
        f"{NAME}, tier {tier}: {one.tensor!r} of the graph {one.graph!r} has {what}. No bundle was written."
    )


def _check_masks(found: TargetParity, precision: str) -> None:
    for mask in found.masks:
        if not (mask.mask_iou >= MASK_IOU_LIMIT[precision] or mask.flipped <= FLIPPED_LIMIT):
            raise ExportError(
                f"{NAME}, tier masks: {mask.concept!r} has a mask IoU of {mask.mask_iou:.4f}, at least "
                f"{MASK_IOU_LIMIT[precision]} expected. No bundle was written."
            )


def _lines(found: TierFindings) -> Iterator[str]:
    worst = max(found.twin, key=lambda one: one.max_error)
    yield f"{NAME}, fp32 twin: outputs within {worst.max_error:.1e} of their standard deviation ({worst.tensor})"
    if found.half:
        yield f"{NAME}, constants: {sum(found.constants.values())} are the twin's, rounded"
        least = min(found.half, key=lambda one: one.cosine)
        peaks = ", ".join(f"{graph} {peak:.3g}" for graph, peak in found.peaks.items())
        yield f"{NAME}, fp16: outputs' cosine at least {least.cosine:.7f} ({least.tensor}); largest values: {peaks}"
    for finding in found.lint:
        yield f"lint: {finding}"


def _with_tiers(masks: TargetParity, found: TierFindings) -> TargetParity:
    half = {"constants": found.constants, "fp16": [asdict(one) for one in found.half]} if found.half else {}
    return replace(
        masks,
        kind=NAME,
        means="the written packages, computed by the MIL evaluator; nothing ran on Apple's hardware",
        tiers={"fp32 twin": [asdict(one) for one in found.twin], **half},
        remarks={"largest_value": found.peaks, "lint": [asdict(finding) for finding in found.lint]},
    )
