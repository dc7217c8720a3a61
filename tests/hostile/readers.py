"""What reads each kind of file: the command that a user would type, run in this process."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cgsam_edge.cli import export_main, main
from cgsam_edge.cli.labels import print_remarks
from cgsam_edge.errors import CgsamError
from cgsam_edge.export.concepts import read_concepts
from cgsam_edge.export.loading import load_reference
from cgsam_edge.quality.labels import Remarks, open_labels
from cgsam_edge.shipped import BUNDLE
from tests import tiny
from tests.hostile.kit import Kit

Run = Callable[[Path, Kit, Path], int]


@dataclass(frozen=True)
class Reader:
    """How a kind of file is read.

    Attributes:
        command: as a user types it, for the table.
        run: takes the file, the kit and a folder to write to; returns the exit code.
    """

    command: str
    run: Run


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def _checkpoint(path: Path, kit: Kit, work: Path) -> int:
    """Read the weights, and compare them with those that were saved; what is refused, the command refuses."""
    try:
        model = load_reference(path, progress=_say)
    except CgsamError:
        concepts = work / "concepts.txt"
        concepts.write_text("car\n")
        return export_main(_export(path, concepts, work))
    state, expected = model.state_dict(), kit.model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    _say("read as it should be")
    return 0


def _export(checkpoint: Path, concepts: Path, work: Path, *more: str) -> list[str]:
    output = str(work / "out.cgsam")
    return ["--checkpoint", str(checkpoint), "--concepts", str(concepts), "--output", output, *more]


def _clip(path: Path, kit: Kit, work: Path) -> int:
    sam = tiny.write(work / "sam.pth", kit.parts()[0], None)
    (work / "concepts.txt").write_text("car\n")
    return export_main(_export(sam, work / "concepts.txt", work, "--clip", str(path)))


def _concepts(path: Path, _: Kit, work: Path) -> int:
    try:
        found = read_concepts(path, _say)
    except CgsamError:
        return export_main(_export(work / "none.pth", path, work))
    _say(f"read: {' / '.join(line.concept.name for line in found)}")
    return 0


def _info(path: Path, _: Kit, __: Path) -> int:
    return main(["info", str(path)])


def _segment(path: Path, kit: Kit, work: Path) -> int:
    kit.picture.save(work / "picture.png")
    options = ["--bundle", str(path), "--output", str(work), "--backend", "onnxruntime"]
    return main(["segment", str(work / "picture.png"), *options])


def _embedding(path: Path, _: Kit, work: Path) -> int:
    return main(["vocab", "add", str(BUNDLE), "van", "--embedding", str(path), "--output", str(work / "out.cgsam")])


def _coco_labels(path: Path, _: Kit, __: Path) -> int:
    return _labels(path.parent / "images", path, None)


def _png_labels(path: Path, _: Kit, __: Path) -> int:
    return _labels(path.parent / "images", path, path.parent / "classes.txt")


def _labels(images: Path, labels: Path, classes: Path | None) -> int:
    """Read labels, and say how many pixels each class has; what is refused as a whole, the command refuses."""
    try:
        opened = open_labels(images, labels, classes)
    except CgsamError:
        named = ["--images", str(images), "--labels", str(labels), *(["--classes", str(classes)] if classes else [])]
        return main(["eval", str(BUNDLE), *named])
    remarks = Remarks()
    for image in opened.read(remarks):
        counts = (f"{name} {np.count_nonzero(mask)}" for name, mask in image.masks.items())
        _say(f"read: {image.path.name}: {' / '.join(counts)}")
    return print_remarks(remarks.notes, remarks.left_out)


def _image(path: Path, _: Kit, work: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # what the command prints, the test must see
        return main(["segment", str(path), "--concepts", "car", "--backend", "onnxruntime", "--output", str(work)])


READERS = {
    "checkpoint": Reader("cgsam-export --checkpoint FILE", _checkpoint),
    "CLIP weights": Reader("cgsam-export --clip FILE", _clip),
    "bundle": Reader("cgsam info FOLDER", _info),
    "bundle to segment with": Reader("cgsam segment --bundle FOLDER", _segment),
    "concepts file": Reader("cgsam-export --concepts FILE", _concepts),
    "image or video": Reader("cgsam segment FILE", _image),
    "embedding": Reader("cgsam vocab add --embedding FILE", _embedding),
    "COCO file": Reader("cgsam eval --labels FILE", _coco_labels),
    "label PNG": Reader("cgsam eval --labels FOLDER", _png_labels),
}
