"""Concepts files as editors, tables and people write them, and embeddings for ``cgsam vocab add``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.hostile.cases import READ, REFUSED, case
from tests.hostile.kit import Kit, put


@case("concepts file", READ, "read: car / road")
def comment_after_a_tab(folder: Path, kit: Kit) -> Path:
    """A comment after a tab"""
    return put(folder / "c.txt", "car\t# all vehicles\r\nroad\r\n")


@case("concepts file", REFUSED, "line 1: is the '#' in 'car# x' part of the name, or does a comment begin there?")
def hash_in_a_word(folder: Path, kit: Kit) -> Path:
    """A comment, or a name, right after a word"""
    return put(folder / "c.txt", "car# x\n")


@case(
    "concepts file",
    READ,
    "line 2: 'road': U+FEFF (…), which cannot be seen, was left out.…read: car / road",
)
def byte_order_mark_within(folder: Path, kit: Kit) -> Path:
    """Two files joined, the second with a byte order mark"""
    return put(folder / "c.txt", "\ufeffcar\n\ufeffroad\n")


@case("concepts file", READ, "line 1: 'delivery van': U+00A0 (NO-BREAK SPACE) was read as a space")
def odd_spaces(folder: Path, kit: Kit) -> Path:
    """A name copied from a web page"""
    return put(folder / "c.txt", "delivery\u00a0van\u200b\n")


@case("concepts file", REFUSED, "line 2: 'caf\u00e9' was already named in line 1")
def two_accents(folder: Path, kit: Kit) -> Path:
    """One name under two forms of its accent"""
    return put(folder / "c.txt", "caf\u00e9\ncafe\u0301\n")


@case("concepts file", READ, "line 1: 'car, road, tree': looks like several concepts in one line")
def comma_list(folder: Path, kit: Kit) -> Path:
    """All concepts in one line"""
    return put(folder / "c.txt", "car, road, tree\n")


@case("concepts file", READ, "line 1: '\"car\"': is quoted; the quotes are part of the name")
def quoted(folder: Path, kit: Kit) -> Path:
    """Names in quotes"""
    return put(folder / "c.txt", '"car"\n"road"\n')


@case("concepts file", READ, "line 1: '- car': looks like a list item; its bullet is part of the name")
def bullets(folder: Path, kit: Kit) -> Path:
    """A list in Markdown or YAML"""
    return put(folder / "c.txt", "- car\n- road\n")


@case("concepts file", REFUSED, "line 1: '[' holds no letter or digit")
def json_lines(folder: Path, kit: Kit) -> Path:
    """JSON"""
    return put(folder / "c.txt", '[\n  "car",\n  "road"\n]\n')


@case("concepts file", REFUSED, "not UTF-8 (UTF-16, or not a text file). Save the file as UTF-8")
def utf16(folder: Path, kit: Kit) -> Path:
    """Saved as 'Unicode' by an editor"""
    return put(folder / "c.txt", "car\n".encode("utf-16"))


@case("concepts file", REFUSED, "line 2: not UTF-8. Save the file as UTF-8")
def latin1(folder: Path, kit: Kit) -> Path:
    """Saved in a one-byte encoding"""
    return put(folder / "c.txt", "car\nstra\u00dfe\n".encode("latin-1"))


@case("concepts file", REFUSED, "names no concept. Write one a line")
def comments_alone(folder: Path, kit: Kit) -> Path:
    """Nothing but comments"""
    return put(folder / "c.txt", "# car\n\n")


@case("concepts file", REFUSED, "20 MB; too large for a file of names")
def no_names_at_all(folder: Path, kit: Kit) -> Path:
    """A large file of something else"""
    path = put(folder / "c.txt", b"")
    with path.open("r+b") as file:
        file.truncate(20 * 10**6)
    return path


@case("concepts file", REFUSED, "cannot be read (Is a directory)")
def concepts_folder(folder: Path, kit: Kit) -> Path:
    """A folder"""
    (folder / "concepts").mkdir()
    return folder / "concepts"


@case("embedding", REFUSED, "not a .npy file of numbers")
def pickled_embedding(folder: Path, kit: Kit) -> Path:
    """An embedding with pickled objects"""
    np.save(folder / "e.npy", np.asarray([{}], dtype=object), allow_pickle=True)
    return folder / "e.npy"


@case("embedding", REFUSED, "not a .npy file of numbers")
def embedding_archive(folder: Path, kit: Kit) -> Path:
    """An archive of arrays in place of one"""
    np.savez(folder / "e.npz", a=np.zeros(3))
    return folder / "e.npz"


@case("embedding", REFUSED, "not a .npy file of numbers")
def huge_embedding(folder: Path, kit: Kit) -> Path:
    """A header that declares four terabytes"""
    np.save(folder / "e.npy", np.zeros(3, np.float32))
    content = (folder / "e.npy").read_bytes()
    return put(folder / "e.npy", content.replace(b"(3,), }          ", b"(1000000000000,)}"))
