"""Checked conversion between JSON values and frozen dataclasses, driven by their type hints."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, TypeVar

from cgsam_edge.errors import BundleError

T = TypeVar("T")


def decode(kind: type[T], value: Any, where: str) -> T:
    """Return ``value`` as an instance of the dataclass ``kind``; unknown keys are ignored.

    Args:
        kind: a dataclass of int, float, str, bool, tuples, string-keyed dicts, optionals and dataclasses of these.
        value: the result of ``json.loads``.
        where: where the value stands, for messages.

    Raises:
        BundleError: a key is missing, or a value has the wrong type.
    """
    return typing.cast("T", _decode(kind, value, where))


def encode(value: Any) -> Any:
    """Return a dataclass in the form that ``json.dumps`` takes."""
    return dataclasses.asdict(value)


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    if origin is tuple:
        _require(isinstance(value, list), where, "a list", value)
        item = typing.get_args(kind)[0]
        return tuple(_decode(item, v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        _require(isinstance(value, dict), where, "an object", value)
        item = typing.get_args(kind)[1]
        return {k: _decode(item, v, f"{where}.{k}") for k, v in value.items()}
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _decode(typing.get_args(kind)[0], value, where)
    return _decode_scalar(kind, value, where)


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    _require(isinstance(value, dict), where, "an object", value)
    hints = typing.get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            given[field.name] = _decode(hints[field.name], value[field.name], f"{where}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BundleError(f"{where}: {field.name!r} is missing.")
    return kind(**given)


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is float:
        _require(isinstance(value, (int, float)) and not isinstance(value, bool), where, "a number", value)
        _require(math.isfinite(value), where, "a finite number", value)
        return float(value)
    _require(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), where, kind.__name__, value)
    return value


def _require(condition: bool, where: str, expected: str, value: Any) -> None:  # noqa: FBT001
    if not condition:
        raise BundleError(f"{where}: expected {expected}, got {value!r:.60}.")
