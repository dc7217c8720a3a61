"""The durable record of a run: files of lines that are only ever appended to, each line with its checksum.

A process that is killed leaves at most a torn last line, which its checksum reveals. Each run writes a
new shard, so nothing is ever appended to a torn line. A later line about a picture replaces an earlier one.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cgsam_edge.bulk.rows import LabelRow, are_current, compact, maker_id
from cgsam_edge.errors import OutputError

_SHARD = re.compile(r"(\d{6})\.jsonl")
_LARGEST = 256 * 2**20
_SYNC_SECONDS = 1.0
_SUM = 9
"""Characters before the JSON of a line: eight of the checksum, and a space."""


class Shards:
    """All lines of a folder: read on opening, then appended to. A context manager.

    Args:
        folder: of the shards; made if it does not exist.

    Attributes:
        torn: lines that were left out because their checksum is wrong.

    Raises:
        OutputError: the folder cannot be read or made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, tuple[int, int]] = {}
        self._stamps: dict[str, str] = {}
        self._bare: set[str] = set()
        self._makers: dict[str, str] = {}
        self._readers: dict[int, IO[bytes]] = {}
        self._file: IO[bytes] | None = None
        self._number = 0
        self._known: set[str] = set()
        self._synced = 0.0
        self.torn = 0
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.iterdir()):
                if found := _SHARD.fullmatch(path.name):
                    self._number = int(found[1])
                    self._index(path)

    def __enter__(self) -> Shards:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:  # such as a full disk, which closing would meet again
            with suppress(OutputError):
                self.close()

    def is_labelled(self, name: str, stamp: str) -> bool:
        """Whether a picture has a label, made of the file that has this stamp; an error is no label."""
        return self._stamps.get(name) == stamp

    def lacks_outlines(self, name: str) -> bool:
        """Whether a picture has a label, but no outlines, or those of another version."""
        return name in self._bare

    def get(self, name: str) -> LabelRow | None:
        """Return the last row of a picture, or None.

        Raises:
            OutputError: the shard was altered since it was opened.
        """
        if name not in self._places:
            return None
        number, offset = self._places[name]
        with _explained(self._folder):
            if number not in self._readers:
                self._readers[number] = self._path(number).open("rb")
            file = self._readers[number]
            file.seek(offset)
            entry = _entry(file.readline())
        if entry is None or entry.get("name") != name:
            raise OutputError(f"{self._path(number)}: was altered while it was read. Run the command again.")
        return LabelRow.of({**entry, "maker": self._makers.get(entry.get("maker", ""), "{}")})

    def append(self, row: LabelRow) -> None:
        """Append a row. It survives this process at once, and a loss of power after a second.

        Raises:
            OutputError: it cannot be written.
        """
        with _explained(self._folder):
            maker = maker_id(row.maker)
            if self._file is None or self._file.tell() > _LARGEST:
                self._begin()
            assert self._file is not None
            if maker not in self._known:
                self._write(compact({"id": maker, "maker": row.maker}))
                self._known.add(maker)
                self._makers[maker] = row.maker
            offset = self._write(compact({**row.columns(), "maker": maker}))
            self._file.flush()
            self._sync(_SYNC_SECONDS)
        self._note(row.columns(), offset)

    def close(self) -> None:
        """Write everything to the disk, and close the files."""
        with _explained(self._folder):
            if self._file is not None:
                self._sync(0.0)
                self._file.close()
                self._file = None
        for file in self._readers.values():
            file.close()
        self._readers.clear()

    def _begin(self) -> None:
        if self._file is not None:
            self._sync(0.0)
            self._file.close()
        self._number += 1
        self._file = self._path(self._number).open("xb")
        self._known = set()
        sync_folder(self._folder)

    def _write(self, text: str) -> int:
        assert self._file is not None
        offset, data = self._file.tell(), text.encode()
        self._file.write(f"{zlib.crc32(data):08x} ".encode() + data + b"\n")
        return offset

    def _sync(self, seconds: float) -> None:
        if self._file is not None and time.monotonic() - self._synced >= seconds:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _index(self, path: Path) -> None:
        offset = 0
        with path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry is None:
                    self.torn += 1
                elif "id" in entry:
                    self._makers[entry["id"]] = entry["maker"]
                else:
                    self._note(entry, offset)
                offset += len(line)

    def _note(self, entry: dict[str, str], offset: int) -> None:
        name = entry["name"]
        self._places[name] = (self._number, offset)
        self._bare.discard(name)
        if entry["error"]:
            self._stamps.pop(name, None)
            return
        self._stamps[name] = entry["stamp"]
        maker = entry.get("maker", "{}")
        if not are_current(entry.get("outlines", ""), self._makers.get(maker, maker)):
            self._bare.add(name)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.jsonl"


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds; None if its checksum is wrong."""
    data = line[_SUM:-1]
    if not line.endswith(b"\n") or line[: _SUM - 1] != f"{zlib.crc32(data):08x}".encode():
        return None
    entry = json.loads(data)
    return entry if isinstance(entry, dict) else None


def sync_folder(folder: Path) -> None:
    """Write a folder's list of files to the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Convert errors of the system to `OutputError`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{folder}: labels cannot be written or read ({error.strerror or error}). What was written before is kept: "
            "run the same command again to continue."
        ) from error
