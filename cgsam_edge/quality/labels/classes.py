"""The class file of index labels: which index is which concept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cgsam_edge.errors import InputError
from cgsam_edge.vocabulary import fold

_IGNORE = re.compile(r"ignore\s*[:=]\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Classes:
    """A class file.

    Attributes:
        names: concepts, in the order of their indices; an ignored index is no concept's.
        ignored: indices whose pixels count for nothing.
    """

    names: tuple[str, ...]
    ignored: frozenset[int] = frozenset()

    @property
    def by_index(self) -> dict[int, str]:
        """Names by index: 0, 1, 2 and so on, the ignored ones left out."""
        free = (i for i in count() if i not in self.ignored)
        return dict(zip(free, self.names, strict=False))


def read_classes(path: Path) -> Classes:
    """Read a class file: one concept a line in index order; ``ignore: 255`` lines name indices that are no concept.

    Empty lines, and comments from ``#`` on, are as in a concepts file.

    Raises:
        InputError: the file is missing, not UTF-8, names no concept or one twice, or an ignored index is no number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a class file: it is not UTF-8. Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a class file ({error.strerror}).") from error
    names: dict[str, str] = {}
    ignored = set()
    for number, line in enumerate(map(_content, lines), start=1):
        match = _IGNORE.fullmatch(line)
        if match:
            ignored.add(_index(match.group(1), line, f"{path}, line {number}"))
        elif line:
            if fold(line) in names:
                raise InputError(f"{path}, line {number}: {line!r} is named twice.")
            names[fold(line)] = line
    if not names:
        raise InputError(f"{path}: names no concept. Write one a line, in the order of their indices.")
    return Classes(tuple(names.values()), frozenset(ignored))


def _content(line: str) -> str:
    """Return a line without its comment."""
    return "" if line.lstrip().startswith("#") else re.split(r"\s#", line, maxsplit=1)[0].strip()


def _index(text: str, line: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{where}: expected 'ignore: INDEX', got {line!r}.")
    return int(text)
