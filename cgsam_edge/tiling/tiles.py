"""Segmenting a picture in tiles: each tile at the model's own scale, the whole beside them, and one answer of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.concept_decoder import ConceptDecoder
from cgsam_edge.errors import InputError
from cgsam_edge.image import ImageSource, to_pixels
from cgsam_edge.limits import MAX_CONCEPTS, Limits
from cgsam_edge.lru import ArrayCache
from cgsam_edge.presence import evidence_of, judge
from cgsam_edge.prompts import prompt_from_map, resize
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.tiling.blender import Blender
from cgsam_edge.tiling.lattice import Lattice, check_overlap, is_whole, tile_side
from cgsam_edge.tiling.survey import Survey, places, survey
from cgsam_edge.tiling.tiled import TiledConcept, TiledResult, at_size
from cgsam_edge.tiling.windows import PictureWindows, WindowReader, open_windows, tile_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.opened_model import OpenedModel

    Float = NDArray[np.float32]


@dataclass(frozen=True)
class TileOptions:
    """How a picture is cut into tiles.

    Attributes:
        tile: see `tile_side`.
        overlap: see `check_overlap`; None means `OVERLAP`.
        cache_bytes: limit of the image embeddings kept of each picture, in bytes.
        progress: called with the steps done and their number, two for each tile.
        begin: see `Lattice.of`: to measure how little the answer depends on where tiles begin.
    """

    tile: str | int
    overlap: float | None = None
    cache_bytes: int = 0
    progress: Callable[[int, int], object] | None = None
    begin: int = 0


def segment_tiles(
    model: OpenedModel, source: ImageSource, indices: list[int], limits: Limits, options: TileOptions
) -> Result:
    """Segment a picture in tiles, from text alone; see `Segmenter.segment` for errors.

    Args:
        model: the opened bundle.
        source: an image, or a `WindowReader`, which stays open.
        indices: concepts, as indices into the vocabulary.
        limits: of the call; a time budget is refused.
        options: the tiles.
    """
    if limits.time_budget is not None:
        raise InputError("time_budget ends after a concept, and tiles compute all concepts together; leave one out.")
    side, share = tile_side(options.tile, model.geometry), check_overlap(options.overlap)
    windows = open_windows(source)
    try:
        small = is_whole(windows.size, options.tile, side)
        if small and not isinstance(windows, PictureWindows):
            width, height = windows.size
            raise InputError(f"{windows.name}: a tile of {side} pixels is larger than the {width}x{height} picture.")
        overview = windows.overview()
        features = model.features(to_pixels(overview, model.geometry.image_size))
        whole = ConceptDecoder(model, overview, features, ArrayCache(options.cache_bytes))
        if small:
            return whole.segment(indices, limits)
        lattice = Lattice.of(windows.size, model.geometry, side, share, options.begin)
        return _Tiler(model, windows, lattice, whole, options).segment(indices, limits)
    finally:
        if windows is not source:
            windows.__exit__()


class _Tiler:
    """One picture, one lattice."""

    def __init__(
        self,
        model: OpenedModel,
        windows: WindowReader,
        lattice: Lattice,
        whole: ConceptDecoder,
        options: TileOptions,
    ) -> None:
        self._model, self._windows, self._lattice, self._whole = model, windows, lattice, whole
        self._done, self._options = 0, options
        self._cells = model.geometry.mask_size

    def segment(self, indices: list[int], limits: Limits) -> Result:
        """Compute concepts, as many as the limits allow."""
        seen = survey(self._model, self._windows, self._lattice, indices, self._whole.screened, self._step)
        wanted, skipped, beyond = seen.screened.select(indices, limits)
        size = self._lattice.size
        found = {index: at_size(self._whole.absent(index), size) for index in skipped}
        coarse = {index: at_size(self._whole.decode(index), size) for index in wanted}
        blender = Blender(self._lattice, {index: one.logits for index, one in coarse.items()})
        for x, y in places(self._lattice):
            self._compute(x, y, seen, blender)
            if y == self._lattice.rows[-1]:
                blender.next_column()
            self._step()
        found.update((index, self._joined(index, one, blender)) for index, one in coarse.items())
        names = self._model.vocabulary.names
        return TiledResult(
            self._whole.image,
            {names[i]: found[i] for i in indices if i in found},
            self._model.vocabulary.names_by_alias,
            {names[i]: MAX_CONCEPTS for i in indices if i in beyond},
            lattice=self._lattice,
            ruled_out=frozenset(names[i] for i in indices if seen.screened.ruled_out[i]),
        )

    def _compute(self, x: int, y: int, seen: Survey, blender: Blender) -> None:
        """Decode the concepts that a tile shows; for the others, the whole's answer counts there."""
        geometry, prompting, side = self._model.geometry, self._model.prompting, self._lattice.side
        maps = {i: seen.tile_map(i, x, y, side, geometry.patch_grid) for i in blender.whole}
        shown = {i: one for i, one in maps.items() if one.max() > prompting.threshold}
        decoded: dict[int, tuple[Float, float]] = {}
        if shown:
            image = tile_image(self._windows, x, y, side)
            features = self._model.features(to_pixels(image, geometry.image_size), seen.clip.pop((x, y), None))
            decoder = ConceptDecoder(self._model, image, features, ArrayCache(self._options.cache_bytes))
            for index, one in shown.items():
                full_map = resize(one, geometry.image_size, geometry.image_size)
                prompt = prompt_from_map(full_map, image.size, geometry, prompting)
                decoded[index] = decoder.mask_logits(index, prompt)
        blender.add(x, y, decoded)

    def _joined(self, index: int, coarse: ConceptResult, blender: Blender) -> TiledConcept:
        """Return the result of a concept, and judge its presence over the whole."""
        canvas, score = blender.canvases[index], blender.score(index, coarse.score)
        vocabulary, class_token = self._model.vocabulary, self._whole.features["clip_features"][0]
        found = evidence_of(canvas.counts, score, coarse.similarity, class_token, vocabulary.features[index])
        presence, present = judge(found, vocabulary.presence[index])
        return TiledConcept(
            name=coarse.name,
            logits=canvas.reduced(self._cells, self._cells),
            score=score,
            presence=presence,
            present=present,
            evidence=found,
            similarity=coarse.similarity,
            points=coarse.points,
            labels=coarse.labels,
            box=None,
            image_size=coarse.image_size,
            canvas=canvas,
            computed=blender.computed[index],
        )

    def _step(self) -> None:
        self._done += 1
        if self._options.progress is not None:
            self._options.progress(self._done, 2 * self._lattice.count)
