"""From the tensor names of training tools to SAM's and CLIP's own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgsam_edge.errors import CheckpointError

StateDict = dict[str, Tensor]

_WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)
"""Name parts that module wrappers add, at any depth: DataParallel, torch.compile, FSDP, checkpointing, Lightning."""

_SAM_ROOT = re.compile(r"((?:[^.]+\.)*?)(?:image_encoder|mask_decoder|prompt_encoder)\.")
_CLIP_ROOT = re.compile(r"((?:[^.]+\.)*?)(?:text\.)?(?:visual\.|transformer\.resblocks\.|token_embedding\.)")
_CLIP_OWN = re.compile(
    r"(?:visual|text|transformer|token_embedding|ln_final)\.|(?:positional_embedding|text_projection|logit_scale)$"
)
_PARTS = ("model_state_dict.", "clip_model.")
"""Prefixes of the names in a safetensors file with both parts of a checkpoint."""

_AVERAGED = re.compile(r"(?:^|[._])(?:ema|swa|averaged?|shadow)(?:[._]|$)", re.IGNORECASE)
_SIDE = re.compile(r"^[^.]*(?:loss|criterion|metric|lpips)", re.IGNORECASE)

_NUMBERS = ("total_ops", "total_params", "n_averaged", "logit_bias")
"""Entries that thop, averaging and the loss leave in a state dict."""

_CLIP_MARKS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's releases of CLIP contain in addition to the weights."""

_MOST_SHARED = 8
"""Average number of names per tensor that is refused; a few names for the same tensor are normal."""

_PIXELS = {
    "pixel_mean": ((0.485, 0.456, 0.406), (123.675, 116.28, 103.53)),
    "pixel_std": ((0.229, 0.224, 0.225), (58.395, 57.12, 57.375)),
}
"""Normalisation of pixels in training, for 0 to 1 or 0 to 255, as in SAM and upstream."""


@dataclass(frozen=True)
class Weights:
    """Tensors under SAM's and CLIP's own names.

    Attributes:
        sam: SAM with adapters; empty if there is none.
        clip: CLIP; empty if there is none.
        unknown: other tensors, if there is no SAM.
        openai: whether CLIP has the marks of OpenAI's releases.
        notes: what was left out or read under another name, a phrase each.
    """

    sam: StateDict
    clip: StateDict
    unknown: StateDict
    openai: bool = False
    notes: tuple[str, ...] = ()


def is_state_dict(value: object) -> bool:
    """Return whether a value maps names to tensors; other values may be among them."""
    return isinstance(value, Mapping) and any(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def read_names(path: Path, state: Mapping[Any, Any]) -> Weights:
    """Separate SAM's and CLIP's tensors, under their own names.

    Args:
        path: the file, for messages.
        state: names to tensors, and possibly other values.

    Raises:
        CheckpointError: two tensors have the same name, there are two models, or a tensor contradicts the export's
            assumptions.
    """
    notes: list[str] = []
    plain, marks = _without_extras(path, _unwrapped(path, state, notes), notes)
    clip_root = _root(path, "CLIP", _CLIP_ROOT, plain, notes)
    sam_root = _root(path, "SAM", _SAM_ROOT, plain, notes)
    clip = {} if clip_root is None else {k: v for k, v in plain.items() if _is_clips(k, clip_root, sam_root)}
    rest = _without_side({k: v for k, v in plain.items() if k not in clip}, sam_root or clip_root or "", notes)
    openai = {"input_resolution", "vocab_size"} <= marks
    named = _openai_layout(clip, len(clip_root or ""))
    if sam_root is None:
        return Weights({}, {**named, **rest} if named else {}, {} if named else rest, openai, tuple(notes))
    return Weights({k.removeprefix(sam_root): v for k, v in rest.items()}, named, {}, openai, tuple(notes))


def _unwrapped(path: Path, state: Mapping[Any, Any], notes: list[str]) -> StateDict:
    """Return the tensors under names without wrapper parts."""
    out: StateDict = {}
    wrappers: set[str] = set()
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            continue
        _check_data(path, key, value)
        name = _WRAPPERS.sub("", key)
        wrappers.update(_WRAPPERS.findall(key))
        if name in out and not (out[name].shape == value.shape and torch.equal(out[name], value)):
            raise CheckpointError(f"{path}: contains two different tensors {name!r}, one of them as {key!r}.")
        out[name] = value
    declared, held = sum(value.nbytes for value in out.values()), path.stat().st_size
    if declared > _MOST_SHARED * held + 2**20:
        raise CheckpointError(
            f"{path}: declares {declared / 1e9:.1f} GB of weights in a file of {held / 1e9:.3f} GB; refused."
        )
    if wrappers:
        notes.append(f"names were read without {', '.join(map(repr, sorted(wrappers)))}")
    return out


def _check_data(path: Path, key: str, value: Tensor) -> None:
    """Refuse tensors without plain numbers."""
    kinds = {"no data (device meta)": value.is_meta, "sparse data": value.layout != torch.strided}
    kinds["quantised data"] = value.is_quantized
    for kind, found in kinds.items():
        if found:
            raise CheckpointError(
                f"{path}: {key!r} holds {kind}; expected plain numbers. Save the weights as plain tensors."
            )


def _without_extras(path: Path, state: StateDict, notes: list[str]) -> tuple[StateDict, set[str]]:
    """Remove entries that are not weights; return the rest, and the marks of OpenAI that were found."""
    kept: StateDict = {}
    gone: Counter[str] = Counter()
    for key, value in state.items():
        last = key.rsplit(".", 1)[-1]
        if last in _PIXELS:
            _check_pixels(path, key, value, _PIXELS[last])
        elif last == "attn_mask":
            _check_causal(path, key, value)
        elif last not in (*_NUMBERS, *_CLIP_MARKS):
            kept[key] = value
            continue
        gone[last] += 1
    said = [f"{name} ({count})" if count > 1 else name for name, count in gone.items() if name not in _CLIP_MARKS]
    if said:
        notes.append(f"entries that are not weights were ignored: {', '.join(said)}")
    return kept, set(gone)


def _check_pixels(path: Path, key: str, value: Tensor, expected: Iterable[tuple[float, ...]]) -> None:
    said = value.flatten().double()
    if not any(said.shape == (3,) and torch.allclose(said, torch.tensor(e).double(), rtol=1e-3) for e in expected):
        raise CheckpointError(
            f"{path}: {key!r} is {[round(v, 4) for v in said[:4].tolist()]}; the export normalises pixels as SAM and "
            f"upstream do, by {next(iter(expected))}. A model that was trained with other values would give wrong "
            "masks."
        )


def _check_causal(path: Path, key: str, value: Tensor) -> None:
    """Refuse an attention mask other than CLIP's, in which each token sees itself and those before it."""
    square = value.ndim == 2 and value.shape[0] == value.shape[1]
    mask = value.double() if square else value
    if not square or bool(mask.tril().ne(0).any()) or bool((mask + 1e3).triu(1).gt(0).any()):
        raise CheckpointError(
            f"{path}: {key!r} is not the causal mask of CLIP's text encoder; such a CLIP is not supported."
        )


def _root(path: Path, what: str, form: re.Pattern[str], state: StateDict, notes: list[str]) -> str | None:
    """Return the prefix of a model's names; None if there is no such model."""
    roots = Counter(match.group(1) for key in state if (match := form.match(key)))
    averaged = [root for root in roots if _AVERAGED.search(root)]
    trained = [root for root in roots if root not in averaged]
    if len(trained or averaged) > 1:
        raise CheckpointError(
            f"{path}: holds {what} more than once, under {', '.join(map(repr, sorted(trained or averaged)))}. Save "
            "only the intended one."
        )
    if trained and averaged:
        for key in [key for key in state if key.startswith(tuple(averaged))]:
            del state[key]
        notes.append(f"an averaged copy ({averaged[0]!r}) was ignored, because upstream evaluates the other weights")
    root = next(iter(trained or averaged), None)
    if root and root not in _PARTS:
        notes.append(f"{what} was read from {root!r}")
    return root


def _is_clips(key: str, root: str, sam_root: str | None) -> bool:
    if not key.startswith(root):
        return False
    shared = sam_root is not None and sam_root.startswith(root)
    return not shared or bool(_CLIP_OWN.match(key, len(root)))


def _without_side(state: StateDict, root: str, notes: list[str]) -> StateDict:
    """Remove losses and metrics; other entries outside the root keep their name, and are refused later."""
    side = [key for key in state if not key.startswith(root or "\0") and _SIDE.match(key)]
    if side:
        notes.append(f"entries of losses or metrics were ignored: {side[0]!r} ({len(side)} in all)")
    return {key: value for key, value in state.items() if key not in side}


def _openai_layout(state: StateDict, root: int) -> StateDict:
    """Undo the renaming of CLIP-Surgery and open_clip's ``text.`` prefix; drop the copy of an attention."""
    out: StateDict = {}
    for key, value in state.items():
        name = key[root:].removeprefix("text.")
        if name.startswith("visual.attn."):
            continue
        name = name.replace(".attn.qkv.weight", ".attn.in_proj_weight").replace(".attn.qkv.bias", ".attn.in_proj_bias")
        out[re.sub(r"\.attn\.proj\.(weight|bias)$", r".attn.out_proj.\1", name)] = value
    return out
