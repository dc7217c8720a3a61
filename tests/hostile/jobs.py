"""The commands that the kill campaign interrupts, each over an output that exists."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cgsam_edge.bundle import Bundle
from cgsam_edge.export.parity import sample_picture
from tests import tiny

Snapshot = dict[str, str]
"""SHA-256 of every file under a folder, by its path there."""


@dataclass(frozen=True)
class Job:
    """A command, its output, and how to tell a whole output from half of one.

    Attributes:
        name: for the table.
        arguments: of the interpreter, with OUTPUT for the folder that holds the output.
        before: a folder with the output as it was before.
        whole: raises where the output is neither the old one nor a whole new one.
    """

    name: str
    arguments: tuple[str, ...]
    before: Path
    whole: Callable[[Path, Path], None]

    def command(self, output: Path) -> list[str]:
        """Return the command for an output folder."""
        return [sys.executable, *(argument.replace("OUTPUT", str(output)) for argument in self.arguments)]


def snapshot(folder: Path) -> Snapshot:
    """Return what a folder holds, hidden files too."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def litter(folder: Path) -> list[str]:
    """Return what a killed process left in a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(".*"))


def whole_bundle(output: Path, before: Path) -> None:
    """Refuse a bundle of which a file is missing, half-written or of another version than its manifest."""
    assert snapshot(before / "b.cgsam"), "the pristine bundle is gone"
    Bundle(output / "b.cgsam").verify()


def whole_files(output: Path, before: Path) -> None:
    """Refuse a file that is missing, or can be neither parsed nor decoded."""
    for path in before.iterdir():
        assert (output / path.name).is_file(), f"{path.name} is gone"
    for path in output.glob("[!.]*"):
        if path.suffix == ".json":
            assert json.loads(path.read_text(encoding="utf-8"))
        else:
            Image.open(path).load()


_CGSAM = "import sys; from cgsam_edge.cli import main; raise SystemExit(main(sys.argv[1:]))"
_EXPORT = """
import sys
from pathlib import Path
from cgsam_edge.cli import export_main
from tests.conversions import replaced
from tests.shelf import Shelf
with replaced(Shelf(Path(sys.argv[1]))):
    raise SystemExit(export_main(sys.argv[2:]))
"""
"""An export that converts the same graph once and not a hundred times; all else is done each time."""


def prepare(root: Path) -> list[Job]:
    """Make a tiny checkpoint, its bundle, photos and labels, and return the jobs."""
    checkpoint = tiny.save(tiny.model(tiny.config()), root / "tiny.pth")
    (root / "concepts.txt").write_text("car\nroad\n")
    photos = _photos(root)
    common = ("--checkpoint", str(checkpoint), "--concepts", str(root / "concepts.txt"), "--gate-count", "0")
    export: tuple[str, ...] = ("-c", _EXPORT, str(root / "shelf"), *common, "--output", "OUTPUT/b.cgsam")
    bundles = root / "before-bundle"
    bundles.mkdir()
    subprocess.run(
        [sys.executable, *(a.replace("OUTPUT", str(bundles)) for a in (*export, "--text-encoder"))], check=True
    )
    images = root / "before-images"
    segment: tuple[str, ...] = ("-c", _CGSAM, "segment", str(photos / "images"), "--bundle", str(bundles / "b.cgsam"))
    segment = (*segment, "--backend", "onnxruntime", "--output", "OUTPUT")
    concept = ("--concepts", "car")
    subprocess.run([sys.executable, *(a.replace("OUTPUT", str(images)) for a in (*segment, *concept))], check=True)
    labelled: tuple[str, ...] = ("--images", str(photos / "images"), "--labels", str(photos / "labels"))
    labelled = (*labelled, "--classes", str(photos / "classes.txt"), "--backend", "onnxruntime")
    vocab = ("-c", _CGSAM, "vocab", "add", "OUTPUT/b.cgsam", "van", "--backend", "onnxruntime")
    return [
        Job("segment", segment, images, whole_files),
        Job("vocab add", vocab, bundles, whole_bundle),
        Job("calibrate", ("-c", _CGSAM, "calibrate", "OUTPUT/b.cgsam", *labelled), bundles, whole_bundle),
        Job("export", export, bundles, whole_bundle),
    ]


def _photos(root: Path) -> Path:
    """Make twelve photos with labels, half of them without the second concept."""
    folder = root / "photos"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("car\nroad\n")
    for i in range(12):
        sample_picture(64 + i).save(folder / "images" / f"{i}.png")
        label = Image.new("L", (64 + i, 64 + i), 0)
        if i % 2:
            label.paste(1, (0, 0, 64, 32))
        size = Image.open(folder / "images" / f"{i}.png").size
        label.resize(size, Image.Resampling.NEAREST).save(folder / "labels" / f"{i}.png")
    return folder


def restore(job: Job, output: Path) -> None:
    """Bring an output folder to what it was before."""
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(job.before, output)
