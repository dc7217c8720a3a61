"""How pictures are labelled: everything that a worker needs to know, and by which two runs are compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cgsam_edge import shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import InputError
from cgsam_edge.manifest import VOCABULARY_FILE
from cgsam_edge.objects import MIN_AREA, least_pixels
from cgsam_edge.tiling.lattice import check_overlap, tile_side


@dataclass(frozen=True)
class Recipe:
    """What is done with each picture. It can be pickled.

    Attributes:
        bundle: the bundle's folder; a worker on another machine opens it under the same path.
        concepts: names in the order of the data set's categories; empty means all that the bundle holds.
        min_area: least area of an object, in pixels (int) or as a share of the picture (float).
        backend, device, threads, soc: as `cgsam_edge.Segmenter` takes them.
        tile, overlap: as `cgsam_edge.Segmenter.segment` takes them.
        outlines: whether polygons are computed too, which the writers of most formats need. Labels do not depend on it.
    """

    bundle: Path = shipped.BUNDLE
    concepts: tuple[str, ...] = ()
    min_area: float = MIN_AREA
    backend: str = "auto"
    device: str = "auto"
    threads: int | None = None
    soc: int | None = None
    tile: str | int | None = None
    overlap: float | None = None
    outlines: bool = True
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def checked(self) -> Recipe:
        """Return the recipe with its concepts by their names in the bundle, and with the bundle's absolute path.

        Raises:
            BundleError: the bundle cannot be used.
            UnknownConceptError: the bundle does not hold a concept.
            InputError: a concept is named twice, the least area is neither pixels nor a share, or the tile or its
                overlap cannot be used.
        """
        least_pixels(self.min_area, (1, 1))
        bundle = Bundle(self.bundle)
        vocabulary = bundle.vocabulary
        indices = [vocabulary.index(name) for name in self.concepts] or range(len(vocabulary.names))
        names = tuple(vocabulary.names[index] for index in indices)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"concepts named twice, by name or synonym: {', '.join(twice)}. Name each once.")
        return replace(
            self,
            bundle=self.bundle.absolute(),
            concepts=names,
            overlap=_checked_overlap(self.tile, self.overlap, bundle),
            _digests=_digests(bundle),
        )

    def engine(self) -> dict[str, Any]:
        """Return the options of the engine as `cgsam_edge.Segmenter` takes them."""
        return {"backend": self.backend, "device": self.device, "threads": self.threads, "soc": self.soc}

    def identity(self) -> dict[str, Any]:
        """Return what labels depend on: two runs with equal identities may share a folder. The recipe is checked."""
        return {
            **self._digests,
            "concepts": list(self.concepts),
            "min_area": self.min_area,
            "backend": self.backend,
            "device": self.device,
            "tile": self.tile,
            "overlap": self.overlap,
        }

    def digests(self) -> dict[str, str]:
        """Return SHA-256 of the bundle (graphs and arithmetic) and of its vocabulary with calibration."""
        return dict(self._digests)


def _checked_overlap(tile: str | int | None, overlap: float | None, bundle: Bundle) -> float | None:
    """Return the share that tiles overlap by, None without tiles."""
    if tile is None:
        if overlap is not None:
            raise InputError(f"overlap is for tiles; give tile too, or leave overlap out (got {overlap!r}).")
        return None
    tile_side(tile, bundle.manifest.geometry)
    return check_overlap(overlap)


def _digests(bundle: Bundle) -> dict[str, str]:
    vocabulary = bundle.manifest.files[VOCABULARY_FILE].sha256
    prompts = hashlib.sha256(repr(bundle.manifest.prompting).encode()).hexdigest()
    return {"bundle": bundle.digest, "vocabulary": vocabulary, "prompting": prompts}
