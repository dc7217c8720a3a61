"""The results of a run: data sets, pictures set aside, the report, and the manifest of what made each label."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cgsam_edge.bulk.choices import Review, Split
from cgsam_edge.bulk.contact_sheet import ContactSheet
from cgsam_edge.bulk.report import write_report
from cgsam_edge.bulk.rows import LabelRow, compact, maker_id
from cgsam_edge.bulk.shards import Shards
from cgsam_edge.bulk.sources import PictureRef
from cgsam_edge.bulk.totals import LabelTotals
from cgsam_edge.bulk.worker import read_bytes
from cgsam_edge.datasets import FORMATS, LabelledPicture
from cgsam_edge.errors import ImageError
from cgsam_edge.files import beside, write_beside
from cgsam_edge.staging import staged_folder

REVIEW = "review"
MANIFEST = "manifest.json"
PICTURES = "pictures.jsonl"
REPORT = "report.html"
FORMAT = "cgsam-edge labels"


@dataclass(frozen=True)
class Plan:
    """What to write.

    Attributes:
        output: folder of the run.
        formats: names of `cgsam_edge.datasets.FORMATS`; each becomes a folder.
        concepts: categories of the data sets, in their order.
        split, review: see `cgsam_edge.bulk.choices`; None for none.
    """

    output: Path
    formats: tuple[str, ...]
    concepts: tuple[str, ...]
    split: Split | None
    review: Review | None


def write_results(
    plan: Plan, refs: Sequence[PictureRef], shards: Shards, say: Callable[[str], object] = lambda _line: None
) -> LabelTotals:
    """Write everything, in the order of the pictures' names; each folder and each file is replaced as a whole.

    Pictures whose presence is in the range of ``review`` are left out of the data sets, and become data sets of the
    same formats in the folder ``review``.

    Args:
        plan: what to write.
        refs: pictures of the run; those without a row in the shards are left out.
        shards: the labels.
        say: called with lines for the user.

    Raises:
        OutputError: something cannot be written.
    """
    images = _Images(refs, say)
    sheet = ContactSheet(ref.name for ref in refs)
    totals = _count(plan, refs, shards, sheet)
    parts = [(plan.output, False)] + ([(plan.output / REVIEW, True)] if plan.review else [])
    for folder, aside in parts:
        folder.mkdir(exist_ok=True)
        for name in plan.formats:
            with staged_folder(folder / name) as work:
                FORMATS[name].write(_chosen(plan, refs, shards, aside=aside), plan.concepts, work, images=images)
    write_report(totals, sheet.tiles(images), plan.output / REPORT)
    text = json.dumps({"format": FORMAT, "version": 1, **_asked(plan), **totals.manifest()}, indent=2)
    write_beside(plan.output / MANIFEST, lambda path: path.write_text(f"{text}\n", encoding="utf-8"))
    return totals


def _asked(plan: Plan) -> dict[str, object]:
    return {
        "data_sets": list(plan.formats),
        "split": None if plan.split is None else list(plan.split.shares),
        "review": None if plan.review is None else [plan.review.low, plan.review.high],
    }


def _rows(refs: Sequence[PictureRef], shards: Shards) -> Iterator[tuple[PictureRef, LabelRow]]:
    for ref in refs:
        row = shards.get(ref.name)
        if row is not None:
            yield ref, row


def _picture(plan: Plan, row: LabelRow) -> tuple[LabelledPicture, dict[str, float]]:
    """Return a picture with its part of the data set, and its unsure concepts; an unsure one has no part."""
    unsure = {} if plan.review is None else plan.review.unsure(row.presences())
    part = None if plan.split is None or unsure else plan.split.of(row.name)
    return replace(LabelledPicture.from_json(row.label), split=part), unsure


def _chosen(plan: Plan, refs: Sequence[PictureRef], shards: Shards, *, aside: bool) -> Iterator[LabelledPicture]:
    for _, row in _rows(refs, shards):
        if not row.error:
            picture, unsure = _picture(plan, row)
            if bool(unsure) == aside:
                yield picture


def _count(plan: Plan, refs: Sequence[PictureRef], shards: Shards, sheet: ContactSheet) -> LabelTotals:
    """Count all pictures, and write the line of each: its source, what made its label, its part, its error."""
    totals = LabelTotals(plan.concepts)
    with beside(plan.output / PICTURES) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for ref, row in _rows(refs, shards):
            line: dict[str, object] = {"name": ref.name, "source": ref.place, "maker": maker_id(row.maker)}
            if ref.row >= 0:
                line["row"] = ref.row
            if row.error:
                totals.add_failure(row)
                line["error"] = row.error
            else:
                picture, unsure = _picture(plan, row)
                totals.add(row, picture, unsure)
                sheet.add(picture, unsure)
                line |= {"objects": len(picture.objects), "split": picture.split, "unsure": unsure}
            if row.note:
                line["note"] = row.note
            file.write(f"{compact(line)}\n")
    return totals


class _Images:
    """Function from a picture's name to its file or bytes; a picture that is gone meanwhile is reported once."""

    def __init__(self, refs: Sequence[PictureRef], say: Callable[[str], object]) -> None:
        self._refs = {ref.name: ref for ref in refs}
        self._say, self._gone = say, set[str]()

    def __call__(self, name: str) -> Path | bytes | None:
        ref = self._refs[name]
        if ref.row < 0 and "://" not in ref.place:
            path = Path(ref.place)
            if path.is_file():
                return path
            self._lacking(name, f"{path}: was removed after it was labelled.")
            return None
        try:
            return read_bytes(ref.place, ref.row)
        except ImageError as error:
            self._lacking(name, str(error))
            return None

    def _lacking(self, name: str, why: str) -> None:
        if name not in self._gone:
            self._gone.add(name)
            self._say(f"warning: {why} The data set has its label without the picture.")
