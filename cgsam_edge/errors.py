"""Errors whose messages say what was wrong, what was expected, what was found, and what to do.

Each family also inherits from a built-in exception, so that code that does not know this package can catch it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, ClassVar

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return text with control characters escaped, because a terminal would execute them."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


class CgsamError(Exception):
    """Base class of every error that this package raises on purpose.

    Attributes:
        exit_code: exit code of the command line.
    """

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """Return the message unquoted (KeyError would quote it), with control characters escaped."""
        return printable(str(self.args[0])) if self.args else ""


class InputError(CgsamError, ValueError):
    """A file, an argument or an array that cannot be used."""

    exit_code = 3


class CheckpointError(InputError):
    """A checkpoint that cannot be read, or whose layout cannot be exported."""


class ConceptsError(InputError):
    """A concepts file that cannot be used."""


class ImageError(InputError):
    """An image that cannot be used."""


class CameraError(InputError):
    """A camera or a stream that cannot be reached, or yields no picture."""


class PromptError(InputError):
    """Points, labels or a box that cannot be used."""


class BundleError(InputError):
    """A bundle that is incomplete, altered, or not readable by this version."""


class UnknownConceptError(InputError, KeyError):
    """A concept that the bundle, or a result, does not hold."""

    def __init__(self, name: str, known: tuple[str, ...], holder: str = "the bundle") -> None:
        near = get_close_matches(name.strip().lower(), [k.lower() for k in known], n=1, cutoff=0.5)
        hint = f" Did you mean {next(k for k in known if k.lower() == near[0])!r}?" if near else ""
        listed = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
        super().__init__(f"{holder} has no concept {name!r}.{hint} It knows: {listed}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_message, (type(self), self.args)


def _with_message(kind: type[UnknownConceptError], args: tuple[Any, ...]) -> UnknownConceptError:
    """Recreate an error from its message, for a process that receives it from another one."""
    return kind.__new__(kind, *args)


class BackendError(CgsamError, RuntimeError):
    """An engine that is not installed, cannot open a graph, or failed at run time."""

    exit_code = 3


class MissingLibraryError(CgsamError, ImportError):
    """A library that is not installed, or cannot be loaded on this system."""

    exit_code = 3


class ExportError(CgsamError, RuntimeError):
    """An export that could not be finished; nothing was written."""


class GateError(ExportError):
    """An export whose masks are too far from the PyTorch model's; only a report was written."""

    exit_code = 4


class OutputError(CgsamError, OSError):
    """A result that could not be written."""

    exit_code = 3
