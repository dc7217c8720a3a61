"""The protocol of an engine: open a graph with options, named arrays in, named arrays out, close."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cgsam_edge.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.float32]]

PERFORMANCES = ("latency", "throughput", "low-power")
PRECISIONS = ("default", "float32", "reduced")
MOST_SOC = 10_000


@dataclass(frozen=True)
class SessionOptions:
    """How to open a graph. Every option means the same on every engine.

    Attributes:
        threads: CPU threads that all runs together may use, from 1 to `max_threads`; None leaves it to the engine,
            which takes all cores.
        device: one of the names that the backend's ``devices`` lists.
        performance: "latency": one run at a time, on all threads; "throughput": as many runs at once as there are
            threads, for callers in several threads; "low-power": half of the cores unless ``threads`` is given, and no
            busy-waiting.
        precision: of the arithmetic. "default": the fastest of what is proven, and else float32 on CPUs and what the
            device is built for elsewhere; "float32": nothing less, or the device is refused; "reduced": the fastest
            that the device has, BF16 or FP16, proven or not.
        save_memory: release memory between runs, which costs time.
        cache: a folder for compiled graphs, or None.
        proven: kinds of arithmetic below float32, such as "bfloat16", that are proven good enough for the graph; None
            where nothing is known.
        soc: which chip of Qualcomm an NPU is of, by Qualcomm's model number; None leaves it to the device, and other
            devices ignore it.

    Raises:
        InputError: an option has the wrong type, or is outside its range.
    """

    threads: int | None = None
    device: str = "CPU"
    performance: str = "latency"
    precision: str = "default"
    save_memory: bool = False
    cache: Path | None = None
    proven: tuple[str, ...] | None = None
    soc: int | None = None

    def __post_init__(self) -> None:
        if self.proven is not None:
            object.__setattr__(self, "proven", tuple(self.proven))  # a list where it comes from another process
        object.__setattr__(self, "threads", checked_threads(self.threads))
        for name, value, known in (
            ("performance", self.performance, PERFORMANCES),
            ("precision", self.precision, PRECISIONS),
        ):
            if not isinstance(value, str) or value not in known:
                raise InputError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r:.60}.")
        check_device(self.device)
        check_flag("save_memory", self.save_memory)
        check_soc(self.soc)

    @property
    def thread_limit(self) -> int | None:
        """Number of CPU threads for the engine; None lets it decide."""
        if self.threads is None and self.performance == "low-power":
            return max(1, cores() // 2)
        return self.threads

    @property
    def picture_threads(self) -> int:
        """Number of threads that may prepare one picture."""
        return 1 if self.performance == "throughput" else self.thread_limit or cores()

    @property
    def at_once(self) -> int:
        """Number of runs that may happen at once."""
        return (self.threads or cores()) if self.performance == "throughput" else 1


def checked_threads(value: object, name: str = "threads") -> int | None:
    """Return a number of CPU threads as an int, or None.

    Raises:
        InputError: it is not a whole number, or outside 1 to `max_threads`.
    """
    if value is None:
        return None
    try:
        number = 0 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]  # NumPy's integers too
    except TypeError:
        number = 0
    if not 1 <= number <= max_threads():
        raise InputError(
            f"{name} must be a whole number from 1 to {max_threads()}, or None for the engine's choice, got "
            f"{value!r:.60}."
        )
    return number


def max_threads() -> int:
    """Return the largest number of threads: more than four per core only wait for each other."""
    return max(64, 4 * (os.cpu_count() or 1))


def check_device(value: object) -> None:
    """Raise `InputError` if this cannot be a device's name."""
    if not isinstance(value, str) or not value:
        raise InputError(f"device must be 'auto' or a device's name, got {value!r:.60}.")


def check_soc(value: object) -> None:
    """Raise `InputError` if this can be no model number of a chip."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MOST_SOC):
        raise InputError(
            f"soc must be a model number of Qualcomm from 1 to {MOST_SOC - 1}, such as 57 for the Snapdragon 8 Gen 3, "
            f"or None, got {value!r:.60}."
        )


def check_flag(name: str, value: object) -> None:
    """Raise `InputError` if this is neither True nor False."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {value!r:.60}.")


def cores() -> int:
    """Return how many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


@dataclass(frozen=True)
class Device:
    """A device as an engine reports it.

    Attributes:
        name: name with which a caller forces it.
        kind: "cpu", "gpu" or "npu"; "any" for an engine's own choice among them.
        description: the hardware, as far as the engine reports it.
        missing: why it cannot be used here; empty if it can.
        simulated: whether other hardware computes what this device would: it takes minutes, and is used only by name.
    """

    name: str
    kind: str
    description: str = ""
    missing: str = ""
    simulated: bool = False

    @property
    def automatic(self) -> bool:
        """Whether "auto" considers it: available, real, and not itself a choice among devices."""
        return not self.missing and self.kind != "any" and not self.simulated

    def answers_to(self, wanted: str) -> bool:
        """Whether a caller who says ``wanted`` means this device: by name or, if it is real, by kind, in any case."""
        return wanted.lower() == self.name.lower() or (wanted.lower() == self.kind and not self.simulated)


@dataclass(frozen=True)
class SessionFacts:
    """Where an opened graph really runs, from the engine's own record.

    Attributes:
        nodes: how many operations each device or provider computes.
        precision: of the arithmetic: "float32", "float16", "bfloat16", or a note if the engine does not report it.
        threads: CPU threads; None if the engine decided and does not report it.
        cached: whether the compiled graph came from the cache.
    """

    nodes: dict[str, int] = field(default_factory=dict)
    precision: str = "float32"
    threads: int | None = None
    cached: bool = False


class Session(Protocol):
    """An opened graph. Safe to run from several threads; `SessionOptions.performance` sets how many run at once."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs.

        Args:
            inputs: float32 arrays by name, exactly the graph's inputs.

        Raises:
            BackendError: a name or shape is wrong, the session is closed, or the engine failed.
        """

    def facts(self) -> SessionFacts:
        """Return where the graph runs.

        Raises:
            BackendError: the session is closed.
        """

    def close(self) -> None:
        """Free the engine's memory; closing twice does nothing."""


class Backend(Protocol):
    """An engine."""

    @property
    def name(self) -> str:
        """Name with which a caller forces it."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The bundle's folders of graphs that it opens, the preferred one first."""

    @property
    def extras(self) -> tuple[str, ...]:
        """Extras of this package that install it, the usual one first."""

    def version(self) -> str | None:
        """Return the engine's version, or None if it is not installed; does not import it."""

    def problem(self) -> str:
        """Return why the engine cannot be used at all, and what to do; empty if it can. Does not import it."""

    def devices(self) -> tuple[Device, ...]:
        """Return the known devices, the most promising first; imports the engine.

        Raises:
            BackendError: the engine cannot be imported.
        """

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open a graph.

        Raises:
            BackendError: the engine is not installed, the device is unknown or missing, or the graph cannot be opened.
        """
