"""PNGs of every depth and colour type, written from the format's specification alone."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6


def write_png(path: Path, samples: np.ndarray, depth: int, colour: int, extra: bytes = b"") -> None:
    """Write a PNG from its specification alone: samples (H, W) or (H, W, channels) of ``depth`` bits."""
    height, width = samples.shape[:2]
    bits = ((samples.reshape(height, -1, 1).astype(np.uint32) >> np.arange(depth)[::-1]) & 1).astype(np.uint8)
    rows = np.packbits(bits.reshape(height, -1), axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    palette = chunk(b"PLTE", bytes((i * 7) % 256 for i in range(3 << min(depth, 8)))) if colour == PALETTE else b""
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + palette + extra + body + chunk(b"IEND", b""))
