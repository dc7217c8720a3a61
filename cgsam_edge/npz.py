"""Reading untrusted NumPy archives: no pickle, and no more memory than the file justifies."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.errors import BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_UNPACKED = 64 * 2**20
"""Most bytes that a small compressed archive may unpack to."""


def read_npz(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name.

    Args:
        path: the file.
        what: what it should be, for messages, such as "a vocabulary".

    Raises:
        BundleError: it is not such an archive, is damaged, contains pickled objects, or declares far more than it
            contains.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_size(path, members)
            for member in members:
                _check_header(archive, member)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except BundleError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds of errors for damaged files
        raise BundleError(f"{path}: not {what} ({str(error) or type(error).__name__}).") from error


def _check_size(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError("two arrays with the same name")
    unpacked, size = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > max(_MOST_UNPACKED, 2 * size):
        raise ValueError(f"{size} bytes that would unpack to {unpacked}")


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse an array whose shape does not match the number of bytes that follow."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"{member.filename!r} has the format {version}")
        shape, _, dtype = readers[version](file)
        held = member.file_size - file.tell()
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize != held:
        raise ValueError(f"{member.filename!r} declares {dtype} of shape {shape} and holds {held} bytes")
