"""Parquet files that hold pictures: a column of bytes, or of bytes and path as Hugging Face's data sets have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cgsam_edge.bulk.urls import library
from cgsam_edge.errors import ImageError, InputError
from cgsam_edge.url_secrets import shown_place, without_logins

SUFFIX = ".parquet"

_PICTURES = ("image", "bytes", "img", "picture", "jpg", "png", "content")
"""Names of columns that may hold pictures, in the order in which they are looked for."""

_NAMES = ("name", "file_name", "filename", "path", "image_id", "id", "key", "__key__")
"""Names of columns that may hold a picture's name, likewise."""

_MAGIC = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"), (b"BM", ".bmp"), (b"II", ".tif"))
_KNOWN = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


def names(place: str) -> Iterator[str]:
    """Yield a name for each row of a file: its column of names, else its number; with a suffix that fits the picture.

    Raises:
        InputError: the file cannot be read, or has no column of pictures.
        MissingLibraryError: pyarrow is not installed.
    """
    file = _opened(place, _version(place))
    column = _column(file, place)
    suffix = _suffix(_bytes(next(iter(_rows(file, 0, column)), None))) if file.metadata.num_rows else ""
    given = _name_column(file, column)
    number = 0
    for group in range(file.metadata.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        values = file.read_row_group(group, columns=[given]).column(0).to_pylist() if given else [None] * count
        for value in values:
            text = str(value.get("path") or number if isinstance(value, dict) else number if value is None else value)
            yield text if text.lower().endswith(_KNOWN) else f"{text.zfill(9) if text == str(number) else text}{suffix}"
            number += 1


def read(place: str, row: int) -> bytes:
    """Return the picture in a row.

    Raises:
        ImageError: the row holds no picture, or the file cannot be read.
    """
    try:
        version = _version(place)
        file = _opened(place, version)
        group, first = 0, 0
        while row >= first + file.metadata.row_group(group).num_rows:
            first += file.metadata.row_group(group).num_rows
            group += 1
        value = _group(place, version, group)[row - first]
    except InputError:
        raise
    except Exception as error:  # pyarrow's errors, and those of a storage's library
        why = without_logins(f"{type(error).__name__}: {error}")
        raise ImageError(f"{shown_place(place)}, row {row}: cannot be read ({why}).") from error
    content = _bytes(value)
    if not content:
        raise ImageError(f"{shown_place(place)}, row {row}: holds no bytes of a picture, but {type(value).__name__}.")
    return content


@lru_cache(maxsize=1)
def _group(place: str, version: tuple[int, int], group: int) -> list[Any]:
    """Return a row group's pictures, kept because neighbouring rows are read one after another."""
    file = _opened(place, version)
    return _rows(file, group, _column(file, place))


def _rows(file: Any, group: int, column: str) -> list[Any]:
    rows: list[Any] = file.read_row_group(group, columns=[column]).column(0).to_pylist()
    return rows


def _version(place: str) -> tuple[int, int]:
    """Return what changes when a local file is replaced."""
    if "://" in place or not os.path.exists(place):  # noqa: PTH110 — for each row
        return 0, 0
    found = os.stat(place)  # noqa: PTH116 — likewise
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=4)
def _opened(place: str, _version: tuple[int, int]) -> Any:
    parquet = library("pyarrow.parquet")
    try:
        if "://" in place:
            return parquet.ParquetFile(library("fsspec").open(place, "rb").open())
        return parquet.ParquetFile(place)
    except Exception as error:  # see above
        why = without_logins(f"{type(error).__name__}: {error}")
        raise InputError(f"{shown_place(place)}: not a Parquet file that can be read ({why}).") from error


def _column(file: Any, place: str) -> str:
    schema = file.schema_arrow
    for name in _PICTURES:
        if name in schema.names and ("binary" in str(schema.field(name).type)):
            return name
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise InputError(
        f"{shown_place(place)}: no column with the bytes of pictures. Expected one of {', '.join(_PICTURES)}, as "
        f"binary or as a struct with 'bytes'; it holds {columns}."
    )


def _name_column(file: Any, column: str) -> str:
    schema = file.schema_arrow
    given = next((name for name in _NAMES if name in schema.names and name != column), "")
    return given or (f"{column}.path" if "path" in str(schema.field(column).type) else "")


def _bytes(value: Any) -> bytes:
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) else b""


def _suffix(content: bytes) -> str:
    return next((suffix for magic, suffix in _MAGIC if content.startswith(magic)), ".png")
