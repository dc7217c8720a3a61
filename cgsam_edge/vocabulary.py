"""The concepts of a bundle as arrays, with look-up by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import BundleError, UnknownConceptError
from cgsam_edge.manifest import ConceptSpec
from cgsam_edge.names import fold as fold  # noqa: PLC0414 — names are looked up here
from cgsam_edge.names import is_printable
from cgsam_edge.npz import read_npz
from cgsam_edge.presence import COLUMNS as PRESENCE_COLUMNS
from cgsam_edge.presence import uncalibrated
from cgsam_edge.screening import COLUMNS as SCREENING_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray


CALIBRATIONS = {"presence": PRESENCE_COLUMNS, "screening": SCREENING_COLUMNS}
"""The calibrations of a concept, and the number of values of each."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Names and numbers of N concepts.

    Attributes:
        concepts: names and synonyms.
        features: text features t, float32 (N, D), of unit length.
        rows: contribution of the text to each semantic block, float32 (N, n, r); n or r is 0 if the model has none.
        presence: when a concept counts as present, float32 (N, 9), see `cgsam_edge.presence.judge`; rows of NaN if not
            calibrated.
        screening: when a concept is ruled out, float32 (N, 4), see `cgsam_edge.screening`; likewise.
    """

    concepts: tuple[ConceptSpec, ...]
    features: NDArray[np.float32]
    rows: NDArray[np.float32]
    presence: NDArray[np.float32]
    screening: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check_names(self.concepts)
        count = len(self.concepts)
        for name, array, dims in (("features", self.features, 2), ("rows", self.rows, 3)):
            _check(name, array, dims, count)
            if not np.isfinite(array).all():
                raise BundleError(f"vocabulary: {name!r} holds NaN or infinity.")
        for name, columns in CALIBRATIONS.items():
            array = getattr(self, name)
            _check(name, array, 2, count)
            if array.shape[1] != columns:
                raise BundleError(f"vocabulary: {name!r} must have {columns} columns, got {array.shape[1]}.")

    @classmethod
    def uncalibrated(
        cls, concepts: Sequence[ConceptSpec], features: NDArray[np.float32], rows: NDArray[np.float32]
    ) -> Vocabulary:
        """Return uncalibrated concepts; shapes as in the attributes."""
        tables = {name: uncalibrated(len(concepts), columns) for name, columns in CALIBRATIONS.items()}
        return cls(tuple(concepts), features, rows, **tables)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The concepts' names, in order."""
        return tuple(concept.name for concept in self.concepts)

    @cached_property
    def aliases(self) -> dict[str, int]:
        """Index of a concept by each of its folded names."""
        return {fold(name): i for i, c in enumerate(self.concepts) for name in (c.name, *c.synonyms)}

    @property
    def names_by_alias(self) -> dict[str, str]:
        """A concept's name by each of its folded names."""
        return {alias: self.names[index] for alias, index in self.aliases.items()}

    def index(self, name: str) -> int:
        """Return the index of the concept that has ``name`` as its name or a synonym.

        Raises:
            UnknownConceptError: there is none; the message suggests the most similar name.
        """
        if not isinstance(name, str) or fold(name) not in self.aliases:
            raise UnknownConceptError(str(name), self.names)
        return self.aliases[fold(name)]

    def calibrated(self, name: str, what: str = "presence") -> bool:
        """Return whether presence or screening of a concept, named as for `index`, is calibrated."""
        return bool(np.isfinite(self._arrays[what][self.index(name)]).all())

    def take(self, indices: Sequence[int]) -> Vocabulary:
        """Return only the concepts at these indices, in that order."""
        arrays = {name: array[list(indices)] for name, array in self._arrays.items()}
        return Vocabulary(tuple(self.concepts[i] for i in indices), **arrays)

    def joined(self, further: Vocabulary) -> Vocabulary:
        """Return these concepts, followed by those of another vocabulary of the same model."""
        arrays = {name: np.concatenate([array, further._arrays[name]]) for name, array in self._arrays.items()}
        return Vocabulary((*self.concepts, *further.concepts), **arrays)

    @property
    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        return {name: getattr(self, name) for name in ("features", "rows", *CALIBRATIONS)}

    def save(self, path: Path) -> None:
        """Write the arrays as ``.npz``; names go into the manifest."""
        np.savez(path, **self._arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, concepts: tuple[ConceptSpec, ...]) -> Vocabulary:
        """Read the arrays of the given concepts.

        Raises:
            BundleError: the file is not an ``.npz`` with these arrays, or they do not fit the concepts.
        """
        arrays = read_npz(path, "a vocabulary")
        missing = [name for name in ("features", "rows") if name not in arrays]
        if missing:
            raise BundleError(f"{path}: not a vocabulary (it lacks {missing[0]!r}).")
        tables = {
            name: arrays.get(name, uncalibrated(len(concepts), columns))  # older bundles have fewer arrays
            for name, columns in CALIBRATIONS.items()
        }
        try:
            made = cls(concepts, arrays["features"], arrays["rows"], **tables)
            _check_read(made)
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from error
        return made


def _check_read(vocabulary: Vocabulary) -> None:
    """Refuse values that no export writes."""
    if not vocabulary.concepts:
        raise BundleError("vocabulary: holds no concept.")
    lengths = np.linalg.norm(vocabulary.features.astype(np.float64), axis=1)
    if not np.allclose(lengths, 1, atol=1e-2):
        raise BundleError(
            f"vocabulary: 'features' must be of unit length, got {lengths[np.abs(lengths - 1).argmax()]:g}."
        )
    for name in CALIBRATIONS:
        finite = np.isfinite(getattr(vocabulary, name))
        odd = np.flatnonzero(finite.any(axis=1) != finite.all(axis=1))
        if len(odd):
            raise BundleError(f"vocabulary: {name!r} of {vocabulary.names[odd[0]]!r} mixes numbers and NaN.")


def _check_names(concepts: Sequence[ConceptSpec]) -> None:
    """Refuse invalid names: unreadable ones, control characters, and two concepts with the same name."""
    seen: dict[str, str] = {}
    for concept in concepts:
        for name in (concept.name, *concept.synonyms):
            if not is_printable(name):
                raise BundleError(f"vocabulary: {name!r} is not a readable name.")
            if fold(name) in seen:
                raise BundleError(f"vocabulary: {name!r} names {seen[fold(name)]!r} and {concept.name!r}.")
            seen[fold(name)] = concept.name


def _check(name: str, array: NDArray[np.float32], dims: int, count: int) -> None:
    if array.ndim != dims or len(array) != count or array.dtype != np.float32:
        raise BundleError(
            f"vocabulary: {name!r} must be float32 with {dims} axes and {count} entries, got {array.dtype} with shape "
            f"{array.shape}."
        )
