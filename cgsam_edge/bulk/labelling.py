"""`label`: the one function that labels, with Ray or without."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge import shipped
from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.errors import InputError
from cgsam_edge.objects import MIN_AREA

if TYPE_CHECKING:
    import ray.data

    Rows = Iterable[Mapping[str, Any]]


def label(  # noqa: PLR0913 — each is a separate option with a default
    dataset: ray.data.Dataset | Rows,
    bundle: str | os.PathLike[str] | None = None,
    concepts: Iterable[str] = (),
    *,
    workers: int = 1,
    min_area: float = MIN_AREA,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    tile: str | int | None = None,
    overlap: float | None = None,
    outlines: bool = Recipe.outlines,
) -> ray.data.Dataset | Iterator[dict[str, str]]:
    """Label the pictures of a data set: of Ray Data on its cluster, of any other iterable on this machine.

    Rows hold the picture and its name, as `ray.data.read_binary_files`, `ray.data.read_images` (with
    ``include_paths=True``) and Parquet files with image bytes have them; see `cgsam_edge.bulk.worker.Labeller.label`.
    Each becomes a `cgsam_edge.bulk.rows.LabelRow` as text; that of a picture that cannot be used has its ``error``.

    Args:
        dataset: of Ray, or mappings. Without Ray, workers are processes: a script needs ``if __name__ == "__main__":``.
        bundle: the bundle's folder, under the same path on all machines; None means the reference bundle.
        concepts: names or synonyms; empty means all that the bundle holds.
        workers: number of engines that run at once.
        min_area: least area of an object, in pixels (int) or as a share of the picture (float).
        backend: as `cgsam_edge.Segmenter` takes it.
        device: likewise.
        threads: CPU threads of each worker; by default this machine's cores divided by ``workers``.
        tile: for big pictures, as `cgsam_edge.Segmenter.segment` takes it.
        overlap: likewise.
        outlines: whether workers compute polygons too, which the writers of all formats but VOC need.

    Returns:
        A lazy `ray.data.Dataset`, or an iterator, in the order in which labels are ready.

    Raises:
        InputError: ``dataset`` is a path or one row, ``workers`` is not a whole number of 1 or more, or ``tile`` or
            ``overlap`` is not valid.
        BundleError: the bundle cannot be used.
        UnknownConceptError: the bundle does not hold a concept.
    """
    check_workers(workers)
    _check_rows(dataset)
    path = shipped.BUNDLE if bundle is None else Path(bundle)
    threads = threads_each(workers) if threads is None else threads
    more: dict[str, Any] = {"threads": threads, "tile": tile, "overlap": overlap, "outlines": outlines}
    recipe = Recipe(path, tuple(concepts), min_area, backend, device, **more).checked()
    return _labelled(dataset, recipe, workers)


def _check_rows(dataset: object) -> None:
    """Refuse a path or one row, whose letters or keys would count as rows."""
    if isinstance(dataset, (str, bytes, os.PathLike, Mapping)):
        raise InputError(
            f"dataset must be a data set of Ray or an iterable of rows, got one {type(dataset).__name__}. Each row is "
            "a mapping with a picture and its name; for a folder use cgsam label."
        )


def _labelled(
    dataset: ray.data.Dataset | Rows, recipe: Recipe, workers: int
) -> ray.data.Dataset | Iterator[dict[str, str]]:
    if isinstance(dataset, Iterable) and not hasattr(dataset, "map_batches"):
        from cgsam_edge.bulk.processes import label_rows

        return (row.columns() for row in label_rows(dataset, recipe, workers))
    from cgsam_edge.bulk.on_ray import labelled_dataset

    return labelled_dataset(dataset, recipe, workers)


def check_workers(workers: int) -> None:
    """Raise `InputError` if ``workers`` is not a whole number of 1 or more."""
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise InputError(f"workers must be a whole number, 1 or more, got {workers!r}.")


def threads_each(workers: int) -> int:
    """Return the CPU threads of each worker, so that together they have the cores that this process may use."""
    return max(1, cores() // workers)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
