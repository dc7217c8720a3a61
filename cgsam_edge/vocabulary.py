"""The concepts of a bundle as arrays, and finding one by name."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import BundleError, ConceptsError, UnknownConceptError
from cgsam_edge.manifest import ConceptSpec
from cgsam_edge.presence import EVIDENCE, uncalibrated

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fold(name: str) -> str:
    """Return the form under which names are compared: case and surrounding or doubled spaces do not count."""
    return " ".join(name.casefold().split())


def parse_concept(text: str) -> ConceptSpec:
    """Read ``name | synonym | synonym``.

    Raises:
        ConceptsError: a name is empty.
    """
    names = [" ".join(part.split()) for part in text.split("|")]
    if not all(names):
        raise ConceptsError(f"an empty name in {text!r}. Expected: name | synonym | synonym")
    return ConceptSpec(names[0], tuple(names[1:]))


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Names and numbers of N concepts.

    Attributes:
        concepts: names and synonyms.
        features: text features t, float32 (N, D), of unit length.
        rows: what the text adds in each semantic block, float32 (N, n, r); n or r is 0 where the model has none.
        presence: when a concept counts as present, float32 (N, 9), see `cgsam_edge.presence.judge`; rows of NaN where
            nothing was calibrated.
    """

    concepts: tuple[ConceptSpec, ...]
    features: NDArray[np.float32]
    rows: NDArray[np.float32]
    presence: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.concepts)
        arrays = (("features", self.features, 2), ("rows", self.rows, 3), ("presence", self.presence, 2))
        for name, array, dims in arrays:
            if array.ndim != dims or len(array) != count or array.dtype != np.float32:
                raise BundleError(
                    f"vocabulary: {name!r} must be float32 with {dims} axes and {count} entries, got {array.dtype} "
                    f"with shape {array.shape}."
                )
            if name != "presence" and not np.isfinite(array).all():
                raise BundleError(f"vocabulary: {name!r} holds NaN or infinity.")
        if self.presence.shape[1] != len(EVIDENCE) + 2:
            raise BundleError(
                f"vocabulary: 'presence' must have {len(EVIDENCE) + 2} columns, got {self.presence.shape[1]}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The concepts' names, in order."""
        return tuple(concept.name for concept in self.concepts)

    @cached_property
    def aliases(self) -> dict[str, int]:
        """Index of a concept by each of its folded names."""
        return {fold(name): i for i, c in enumerate(self.concepts) for name in (c.name, *c.synonyms)}

    def index(self, name: str) -> int:
        """Return the index of the concept that has ``name`` as its name or a synonym.

        Raises:
            UnknownConceptError: there is none; the message suggests the nearest.
        """
        if not isinstance(name, str) or fold(name) not in self.aliases:
            raise UnknownConceptError(str(name), self.names)
        return self.aliases[fold(name)]

    def calibrated(self, name: str) -> bool:
        """Whether presence of a concept, named as for `index`, was calibrated."""
        return bool(np.isfinite(self.presence[self.index(name)]).all())

    def save(self, path: Path) -> None:
        """Write the arrays as ``.npz``; names go into the manifest."""
        np.savez(path, features=self.features, rows=self.rows, presence=self.presence)

    @classmethod
    def load(cls, path: Path, concepts: tuple[ConceptSpec, ...]) -> Vocabulary:
        """Read the arrays of the given concepts.

        Raises:
            BundleError: the file is no ``.npz`` of these arrays, or they do not fit the concepts.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                presence = arrays["presence"] if "presence" in arrays else uncalibrated(len(concepts))
                return cls(concepts, arrays["features"], arrays["rows"], presence)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            if isinstance(error, BundleError):
                raise BundleError(f"{path}: {error}") from error
            raise BundleError(f"{path}: not a vocabulary ({error}).") from error
