"""The result of a measurement as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from cgsam_edge.bench.summary import Summary

FORMAT = "cgsam-bench"

ONE, ALL, CLICK, REST = "one", "all", "click", "rest"
"""What is timed beside the graphs: one concept, all concepts, one click, and the time outside the graphs."""


@dataclass(frozen=True)
class Machine:
    """Where it was measured.

    Attributes:
        system: operating system, its release, and the processor's architecture.
        processor: its name as the system gives it.
        cores: number of cores that the process may use.
        all_cores: number of cores of the machine.
        memory: total bytes; None if the system does not report it.
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
        digest: hash of its graphs and examples.
        picture: (width, height) in pixels.
        picture_digest: SHA-256, in hex, of its RGB values.
        concept: the one used for the rows "one concept" and "one click".
        concepts: those used for the row "all concepts", up to a limit.
        threads: as requested; None means the engine's own choice.
        versions: of Python, this package, its dependencies, and the engines.
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
        device: the engine's name for it.
        precision: as requested: "default" or "reduced".
    """

    backend: str
    target: str
    device: str
    precision: str

    @property
    def key(self) -> str:
        """Identifies the configuration within a run, and matches it across runs."""
        return f"{self.backend} {self.device} {self.precision}"


@dataclass(frozen=True)
class Cold:
    """One start of a separate process, up to the first mask. Times are measured by the parent.

    Attributes:
        cached: whether an earlier process had filled the cache of compiled graphs.
        start: seconds until Python runs.
        imports: seconds for numpy, opencv and this package.
        open: seconds for the engine and all graphs.
        first: seconds from the picture to the first mask.
        graphs: milliseconds of each graph's first run.
        peak_memory: greatest resident size in bytes; None if the system does not report it.
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
    """The rate of matrix products that an engine reaches on this machine, in multiply-adds a second.

    Attributes:
        rate: rate in the configuration's arithmetic; None where the engine could not run the product.
        int8: rate with 8-bit integers; None likewise.
    """

    rate: float | None
    int8: float | None = None


@dataclass(frozen=True)
class Row:
    """One configuration, measured.

    Attributes:
        configuration: engine, device and precision.
        arithmetic: as the engine reports it: "float32", "bfloat16", ….
        weights: precision of the stored weights.
        threads: as the engine reports them.
        cold: starts of separate processes.
        times: by graph, and for `ONE`, `ALL`, `CLICK` and `REST`.
        series: milliseconds of one concept, in the order of the runs.
        seconds: since the beginning of the run, for each entry of ``series``.
        mask_iou: mean IoU of all concepts' masks with the reference's; None without a reference.
        worst_mask_iou: the lowest of them.
        pytorch_mask_iou: IoU of the bundle's example mask with PyTorch's.
        joules: energy of the whole machine for one image with one concept; None if it is not reported.
        peak: for the roofline.
        problem: why it was not measured, or only in part; otherwise empty.
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
        told = self.configuration.precision if " " in told else told  # the engine does not report it
        return f"{self.configuration.backend} {self.configuration.device} {told}"

    @property
    def measured(self) -> bool:
        """Whether there are times."""
        return ONE in self.times

    @property
    def images_per_second(self) -> float | None:
        """Images a second with one concept, one image after the other."""
        return 1000 / self.times[ONE].mean if self.measured else None

    @property
    def peak_memory(self) -> int | None:
        """Greatest number of bytes among the processes that found the cache filled, otherwise of the first one."""
        told = [(one.cached, one.peak_memory) for one in self.cold if one.peak_memory is not None]
        warm = [memory for cached, memory in told if cached]
        return max(warm or [memory for _, memory in told], default=None)


@dataclass(frozen=True)
class Sample:
    """The machine at one moment.

    Attributes:
        seconds: since the beginning of the run.
        temperature: °C, of the hottest sensor; None if it is not reported, like the other values.
        clock: MHz, mean of the cores.
        available: bytes of memory that were still available.
        others: cores that other programs kept busy since the sample before.
        stolen: share of the machine's time that its host gave to other machines since then.
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
        machine: where it was measured.
        subject: what was measured.
        rows: by configuration, in the order measured.
        samples: state of the machine over the run.
        warnings: what makes the numbers doubtful.
        notes: what was left out and why, and what the numbers mean.
        reference: name of the row whose masks the others are compared with; empty if there is none.
        energy: where the energy comes from, or "not reported".
        bandwidth: bytes a second, read and written, when copying memory; None without ``--roofline``.
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
