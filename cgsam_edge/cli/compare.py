"""``cgsam compare``: how two bundles differ on the same pictures, and which is faster here."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cgsam_edge.cli.labels import ORIENTATIONS, print_remarks
from cgsam_edge.errors import ImageError, InputError

if TYPE_CHECKING:
    from cgsam_edge.quality.compare import Side
    from cgsam_edge.quality.findings import GraphQuality, Quality
    from cgsam_edge.quality.labels import LabelledImage, Remarks

Item = TypeVar("Item")

_SCENE_SERIES, _SCENE_SIDE = 4, 512
"""A series that neither training nor calibration of the reference model has seen."""

_SCENES_NOTE = "The pictures are rendered street scenes: photos of your own say more about your use (--images)."


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "compare",
        help="how two bundles differ on the same pictures, and which is faster here",
        description="Segment the same pictures from text with two bundles, and time every graph of both. Prints a "
        "table, and writes report.html, which needs no network, and report.json. The exit code is 0 however much they "
        "differ, 3 where images had to be left out.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="the bundle to compare with")
    parser.add_argument("b", type=Path, metavar="B", help="the other bundle")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to write the report")
    parser.add_argument("--images", type=Path, help="folder of images (default: rendered street scenes)")
    parser.add_argument("--labels", type=Path, help="folder of index PNGs, or a COCO JSON file, of these images")
    parser.add_argument("--classes", type=Path, help="for index PNGs, as for cgsam eval")
    parser.add_argument("--labels-orientation", choices=ORIENTATIONS, help="as for cgsam eval")
    parser.add_argument("--concepts", metavar="NAMES", help="separated by commas (default: all that both know)")
    parser.add_argument("--count", type=int, default=8, help="how many images at most, spread evenly (default: 8)")
    parser.add_argument("--backend", default="auto", help="an engine to force for both (default: auto)")
    parser.add_argument("--device", default="auto", help="a device to force for both, see cgsam doctor (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Pictures:
    """What is segmented.

    Attributes:
        images: with labels or without.
        source: where they came from, a line.
        notes: warnings, for the page.
        left_out: images that cannot be used, each with the reason.
    """

    images: tuple[LabelledImage, ...]
    source: str
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def run(options: argparse.Namespace) -> int:
    """Compare, print and write."""
    from cgsam_edge.quality.compare import Side, both_masks, common_concepts
    from cgsam_edge.quality.report import HTML_FILE, write_report
    from cgsam_edge.segmenter import Segmenter

    wanted = _check(options)
    how = {"backend": options.backend, "device": options.device, "threads": options.threads}
    with Segmenter(options.a, **how) as first, Segmenter(options.b, **how) as second:
        names = _names(options.a, options.b)
        a, b = (Side(name, one, options.threads) for name, one in zip(names, (first, second), strict=True))
        concepts = common_concepts(a, b, wanted)
        with _pictures(options) as pictures:
            quality = _compare(a, b, pictures, concepts)
            write_report(quality, options.output, lambda _, pair: both_masks(a, b, pair))
    print(table(quality))
    print(f"wrote {options.output / HTML_FILE}")
    return print_remarks((), pictures.left_out)


def _check(options: argparse.Namespace) -> list[str] | None:
    """Return the concepts asked for, or None; refuse what does not fit together before anything is opened."""
    if options.count < 1:
        raise InputError(f"--count must be 1 or more, got {options.count}.")
    if options.images is None and (options.labels or options.classes):
        raise InputError("--labels and --classes need --images: the folder of the images that are labelled.")
    if options.classes and not options.labels:
        raise InputError("--classes needs --labels: a folder of index PNGs.")
    if options.concepts is None:
        return None
    names = [name.strip() for name in options.concepts.split(",") if name.strip()]
    if not names:
        raise InputError("--concepts names no concept; leave it out for all that both bundles know.")
    return names


def _names(a: Path, b: Path) -> tuple[str, str]:
    """Return the folders' names, with letters where they are the same."""
    first, second = a.resolve().name, b.resolve().name
    return (first, second) if first != second else (f"A ({first})", f"B ({second})")


@contextmanager
def _pictures(options: argparse.Namespace) -> Iterator[Pictures]:
    if options.images is not None:
        yield _given(options)
        return
    print(f"cgsam: warning: {_SCENES_NOTE}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        yield _rendered(Path(folder), options.count)


def _rendered(folder: Path, count: int) -> Pictures:
    from cgsam_edge.quality.labels import read_classes, read_index_labels
    from cgsam_edge.quality.scenes.__main__ import write_scenes

    write_scenes(folder, _SCENE_SERIES, range(count), _SCENE_SIDE, _SCENE_SIDE)
    classes = read_classes(folder / "classes.txt")
    images = tuple(read_index_labels(folder / "images", folder / "labels", classes))
    return Pictures(images, f"{count} rendered street scenes with labels, series {_SCENE_SERIES}.", (_SCENES_NOTE,))


def _given(options: argparse.Namespace) -> Pictures:
    """Return the user's images, spread evenly over all that there are; those that cannot be read are named.

    Raises:
        InputError: there is none that can be used.
    """
    from cgsam_edge.quality.labels import Remarks

    remarks = Remarks()
    images = []
    for image in _listed(options, remarks):
        problem = _problem(image.path)
        if problem:
            remarks.left_out.append(problem)
        else:
            images.append(image)
    if not images:
        print_remarks((), remarks.left_out)
        raise InputError(f"{options.images}: none of its images can be used.")
    labelled = " with labels" if options.labels else ""
    source = f"{len(images)} pictures{labelled} of {options.images.resolve().name}."
    lines = [f"Left out: {line}" for line in remarks.left_out]
    return Pictures(tuple(images), source, (*lines, *remarks.notes), tuple(remarks.left_out))


def _problem(path: Path) -> str:
    """Return why an image cannot be read, with its name alone; empty where it can."""
    from cgsam_edge.image import load_image

    try:
        load_image(path)
    except ImageError as error:
        return str(error).replace(str(path), path.name)
    return ""


def _listed(options: argparse.Namespace, remarks: Remarks) -> list[LabelledImage]:
    from cgsam_edge.cli.inputs import find_images
    from cgsam_edge.quality.labels import LabelledImage, open_labels

    if options.labels is None:
        return [LabelledImage(path) for path in _spread(list(find_images([str(options.images)])), options.count)]
    labels = open_labels(options.images, options.labels, options.classes, options.labels_orientation)
    return list(labels.take(options.count).read(remarks))


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most ``count`` items, evenly from first to last: neighbours in a folder are often alike."""
    if len(items) <= count:
        return list(items)
    return [items[i * (len(items) - 1) // max(1, count - 1)] for i in range(count)]


def _compare(a: Side, b: Side, pictures: Pictures, concepts: Sequence[str]) -> Quality:
    from tqdm import tqdm

    from cgsam_edge.quality.compare import compare

    with tqdm(total=len(pictures.images), unit="image", leave=False, disable=None) as bar:
        return compare(
            a,
            b,
            pictures.images,
            concepts,
            pictures=pictures.source,
            notes=pictures.notes,
            progress=lambda done: bar.update(done - bar.n),
        )


def table(quality: Quality) -> str:
    """Return the table that the terminal shows."""
    from cgsam_edge.quality.verdicts import verdict

    (target,) = quality.targets
    width = max(len("concept"), *(len(name) for name in target.by_concept))
    lines = [f"{'concept':{width}}  mask IoU"]
    lines += [f"{name:{width}}  {iou:.4f}" for name, iou in sorted(target.by_concept.items(), key=lambda item: item[1])]
    lines += ["", *_times(quality.graphs), "", f"{quality.title}: {verdict(quality, target).word}"]
    lines.append(f"mean mask IoU {target.mean_iou:.4f} on {quality.pictures}")
    if target.labelled:
        lines.append(f"class mIoU against labels {target.labelled[0]:.4f} → {target.labelled[1]:.4f}")
    calibrated = sum(pair.calibrated for pair in target.pairs)
    if calibrated:
        lines.append(f"presence decisions that changed: {target.flips} of {calibrated}")
    return "\n".join(lines)


def _times(graphs: Sequence[GraphQuality]) -> Iterator[str]:
    width = max(len(graph.target) for graph in graphs)
    yield f"{'bundle':{width}}  graph    precision       size       cold       warm"
    for graph in graphs:
        if graph.latency is not None:
            cold, warm = 1000 * (graph.latency.open + graph.latency.first), 1000 * graph.latency.warm
            size = f"{graph.bytes / 1e6:.1f} MB"
            name = f"{graph.target:{width}}  {graph.graph:8} {graph.precision:9}"
            yield f"{name}  {size:>9}  {cold:6.1f} ms  {warm:6.1f} ms"
