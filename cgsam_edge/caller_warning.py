"""Warnings that point at the caller's line, however deep in the package they arise."""

from __future__ import annotations

import inspect
import warnings
from types import FrameType

_PACKAGE = "cgsam_edge"


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points at the first frame outside this package.

    If there is no such frame (the package is the program), the outermost frame is used.
    """
    frame = _outside(inspect.currentframe())
    if frame is None:  # an interpreter without frames
        warnings.warn(message, category, stacklevel=2)
        return
    warnings.warn_explicit(
        message,
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=frame.f_globals.get("__name__", "<unknown>"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _outside(frame: FrameType | None) -> FrameType | None:
    while frame is not None and frame.f_back is not None and _is_ours(frame):
        frame = frame.f_back
    return frame


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name == _PACKAGE or name.startswith(f"{_PACKAGE}.")
