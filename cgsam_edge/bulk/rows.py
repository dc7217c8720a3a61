"""A labelled picture as a row of plain text: what workers return, what shards and Parquet files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from cgsam_edge._version import __version__
from cgsam_edge.datasets import LabelledPicture

COLUMNS = ("name", "stamp", "label", "presence", "maker", "error", "note", "outlines")
"""Columns of a row, all of them text."""


@dataclass(frozen=True)
class LabelRow:
    """What was found in one picture.

    Attributes:
        name: the picture, a relative POSIX path.
        stamp: size and time of the file that was read, by which a later run notices another file of the same name.
        label: `LabelledPicture.to_json`; empty if the picture could not be labelled.
        presence: JSON object of each concept's presence, 0 to 1, present or not.
        maker: JSON object of what made the label: bundle, engine, precision, version, options.
        error: why the picture could not be labelled; otherwise empty.
        note: what was noticed, such as a file that holds several pictures; otherwise empty.
        outlines: `LabelledPicture.outlines_json`, or empty where they were not computed.
    """

    name: str
    stamp: str = ""
    label: str = ""
    presence: str = "{}"
    maker: str = "{}"
    error: str = ""
    note: str = ""
    outlines: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> LabelRow:
        """Return the row of a mapping, such as one of a table or of a line of JSON; other keys are ignored."""
        return cls(**{name: str(row[name]) for name in COLUMNS if name in row})

    def columns(self) -> dict[str, str]:
        """Return the row as a mapping from column to text."""
        return {name: getattr(self, name) for name in COLUMNS}

    def picture(self, *, outlines: bool = False) -> LabelledPicture:
        """Return the labelled picture, with its outlines if they are wanted and current; the row has no error."""
        held = outlines and are_current(self.outlines, self.maker)
        return LabelledPicture.from_json(self.label, self.outlines if held else "")

    def with_outlines(self) -> LabelRow:
        """Return the row with its outlines; the row has no error."""
        maker = json.loads(self.maker)
        if maker.get(_VERSION) != __version__:
            maker[_OUTLINED_BY] = __version__
        return replace(self, outlines=self.picture().outlines_json(), maker=compact(maker))

    def presences(self) -> dict[str, float]:
        """Return presence by concept."""
        return {str(name): float(value) for name, value in json.loads(self.presence).items()}


_VERSION, _OUTLINED_BY = "cgsam_edge", "outlines_by"
"""Keys of a maker: the version that made the label, and the one that made the outlines if it is another."""


def are_current(outlines: str, maker: str) -> bool:
    """Return whether a row has outlines that this version made: another one may draw them otherwise."""
    return bool(outlines) and _outlined_by(maker) == __version__


@lru_cache(maxsize=64)
def _outlined_by(maker: str) -> str | None:
    facts: dict[str, str] = json.loads(maker)
    return facts.get(_OUTLINED_BY, facts.get(_VERSION))


def maker_id(maker: str) -> str:
    """Return a short name of what made a label, the same in every run."""
    return hashlib.sha256(maker.encode()).hexdigest()[:8]


def compact(value: Any) -> str:
    """Return JSON without spaces, with sorted keys: the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
