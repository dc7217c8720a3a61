"""What spoils a measurement, judged from plain data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cgsam_edge.bench.measurement import ONE, Machine, Row, Sample
from cgsam_edge.bench.summary import FEW, WIDE, drift
from cgsam_edge.wording import amount

_OTHERS = 0.1
"""Cores that other programs keep busy before a warning is given."""

_STOLEN = 0.02
_COOLER_CLOCK = 0.95
_WARMER = 10.0
_LITTLE_MEMORY = 0.1
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Conditions:
    """What the machine was like before anything ran.

    Attributes:
        machine: the machine.
        threads: as requested; None means the engine's choice.
        environment: the environment variables.
        load: number of programs ready to run, averaged over the last minute; None if the system does not report it.
        governors: names of the cores' frequency governors.
        battery: whether the machine runs on battery.
    """

    machine: Machine
    threads: int | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    load: float | None = None
    governors: tuple[str, ...] = ()
    battery: bool = False


def before(found: Conditions) -> list[str]:
    """Return warnings about the machine before anything ran."""
    return [*_of_threads(found), *_of_power(found)]


def after(rows: tuple[Row, ...], samples: tuple[Sample, ...], machine: Machine) -> list[str]:
    """Return warnings about what happened during the measurement."""
    return [*_of_load(samples), *_of_clock(samples), *_of_memory(samples, machine), *_of_runs(rows)]


def _of_threads(found: Conditions) -> Iterator[str]:
    machine = found.machine
    if found.threads is not None and found.threads > machine.cores:
        yield f"{found.threads} threads on {amount(machine.cores, 'core')}: they wait for each other."
    if found.threads is None and machine.cores < machine.all_cores:
        yield (
            f"this process is held to {machine.cores} of {machine.all_cores} cores, which an engine may ignore: set "
            f"--threads {machine.cores}."
        )
    for name in _THREAD_VARIABLES:
        value = found.environment.get(name, "")
        if value and value != str(found.threads or machine.cores):
            yield (
                f"{name}={value}, while the engines take {found.threads or 'all'} threads: some obey the variable and "
                "some do not. Unset it, or set --threads."
            )


def _of_power(found: Conditions) -> Iterator[str]:
    if found.load is not None and found.load > found.machine.all_cores / 2:
        yield (
            f"load {found.load:.1f} on {amount(found.machine.all_cores, 'core')} before the measurement began: other "
            "programs are running, and every number includes their effect."
        )
    slow = [name for name in found.governors if name != "performance"]
    if slow:
        yield f"the frequency governor is {', '.join(slow)}, not performance: short runs are measured at a low clock."
    if found.battery:
        yield "on battery: many machines are slower then."


def _of_load(samples: tuple[Sample, ...]) -> Iterator[str]:
    others = [sample.others for sample in samples if sample.others is not None]
    if others and sum(others) / len(others) > _OTHERS:
        yield (
            f"other programs kept {sum(others) / len(others):.1f} cores busy while it ran (at most {max(others):.1f}): "
            "absolute times are too long; ratios between the rows suffer less, as they took turns."
        )
    stolen = [sample.stolen for sample in samples if sample.stolen is not None]
    if stolen and sum(stolen) / len(stolen) > _STOLEN:
        yield f"the host took {100 * sum(stolen) / len(stolen):.0f} % of this virtual machine's time."


def _of_clock(samples: tuple[Sample, ...]) -> Iterator[str]:
    clocks = [sample.clock for sample in samples if sample.clock is not None]
    if drift(clocks) < _COOLER_CLOCK:
        yield f"the clock fell to {100 * drift(clocks):.0f} % of what it was at the beginning: the processor throttles."
    heat = [sample.temperature for sample in samples if sample.temperature is not None]
    if heat and heat[-1] - heat[0] > _WARMER:
        yield f"it grew {heat[-1] - heat[0]:.0f} °C warmer, to {heat[-1]:.0f} °C: --minutes shows whether it throttles."


def _of_memory(samples: tuple[Sample, ...], machine: Machine) -> Iterator[str]:
    left = min((sample.available for sample in samples if sample.available is not None), default=None)
    if left is not None and machine.memory and left < _LITTLE_MEMORY * machine.memory:
        yield f"only {left / 1e6:.0f} MB of memory were left: it may have swapped, or dropped files to read again."


def _of_runs(rows: tuple[Row, ...]) -> Iterator[str]:
    measured = [row for row in rows if row.measured]
    few = min((row.times[ONE].runs for row in measured), default=FEW)
    if few < FEW:
        yield f"only {amount(few, 'run')}: the percentiles say little. Say --runs 30 or more."
    for row in measured:
        one = row.times[ONE]
        if one.spread > WIDE:
            yield (
                f"{row.name}: p90 is {one.spread:.2f} times p50, so something else ran at times; more runs, or a quiet "
                "machine, would tell."
            )
