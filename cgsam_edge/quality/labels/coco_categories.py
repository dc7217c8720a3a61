"""The categories of a COCO instance file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgsam_edge.errors import InputError

_NO_PARENT = (None, "", "none")


def identifier(value: Any) -> str | None:
    """Return an id as text, so that 7, 7.0 and "7" are equal; None for a value that cannot be an id."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None


def category_names(
    entries: Sequence[dict[str, Any]], used: Mapping[str | None, int], path: Path
) -> tuple[dict[str, str], list[str]]:
    """Return the categories' names by their ids, and notes.

    An entry that only groups others, as Roboflow writes, is not a class. It has no annotation, and is the supercategory
    of another entry, or has the id 0 and is the only one whose supercategory is "none".

    Args:
        entries: categories of the file.
        used: number of annotations for each id.
        path: the file, for messages.

    Raises:
        InputError: there are none, one has no id or no name, or two with the same id have different names.
    """
    if not entries:
        raise InputError(f"{path}: lists no category, so its annotations have no names.")
    names: dict[str, str] = {}
    for number, entry in enumerate(entries):
        key, name = identifier(entry.get("id")), entry.get("name")
        if key is None:
            raise InputError(
                f"{path}: the id of entry {number} of 'categories' is {entry.get('id')!r:.40}; expected a number."
            )
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{path}, category {key}: 'name' is {name!r:.40}; expected a name.")
        name = " ".join(name.split())
        if names.setdefault(key, name) != name:
            raise InputError(
                f"{path}, category {key}: has two names, {names[key]!r} and {name!r}. Give each its own id."
            )
    groups = [key for key in names if not used.get(key) and _is_group(key, names[key], entries)]
    if len(groups) == len(names):
        groups = []
    notes = [
        f"{path}, category {key}: {names[key]!r} only groups other categories and has no annotation; it is not a class."
        for key in groups
    ]
    return {key: name for key, name in names.items() if key not in groups}, notes


def _is_group(key: str, name: str, entries: Sequence[dict[str, Any]]) -> bool:
    parents = {identifier(entry.get("id")): entry.get("supercategory") for entry in entries}
    others = [parent for other, parent in parents.items() if other != key]
    alone = key == "0" and parents[key] == "none" and all(parent not in _NO_PARENT for parent in others)
    return name in others or (alone and bool(others))
