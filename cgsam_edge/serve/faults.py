"""Faults in the JSON of a request, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from cgsam_edge.serve.schemas import ConceptPrompt

_MOST_SHOWN = 5
_LONGEST_SHOWN = 60

_WORDS: Mapping[str, str] = {
    "string_type": "expected a text",
    "list_type": "expected a list",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "model_type": "expected an object, {…}",
    "finite_number": "expected a finite number",
    "string_pattern_mismatch": "expected a picture's handle, 'sha256:' and 64 digits, as POST /images returns it",
    "missing": "this field is missing",
}
"""What pydantic calls a fault, and what is said of it."""

_OF_LIMITS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_too_short": lambda limit: f"expected a text of {limit['min_length']} or more characters",
    "string_too_long": lambda limit: f"expected a text of {limit['max_length']} characters at most",
    "too_short": lambda limit: f"expected {limit['min_length']} or more values, got {limit['actual_length']}",
    "too_long": lambda limit: f"expected {limit['max_length']} values at most, got {limit['actual_length']}",
    "greater_than": lambda limit: f"expected more than {limit['gt']:g}",
    "greater_than_equal": lambda limit: f"expected {limit['ge']:g} or more",
    "less_than": lambda limit: f"expected less than {limit['lt']:g}",
    "less_than_equal": lambda limit: f"expected {limit['le']:.12g} at most",
    "literal_error": lambda limit: f"expected {limit['expected']}",
    "value_error": lambda limit: str(limit["error"]),
    "json_invalid": lambda limit: f"not valid JSON ({limit['error']})",
}
"""The same, where a limit is part of it."""

_OF_FIELDS = {"min_area": "expected a whole number of pixels, 1 or more, or a share of the picture below 1"}
"""What is said of fields that take several kinds of values: pydantic has a fault for each kind."""


def plain_faults(model: type[BaseModel], errors: Iterable[Any]) -> str:
    """Return the first faults and their places.

    Args:
        model: what was expected.
        errors: what `pydantic.ValidationError.errors` returns.
    """
    lines = list(dict.fromkeys(_line(model, one) for one in errors))
    more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
    return "; ".join(lines[:_MOST_SHOWN] + more)


def _line(model: type[BaseModel], error: Any) -> str:
    *outer, last = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        return f"{_place(outer)}{_unknown(ConceptPrompt if outer else model, str(last))}"
    field = error["loc"][0] if error["loc"] else ""
    if field in _OF_FIELDS:
        return f"{_place([field])}{_OF_FIELDS[field]}{_got(error)}"
    return f"{_place(error['loc']) or 'the request: '}{_said(error)}{_got(error)}"


def _said(error: Any) -> str:
    kind = error["type"]
    if kind in _OF_LIMITS:
        return _OF_LIMITS[kind](error["ctx"])
    return _WORDS.get(kind, error["msg"])


def _got(error: Any) -> str:
    """Return a short value that was found, where the message says what was expected instead."""
    value, kind = error["input"], error["type"]
    if kind in ("missing", "too_short", "too_long", "json_invalid") or not isinstance(value, (str, int, float)):
        return ""
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return f", got {shown}" if len(shown) <= _LONGEST_SHOWN else ""


def _place(parts: Iterable[Any]) -> str:
    place = ".".join(str(part) for part in parts)[:200]
    return f"{place}: " if place else ""


def _unknown(model: type[BaseModel], name: str) -> str:
    known = list(model.model_fields)
    close = get_close_matches(name[:_LONGEST_SHOWN], known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected some of {', '.join(known)}"
    return f"unknown field {name[:_LONGEST_SHOWN]!r}; {hint}"
