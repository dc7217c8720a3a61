"""How a run uses the machine, and the checkpoints and bundles that many tests share, made once a run."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.runtimes import cache, children, telemetry
from tests import shelf as shelves
from tests.shelf import Shelf

if TYPE_CHECKING:
    from cgsam_edge.export.reference import ReferenceModel

GOLDEN = Path(__file__).parent / "golden"
CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid"

MEMORY, FULL_SIZE = 4e9, 8e9
"""Bytes that a process of the run needs, and the one that has the full-size tests."""

LONGEST = ("test_golden.py", "test_gate.py", "test_offline.py", "test_commands.py", "test_coreml.py", "test_vocab.py")
"""Files that take longest, the longest first."""

CONCEPTS = """\
# a road scene
car
road
tree | shrub   # synonyms
building
"""

telemetry.silence()  # before a test imports an engine

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a shell; children would be deaf as well
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a core to itself
    for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_name, "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process a core, as far as memory goes; none beside this one where a single file is asked for."""
    asked = {argument.partition("::")[0] for argument in config.args}
    files = len(asked) if all(name.endswith(".py") for name in asked) else sys.maxsize
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    full_size = "not slow" not in config.option.markexpr
    return processes(files, cores, _free_memory(), full_size=full_size)


def _free_memory() -> float:
    """Return the bytes that this run may take: the machine's free memory, or a container's limit."""
    free = float(psutil.virtual_memory().available)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max"
            free = min(free, float(Path("/sys/fs/cgroup", name).read_text()))
    return free


def processes(files: int, cores: int, available: float, *, full_size: bool) -> int:
    """Return how many processes share a run; 0 means none beside pytest's own."""
    count = min(files, cores, int((available - (FULL_SIZE - MEMORY if full_size else 0)) // MEMORY))
    return count if count > 1 else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one at the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))  # stable: else in the order collected


def pytest_report_header() -> str:
    names = ("torch", "onnx", "onnxruntime", "openvino", "coremltools", "numpy", "open_clip_torch")
    there = [found for found in map(_installed, names) if found]
    return f"{platform.machine()}, {platform.system()}; {', '.join(there)}"


def _installed(name: str) -> str:
    """Return a package with its version; empty if it is not there, as in the environment of `make test-serve-tools`."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this process, so that it neither finds nor leaves anything in the user's.

    Engines are opened without a trial in a child, which each of the many bundles would need; `trials` turns them on.
    """
    path = tmp_path_factory.mktemp("cache")
    os.environ[cache.ENVIRONMENT] = str(path)
    os.environ[children.NO_TRIAL] = "never"
    return path


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return shelves.of_the_run(tmp_path_factory)


@pytest.fixture(scope="session")
def conversions(shelf: Shelf) -> Iterator[None]:
    """A graph that was converted in this run is not converted again."""
    from tests.conversions import replaced

    with replaced(shelf):
        yield


@pytest.fixture
def anew(conversions: None) -> Iterator[None]:
    """For a test of the conversion itself: converters do all their work again."""
    from tests.conversions import plain

    with plain():
        yield


@dataclass(frozen=True)
class Exported:
    """A bundle and the lines of progress that its export gave."""

    path: Path
    lines: tuple[str, ...]


@pytest.fixture(scope="session")
def exported(shelf: Shelf, conversions: None) -> Any:
    """Export once a run: a name for the shelf, and what `ExportOptions` takes."""
    from cgsam_edge.export.options import ExportOptions
    from cgsam_edge.export.pipeline import export_bundle

    def export(name: str, checkpoint: Path, concepts: Path, **options: Any) -> Exported:
        def make(folder: Path) -> None:
            folder.mkdir()
            lines: list[str] = []
            export_bundle(
                ExportOptions(checkpoint, concepts, folder / f"{name}.cgsam", **options), progress=lines.append
            )
            (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")

        folder = shelf.get(f"exports/{name}", make)
        lines = (folder / "lines.txt").read_text(encoding="utf-8").splitlines()
        return Exported(folder / f"{name}.cgsam", tuple(lines))

    return export


def slow(*values: object) -> Any:
    """Return the values of a parametrised test that only the whole suite runs, beside others that run every day."""
    return pytest.param(*values, marks=pytest.mark.slow)


def camvid_frame(name: str) -> Path:
    path = CAMVID / "val" / "images" / name
    if not path.exists():
        pytest.skip(f"the CamVid frames are not beside the checkout ({path.name} is missing)")
    return path


@pytest.fixture(scope="session")
def concepts_file(shelf: Shelf) -> Path:
    return shelf.get("concepts.txt", lambda path: path.write_text(CONCEPTS, encoding="utf-8"))


@pytest.fixture(scope="session")
def tiny_checkpoint(shelf: Shelf) -> Path:
    from tests import tiny

    return shelf.get("tiny.pth", lambda path: tiny.save(tiny.model(tiny.config()), path))


@pytest.fixture(scope="session")
def tiny_export(exported: Any, tiny_checkpoint: Path, concepts_file: Path) -> Exported:
    made: Exported = exported("tiny", tiny_checkpoint, concepts_file)
    return made


@pytest.fixture(scope="session")
def tiny_bundle(tiny_export: Exported) -> Path:
    return tiny_export.path


@pytest.fixture(scope="session")
def text_bundle(exported: Any, tiny_checkpoint: Path, shelf: Shelf) -> Path:
    """The tiny model with its text encoder, so that it can learn new concepts."""
    concepts = shelf.get("two.txt", lambda path: path.write_text("car\nroad\n", encoding="utf-8"))
    made: Exported = exported("text", tiny_checkpoint, concepts, text_encoder=True)
    return made.path


class ByPrecision(dict[str, Path]):
    """One bundle a precision, each exported when it is first asked for."""

    def __init__(self, exported: Any, checkpoint: Path, concepts: Path, *targets: str) -> None:
        super().__init__()
        self._exported, self._checkpoint, self._concepts, self._targets = exported, checkpoint, concepts, targets

    def __missing__(self, precision: str) -> Path:
        name = "-".join((self._checkpoint.stem, *self._targets, precision))
        made = self._exported(name, self._checkpoint, self._concepts, targets=self._targets, precision=precision)
        self[precision] = made.path
        return self[precision]


@pytest.fixture(scope="session")
def all_bundles(exported: Any, tiny_checkpoint: Path, concepts_file: Path) -> dict[str, Path]:
    """The tiny model for all engines, by precision."""
    return ByPrecision(exported, tiny_checkpoint, concepts_file, "onnxruntime", "openvino", "coreml")


@pytest.fixture(scope="session")
def tiny_coreml_bundle(exported: Any, tiny_checkpoint: Path, concepts_file: Path) -> Path:
    made: Exported = exported("tiny-coreml", tiny_checkpoint, concepts_file, targets=("coreml",))
    return made.path


@pytest.fixture(scope="session")
def tiny_segmenter(tiny_bundle: Path) -> Segmenter:
    return Segmenter(tiny_bundle)


def _golden_checkpoint(config: str, shelf: Shelf) -> Path:
    import torch

    from tests.golden import make_checkpoint

    return shelf.get(f"{config}.pth", lambda path: torch.save(make_checkpoint.make(config), path))


@pytest.fixture(scope="session")
def small_checkpoint(shelf: Shelf) -> Path:
    return _golden_checkpoint("small", shelf)


@pytest.fixture(scope="session")
def small_model(small_checkpoint: Path) -> ReferenceModel:
    from cgsam_edge.export.loading import load_reference

    return load_reference(small_checkpoint)


@pytest.fixture(scope="session")
def small_bundles(exported: Any, small_checkpoint: Path, concepts_file: Path) -> dict[str, Path]:
    return ByPrecision(exported, small_checkpoint, concepts_file, "onnxruntime", "openvino")


@pytest.fixture(scope="session")
def small_coreml_bundles(exported: Any, small_checkpoint: Path, concepts_file: Path) -> dict[str, Path]:
    return ByPrecision(exported, small_checkpoint, concepts_file, "coreml")


@pytest.fixture(scope="session")
def vit_b_checkpoint(shelf: Shelf) -> Path:
    return _golden_checkpoint("vit_b", shelf)


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    from cgsam_edge.export.parity import sample_picture

    return sample_picture(96)


@pytest.fixture(scope="session")
def picture_file(picture: Image.Image, shelf: Shelf) -> Path:
    return shelf.get("scene.png", picture.save)


def relative_error(got: object, expected: object) -> float:
    """Largest difference in standard deviations of what was expected."""
    a, b = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert a.size == b.size, (a.shape, b.shape)
    return float(np.abs(a.reshape(b.shape) - b).max() / b.std())


def executable(name: str) -> str:
    """Return the path of a console script beside the running interpreter."""
    return str(Path(sys.executable).with_name(name))
