"""Release a trained checkpoint: calibrate presence and screening, export a bundle, and measure its card's figures."""

import argparse
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cgsam_edge import Segmenter, shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.export.manifests import write_manifest
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.files import write_beside
from cgsam_edge.quality.evaluate import evaluate
from cgsam_edge.quality.labels import LabelledImage, read_classes, read_index_labels
from cgsam_edge.quality.observation import observe
from cgsam_edge.quality.photos import GATE_SERIES
from cgsam_edge.quality.presence_fit import fit
from cgsam_edge.quality.report import HTML_FILE, JSON_FILE
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.quality.screening_fit import fit_screening
from cgsam_edge.staging import staged
from training.crops import write_crops
from training.measure import brief, compare_with_reference, log, measure, quiet


@dataclass(frozen=True)
class Released:
    """A bundle that is released with its checkpoint.

    Attributes:
        path: of the bundle.
        precision: of its graphs.
    """

    path: Path
    precision: str


ROOT = Path(__file__).parents[1]
CONCEPTS_FILE = ROOT / "examples" / "concepts.txt"
CHECKPOINTS = {
    "scenes": shipped.CHECKPOINT,
    **{name: ROOT / "training" / "checkpoints" / f"{name}.safetensors" for name in ("streets", "tiny")},
}
BUNDLES = {
    "scenes": Released(shipped.BUNDLE, "fp16"),
    "tiny": Released(CHECKPOINTS["tiny"].with_suffix(".cgsam"), "int8"),
}
"""Bundles in the repository."""

HELD_OUT_SERIES, CALIBRATION_SERIES = 1, 2
"""Seeds of the rendered scenes that metrics come from, and of those that presence is calibrated on."""

GATE_SCENES = 20
"""Labelled scenes that the shipped bundle and its arithmetic are judged on."""

SAMPLE = 30
"""Held-out scenes that the tests repeat the metrics on."""

CALIBRATION_CROPS, HELD_OUT_CROPS = 1, 2
"""Crops of each frame, which lack concepts, that presence is calibrated on and measured on."""


def _scenes(folder: Path, series: int, count: int) -> list[LabelledImage]:
    write_scenes(folder, series, range(count), 512, 512)
    return list(read_index_labels(folder / "images", folder / "labels", read_classes(folder / "classes.txt")))


def frames_with_crops(folder: Path, crops: Path, classes: Path, count: int) -> list[list[LabelledImage]]:
    """Return the frames of a part of CamVid, each followed by its crops, which are written to a folder."""
    write_crops(folder, crops, count, HELD_OUT_SERIES)
    whole, parts = (
        list(read_index_labels(of / "images", of / "labels", read_classes(classes))) for of in (folder, crops)
    )
    return [[frame, *parts[count * i : count * (i + 1)]] for i, frame in enumerate(whole)]


@dataclass(frozen=True)
class Sets:
    """Labelled pictures of a release.

    Attributes:
        held_out: that the card's figures come from.
        calibration: that presence and screening come from.
        lacking: held-out pictures and parts of them that lack concepts, where whole ones hardly do.
    """

    held_out: Sequence[LabelledImage]
    calibration: Sequence[LabelledImage]
    lacking: Sequence[LabelledImage] = ()


def _sets(args: argparse.Namespace, work: Path) -> Sets:
    scenes = _scenes(work / "held-out", HELD_OUT_SERIES, args.count if args.name != "streets" else 1)
    if args.name != "streets":
        return Sets(scenes, _scenes(work / "calibration", CALIBRATION_SERIES, args.calibrated))
    classes = work / "held-out" / "classes.txt"
    train = frames_with_crops(args.camvid / "train", work / "train", classes, CALIBRATION_CROPS)
    val = frames_with_crops(args.camvid / "val", work / "val", classes, HELD_OUT_CROPS)
    calibration = train[:: max(1, len(train) // args.calibrated)]
    return Sets([frame for frame, *_ in val], list(chain(*calibration)), list(chain(*val)))


def _calibrated(source: Path, destination: Path, bundle: Path, images: Sequence[LabelledImage]) -> None:
    """Calibrate presence and screening through a bundle of a checkpoint, and write the checkpoint with both."""
    with Segmenter(bundle) as segmenter:
        observations, names = observe(segmenter, images, CONCEPTS), segmenter.concepts
    presence = fit(observations, names)
    screening = fit_screening(observations, presence.table)
    log.info("presence from %d images, AUROC %s; screening: %s", len(images), presence.auroc, screening.notes())
    carry(
        source, destination, {"presence": as_json(names, presence.table), "screening": as_json(names, screening.table)}
    )


def as_json(names: Sequence[str], table: NDArray[np.float32]) -> str:
    """Return a calibration in the form of a checkpoint's metadata: an object from a concept's name to its numbers."""
    rows = zip(names, table, strict=True)
    return json.dumps({name: [round(float(v), 6) for v in row] for name, row in rows if np.isfinite(row).all()})


def carry(source: Path, destination: Path, entries: Mapping[str, str]) -> None:
    """Write a checkpoint with further metadata."""
    with safe_open(source, framework="pt") as file:
        metadata = {**(file.metadata() or {}), **entries}
    tensors = load_file(source)
    destination.parent.mkdir(parents=True, exist_ok=True)
    write_beside(destination, lambda path: save_file(tensors, path, metadata))


def _export(checkpoint: Path, output: Path, precision: str) -> Path:
    return export_bundle(ExportOptions(checkpoint, CONCEPTS_FILE, output, precision=precision), progress=log.info)


def _ship(name: str, work: Path) -> None:
    """Export a bundle for release, judged on separate labelled scenes; the report's pages are left out."""
    released = BUNDLES[name]
    scenes = work / "gate"
    write_scenes(scenes, GATE_SERIES, range(GATE_SCENES), 512, 512)
    quality = QualityOptions(
        gate_images=scenes / "images", gate_labels=scenes / "labels", gate_classes=scenes / "classes.txt",
        gate_count=GATE_SCENES, arithmetic_minutes=60,
    )  # fmt: skip
    options = ExportOptions(CHECKPOINTS[name], CONCEPTS_FILE, work / released.path.name, precision=released.precision)
    made = export_bundle(options, quality, progress=log.info)
    for page in (HTML_FILE, JSON_FILE):
        (made / page).unlink()
    manifest = Bundle(made).manifest
    judged = {
        **manifest.quality,
        "pictures": f"{GATE_SCENES} rendered street scenes with labels",
    }  # not a folder of ours
    write_manifest(replace(manifest, quality=judged), made)
    place(made, released.path)


def place(made: Path, destination: Path) -> None:
    """Copy a bundle over another, which stays as it is until the copy is complete."""
    with staged(destination) as folder:
        shutil.copytree(made, folder, dirs_exist_ok=True)


def main() -> None:
    """Calibrate, export, measure, and write the numbers beside the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m training.ship", description=__doc__)
    parser.add_argument("--name", choices=list(CHECKPOINTS), required=True)
    parser.add_argument(
        "--checkpoint", type=Path, help="the trained checkpoint; without it, only the bundle is made again"
    )
    parser.add_argument("--camvid", type=Path, help="folder with train/ and val/ (streets)")
    parser.add_argument("--count", type=int, default=200, help="held-out scenes")
    parser.add_argument("--ablated", type=int, default=60, help="pictures of the clicks and ablations")
    parser.add_argument("--compared", type=int, default=30, help="pictures of the comparison with PyTorch")
    parser.add_argument("--calibrated", type=int, default=200, help="pictures that presence is calibrated on")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    quiet()
    checkpoint = CHECKPOINTS[args.name]
    if args.checkpoint is None and args.name not in BUNDLES:
        parser.error(f"--checkpoint is needed: bundles are released of {', '.join(BUNDLES)} alone.")
    if args.name == "streets" and args.camvid is None:
        parser.error("--camvid is needed: the figures of streets come from its frames.")
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        if args.checkpoint is None:
            _ship(args.name, work)
            return
        sets = _sets(args, work)
        images = sets.held_out
        plain = _export(args.checkpoint, work / "plain.cgsam", "fp32")
        _calibrated(args.checkpoint, checkpoint, plain, sets.calibration)
        full, half = (_export(checkpoint, work / f"{args.name}.{p}.cgsam", p) for p in ("fp32", "fp16"))
        found = measure(full, images, args.ablated)
        found["parity"] = compare_with_reference(checkpoint, {"fp32": full, "fp16": half}, images[: args.compared])
        log.info("parity: %s", found["parity"])
        if sets.lacking:
            with Segmenter(full) as segmenter:
                found["crops"] = brief(evaluate(segmenter, sets.lacking, CONCEPTS))
            log.info("frames and their crops: %s", found["crops"])
        if args.name in BUNDLES:
            _ship(args.name, work)
            with Segmenter(BUNDLES[args.name].path, precision="float32") as segmenter:
                found["sample"] = brief(evaluate(segmenter, images[:SAMPLE], CONCEPTS))
    text = json.dumps(found, indent=1)
    write_beside(checkpoint.with_suffix(".json"), lambda path: path.write_text(text + "\n", encoding="utf-8"))


if __name__ == "__main__":
    main()
