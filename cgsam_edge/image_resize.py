"""Pillow's resize to the model's square, in bands that threads compute at once, with the same bytes.

Pillow resizes along rows, rounds to 8 bits, and then along columns. A row of the first pass depends on no other row,
and a column of the second on no other column, so bands of rows and then of columns give exactly the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

BAND_PIXELS = 2**19
"""Pixels of a picture that are worth a thread: some three milliseconds of resizing."""


def squash(image: Image.Image, size: int, threads: int) -> NDArray[np.float32]:
    """Squash an RGB image to a square: float32 (1, 3, size, size), 0 to 255; see `cgsam_edge.image.to_pixels`.

    Args:
        image: RGB.
        size: side of the square.
        threads: largest number of threads; small pictures take fewer.
    """
    count = band_count(image.width, image.height, threads)
    return in_bands(image, size, count) if count > 1 else _whole(image, size)


def band_count(width: int, height: int, threads: int) -> int:
    """Return in how many bands a picture of this size is resized: one a thread, and 0 or 1 if it is small."""
    return min(threads, width * height // BAND_PIXELS)


def in_bands(image: Image.Image, size: int, count: int) -> NDArray[np.float32]:
    """Return what `squash` does, in this number of bands, each by a thread.

    The picture is copied in pieces of `BAND_PIXELS`, one at a time in each thread.
    """
    image.load()  # once, and not in each thread
    return _in_bands(lambda top, bottom: image.crop((0, top, image.width, bottom)), image.size, size, count)


def array_in_bands(array: NDArray[np.uint8], size: int, count: int) -> tuple[Image.Image, NDArray[np.float32]]:
    """Return an array (H, W, 3) as an image, and what `in_bands` gives for it; each thread converts its rows."""
    image = Image.new("RGB", (array.shape[1], array.shape[0]), None)  # all of it is pasted over

    def convert(top: int, bottom: int) -> Image.Image:
        piece = Image.fromarray(array[top:bottom])
        image.paste(piece, (0, top))
        return piece

    return image, _in_bands(convert, image.size, size, count)


def _in_bands(
    rows_of: Callable[[int, int], Image.Image], whole: tuple[int, int], size: int, count: int
) -> NDArray[np.float32]:
    """Squash a picture, given its width and height, and a function that copies some of its rows."""
    width, height = whole
    pixels = np.empty((1, 3, size, size), np.float32)
    step = max(1, BAND_PIXELS // width)

    def squash_rows(top: int, bottom: int) -> list[tuple[int, Image.Image]]:
        edges = [*range(top, bottom, step), bottom]
        return [(start, _narrowed(rows_of(start, end), size)) for start, end in pairwise(edges)]

    rows = list(chain.from_iterable(_share(squash_rows, height, count)))

    def squash_columns(left: int, right: int) -> None:
        band = Image.new("RGB", (right - left, height), None)  # all of it is pasted over
        for top, part in rows:
            band.paste(part.crop((left, 0, right, part.height)), (0, top))
        _fill(pixels[0, :, :, left:right], band.resize((right - left, size), Image.Resampling.BILINEAR))

    _share(squash_columns, size, count)
    return pixels


def _narrowed(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, image.height), Image.Resampling.BILINEAR)


def _whole(image: Image.Image, size: int) -> NDArray[np.float32]:
    rows = _narrowed(image, size)
    pixels = np.empty((1, 3, size, size), np.float32)
    _fill(pixels[0], rows.resize((size, size), Image.Resampling.BILINEAR))
    return pixels


def _fill(pixels: NDArray[np.float32], image: Image.Image) -> None:
    pixels[...] = np.asarray(image).transpose(2, 0, 1)  # an eighth of the time of turning floats


def _share(work: Callable[[int, int], T], length: int, count: int) -> list[T]:
    """Return ``work`` of each of ``count`` bands of a length, the first one by this thread."""
    edges = [length * i // count for i in range(count + 1)]
    first, *others = ((start, end) for start, end in pairwise(edges) if start < end)
    begun = [_begin(work, *band) for band in others]
    return [work(*first), *(one() for one in begun)]


def _begin(work: Callable[[int, int], T], start: int, end: int) -> Callable[[], T]:
    """Give a band to another thread, and return what waits for it; where none can start, that does the work."""
    own: Future[T] = Future()

    def run() -> None:
        if own.set_running_or_notify_cancel():
            try:
                own.set_result(work(start, end))
            except BaseException as error:
                own.set_exception(error)

    try:
        _pool().submit(run)
    except RuntimeError:  # the interpreter ends, or the system grants no further thread; a queued band may have begun
        if own.cancel():
            return lambda: work(start, end)
    return own.result


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Return the process's threads, which are kept: starting one takes a third of a millisecond beside an engine."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "cgsam-resize")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads
