"""Whether an engine is installed and new enough, from its metadata, without importing it."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version

UNKNOWN = "of unknown version"
"""Version text for an engine that can be imported but belongs to no installed package."""


def installed_version(module: str, packages: tuple[str, ...]) -> str | None:
    """Return the version of a module that one of several packages provides; None if it cannot be imported."""
    if importlib.util.find_spec(module) is None:
        return None
    return next((found for found in map(_version, packages) if found), UNKNOWN)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def problem(name: str, found: str | None, least: tuple[int, int], extras: tuple[str, ...]) -> str:
    """Return why an engine cannot be used, and what to do; empty if it can.

    Args:
        name: the backend.
        found: its version, or None.
        least: the oldest version that works, as (major, minor).
        extras: extras of this package that install it.
    """
    ways = " or ".join(f"pip install 'cgsam-edge[{extra}]'" for extra in extras)
    if found is None:
        return f"{name} is not installed: {ways}."
    numbers = tuple(int(n) for n in re.findall(r"\d+", found)[:2])
    if found != UNKNOWN and numbers < least:
        return f"{name} {found} is too old; expected {least[0]}.{least[1]} or newer: {ways} --upgrade."
    return ""
