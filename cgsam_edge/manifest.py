"""``manifest.json``: what a bundle holds and how to use it. ``docs/bundle.md`` specifies the format."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import Any

from cgsam_edge._schema import decode, encode
from cgsam_edge.arithmetic import ArithmeticProof
from cgsam_edge.errors import BundleError

FORMAT = "cgsam-bundle"
FORMAT_VERSION = 2
FILE_NAME = "manifest.json"
CARD_FILE, CARD_PICTURES = "README.md", "card"
"""A model card and the folder of its pictures: a bundle may contain them, but its manifest does not list them."""

VOCABULARY_FILE = "vocabulary.npz"
_LARGEST_SIDE = 2**14
_MOST_VALUES = 2**31
"""Largest side of a tensor: a larger one means that the manifest is damaged, or made to exhaust memory."""

GRAPH_NAMES = ("clip", "image", "concept", "decoder")
"""In the order in which they run. In format 1, "clip" is part of "image"."""

IMAGE_GRAPHS = ("clip", "image")
"""Those that run once an image; the features of an image are the outputs of both."""

TEXT_GRAPHS = ("text", "text_row")
"""Only in bundles that support adding concepts; the second only if the model has blocks that take text."""
TOKENIZER_FILE = "text/tokenizer.json"
TEXT_FILE = "text/constants.npz"


@dataclass(frozen=True)
class TensorSpec:
    """A named input or output of a graph, float32."""

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not all(side > 0 for side in self.shape) or math.prod(self.shape) > _MOST_VALUES:
            raise BundleError(f"manifest: the tensor {self.name!r} cannot have shape {self.shape}.")


@dataclass(frozen=True)
class GraphSpec:
    """A graph of one target.

    Attributes:
        path: its file or folder, relative to the bundle, with forward slashes.
        precision: "fp32", "fp16", "int8", or on Core ML "int6" or "int4"; for a quantised graph,
            that of its linear layers.
        inputs: in the graph's order.
        outputs: in the graph's order.
    """

    path: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class FileSpec:
    """Size in bytes and SHA-256, in lower-case hex, of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Geometry:
    """Sizes needed for pre- and post-processing.

    Attributes:
        image_size: side in pixels that an image is squashed to.
        mask_size: side in pixels of the logits and of the dense prompt.
        patch_grid: CLIP's patches along one side.
        embed_dim: length of a text feature.
    """

    image_size: int
    mask_size: int
    patch_grid: int
    embed_dim: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value <= _LARGEST_SIDE:
                raise BundleError(f"manifest: geometry.{name} must be from 1 to {_LARGEST_SIDE}, got {value}.")


@dataclass(frozen=True)
class Prompting:
    """How prompts are made from similarity, and the kinds of prompts used in training.

    Attributes:
        threshold: threshold of the similarity map, for points and the dense prompt.
        points: number of points in text-only mode.
        dense_value: value of a set pixel of the dense prompt.
        click_slots: largest number of clicks; the decoder has three slots more.
        trained_for: "text", "clicks" or both.
        similarity_norm: "tokens" or "channels"; informative, because the graph applies it.
    """

    threshold: float
    points: int
    dense_value: float
    click_slots: int
    trained_for: tuple[str, ...]
    similarity_norm: str

    def __post_init__(self) -> None:
        if not (0 < self.threshold < 1 and 1 <= self.points <= self.click_slots):
            raise BundleError(
                f"manifest: prompting needs 0 < threshold < 1 and 1 <= points <= click_slots, got {self}."
            )


@dataclass(frozen=True)
class ConceptSpec:
    """A concept's name and its other names."""

    name: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The whole of ``manifest.json``.

    Attributes:
        geometry: sizes.
        prompting: prompts.
        concepts: in the order of the vocabulary's rows.
        files: every file of the bundle except the manifest, by relative path.
        targets: graphs by target and name.
        created: versions and source of the export; informative.
        cost: parameters, multiply-adds and kernels, before and after fusion; informative.
        quality: the gate's findings, see ``report.json``; ``degraded`` is true if it failed; informative.
        parity: agreement with the PyTorch reference as measured by the export, by target; informative.
        arithmetic: what less than float32 was proven good enough, by target and kind; empty where nothing was tried.
    """

    geometry: Geometry
    prompting: Prompting
    concepts: tuple[ConceptSpec, ...]
    files: dict[str, FileSpec]
    targets: dict[str, dict[str, GraphSpec]]
    created: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    arithmetic: dict[str, dict[str, ArithmeticProof]] = field(default_factory=dict)
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    @property
    def graph_names(self) -> tuple[str, ...]:
        """The graphs that each target must have, in the order in which they run."""
        return GRAPH_NAMES if self.format_version > 1 else GRAPH_NAMES[1:]

    def with_targets(self, targets: dict[str, dict[str, GraphSpec]]) -> Manifest:
        """Return a manifest of other graphs, without what this one says of targets that are not among them."""
        quality = dict(self.quality)
        if isinstance(quality.get("gate"), dict):
            quality["gate"] = {name: found for name, found in quality["gate"].items() if name in targets}
        return replace(
            self,
            targets=targets,
            parity={name: found for name, found in self.parity.items() if name in targets},
            arithmetic={name: proofs for name, proofs in self.arithmetic.items() if name in targets},
            quality=quality,
        )

    def macs(self, graph: str) -> int | None:
        """Return a graph's multiply-adds; None if `cost`, which is informative, lacks them."""
        cost = self.cost.get(graph)
        macs = cost.get("macs") if isinstance(cost, dict) else None
        return macs if isinstance(macs, int) and macs > 0 else None

    def to_json(self) -> str:
        """Return the text of ``manifest.json``."""
        return json.dumps(encode(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """Parse ``manifest.json``.

        Args:
            text: its content.
            where: the file, for messages.

        Raises:
            BundleError: it is not a manifest, is from a newer format version, or a value is missing or wrong.
        """
        try:
            value = json.loads(text, object_pairs_hook=_without_twins)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{where}: not JSON ({error}).") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise BundleError(f"{where}: not the manifest of a {FORMAT}.")
        version = value.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise BundleError(f"{where}: format_version must be a number from 1, got {version!r:.60}.")
        if version > FORMAT_VERSION:
            raise BundleError(
                f"{where}: format version {version} is newer than {FORMAT_VERSION}, the newest that this version of "
                "cgsam-edge reads. Upgrade cgsam-edge."
            )
        try:
            return decode(cls, value, where)
        except BundleError as error:  # a dataclass that checks itself does not know the file
            text = str(error)
            raise BundleError(text if where in text else f"{where}: {text.removeprefix('manifest: ')}") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object with a repeated key: readers differ in which value they use."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is repeated")
    return made
