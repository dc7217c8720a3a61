"""Writing a folder next to its destination, and moving it there when it is complete.

Whenever the process is killed, the destination is the complete old folder or the complete new one. Leftovers of a
killed process are removed by the next one that writes there.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgsam_edge.errors import CgsamError, OutputError
from cgsam_edge.manifest import FILE_NAME

if sys.platform != "win32":
    import fcntl

_LONGEST_STEM = 100
_ABANDONED_SECONDS = 24 * 3600
"""Seconds after which leftovers count as abandoned if folders cannot be locked."""


def real_place(path: Path) -> Path:
    """Return the target of a path: itself, or the end of its links, whether that exists or not.

    Raises:
        OutputError: its links are circular.
    """
    if not path.is_symlink():
        return path.absolute()
    with suppress(OSError, RuntimeError):  # RuntimeError: circular links, before Python 3.13
        place = path.resolve()
        if not place.is_symlink():
            return place
    raise OutputError(f"{path}: a link that leads back to itself. Remove it, or name another.")


def check_destination(path: Path) -> None:
    """Refuse a destination that could not be written later, or that is something else than a bundle; see also `tidy`.

    Raises:
        OutputError: it exists and is not a bundle, or its parent is not a writable folder.
    """
    place = real_place(path)
    tidy(path)
    shown = f"{path}, a link to {place}" if path.is_symlink() else f"{path}"
    if place.exists() and not (place / FILE_NAME).is_file():
        kind = "folder" if place.is_dir() else "file"
        raise OutputError(
            f"{shown}: a {kind} of that name exists and is not a bundle; it was not changed. Name another destination."
        )
    parent = place.parent
    if not parent.is_dir():
        through = f" (where the link {path} leads)" if path.is_symlink() else ""
        raise OutputError(f"{parent}{through}: no such folder, so nothing can be written there. Create it first.")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent}: no permission to write there.")


def tidy(destination: Path) -> None:
    """Remove what killed processes left beside a destination, and put back an old folder that had stepped aside."""
    with suppress(OutputError):
        target = real_place(destination)
        with _tidying(target.parent):
            _clear_leftovers(target)


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Yield a new folder next to ``destination``, and move it into place if the block succeeds.

    A destination that is a link stays one: its target is written. If the block fails or is interrupted, the new folder
    is removed, and the destination is unchanged.

    Raises:
        OutputError: the disk is full, or the folder cannot be made or renamed.
    """
    check_destination(destination)
    with staged_folder(destination) as work:
        yield work


@contextmanager
def staged_folder(destination: Path) -> Iterator[Path]:
    """Do as `staged` does for a folder of any kind, without a look at what is there: it is replaced as a whole.

    Raises:
        OutputError: the disk is full, or the folder cannot be made or renamed.
    """
    target = real_place(destination)
    try:
        with _beside(target, "partial") as work:
            work.chmod(0o755)
            yield work
            replace_folder(work, target)
    except OSError as error:
        raise _explained(error, destination) from error


def replace_folder(work: Path, target: Path) -> None:
    """Move ``work`` to ``target``, and the present folder to ``work``; in one step if the file system can swap folders.

    Otherwise the old folder is renamed first. If the process is killed between the two steps, the next `staged` of the
    target puts the old folder back.

    Raises:
        OSError: it could not be moved; the previous state is restored.
    """
    if not target.exists():
        work.rename(target)
        return
    if _swap(work, target):
        return
    with _beside(target, "old") as aside:
        old = aside / target.name
        target.rename(old)
        try:
            work.rename(target)
        except BaseException:
            with suppress(OSError):
                old.rename(target)
            raise


@contextmanager
def _beside(target: Path, kind: str) -> Iterator[Path]:
    """Yield a new locked folder next to ``target``, and remove it afterwards; first remove those of dead processes."""
    with _tidying(target.parent):
        _clear_leftovers(target)
        folder = Path(tempfile.mkdtemp(prefix=f"{_stem(target)}.{kind}-", dir=target.parent))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        if kind == "partial" or target.exists():  # never remove the only copy
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _stem(target: Path) -> str:
    """Return the common beginning of the names of folders next to ``target``; a long name is cut to leave room."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_STEM:
        name = f"{name[:24]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    return f".{name}"


def _leftovers(target: Path) -> list[Path]:
    form = re.compile(re.escape(_stem(target)) + r"\.(?:partial|old)-[a-z0-9_]{8}")
    with suppress(OSError):
        return [path for path in target.parent.iterdir() if form.fullmatch(path.name) and not _in_use(path)]
    return []


def _clear_leftovers(target: Path) -> None:
    """Remove what processes left that died; put back an old folder if one died between the steps of a replacement."""
    for left in _leftovers(target):
        if ".old-" in left.name and not target.exists():
            with suppress(OSError):
                (left / target.name).rename(target)
        if ".partial-" in left.name or target.exists():
            shutil.rmtree(left, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    try:
        descriptor = _lock(folder)
    except BlockingIOError:
        return True
    if descriptor is None:
        return time.time() - folder.stat().st_mtime < _ABANDONED_SECONDS
    os.close(descriptor)
    return False


def _lock(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed, at the latest when the process ends.

    Returns None if folders cannot be locked.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    if sys.platform == "win32":
        return None
    descriptor: int | None = None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


@contextmanager
def _tidying(folder: Path) -> Iterator[None]:
    """Keep other processes from tidying a folder at the same time; a lock held for a second may be the caller's."""
    descriptor = _lock_soon(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock_soon(folder: Path) -> int | None:
    for _ in range(20):
        with suppress(BlockingIOError):
            return _lock(folder)
        time.sleep(0.05)
    return None


def _swap(one: Path, other: Path) -> bool:
    """Swap two folders in one step; return False if the system or the file system cannot.

    Raises:
        OSError: the system supports it, and it failed.
    """
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    paths = [os.fsencode(path) for path in (one, other)]
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        failed = library.renameat2(here, paths[0], here, paths[1], exchange)
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(*paths, 2)  # RENAME_SWAP
    else:
        return False
    number = ctypes.get_errno()
    if failed and number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(number, os.strerror(number), str(other))
    return not failed


def _explained(error: OSError, destination: Path) -> OSError:
    if isinstance(error, CgsamError):
        return error
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    why = "the disk is full, or a limit on file sizes was reached" if full else (error.strerror or str(error))
    return OutputError(f"{destination}: could not be written: {why}. Nothing was changed there.")
