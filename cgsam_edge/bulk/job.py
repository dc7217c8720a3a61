"""A labelling run from its sources to its data sets: what ``cgsam label`` calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cgsam_edge.bulk.choices import Review, Split
from cgsam_edge.bulk.labelling import check_workers, cores
from cgsam_edge.bulk.outlining import outlined
from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.bulk.rows import LabelRow
from cgsam_edge.bulk.run_folder import LABELS, check_room, claimed
from cgsam_edge.bulk.shards import Shards
from cgsam_edge.bulk.sources import PictureRef, find_pictures, without_marked
from cgsam_edge.bulk.totals import LabelTotals
from cgsam_edge.bulk.writing import Plan, write_results
from cgsam_edge.datasets import FORMATS, POLYGON_FORMATS
from cgsam_edge.errors import InputError, OutputError
from cgsam_edge.files import is_full
from cgsam_edge.url_secrets import shown_place
from cgsam_edge.wording import amount

_SHOWN = 3
"""Most pictures that a line names."""


@dataclass(frozen=True)
class Job:
    """What a user asked for.

    Attributes:
        sources: paths, globs and URLs of pictures.
        output: folder of the run.
        recipe: how pictures are labelled.
        formats: names of `cgsam_edge.datasets.FORMATS`.
        split: shares of train, val and test, or None for one part.
        review: the range of presence that sets a picture aside, or None.
        workers: engines that run at once.
        cluster: address of Ray's cluster, "auto", or None for processes on this machine.
    """

    sources: tuple[str, ...]
    output: Path
    recipe: Recipe
    formats: tuple[str, ...]
    split: Split | None = None
    review: Review | None = None
    workers: int = 1
    cluster: str | None = None


def run(
    job: Job,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
    say: Callable[[str], object] = lambda _line: None,
) -> LabelTotals:
    """Label all pictures that have no label yet, then write the data sets, the report and the manifest.

    After a kill, the same call continues: labels that were made are kept, and the folder's data sets are either those
    of before or complete new ones.

    Args:
        job: what to do.
        progress: called with the number of pictures that have been treated, and of all pictures.
        say: called with lines for the user: pictures that cannot be used, and what was noticed.

    Raises:
        InputError: a source, a format, a concept or the bundle cannot be used; raised before any work.
        OutputError: the folder belongs to another run, or cannot be written.
        MissingLibraryError: a library of an extra is needed.
        BackendError: the engine or the cluster failed; labels that were made are kept.
    """
    check_workers(job.workers)
    check_formats(job.formats)
    recipe = replace(job.recipe, outlines=not POLYGON_FORMATS.isdisjoint(job.formats)).checked()
    drawn: list[str] = []
    refs = find_pictures(job.sources, job.output.absolute(), drawn.append)
    with (
        claimed(job.output, {**recipe.identity(), "sources": list(map(_known_as, job.sources))}),
        Shards(job.output / LABELS) as shards,
    ):
        found = [ref for ref in refs if not shards.is_labelled(ref.name, ref.stamp)]
        rest = list(without_marked(found, job.sources, drawn.append))
        refs = _without(refs, found, rest)
        _say_drawn(drawn, say)
        check_room(job.output, len(rest), len(job.formats) * sum(map(_size, refs)))
        if shards.torn:
            lines = f"{shards.torn} line{'s' * (shards.torn > 1)} of {job.output / LABELS}"
            say(f"{lines} cut off by a kill, or altered: not used; what lacks a label is labelled again.")
        if len(rest) < len(refs):
            before = len(refs) - len(rest)
            say(f"{before} of {amount(len(refs), 'picture')} {'has' if before == 1 else 'have'} been labelled before.")
        _label_rest(job, recipe, rest, shards, lambda done: progress(len(refs) - len(rest) + done, len(refs)), say)
        if recipe.outlines:
            _outline_rest(job, refs, shards, say)
        return write_results(Plan(job.output, job.formats, recipe.concepts, job.split, job.review), refs, shards, say)


def _without(refs: list[PictureRef], found: list[PictureRef], rest: list[PictureRef]) -> list[PictureRef]:
    """Return the pictures but for those that were found and are not among the rest."""
    gone = {ref.name for ref in found} - {ref.name for ref in rest}
    kept = [ref for ref in refs if ref.name not in gone]
    if not kept:
        raise InputError(f"{found[0].place}: cgsam drew this picture, and there is no other; name it to label it.")
    return kept


def _say_drawn(drawn: list[str], say: Callable[[str], object]) -> None:
    if drawn:
        shown = ", ".join(map(shown_place, drawn[:_SHOWN])) + (", …" if len(drawn) > _SHOWN else "")
        say(f"left out {amount(len(drawn), 'picture')} that cgsam drew: {shown}. Name a picture to label it too.")


def _known_as(source: str) -> str:
    """Return how a run remembers a source: without login and signature, but for a digest of the whole."""
    if "://" not in source:
        return Path(source).absolute().as_posix()
    shown = shown_place(source)
    return source if shown == source else f"{shown} (SHA-256 {hashlib.sha256(source.encode()).hexdigest()})"


def _label_rest(
    job: Job,
    recipe: Recipe,
    rest: list[PictureRef],
    shards: Shards,
    progress: Callable[[int], object],
    say: Callable[[str], object],
) -> None:
    progress(0)
    for done, row in enumerate(_labelled(job, recipe, rest), 1):
        with _kept(job, f"{amount(done - 1, 'picture')} of this run {'is' if done == 2 else 'are'} labelled"):
            shards.append(row)
        for kind, line in (("error", row.error), ("warning", row.note)):
            if line:
                say(f"{kind}: {line if row.name in line else f'{row.name}: {line}'}")
        progress(done)


@contextmanager
def _kept(job: Job, what: str) -> Iterator[None]:
    """Say of a full disk what is kept, and what to do."""
    try:
        yield
    except OutputError as error:
        if is_full(error):
            raise OutputError(
                f"{job.output}: the disk is full. {what} and kept: free some space, and run the same command again."
            ) from error
        raise


def _outline_rest(job: Job, refs: list[PictureRef], shards: Shards, say: Callable[[str], object]) -> None:
    """Compute the polygons of labels that an earlier run made for formats without them, or in another version."""
    names = [ref.name for ref in refs if shards.lacks_outlines(ref.name)]
    if names:
        say(
            f"computing the polygons of {amount(len(names), 'picture')}, labelled for formats without them "
            "or by another version."
        )
    rows = filter(None, map(shards.get, names))
    workers = min(max(1, len(names)), job.workers * (job.recipe.threads or 1), cores())
    for done, row in enumerate(outlined(rows, workers, say)):
        with _kept(job, f"All labels and the polygons of {amount(done, 'picture')} are made"):
            shards.append(row)


def _labelled(job: Job, recipe: Recipe, rest: list[PictureRef]) -> Iterator[LabelRow]:
    if not rest:
        return iter(())
    if job.cluster is not None:
        from cgsam_edge.bulk.on_ray import label_on_ray

        return label_on_ray(rest, recipe, job.workers, job.cluster)
    from cgsam_edge.bulk.processes import label_rows

    return label_rows((ref._asdict() for ref in rest), recipe, min(job.workers, len(rest)))


def check_formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of formats; raise `InputError` if one is unknown, or there is none."""
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise InputError(f"no such data set format: {', '.join(unknown) or 'none named'}. Known: {', '.join(FORMATS)}.")
    return names


def _size(ref: PictureRef) -> int:
    """Return the bytes of a picture's file, 0 if they are unknown."""
    text = ref.stamp.partition(":")[0]
    return int(text) if text.isdecimal() and ref.row < 0 else 0
