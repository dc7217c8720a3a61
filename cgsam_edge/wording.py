"""Numbers in sentences."""

from __future__ import annotations


def amount(number: int, thing: str) -> str:
    """Return a number and what it counts, ``1 picture`` or ``2 pictures``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def left_out(number: int) -> str:
    """Return how many images, or entries of labels, were not used."""
    return "1 image or entry" if number == 1 else f"{number} images or entries"
