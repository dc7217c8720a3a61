"""The built page: a fixed list of files, read once, so that no address can name another file."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}
INDEX = "index.html"


@dataclass(frozen=True)
class Asset:
    """A file of the page."""

    content: bytes = field(repr=False)
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Return the files of the page by their paths: "/" is the page itself."""
    folder = files("cgsam_edge.serve").joinpath("page")
    found = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found["/" if file.name == INDEX else f"/{file.name}"] = Asset(file.read_bytes(), kind)
    return found
