"""A hostile file: how it is made, what reads it, and what must come of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.hostile.kit import Kit

Make = Callable[[Path, "Kit"], Path]

READ, REFUSED = 0, 3
"""Exit codes: what is read in spite of all, and what is refused by name."""


@dataclass(frozen=True)
class Case:
    """One file, or folder.

    Attributes:
        kind: which reader it is for, see `READERS`.
        name: of its maker.
        about: what it is, for the table.
        make: makes it in a folder and returns its path.
        code: the exit code that must come.
        says: what must be printed; "…" stands for anything.
    """

    kind: str
    name: str
    about: str
    make: Make
    code: int
    says: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What must be found in the output."""
        return re.compile(".*?".join(re.escape(part) for part in self.says.split("…")), re.DOTALL)


CASES: list[Case] = []
"""Filled by the modules of makers."""


def case(kind: str, code: int, says: str) -> Callable[[Make], Make]:
    """Register a maker, whose docstring tells what it makes."""

    def register(make: Make) -> Make:
        assert make.__doc__
        name = make.__name__.removeprefix("_")
        CASES.append(Case(kind, name, make.__doc__.strip(), make, code, says))
        return make

    return register
