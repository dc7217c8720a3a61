"""``cgsam eval``: how good a bundle is on labelled images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cgsam_edge.cli.engine_options import add_bundle, add_engine, engine
from cgsam_edge.cli.labels import add_labels, opened, print_remarks
from cgsam_edge.cli.tiles import add_tiles, check_lattice, check_side
from cgsam_edge.cli.values import UsageError, whole
from cgsam_edge.files import check_folder
from cgsam_edge.quality.defaults import CLICKS, EVALUATION_MODES


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "eval",
        help="measure a bundle's accuracy on labelled images",
        description="Measure a bundle against labels: IoU per concept, their mean, and how well it distinguishes "
        "present from absent (docs/metrics.md). Prints a table; with --output, also writes eval.json and a contact "
        "sheet. Images that cannot be used are named and left out; the exit code is then 3.",
    )
    add_bundle(parser)
    add_labels(parser)
    text = (
        "prompt with names alone, or also with clicks that correct the mask or a box around each label (default: "
        "%(default)s)"
    )
    parser.add_argument("--mode", choices=EVALUATION_MODES, default=EVALUATION_MODES[0], help=text)
    text = f"with --mode clicks: the most clicks, each on the greatest error of the mask so far (default: {CLICKS})"
    parser.add_argument("--clicks", type=whole(), metavar="N", help=text)
    parser.add_argument("--zoom", action="store_true", help="zoom in on clicks or boxes, as cgsam segment --zoom does")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write eval.json and contact-sheet.png")
    add_tiles(parser.add_argument_group("big pictures"))
    add_engine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate."""
    from tqdm import tqdm

    from cgsam_edge.quality.evaluate import evaluate_labels
    from cgsam_edge.quality.label_prompts import LabelPrompting
    from cgsam_edge.quality.scores import table, write_scores
    from cgsam_edge.quality.sheet import evaluation_sheet
    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.tiling import TileOptions

    if options.output is not None:
        check_folder(options.output)
    check_lattice(options, "" if options.mode == EVALUATION_MODES[0] else f"--mode {options.mode}")
    if options.clicks is not None and options.mode != "clicks":
        raise UsageError("--clicks is for --mode clicks; give that too, or leave it out.")
    if options.zoom and options.mode == EVALUATION_MODES[0]:
        raise UsageError("--zoom is for --mode clicks and --mode box; with names alone, use --tile.")
    prompting = LabelPrompting(options.mode, CLICKS if options.clicks is None else options.clicks, options.zoom)
    labels = opened(options)
    with (
        Segmenter(options.bundle, **engine(options)) as segmenter,
        tqdm(unit="image", leave=False, disable=None) as bar,
    ):
        check_side(options, segmenter.bundle.manifest.geometry)
        done = evaluate_labels(
            segmenter,
            labels,
            prompting=prompting,
            skip_unknown=options.skip_unknown,
            tiles=None if options.tile is None else TileOptions(options.tile, options.overlap),
            progress=lambda done: bar.update(done - bar.n),
        )
        bar.close()
        print(table(done))
        if options.output is not None:
            sheet = evaluation_sheet(done, segmenter, labels, prompting)
            write_scores(done, options.images, sheet, options.output)
    return print_remarks(done.notes, done.left_out)
