"""``cgsam bench``: how fast a bundle is on each engine and device of this machine."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli import values
from cgsam_edge.cli.engine_options import add_bundle
from cgsam_edge.cli.values import number, threads, whole

if TYPE_CHECKING:
    from cgsam_edge.bench.compare import Comparison
    from cgsam_edge.bench.measurement import Measurement

_QUICK = {"runs": 6, "starts": 1, "max_concepts": 3}


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "bench",
        help="measure how fast a bundle is on this machine",
        description="Measure a bundle on all engines, devices and precisions of this machine, side by side: each in a "
        "separate process, in turns, so that drift affects all of them alike. Run it on an idle machine.",
    )
    add_bundle(parser)
    _add_choice(parser)
    _add_output(parser)
    parser.set_defaults(run=run)


def _add_choice(parser: Any) -> None:
    parser.add_argument("--backend", type=values.backend, default="auto", help="only this engine (default: all)")
    parser.add_argument(
        "--device", type=values.device, default="auto", help="only this device, by name or kind (default: all)"
    )
    parser.add_argument("--threads", type=threads, help="CPU threads (default: as the engines choose)")
    parser.add_argument(
        "--runs", type=whole(), metavar="N", help="number of runs with one concept, and with a click (default: 30)"
    )
    parser.add_argument(
        "--minutes",
        type=number(),
        default=0.0,
        help="keep measuring for this long, to show drift of clock and temperature",
    )
    parser.add_argument("--image", type=Path, help="the picture to segment (default: the bundle's example)")
    parser.add_argument("--concept", help="the concept for the rows 'one concept' and 'one click' (default: the first)")
    parser.add_argument(
        "--max-concepts",
        type=whole(),
        metavar="N",
        help="largest number of concepts in the row 'all concepts' (default: 16)",
    )
    parser.add_argument("--quick", action="store_true", help="a short measurement: 6 runs, 2 starts, 3 concepts")
    parser.add_argument(
        "--roofline", action="store_true", help="also measure the machine's limits, and how far each graph is from them"
    )


def _add_output(parser: Any) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page with plots")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="show ratios to an earlier run, saved with --json")


def run(options: argparse.Namespace) -> int:
    """Measure, print and write."""
    from cgsam_edge.bench import prose
    from cgsam_edge.bench.compare import compare
    from cgsam_edge.bench.measure import measure
    from cgsam_edge.bench.plan import Options
    from cgsam_edge.bench.storage import load
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.errors import BackendError

    old = None if options.compare is None else load(options.compare)  # first, so that a typo costs no time
    chosen = Options(
        backend=options.backend,
        device=options.device,
        threads=options.threads,
        minutes=options.minutes,
        concept=options.concept,
        picture=options.image,
        roofline=options.roofline,
        **_amounts(options),
    )
    _check_folders(options)
    measurement = measure(Bundle(options.bundle), chosen, lambda line: print(line, file=sys.stderr, flush=True))
    comparison = None if old is None else compare(old, measurement)
    print(prose.text(measurement, comparison))
    _write(options, measurement, comparison)
    return BackendError.exit_code if any(row.problem for row in measurement.rows) else 0


def _amounts(options: argparse.Namespace) -> dict[str, int]:
    """Return how much to measure: explicit options override --quick."""
    said = {name: getattr(options, name) for name in ("runs", "max_concepts")}
    return {**(_QUICK if options.quick else {}), **{name: value for name, value in said.items() if value is not None}}


def _check_folders(options: argparse.Namespace) -> None:
    """Raise `OutputError` before the measurement if a result could not be written afterwards."""
    from cgsam_edge.errors import OutputError

    for path in (options.json, options.markdown, options.html):
        if path is not None and not path.absolute().parent.is_dir():
            raise OutputError(f"{path}: its folder does not exist.")


def _write(options: argparse.Namespace, measurement: Measurement, comparison: Comparison | None) -> None:
    from cgsam_edge.bench import page, prose
    from cgsam_edge.bench.storage import save
    from cgsam_edge.files import write_beside

    if options.json is not None:
        save(measurement, options.json)
    for path, show in ((options.markdown, prose.markdown), (options.html, page.page)):
        if path is not None:
            write_beside(path, partial(Path.write_text, data=show(measurement, comparison), encoding="utf-8"))
