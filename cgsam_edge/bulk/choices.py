"""Which part of a data set a picture belongs to, and whether a person should look at it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cgsam_edge.errors import InputError

SPLITS = ("train", "val", "test")
_STEPS = 2**32


@dataclass(frozen=True)
class Split:
    """Shares of train, val and test, in percent.

    A picture's part follows from its name alone: a picture that is added later moves no other one. The shares are
    therefore met on average, not exactly.
    """

    shares: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Split:
        """Read "80/10/10", or "80/20" for train and val.

        Raises:
            InputError: the text has another form, or the shares do not add up to 100.
        """
        try:
            shares = tuple(float(part) for part in text.split("/"))
        except ValueError:
            shares = ()
        if not 2 <= len(shares) <= 3 or min(shares) < 0 or abs(sum(shares) - 100) > 1e-6:
            raise InputError(f"expected shares of train, val and test that add up to 100, as 80/10/10, got {text!r}.")
        return cls(shares)

    def of(self, name: str) -> str:
        """Return the part of a picture by its name."""
        hashed = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        place = 100 * int.from_bytes(hashed[:4], "big") / _STEPS
        for part, share in zip(SPLITS, self.shares, strict=False):
            place -= share
            if place < 0:
                return part
        return SPLITS[max(i for i, share in enumerate(self.shares) if share)]


@dataclass(frozen=True)
class Review:
    """The range of presence in which a person should decide."""

    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> Review:
        """Read "0.3-0.7".

        Raises:
            InputError: the text has another form, or the range is empty or not within 0 to 1.
        """
        try:
            low, high = (float(part) for part in text.split("-"))
        except ValueError:
            low, high = 1.0, 0.0
        if not 0 <= low <= high <= 1:
            raise InputError(f"expected a range of presence within 0 to 1, as 0.3-0.7, got {text!r}.")
        return cls(low, high)

    def unsure(self, presences: Mapping[str, float]) -> dict[str, float]:
        """Return the concepts whose presence lies in the range, both ends included."""
        return {name: value for name, value in presences.items() if self.low <= value <= self.high}
