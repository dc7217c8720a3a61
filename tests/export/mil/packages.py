"""Packages made by hand, and written packages spoilt on purpose."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder

from cgsam_edge.export.mil.package import DATA, read_spec
from cgsam_edge.export.mil.tools import quiet

IOS = {16: ct.target.iOS16, 17: ct.target.iOS17, 18: ct.target.iOS18}


def program(shapes: Mapping[str, tuple[int, ...]], body: Callable[..., Any], ios: int = 17) -> Any:
    """Return a MIL program of float32 inputs."""
    made = Builder.program(
        input_specs=[Builder.TensorSpec(shape=shape) for shape in shapes.values()], opset_version=IOS[ios]
    )
    with quiet():
        return made(_named(body, list(shapes)))


def _named(body: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """Return the function with these parameter names, which the builder reads from its code."""
    scope: dict[str, Any] = {"body": body}
    exec(f"def main({', '.join(names)}):\n    return body({', '.join(names)})", scope)
    main: Callable[..., Any] = scope["main"]
    return main


def write(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    body: Callable[..., Any],
    *,
    precision: str = "fp32",
    ios: int = 17,
) -> Path:
    """Write a package whose operators ``body`` makes with the builder."""
    kind = {"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}[precision]
    with quiet():
        model = ct.convert(
            program(shapes, body, ios), minimum_deployment_target=IOS[ios], compute_precision=kind, skip_model_load=True
        )
        model.save(str(path))
    return path


class Spoilt:
    """A copy of a package, to be changed and written.

    Args:
        package: the sound one.
        folder: where the copy goes.
    """

    def __init__(self, package: Path, folder: Path) -> None:
        self.path = Path(shutil.copytree(package, folder / package.name))
        self._spec = read_spec(self.path)
        (block,) = self._spec.mlProgram.functions["main"].block_specializations.values()
        self.operations = {op.outputs[0].name: op for op in block.operations}

    def of(self, kind: str, *, where: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the first operator of a kind for which a condition holds."""
        return next(op for op in self.operations.values() if op.type == kind and where(op))

    def constant(self, op: Any, name: str) -> Any:
        """Return the tensor of a small constant that an operator takes."""
        return self.source(op, name).attributes["val"].immediateValue.tensor

    def source(self, op: Any, name: str) -> Any:
        """Return the operator that makes an input."""
        return self.operations[op.inputs[name].arguments[0].name]

    def shape(self, op: Any) -> list[int]:
        """Return the shape of what an operator makes."""
        return [d.constant.size for d in op.outputs[0].type.tensorType.dimensions]

    def change_weight(self, op: Any, name: str, change: Callable[[Any], Any], index: int = 0) -> None:
        """Change one number of a constant in the weight file."""
        value = self.source(op, name).attributes["val"]
        weights = self.path / DATA / "weights" / "weight.bin"
        content = bytearray(weights.read_bytes())
        _, _, _, start = struct.unpack_from("<IIQQ", content, value.blobFileValue.offset)
        half = value.type.tensorType.dataType == ct.proto.MIL_pb2.FLOAT16
        numbers = np.frombuffer(content, np.float16 if half else np.float32, offset=start, count=index + 1)
        numbers[index] = change(numbers[index])
        weights.write_bytes(content)

    def save(self) -> Path:
        """Write the changed model, and return the package."""
        (self.path / DATA / "model.mlmodel").write_bytes(self._spec.SerializeToString())
        return self.path
