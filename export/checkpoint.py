"""Reading checkpoint files: files of upstream, segment_anything, open_clip and OpenAI, as plain state dicts."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file

from cgsam_edge.errors import CheckpointError
from cgsam_edge.export.file_kinds import kind_of
from cgsam_edge.export.state_names import StateDict, is_state_dict, read_names
from cgsam_edge.export.unpickling import load_pickle

SAM_PART = "model_state_dict"
CLIP_PART = "clip_model"

_ENTRIES = (SAM_PART, "state_dict", "model")
"""Entries in which training loops store the weights: upstream, Lightning and open_clip, many others."""

_AVERAGES = ("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema", "averaged_model")


@dataclass(frozen=True)
class Checkpoint:
    """The two parts of a checkpoint.

    Attributes:
        path: the file.
        sam: SAM with adapters, upstream's ``model_state_dict``, under segment_anything's names.
        clip: CLIP in OpenAI's layout, or None if the file contains none.
        metadata: metadata of a safetensors file; empty for others.
        notes: one phrase for each tensor left out or read under another name.
    """

    path: Path
    sam: StateDict
    clip: StateDict | None
    metadata: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublicClip:
    """Public CLIP weights.

    Attributes:
        path: the file.
        state: in OpenAI's layout.
        openai: whether the file is one of OpenAI's releases, according to marks in it.
        notes: one phrase for each tensor left out or read under another name.
    """

    path: Path
    state: StateDict
    openai: bool
    notes: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a CLIP-Guided SAM or plain SAM checkpoint, ``.pth`` or ``.safetensors``.

    Raises:
        CheckpointError: the file is missing, truncated, not a checkpoint, or contains more than tensors and plain
            values.
    """
    content, metadata, notes = _load(path)
    state, said = _entry(path, content)
    weights = read_names(path, state)
    notes += said + list(weights.notes)
    clip = weights.clip
    given = content.get(CLIP_PART) if state is not content else None
    if given is not None:
        if not is_state_dict(given):
            raise CheckpointError(f"{path}: {CLIP_PART!r} is not a state dict, but {type(given).__name__}.")
        own = read_names(path, given)
        clip, notes = own.clip or own.unknown, [*notes, *own.notes]
    if clip and not (weights.sam or weights.unknown):
        raise CheckpointError(
            f"{path}: contains only CLIP. Pass it with --clip, and SAM's checkpoint with --checkpoint."
        )
    return Checkpoint(path, weights.sam or weights.unknown, clip or None, metadata, tuple(dict.fromkeys(notes)))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors checkpoint; empty for other files.

    Raises:
        CheckpointError: the file cannot be read.
    """
    return _metadata(path) if kind_of(path) == "safetensors" else {}


def read_clip(path: Path) -> PublicClip:
    """Read public CLIP weights: an open_clip state dict, safetensors, or OpenAI's TorchScript archive.

    OpenAI's archive is read through ``torch.jit.load``, which compiles the archive's own (TorchScript, not Python) code
    without running it; use it only on a file that you trust.

    Raises:
        CheckpointError: the file is missing or does not contain a CLIP with two transformers.
    """
    notes: list[str] = []
    if kind_of(path) == "torchscript":
        weights = read_names(path, _archive(path))
    else:
        content, _, notes = _load(path)
        state, said = _entry(path, content)
        weights, notes = read_names(path, state), notes + said
    if weights.sam:
        raise CheckpointError(
            f"{path}: contains SAM, but --clip takes public weights of CLIP alone. Pass it with --checkpoint."
        )
    return PublicClip(path, weights.clip or weights.unknown, weights.openai, (*notes, *weights.notes))


def _entry(path: Path, content: dict[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Return the state dict of a file: one of its entries, or the whole content."""
    averages = [name for name in _AVERAGES if is_state_dict(content.get(name))]
    names = [name for name in _ENTRIES if is_state_dict(content.get(name))]
    if len(names) > 1 and SAM_PART not in names:
        raise CheckpointError(f"{path}: contains weights under {' and '.join(map(repr, names))}. Save only one.")
    if not names and is_state_dict(content):
        return content, []
    if not (names or averages):
        raise CheckpointError(
            f"{path}: no weights found. Expected a {SAM_PART!r} entry (as upstream saves) or a bare state dict with "
            f"keys such as 'image_encoder.pos_embed'; got {_describe(content)}."
        )
    taken = (names or averages)[0]
    notes = [] if taken == SAM_PART else [f"weights were read from its entry {taken!r}"]
    left = averages if names else averages[1:]
    if left:
        notes.append(
            f"an averaged copy ({left[0]!r}) was ignored, and {taken!r} taken, as upstream evaluates that; to "
            f"export the average, save it as {SAM_PART!r}"
        )
    return content[taken], notes


def _load(path: Path) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return a file's content, its metadata, and notes about ignored parts."""
    kind = kind_of(path)
    if kind == "torchscript":
        raise CheckpointError(
            f"{path}: a TorchScript archive. Only --clip accepts those; a checkpoint is a state dict."
        )
    if kind == "safetensors":
        metadata = _metadata(path)
        parts, notes = _parts(dict(load_file(path)))
        return parts, metadata, notes
    content, aside = load_pickle(path)
    return content, {}, [f"settings beside the weights were ignored ({', '.join(aside)})"] if aside else []


def _parts(flat: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return upstream's two parts of a flat file (or all of it if it has none), and notes about ignored tensors."""
    parts = {name: tensor for name, tensor in flat.items() if name.startswith((f"{SAM_PART}.", f"{CLIP_PART}."))}
    aside = sorted({name.partition(".")[0] for name in set(flat) - set(parts)})
    if not parts or not aside:
        return flat, []
    return parts, [f"tensors beside the two parts were ignored ({', '.join(aside)})"]


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file, or truncated ({error}).") from error


def _archive(path: Path) -> dict[str, Any]:
    """Return the state dict of a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is None:
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    except (RuntimeError, zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: a TorchScript archive that cannot be read ({first}).") from error
    raise CheckpointError(f"{path}: a damaged TorchScript archive ({broken}). Download it again.")


def _describe(value: Mapping[Any, Any]) -> str:
    keys = [str(k) for k in list(value)[:6]]
    return f"a dict with {len(value)} entries ({', '.join(keys)}{', …' if len(value) > 6 else ''})"
