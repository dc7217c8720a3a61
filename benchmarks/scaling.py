"""Plot how cost grows: ``python -m benchmarks.scaling --output docs``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import document, prepare
from benchmarks.series import Line, Series, Sizes, all_series
from benchmarks.turns import Rounds, Store, Turn
from cgsam_edge.bench.measurement import Machine
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tables import Table, number
from cgsam_edge.errors import BackendError, CgsamError, InputError
from cgsam_edge.files import write_beside
from cgsam_edge.page.points import Curve, Spot, chart_file

FORMAT = "cgsam-scaling"


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        file: its name.
        title: what it shows.
        x_label: of the axis.
        y_label: with the unit.
        curves: medians, with the least and the most.
    """

    file: str
    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Section:
    """A series with its plots.

    Attributes:
        title: a heading.
        text: what was measured.
        plots: of time and of memory.
    """

    title: str
    text: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class Page:
    """The whole page.

    Attributes:
        when: local date and time.
        machine: the machine.
        threads: CPU threads; None means the engines' own choice.
        versions: of the libraries that compute.
        rounds: turns of each point.
        warnings: what spoils it.
        sections: one for each series.
    """

    when: str
    machine: Machine
    threads: int | None
    versions: dict[str, str]
    rounds: int
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    format: str = FORMAT


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for scaling.md, scaling.json and plots")
    parser.add_argument("--work", type=Path, default=Path("benchmarks-work"), help="folder for exports and turns")
    parser.add_argument("--rounds", type=int, default=3, help="number of turns of each point (default: 3)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as the engines choose)")
    parser.add_argument("--again", action="store_true", help="discard the turns of an earlier run; exports are kept")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, sizes: Sizes) -> Page:
    """Measure what is missing, and return everything.

    Raises:
        BackendError: a bundle could not be made, or a point could not be measured.
        OutputError: a folder cannot be made.
    """
    prepare.make_folder(options.output)
    prepare.make_folder(options.work)
    series = all_series(sizes, options.work, options.threads)
    turns = _turns(options, series)
    sensors = Sensors()
    return Page(
        document.now(),
        sensors.machine(),
        options.threads,
        prepare.versions(),
        options.rounds,
        tuple(document.warnings(turns, sensors, options.threads)),
        tuple(_section(one, turns) for one in series),
    )


def _turns(options: argparse.Namespace, series: Sequence[Series]) -> list[Turn]:
    path = options.work / "turns.json"
    if options.again:
        path.unlink(missing_ok=True)
    tasks = [task for one in series for task in one.tasks]
    store = Store(path, {task.key: task.identity for task in tasks})
    rounds = Rounds(store, tasks, options.rounds, prepare.tell)
    rounds.run()
    for key, problem in rounds.problems.items():
        raise BackendError(f"{key}: {problem}")
    return [turn for turn in store.turns if turn.number < options.rounds]


def _section(series: Series, turns: Sequence[Turn]) -> Section:
    times = tuple(_curve(line, turns, memory=False) for line in series.lines)
    memory = tuple(_curve(line, turns, memory=True) for line in series.memory)
    plots = [Plot(f"scaling-{series.name}-time.svg", f"{series.title}: time", series.x_label, "ms", times)]
    if all(curve.spots for curve in memory):
        file = f"scaling-{series.name}-memory.svg"
        plots.append(Plot(file, f"{series.title}: peak memory", series.x_label, "MB of the process at most", memory))
    return Section(series.title, series.text, tuple(plots))


def _curve(line: Line, turns: Sequence[Turn], *, memory: bool) -> Curve:
    spots = []
    for x, key in line.keys.items():
        own = [turn for turn in turns if turn.key == key]
        values = [turn.peak_memory / 1e6 for turn in own if turn.peak_memory] if memory else _times(own, line.command)
        if values:
            spots.append(Spot(x, float(np.median(values)), min(values), max(values)))
    return Curve(line.name, tuple(spots))


def _times(turns: Sequence[Turn], command: str) -> list[float]:
    return [time for turn in turns for time in turn.times[command]]


def markdown(page: Page) -> str:
    """Return the page, with its plots as pictures beside it."""
    machine, threads = page.machine, f"{page.threads} threads" if page.threads else "threads as the engines choose"
    versions = ", ".join(f"{name} {version}" for name, version in page.versions.items())
    parts = [
        "# How cost grows",
        (
            f"`python -m benchmarks.scaling` wrote this on {page.when}: {machine.processor}, {machine.cores} cores, "
            f"{machine.system}; {threads}; {versions}. Each point is the median of {page.rounds} turns or more, a "
            "separate process each, all points in turn; the bars go from the least to the most."
        ),
        *(f"**Warning:** {line}" for line in page.warnings),
    ]
    for section in page.sections:
        parts += [f"## {section.title}", section.text]
        for plot in section.plots:
            parts += [f"![{plot.title}]({plot.file})", _table(plot).markdown(), *_growth(plot)]
    return "\n\n".join(parts) + "\n"


def _table(plot: Plot) -> Table:
    xs = [spot.x for spot in plot.curves[0].spots]
    rows = tuple((curve.name, *(number(spot.y) for spot in curve.spots)) for curve in plot.curves)
    return Table(f"{plot.title}, {plot.y_label}", (plot.x_label, *(f"{x:g}" for x in xs)), rows)


def _growth(plot: Plot) -> Iterator[str]:
    """Yield the cost of each further unit: the slope of a line through the medians."""
    for curve in plot.curves:
        if len(curve.spots) > 1:
            slope, start = np.polyfit([spot.x for spot in curve.spots], [spot.y for spot in curve.spots], 1)
            unit = plot.y_label.partition(" ")[0]
            yield f"- {curve.name}: {start:.0f} {unit} and {slope:.3g} {unit} for each of the {plot.x_label}"


def save(page: Page, folder: Path) -> None:
    """Write the page, its plots and ``scaling.json``.

    Raises:
        OutputError: they cannot be written.
    """
    files = {
        "scaling.json": json.dumps(asdict(page), indent=1, ensure_ascii=False) + "\n",
        "scaling.md": markdown(page),
    }
    for section in page.sections:
        files |= {p.file: chart_file(p.title, p.curves, p.x_label, p.y_label) for p in section.plots}
    for name, content in files.items():
        write_beside(folder / name, partial(Path.write_text, data=content, encoding="utf-8"))


def main(arguments: Sequence[str] | None = None, sizes: Sizes | None = None) -> int:
    """Measure, and write the page."""
    options = parse(arguments)
    try:
        if options.rounds < 1:
            raise InputError(f"--rounds must be 1 or more, got {options.rounds}.")
        save(run(options, sizes or Sizes()), options.output)
    except CgsamError as error:
        prepare.tell(f"error: {error}")
        return error.exit_code
    prepare.tell(f"wrote {options.output / 'scaling.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
