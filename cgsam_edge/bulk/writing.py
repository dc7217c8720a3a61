"""The results of a run: data sets, pictures set aside, the report, and the manifest of what made each label."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cgsam_edge._version import __version__
from cgsam_edge.bulk.choices import Review, Split
from cgsam_edge.bulk.contact_sheet import ContactSheet
from cgsam_edge.bulk.data_set_folders import DataSetFolders
from cgsam_edge.bulk.report import write_report
from cgsam_edge.bulk.rows import LabelRow, compact, maker_id
from cgsam_edge.bulk.run_folder import LABELS
from cgsam_edge.bulk.shards import Shards
from cgsam_edge.bulk.sources import PictureRef
from cgsam_edge.bulk.totals import LabelTotals
from cgsam_edge.bulk.worker import read_bytes
from cgsam_edge.datasets import FORMATS, POLYGON_FORMATS, LabelledPicture
from cgsam_edge.errors import ImageError
from cgsam_edge.files import beside, write_beside
from cgsam_edge.url_secrets import shown_place

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
    same formats in the folder ``review``. A data set whose labels are the same as before stays as it is; one that a
    person changed is renamed before it is replaced. If no picture could be read, no data set is written.

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
    folders = DataSetFolders(plan.output, plan.output / LABELS, say)
    made_of = {"": _made_of(plan, refs, shards, aside=False)}
    if plan.review:
        made_of[REVIEW] = _made_of(plan, refs, shards, aside=True)
    written = {_name(part, form) for part in made_of for form in plan.formats} if totals.pictures else set[str]()
    if written:
        _write_data_sets(plan, refs, shards, folders, made_of, images)
    write_report(totals, sheet.tiles(images), plan.output / REPORT)
    old = folders.old(made_of, written)
    for name in old:
        say(
            f"warning: {plan.output / name}: is of an earlier run and was not written again; it has the labels of then."
        )
    text = json.dumps({"format": FORMAT, "version": 1, **_asked(plan), "old": old, **totals.manifest()}, indent=2)
    write_beside(plan.output / MANIFEST, lambda path: path.write_text(f"{text}\n", encoding="utf-8"))
    return totals


def _write_data_sets(
    plan: Plan,
    refs: Sequence[PictureRef],
    shards: Shards,
    folders: DataSetFolders,
    made_of: dict[str, str],
    images: _Images,
) -> None:
    for part, digest in made_of.items():
        (plan.output / part).mkdir(exist_ok=True)
        for form in plan.formats:
            name = _name(part, form)
            if folders.is_current(name, digest):
                continue
            with folders.replaced(name, lambda digest=digest: "" if images.gone else digest) as work:  # type: ignore[misc]
                pictures = _chosen(plan, refs, shards, aside=part == REVIEW, outlines=form in POLYGON_FORMATS)
                FORMATS[form].write(pictures, plan.concepts, work, images=images)


def _name(part: str, form: str) -> str:
    return f"{part}/{form}".lstrip("/")


def _made_of(plan: Plan, refs: Sequence[PictureRef], shards: Shards, *, aside: bool) -> str:
    """Return a digest of all that a data set follows from."""
    digest = hashlib.sha256(compact([__version__, plan.concepts]).encode())
    stamps = {ref.name: (ref.place, ref.row, ref.stamp) for ref in refs}
    for picture in _chosen(plan, refs, shards, aside=aside):
        digest.update(compact([picture.to_json(), picture.split, stamps[picture.name]]).encode())
    return digest.hexdigest()


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


def _picture(plan: Plan, row: LabelRow, *, outlines: bool = False) -> tuple[LabelledPicture, dict[str, float]]:
    """Return a picture with its part of the data set, and its unsure concepts; an unsure one has no part."""
    unsure = {} if plan.review is None else plan.review.unsure(row.presences())
    part = None if plan.split is None or unsure else plan.split.of(row.name)
    return replace(row.picture(outlines=outlines), split=part), unsure


def _chosen(
    plan: Plan, refs: Sequence[PictureRef], shards: Shards, *, aside: bool, outlines: bool = False
) -> Iterator[LabelledPicture]:
    for _, row in _rows(refs, shards):
        if not row.error:
            picture, unsure = _picture(plan, row, outlines=outlines)
            if bool(unsure) == aside:
                yield picture


def _count(plan: Plan, refs: Sequence[PictureRef], shards: Shards, sheet: ContactSheet) -> LabelTotals:
    """Count all pictures, and write the line of each: its source, what made its label, its part, its error."""
    totals = LabelTotals(plan.concepts)
    with beside(plan.output / PICTURES) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for ref, row in _rows(refs, shards):
            line: dict[str, object] = {"name": ref.name, "source": shown_place(ref.place), "maker": maker_id(row.maker)}
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
        self._say, self.gone = say, set[str]()

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
        if name not in self.gone:
            self.gone.add(name)
            self._say(f"warning: {why} The data set has its label without the picture.")
