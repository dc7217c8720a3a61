"""Big pictures in tiles: `Segmenter.segment(..., tile=...)`, and windows of files that are too big to load."""

from cgsam_edge.tiling.lattice import AUTO_TILE, OVERLAP
from cgsam_edge.tiling.tiled import TiledResult
from cgsam_edge.tiling.tiles import TileOptions, segment_tiles
from cgsam_edge.tiling.windows import PictureWindows, WindowReader, open_windows

__all__ = [
    "AUTO_TILE",
    "OVERLAP",
    "PictureWindows",
    "TileOptions",
    "TiledResult",
    "WindowReader",
    "open_windows",
    "segment_tiles",
]
