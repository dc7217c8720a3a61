"""Classes of labels and concepts of a bundle: which class is which concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.names import fold
from cgsam_edge.quality.labels.labelled import LabelledImage
from cgsam_edge.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_SHOWN = 12


@dataclass(frozen=True)
class MatchedClasses:
    """Classes of labels that a bundle knows.

    Attributes:
        names: of each concept that is labelled, the first class that means it.
        classes: all classes that are known, so with further names of one concept.
        unknown: classes that were left out because the bundle does not know them.
        notes: which classes mean one concept, a line each.
    """

    names: tuple[str, ...]
    classes: frozenset[str]
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def match_classes(names: Sequence[str], vocabulary: Vocabulary, *, skip_unknown: bool = False) -> MatchedClasses:
    """Find the concepts that classes of labels mean, by their names and synonyms.

    Args:
        names: the classes.
        vocabulary: the bundle's.
        skip_unknown: leave out classes that the bundle does not know.

    Raises:
        InputError: the bundle does not know a class, or none of them with ``skip_unknown``.
    """
    known = vocabulary.aliases
    unknown = tuple(name for name in names if fold(name) not in known)
    if unknown and not skip_unknown:
        raise InputError(
            f"the labels have classes that the bundle does not know: {_listed(unknown)}. Leave them out with "
            "--skip-unknown, export the bundle with them, or write 'ignore: INDEX' in the class file in their place."
        )
    groups: dict[int, list[str]] = {}
    for name in names:
        if fold(name) in known:
            groups.setdefault(known[fold(name)], []).append(name)
    if not groups:
        raise InputError(
            f"the bundle knows none of the labels' classes: {_listed(names)}. It knows {_listed(vocabulary.names)}."
        )
    notes = tuple(
        f"the classes {', '.join(group)} are one concept of the bundle and were joined as {group[0]}."
        for group in groups.values()
        if len(group) > 1
    )
    classes = frozenset(name for group in groups.values() for name in group)
    return MatchedClasses(tuple(group[0] for group in groups.values()), classes, unknown, notes)


def concept_masks(image: LabelledImage, vocabulary: Vocabulary) -> dict[int, Mask]:
    """Return the masks (H, W) of an image by the index of their concept; classes that mean one concept are joined."""
    masks: dict[int, Mask] = {}
    for name, mask in image.masks.items():
        index = vocabulary.aliases.get(fold(name))
        if index is not None:
            masks[index] = masks[index] | mask if index in masks else mask
    return masks


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
