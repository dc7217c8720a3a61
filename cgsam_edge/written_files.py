"""The pictures that commands draw: their names, and marks inside them. Folders are searched without them.

A later run may replace files with a mark. A file that has such a name and no mark is a user's own picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cgsam_edge._version import __version__

OVERLAY_SUFFIX, BLURRED_SUFFIX, CUTOUT_SUFFIX = ".overlay", ".blurred", ".cutout"
CLICKS_SUFFIX, LABELS_SUFFIX = ".clicks", ".labels"

SUFFIXES = (OVERLAY_SUFFIX, BLURRED_SUFFIX, CUTOUT_SUFFIX, CLICKS_SUFFIX, LABELS_SUFFIX)
"""Second suffixes of what is drawn: by ``cgsam segment`` (pictures and videos), ``demo``, and answers of ``serve``."""

PICTURES = tuple(f"{suffix}.png" for suffix in SUFFIXES)

CONTACT_SHEET = "contact-sheet.png"
"""What ``cgsam eval`` draws."""

FORMAT = "cgsam-edge masks"
"""Value of ``format``, the first key of JSON documents and lines."""

_PRODUCT = b"cgsam-edge"
_JSON_HEAD = b'{"format": "' + FORMAT.encode() + b'"'
_PNG_HEAD = 4096
_MP4_MARK = _PRODUCT + b" overlay"

_HEADS_OF_BEFORE = (b'{"image": "', b'{"video": "')
_BODY = ("width", "height", "annotations")
_KEYS_OF_BEFORE = (("image", *_BODY), ("video", "frame", "time", *_BODY))
_KEYS = {"category", "segmentation", "area", "bbox", "score", "presence", "points", "labels"}
"""Of each mask; no other tool has them together."""


def is_drawn(name: str) -> bool:
    """Whether a file's name is that of a picture that a command draws beside others."""
    lower = name.lower()
    return lower.endswith(PICTURES) or lower == CONTACT_SHEET


def was_drawn(path: Path) -> bool:
    """Whether a command drew a local file: its name says so, and so does what it holds."""
    try:
        return is_drawn(path.name) and is_ours(path)
    except OSError:  # whoever opens it says why
        return False


def is_marked_png(path: Path) -> bool:
    """Whether a local file is a PNG with a mark, under whatever name."""
    try:
        return path.suffix.lower() == ".png" and path.is_file() and _is_marked(path)
    except OSError:  # likewise
        return False


def png_mark() -> PngInfo:
    """Return the text chunk of a picture that was drawn."""
    info = PngInfo()
    info.add_text("Software", f"cgsam-edge {__version__}")
    return info


class DrawnImage(Image.Image):
    """An image whose PNG files hold the mark; what is cropped or copied from it is an ordinary image."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:  # noqa: A002 — Pillow's name
        """Write the image, as `PIL.Image.Image.save` does, and the mark with it if the file is a PNG."""
        suffix = Path(str(getattr(fp, "name", fp))).suffix.lower()
        if (format or Image.registered_extensions().get(suffix, "")).upper() == "PNG":
            params.setdefault("pnginfo", png_mark())
        super().save(fp, format, **params)


def as_drawn(image: Image.Image) -> Image.Image:
    """Return an image whose PNG files hold the mark; it takes the place of ``image``."""
    image.__class__ = DrawnImage
    return image


def mark_mp4(path: Path) -> None:
    """Append a box that players ignore."""
    with path.open("ab") as file:
        file.write((8 + len(_MP4_MARK)).to_bytes(4, "big") + b"free" + _MP4_MARK)


def is_ours(path: Path) -> bool:
    """Whether an existing file holds the mark that belongs to its suffix, or is what was written before marks were.

    Raises:
        OSError: it cannot be read.
    """
    return path.is_file() and (_is_marked(path) or _is_of_before(path))


def _is_marked(path: Path) -> bool:
    size, suffix = path.stat().st_size, path.suffix.lower()
    with path.open("rb") as file:
        if suffix == ".mp4":
            file.seek(max(0, size - len(_MP4_MARK)))
            return file.read() == _MP4_MARK
        head = file.read(_PNG_HEAD)
    if suffix == ".webm":
        return _MP4_MARK in head
    if suffix in {".png", ".apng"}:
        return b"tEXtSoftware\0" + _PRODUCT in head
    return head.startswith(_JSON_HEAD)


def _is_of_before(path: Path) -> bool:
    """Whether a file without a mark is an earlier version's: masks by their keys, a picture by the masks beside it."""
    stem, overlay, suffix = path.name.rpartition(".overlay.")
    if not overlay:
        return _masks_of_before(path) is not None
    document = _masks_of_before(path.with_name(stem + (".jsonl" if suffix == "mp4" else ".json")))
    if document is None:
        return False
    with path.open("rb") as file:
        head = file.read(24)
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:], "big")
    larger = width > document["width"] and height >= document["height"]  # by its legend
    return head[4:8] == b"ftyp" if suffix == "mp4" else head.startswith(b"\x89PNG") and larger


def _masks_of_before(path: Path) -> dict[str, Any] | None:
    """Return the document, or its first line, if it has exactly the keys that earlier versions wrote."""
    try:
        with path.open("rb") as file:
            if not file.read(11).startswith(_HEADS_OF_BEFORE):
                return None
            file.seek(0)
            document = json.loads(file.readline())
    except (OSError, ValueError):
        return None
    keys = tuple(key for key in document if key != "left_out")
    sizes = (document.get("width"), document.get("height"))
    if keys not in _KEYS_OF_BEFORE or not all(isinstance(size, int) for size in sizes):
        return None
    found = document["annotations"]
    ours = (
        isinstance(found, list) and bool(found) and all(isinstance(one, dict) and one.keys() >= _KEYS for one in found)
    )
    return document if ours else None
