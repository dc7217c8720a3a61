"""Reading checkpoint files: what upstream, segment_anything, open_clip and OpenAI save, as plain state dicts."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from cgsam_edge.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

StateDict = dict[str, Tensor]

SAM_PART = "model_state_dict"
CLIP_PART = "clip_model"


@dataclass(frozen=True)
class Checkpoint:
    """The two parts of a checkpoint.

    Attributes:
        path: the file.
        sam: SAM with adapters, upstream's ``model_state_dict``, keys without ``module.``.
        clip: CLIP in OpenAI's layout, or None where the file holds none.
        metadata: what a safetensors file says of itself; empty for others.
    """

    path: Path
    sam: StateDict
    clip: StateDict | None
    metadata: Mapping[str, str]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a CLIP-Guided SAM or plain SAM checkpoint, ``.pth`` or ``.safetensors``.

    Raises:
        CheckpointError: the file is missing, truncated, no checkpoint, or holds more than tensors.
    """
    content, metadata = _load(path)
    if SAM_PART in content:
        sam, clip = content[SAM_PART], content.get(CLIP_PART)
    else:
        sam, clip = content, None
    if not _is_state_dict(sam):
        raise CheckpointError(
            f"{path}: no SAM weights found. Expected a {SAM_PART!r} entry (as upstream saves) or a bare state dict "
            f"with keys such as 'image_encoder.pos_embed'; got {_describe(content)}."
        )
    if clip is not None and not _is_state_dict(clip):
        raise CheckpointError(f"{path}: {CLIP_PART!r} is not a state dict but {type(clip).__name__}.")
    return Checkpoint(path, _plain(sam), _openai_layout(_plain(clip)) if clip is not None else None, metadata)


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a safetensors checkpoint says of itself; other files say nothing."""
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def read_clip(path: Path) -> StateDict:
    """Read public CLIP weights: an open_clip state dict, safetensors, or OpenAI's TorchScript archive.

    OpenAI's archive is read through ``torch.jit.load``, which builds the archive's own (TorchScript, not Python)
    code without running it; only point it at a file that you trust.

    Raises:
        CheckpointError: the file is missing or holds no CLIP with two transformers.
    """
    if _is_torchscript(path):
        state = dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    else:
        content, _ = _load(path)
        state = content.get("state_dict", content)
    if not _is_state_dict(state):
        raise CheckpointError(f"{path}: no CLIP weights found; got {_describe(state)}.")
    return _openai_layout(_plain(state))


def _load(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    if not path.is_file():
        raise CheckpointError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}.")
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    return _load_pickle(path), {}


def _load_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        flat = load_file(path)
        with safetensors.safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file, or truncated ({error}).") from error
    parts: dict[str, Any] = {}
    for part in (SAM_PART, CLIP_PART):
        inside = {k.removeprefix(f"{part}."): v for k, v in flat.items() if k.startswith(f"{part}.")}
        if inside:
            parts[part] = inside
    return parts or dict(flat), metadata


def _load_pickle(path: Path) -> dict[str, Any]:
    if _is_torchscript(path):
        raise CheckpointError(f"{path}: a TorchScript archive. Only --clip reads those; a checkpoint is a state dict.")
    try:
        with _numpy_scalars_allowed():
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(_pickle_message(path, str(error))) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint, or truncated ({first}).") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a dict of tensors; got {type(content).__name__}.")
    return content


def _pickle_message(path: Path, detail: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", detail) or re.search(r"(?:class|function|global) ([\w.]*\.[\w.]+)", detail)
    if found:
        return (
            f"{path}: refused, because unpickling it would call {found.group(1)!r}. A checkpoint may hold only tensors "
            "and plain values; save the state dict again, or as safetensors, with the code that made the file."
        )
    return f"{path}: not a checkpoint (it is no file that torch.save writes)."


@contextmanager
def _numpy_scalars_allowed() -> Iterator[None]:
    """Admit numpy numbers: training loops save losses and scores as such, and they carry no code."""
    scalar = np.float64(0).__reduce__()[0]
    names: list[Any] = [(scalar, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")]
    dtypes = [np.dtype, *(type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4", "?"))]
    allowed: list[Any] = [*names, *dtypes]
    with torch.serialization.safe_globals(allowed):
        yield


def _is_torchscript(path: Path) -> bool:
    if not path.is_file():
        raise CheckpointError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}.")
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _is_state_dict(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _describe(value: object) -> str:
    if isinstance(value, Mapping):
        keys = [str(k) for k in list(value)[:6]]
        return f"a dict with {len(value)} entries ({', '.join(keys)}{', …' if len(value) > 6 else ''})"
    return type(value).__name__


def _plain(state: Mapping[str, Any]) -> StateDict:
    """Drop what is no tensor, and the prefix that DistributedDataParallel adds."""
    return {k.removeprefix("module."): v for k, v in state.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _openai_layout(state: StateDict) -> StateDict:
    """Undo the renaming of CLIP-Surgery and open_clip's ``text.`` prefix; drop copies and bookkeeping entries."""
    out: StateDict = {}
    for key, value in state.items():
        if key.startswith("visual.attn.") or key in ("input_resolution", "context_length", "vocab_size"):
            continue
        name = key.removeprefix("text.")
        name = name.replace(".attn.qkv.weight", ".attn.in_proj_weight").replace(".attn.qkv.bias", ".attn.in_proj_bias")
        name = re.sub(r"\.attn\.proj\.(weight|bias)$", r".attn.out_proj.\1", name)
        out[name] = value
    return out
