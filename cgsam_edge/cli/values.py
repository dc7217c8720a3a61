"""What the values of options may be: a value outside is wrong usage, and argparse's message names the option."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from cgsam_edge.errors import InputError

T = TypeVar("T")


class UsageError(InputError):
    """Options that do not go together, or not with what is named: the command line alone is wrong."""

    exit_code = 2


def whole(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``least`` to ``most``; None means no upper limit."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            span = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number {span}, got {text!r}")
        return value

    return parse


def number(
    least: float = 0, most: float | None = None, *, above: bool = False, below: bool = False
) -> Callable[[str], float]:
    """Return a parser of numbers from ``least`` to ``most``; None means no upper limit.

    Args:
        least: the lower limit.
        most: the upper limit.
        above: whether the lower limit itself is excluded.
        below: whether the upper limit itself is excluded.
    """
    high = math.inf if most is None else most
    if most is None:
        limits = f"above {least:g}" if above else f"of {least:g} or more"
    else:
        limits = f"{'above' if above else 'from'} {least:g} to {'below ' if below else ''}{most:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if (
            math.isfinite(value)
            and (least < value if above else least <= value)
            and (value < high if below else value <= high)
        ):
            return value
        raise argparse.ArgumentTypeError(f"expected a number {limits}, got {text!r}")

    return parse


def size(text: str) -> int:
    """Parse a size of files, in bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(k|M|G)i?B", text, re.IGNORECASE)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"expected a size such as 120MB or 1.5GB, got {text!r}")
    base = 1024.0 if "i" in text.lower() else 1000.0
    return round(float(found[1]) * base ** (1 + "kmg".index(found[2].lower())))


def path(text: str) -> Path:
    """Parse a path; an empty one would be the working folder, and comes from a variable that is not set."""
    return Path(source(text))


def source(text: str) -> str:
    """Parse what may be a path, a glob or an address; see `path`."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got '' (is a variable not set?); the working folder is .")
    return text


def threads(text: str) -> int:
    """Parse a number of CPU threads."""
    from cgsam_edge.runtimes.protocol import max_threads

    return whole(1, max_threads())(text)


def soc(text: str) -> int:
    """Parse the model number of a chip."""
    from cgsam_edge.runtimes.protocol import MOST_SOC

    return whole(1, MOST_SOC - 1)(text)


def backend(text: str) -> str:
    """Parse the name of an engine; one that is not installed is refused later, with what to do."""
    if text != "auto":
        from cgsam_edge.runtimes.registry import names

        if text not in names():
            raise argparse.ArgumentTypeError(
                f"no backend {text!r}; expected 'auto' or one of {', '.join(map(repr, names()))}"
            )
    return text


def device(text: str) -> str:
    """Parse a device's name or kind; one that some engine has, but not here, is refused later, with what to do."""
    from cgsam_edge.runtimes import device_names

    known = device_names.expected(text)
    if known:
        raise argparse.ArgumentTypeError(
            f"no engine has a device {text!r}; expected auto, {', '.join(device_names.KINDS[:3])}, or one of "
            f"{', '.join(known)}; cgsam doctor lists those of this machine"
        )
    return text


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Turn an `InputError` about options into wrong usage."""
    try:
        yield
    except InputError as error:
        raise UsageError(str(error)) from error


def usable(parse: Callable[[], T]) -> T:
    """Return what a value means; an `InputError` of it is wrong usage."""
    try:
        return parse()
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
