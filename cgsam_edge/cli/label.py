"""``cgsam label``: a data set of many pictures, on one machine or a cluster."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.engine_options import add_engine, engine
from cgsam_edge.cli.tiles import add_tiles, check_lattice
from cgsam_edge.cli.values import UsageError, source, usable, whole
from cgsam_edge.errors import InputError
from cgsam_edge.objects import MIN_AREA, least_pixels
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from tqdm import tqdm

    from cgsam_edge.bulk.choices import Review, Split
    from cgsam_edge.bulk.job import Job
    from cgsam_edge.bulk.totals import LabelTotals

_LINE_SECONDS = 30.0
"""Seconds between lines of progress in a log."""


def _area(text: str) -> float:
    try:
        area = int(text) if text.isdecimal() else float(text)
        least_pixels(area, (1, 1))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected pixels, such as 200, or a share, such as 0.001; got {text!r}"
        ) from None
    return area


def _formats(text: str) -> tuple[str, ...]:
    from cgsam_edge.bulk.job import check_formats

    return usable(lambda: check_formats(tuple(dict.fromkeys(_names(text)))))


def _split(text: str) -> Split:
    from cgsam_edge.bulk.choices import Split

    return usable(lambda: Split.parse(text))


def _review(text: str) -> Review:
    from cgsam_edge.bulk.choices import Review

    return usable(lambda: Review.parse(text))


def add_parser(commands: Any) -> None:
    """Declare the command."""
    from cgsam_edge.datasets import FORMATS

    parser = commands.add_parser(
        "label",
        help="make a data set of many pictures: COCO, YOLO and others",
        usage="%(prog)s SOURCE [SOURCE ...] --to FORMAT --output FOLDER [--bundle FOLDER] [options]",
        description="Label many pictures, and write them as data sets that training and labelling tools open. The run "
        "can be killed at any time: the same command continues it. In the output folder are a folder for each format, "
        "report.html, manifest.json, and pictures.jsonl, which says for each picture what made its labels.",
    )
    text = "a folder (with all folders in it), a file, a glob in quotes, a Parquet file with image bytes, or a URL"
    parser.add_argument("sources", nargs="+", type=source, metavar="SOURCE", help=text)
    text = "the bundle (default: the reference bundle, of eleven street concepts)"
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help=text)
    parser.add_argument("--concepts", metavar="NAMES", help="separated by commas (default: all that the bundle holds)")
    text = f"format of the data set; several are separated by commas: {', '.join(FORMATS)}"
    parser.add_argument("--to", type=_formats, required=True, metavar="FORMAT", help=text)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    _add_choices(parser.add_argument_group("the data set"))
    add_tiles(parser.add_argument_group("big pictures"))
    _add_workers(parser.add_argument_group("many pictures at once"))
    add_engine(
        parser,
        threads="CPU threads of each worker (default: the cores divided by --workers; with --cluster 1)",
    )
    parser.set_defaults(run=run)


def _add_choices(group: argparse._ArgumentGroup) -> None:
    text = "percent of train, val and test; a picture's part follows from its name alone"
    group.add_argument("--split", type=_split, metavar="80/10/10", help=text)
    text = "set pictures aside, into review/, where a concept's presence is in this range"
    group.add_argument("--review", type=_review, metavar="0.3-0.7", help=text)
    text = "smallest object, and smallest hole, in pixels or as a share of the picture (default: %(default)s)"
    group.add_argument("--min-area", type=_area, default=MIN_AREA, metavar="AREA", help=text)


def _add_workers(group: argparse._ArgumentGroup) -> None:
    text = "engines that run at once, each in a process (default: 1); --threads are those of each"
    group.add_argument("--workers", type=whole(), default=1, metavar="N", help=text)
    text = "run the workers on a cluster of Ray: the address of its head, or auto for RAY_ADDRESS or a new one here"
    group.add_argument("--cluster", metavar="ADDRESS", help=text)


def run(options: argparse.Namespace) -> int:
    """Label; a picture that fails is reported and does not stop the others."""
    from cgsam_edge.bulk.job import run as run_job
    from cgsam_edge.cli import EXIT_INTERRUPTED
    from cgsam_edge.cli.messages import say

    job = _job(options)
    with LabelProgress() as progress:
        try:
            totals = run_job(job, progress, lambda line: say(f"cgsam: {line}"))
        except KeyboardInterrupt:
            say(f"cgsam: error: interrupted; {progress.kept()} The same command continues.")
            return EXIT_INTERRUPTED
    print(_conclusion(totals, job))
    return InputError.exit_code if totals.failed else 0


def _job(options: argparse.Namespace) -> Job:
    from cgsam_edge import shipped
    from cgsam_edge.bulk.job import Job
    from cgsam_edge.bulk.labelling import threads_each
    from cgsam_edge.bulk.recipe import Recipe

    names = _names(options.concepts or "")
    if options.concepts is not None and not names:
        raise UsageError("--concepts names no concept; leave it out for all that the bundle holds.")
    check_lattice(options)
    chosen = {**engine(options), "tile": options.tile, "overlap": options.overlap}
    if chosen["threads"] is None:
        chosen["threads"] = 1 if options.cluster else threads_each(options.workers)
    return Job(
        sources=pictures_of(options.sources),
        output=options.output,
        recipe=Recipe(options.bundle or shipped.BUNDLE, names, options.min_area, **chosen),
        formats=options.to,
        split=options.split,
        review=options.review,
        workers=options.workers,
        cluster=options.cluster,
    )


def pictures_of(named: list[str]) -> tuple[str, ...]:
    """Return the sources without pictures that were drawn of others: a shell's ``*.png`` includes them."""
    from cgsam_edge.cli.destinations import without_overlays
    from cgsam_edge.cli.messages import say

    files = [Path(one) for one in named if "://" not in one and Path(one).is_file()]
    kept = set(without_overlays(files, lambda line: say(f"cgsam: {line}")))
    return tuple(one for one in named if Path(one) not in files or Path(one) in kept)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _conclusion(totals: LabelTotals, job: Job) -> str:
    folders = ", ".join(str(job.output / name) for name in job.formats)
    sure = f"{amount(totals.sure.pictures, 'picture')} with {amount(totals.sure.objects, 'object')}"
    parts = [f"{sure} → {folders}" if totals.pictures else "no picture could be read, so no data set was written"]
    parts += [f"{totals.unsure} unsure → {job.output / 'review'}"] if totals.unsure else []
    parts += [f"{totals.failed} could not be used"] if totals.failed else []
    return "; ".join([*parts, f"report: {job.output / 'report.html'}"])


class LabelProgress:
    """Progress with rate and time left: a bar in a terminal, a line now and then in a log. A context manager."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._first: int | None = None
        self._begun = self._done = 0
        self._start = self._shown = time.monotonic()

    def __enter__(self) -> LabelProgress:  # noqa: PYI034 — Self needs Python 3.11
        """Return the printer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """Show how many pictures have been treated; the first call says where the run begins."""
        self._done = done
        if self._bar is None:
            from tqdm import tqdm

            self._begun = done
            self._bar = tqdm(total=total, initial=done, unit="picture", disable=None, leave=False, smoothing=0.05)
        self._bar.update(done - self._bar.n)
        if self._first is None and done > self._begun:  # engines are open: from here on the rate means something
            self._first, self._start = done, time.monotonic()
        if self._bar.disable and (done == total or time.monotonic() - self._shown > _LINE_SECONDS):
            self._shown = time.monotonic()
            self._line(done, total)

    def kept(self) -> str:
        """Return what an interruption left."""
        if not self._done:
            return "no label had been made."
        verb, whose = ("is", "its") if self._done == 1 else ("are", "their")
        return f"{amount(self._done, 'picture')} {verb} done, and {whose} labels are kept."

    def _line(self, done: int, total: int) -> None:
        seconds = time.monotonic() - self._start
        if self._first is None or done == self._first or seconds <= 0:
            return
        rate = (done - self._first) / seconds
        left = f", {_time((total - done) / rate)} left" if done < total else ""
        print(f"{done} of {amount(total, 'picture')}, {rate:.3g} a second{left}", file=sys.stderr, flush=True)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
