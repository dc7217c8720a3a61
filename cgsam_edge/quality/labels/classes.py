"""The class file of index labels, which maps indices to concepts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cgsam_edge.errors import InputError
from cgsam_edge.names import fold, parse_line, read_lines

_IGNORE = re.compile(r"\s*ignore\s*[:=]\s*(.*?)\s*(?:\s#.*)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Classes:
    """A class file.

    Attributes:
        names: concepts, in the order of their indices; an ignored index belongs to no concept.
        ignored: indices whose pixels are ignored.
        notes: changes in names, and suspicious forms.
    """

    names: tuple[str, ...]
    ignored: frozenset[int] = frozenset()
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def by_index(self) -> dict[int, str]:
        """Names by index: 0, 1, 2 and so on, the ignored ones left out."""
        free = (i for i in count() if i not in self.ignored)
        return dict(zip(free, self.names, strict=False))


def read_classes(path: Path) -> Classes:
    """Read a class file: one concept a line in index order; ``ignore: 255`` lines name indices without a concept.

    Lines have the form of a concepts file; the first of several names is used.

    Raises:
        InputError: the file is missing, not UTF-8, names no concept or one twice, or an ignored index is not a number.
    """
    names: dict[str, str] = {}
    ignored, notes = set(), []
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}, line {number}"
        match = _IGNORE.match(line)
        if match:
            ignored.add(_index(match.group(1), line.strip(), where))
            continue
        try:
            parsed = parse_line(line)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if parsed is None:
            continue
        name = parsed.names[0]
        if fold(name) in names:
            raise InputError(f"{where}: {name!r} is named twice.")
        names[fold(name)] = name
        notes += parsed.remarks(where)
    if not names:
        raise InputError(f"{path}: names no concept. Write one a line, in the order of their indices.")
    return Classes(tuple(names.values()), frozenset(ignored), tuple(notes))


def _index(text: str, line: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{where}: expected 'ignore: INDEX', got {line!r}.")
    return int(text)
