"""ONNX models whose large constants stay PyTorch's until they are written, one at a time.

Protobuf's own way holds a copy of all weights, and two more while it writes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir
from onnx import external_data_helper, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stored = Callable[[Any], Any]
"""Returns what is written of a constant, a ``TensorProto`` in place of another."""

LARGE_SIZE = 1024
"""Constants of this many numbers or more are large: they stay where they are until they are written."""

EXTERNAL_THRESHOLD = 1024
"""Smaller constants are written into the graph's file even where the others are in a separate file."""


@dataclass
class OnnxModel:
    """A model, and arrays that take the place of the data of its constants.

    Attributes:
        proto: the ``ModelProto``; a constant in ``arrays`` has its name, type and shape here, and no data.
        arrays: views of the weights, by the constant's name.
    """

    proto: Any
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of_program(cls, program: Any) -> OnnxModel:
        """Return the model of PyTorch's ``ONNXProgram``, whose large constants are lent."""
        arrays = {}
        for name, value in program.model.graph.initializers.items():
            tensor = value.const_value
            if tensor is None or tensor.size < LARGE_SIZE:
                continue
            arrays[name] = tensor.numpy()
            value.const_value = onnx_ir.ExternalTensor(
                "", 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name
            )
        made = cls(program.model_proto, arrays)
        for constant in made.proto.graph.initializer:
            if constant.name in arrays:
                constant.ClearField("external_data")
                constant.ClearField("data_location")
        return made

    def array(self, tensor: Any) -> NDArray[Any]:
        """Return a constant's values."""
        lent = self.arrays.get(tensor.name)
        return numpy_helper.to_array(tensor) if lent is None else lent

    def filled(self, tensor: Any) -> Any:
        """Return a constant with its data."""
        if tensor.name not in self.arrays:
            return tensor
        made = onnx.TensorProto()
        made.CopyFrom(tensor)
        made.raw_data = self.arrays[tensor.name].tobytes()
        return made

    def lend(self, values: NDArray[Any], name: str) -> None:
        """Add a constant, without copying its values if it is large."""
        if values.size < LARGE_SIZE:
            self.proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
            return
        self.proto.graph.initializer.append(
            onnx.TensorProto(name=name, dims=values.shape, data_type=helper.np_dtype_to_tensor_dtype(values.dtype))
        )
        self.arrays[name] = values


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
    lengths = [stored(tensor).ByteSize() for tensor in model.graph.initializer]
    begun = [tag + _varint(length) for length in lengths]
    weights = sum(map(len, begun)) + sum(lengths)
    with path.open("wb") as file:
        file.write(head + _tag(model, "graph") + _varint(len(first) + weights + len(last)) + first)
        for start, tensor in zip(begun, model.graph.initializer, strict=True):
            file.write(start)
            file.write(stored(tensor).SerializeToString())
        file.write(last + tail)


def write_beside(model: Any, path: Path, beside: Path, stored: Stored = lambda tensor: tensor) -> None:
    """Write what ``onnx.save_model`` writes with external data: the graph, and its large constants in another file.

    Args:
        model: a ``ModelProto``, whose constants may hold their data or leave it to ``stored``.
        path: the graph's file.
        beside: the constants' file, in the same folder; it must not exist.
        stored: is called once for each constant.
    """
    made = type(model)()
    made.CopyFrom(model)  # without the lent data; constants that a quantiser filled are copied
    for tensor in made.graph.initializer:
        tensor.CopyFrom(stored(tensor))
        if sys.getsizeof(tensor.raw_data) >= EXTERNAL_THRESHOLD:  # as onnx measures it
            external_data_helper.set_external_data(tensor, beside.name)
            external_data_helper.save_external_data(tensor, str(path.parent))
            tensor.ClearField("raw_data")
    path.write_bytes(made.SerializeToString())


def _around(message: Any, name: str) -> tuple[bytes, bytes]:
    """Return the bytes of a message's fields before and after one of them."""
    number = message.DESCRIPTOR.fields_by_name[name].number
    sides = type(message)(), type(message)()
    for described, value in message.ListFields():
        if described.number == number:
            continue
        side = sides[described.number > number]
        if hasattr(value, "extend"):
            getattr(side, described.name).extend(value)
        elif hasattr(value, "ListFields"):
            getattr(side, described.name).CopyFrom(value)
        else:
            setattr(side, described.name, value)
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
