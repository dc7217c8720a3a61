"""The activation and heads of a CLIP in open_clip's lists of architectures and published weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import open_clip

from cgsam_edge.bundle import file_spec
from cgsam_edge.export.config import Activation, ClipConfig

_PARENTS = 4
"""Folders above a file that may identify it: a hub's cache has ``models--owner--name/snapshots/HASH/file``."""

_DISTINCT = 12
"""Length from which a published name is hardly part of another one: MetaCLIP's b32400m is part of ViT-B-32-400m."""


@dataclass(frozen=True)
class ClipForm:
    """Activation and head widths of a CLIP, each None if unknown.

    Attributes:
        activation: activation of the MLPs.
        head_width: channels of a head of the vision tower.
        text_head_width: likewise for the text tower.
        known_by: description of the source.
    """

    activation: Activation | None = None
    head_width: int | None = None
    text_head_width: int | None = None
    known_by: str = ""

    @property
    def complete(self) -> bool:
        """Whether all is known."""
        return None not in (self.activation, self.head_width, self.text_head_width)

    def filled_from(self, other: ClipForm) -> ClipForm:
        """Return this form, with unknown values taken from another one."""
        lacks = [name for name in ("activation", "head_width", "text_head_width") if getattr(self, name) is None]
        news = {name: getattr(other, name) for name in lacks if getattr(other, name) is not None}
        said = [said for said in (self.known_by, other.known_by if news else "") if said]
        return replace(self, **news, known_by=" and ".join(said))


def by_name(path: Path, sizes: ClipConfig) -> ClipForm:
    """Find published weights whose name is part of the name of the file or of a folder above it."""
    places = [_plain(place) for place in (path.name, *(parent.name for parent in path.absolute().parents[:_PARENTS]))]
    found = [
        (len(name), form)
        for names, _, form in _published(sizes)
        for name in names
        if any(_named(name, place) for place in places)
    ]
    longest = max((length for length, _ in found), default=0)
    return _agreed([form for length, form in found if length == longest])


def _named(name: str, place: str) -> bool:
    """Return whether a file's or folder's name contains that of published weights; short names must match in full."""
    return name in place if len(name) >= _DISTINCT else place.startswith(name)


def by_hash(path: Path, sizes: ClipConfig) -> ClipForm:
    """Find published weights by their SHA-256, part of which is in their URL."""
    known = [(digest, form) for _, digest, form in _published(sizes) if digest]
    if not known:
        return ClipForm()
    own = file_spec(path).sha256
    return _agreed([form for digest, form in known if own.startswith(digest)])


def by_shape(sizes: ClipConfig) -> ClipForm:
    """Return what all architectures with these shapes have in common; for heads, all with these widths."""
    every = [form for name in open_clip.list_models() for form in _architecture(name, sizes)]
    alike = _agreed([form for form, fits in every if fits])
    return ClipForm(
        alike.activation,
        _only({form.head_width for form, _ in every}),
        _only({form.text_head_width for form, _ in every}),
        "open_clip's list of architectures",
    )


def _architecture(name: str, sizes: ClipConfig) -> list[tuple[ClipForm, bool]]:
    """Return the form of an architecture with a tower of this width, and whether all sizes fit."""
    try:
        form, fits = of_config(open_clip.get_model_config(name), sizes, f"open_clip's {name}")
    except (TypeError, KeyError, AttributeError, ZeroDivisionError):
        return []  # towers other than CLIP's transformers
    return [(form, fits)] if form.head_width or form.text_head_width else []


def of_config(config: dict[str, Any], sizes: ClipConfig, known_by: str) -> tuple[ClipForm, bool]:
    """Return the form in an open_clip configuration for towers of these widths, and whether all sizes fit.

    Raises:
        TypeError, KeyError, AttributeError: it is not a configuration of two transformers.
    """
    vision, text = open_clip.CLIPVisionCfg(**config["vision_cfg"]), open_clip.CLIPTextCfg(**config["text_cfg"])
    if vision.timm_model_name or text.hf_model_name or not isinstance(vision.layers, int):
        raise KeyError("not two of open_clip's transformers")
    theirs = (vision.width, vision.layers, int(vision.width * vision.mlp_ratio), vision.patch_size, config["embed_dim"])
    ours = (sizes.width, sizes.layers, sizes.mlp_width, sizes.patch_size, sizes.embed_dim)
    read = (text.width, text.layers, text.context_length, text.vocab_size)
    fits = (theirs, read) == (
        ours,
        (sizes.text_width, sizes.text_layers, sizes.context_length, sizes.vocab_size),
    )
    activation: Activation = "quickgelu" if config.get("quick_gelu") else "gelu"
    form = ClipForm(
        activation if fits else None,
        vision.head_width if vision.width == sizes.width else None,
        text.width // text.heads if text.width == sizes.text_width else None,
        known_by,
    )
    return form, fits


def _published(sizes: ClipConfig) -> list[tuple[list[str], str, ClipForm]]:
    """Return names, part of a hash, and form of all published weights of an architecture."""
    made = []
    for model, tag in _pretrained():
        forms = [form for form, fits in _architecture(model, sizes) if fits]
        if forms:
            weights = open_clip.get_pretrained_cfg(model, tag) or {}
            activation: Activation = "quickgelu" if weights.get("quick_gelu") else "gelu"
            form = replace(forms[0], activation=activation, known_by=f"open_clip's list of weights ({model}, {tag})")
            made.append((_names(model, tag, weights), _digest(str(weights.get("url", ""))), form))
    return made


@cache
def _pretrained() -> tuple[tuple[str, str], ...]:
    return tuple(open_clip.list_pretrained())


@cache
def _models() -> frozenset[str]:
    return frozenset(_plain(model) for model in open_clip.list_models())


def _names(model: str, tag: str, weights: dict[str, Any]) -> list[str]:
    """Return possible file names of some weights; the architecture alone is ambiguous."""
    hub = [*str(weights.get("hf_hub", "")).split("/"), ""][1]  # owner/name/file
    address = str(weights.get("url", "")).rsplit("/", 1)[-1].rsplit(".", 1)[0]
    names = {_plain(name) for name in (hub, address, f"{model}{tag}")}
    return [name for name in names if name and name not in _models()]


def _digest(address: str) -> str:
    """Return the part of a SHA-256 in a URL: OpenAI's is a folder, open_clip's ends a file name."""
    found = re.search(r"/([0-9a-f]{64})/", address) or re.search(r"-([0-9a-f]{8})\.\w+$", address)
    return found.group(1) if found else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _agreed(forms: list[ClipForm]) -> ClipForm:
    """Return the form on which all forms agree."""
    if not forms:
        return ClipForm()
    return ClipForm(
        _only({form.activation for form in forms}),
        _only({form.head_width for form in forms}),
        _only({form.text_head_width for form in forms}),
        forms[0].known_by,
    )


def _only(values: set[Any]) -> Any:
    """Return the one value of a set, None aside; None if there are none or several."""
    said = values - {None}
    return said.pop() if len(said) == 1 else None
