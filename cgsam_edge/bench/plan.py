"""What to measure: which configurations this machine and the bundle offer, on which picture and concepts."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge._version import __version__
from cgsam_edge.bench.measurement import Configuration, Subject
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.examples import EXAMPLES_FILE, Examples
from cgsam_edge.image import load_image
from cgsam_edge.runtimes import registry, trial
from cgsam_edge.runtimes.devices import AUTO, allowed, refusal
from cgsam_edge.runtimes.protocol import checked_threads

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend

_PRECISIONS = ("default", "reduced")


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        backend: only this engine; "auto" means all.
        device: only this device, by name or kind; "auto" means all that the engine sees.
        threads: CPU threads; None leaves the number to the engines.
        runs: number of runs of one concept and of the click, for each configuration.
        starts: number of process starts, in addition to the one that finds no compiled graphs.
        minutes: continue with more runs for this many minutes.
        concept: concept for the rows "one concept" and "one click"; None means the bundle's first.
        max_concepts: how many concepts the row "all concepts" includes.
        picture: a file; None means the bundle's example.
        roofline: whether to measure the machine's limits too.
    """

    backend: str = AUTO
    device: str = AUTO
    threads: int | None = None
    runs: int = 30
    starts: int = 3
    minutes: float = 0.0
    concept: str | None = None
    max_concepts: int = 16
    picture: Path | None = None
    roofline: bool = False

    def __post_init__(self) -> None:
        checked_threads(self.threads, "--threads")
        for name, value in {"runs": self.runs, "max-concepts": self.max_concepts}.items():
            if value < 1:
                raise InputError(f"--{name} must be 1 or more, got {value}.")
        if not 0 <= self.minutes < float("inf"):
            raise InputError(f"--minutes must be 0 or more, got {self.minutes}.")


def configurations(bundle: Bundle, options: Options) -> tuple[list[Configuration], list[str]]:
    """Return what can be measured side by side, and notes on what cannot.

    Raises:
        BackendError: the requested engine or device is missing, or there is none at all.
    """
    found: list[Configuration] = []
    notes: list[str] = []
    for backend in registry.fitting(options.backend, bundle.manifest.targets):
        target = registry.target(backend, bundle.manifest.targets)
        assert target is not None  # as it fits
        devices, problem = _devices(backend, options.device)
        found += [Configuration(backend.name, target, d, p) for d in devices for p in _precisions(bundle, target)]
        notes += [problem] if problem else []
    if not found:
        raise BackendError(f"{'; '.join(notes)}.")
    return found, [*notes, *(() if options.backend != AUTO else _absent(bundle))]


def _precisions(bundle: Bundle, target: str) -> tuple[str, ...]:
    """Return the precisions to ask for; float32 too where the default may be less."""
    default, *others = _PRECISIONS
    return (default, *(["float32"] if bundle.manifest.arithmetic.get(target) else []), *others)


def _devices(backend: Backend, wanted: str) -> tuple[list[str], str]:
    """Ask an engine, in a child, for the requested devices; otherwise return why there is none."""
    found = trial.devices(backend)
    names = [device.name for device in allowed(found.devices, wanted)]
    return names, "" if names else found.problem or refusal(backend.name, found.devices, wanted)


def _absent(bundle: Bundle) -> Iterator[str]:
    for backend in registry.backends().values():
        if registry.target(backend, bundle.manifest.targets) and backend.problem():
            yield f"left out: {backend.problem()}"


def picture(bundle: Bundle, options: Options) -> Image.Image:
    """Return the picture to segment, RGB.

    Raises:
        ImageError: the file cannot be used.
        InputError: none was given, and the bundle holds no example.
    """
    if options.picture is not None:
        return load_image(options.picture)
    if EXAMPLES_FILE not in bundle.manifest.files:
        raise InputError(f"{bundle.path}: holds no {EXAMPLES_FILE} with a picture. Give one with --image.")
    bundle.verify([EXAMPLES_FILE])
    return Image.fromarray(Examples.load(bundle.path / EXAMPLES_FILE).picture)


def subject(bundle: Bundle, options: Options, image: Image.Image) -> Subject:
    """Describe what is measured.

    Raises:
        UnknownConceptError: the bundle does not hold the concept.
    """
    names = bundle.vocabulary.names
    first = names[0] if options.concept is None else names[bundle.vocabulary.index(options.concept)]
    concepts = (first, *(name for name in names if name != first))[: options.max_concepts]
    return Subject(
        bundle=bundle.path.resolve().name,
        digest=bundle.digest,
        picture=image.size,
        picture_digest=hashlib.sha256(np.asarray(image).tobytes()).hexdigest(),
        concept=first,
        concepts=concepts,
        threads=options.threads,
        versions=_versions(),
        macs=_macs(bundle),
        weights=_weights(bundle),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "cgsam-edge": __version__}
    for name in ("numpy", "opencv-python", "pillow"):
        with suppress(PackageNotFoundError):  # installed under another name, such as opencv-python-headless
            found[name] = version(name)
    engines = {backend.name: backend.version() for backend in registry.backends().values() if not backend.problem()}
    return found | {name: number for name, number in engines.items() if number}


def _macs(bundle: Bundle) -> dict[str, int]:
    """Return the multiply-adds of those graphs of which the manifest holds them."""
    found = {graph: bundle.manifest.macs(graph) for graph in bundle.manifest.graph_names}
    return {graph: macs for graph, macs in found.items() if macs is not None}


def _weights(bundle: Bundle) -> dict[str, dict[str, int]]:
    files = bundle.manifest.files
    return {
        target: {name: sum(files[file].size for file in bundle.files_of(spec.path)) for name, spec in graphs.items()}
        for target, graphs in bundle.manifest.targets.items()
    }
