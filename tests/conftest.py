"""Checkpoints and bundles that many tests share, made once a run."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.parity import sample_picture
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.runtimes import cache
from tests import tiny
from tests.golden import make_checkpoint

GOLDEN = Path(__file__).parent / "golden"
CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid"

CONCEPTS = """\
# a road scene
car
road
tree | shrub   # synonyms
building
"""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this run, so that it neither finds nor leaves anything in the user's."""
    path = tmp_path_factory.mktemp("cache")
    os.environ[cache.ENVIRONMENT] = str(path)
    return path


def pytest_report_header() -> str:
    names = ("torch", "onnx", "onnxruntime", "openvino", "coremltools", "numpy", "open_clip_torch")
    engines = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{platform.machine()}, {platform.system()}; {engines}"


def camvid_frame(name: str) -> Path:
    path = CAMVID / "val" / "images" / name
    if not path.exists():
        pytest.skip(f"the CamVid frames are not beside the checkout ({path.name} is missing)")
    return path


@pytest.fixture(scope="session")
def concepts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("concepts") / "concepts.txt"
    path.write_text(CONCEPTS, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.model(tiny.config()), tmp_path_factory.mktemp("tiny") / "tiny.pth")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path, concepts_file: Path) -> Path:
    output = tiny_checkpoint.parent / "tiny.cgsam"
    return export_bundle(ExportOptions(tiny_checkpoint, concepts_file, output))


@pytest.fixture(scope="session")
def all_bundles(tiny_checkpoint: Path, concepts_file: Path) -> dict[str, Path]:
    """The tiny model for all engines, by precision."""
    return _by_precision(tiny_checkpoint, concepts_file, "onnxruntime", "openvino", "coreml")


@pytest.fixture(scope="session")
def tiny_coreml_bundle(tiny_checkpoint: Path, concepts_file: Path) -> Path:
    output = tiny_checkpoint.parent / "tiny-coreml.cgsam"
    return export_bundle(ExportOptions(tiny_checkpoint, concepts_file, output, targets=("coreml",)))


@pytest.fixture(scope="session")
def tiny_segmenter(tiny_bundle: Path) -> Segmenter:
    return Segmenter(tiny_bundle)


def _golden_checkpoint(config: str, folder: Path) -> Path:
    import torch

    path = folder / f"{config}.pth"
    torch.save(make_checkpoint.make(config), path)
    return path


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _golden_checkpoint("small", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_model(small_checkpoint: Path) -> ReferenceModel:
    return load_reference(small_checkpoint)


def _by_precision(checkpoint: Path, concepts: Path, *targets: str) -> dict[str, Path]:
    """One bundle a precision, beside the checkpoint."""
    made = {}
    for precision in ("fp32", "fp16"):
        output = checkpoint.parent / f"{'-'.join(targets)}-{precision}.cgsam"
        made[precision] = export_bundle(ExportOptions(checkpoint, concepts, output, targets, precision))
    return made


@pytest.fixture(scope="session")
def small_bundles(small_checkpoint: Path, concepts_file: Path) -> dict[str, Path]:
    return _by_precision(small_checkpoint, concepts_file, "onnxruntime", "openvino")


@pytest.fixture(scope="session")
def small_coreml_bundles(small_checkpoint: Path, concepts_file: Path) -> dict[str, Path]:
    return _by_precision(small_checkpoint, concepts_file, "coreml")


@pytest.fixture(scope="session")
def vit_b_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _golden_checkpoint("vit_b", tmp_path_factory.mktemp("vit_b"))


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    return sample_picture(96)


@pytest.fixture(scope="session")
def picture_file(picture: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "scene.png"
    picture.save(path)
    return path


def relative_error(got: object, expected: object) -> float:
    """Largest difference in standard deviations of what was expected."""
    a, b = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert a.size == b.size, (a.shape, b.shape)
    return float(np.abs(a.reshape(b.shape) - b).max() / b.std())


def executable(name: str) -> str:
    """Return the path of a console script beside the running interpreter."""
    return str(Path(sys.executable).with_name(name))
