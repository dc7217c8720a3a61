"""A comparison, and the summary of an export, as text for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cgsam_edge.manifest import TEXT_GRAPHS
from cgsam_edge.quality.columns import aligned
from cgsam_edge.quality.findings import GraphQuality, Quality
from cgsam_edge.quality.judge import TargetQuality
from cgsam_edge.quality.report import HTML_FILE
from cgsam_edge.quality.verdicts import verdict
from cgsam_edge.wording import amount, left_out

_NUMBERS = range(1, 5)
"""Columns of the summary of an export between the target and the verdict."""


def comparison_text(quality: Quality) -> str:
    """Return concepts with their mask IoU, graphs with their times, and the verdict."""
    (target,) = quality.targets
    width = max(len("concept"), *(len(name) for name in target.by_concept))
    lines = [f"{'concept':{width}}  mask IoU"]
    lines += [f"{name:{width}}  {iou:.4f}" for name, iou in sorted(target.by_concept.items(), key=lambda item: item[1])]
    lines += ["", *_times(quality.graphs), "", f"{quality.title}: {verdict(quality, target).word}"]
    lines.append(f"mean mask IoU {target.mean_iou:.4f} on {quality.pictures}")
    if target.labelled:
        lines.append(f"class mIoU against labels {target.labelled[0]:.4f} → {target.labelled[1]:.4f}")
    calibrated = sum(pair.calibrated for pair in target.pairs)
    if calibrated:
        lines.append(f"presence decisions that changed: {target.flips} of {calibrated}")
    if quality.left_out:
        lines.append(f"left out, and not included in these numbers: {left_out(len(quality.left_out))}")
    return "\n".join(lines)


def export_table(quality: Quality) -> list[str]:
    """Return the summary of an export: a head, a line for each target, and one for each with layers put back in float.

    Size is that of the target's graphs, and time that of one image with one concept on this machine.
    """
    head = ("target", "size", "mask IoU", "class mIoU", "one image", "verdict")
    rows = [head, *(_summary(quality, target) for target in quality.targets)]
    kept = Counter(one.target for one in quality.kept_in_float)
    return aligned(rows, right=_NUMBERS) + [
        f"{target}: {amount(count, 'layer')} put back in float, because masks moved too far in fewer bits; {HTML_FILE} "
        "names them. With more or other calibration photos they may be fewer."
        for target, count in kept.items()
    ]


def _summary(quality: Quality, target: TargetQuality) -> tuple[str, ...]:
    graphs = [one for one in quality.graphs if one.target == target.target]
    warm = [one.latency.warm for one in graphs if one.latency is not None and one.graph not in TEXT_GRAPHS]
    labelled = target.labelled
    return (
        target.target,
        f"{sum(one.bytes for one in graphs) / 1e6:.1f} MB",
        f"{target.mean_iou:.4f}",
        "no labels" if labelled is None else f"{labelled[0]:.4f} → {labelled[1]:.4f}",
        f"{1000 * sum(warm):.0f} ms" if warm else "not run here",
        verdict(quality, target).word,
    )


def _times(graphs: Sequence[GraphQuality]) -> Iterator[str]:
    width = max(len(graph.target) for graph in graphs)
    yield f"{'bundle':{width}}  graph    precision       size       cold       warm"
    for graph in graphs:
        if graph.latency is not None:
            cold, warm = 1000 * (graph.latency.open + graph.latency.first), 1000 * graph.latency.warm
            size = f"{graph.bytes / 1e6:.1f} MB"
            name = f"{graph.target:{width}}  {graph.graph:8} {graph.precision:9}"
            yield f"{name}  {size:>9}  {cold:6.1f} ms  {warm:6.1f} ms"
