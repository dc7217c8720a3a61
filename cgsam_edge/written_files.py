"""Marks in what ``cgsam segment`` writes, by which a later run knows that it may replace the file."""

from __future__ import annotations

from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from cgsam_edge._version import __version__

FORMAT = "cgsam-edge masks"
"""Value of ``format``, the first key of JSON documents and lines."""

_PRODUCT = b"cgsam-edge"
_JSON_HEAD = b'{"format": "' + FORMAT.encode() + b'"'
_PNG_HEAD = 4096
_MP4_MARK = _PRODUCT + b" overlay"


def png_mark() -> PngInfo:
    """Return the text chunk of an overlay."""
    info = PngInfo()
    info.add_text("Software", f"cgsam-edge {__version__}")
    return info


def mark_mp4(path: Path) -> None:
    """Append a box that players skip."""
    with path.open("ab") as file:
        file.write((8 + len(_MP4_MARK)).to_bytes(4, "big") + b"free" + _MP4_MARK)


def is_ours(path: Path) -> bool:
    """Whether an existing file holds the mark that belongs to its suffix.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file():
        return False
    size = path.stat().st_size
    with path.open("rb") as file:
        if path.suffix == ".mp4":
            file.seek(max(0, size - len(_MP4_MARK)))
            return file.read() == _MP4_MARK
        head = file.read(_PNG_HEAD)
    if path.suffix == ".png":
        return b"tEXtSoftware\0" + _PRODUCT in head
    return head.startswith(_JSON_HEAD)
