"""Write the tables of a model's card from what ``training.ship`` measured: ``python -m training.card scenes``."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from training.ship import CHECKPOINTS, ROOT

Figures = Mapping[str, Any]
"""What ``training.ship`` wrote beside a checkpoint."""

MODES = {"text": "IoU, text alone", "clicks": "three clicks", "box": "a box"}
"""Ways to prompt, and their columns."""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |".replace("|  ", "| ") for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def concepts_table(found: Figures) -> str:
    """Return the IoU of each concept, text alone, with clicks and with a box, and the means."""
    modes = [found[mode] for mode in MODES]
    rows = [[name, *(f"{mode['concepts'][name]:.3f}" for mode in modes)] for name in found["text"]["concepts"]]
    rows.append(["**class mIoU**", *(f"**{mode['class_miou']:.3f}**" for mode in modes)])
    rows.append(["mean IoU over (image, present concept)", *(f"{mode['pair_miou']:.3f}" for mode in modes)])
    return _table(["concept", *MODES.values()], rows)


def ablation_table(found: Figures) -> str:
    """Return the means with one input silenced, and with other prompts on the same pictures."""
    runs = {
        **found["ablation"],
        "three clicks instead of text points": found["clicks"],
        "a box instead of text points": found["box"],
    }
    rows = [[name, f"{run['class_miou']:.3f}", f"{run['pair_miou']:.3f}"] for name, run in runs.items()]
    return _table(["", "class mIoU", "mean IoU over pairs"], rows)


def zoom_table(found: Figures) -> str:
    """Return the means from text, and with clicks or a box that are zoomed in on or not, on the same pictures."""
    names = {
        "text": "text alone",
        "clicks": "three clicks",
        "clicks_zoom": "three clicks, zoomed in on",
        "box": "a box",
        "box_zoom": "a box, zoomed in on",
    }
    rows = [[names[mode], f"{run['class_miou']:.3f}", f"{run['pair_miou']:.3f}"] for mode, run in found["zoom"].items()]
    return _table(["prompts", "class mIoU", "mean IoU over pairs"], rows)


def parity_table(found: Figures) -> str:
    """Return the agreement of the bundles with PyTorch."""
    rows = []
    for name, run in found["parity"].items():
        agreement = [f"{run[key]:.4f}" if key in run else "" for key in ("mask_iou", "worst")]
        rows.append([name, f"{run['class_miou']:.4f}", f"{run['pair_miou']:.4f}", *agreement])
    return _table(["", "class mIoU", "mean IoU over pairs", "mask IoU with PyTorch, mean", "worst"], rows)


def presence_line(found: Figures) -> str:
    """Return AUROC, precision and recall of presence, on the pictures that lack concepts."""
    run = found.get("crops", found["text"])
    return f"AUROC {run['presence_auroc']:.3f}, precision {run['precision']:.3f}, recall {run['recall']:.3f}"


def figures(name: str) -> Figures:
    """Read what was measured of a released model."""
    found: Figures = json.loads(CHECKPOINTS[name].with_suffix(".json").read_text(encoding="utf-8"))
    return found


def tables(found: Figures) -> tuple[str, ...]:
    """Return the tables of a card."""
    return concepts_table(found), zoom_table(found), ablation_table(found), parity_table(found)


def rewritten(page: str, found: Figures) -> str:
    """Return a card with its tables replaced by those of today's figures.

    Raises:
        ValueError: the card has no table with the same head.
    """
    for table in tables(found):
        head = table.splitlines()[0]
        if f"{head}\n" not in page:
            raise ValueError(f"the card has no table that begins with {head!r}; add that line")
        before, after = page.split(f"{head}\n", 1)
        rest = after.splitlines(keepends=True)
        past = next((i for i, line in enumerate(rest) if not line.startswith("|")), len(rest))
        page = f"{before}{table}\n{''.join(rest[past:])}"
    return page


def main() -> None:
    """Write the tables into the card, and print the line about presence, which is in its text."""
    parser = argparse.ArgumentParser(prog="python -m training.card", description=__doc__)
    parser.add_argument("name", choices=list(CHECKPOINTS))
    name = parser.parse_args().name
    card, found = ROOT / "docs" / f"{name}.md", figures(name)
    card.write_text(rewritten(card.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"wrote the tables of {card}; presence: {presence_line(found)}")


if __name__ == "__main__":
    main()
