"""What CLIP's shapes do not reveal: its activation, and the number of heads.

A wrong guess goes unnoticed: the features have the same shape and wrong values. Both are therefore taken from the first
of these sources that states them: options, ``open_clip_config.json`` beside the file, OpenAI's own marks, open_clip's
list of published weights by the file's name or hash, open_clip's list of architectures by shape. Otherwise the file is
refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from cgsam_edge.errors import CheckpointError
from cgsam_edge.export import clip_lists
from cgsam_edge.export.clip_lists import ClipForm
from cgsam_edge.export.config import OPENAI_ACTIVATION, OPENAI_HEAD_WIDTH, Activation, ClipConfig

CONFIG_FILE = "open_clip_config.json"
"""The file that model hubs store next to open_clip's weights."""

OPENAI = ClipForm(OPENAI_ACTIVATION, OPENAI_HEAD_WIDTH, OPENAI_HEAD_WIDTH, "OpenAI's own layout")

_NAMES: dict[Activation, str] = {"quickgelu": "QuickGELU", "gelu": "GELU"}


def from_options(
    path: Path, sizes: ClipConfig, activation: Activation | None, heads: tuple[int, ...] | None
) -> ClipForm:
    """Return the form that the options state.

    Args:
        path: the file, for messages.
        sizes: sizes from the tensor shapes.
        activation: activation from the options.
        heads: number of heads of the vision tower, or of vision and text.

    Raises:
        CheckpointError: the heads do not divide the channels.
    """
    widths: dict[int, int] = {}
    for i, (count, width) in enumerate(zip(heads or (), (sizes.width, sizes.text_width), strict=False)):
        if count < 1 or width % count:
            tower = ("vision", "text")[i]
            raise CheckpointError(
                f"{path}: the {width} channels of its {tower} tower cannot be divided among {count} heads."
            )
        widths[i] = width // count
    return ClipForm(activation, widths.get(0), widths.get(1), "your options" if activation or heads else "")


def of_public(
    path: Path, sizes: ClipConfig, given: ClipForm, *, openai: bool, progress: Callable[[str], None] = lambda _: None
) -> ClipConfig:
    """Return the complete config of public weights.

    Args:
        path: the file with the weights.
        sizes: sizes from the tensor shapes.
        given: form from the options, which has priority.
        openai: whether the file has the marks of OpenAI's releases.
        progress: receives a line about the form and its source.

    Raises:
        CheckpointError: no source states the activation or the number of heads; the message names the options for them.
    """
    found = ClipForm()
    for evidence in _evidence(path, sizes, openai=openai):
        if given.activation is None and None not in (found.activation, evidence.activation):
            _refuse_contradiction(path, found, evidence)
        found = found.filled_from(evidence)
    if not found.complete:
        found = found.filled_from(clip_lists.by_hash(path, sizes)).filled_from(clip_lists.by_shape(sizes))
    if None not in (given.activation, found.activation) and given.activation != found.activation:
        progress(f"{path}: --clip-activation {given.activation} is used, although {found.known_by} says otherwise.")
    return _completed(path, sizes, given.filled_from(found), progress)


def of_checkpoint(
    path: Path, sizes: ClipConfig, given: ClipForm, progress: Callable[[str], None] = lambda _: None
) -> ClipConfig:
    """Return the config of the CLIP that a checkpoint was trained with: OpenAI's, as upstream builds it.

    Raises:
        CheckpointError: open_clip lists other heads for that width, which OpenAI never published.
    """
    alike = clip_lists.by_shape(sizes).head_width in (None, OPENAI_HEAD_WIDTH)
    known = OPENAI if alike else replace(OPENAI, head_width=None)
    return _completed(path, sizes, given.filled_from(known), progress)


def describe(config: ClipConfig) -> str:
    """Return a phrase with activation and heads."""
    return f"{_NAMES[config.activation]}, {config.heads[0]} and {config.heads[1]} heads"


def _evidence(path: Path, sizes: ClipConfig, *, openai: bool) -> Iterator[ClipForm]:
    beside = path.with_name(CONFIG_FILE)
    if beside.is_file():
        yield _from_file(beside, sizes)
    if openai:
        yield OPENAI
    yield clip_lists.by_name(path, sizes)


def _refuse_contradiction(path: Path, one: ClipForm, other: ClipForm) -> None:
    if one.activation != other.activation:
        raise CheckpointError(
            f"{path}: {one.known_by} says {one.activation}, {other.known_by} says {other.activation}. Decide with "
            "--clip-activation."
        )


def _from_file(path: Path, sizes: ClipConfig) -> ClipForm:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
        form, fits = clip_lists.of_config(config, sizes, str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a configuration of open_clip ({error!r}). Replace or remove it.") from error
    if not fits:
        raise CheckpointError(
            f"{path}: describes a CLIP that differs from the weights next to it. Replace or remove it."
        )
    return form


def _completed(path: Path, sizes: ClipConfig, form: ClipForm, progress: Callable[[str], None]) -> ClipConfig:
    if form.activation is None or form.head_width is None or form.text_head_width is None:
        raise CheckpointError(_unknown(path, form))
    for tower, width, head in (
        ("vision", sizes.width, form.head_width),
        ("text", sizes.text_width, form.text_head_width),
    ):
        if width % head:
            raise CheckpointError(
                f"{path}: the {width} channels of its {tower} tower do not divide into heads of {head}, which "
                f"{form.known_by} has. Give --clip-heads VISION,TEXT."
            )
    heads = {"head_width": form.head_width, "text_head_width": form.text_head_width}
    config = replace(sizes, activation=form.activation, **heads)
    progress(f"{path}: CLIP with {describe(config)}, by {form.known_by}")
    return config


def _unknown(path: Path, form: ClipForm) -> str:
    missing = []
    if form.activation is None:
        missing.append(
            "which activation its CLIP was trained with (--clip-activation quickgelu for weights of OpenAI and "
            "MetaCLIP and what was trained on from these, gelu for those of LAION and DataComp)"
        )
    if form.head_width is None or form.text_head_width is None:
        missing.append("how many heads its CLIP has (--clip-heads VISION,TEXT)")
    return (
        f"{path}: nothing says {' or '.join(missing)}. A wrong guess would silently give wrong masks. The file "
        f"{CONFIG_FILE} of the same weights, placed next to it, states both."
    )
