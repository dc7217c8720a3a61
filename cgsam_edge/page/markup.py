"""HTML and SVG that are escaped and closed by construction, and the format of numbers on the page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable

_VOID = {"meta", "img"}


class Html(str):
    """Markup; every other string is text, and is escaped when it is put into a tag."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str | float) -> Html:
    """Return an element.

    Args:
        name: of the element.
        content: content of the element; parts that are not `Html` are escaped.
        attributes: by name, with an underscore for each hyphen; a trailing underscore is ignored (``class_``); all are
            escaped.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_attribute(value))}"' for key, value in attributes.items()
    )
    inner = "".join(joined(content))
    return Html(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inner}</{name}>")


def joined(content: Iterable[str]) -> Html:
    """Return the parts joined; parts that are not `Html` are escaped."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in content))


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.5g}"


def number(value: float | None, digits: int = 4) -> str:
    """Return a share, such as a mask IoU, as text."""
    return "undefined" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def seconds(value: float) -> str:
    """Return a time with three significant digits."""
    if not math.isfinite(value):
        return "undefined"
    return f"{value:.2f} s" if value >= 0.9995 else f"{_three(1000 * value)} ms"


def megabytes(value: int) -> str:
    """Return a size as text."""
    return f"{_three(value / 1e6)} MB"


def macs(value: int | None) -> str:
    """Return a number of multiply-adds as text."""
    if value is None:
        return "unknown"
    return f"{_three(value / 1e9)} G" if value >= 1e9 else f"{_three(value / 1e6)} M"


def _three(value: float) -> str:
    """Return a number with three significant digits, never in scientific notation."""
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{min(3, max(0, digits))}f}"


def shortened(text: str, length: int) -> str:
    """Return a text of at most ``length`` characters; the middle of a longer one is replaced by an ellipsis."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
