"""Results of pictures that were segmented in tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.image_limits import MAX_PIXELS
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.tiling.canvas import LogitCanvas
from cgsam_edge.tiling.lattice import Lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Float = NDArray[np.float32]

OVERLAY_BYTES = 128 * 2**20
"""Most bytes of all concepts' logits in the overlay of a picture that was read in windows."""


@dataclass(frozen=True, eq=False)
class TiledConcept(ConceptResult):
    """One concept in a picture that was segmented in tiles.

    Its mask comes from ``canvas``. Some attributes of `ConceptResult` have another meaning:

    - ``logits``: the blended logits averaged to (m, m), a small view of the whole;
    - ``score``: the mean of the tiles' predicted IoUs, each weighted by the pixels of its mask;
    - ``presence`` and ``evidence``: of the blended mask, and of similarity in the picture as a whole;
    - ``similarity`` and ``points``: those of the picture as a whole. Each tile draws further points.

    Attributes:
        canvas: the blended logits, one for each cell of the lattice.
        computed: how many tiles were decoded for the concept; in the others the picture as a whole decided.
    """

    canvas: LogitCanvas = field(kw_only=True, repr=False)
    computed: int = field(kw_only=True)

    def logit_strips(self) -> Iterator[tuple[slice, Float]]:
        """Yield the logits at the picture's size in parts from left to right: the columns, and float32 (H, w)."""
        return self.canvas.strips()

    def mask_strips(self) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Yield the mask in parts from left to right: the columns, and bool (H, w)."""
        return self.canvas.mask_strips()

    def full_logits(self) -> Float:
        """Return the logits at the picture's size, float32 (H, W).

        Raises:
            InputError: the picture is over 100 megapixels.
        """
        width, height = self.image_size
        if width * height > MAX_PIXELS:
            raise InputError(
                f"{width}x{height} logits would take {4e-9 * width * height:.1f} GB; the limit is "
                f"{MAX_PIXELS // 10**6} megapixels. Take them in parts, from logit_strips(), or the mask as rle()."
            )
        return np.concatenate([strip for _, strip in self.logit_strips()], axis=1)


@dataclass(frozen=True, eq=False)
class TiledResult(Result):
    """All requested concepts of a picture that was segmented in tiles.

    Attributes:
        image: the picture; one that was read in windows is scaled down, and the overlay has that size.
        lattice: where its tiles lie.
        ruled_out: the concepts, computed or not, that similarity rules out in the whole and in every tile.
    """

    lattice: Lattice = field(kw_only=True, repr=False)
    ruled_out: frozenset[str] = field(default=frozenset(), kw_only=True, repr=False)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the picture, in pixels; `image` may be smaller."""
        return self.lattice.size

    def overlay(self, *, opacity: float = 0.55) -> Image.Image:
        """Return `image` with the masks in colour, and a legend beside it; see `Result.overlay`."""
        if self.image.size == self.image_size:
            return super().overlay(opacity=opacity)
        side = isqrt(OVERLAY_BYTES // 4 // max(1, len(self)))
        small = {name: _reduced(one, self.image.size, side) for name, one in self.concepts.items()}
        return Result(self.image, small, self.aliases, self.left_out).overlay(opacity=opacity)

    def blurred(
        self, names: str | Iterable[str] | None = None, *, cells: int = 32, margin: int | None = None
    ) -> Image.Image:
        """Return `image` with concepts blurred, see `Result.blurred`.

        Raises:
            InputError: the picture was read in windows.
        """
        self._check_loaded("blurred")
        return super().blurred(names, cells=cells, margin=margin)

    def cutout(
        self, names: str | Iterable[str] | None = None, *, background: tuple[int, int, int] | None = None
    ) -> Image.Image:
        """Return `image` without its background, see `Result.cutout`.

        Raises:
            InputError: the picture was read in windows.
        """
        self._check_loaded("cut out")
        return super().cutout(names, background=background)

    def _check_loaded(self, what: str) -> None:
        if self.image.size != self.image_size:
            width, height = self.image_size
            raise InputError(
                f"a picture of {width}x{height} pixels that was read in windows cannot be {what}: only "
                f"{self.image.width}x{self.image.height} of it are in memory. Take its masks, or a part of the picture."
            )


def _reduced(one: ConceptResult, size: tuple[int, int], side: int) -> ConceptResult:
    """Return a concept's result for a picture scaled down to ``size``, with ``side`` logits along a side at most."""
    scale = (np.asarray(size) / one.image_size).astype(np.float32)
    logits = one.logits  # what is not present is not drawn
    if isinstance(one, TiledConcept) and one.present:
        logits = one.canvas.reduced(min(size[0], side), min(size[1], side))
    return ConceptResult(
        name=one.name,
        logits=logits,
        score=one.score,
        presence=one.presence,
        present=one.present,
        evidence=one.evidence,
        similarity=one.similarity,
        points=one.points * scale,
        labels=one.labels,
        box=None,
        image_size=size,
        skipped=one.skipped,
    )


def at_size(one: ConceptResult, size: tuple[int, int]) -> ConceptResult:
    """Return a result of a picture that was scaled down, as one of the picture at its own size."""
    scale = (np.asarray(size) / one.image_size).astype(np.float32)
    return replace(one, points=one.points * scale, image_size=size)
