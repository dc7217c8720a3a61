"""Matching the classes of labels with the concepts of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.names import fold
from cgsam_edge.quality.labels.labelled import LabelledImage
from cgsam_edge.vocabulary import Vocabulary

_SHOWN = 12


@dataclass(frozen=True)
class MatchedClasses:
    """Classes of labels, and the matching concepts of a bundle.

    Attributes:
        groups: the classes of each concept that is labelled, by the concept's index in the vocabulary.
        unknown: classes left out because the bundle does not know them.
    """

    groups: dict[int, tuple[str, ...]]
    unknown: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes that are known."""
        return tuple(name for group in self.groups.values() for name in group)

    @property
    def names(self) -> dict[int, str]:
        """Each concept's name: the first class that means it, by the concept's index."""
        return {index: group[0] for index, group in self.groups.items()}

    def notes(self) -> list[str]:
        """Return a line for each concept that several classes mean, and one about classes left out."""
        notes = [
            f"the classes {', '.join(group)} are one concept of the bundle and were joined as {group[0]}."
            for group in self.groups.values()
            if len(group) > 1
        ]
        if self.unknown:
            notes.append(f"classes left out because the bundle does not know them: {', '.join(self.unknown)}.")
        return notes

    def joined(self, image: LabelledImage) -> LabelledImage:
        """Return an image with one mask (H, W) per concept under its name from `names`; other classes are left out."""
        masks = {}
        for group in self.groups.values():
            same = [image.masks[name] for name in group if name in image.masks]
            if same:
                masks[group[0]] = np.asarray(np.logical_or.reduce(same), bool)
        return replace(image, masks=masks)


def match_classes(names: Sequence[str], vocabulary: Vocabulary, *, skip_unknown: bool = False) -> MatchedClasses:
    """Find the concepts of classes by their names and synonyms.

    Args:
        names: the classes.
        vocabulary: the bundle's.
        skip_unknown: leave out classes that the bundle does not know.

    Raises:
        InputError: the bundle does not know a class, or with ``skip_unknown`` none of them.
    """
    groups: dict[int, list[str]] = {}
    unknown = []
    for name in names:
        index = vocabulary.aliases.get(fold(name))
        if index is None:
            unknown.append(name)
        else:
            groups.setdefault(index, []).append(name)
    if unknown and not skip_unknown:
        raise InputError(
            f"the labels have classes that the bundle does not know: {_listed(unknown)}. Leave them out with "
            "--skip-unknown: their pixels then count as background. Or export the bundle with them, or replace them "
            "in the class file with 'ignore: INDEX': their pixels are then ignored."
        )
    if not groups:
        raise InputError(
            f"the bundle knows none of the labels' classes: {_listed(names)}. It knows {_listed(vocabulary.names)}."
        )
    return MatchedClasses({index: tuple(group) for index, group in groups.items()}, tuple(unknown))


def by_concept(image: LabelledImage, vocabulary: Vocabulary) -> LabelledImage:
    """Return an image with its masks under the names of a vocabulary's concepts.

    Classes that mean the same concept are joined, and classes not in the vocabulary are left out.
    """
    known = [name for name in image.masks if fold(name) in vocabulary.aliases]
    indices = [vocabulary.aliases[fold(name)] for name in image.classes if fold(name) in vocabulary.aliases]
    image = replace(image, classes=frozenset(vocabulary.names[index] for index in indices))
    if not known:
        return replace(image, masks={})
    matched = match_classes(known, vocabulary)
    names = {group: vocabulary.names[index] for index, group in matched.names.items()}
    return replace(image, masks={names[name]: mask for name, mask in matched.joined(image).masks.items()})


def unknown_classes(images: Iterable[LabelledImage], vocabulary: Vocabulary) -> list[str]:
    """Return, sorted, the classes of some images that match no concept of a vocabulary."""
    return sorted({name for image in images for name in image.masks if fold(name) not in vocabulary.aliases})


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
