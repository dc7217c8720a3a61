"""Artefacts that are made once and kept: bundles by the project's own export, plain ONNX, and their INT8."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.models import ROOT
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bundle import Bundle, file_spec
from cgsam_edge.errors import BackendError, OutputError
from cgsam_edge.export.manifests import package_version
from cgsam_edge.quality import photos

PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "nncf", "numpy", "opencv-python", "pillow")

_FORMAT = ("cgsam_edge/manifest.py", "cgsam_edge/vocabulary.py")

_PICTURES = 3
"""Number of rendered scenes that ``nncf.quantize`` calibrates on, as in a first try."""


@dataclass(frozen=True)
class Source:
    """Sources of all artefacts.

    Attributes:
        checkpoint: of the model.
        concepts: file.
        folder: where artefacts are kept.
        calibration: pictures for the project's INT8.
        gate: pictures of the gate, on which an export also proves what devices may compute in; 0 for neither.
        seeded: whether the weights are pseudo-random, so that masks are noise: any mask IoU passes the gate.
    """

    checkpoint: Path
    concepts: Path
    folder: Path
    calibration: int
    gate: int = 0
    seeded: bool = False


def tell(line: str) -> None:
    """Write a line of progress."""
    print(line, file=sys.stderr, flush=True)


def _bundle(source: Source, made: Path) -> None:
    _export(source, made, "fp32")


def _int8(source: Source, made: Path) -> None:
    _export(source, made, "int8")


def _export(source: Source, made: Path, precision: str) -> None:
    from cgsam_edge.export.options import ExportOptions
    from cgsam_edge.export.pipeline import export_bundle
    from cgsam_edge.export.quality_options import QualityOptions

    options = ExportOptions(
        source.checkpoint, source.concepts, made / "a.cgsam", ("onnxruntime", "openvino"), precision
    )
    quality = QualityOptions(
        calibration_count=source.calibration or QualityOptions.calibration_count,
        gate_count=source.gate,
        min_iou=0 if source.seeded else None,
        allow_degraded=True,  # for its times; a bundle that is degraded has no proof
        fallback_minutes=0,
        arithmetic=("bfloat16",),  # the only one that CPUs have
    )
    export_bundle(options, quality, progress=tell)


def _plain(source: Source, made: Path) -> None:
    from benchmarks import plain

    plain.export(source.checkpoint, made)


def _plain_dynamic(source: Source, made: Path) -> None:
    from benchmarks import plain

    whole = artefact(source, "plain")
    plain.quantise_dynamic(whole, made)
    _link_decoder(whole, made)


def _plain_optimised(source: Source, made: Path) -> None:
    from benchmarks import plain
    from cgsam_edge.export.loading import load_reference

    whole, config = artefact(source, "plain"), load_reference(source.checkpoint).config
    sizes = {"clip": (config.clip.heads[0], config.clip.width), "encoder": (config.sam.heads, config.sam.width)}
    plain.optimise(whole, made, sizes)
    _link_decoder(whole, made)


def _plain_nncf(source: Source, made: Path) -> None:
    from benchmarks import plain

    whole, text = artefact(source, "plain"), Bundle(artefact(source, "bundle")).vocabulary.features
    with tempfile.TemporaryDirectory() as work:
        side = Bundle(artefact(source, "bundle")).manifest.geometry.image_size
        pictures = photos.rendered(Path(work), photos.RENDERED_SERIES, _PICTURES, side)
        plain.quantise_nncf(whole, made, source.checkpoint, list(pictures.paths), text)
    _link_decoder(whole, made)


def _link_decoder(whole: Path, made: Path) -> None:
    for path in whole.glob("decoder.onnx*"):  # with the file of its weights
        os.link(path, made / path.name)


ARTEFACTS: dict[str, Callable[[Source, Path], None]] = {
    "bundle": _bundle,
    "int8": _int8,
    "plain": _plain,
    "plain-dynamic": _plain_dynamic,
    "plain-optimised": _plain_optimised,
    "plain-nncf": _plain_nncf,
}


def artefact(source: Source, name: str) -> Path:
    """Return an artefact's folder; a missing one is made in a separate process.

    It is made again when the checkpoint, the concepts, the code that writes it or a library has changed.

    Raises:
        BackendError: it could not be made; the message says why.
        OutputError: the folder cannot be written.
    """
    path = source.folder / f"{name}-{key(source, name)}"
    if not path.exists():
        tell(f"making {path.name}")
        _make(source, name, path)
    return path / "a.cgsam" if (path / "a.cgsam").exists() else path


def _make(source: Source, name: str, path: Path) -> None:
    make_folder(source.folder)
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=source.folder))
    except OSError as error:
        raise OutputError(f"{source.folder}: could not be written ({error.strerror}).") from error
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # which gives its memory back
            pool.submit(ARTEFACTS[name], source, beside).result()
        for old in source.folder.glob(f"{name}-{'?' * _LETTERS}"):
            shutil.rmtree(old)
        beside.rename(path)
    except Exception as error:  # exporters and quantisers raise many kinds
        raise BackendError(f"could not be made: {type(error).__name__}: {str(error).strip()[:300]}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


_LETTERS = 12


def key(source: Source, name: str) -> str:
    """Return what identifies an artefact: checkpoint, code and libraries."""
    rooms = ("export/reference",) if name.startswith("plain") else ("export", "calibration", *_FORMAT)
    made = hashlib.sha256(f"{name} {source.calibration} {source.gate} {source.seeded}".encode())
    for path in (source.checkpoint, source.concepts):
        made.update(file_spec(path).sha256.encode())
    made.update(code(*rooms, "benchmarks/plain.py", "benchmarks/prepare.py").encode())
    made.update(repr(versions()).encode())
    return made.hexdigest()[:_LETTERS]


def code(*places: str) -> str:
    """Return the SHA-256 of source files, and of all below folders, by their place in the repository."""
    made = hashlib.sha256()
    for place in places:
        root = ROOT / place
        for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
            made.update(path.read_bytes())
    return made.hexdigest()


def identity(*parts: object, ours: bool) -> str:
    """Return a hash of what a turn's numbers depend on: these parts, the machine, and the code that runs.

    Args:
        parts: further values.
        ours: whether this project's runtime runs.
    """
    rooms = ("cgsam_edge", "runtimes") if ours else ()
    machine, running = Sensors().machine(), code(*(f"benchmarks/{name}.py" for name in _RUN), *rooms)
    whole = (parts, machine.processor, machine.cores, machine.host, running)
    return hashlib.sha256(repr(whole).encode()).hexdigest()


_RUN = ("child", "runners", "unfused")


def make_folder(path: Path) -> None:
    """Make a folder, and those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: could not be made ({error.strerror}).") from error


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    return {name: package_version(name) for name in PACKAGES}
