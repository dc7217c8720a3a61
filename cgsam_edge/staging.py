"""Writing a folder beside its destination and renaming it when it is complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgsam_edge.errors import OutputError
from cgsam_edge.manifest import FILE_NAME


def check_destination(path: Path) -> None:
    """Refuse a destination that could not be written later, or that is something else than a bundle.

    Raises:
        OutputError: it exists and is no bundle, or its parent is no folder that can be written.
    """
    if path.exists() and not (path / FILE_NAME).is_file():
        kind = "folder" if path.is_dir() else "file"
        raise OutputError(f"{path}: a {kind} of that name exists and is no bundle; it is left alone. Name another.")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"{parent}: no such folder, so nothing can be written there. Make it first.")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent}: no permission to write there.")


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Give a fresh folder beside ``destination``, and put it in its place when the block ends well.

    Whatever ends the block otherwise, an interrupt too, removes the fresh folder and leaves the destination as it was.

    Raises:
        OutputError: the disk is full, or the folder cannot be made or renamed.
    """
    check_destination(destination)
    target = destination.absolute()
    work: Path | None = None
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
        work.chmod(0o755)
        yield work
        replace_folder(work, target)
    except OSError as error:
        raise _explained(error, destination) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def replace_folder(work: Path, target: Path) -> None:
    """Move ``work`` to ``target``; a folder cannot be renamed over another, so the old one steps aside first.

    Raises:
        OSError: it could not be moved; what was there before is there again.
    """
    if not target.exists():
        work.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent))
    old = aside / target.name
    target.rename(old)
    try:
        work.rename(target)
    except BaseException:
        with suppress(OSError):
            old.rename(target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)


def _explained(error: OSError, destination: Path) -> OSError:
    if isinstance(error, OutputError) or type(error).__module__.startswith("cgsam_edge"):
        return error
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    why = "the disk is full, or a limit on file sizes was met" if full else (error.strerror or str(error))
    return OutputError(f"{destination}: could not be written: {why}. Nothing was changed there.")
