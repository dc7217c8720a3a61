"""Options of ``cgsam segment`` for cameras, and which others do not go with them."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from cgsam_edge.cli.values import UsageError

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?([a-zA-Z]*)")
_BYTES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

_USUAL_SECONDS = 3600.0
_USUAL_FREE = 64 * 10**6

_FOR_FILES = ("point", "not_point", "box", "zoom", "every", "page", "bits", "tile", "overlap")
_FOR_CAMERAS = ("record", "rotate", "keep_free", "duration", "open_timeout", "read_timeout")


@dataclass(frozen=True)
class Rotation:
    """When new files begin: at a size in bytes, at an age in seconds, or both."""

    size: int | None = None
    seconds: float | None = None


def add_live(group: argparse._ArgumentGroup) -> None:
    """Declare the options."""
    group.add_argument("--record", action="store_true", help="write a video of what is drawn, beside the JSON lines")
    group.add_argument(
        "--rotate",
        action="append",
        type=rotation,
        metavar="SIZE|TIME",
        help="begin new files at a size (500MB, 2GB) or after a time (10m, 1h, 1d); repeat for both (default: 1h)",
    )
    group.add_argument(
        "--keep-free",
        type=_size,
        metavar="SIZE",
        help="stop the video while less of the disk is free; the lines go on (default: 64MB)",
    )
    group.add_argument(
        "--duration", type=_time, metavar="TIME", help="stop after this time (default: when interrupted)"
    )
    for name, what in (("open", "for connecting"), ("read", "without data before the camera counts as lost")):
        group.add_argument(f"--{name}-timeout", type=_time, metavar="TIME", help=f"most time {what} (default: 5s)")


def check_for_files(options: argparse.Namespace) -> None:
    """Refuse the options of cameras."""
    _refuse(options, _FOR_CAMERAS, "is for cameras")


def check_for_camera(options: argparse.Namespace) -> None:
    """Refuse the options of files, and several sources.

    Raises:
        UsageError: there is one of them.
    """
    if len(options.images) > 1:
        raise UsageError("a camera is segmented alone; name one camera and nothing else.")
    _refuse(options, _FOR_FILES, "is not for cameras")


def rotations(options: argparse.Namespace) -> Rotation:
    """Return when new files begin."""
    given = options.rotate or [Rotation(seconds=_USUAL_SECONDS)]
    sizes = [one.size for one in given if one.size is not None]
    times = [one.seconds for one in given if one.seconds is not None]
    return Rotation(min(sizes, default=None), min(times, default=None))


def free_bytes(options: argparse.Namespace) -> int:
    """Return how many bytes of the disk a video leaves free."""
    return _USUAL_FREE if options.keep_free is None else int(options.keep_free)


def rotation(text: str) -> Rotation:
    """Parse 500MB or 1h."""
    number, unit = _amount(text)
    if unit in _BYTES and number > 0:
        return Rotation(size=int(number * _BYTES[unit]))
    if unit in _SECONDS and number > 0:
        return Rotation(seconds=number * _SECONDS[unit])
    raise argparse.ArgumentTypeError(f"expected a size such as 500MB or a time such as 1h, got {text!r}")


def _size(text: str) -> int:
    number, unit = _amount(text)
    if unit not in _BYTES:
        raise argparse.ArgumentTypeError(f"expected a size such as 500MB or 2GB, got {text!r}")
    return int(number * _BYTES[unit])


def _time(text: str) -> float:
    number, unit = _amount(text)
    if unit not in {"", *_SECONDS} or number <= 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 10s, 5m or 1h, got {text!r}")
    return number * _SECONDS.get(unit, 1)


def _amount(text: str) -> tuple[float, str]:
    found = _AMOUNT.fullmatch(text.strip())
    return (float(found[1]), found[2].lower()) if found else (0.0, "?")


def _refuse(options: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(options, name, None) not in (None, False, []):
            raise UsageError(f"--{name.replace('_', '-')} {why}; leave it out.")
