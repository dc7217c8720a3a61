"""A graph is converted once a run: the same graph again takes what the converter made of it before.

Converters take seconds for a graph however small it is, and most tests that export want the same few graphs. Only the
converters' own work is remembered, by a digest of all that they see; what the project does before and after it, such as
checks and parity, runs each time. A test of the conversion itself, such as that it gives the same bytes twice, asks for
the fixture `anew`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch

from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.targets import coreml, onnxruntime
from cgsam_edge.export.targets.onnx_file import OnnxModel
from tests.shelf import Shelf

Converter = Callable[..., Any]

MOST_WEIGHTS = 5_000_000
"""Of a graph whose traced program stays in memory."""


def digest(*values: object) -> str:
    """Return a name for a graph and settings: equal for equal values, in whichever process.

    Raises:
        TypeError: of a value of which nothing is known.
    """
    known: dict[int, int] = {}
    running = hashlib.sha256()
    for part in _parts(values, known):
        running.update(len(part).to_bytes(8, "little") + part)
    return running.hexdigest()


def _parts(value: Any, known: dict[int, int]) -> Iterator[bytes]:
    """Yield bytes that say all of a value; of tensors also which are the same one, which converters see."""
    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, (bool, int, float, str)):
        yield repr(value).encode()
    elif isinstance(value, (torch.dtype, torch.device)):
        yield str(value).encode()
    elif isinstance(value, torch.Tensor):
        yield f"{known.setdefault(value.data_ptr(), len(known))} {value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().contiguous().numpy().tobytes()
    elif isinstance(value, torch.nn.Module):
        yield from _parts({k: v for k, v in vars(value).items() if not k.endswith("_hooks")}, known)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from (*_parts(key, known), *_parts(one, known))
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _parts(one, known)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(b"".join(_parts(one, known)) for one in value)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _parts({f.name: getattr(value, f.name) for f in fields(value)}, known)
    elif callable(value) and hasattr(value, "__code__"):
        yield f"{value.__module__}.{value.__qualname__}".encode()
        yield from _parts([cell.cell_contents for cell in value.__closure__ or ()], known)
    else:
        raise TypeError(f"{type(value)}: not known to the digest of a graph")


def whole(model: OnnxModel) -> Any:
    """Return the ``ModelProto`` with the data of all constants."""
    made = type(model.proto)()
    made.CopyFrom(model.proto)
    for tensor in made.graph.initializer:
        tensor.CopyFrom(model.filled(tensor))
    return made


def _onnx(shelf: Shelf, convert: Converter) -> Converter:
    import onnx

    @functools.wraps(convert)
    def to_onnx(graph: Graph) -> Any:
        path = shelf.get(
            f"conversions/{digest(graph)}.onnx",
            lambda path: path.write_bytes(whole(convert(graph)).SerializeToString()),
        )
        return OnnxModel(onnx.load_model(str(path)))

    return to_onnx


def _mil(shelf: Shelf, convert: Converter) -> Converter:
    import coremltools

    @functools.wraps(convert)
    def to_mil(graph: Graph, precision: str, ios: int) -> Any:
        name = f"conversions/{digest(graph, precision, ios)}.mlpackage"
        path = shelf.get(name, lambda path: convert(graph, precision, ios).save(str(path)))
        return coremltools.models.MLModel(str(path), skip_model_load=True)

    return to_mil


def _traced(trace: Converter) -> Converter:
    """Trace a small graph once a process: Core ML's two precisions begin with the same program."""
    kept: dict[str, tuple[Graph, Any]] = {}

    @functools.wraps(trace)
    def exported(graph: Graph) -> Any:
        if sum(weight.numel() for weight in graph.module.parameters()) > MOST_WEIGHTS:
            return trace(graph)
        name = digest(graph)
        if name not in kept or digest(kept[name][0]) != name:  # a program has the weights of its graph, not a copy
            kept[name] = graph, trace(graph)
        return kept[name][1]

    return exported


@contextmanager
def replaced(shelf: Shelf) -> Iterator[None]:
    """Remember conversions while this is open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "_to_onnx", _onnx(shelf, onnxruntime._to_onnx))
        patch.setattr(coreml, "_to_mil", _mil(shelf, coreml._to_mil))
        patch.setattr(coreml, "_exported", _traced(coreml._exported))
        yield


@contextmanager
def plain() -> Iterator[None]:
    """Convert as the project does, inside of `replaced`."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((onnxruntime, "_to_onnx"), (coreml, "_to_mil"), (coreml, "_exported")):
            patch.setattr(module, name, getattr(module, name).__wrapped__)
        yield
