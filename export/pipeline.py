"""The export, from files to a bundle."""

from __future__ import annotations

import importlib.util
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cgsam_edge._version import __version__
from cgsam_edge.bundle import Bundle, file_spec
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.examples import EXAMPLES_FILE
from cgsam_edge.export import examples, parity
from cgsam_edge.export.checkpoint import read_metadata
from cgsam_edge.export.concepts import ConceptLine, build_vocabulary, carried_presence, check_lengths, read_concepts
from cgsam_edge.export.config import ModelConfig, PromptConfig
from cgsam_edge.export.counting import cost_report
from cgsam_edge.export.graphs.build import DEFAULT_CLICKS, Graphs, build_graphs
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.mil import parity as mil_parity
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.targets import TARGETS, coreml
from cgsam_edge.export.targets.onnxruntime import OPSET
from cgsam_edge.export.tokenizer import write_text_files
from cgsam_edge.manifest import FILE_NAME, VOCABULARY_FILE, Geometry, GraphSpec, Manifest, Prompting
from cgsam_edge.staging import check_destination, staged
from cgsam_edge.vocabulary import Vocabulary

Report = Callable[[str], None]
"""Called with one line of progress."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export, from what, to where.

    Attributes:
        checkpoint: a CLIP-Guided SAM or plain SAM checkpoint.
        concepts: the concepts file.
        output: the bundle; None means ``<stem of the concepts file>.cgsam`` in the working folder.
        targets: names in `TARGETS`.
        precision: "fp32" or "fp16"; None takes each target's default.
        clip: public CLIP weights for a checkpoint without CLIP.
        clip_image_size: side in pixels at which public CLIP weights run.
        prompt: what the checkpoint cannot say.
        click_slots: clicks that fit the decoder.
        prompt_ensemble: put concept names through CLIP's templates.
        text_encoder: add CLIP's text encoder, so that concepts can be added to the bundle later.
        ios: the oldest iOS that Core ML packages must run on: 16, 17 or 18.
    """

    checkpoint: Path
    concepts: Path
    output: Path | None = None
    targets: tuple[str, ...] = ("onnxruntime",)
    precision: str | None = None
    clip: Path | None = None
    clip_image_size: int | None = None
    prompt: PromptConfig = field(default_factory=PromptConfig)
    click_slots: int = DEFAULT_CLICKS
    prompt_ensemble: bool = False
    text_encoder: bool = False
    ios: int = coreml.DEFAULT_IOS

    def __post_init__(self) -> None:
        for target in self.targets:
            self._check_target(target)
        if self.ios not in coreml.IOS_VERSIONS:
            raise InputError(
                f"no iOS version {self.ios!r}; expected one of {', '.join(map(str, coreml.IOS_VERSIONS))}."
            )
        if self.click_slots < self.prompt.points:
            raise InputError(f"{self.prompt.points} text points do not fit {self.click_slots} prompt slots.")

    def _check_target(self, name: str) -> None:
        if name not in TARGETS:
            raise InputError(f"no target {name!r}; expected one of {', '.join(TARGETS)}.")
        target = TARGETS[name]
        if self.precision is not None and self.precision not in target.precisions:
            held = ", ".join(target.precisions)
            raise InputError(f"target {name!r} has no precision {self.precision!r}; expected one of {held}.")
        missing = [module for module in target.needs if not importlib.util.find_spec(module)]
        if missing:
            raise BackendError(f"target {name!r} needs {', '.join(missing)}: pip install 'cgsam-edge[{name}]'.")

    def precision_of(self, target: str) -> str:
        """Return the precision at which a target is written."""
        return self.precision or TARGETS[target].default_precision

    def settings_of(self, target: str) -> dict[str, Any]:
        """Return the options that a target's converter takes."""
        return {name: getattr(self, name) for name in TARGETS[target].settings}

    @property
    def destination(self) -> Path:
        """Where the bundle goes."""
        return self.output or Path(f"{self.concepts.stem}.cgsam")


class Stages:
    """Progress: a numbered line when a stage begins, and its seconds when it ends.

    Args:
        report: takes each line.
        total: how many stages there will be.
    """

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run one stage."""
        self._done += 1
        self._report(f"[{self._done}/{self._total}] {name} …")
        start = time.perf_counter()
        yield
        self._report(f"[{self._done}/{self._total}] {name}: {time.perf_counter() - start:.1f} s")


def export_bundle(options: ExportOptions, report: Report = lambda _: None) -> Path:
    """Export a bundle and return its path.

    The bundle appears complete or not at all; one that was there before stays until then.

    Args:
        options: what to export.
        report: takes lines of progress.

    Raises:
        CheckpointError: the checkpoint or CLIP weights cannot be used.
        ConceptsError: the concepts file cannot be used.
        OutputError: the bundle cannot be written.
        ExportError: the conversion failed or disagrees with the reference.
    """
    stage = Stages(report, total=6 + (6 if options.text_encoder else 4) * len(options.targets))
    destination = options.destination
    check_destination(destination)
    concepts = read_concepts(options.concepts)
    with stage(f"read {options.checkpoint.name}"):
        model = load_reference(
            options.checkpoint, clip=options.clip, clip_image_size=options.clip_image_size, prompt=options.prompt
        )
    length = model.config.clip.context_length
    check_lengths(options.concepts, concepts, length, prompt_ensemble=options.prompt_ensemble)
    report(describe(model.config))
    with stage(f"text features of {_count(concepts)}"):
        presence = carried_presence(options.checkpoint, read_metadata(options.checkpoint), concepts)
        ensemble = options.prompt_ensemble
        vocabulary = build_vocabulary(model, concepts, prompt_ensemble=ensemble, presence=presence)
    with stage("fuse the adapters"):
        graphs = build_graphs(model, options.click_slots, text=options.text_encoder)
    with stage("count"):
        cost = cost_report(model.config)
    report(_saved(cost))
    with staged(destination) as folder:
        vocabulary.save(folder / VOCABULARY_FILE)
        if options.text_encoder:
            write_text_files(model, folder, prompt_ensemble=options.prompt_ensemble)
        targets = {name: _convert(graphs, name, folder, options, stage) for name in options.targets}
        manifest = _manifest(model.config, options, vocabulary, targets, cost)
        with stage("record examples in PyTorch"):
            recorded = examples.record(graphs, vocabulary, manifest.geometry, manifest.prompting)
            recorded.save(folder / EXAMPLES_FILE)
        _write_manifest(manifest, folder)
        measured: dict[str, Any] = {}
        for name in options.targets:
            with stage(f"{_parity_name(name)} of {name} with PyTorch"):
                measured[name] = _check_parity(name, model, graphs, folder, options, report)
            report(_agreement(name, measured[name]))
        with stage(f"write {destination}"):
            _write_manifest(replace(manifest, parity=measured), folder)
    report(f"wrote {destination}: {Bundle(destination).size / 1e6:.1f} MB, {_count(concepts)}")
    return destination


def _count(concepts: list[ConceptLine]) -> str:
    return "1 concept" if len(concepts) == 1 else f"{len(concepts)} concepts"


def describe(config: ModelConfig) -> str:
    """Return a line about a model's sizes."""
    sam, clip = config.sam, config.clip
    semantic = sam.semantic_blocks
    which = f"{len(semantic)} of {len(sam.blocks)} blocks semantic" if semantic else "no semantic block"
    if semantic and len(semantic) < len(sam.blocks):
        which += f" ({', '.join(map(str, semantic))})"
    return (
        f"SAM of width {sam.width}, {len(sam.blocks)} blocks, {sam.image_size} pixels; {which}; "
        f"CLIP of width {clip.width}, patch {clip.patch_size}, {clip.image_size} pixels"
    )


def _saved(cost: dict[str, Any]) -> str:
    before, after = cost["reference"], cost["fused"]
    parts = [
        f"{name} {before[key] / unit:.{digits}f} → {after[key] / unit:.{digits}f}{suffix}"
        for name, key, unit, suffix, digits in (
            ("parameters", "parameters", 1e6, " M", 1),
            ("multiply-adds", "macs", 1e9, " G", 1),
            ("kernels", "kernels", 1, "", 0),
        )
    ]
    return "fusion: " + ", ".join(parts)


def _parity_name(target: str) -> str:
    return mil_parity.NAME if target == coreml.TARGET else "parity"


def _check_parity(
    target: str, model: ReferenceModel, graphs: Graphs, folder: Path, options: ExportOptions, report: Report
) -> Any:
    precision = options.precision_of(target)
    if target == coreml.TARGET:
        return mil_parity.check(model, graphs, folder, precision, options.ios, report)
    return parity.check(model, folder, target, precision)


def _agreement(name: str, found: Any) -> str:
    masks = found["tiers"]["masks"] if isinstance(found, dict) else found
    worst = max(masks, key=lambda f: f["rms_error"])
    kind = f" ({mil_parity.NAME})" if isinstance(found, dict) else ""
    return (
        f"{name}{kind}: logits within {worst['max_error']:.1e} of their standard deviation, "
        f"{100 * worst['flipped']:.3f} % of pixels flipped, mask IoU {worst['mask_iou']:.4f}"
    )


def _convert(graphs: Graphs, target: str, folder: Path, options: ExportOptions, stage: Stages) -> dict[str, GraphSpec]:
    specs = {}
    precision, settings = options.precision_of(target), options.settings_of(target)
    for graph in graphs:
        with stage(f"convert {graph.name} for {target}"):
            specs[graph.name] = TARGETS[target].convert(graph, folder, precision, **settings)
    return specs


def _manifest(
    config: ModelConfig,
    options: ExportOptions,
    vocabulary: Vocabulary,
    targets: dict[str, dict[str, GraphSpec]],
    cost: dict[str, Any],
) -> Manifest:
    sam, clip, prompt = config.sam, config.clip, config.prompt
    return Manifest(
        geometry=Geometry(sam.image_size, sam.mask_size, clip.grid, clip.embed_dim),
        prompting=Prompting(
            prompt.threshold,
            prompt.points,
            prompt.dense_value,
            options.click_slots,
            prompt.trained_for or (),
            prompt.similarity_norm,
        ),
        concepts=vocabulary.concepts,
        files={},
        targets=targets,
        created=_created(config, options),
        cost=cost,
    )


def _created(config: ModelConfig, options: ExportOptions) -> dict[str, Any]:
    return {
        "by": f"cgsam-edge {__version__}",
        "python": platform.python_version(),
        "versions": {
            name: _version(name)
            for name in ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "coremltools", "open_clip_torch")
        },
        "checkpoint": {"name": options.checkpoint.name, "sha256": file_spec(options.checkpoint).sha256},
        "model": describe(config),
        "prompt_ensemble": options.prompt_ensemble,
        "onnx_opset": OPSET,
        "ios": options.ios,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json`` with size and hash of every other file."""
    files = {
        path.relative_to(folder).as_posix(): file_spec(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILE_NAME
    }
    (folder / FILE_NAME).write_text(replace(manifest, files=files).to_json(), encoding="utf-8")
