"""A measurement as text and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from cgsam_edge.bench.compare import Comparison
from cgsam_edge.bench.energy import NOT_TOLD
from cgsam_edge.bench.measurement import Measurement, Sample
from cgsam_edge.bench.tables import tables
from cgsam_edge.wording import amount

_COLUMNS = 100


def text(measurement: Measurement, comparison: Comparison | None = None) -> str:
    """Return the measurement for a terminal."""
    parts = [_wrapped(heading(measurement)), *(table.text() for table in tables(measurement, comparison))]
    parts += [_wrapped(block) for block in (problems(measurement), _remarks(measurement, comparison)) if block]
    return "\n\n".join(parts)


def _wrapped(lines: list[str]) -> str:
    return "\n".join(textwrap.fill(line, _COLUMNS, subsequent_indent="  ") for line in lines)


def markdown(measurement: Measurement, comparison: Comparison | None = None) -> str:
    """Return the measurement as Markdown."""
    parts = ["# " + heading(measurement)[0], "\n".join(f"{line}  " for line in heading(measurement)[1:])]
    parts += [table.markdown() for table in tables(measurement, comparison)]
    remarks = [*problems(measurement), *_remarks(measurement, comparison)]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in remarks)]) + "\n"


def heading(measurement: Measurement) -> list[str]:
    """Return what was measured and where, line by line."""
    subject, machine = measurement.subject, measurement.machine
    width, height = subject.picture
    memory = f", {machine.memory / 2**30:.1f} GiB" if machine.memory else ""
    cores = (
        f"{machine.cores} of {machine.all_cores} cores"
        if machine.cores != machine.all_cores
        else amount(machine.cores, "core")
    )
    threads = amount(subject.threads, "thread") if subject.threads else "threads as the engines choose"
    return [
        f"{subject.bundle} on {machine.processor}",
        f"{cores}{memory}; {machine.system}; {measurement.when}",
        ", ".join(f"{name} {number}" for name, number in subject.versions.items()),
        f"a picture of {width}×{height} pixels, concept {subject.concept!r}; {threads}",
    ]


def warnings(measurement: Measurement, comparison: Comparison | None) -> list[str]:
    """Return all warnings."""
    return [*measurement.warnings, *(comparison.warnings if comparison else ())]


def notes(measurement: Measurement) -> Iterator[str]:
    """Yield what the numbers mean, and how the machine's sensors developed."""
    yield from measurement.notes
    if measurement.reference:
        yield f"mask IoU: with the masks of {measurement.reference}; with PyTorch: on the bundle's example."
    part = "" if measurement.energy == NOT_TOLD else "; energy of the whole machine during the run, idle parts included"
    yield f"energy: {measurement.energy}{part}."
    yield from _sensors(measurement.samples)
    if measurement.bandwidth is not None and not measurement.subject.macs:
        yield "the bundle's manifest lists no multiply-adds for its graphs, so they cannot be compared with the limits."


def _sensors(samples: tuple[Sample, ...]) -> Iterator[str]:
    """Yield how temperature and clock developed."""
    for name, unit, values in (
        ("temperature", "°C", [s.temperature for s in samples if s.temperature is not None]),
        ("clock", "MHz", [s.clock for s in samples if s.clock is not None]),
    ):
        if values:
            yield f"{name}: from {values[0]:.0f} to {values[-1]:.0f} {unit}, at most {max(values):.0f}."
        else:
            yield f"{name}: no readable sensor on this machine."


def problems(measurement: Measurement) -> list[str]:
    """Return what could not be measured."""
    return [f"problem: {row.configuration.key}: {row.problem}" for row in measurement.rows if row.problem]


def _remarks(measurement: Measurement, comparison: Comparison | None) -> list[str]:
    found = [f"warning: {line}" for line in warnings(measurement, comparison)]
    return [*found, *(f"note: {line}" for line in notes(measurement))]
