"""A picture that tells when it was made, for servers and those who receive it; it needs no library."""

from __future__ import annotations

import time

WIDTH, HEIGHT, CELL = 320, 240, 20
BITS = 64
"""Bits of a number: 48 of milliseconds of the monotonic clock, which all processes of a Linux machine share."""

_ACROSS = WIDTH // CELL


def milliseconds() -> int:
    """Return the present time."""
    return int(time.monotonic() * 1000)


def grey(number: int) -> bytes:
    """Return a grey picture, (HEIGHT, WIDTH) bytes, that shows a number as black and white cells."""
    rows = []
    for line in range(HEIGHT // CELL):
        cells = [
            235 if line * _ACROSS + x < BITS and number >> (line * _ACROSS + x) & 1 else 16 for x in range(_ACROSS)
        ]
        rows.append(b"".join(bytes([cell]) * CELL for cell in cells) * CELL)
    return b"".join(rows)


def number_in(image: object) -> int:
    """Return the number that an RGB array (HEIGHT, WIDTH, 3) shows."""
    found = 0
    for bit in range(BITS):
        y, x = divmod(bit, _ACROSS)
        cell = image[y * CELL + 6 : y * CELL + 14, x * CELL + 6 : x * CELL + 14]  # type: ignore[index]
        found |= int(cell.mean() > 128) << bit
    return found
