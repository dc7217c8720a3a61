"""Writing an ONNX model a constant at a time: protobuf's own way holds two more copies of all weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Stored = Callable[[Any], Any]
"""Returns what is written of a constant, a ``TensorProto`` in place of another."""


def write(model: Any, path: Path, stored: Stored = lambda tensor: tensor) -> None:
    """Write the bytes that ``SerializeToString`` returns for the model with other constants.

    Args:
        model: a ``ModelProto`` of less than 2 GB.
        path: the file.
        stored: is called twice for each constant, first to learn its length.
    """
    head, tail = _around(model, "graph")
    first, last = _around(model.graph, "initializer")
    tag = _tag(model.graph, "initializer")
    lengths = [len(stored(tensor).SerializeToString()) for tensor in model.graph.initializer]
    begun = [tag + _varint(length) for length in lengths]
    weights = sum(map(len, begun)) + sum(lengths)
    with path.open("wb") as file:
        file.write(head + _tag(model, "graph") + _varint(len(first) + weights + len(last)) + first)
        for start, tensor in zip(begun, model.graph.initializer, strict=True):
            file.write(start)
            file.write(stored(tensor).SerializeToString())
        file.write(last + tail)


def _around(message: Any, name: str) -> tuple[bytes, bytes]:
    """Return the bytes of a message's fields before and after one of them."""
    number = message.DESCRIPTOR.fields_by_name[name].number
    sides = type(message)(), type(message)()
    for field, value in message.ListFields():
        if field.number == number:
            continue
        side = sides[field.number > number]
        if hasattr(value, "extend"):
            getattr(side, field.name).extend(value)
        elif hasattr(value, "ListFields"):
            getattr(side, field.name).CopyFrom(value)
        else:
            setattr(side, field.name, value)
    return sides[0].SerializeToString(), sides[1].SerializeToString()


def _tag(message: Any, name: str) -> bytes:
    """Return what begins a field that has a length."""
    return _varint(message.DESCRIPTOR.fields_by_name[name].number << 3 | 2)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])
