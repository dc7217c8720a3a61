"""The result of a measurement as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from cgsam_edge.bench.summary import Summary

FORMAT = "cgsam-bench"

ONE, ALL, CLICK, REST = "one", "all", "click", "rest"
"""What is timed beside the graphs: one concept, all concepts, one click, and what of one concept no graph takes."""


@dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Attributes:
        system: operating system, its release, and the processor's architecture.
        processor: as the system names it.
        cores: that the process may use.
        all_cores: of the machine.
        memory: bytes in all; None where the system does not tell.
        host: its name.
    """

    system: str
    processor: str
    cores: int
    all_cores: int
    memory: int | None = None
    host: str = ""


@dataclass(frozen=True)
class Subject:
    """What was measured, and how.

    Attributes:
        bundle: the folder's name.
        digest: of its graphs and examples.
        picture: (width, height) in pixels.
        picture_digest: SHA-256, in hex, of its RGB values.
        concept: for one concept and for the click.
        concepts: for all concepts, capped.
        threads: as asked; None means the engine's own choice.
        versions: of Python, this package, what it stands on, and the engines.
        macs: multiply-adds of each graph, as the bundle's manifest has them; empty where it has none.
        weights: bytes of each graph's files, by target.
    """

    bundle: str
    digest: str
    picture: tuple[int, ...]
    picture_digest: str
    concept: str
    concepts: tuple[str, ...]
    threads: int | None
    versions: dict[str, str]
    macs: dict[str, int] = field(default_factory=dict)
    weights: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Configuration:
    """A way to run the bundle.

    Attributes:
        backend: the engine.
        target: the bundle's folder of graphs.
        device: as the engine names it.
        precision: as asked for: "default" or "reduced".
    """

    backend: str
    target: str
    device: str
    precision: str

    @property
    def key(self) -> str:
        """What tells it from the others of a run, and finds it in another."""
        return f"{self.backend} {self.device} {self.precision}"


@dataclass(frozen=True)
class Cold:
    """One start of a process of its own, up to the first mask. Seconds are between what the parent saw.

    Attributes:
        cached: whether an earlier process had filled the cache of compiled graphs.
        start: seconds until Python runs.
        imports: seconds for numpy, opencv and this package.
        open: seconds for the engine and all graphs.
        first: seconds from the picture to the first mask.
        graphs: milliseconds of each graph's first run.
        peak_memory: bytes, the most that were resident; None where the system does not tell.
    """

    cached: bool
    start: float
    imports: float
    open: float
    first: float
    graphs: dict[str, float]
    peak_memory: int | None = None

    @property
    def total(self) -> float:
        """Seconds from nothing to a mask."""
        return self.start + self.imports + self.open + self.first


@dataclass(frozen=True)
class Peak:
    """What an engine reaches on products of matrices, on this machine, in multiply-adds a second.

    Attributes:
        rate: in the configuration's arithmetic; None where the engine could not run the product.
        int8: of 8-bit integers; None likewise.
    """

    rate: float | None
    int8: float | None = None


@dataclass(frozen=True)
class Row:
    """One configuration, measured.

    Attributes:
        configuration: which.
        arithmetic: as the engine tells: "float32", "bfloat16", ….
        weights: precision of the stored weights.
        threads: as the engine tells.
        cold: starts of processes of their own.
        times: by graph, and for `ONE`, `ALL`, `CLICK` and `REST`.
        series: milliseconds of one concept, in the order of the runs.
        seconds: since the beginning of the run, of each of these.
        mask_iou: mean of the masks of all concepts with those of the reference; None without one.
        worst_mask_iou: the worst of them.
        pytorch_mask_iou: of the bundle's example with PyTorch's mask.
        joules: energy of the whole machine for one image with one concept; None where it is not told.
        peak: for the roofline.
        problem: why it could not be measured, or only in part; empty where it was.
    """

    configuration: Configuration
    arithmetic: str = ""
    weights: str = ""
    threads: int | None = None
    cold: tuple[Cold, ...] = ()
    times: dict[str, Summary] = field(default_factory=dict)
    series: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    mask_iou: float | None = None
    worst_mask_iou: float | None = None
    pytorch_mask_iou: float | None = None
    joules: float | None = None
    peak: Peak | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """Engine, device and arithmetic."""
        told = self.arithmetic or self.configuration.precision
        told = self.configuration.precision if " " in told else told  # where the engine only says that it does not say
        return f"{self.configuration.backend} {self.configuration.device} {told}"

    @property
    def measured(self) -> bool:
        """Whether there are times."""
        return ONE in self.times

    @property
    def images_per_second(self) -> float | None:
        """With one concept, one after the other."""
        return 1000 / self.times[ONE].mean if self.measured else None

    @property
    def peak_memory(self) -> int | None:
        """Bytes, the most of the processes that found the cache filled, else of the first."""
        told = [(one.cached, one.peak_memory) for one in self.cold if one.peak_memory is not None]
        warm = [memory for cached, memory in told if cached]
        return max(warm or [memory for _, memory in told], default=None)


@dataclass(frozen=True)
class Sample:
    """The machine at one moment.

    Attributes:
        seconds: since the beginning of the run.
        temperature: °C, of the hottest sensor; None where it is not told, as the others.
        clock: MHz, mean of the cores.
        available: bytes of memory that could still be had.
        others: cores that other programs kept busy since the sample before.
        stolen: share of the machine's time that its host gave to others since then.
    """

    seconds: float
    temperature: float | None = None
    clock: float | None = None
    available: int | None = None
    others: float | None = None
    stolen: float | None = None


@dataclass(frozen=True)
class Measurement:
    """A whole measurement.

    Attributes:
        when: local date and time.
        machine: where.
        subject: what.
        rows: by configuration, in the order measured.
        samples: of the machine, over the run.
        warnings: what spoils it.
        notes: what was left out and why, and what numbers mean.
        reference: whose masks the others are held to; empty without any.
        energy: where the energy comes from, or "not reported".
        bandwidth: bytes a second that copying moves, read and written; None without ``--roofline``.
    """

    when: str
    machine: Machine
    subject: Subject
    rows: tuple[Row, ...]
    samples: tuple[Sample, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reference: str = ""
    energy: str = ""
    bandwidth: float | None = None
    format: str = FORMAT
