"""Write `cpp/src/unicode_tables.hpp` from this Python's Unicode: `python cpp/tools/unicode_tables.py`.

C++ has neither case folding nor normal forms, and ICU is larger than everything else here; the tables have 100 KB.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

OUTPUT = Path(__file__).parents[1] / "src" / "unicode_tables.hpp"
HANGUL = range(0xAC00, 0xD7A4)
"""Composed by rule."""

HEAD = """\
// Written by cpp/tools/unicode_tables.py from Unicode {version}: do not edit.
#pragma once

#include <cstdint>

namespace cgsam::unicode {{

struct Mapping {{ char32_t from, to[4]; }};  // padded with 0
struct Pair {{ char32_t first, second, composed; }};
struct Class {{ char32_t from; std::uint8_t value; }};

"""


def characters() -> Iterable[str]:
    """Yield all characters but halves of surrogates and Hangul's syllables."""
    for code in range(sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000 and code not in HANGUL:
            yield chr(code)


def mapping(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return a table from a character to up to four."""
    rows = [f"{{{ord(a):#x},{{{','.join(hex(ord(c)) for c in b.ljust(4, chr(0)))}}}}}" for a, b in pairs]
    return table("Mapping", name, rows)


def table(kind: str, name: str, rows: list[str]) -> str:
    """Return rows as a C++ array, many a line."""
    lines, line = [], ""
    for row in rows:
        if len(line) + len(row) > 115:
            lines.append(line)
            line = ""
        line += f"{row},"
    return f"inline constexpr {kind} {name}[] = {{\n" + "\n".join([*lines, line]) + "\n};\n\n"


def pairs() -> Iterable[tuple[str, str, str]]:
    """Yield the pairs that NFC composes."""
    for c in characters():
        parts = unicodedata.decomposition(c).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            a, b = (chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", a + b) == c:
                yield a, b, c


def main() -> None:
    """Write the header."""
    every = list(characters())
    folded = [(c, c.casefold()) for c in every if c.casefold() != c]
    taken_apart = [(c, unicodedata.normalize("NFD", c)) for c in every if unicodedata.normalize("NFD", c) != c]
    composed = [f"{{{ord(a):#x},{ord(b):#x},{ord(c):#x}}}" for a, b, c in sorted(pairs())]
    classes = [f"{{{ord(c):#x},{unicodedata.combining(c)}}}" for c in every if unicodedata.combining(c)]
    text = HEAD.format(version=unicodedata.unidata_version)
    text += mapping("case_folds", folded) + mapping("decompositions", taken_apart)
    text += table("Pair", "compositions", composed) + table("Class", "classes", classes)
    OUTPUT.write_text(f"{text}}}  // namespace cgsam::unicode\n", encoding="utf-8")


if __name__ == "__main__":
    main()
