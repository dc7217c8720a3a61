"""Running a bundle over labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cgsam_edge.agreement import holds
from cgsam_edge.encoded import Encoded
from cgsam_edge.errors import ImageError, InputError, MissingLibraryError
from cgsam_edge.quality.label_prompts import TEXT, LabelPrompting, predict_with
from cgsam_edge.quality.labels import LabelledImage, Labels, Remarks, match_classes
from cgsam_edge.quality.metrics import Evaluation, summarise
from cgsam_edge.quality.pairs import LabelPair, pair_with_label
from cgsam_edge.results import ConceptResult
from cgsam_edge.segmenter import Segmenter
from cgsam_edge.tiling import TiledResult, TileOptions
from cgsam_edge.tiling.lattice import check_overlap, is_whole, tile_side
from cgsam_edge.tiling.windows import WindowReader, open_windows

if TYPE_CHECKING:
    from cgsam_edge.vocabulary import Vocabulary


def evaluate_labels(
    segmenter: Segmenter,
    labels: Labels,
    *,
    prompting: LabelPrompting = TEXT,
    skip_unknown: bool = False,
    progress: Callable[[int], object] = lambda _: None,
    tiles: TileOptions | None = None,
) -> Evaluation:
    """Measure a bundle against labels on disk; unusable images are left out and listed.

    Args:
        segmenter: the opened bundle.
        labels: from `open_labels`.
        prompting: see `evaluate`.
        skip_unknown: leave out classes that the bundle does not know.
        progress: called with the number of images done.
        tiles: see `evaluate`.

    Raises:
        InputError: the mode is unknown, the bundle does not know a class, or no image can be used.
    """
    matched = match_classes(labels.names, segmenter.bundle.vocabulary, skip_unknown=skip_unknown)
    remarks = Remarks(notes=matched.notes())
    images = labels.read(remarks, frozenset(matched.classes))
    given: dict[str, Any] = {"prompting": prompting, "remarks": remarks, "tiles": tiles}
    done = evaluate(segmenter, images, matched.classes, progress=progress, **given)
    return replace(done, notes=tuple(remarks.notes), left_out=tuple(remarks.left_out), skipped_classes=matched.unknown)


def evaluate(
    segmenter: Segmenter,
    images: Iterable[LabelledImage],
    concepts: Sequence[str],
    *,
    prompting: LabelPrompting = TEXT,
    progress: Callable[[int], object] = lambda _: None,
    remarks: Remarks | None = None,
    tiles: TileOptions | None = None,
) -> Evaluation:
    """Measure a bundle against labels.

    Args:
        segmenter: the opened bundle.
        images: labelled images; only one at a time is in memory.
        concepts: the labels' classes, all known to the bundle; classes that mean the same concept are joined.
        prompting: from text, all concepts are computed; with clicks or boxes, those that an image holds.
        progress: called with the number of images done.
        remarks: receives the images that are left out; without it, the first unusable image ends the evaluation.
        tiles: how images are cut into tiles; None for none. Only from text.

    Raises:
        InputError: the mode is unknown, there are no clicks, the bundle does not know a concept, no image can be used,
            or, without ``remarks``, one cannot be used.
    """
    prompting.check(segmenter.bundle.manifest.prompting.click_slots)
    if tiles is not None and prompting.mode != TEXT.mode:
        raise InputError(f"tiles are for text alone; with the mode {prompting.mode!r}, leave them out.")
    matched = match_classes(concepts, segmenter.bundle.vocabulary)
    names = tuple(matched.names.values())
    pairs: list[LabelPair] = []
    count = 0
    for image in images:
        try:
            pairs += _pairs(segmenter, matched.joined(image), names, prompting, tiles)
        except InputError as error:
            if remarks is None:
                raise
            remarks.left_out.append(str(error))
            continue
        count += 1
        progress(count)
    if not count:
        first = f" The first: {remarks.left_out[0]}" if remarks and remarks.left_out else ""
        raise InputError(f"no labelled image can be used.{first}")
    done = replace(summarise(prompting.mode, count, names, pairs), zoom=prompting.zoom)
    if tiles is None:
        return done
    side = tile_side(tiles.tile, segmenter.bundle.manifest.geometry)
    return replace(done, tile=tiles.tile, tile_side=side, overlap=check_overlap(tiles.overlap))


def _pairs(
    segmenter: Segmenter,
    image: LabelledImage,
    concepts: Sequence[str],
    prompting: LabelPrompting,
    tiles: TileOptions | None,
) -> list[LabelPair]:
    """Compute an image's concepts: all from text, or those that it holds with clicks or a box.

    Raises:
        InputError: the image cannot be read, or its labels have another size.
    """
    if tiles is not None and (result := _tiled(segmenter, image, concepts, tiles)) is not None:
        return list(_of_tiles(segmenter.bundle.vocabulary, image, concepts, result))
    encoded = segmenter.encode(image.path)
    image.check_shape((encoded.image.height, encoded.image.width))
    if prompting.mode == TEXT.mode:
        return list(_text(encoded, image, concepts))
    return list(_prompted(encoded, image, concepts, prompting))


def _tiled(
    segmenter: Segmenter, image: LabelledImage, concepts: Sequence[str], tiles: TileOptions
) -> TiledResult | None:
    """Compute every concept in tiles; None for an image that is taken whole."""
    with _windows(image) as windows:
        if is_whole(windows.size, tiles.tile, tile_side(tiles.tile, segmenter.bundle.manifest.geometry)):
            return None
        made = segmenter.segment(windows, concepts, skip_absent=False, tile=tiles.tile, overlap=tiles.overlap)
    assert isinstance(made, TiledResult)
    return made


def _windows(image: LabelledImage) -> WindowReader:
    """Open an image; where the library for big TIFFs is missing, others can be used."""
    try:
        return open_windows(image.path)
    except MissingLibraryError as error:
        raise ImageError(str(error)) from error


def _of_tiles(
    vocabulary: Vocabulary, image: LabelledImage, concepts: Sequence[str], result: TiledResult
) -> Iterator[LabelPair]:
    for concept in concepts:
        pair = _compare(vocabulary, image, concept, result[concept])
        screened = vocabulary.calibrated(concept, "screening")
        yield replace(pair, ruled_out=concept in result.ruled_out if screened else None)


def _text(encoded: Encoded, image: LabelledImage, concepts: Sequence[str]) -> Iterator[LabelPair]:
    """Compute every concept, and record which of them a device would skip."""
    for concept in concepts:
        pair = _compare(encoded.vocabulary, image, concept, encoded.predict(concept))
        screened = encoded.vocabulary.calibrated(concept, "screening")
        yield replace(pair, ruled_out=bool(encoded.ruled_out(concept)) if screened else None)


def _prompted(
    encoded: Encoded, image: LabelledImage, concepts: Sequence[str], prompting: LabelPrompting
) -> Iterator[LabelPair]:
    for concept in concepts:
        truth = image.masks.get(concept)
        if truth is not None and holds(truth, image.valid):
            got = predict_with(encoded, concept, prompting, truth, image.valid)
            yield _compare(encoded.vocabulary, image, concept, got)


def _compare(vocabulary: Vocabulary, image: LabelledImage, concept: str, got: ConceptResult) -> LabelPair:
    image.check_shape(got.mask.shape)
    calibrated = vocabulary.calibrated(concept)
    return pair_with_label(image.path, concept, image.masks.get(concept), image.valid, got, calibrated=calibrated)
