"""An evaluation as a table for a terminal, as JSON, and as files in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from cgsam_edge.files import make_folder, write_beside
from cgsam_edge.quality.labels.folders import printable
from cgsam_edge.quality.metrics import Evaluation, PresenceRates
from cgsam_edge.wording import amount, left_out
from cgsam_edge.written_files import CONTACT_SHEET, png_mark

JSON_FILE = "eval.json"


def table(evaluation: Evaluation) -> str:
    """Return the table for the terminal."""
    width = max(len(row.concept) for row in evaluation.rows)
    lines = [f"{'concept':{width}}  images    IoU           present: precision  recall"]
    for row in evaluation.rows:
        value = "no instances" if row.iou is None else f"{row.iou:.4f}"
        presence = "" if row.presence is None else f"{_rate(row.presence.precision)}  {_rate(row.presence.recall)}"
        lines.append(f"{row.concept:{width}}  {row.images:6}  {value:12}  {presence:>26}".rstrip())
    lines.append(
        f"{amount(evaluation.images, 'image')}, {_prompts(evaluation)}{_tiles(evaluation)}: "
        f"class mIoU {_number(evaluation.class_miou)}, mean IoU over "
        f"(image, present concept) {_number(evaluation.pair_miou)}, presence AUROC {_number(evaluation.presence_auroc)}"
        + (_rates(evaluation.presence) or ", not calibrated (cgsam calibrate)")
    )
    if evaluation.skipping:
        lines.append(
            f"without what similarity alone rules out ({100 * evaluation.skipping.skipped:.1f} % of all masks): class "
            f"mIoU {_number(evaluation.skipping.class_miou)}{_rates(evaluation.skipping.presence)}"
        )
    if evaluation.left_out:
        lines.append(f"left out, and not included in these numbers: {left_out(len(evaluation.left_out))}")
    if evaluation.skipped_classes:
        lines.append(f"classes that the bundle does not know, left out: {', '.join(evaluation.skipped_classes)}")
    return "\n".join(lines)


def _prompts(evaluation: Evaluation) -> str:
    return f"{evaluation.mode} with zoom" if evaluation.zoom else evaluation.mode


def _tiles(evaluation: Evaluation) -> str:
    return "" if evaluation.tile is None else f", tiles of {evaluation.tile_side} with overlap {evaluation.overlap:g}"


def _rates(found: PresenceRates | None) -> str:
    return f", precision {_number(found.precision)}, recall {_number(found.recall)}" if found else ""


def _rate(value: float | None) -> str:
    return "  none" if value is None else f"{value:6.3f}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def to_json(evaluation: Evaluation, images: Path) -> dict[str, Any]:
    """Return the evaluation for ``json.dumps``; undefined numbers become null.

    Args:
        evaluation: from `evaluate_labels`.
        images: the folder of the images, whose names are relative to it.
    """
    return {
        "mode": evaluation.mode,
        "zoom": evaluation.zoom,
        "tile": evaluation.tile,
        "tile_side": evaluation.tile_side,
        "overlap": evaluation.overlap,
        "images": evaluation.images,
        "class_miou": evaluation.class_miou,
        "pair_miou": evaluation.pair_miou,
        "presence_auroc": evaluation.presence_auroc,
        "presence": _presence(evaluation.presence),
        "left_out": _printable(evaluation.left_out),
        "notes": _printable(evaluation.notes),
        "skipped_classes": list(evaluation.skipped_classes),
        "skipping": None if evaluation.skipping is None else asdict(evaluation.skipping),
        "concepts": [
            {"name": r.concept, "images": r.images, "iou": r.iou, "presence": _presence(r.presence)}
            for r in evaluation.rows
        ],
        "pairs": [
            {
                "image": _name(p.image, images),
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


def _printable(lines: Sequence[str]) -> list[str]:
    return [printable(line) for line in lines]


def _name(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name)


def write_scores(evaluation: Evaluation, images: Path, sheet: Image.Image, output: Path) -> None:
    """Write ``eval.json`` and ``contact-sheet.png`` into a folder, which is created if necessary.

    Raises:
        OutputError: they cannot be written.
    """
    text = json.dumps(to_json(evaluation, images), indent=1)
    make_folder(output)
    write_beside(output / JSON_FILE, lambda path: path.write_text(text, encoding="utf-8"))
    write_beside(output / CONTACT_SHEET, lambda path: sheet.save(path, format="PNG", pnginfo=png_mark()))
