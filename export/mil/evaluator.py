"""The MIL evaluator: a Core ML package computed operator by operator in PyTorch, on any machine.

It reads the written package, and rounds each result to the type that the program declares, so that the effects of half
precision appear. It cannot reproduce Apple's compiler, the choice of units, or how they accumulate: it checks the
program, not the device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cgsam_edge.errors import BackendError
from cgsam_edge.export.mil.operators import OPERATORS, Operator
from cgsam_edge.export.mil.package import load_function
from cgsam_edge.export.mil.tools import coremltools
from cgsam_edge.runtimes import installed
from cgsam_edge.runtimes.protocol import Device, SessionFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays, SessionOptions

_ROUNDED = {"fp16": torch.float16, "bool": torch.bool, "int8": torch.int8, "uint8": torch.uint8}
_ROUNDED |= {"int16": torch.int16, "uint16": torch.int32, "int32": torch.int32, "fp32": torch.float32}


@dataclass(frozen=True)
class Output:
    """A value that an operator produces: its name in the program and its declared type."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Step:
    """One operator of a program, ready to run.

    Attributes:
        kind: MIL's name of the operator.
        operator: function that computes it.
        fixed: inputs that are constants.
        variable: the other inputs, by the name of the value, or of several.
        outputs: its outputs.
        frees: values that are not used afterwards.
    """

    kind: str
    operator: Operator
    fixed: Mapping[str, Any]
    variable: Mapping[str, str | list[str]]
    outputs: tuple[Output, ...]
    frees: list[str] = field(default_factory=list)


Watch = Callable[[Step, Output, Tensor], None]
"""Called with each value before it is rounded."""


class Evaluator:
    """A package with only known operators.

    Args:
        path: the ``.mlpackage``.
        single: leave the results in float32 where the program declares float16.

    Raises:
        BackendError: the package cannot be read, or has an operator that is not in the table.
    """

    def __init__(self, path: Path, *, single: bool = False) -> None:
        self.path, self._single = path, single
        function = load_function(path)
        self._constants: dict[str, Any] = {}
        self.steps: list[Step] = []
        for op in function.operations:
            self._read(op)
        self.shapes = {name: tuple(var.shape) for name, var in function.inputs.items()}
        self.outputs = [var.name for var in function.outputs]
        _note_last_uses(self.steps, keep={*self.outputs, *self._constants})

    def run(self, inputs: Mapping[str, Tensor], watch: Watch | None = None) -> dict[str, Tensor]:
        """Compute all outputs, float32.

        Args:
            inputs: by name, of the package's shapes.
            watch: see `Watch`.
        """
        values: dict[str, Any] = dict(self._constants_among_outputs()) | dict(inputs)
        with torch.inference_mode():
            for step in self.steps:
                values |= self._compute(step, values, watch)
                for name in step.frees:
                    del values[name]
        return {name: values[name].float() for name in self.outputs}

    def _constants_among_outputs(self) -> dict[str, Any]:
        return {name: _wide(self._constants[name]) for name in self.outputs if name in self._constants}

    def _read(self, op: Any) -> None:
        """Turn an operator into a constant or a step."""
        outputs = tuple(Output(var.name, dtype_name(var)) for var in op.outputs)
        if op.op_type == "const":
            self._constants[outputs[0].name] = _constant(op.outputs[0].val)
            return
        if op.op_type not in OPERATORS or op.blocks:
            raise BackendError(
                f"{self.path}: the MIL evaluator does not know the operator {op.op_type!r} (it makes "
                f"{outputs[0].name!r}). Add it to export/mil/operators, with its defaults."
            )
        names = {key: [v.name for v in var] if isinstance(var, (list, tuple)) else var.name for key, var in _given(op)}
        fixed = {key: self._constants[n] for key, n in names.items() if isinstance(n, str) and n in self._constants}
        step = Step(
            op.op_type, OPERATORS[op.op_type], fixed, {k: n for k, n in names.items() if k not in fixed}, outputs
        )
        if step.variable:
            self.steps.append(step)
        else:  # decompress once, and store it in the declared type
            for name, value in self._compute(step, {}, None).items():
                self._constants[name] = (
                    value.half() if value.dtype == torch.float32 and not self._wide_type(step) else value
                )

    def _wide_type(self, step: Step) -> bool:
        return self._single or step.outputs[0].dtype != "fp16"

    def _compute(self, step: Step, values: Mapping[str, Any], watch: Watch | None) -> dict[str, Any]:
        given = {key: _wide(value) for key, value in step.fixed.items()}
        for key, name in step.variable.items():
            given[key] = self._value(name, values) if isinstance(name, str) else [self._value(n, values) for n in name]
        try:
            made = step.operator.compute(**given)
        except (RuntimeError, TypeError, ValueError, IndexError, KeyError, NotImplementedError) as error:
            raise BackendError(
                f"{self.path}: the operator {step.kind!r} that makes {step.outputs[0].name!r} failed: {error}"
            ) from error
        results = made if isinstance(made, list) else [made]
        if watch is not None:
            for output, value in zip(step.outputs, results, strict=True):
                watch(step, output, value)
        return {o.name: self._round(step, o, v) for o, v in zip(step.outputs, results, strict=True)}

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        return values[name] if name in values else _wide(self._constants[name])

    def _round(self, step: Step, output: Output, value: Tensor) -> Tensor:
        """Return a value rounded to its declared type; float16 is stored as float32."""
        if output.dtype != "fp16":
            return value.to(_ROUNDED[output.dtype])
        if self._single or step.operator.moves:
            return value.float()
        return value.half().float()


def _given(op: Any) -> list[tuple[str, Any]]:
    return [(key, var) for key, var in op.inputs.items() if var is not None and not key.startswith("_")]


def dtype_name(var: Any) -> str:
    """Return the declared type of a program's value, as MIL writes it."""
    return str(coremltools().converters.mil.mil.types.builtin_to_string(var.dtype))


def _constant(value: Any) -> Any:
    """Return a constant: a float array as a tensor of its type, another array as numpy's, a scalar as Python's."""
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind == "f":
        return torch.from_numpy(np.ascontiguousarray(value).copy() if not value.flags.writeable else value)
    if isinstance(value, np.ndarray) and value.ndim:
        return value
    return value.item() if isinstance(value, (np.generic, np.ndarray)) else value


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.float16 else value


def _note_last_uses(steps: list[Step], keep: set[str]) -> None:
    """Record in each step the values that no later step reads."""
    seen = set(keep)
    for step in reversed(steps):
        read = [n for names in step.variable.values() for n in ([names] if isinstance(names, str) else names)]
        for name in dict.fromkeys([*read, *(output.name for output in step.outputs)]):
            if name not in seen:
                seen.add(name)
                step.frees.append(name)


class EvaluatorSession:
    """An evaluator as a runtime's session; see `Session`.

    Args:
        path: the ``.mlpackage``.
        single: see `Evaluator`.
    """

    def __init__(self, path: Path, *, single: bool = False) -> None:
        self._path, self._single = path, single
        self._lock = threading.Lock()
        self._evaluator: Evaluator | None = Evaluator(path, single=single)
        self._shapes = self._evaluator.shapes

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        given = {name: np.array(array, dtype=np.float32, order="C") for name, array in inputs.items()}
        got = {name: array.shape for name, array in given.items()}
        if got != self._shapes:
            raise BackendError(f"{self._path}: expected the inputs {self._shapes}, got {got}.")
        with self._lock:
            if self._evaluator is None:
                raise BackendError(f"{self._path}: the session is closed.")
            made = self._evaluator.run({name: torch.from_numpy(array) for name, array in given.items()})
        return {name: np.array(value.numpy()) for name, value in made.items()}

    def facts(self) -> SessionFacts:
        """Return the arithmetic, which is PyTorch's float32; see `Session.facts`."""
        with self._lock:
            if self._evaluator is None:
                raise BackendError(f"{self._path}: the session is closed.")
        return SessionFacts({"PyTorch": 0}, "float32" if self._single else "as declared, rounded in float32")

    def close(self) -> None:
        """Free the weights."""
        with self._lock:
            self._evaluator = None


@dataclass(frozen=True)
class EvaluatorBackend:
    """The evaluator as a backend, for parity and tests; it is in no registry, since it needs PyTorch and is slow.

    Attributes:
        single: see `Evaluator`.
    """

    single: bool = False
    name: str = "the MIL evaluator"
    targets: tuple[str, ...] = ("coreml",)
    extras: tuple[str, ...] = ("coreml",)

    def version(self) -> str | None:
        """Return the version of coremltools; see `Backend.version`."""
        return installed.installed_version("coremltools", ("coremltools",))

    def problem(self) -> str:
        """Say why it cannot run here; see `Backend.problem`."""
        return "" if self.version() else "the MIL evaluator needs coremltools: pip install 'cgsam-edge[coreml]'."

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU; see `Backend.devices`."""
        return (Device("CPU", "cpu", "PyTorch"),)

    def open(self, path: Path, options: SessionOptions) -> EvaluatorSession:
        """Open an ``.mlpackage``; see `Backend.open`."""
        if options.device != "CPU":
            raise BackendError(f"the MIL evaluator has no device {options.device!r}; here it has CPU.")
        return EvaluatorSession(path, single=self.single)
