"""The folder of a run: which run it belongs to, and that one process at a time works in it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cgsam_edge.errors import OutputError
from cgsam_edge.files import write_beside
from cgsam_edge.wording import amount

if sys.platform != "win32":
    import fcntl

RUN_FILE = "run.json"
LABELS = "labels"
FORMAT = "cgsam-edge labelling run"
_VERSION = 1

_WORDS = {
    "sources": "the sources",
    "bundle": "the bundle",
    "vocabulary": "the bundle's concepts or their calibration",
    "prompting": "the bundle's prompting",
    "concepts": "--concepts",
    "min_area": "--min-area",
    "backend": "--backend",
    "device": "--device",
    "tile": "--tile",
    "overlap": "--overlap",
}
_BYTES_A_PICTURE = 25_000
"""Bytes to expect of a picture's labels: those of a street with 32 objects took 13,000, their polygons 15,000."""


@contextmanager
def claimed(folder: Path, identity: Mapping[str, Any]) -> Iterator[None]:
    """Make or enter the folder of a run, and keep other processes out of it for the block.

    Args:
        folder: of the run.
        identity: what its labels depend on, JSON values.

    Raises:
        OutputError: it belongs to another run, holds other files, is in use, or cannot be written.
    """
    _check_content(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        labels = folder / LABELS
        labels.mkdir(exist_ok=True)
        lock = (labels / ".lock").open("w")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made or written ({error.strerror or error}).") from error
    with lock:
        _lock(lock.fileno(), folder)
        _check_identity(folder / RUN_FILE, identity)
        yield


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, of this version or another."""
    try:
        found = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def check_room(folder: Path, pictures: int, image_bytes: int) -> None:
    """Refuse a disk that is too full for what the run will write.

    Args:
        folder: of the run; exists.
        pictures: that are not labelled yet.
        image_bytes: of all pictures that the data sets will hold copies of.

    Raises:
        OutputError: it does not fit.
    """
    free, needed = shutil.disk_usage(folder).free, 2 * _BYTES_A_PICTURE * pictures + image_bytes
    if free < needed:
        raise OutputError(
            f"{folder}: the disk has {free / 1e6:.0f} MB left; labels of {amount(pictures, 'picture')} and the data "
            f"sets need about {needed / 1e6:.0f} MB. Free some space, or name another disk."
        )


def _check_content(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: a file of that name exists. Name another folder with --output.")
    held = sorted(path.name for path in folder.iterdir())
    if held and not (folder / RUN_FILE).is_file() and held != [LABELS]:
        raise OutputError(
            f"{folder}: holds other files ({', '.join(held[:3])}{', …' if len(held) > 3 else ''}) and is no folder of "
            "cgsam label; it was not changed. Name a new or empty folder with --output."
        )


def _check_identity(file: Path, identity: Mapping[str, Any]) -> None:
    if not file.exists():
        _write_identity(file, identity)
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{file}: cannot be read ({error}). Name another folder with --output.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.get("version") != _VERSION:
        raise OutputError(f"{file}: not of a labelling run of this version. Name another folder with --output.")
    other = [key for key in identity if found.get(key) != identity[key]]
    if other and not any((file.parent / LABELS).glob("*.jsonl")):  # it ended before its first label
        _write_identity(file, identity)
    elif other:
        words = ", ".join(_difference(found, identity, key) for key in other if not _follows_tile(found, identity, key))
        raise OutputError(
            f"{file.parent}: belongs to another run, which differs in {words}. Name another folder with "
            "--output, or run that command again."
        )


def _write_identity(file: Path, identity: Mapping[str, Any]) -> None:
    text = json.dumps({"format": FORMAT, "version": _VERSION, **identity}, indent=2, sort_keys=True)
    write_beside(file, lambda path: path.write_text(f"{text}\n", encoding="utf-8"))


def _follows_tile(found: Mapping[str, Any], identity: Mapping[str, Any], key: str) -> bool:
    """Whether this is the overlap, which one of two runs lacks because it has no tiles."""
    return key == "overlap" and (found.get("tile") is None or identity.get("tile") is None)


def _difference(found: Mapping[str, Any], identity: Mapping[str, Any], key: str) -> str:
    def shown(value: Any) -> str:
        text = ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
        return text[:12] if key in ("bundle", "vocabulary", "prompting") else text[:100]

    return f"{_WORDS.get(key, key)} ({shown(found.get(key))} there, {shown(identity[key])} now)"


def _lock(descriptor: int, folder: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{folder}: another process is labelling into this folder. Wait until it ends.") from error
    except OSError:  # a file system without locks
        return
