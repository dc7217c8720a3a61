"""Names that people type, paste and save: what they become, and when two are the same."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsam_edge.errors import BundleError, ConceptsError
from cgsam_edge.manifest import ConceptSpec
from cgsam_edge.names import fold, is_printable, parse_line, read_lines
from cgsam_edge.vocabulary import Vocabulary

E_ACUTE, E_THEN_ACUTE = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("car\t# all vehicles", ("car",)),
        ("car # all # vehicles", ("car",)),
        ("car\u00a0# all", ("car",)),
        ("car #", ("car",)),
        ("C#", ("C#",)),
        ("C# | C sharp", ("C#", "C sharp")),
        (r"C\# book", ("C# book",)),
        (r"\#1 | number one", ("#1", "number one")),
        ("rock'n'roll | don't", ("rock'n'roll", "don't")),
        ("\ufeffcar\u200b | delivery\u00a0 van", ("car", "delivery van")),
        (E_THEN_ACUTE, (E_ACUTE,)),
        ("tram\u2028way", ("tram way",)),
        ("car\x1b[31m", ("car[31m",)),
        ("\u0645\u06cc\u200c\u0634\u0648\u062f", ("\u0645\u06cc\u200c\u0634\u0648\u062f",)),  # Persian spells with it
        ("\u0915\u094d\u200d\u0937", ("\u0915\u094d\u200d\u0937",)),  # and Hindi with the other
        ("a\u200db", ("ab",)),
    ],
)
def test_names(line: str, names: tuple[str, ...]) -> None:
    parsed = parse_line(line)
    assert parsed is not None
    assert parsed.names == names


@pytest.mark.parametrize("line", ["", "  ", "\u200b", "# car", "#car", "\ufeff# after a byte order mark", "\t#"])
def test_lines_without_a_name(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("car# x", r"is the '#' in 'car# x' part of the name.*Write car\\# x for the name, car # x for a comment"),
        ("a#b", "is the '#' in 'a#b' part of the name"),
        ("C# book | C#", "is the '#' in"),
        ("van | ", r"an empty name in 'van \| '"),
        ("van | \u200b", "an empty name in"),
        ("|", "an empty name in"),
        ("[", "holds no letter or digit"),
        ("---", "holds no letter or digit"),
        ("car\udcff", "is not text"),
    ],
)
def test_lines_that_are_refused(line: str, message: str) -> None:
    with pytest.raises(ConceptsError, match=message):
        parse_line(line)


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("car\u200b", "U+200B (ZERO WIDTH SPACE), which cannot be seen, was left out"),
        ("c\ufeffar", "U+FEFF (ZERO WIDTH NO-BREAK SPACE), which cannot be seen, was left out"),
        ("car\x1b", "U+001B (a control character), which cannot be seen, was left out"),
        ("delivery\u00a0van", "U+00A0 (NO-BREAK SPACE) was read as a space"),
        ("delivery\tvan", "U+0009 (TAB) was read as a space"),
        (E_THEN_ACUTE, "accents were composed"),
        ("car, road, tree", "looks like several concepts in one line"),
        ("car; road", "looks like several concepts in one line"),
        ('"car"', "is quoted; the quotes are part of the name"),
        ("\u201ccar\u201d | van", "is quoted"),
        ("- car", "looks like a list item"),
        ("\u2022 car", "looks like a list item"),
        ("1. car", "looks like a list item"),
        ('["car"]', "looks like JSON"),
        ('"name": "car",', "looks like JSON"),
        ("caf\ufffd", "a character that was lost"),
    ],
)
def test_what_is_said_of_a_line(line: str, note: str) -> None:
    parsed = parse_line(f"{line} # r\u00e9\u200bs\u00a0um, e\u0301 - 1. x")
    assert parsed is not None
    assert len([said for said in parsed.remarks("f, line 3") if note in said]) == 1
    assert all(said.startswith("f, line 3: '") for said in parsed.remarks("f, line 3"))


@pytest.mark.parametrize(
    "line",
    ["car", "traffic light | signal", "twenty-one", "3d model", "don't", "caf\u00e9", "the 'big' one", "C#", "T-shirt"],
)
def test_ordinary_names_say_nothing(line: str) -> None:
    parsed = parse_line(f"  {line}   # \u00a0- 1. a, b")
    assert parsed is not None
    assert parsed.notes == ()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Car", "cAR "),
        (E_ACUTE.upper(), E_THEN_ACUTE),
        ("delivery\u00a0\u2003van", "Delivery van"),
        ("ca\u200br\ufeff", "car"),
        ("stra\u00dfe", "STRASSE"),
        ("\u0645\u06cc\u200c\u0634\u0648\u062f", "\u0645\u06cc\u0634\u0648\u062f"),
    ],
)
def test_same_names(a: str, b: str) -> None:
    assert fold(a) == fold(b)


@settings(deadline=None, max_examples=300)
@given(st.text())
def test_folding(name: str) -> None:
    """It is stable, blind to the form of accents and to case, and a parsed name folds as what was typed."""
    assert fold(fold(name)) == fold(name)
    assert fold(unicodedata.normalize("NFD", name)) == fold(name) == fold(unicodedata.normalize("NFC", name))
    assert fold(name.casefold()) == fold(name)
    try:
        parsed = parse_line(name)
    except ConceptsError:
        return
    if parsed is not None:
        assert all(is_printable(each) and unicodedata.is_normalized("NFC", each) for each in parsed.names)
        if len(parsed.names) == 1 and "#" not in name:
            assert fold(parsed.names[0]) == fold(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("car\n".encode("utf-16"), "not UTF-8 .UTF-16"),
        ("car\n".encode("utf-16-le"), "not UTF-8 .UTF-16"),
        (b"car\nstra\xdfe\n", "line 2: not UTF-8"),
    ],
)
def test_files_of_other_encodings(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.txt").write_bytes(content)
    with pytest.raises(ConceptsError, match=message) as caught:
        read_lines(tmp_path / "c.txt")
    assert str(tmp_path / "c.txt") in str(caught.value)


def test_line_ends(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes("\ufeffa\r\nb\rc\nd\u2028e".encode())
    assert read_lines(tmp_path / "c.txt") == ["a", "b", "c", "d\u2028e"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("car", "CAR"), "'CAR' names 'car' and 'CAR'"),
        ((E_ACUTE, E_THEN_ACUTE), f"names '{E_ACUTE}'"),
        (("car\x1b[31m",), "is not a readable name"),
        (("\u200b",), "is not a readable name"),
    ],
)
def test_vocabularies_whose_names_cannot_be_typed(names: tuple[str, ...], message: str) -> None:
    features, rows = np.zeros((len(names), 1), np.float32), np.zeros((len(names), 0, 0), np.float32)
    with pytest.raises(BundleError, match=message):
        Vocabulary.uncalibrated([ConceptSpec(name) for name in names], features, rows)
