"""What CLIP's shapes do not say: its activation and how many heads share its channels.

A wrong guess is silent: the features are other numbers of the same shape. So both are taken from what knows them, in
this order: options, ``open_clip_config.json`` beside the file, OpenAI's own marks, open_clip's list of published
weights by the file's name or hash, open_clip's list of architectures by shape. Else the file is refused.
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
"""What model hubs keep beside open_clip's weights."""

OPENAI = ClipForm(OPENAI_ACTIVATION, OPENAI_HEAD_WIDTH, OPENAI_HEAD_WIDTH, "OpenAI's own layout")

_NAMES: dict[Activation, str] = {"quickgelu": "QuickGELU", "gelu": "GELU"}


def from_options(
    path: Path, sizes: ClipConfig, activation: Activation | None, heads: tuple[int, ...] | None
) -> ClipForm:
    """Return what options say.

    Args:
        path: the file, for messages.
        sizes: what the shapes say.
        activation: as given.
        heads: of the vision tower, or of vision and text.

    Raises:
        CheckpointError: the heads do not divide the channels.
    """
    widths: dict[int, int] = {}
    for i, (count, width) in enumerate(zip(heads or (), (sizes.width, sizes.text_width), strict=False)):
        if count < 1 or width % count:
            tower = ("vision", "text")[i]
            raise CheckpointError(f"{path}: {count} heads do not share the {width} channels of its {tower} tower.")
        widths[i] = width // count
    return ClipForm(activation, widths.get(0), widths.get(1), "your options" if activation or heads else "")


def of_public(
    path: Path, sizes: ClipConfig, given: ClipForm, *, openai: bool, progress: Callable[[str], None] = lambda _: None
) -> ClipConfig:
    """Return the config of public weights, complete.

    Args:
        path: the file with the weights.
        sizes: what the shapes say.
        given: what options say; it wins.
        openai: whether the file carries the marks that OpenAI's releases have.
        progress: takes a line about what was found, and by what.

    Raises:
        CheckpointError: nothing says which activation or how many heads; the message says which options do.
    """
    found = ClipForm()
    for evidence in _evidence(path, sizes, openai=openai):
        if given.activation is None and None not in (found.activation, evidence.activation):
            _refuse_contradiction(path, found, evidence)
        found = found.filled_from(evidence)
    if not found.complete:
        found = found.filled_from(clip_lists.by_hash(path, sizes)).filled_from(clip_lists.by_shape(sizes))
    if None not in (given.activation, found.activation) and given.activation != found.activation:
        progress(f"{path}: --clip-activation {given.activation} is taken, although {found.known_by} says otherwise.")
    return _completed(path, sizes, given.filled_from(found), progress)


def of_checkpoint(
    path: Path, sizes: ClipConfig, given: ClipForm, progress: Callable[[str], None] = lambda _: None
) -> ClipConfig:
    """Return the config of the CLIP that a checkpoint was trained with: OpenAI's, as upstream builds it.

    Raises:
        CheckpointError: open_clip has other heads for that width, which OpenAI never published.
    """
    alike = clip_lists.by_shape(sizes).head_width in (None, OPENAI_HEAD_WIDTH)
    known = OPENAI if alike else replace(OPENAI, head_width=None)
    return _completed(path, sizes, given.filled_from(known), progress)


def describe(config: ClipConfig) -> str:
    """Return activation and heads in a few words."""
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
        raise CheckpointError(f"{path}: describes another CLIP than the weights beside it. Replace or remove it.")
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
        f"{path}: nothing says {' or '.join(missing)}. A wrong guess would give wrong masks in silence. The file "
        f"{CONFIG_FILE} of the same weights, put beside it, says both."
    )
