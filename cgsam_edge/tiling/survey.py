"""The first look at a big picture: CLIP in the whole and in each tile, and one similarity map for each concept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.image import to_pixels
from cgsam_edge.screening import Screened
from cgsam_edge.tiling.lattice import Lattice, total_weight, window
from cgsam_edge.tiling.windows import WindowReader, tile_image
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.opened_model import OpenedModel

    Float = NDArray[np.float32]

KEPT_BYTES = 256 * 2**20
"""Most bytes of what CLIP gave for the tiles; beyond it, CLIP runs a second time in the other tiles."""

MAP_BYTES = 2**30
"""Most bytes of the similarity maps of all concepts."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What CLIP sees in a picture and all its tiles.

    Attributes:
        screened: of the whole, with each concept's greatest chance and similarity in the whole or any tile; a concept
            is ruled out where the whole and all tiles rule it out.
        maps: for each requested concept, the similarity map of the whole picture, float32 (rows, columns), one
            value a patch, 0 to 1. Tiles are cut from it, so that neighbours get the same prompts where they overlap.
        clip: by tile, what CLIP gave, for as many tiles as are kept.
    """

    screened: Screened
    maps: dict[int, Float]
    clip: dict[tuple[int, int], dict[str, Float]]

    def tile_map(self, index: int, x: int, y: int, side: int, grid: int) -> Float:
        """Return a concept's map in the tile at (x, y), float32 (grid, grid)."""
        row, column = patch_edge(y, side, grid), patch_edge(x, side, grid)
        return self.maps[index][row : row + grid, column : column + grid]


def patch_edge(place: int, side: int, grid: int) -> int:
    """Return the number of patches that lie before a tile."""
    return round(place * grid / side)


def survey(
    model: OpenedModel,
    windows: WindowReader,
    lattice: Lattice,
    indices: Sequence[int],
    whole: Screened,
    step: Callable[[], object],
) -> Survey:
    """Run CLIP in all tiles.

    Args:
        model: the opened bundle.
        windows: the picture.
        lattice: its tiles.
        indices: the concepts that maps are made for.
        whole: the screening of the picture as a whole.
        step: called after each tile.
    """
    grid = model.geometry.patch_grid
    edges = [tuple(patch_edge(at, lattice.side, grid) for at in line) for line in (lattice.rows, lattice.columns)]
    _check_room(len(indices), edges[0][-1] + grid, edges[1][-1] + grid)
    maps = np.zeros((len(indices), *(line[-1] + grid for line in edges)), np.float32)
    weights = window(grid)
    clip: dict[tuple[int, int], dict[str, Float]] = {}
    room = KEPT_BYTES
    for x, y in places(lattice):
        found = model.clip(to_pixels(tile_image(windows, x, y, lattice.side), model.geometry.image_size))
        seen = Screened.of(found["clip_features"], model.vocabulary.features, model.vocabulary.screening)
        whole = _either(whole, seen)
        row, column = patch_edge(y, lattice.side, grid), patch_edge(x, lattice.side, grid)
        scores = seen.scores[:, list(indices)].T.reshape(-1, grid, grid)
        maps[:, row : row + grid, column : column + grid] += scores * np.outer(weights, weights)
        room -= sum(one.nbytes for one in found.values())
        if room >= 0:
            clip[x, y] = found
        step()
    down, across = (total_weight(line, weights, line[-1] + grid) for line in edges)
    maps /= np.outer(down, across)
    return Survey(whole, {index: _normalised(one) for index, one in zip(indices, maps, strict=True)}, clip)


def _check_room(concepts: int, rows: int, columns: int) -> None:
    needed = 4 * concepts * rows * columns
    if needed > MAP_BYTES:
        raise InputError(
            f"similarity maps of {amount(concepts, 'concept')} in {columns}x{rows} patches need {needed / 1e9:.1f} GB; "
            f"the limit is {MAP_BYTES / 1e9:.1f}. Name fewer concepts, or larger tiles."
        )


def places(lattice: Lattice) -> Iterator[tuple[int, int]]:
    """Yield the left and upper edges of all tiles, column by column."""
    return ((x, y) for x in lattice.columns for y in lattice.rows)


def _either(one: Screened, other: Screened) -> Screened:
    return replace(
        one,
        evidence=np.maximum(one.evidence, other.evidence),
        chances=np.maximum(one.chances, other.chances),
        ruled_out=one.ruled_out & other.ruled_out,
    )


def _normalised(scores: Float) -> Float:
    """Bring similarities to 0 to 1, in place; a constant gives zeros, as in `prompts.similarity_map`."""
    low, high = scores.min(), scores.max()
    scores -= low
    if high > low:
        scores /= high - low
    return scores
