"""A bundle on a device against itself on the CPU: where its graphs run, whether masks agree, what they take."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.agreement import deviation, holds, mask_iou
from cgsam_edge.concept_decoder import ConceptDecoder
from cgsam_edge.errors import InputError
from cgsam_edge.lru import ArrayCache
from cgsam_edge.prompts import DecoderPrompt, decoder_prompt, resize
from cgsam_edge.quality.scenes.render import CONCEPTS, Scene, render
from cgsam_edge.runtimes import nodes, telemetry
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.proven import options_for
from cgsam_edge.runtimes.providers import CPU, PROVIDERS
from cgsam_edge.segmenter import CACHE_BYTES, Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

SERIES = 31
CPU_SIDE: dict[str, Any] = {"device": "cpu", "precision": "float32"}
_WARNINGS = 2
"""ONNX Runtime's level of severity; the runtime itself asks for errors alone."""


@dataclass(frozen=True)
class Graph:
    """Where a graph runs.

    Attributes:
        name: of the graph.
        nodes: number of nodes by provider, as the session counts them.
        elsewhere: number of nodes that are not on the device, by kind.
        told: what ONNX Runtime warns of while it opens the graph.
    """

    name: str
    nodes: dict[str, int]
    elsewhere: dict[str, int]
    told: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A concept in a scene, and what the CPU found."""

    picture: NDArray[np.uint8]
    index: int
    prompt: DecoderPrompt
    logits: Float


@dataclass(frozen=True)
class Agreement:
    """How masks agree with the CPU's, at the picture's size.

    Attributes:
        scenes: how many.
        concepts: how many masks, of concepts that a scene holds.
        mean_iou, worst_iou: of masks for the CPU's prompts.
        own_mean_iou, own_worst_iou: of masks for the points that the device draws from its own similarity.
        max_difference: of logits, for the CPU's prompts.
        rms: the largest root mean square of a mask's logits' differences, in standard deviations.
    """

    scenes: int
    concepts: int
    mean_iou: float
    worst_iou: float
    own_mean_iou: float
    own_worst_iou: float
    max_difference: float
    rms: float


@dataclass(frozen=True)
class Times:
    """Medians in milliseconds, from a picture in memory to a mask of its size.

    Attributes:
        one: encoding and one concept.
        further: another concept of the same picture.
        first: encoding and one concept, the first time.
        runs: how many, after the first.
    """

    one: float
    further: float
    first: float
    runs: int


def scenes(count: int) -> list[Scene]:
    """Render the scenes to compare masks on."""
    return [render(SERIES, index) for index in range(count)]


def expected(cpu: Segmenter, pictures: Sequence[Scene], seconds: float) -> list[Pair]:
    """Return what the CPU computes for the concepts that the scenes hold; ends early when time is up.

    Raises:
        InputError: the bundle knows none of them, or fewer than two concepts, which the times need.
    """
    if len(cpu.concepts) < 2:
        raise InputError(f"{cpu.bundle.path}: expected two concepts or more, got {len(cpu.concepts)}.")
    known, start = cpu.bundle.vocabulary.aliases, time.perf_counter()
    found: list[Pair] = []
    for scene in pictures:
        held = [i for i, name in enumerate(CONCEPTS) if name in known and holds(scene.labels == i)]
        decoder = _decoder(cpu, scene.image) if held else None
        for index in (known[CONCEPTS[i]] for i in held):
            if found and time.perf_counter() - start > seconds:
                return found
            assert decoder is not None
            prompt = _prompt(cpu, decoder, index)
            found.append(Pair(scene.image, index, prompt, decoder.mask_logits(index, prompt)[0]))
    if not found:
        raise InputError(f"{cpu.bundle.path}: knows none of {', '.join(CONCEPTS)}.")
    return found


def agreement(segmenter: Segmenter, pairs: Sequence[Pair]) -> Agreement:
    """Compare masks with the CPU's."""
    ious, own, differences, rms = [], [], [], []
    for picture, mine in _by_picture(pairs):
        decoder, (height, width) = _decoder(segmenter, picture), picture.shape[:2]
        for pair in mine:
            logits, _ = decoder.mask_logits(pair.index, pair.prompt)
            wanted = resize(pair.logits, width, height) > 0
            ious.append(mask_iou(wanted, resize(logits, width, height) > 0))
            own.append(mask_iou(wanted, decoder.decode(pair.index).mask))
            differences.append(float(np.abs(logits - pair.logits).max()))
            rms.append(deviation(pair.logits, logits).rms)
    count = len({id(pair.picture) for pair in pairs})
    return Agreement(count, len(pairs), mean(ious), min(ious), mean(own), min(own), max(differences), max(rms))


def _by_picture(pairs: Sequence[Pair]) -> Iterator[tuple[NDArray[np.uint8], list[Pair]]]:
    grouped: dict[int, list[Pair]] = {}
    for pair in pairs:
        grouped.setdefault(id(pair.picture), []).append(pair)
    yield from ((mine[0].picture, mine) for mine in grouped.values())


def _decoder(segmenter: Segmenter, picture: NDArray[np.uint8]) -> ConceptDecoder:
    model = segmenter._model  # noqa: SLF001 — a prompt of the decoder is no argument of the public functions
    prepared = segmenter.prepare(picture)
    return ConceptDecoder(model, prepared.image, model.features(prepared.pixels), ArrayCache(CACHE_BYTES))


def _prompt(segmenter: Segmenter, decoder: ConceptDecoder, index: int) -> DecoderPrompt:
    manifest = segmenter.bundle.manifest
    grid = manifest.geometry.patch_grid
    similarity = np.ascontiguousarray(decoder.screened.scores[:, index]).reshape(grid, grid)
    return decoder_prompt(similarity, decoder.image.size, manifest.geometry, manifest.prompting)


def times(sides: Sequence[Segmenter], picture: NDArray[np.uint8], runs: int, seconds: float) -> list[Times]:
    """Measure segmenters in turns, each with the first two concepts that it knows; ends early when time is up."""
    taken: list[list[tuple[float, float]]] = [[] for _ in sides]
    start = time.perf_counter()
    for run in range(runs + 1):
        if run > 1 and time.perf_counter() - start > seconds:
            break
        for side, mine in zip(sides, taken, strict=True):
            mine.append(_turn(side, picture))
    return [
        Times(median(one for one, _ in warm), median(more for _, more in warm), first[0], len(warm))
        for first, *warm in taken
    ]


def _turn(segmenter: Segmenter, picture: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the milliseconds of one concept, and of a further one."""
    names = segmenter.concepts[:2]
    start = time.perf_counter()
    encoded = segmenter.encode(picture)
    _ = encoded.predict(names[0]).mask
    between = time.perf_counter()
    _ = encoded.predict(names[1]).mask
    return 1000 * (between - start), 1000 * (time.perf_counter() - between)


def graphs(segmenter: Segmenter, precision: str) -> tuple[Graph, ...]:
    """Return where each graph runs, and open each once more, in the same precision, to hear ONNX Runtime's warnings."""
    placed, bundle = segmenter.placement, segmenter.bundle
    options = SessionOptions(device=placed.device, precision=precision)
    found = []
    for one in placed.graphs:
        path = bundle.verified_graph(placed.target, one.graph)
        kinds, told = _heard(str(path), options_for(bundle, placed.target, one.graph, options))
        found.append(Graph(one.graph, one.nodes, kinds, told))
    return tuple(found)


def _heard(path: str, options: SessionOptions) -> tuple[dict[str, int], tuple[str, ...]]:
    engine, provider = telemetry.load("onnxruntime"), next(p for p in PROVIDERS if p.device == options.device)
    if provider.module:
        raise InputError(f"{provider.name} comes as a plugin; only providers within ONNX Runtime are measured.")
    settings = engine.SessionOptions()
    settings.log_severity_level = _WARNINGS
    nodes.record(settings)
    chosen = dict.fromkeys([provider.name, CPU])
    given = [(name, provider.settings(options) if name == provider.name else {}) for name in chosen]
    with standard_error() as lines:
        session = engine.InferenceSession(path, settings, providers=given)
    with suppress(AttributeError):  # releases before 1.24 do not report it
        return dict(nodes.kinds_elsewhere(session, provider.name)), tuple(lines)
    counts = nodes.by_provider(session, Path(path))
    return {"of unknown kind": sum(counts.values()) - counts.get(provider.name, 0)}, tuple(lines)


@contextmanager
def standard_error() -> Iterator[list[str]]:
    """Collect the lines that native code writes to standard error."""
    lines: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += [line.decode(errors="replace").strip() for line in file if line.strip()]
