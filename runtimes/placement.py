"""Where a bundle runs, what was tried, and why other candidates were not chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

ANY_DEVICE = "any device"
"""Replaces a device's name if an engine failed before listing its devices."""


@dataclass(frozen=True)
class Candidate:
    """A way to run a bundle.

    Attributes:
        backend: the engine.
        target: the bundle's folder of graphs that it opens.
        device: as the engine names it.
    """

    backend: str
    target: str
    device: str

    def __str__(self) -> str:
        return f"{self.backend} on {self.device}"


@dataclass(frozen=True)
class Attempt:
    """One candidate tried on the bundle's examples.

    Attributes:
        candidate: what was tried.
        problem: why it cannot be used; empty if it can.
        milliseconds: one run of each graph, measured.
        errors: root-mean-square error of each graph's outputs, in standard deviations of PyTorch's; -1 for NaN.
        mask_iou: IoU of the example's mask with PyTorch's.
        precision: of the arithmetic.
        seconds_to_open: seconds to open all graphs, without loading the engine.
        limit: largest error that passes.
    """

    candidate: Candidate
    problem: str = ""
    milliseconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    mask_iou: float | None = None
    precision: str = ""
    seconds_to_open: float = 0.0
    limit: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether it opened and agreed."""
        return not self.problem

    @property
    def total(self) -> float:
        """Milliseconds of all graphs: one image and one concept."""
        return sum(self.milliseconds.values())


@dataclass(frozen=True)
class Tried:
    """An attempt and its outcome.

    Attributes:
        attempt: the measurements.
        verdict: "chosen", or why not.
    """

    attempt: Attempt
    verdict: str


@dataclass(frozen=True)
class GraphPlacement:
    """Where one graph runs, from the engine's own record.

    Attributes:
        graph: its name.
        weights: precision of the stored weights.
        precision: of the arithmetic.
        nodes: number of operations by device or provider.
        cached: whether the compiled graph came from the cache.
        why: why this arithmetic; empty if the engine does not report its arithmetic.
    """

    graph: str
    weights: str
    precision: str
    nodes: dict[str, int]
    cached: bool
    why: str = ""


@dataclass(frozen=True)
class Placement:
    """What a segmenter runs on, and why.

    Attributes:
        backend: the engine.
        version: the engine's.
        target: the bundle's folder of graphs.
        device: as the engine names it.
        precision: of the arithmetic, with the graphs that have another, such as "bfloat16, float32 in decoder".
        threads: CPU threads that runs may use; None if the engine decides and does not report it.
        performance: "latency", "throughput" or "low-power".
        reason: why this candidate: forced, the only one, measured, or remembered.
        graphs: where each graph runs.
        tried: all candidates that were tried, including this one; empty if no trial was needed.
    """

    backend: str
    version: str
    target: str
    device: str
    precision: str
    threads: int | None
    performance: str
    reason: str
    graphs: tuple[GraphPlacement, ...]
    tried: tuple[Tried, ...] = ()


def judge(attempts: list[Attempt]) -> list[Tried]:
    """Order attempts, the fastest usable one first, and give each a verdict."""
    usable = sorted((a for a in attempts if a.usable), key=lambda a: a.total)
    made = [Tried(a, "chosen: the fastest" if len(usable) > 1 else "chosen: the only one usable") for a in usable[:1]]
    made += [Tried(a, f"slower: {a.total:.1f} ms against {usable[0].total:.1f} ms") for a in usable[1:]]
    return made + [Tried(a, a.problem) for a in attempts if not a.usable]
