"""A comparison as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cgsam_edge.quality.findings import GraphQuality, Quality
from cgsam_edge.quality.verdicts import verdict


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
        lines.append(f"left out, and not included in these numbers: {len(quality.left_out)} images or entries")
    return "\n".join(lines)


def _times(graphs: Sequence[GraphQuality]) -> Iterator[str]:
    width = max(len(graph.target) for graph in graphs)
    yield f"{'bundle':{width}}  graph    precision       size       cold       warm"
    for graph in graphs:
        if graph.latency is not None:
            cold, warm = 1000 * (graph.latency.open + graph.latency.first), 1000 * graph.latency.warm
            size = f"{graph.bytes / 1e6:.1f} MB"
            name = f"{graph.target:{width}}  {graph.graph:8} {graph.precision:9}"
            yield f"{name}  {size:>9}  {cold:6.1f} ms  {warm:6.1f} ms"
