"""The first bytes of a video file: whether its frames were counted, and whether the file is complete."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD = 4096


class Kind(Enum):
    """What a container states."""

    COUNTED = "the frames are counted"
    COMPLETE = "the file is as long as it says"
    CUT = "the file is shorter than it says"
    UNKNOWN = "nothing"


def kind_of(path: str) -> Kind:
    """Read a file's header: MP4 and QuickTime count frames, Matroska and WebM mostly state their length in bytes."""
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return Kind.COUNTED
    if not head.startswith(_EBML):
        return Kind.UNKNOWN
    end = _segment_end(head)
    if end is None:
        return Kind.UNKNOWN
    return Kind.CUT if Path(path).stat().st_size < end else Kind.COMPLETE


def _segment_end(head: bytes) -> int | None:
    """Return where a Matroska file should end, or None if it was written without that."""
    header = _size(head, len(_EBML))
    if header is None:
        return None
    start = header[1] + header[0]
    if head[start : start + len(_SEGMENT)] != _SEGMENT:
        return None
    segment = _size(head, start + len(_SEGMENT))
    return None if segment is None else segment[1] + segment[0]


def _size(head: bytes, place: int) -> tuple[int, int] | None:
    """Read EBML's variable-length number: its value, and the position after it; None if it means "unknown"."""
    if place >= len(head) or not head[place]:
        return None
    length = 9 - head[place].bit_length()
    mask = (1 << (7 * length)) - 1
    value = int.from_bytes(head[place : place + length], "big") & mask
    return None if value == mask else (value, place + length)
