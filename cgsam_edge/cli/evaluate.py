"""``cgsam eval``: how good a bundle is on labelled images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.files import write_beside

if TYPE_CHECKING:
    from cgsam_edge.quality.labels import LabelledImage
    from cgsam_edge.quality.metrics import Evaluation, PresenceRates
    from cgsam_edge.quality.pairs import LabelPair
    from cgsam_edge.segmenter import Segmenter


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "eval",
        help="how good a bundle is on labelled images",
        description="Measure a bundle against labels: IoU per concept, their mean, and how well it tells "
        "present from absent (docs/metrics.md). Prints a table; --output also gets eval.json and a contact sheet.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    add_labels(parser)
    parser.add_argument("--mode", choices=("text", "clicks"), default="text", help="(default: text)")
    parser.add_argument("--clicks", type=int, default=3, help="clicks inside each object in that mode (default: 3)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write eval.json and contact-sheet.png")
    parser.add_argument("--backend", default="auto", help="an engine to force (default: auto)")
    parser.add_argument("--device", default="auto", help="a device to force, see cgsam doctor (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.set_defaults(run=run)


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that name labelled images."""
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--labels", type=Path, required=True, help="folder of index PNGs, or a COCO JSON file")
    parser.add_argument(
        "--classes",
        type=Path,
        help="for index PNGs: one concept a line in index order, and 'ignore: 255' lines for ignored indices",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate."""
    from tqdm import tqdm

    from cgsam_edge.quality.evaluate import evaluate
    from cgsam_edge.segmenter import Segmenter

    names, read = open_labels(options)
    with (
        Segmenter(options.bundle, backend=options.backend, device=options.device, threads=options.threads) as segmenter,
        tqdm(unit="image", leave=False, disable=None) as bar,
    ):
        done = evaluate(
            segmenter,
            read(),
            names,
            mode=options.mode,
            clicks=options.clicks,
            progress=lambda done: bar.update(done - bar.n),
        )
        bar.close()
        print(table(done))
        if options.output is not None:
            _write(done, segmenter, read, options)
    return 0


def open_labels(options: argparse.Namespace) -> tuple[tuple[str, ...], Callable[[], Iterator[LabelledImage]]]:
    """Return the concepts, and a function that reads the labelled images anew."""
    from cgsam_edge.errors import InputError
    from cgsam_edge.quality import labels

    if options.labels.is_file():
        names = labels.coco_names(options.labels)
        return names, lambda: labels.read_coco(options.images, options.labels)
    if options.classes is None:
        raise InputError(f"{options.labels}: index PNGs need --classes FILE with one concept a line, in index order.")
    classes = labels.read_classes(options.classes)
    return classes.names, lambda: labels.read_index_labels(options.images, options.labels, classes)


def table(evaluation: Evaluation) -> str:
    """Return the table that the terminal shows."""
    width = max(len(row.concept) for row in evaluation.rows)
    lines = [f"{'concept':{width}}  images    IoU           present: precision  recall"]
    for row in evaluation.rows:
        value = "no instances" if row.iou is None else f"{row.iou:.4f}"
        presence = "" if row.presence is None else f"{_rate(row.presence.precision)}  {_rate(row.presence.recall)}"
        lines.append(f"{row.concept:{width}}  {row.images:6}  {value:12}  {presence:>26}".rstrip())
    lines.append(
        f"{evaluation.images} images, {evaluation.mode}: class mIoU {_number(evaluation.class_miou)}, mean IoU over "
        f"(image, present concept) {_number(evaluation.pair_miou)}, presence AUROC {_number(evaluation.presence_auroc)}"
        + (_rates(evaluation.presence) or ", not calibrated (cgsam calibrate)")
    )
    if evaluation.skipping:
        lines.append(
            f"without what similarity alone rules out ({100 * evaluation.skipping.skipped:.1f} % of all masks): class "
            f"mIoU {_number(evaluation.skipping.class_miou)}{_rates(evaluation.skipping.presence)}"
        )
    return "\n".join(lines)


def _rates(found: PresenceRates | None) -> str:
    return f", precision {_number(found.precision)}, recall {_number(found.recall)}" if found else ""


def _rate(value: float | None) -> str:
    return "  none" if value is None else f"{value:6.3f}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _write(done: Evaluation, segmenter: Segmenter, read: Callable[[], Iterator[LabelledImage]], options: Any) -> None:
    from cgsam_edge.quality.evaluate import inner_points
    from cgsam_edge.quality.sheet import contact_sheet, shown

    wanted = {pair.image for _, pair in shown(done)}
    kept = {image.path: image for image in read() if image.path in wanted}

    def masks(pair: LabelPair) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        truth = kept[pair.image].masks[pair.concept]
        points = inner_points(truth, options.clicks) if done.mode == "clicks" else None
        return truth, segmenter.encode(pair.image).predict(pair.concept, points=points).mask

    sheet = contact_sheet(done, masks)
    text = json.dumps(to_json(done), indent=1)
    options.output.mkdir(parents=True, exist_ok=True)
    write_beside(options.output / "eval.json", lambda path: path.write_text(text, encoding="utf-8"))
    write_beside(options.output / "contact-sheet.png", lambda path: sheet.save(path, format="PNG"))


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as what ``json.dumps`` takes; an undefined number is null."""
    return {
        "mode": evaluation.mode,
        "images": evaluation.images,
        "class_miou": evaluation.class_miou,
        "pair_miou": evaluation.pair_miou,
        "presence_auroc": evaluation.presence_auroc,
        "presence": _presence(evaluation.presence),
        "skipping": None if evaluation.skipping is None else asdict(evaluation.skipping),
        "concepts": [
            {"name": r.concept, "images": r.images, "iou": r.iou, "presence": _presence(r.presence)}
            for r in evaluation.rows
        ],
        "pairs": [
            {
                "image": p.image.name,
                "concept": p.concept,
                "labelled": p.labelled,
                "iou": p.iou,
                "score": p.score,
                "presence": p.presence,
                "present": p.present,
                "ruled_out": p.ruled_out,
            }
            for p in evaluation.pairs
        ],
    }


def _presence(found: PresenceRates | None) -> dict[str, float | None] | None:
    return None if found is None else {"precision": found.precision, "recall": found.recall}
