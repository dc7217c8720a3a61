"""Concept names: how a line of text is parsed, and when two names are equal."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cgsam_edge.errors import ConceptsError

_MAX_FILE_BYTES = 16 * 2**20

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Unicode's Default_Ignorable_Code_Point: invisible characters, which nobody could type."""

_CONTROL = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
"""Control characters, except those that count as spaces."""

_UNSEEN = re.compile(f"[{_INVISIBLE}{_CONTROL}]")
_SPELT = r"[^\x00-\u024f\u1e00-\u1fff\u2000-\u206f\s]"
_JOINERS = re.compile(f"(?<={_SPELT})[\u200c\u200d](?={_SPELT})")
"""Kept between letters of scripts that need them, such as Persian or Hindi."""
_ODD_SPACE = re.compile(r"[^\S ]")
_COMMENT = re.compile(f"(?:^|\\s)[{_INVISIBLE}{_CONTROL}]*#.*$", re.DOTALL)
_INNER_HASH = re.compile(r"(?<=\S)(?<!\\)#(?=\s*[^\s|])")

_SUSPICIOUS = (
    (re.compile(r"^[\[{]|[\]},]$|\"\s*:"), "looks like JSON or a program's list"),
    (
        re.compile(r"(?:^|\|)\s*[\"'`“”„«‘’].*[\"'`“”«»‘’]\s*(?:$|\|)"),
        "is quoted; the quotes are part of the name",
    ),
    (
        re.compile(r"^(?:[-*+•‣▪●–—]|\d+\s*[.):])\s"),
        "looks like a list item; its bullet is part of the name",
    ),
    (re.compile(r"[,;，、；]"), "looks like several concepts in one line"),
    (re.compile("\ufffd"), "holds U+FFFD, which stands for a character that was lost"),
)


@dataclass(frozen=True)
class ParsedLine:
    """The names on a line of text.

    Attributes:
        names: a concept's name and its synonyms, in NFC, with single spaces, without invisible characters.
        notes: one phrase for each change and each suspicious form.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def remarks(self, where: str) -> list[str]:
        """Return the notes as readable lines; ``where`` names the file and line, or the argument."""
        return [f"{where}: {' | '.join(self.names)!r}: {note}." for note in self.notes]


def fold(name: str) -> str:
    """Return the form in which names are compared.

    Case, the form of accents, invisible characters and the width of spaces are ignored.
    """
    if name.isascii() and name.isprintable():
        return " ".join(name.casefold().split())
    bare = unicodedata.normalize("NFD", _UNSEEN.sub("", name)).casefold()
    return " ".join(unicodedata.normalize("NFC", bare).split())


def is_printable(name: str) -> bool:
    """Return whether a name is readable, without control characters or unpaired surrogates."""
    return bool(fold(name)) and not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)


def parse_line(text: str) -> ParsedLine | None:
    r"""Read ``name | synonym | synonym  # comment``; None if the line is empty or a comment.

    A ``#`` begins a comment at the start of the line or after a space. At the end of a name, as in ``C#``, it belongs
    to the name; within a name it is refused as ambiguous. ``\#`` always means a ``#`` in the name.

    Raises:
        ConceptsError: a name is empty or unreadable, or contains an ambiguous ``#``.
    """
    bare = _COMMENT.sub("", text)
    line, notes = _visible(unicodedata.normalize("NFC", bare))
    if not line:
        return None
    _refuse_doubtful_hash(line)
    names = tuple(" ".join(part.replace("\\#", "#").split()) for part in line.split("|"))
    for name in names:
        _check(name, text)
    if not unicodedata.is_normalized("NFC", bare):
        notes.append("accents were composed with their letters (NFC)")
    return ParsedLine(names, (*notes, *(note for form, note in _SUSPICIOUS if form.search(line))))


def _refuse_doubtful_hash(line: str) -> None:
    found = _INNER_HASH.search(line)
    if found:
        name, rest = line[: found.start()], line[found.start() :]
        raise ConceptsError(
            f"is the '#' in {line!r} part of the name, or does a comment begin there? Write {name}\\{rest} for the "
            f"name, {name} {rest} for a comment."
        )


def _visible(text: str) -> tuple[str, list[str]]:
    """Replace unusual spaces and drop invisible characters; also return a phrase for each change."""
    text = text.strip()
    joiners = {match.start() for match in _JOINERS.finditer(text)}
    notes, out = [], []
    for at, character in enumerate(text):
        if _ODD_SPACE.match(character):
            notes.append(f"{_named(character)} was read as a space")
            out.append(" ")
        elif _UNSEEN.match(character) and at not in joiners:
            notes.append(f"{_named(character)}, which cannot be seen, was left out")
        else:
            out.append(character)
    return "".join(out).strip(), list(dict.fromkeys(notes))


def _named(character: str) -> str:
    name = "TAB" if character == "\t" else unicodedata.name(character, "a control character")
    return f"U+{ord(character):04X} ({name})"


def _check(name: str, text: str) -> None:
    if not name:
        raise ConceptsError(f"an empty name in {text!r}. Expected: name | synonym | synonym")
    kinds = {unicodedata.category(character) for character in name}
    if "Cs" in kinds:
        raise ConceptsError(f"{name!r} is not text (it is not UTF-8).")
    if not any(kind[0] in "LN" or kind == "So" for kind in kinds):
        raise ConceptsError(f"{name!r} holds no letter or digit, so it names nothing. Write one concept a line.")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file of names, UTF-8 with or without a byte order mark.

    Raises:
        ConceptsError: it cannot be read, is too large, or is not UTF-8; the message names the line.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConceptsError(f"{path}: {path.stat().st_size / 1e6:.0f} MB; too large for a file of names.")
        content = path.read_bytes()
    except OSError as error:
        raise ConceptsError(f"{path}: cannot be read ({error.strerror}).") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise ConceptsError(f"{path}: not UTF-8 (UTF-16, or not a text file). Save the file as UTF-8.")
    try:
        return re.split(r"\r\n|\r|\n", content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConceptsError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from error
