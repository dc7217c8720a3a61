"""Writing a folder beside its destination and putting it there when it is complete.

Whenever the process is killed, the destination is the old folder or the new one, whole. What a killed process leaves
beside it, the next one that writes there removes.
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
"""Where folders cannot be locked, older leftovers count as abandoned."""


def real_place(path: Path) -> Path:
    """Return where a path leads: itself, or what its links end at, whether that exists or not.

    Raises:
        OutputError: its links go round in a circle.
    """
    if not path.is_symlink():
        return path.absolute()
    with suppress(OSError, RuntimeError):  # RuntimeError: a circle, before Python 3.13
        place = path.resolve()
        if not place.is_symlink():
            return place
    raise OutputError(f"{path}: a link that leads back to itself. Remove it, or name another.")


def check_destination(path: Path) -> None:
    """Refuse a destination that could not be written later, or that is something else than a bundle; see also `tidy`.

    Raises:
        OutputError: it exists and is no bundle, or its parent is no folder that can be written.
    """
    place = real_place(path)
    tidy(path)
    shown = f"{path}, a link to {place}" if path.is_symlink() else f"{path}"
    if place.exists() and not (place / FILE_NAME).is_file():
        kind = "folder" if place.is_dir() else "file"
        raise OutputError(f"{shown}: a {kind} of that name exists and is no bundle; it is left alone. Name another.")
    parent = place.parent
    if not parent.is_dir():
        through = f" (where the link {path} leads)" if path.is_symlink() else ""
        raise OutputError(f"{parent}{through}: no such folder, so nothing can be written there. Make it first.")
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
    """Give a fresh folder beside ``destination``, and put it in its place when the block ends well.

    A destination that is a link stays one: what it leads to is written. Whatever ends the block otherwise, an interrupt
    too, removes the fresh folder and leaves the destination as it was.

    Raises:
        OutputError: the disk is full, or the folder cannot be made or renamed.
    """
    check_destination(destination)
    target = real_place(destination)
    try:
        with _beside(target, "partial") as work:
            work.chmod(0o755)
            yield work
            replace_folder(work, target)
    except OSError as error:
        raise _explained(error, destination) from error


def replace_folder(work: Path, target: Path) -> None:
    """Move ``work`` to ``target``, what is there now to ``work``; in one step where the file system can swap folders.

    Where it cannot, the old folder steps aside first. A process killed between the two steps leaves it there, and the
    next `staged` of the target puts it back.

    Raises:
        OSError: it could not be moved; what was before is there again.
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
    """Give a fresh locked folder beside ``target``; remove it, and first those of processes that died."""
    with _tidying(target.parent):
        _clear_leftovers(target)
        folder = Path(tempfile.mkdtemp(prefix=f"{_stem(target)}.{kind}-", dir=target.parent))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        if kind == "partial" or target.exists():  # never the only copy
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _stem(target: Path) -> str:
    """Return how the names of folders beside ``target`` begin; a long name is cut, for they are longer."""
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
    """Lock a folder until the descriptor that this returns is closed, at the latest when the process ends.

    Returns None where folders cannot be locked.

    Raises:
        BlockingIOError: another one has it.
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
    """Keep others of this kind from tidying in a folder meanwhile; who holds it for a second may be our caller."""
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
    """Swap two folders in one step; False where the system or the file system cannot.

    Raises:
        OSError: it can, and it failed.
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
    why = "the disk is full, or a limit on file sizes was met" if full else (error.strerror or str(error))
    return OutputError(f"{destination}: could not be written: {why}. Nothing was changed there.")
