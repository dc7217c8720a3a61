"""``cgsam calibrate``: learn, from labelled images, when a concept counts as present."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.engine_options import add_engine, engine
from cgsam_edge.cli.labels import add_labels, opened, print_remarks
from cgsam_edge.cli.values import number
from cgsam_edge.quality.defaults import MAX_RECALL_LOSS
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from cgsam_edge.quality.presence_fit import PresenceCalibration


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "calibrate",
        help="learn from labelled images to tell which concepts are present",
        description="Every concept gets a mask, whether it is in the image or not. From labelled images, some of which "
        "lack the concept, this learns to tell, and writes that into the bundle: result['car'].presence becomes a "
        "probability and result['car'].present a decision. Use other images than those you evaluate on. Images that "
        "cannot be used are named and left out; the exit code is then 3.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder; changed in place unless --output is given")
    add_labels(parser)
    parser.add_argument(
        "--max-recall-loss",
        type=number(0, 1, below=True),
        default=MAX_RECALL_LOSS,
        metavar="SHARE",
        help="largest share of recall to lose by ruling concepts out from similarity alone, before any graph runs "
        "for them (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write to this bundle instead")
    add_engine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Calibrate, print a table, and write the bundle."""
    from tqdm import tqdm

    from cgsam_edge.quality.calibrate_bundle import calibrate_bundle
    from cgsam_edge.quality.screening_fit import check_loss
    from cgsam_edge.revise import with_vocabulary
    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.staging import check_destination

    check_destination(options.output or options.bundle)
    check_loss(options.max_recall_loss)
    labels = opened(options)
    with (
        Segmenter(options.bundle, **engine(options)) as segmenter,
        tqdm(unit="image", leave=False, disable=None) as bar,
    ):
        done = calibrate_bundle(
            segmenter,
            labels,
            options.max_recall_loss,
            skip_unknown=options.skip_unknown,
            progress=lambda done: bar.update(done - bar.n),
        )
        bundle = segmenter.bundle
    written = with_vocabulary(bundle, done.vocabulary, options.output, done.notes)
    print(table(done.presence))
    skipped, lost = 100 * done.screening.skipped, 100 * done.screening.recall_loss
    print(
        f"ruled out by similarity alone: {skipped:.1f} % of the absent concepts, and {lost:.2f} % of the present ones"
    )
    calibrated = sum(c.precision is not None for c in done.presence.concepts)
    print(f"wrote {written}: presence of {amount(calibrated, 'concept')}, learnt from {amount(done.images, 'image')}")
    return print_remarks(done.remarks.notes, done.remarks.left_out)


def table(calibration: PresenceCalibration) -> str:
    """Return the table that the terminal shows."""
    width = max(7, *(len(c.name) for c in calibration.concepts))
    lines = [f"{'concept':{width}}  held  absent  precision  recall"]
    for c in calibration.concepts:
        if c.recall is None:
            lines.append(f"{c.name:{width}}  {c.held:4}  {c.absent:6}  too few images of one kind; always present")
        else:
            precision = "     none" if c.precision is None else f"{c.precision:9.3f}"
            lines.append(f"{c.name:{width}}  {c.held:4}  {c.absent:6}  {precision}  {c.recall:6.3f}")
    lines.append(f"AUROC {calibration.auroc:.4f}, cross-validated" if calibration.auroc is not None else "")
    return "\n".join(lines).rstrip()
