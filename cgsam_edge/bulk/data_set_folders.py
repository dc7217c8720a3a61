"""The folders of data sets in a run: what was written there, so that a person's corrections are never replaced.

Each folder has a record in the run's labels: what it was made of, and each file's size, time and digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cgsam_edge.files import write_beside
from cgsam_edge.staging import staged_folder

_SUFFIX = ".written"
_NEW = ".new"
_KEPT = "kept"


@dataclass(frozen=True)
class _Record:
    """What a folder was made of (empty if it is incomplete), and its files: size, time, SHA-256."""

    made_of: str = ""
    files: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, made_of: str) -> _Record:
        return cls(made_of, {name: (*_stat(path), _digest(path)) for name, path in _files(folder)})

    @classmethod
    def read(cls, file: Path) -> _Record | None:
        try:
            with file.open(encoding="utf-8") as lines:
                made_of = str(json.loads(next(lines)))
                entries = (json.loads(line) for line in lines)
                return cls(made_of, {name: (size, time, digest) for name, size, time, digest in entries})
        except (OSError, ValueError, TypeError, StopIteration):
            return None

    def write(self, file: Path) -> None:
        lines = [json.dumps(self.made_of), *(json.dumps([name, *values]) for name, values in self.files.items())]
        write_beside(file, lambda path: path.write_text("\n".join(lines) + "\n", encoding="utf-8"))

    def changed(self, folder: Path) -> list[str]:
        """Return the files that are new, gone or altered since."""
        found = dict(_files(folder))
        gone = self.files.keys() - found.keys()
        return sorted({*gone, *(name for name, path in found.items() if self._differs(name, path))})

    def _differs(self, name: str, path: Path) -> bool:
        size, time, digest = self.files.get(name, (-1, -1, ""))
        now, then = _stat(path)
        return now != size or (then != time and _digest(path) != digest)


class DataSetFolders:
    """The data sets of a run.

    Args:
        output: folder of the run.
        records: folder of the records.
        say: called with lines for the user.
    """

    def __init__(self, output: Path, records: Path, say: Callable[[str], object]) -> None:
        self._output, self._records, self._say = output, records, say

    def is_current(self, name: str, made_of: str) -> bool:
        """Whether a folder was made of the same as now, so that it stays as it is; a person's changes are named."""
        folder, record = self._output / name, self._record(name)
        if record is None or record.made_of != made_of or not folder.is_dir():
            return False
        if changed := record.changed(folder):
            self._say(f"{folder}: was changed by hand ({_some(changed)}), and stays as it is: its labels are the same.")
        return True

    @contextmanager
    def replaced(self, name: str, made_of: Callable[[], str]) -> Iterator[Path]:
        """Yield a new folder that takes the place of ``name``; one that a person changed is renamed, not removed.

        Args:
            name: of the data set, relative to the run.
            made_of: what the folder was made of, asked when it is complete.

        Raises:
            OutputError: it cannot be written.
        """
        folder, file = self._output / name, self._file(name)
        with staged_folder(folder) as work:
            yield work
            record = _Record.of(work, made_of())
            self._keep_changes(name)
            record.write(file.with_name(f"{file.name}{_NEW}"))
        file.with_name(f"{file.name}{_NEW}").replace(file)

    def old(self, current: dict[str, str], written: Collection[str]) -> list[str]:
        """Return the data sets of earlier runs that do not have today's labels.

        Args:
            current: what a data set in a folder is made of today, by the folder's parent: "" or "review".
            written: those of this run.
        """
        found = []
        for file in sorted(self._records.glob(f"*{_SUFFIX}")):
            name = file.name.removesuffix(_SUFFIX).replace("+", "/")
            record, parent = self._record(name), name.rpartition("/")[0]
            stale = record is not None and record.made_of != current.get(parent, "")
            if stale and name not in written and (self._output / name).is_dir():
                found.append(name)
        return found

    def _keep_changes(self, name: str) -> None:
        folder, record = self._output / name, self._record(name)
        changed = [] if record is None else record.changed(folder)
        if not folder.exists() or (record is not None and not changed):
            return
        number = 1
        while (kept := folder.with_name(f"{folder.name}.{_KEPT}-{number}")).exists():
            number += 1
        why = f"was changed by hand ({_some(changed)})" if changed else "may have been changed by hand"
        folder.rename(kept)
        self._say(f"warning: {folder}: {why}, so it was renamed {kept.name}, and a new one stands beside it.")

    def _file(self, name: str) -> Path:
        return self._records / f"{name.replace('/', '+')}{_SUFFIX}"

    def _record(self, name: str) -> _Record | None:
        """Return the record of a folder; a run that was killed as it moved the folder may have left two."""
        file = self._file(name)
        new = _Record.read(file.with_name(f"{file.name}{_NEW}"))
        if new is not None and not new.changed(self._output / name):
            file.with_name(f"{file.name}{_NEW}").replace(file)
        return _Record.read(file)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where) / name
            yield path.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode(), path


def _stat(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            made.update(block)
    return made.hexdigest()


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
