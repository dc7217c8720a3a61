"""Tables as plain text: for the terminal and for logs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def aligned(rows: Iterable[Sequence[str]], *, right: Collection[int] = (), indent: str = "") -> list[str]:
    """Return rows of cells as lines whose columns are as wide as their widest cell.

    Args:
        rows: the head first, each with as many cells.
        right: columns that are aligned on the right; the others are on the left.
        indent: begins each line.
    """
    held = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*held, strict=True)]

    def cell(text: str, column: int) -> str:
        return text.rjust(widths[column]) if column in right else text.ljust(widths[column])

    return [indent + "  ".join(cell(text, column) for column, text in enumerate(row)).rstrip() for row in held]


def share_text(value: float | None) -> str:
    """Return a value from 0 to 1 with four digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"
