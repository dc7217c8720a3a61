"""Reading files of ``torch.save`` without running any of their code."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgsam_edge.errors import CheckpointError

_DICTS = (
    "addict.addict.Dict",
    "easydict.EasyDict",
    "fvcore.common.config.CfgNode",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode",
)
"""Subclasses of dict in which training loops keep their settings."""

_SETTINGS = re.compile(
    r"(?:omegaconf|pathlib|datetime|enum|typing|numpy\.random|lightning|pytorch_lightning|lightning_fabric|ml_collections)\."
    r"|(?:torch\.torch_version\.TorchVersion|types\.SimpleNamespace|builtins\.(?:dict|list|tuple|int|float|str|bool))$"
    r"|__main__\.\w*(?:Args|Config|Options|Settings|Namespace|Params|Enum)$",
)
"""Classes that training loops store next to the weights. None of them is called: `_LeftAside` replaces them."""

_MOST_CLASSES = 200


class _LeftAside:
    """Placeholder for an object of another program: accepts any arguments, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _LeftAside:  # noqa: PYI034 — Self needs Python 3.11
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass


@dataclass(frozen=True)
class _Refused:
    """The name that unpickling would have called; None if the file is not a pickle of torch.save."""

    name: str | None


def load_pickle(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read a file of ``torch.save``; return its content, and the classes whose objects were ignored.

    Raises:
        CheckpointError: it is truncated, not a dict, or contains objects that only running code could restore.
    """
    mapped = _can_be_mapped(path)
    aside: list[str] = []
    content = _load(path, aside, mapped=mapped)
    while isinstance(content, _Refused):
        name = content.name
        if name is None or name in aside or not _stands_aside(name) or len(aside) == _MOST_CLASSES:
            raise CheckpointError(_pickle_message(path, name))
        aside.append(name)
        content = _load(path, aside, mapped=mapped)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a dict of tensors; got {type(content).__name__}.")
    return content, tuple(aside)


def _load(path: Path, aside: list[str], *, mapped: bool) -> Any:
    """Return a file's content, or the name that its unpickling would have called."""
    try:
        with torch.serialization.safe_globals(_allowed(aside)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        return _Refused(_refused_name(str(error)))
    except Exception as error:  # torch and the unpickler raise many kinds of errors for damaged files
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint, or truncated ({first}).") from error


def _can_be_mapped(path: Path) -> bool:
    """Return whether a file's tensors can be memory-mapped: in a zip archive with uncompressed parts.

    Raises:
        CheckpointError: its parts would unpack to far more than the file's size.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    unpacked = sum(part.file_size for part in parts)
    if unpacked > 100 * path.stat().st_size:
        raise CheckpointError(f"{path}: would unpack to {unpacked / 1e9:.1f} GB, far more than weights do; refused.")
    return all(part.compress_type == zipfile.ZIP_STORED for part in parts)


def _refused_name(detail: str) -> str | None:
    """Return the name that the unpickler refused to call, from its message."""
    found = re.search(r"GLOBAL ([\w.]+)", detail) or re.search(r"(?:class|function|global) ([\w.]*\.[\w.]+)", detail)
    if not found:
        return None
    name = found.group(1).rstrip(".")
    return name if "." in name else f"builtins.{name}"


def _stands_aside(name: str) -> bool:
    return name in _DICTS or bool(_SETTINGS.match(name))


def _pickle_message(path: Path, name: str | None) -> str:
    if name is None:
        return f"{path}: not a checkpoint (torch.save did not write this file)."
    return (
        f"{path}: refused, because unpickling it would call {name!r}. A checkpoint may hold only tensors and plain "
        "values; save the state dict again, or as safetensors, with the code that made the file."
    )


def _allowed(aside: list[str]) -> list[Any]:
    """Return what the unpickler may call: numpy's numbers and arrays, ``argparse.Namespace``, and placeholders."""
    restore = [np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]]
    numpy = [
        (function, f"{module}.multiarray.{name}")
        for module in ("numpy.core", "numpy._core")
        for function, name in zip(restore, ("scalar", "_reconstruct"), strict=True)
    ]
    dtypes = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?SU"}
    stand_ins: list[tuple[Callable[..., Any], str]] = [
        (OrderedDict if name in _DICTS else _LeftAside, name) for name in aside
    ]
    return [*numpy, np.dtype, np.ndarray, *dtypes, argparse.Namespace, *stand_ins]
