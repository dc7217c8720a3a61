"""``cgsam segment``: masks for one image, a folder or a glob."""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.errors import ImageError, InputError, OutputError, PromptError
from cgsam_edge.files import write_beside

if TYPE_CHECKING:
    from cgsam_edge.results import Result
    from cgsam_edge.segmenter import Segmenter

OVERLAY = ".overlay.png"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


def _coordinates(count: int) -> Callable[[str], list[float]]:
    def parse(text: str) -> list[float]:
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"expected {count} numbers separated by commas, got {text!r}")
        return values

    return parse


_point = _coordinates(2)
_box = _coordinates(4)


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "segment",
        help="masks for one image, a folder or a glob",
        description="Segment images by concept; writes NAME.overlay.png with a legend and NAME.json with masks as COCO "
        "RLE for each image.",
    )
    parser.add_argument("images", nargs="+", help="an image, a folder of images, or a glob in quotes")
    parser.add_argument(
        "--bundle", type=Path, help="the bundle's folder (default: the reference bundle of eleven road concepts)"
    )
    parser.add_argument("--concepts", metavar="NAMES", help="separated by commas (default: all that the bundle holds)")
    parser.add_argument(
        "--point",
        action="append",
        type=_point,
        default=[],
        metavar="X,Y",
        help="a click inside the object, in the image's pixels; repeat for more; needs one concept",
    )
    parser.add_argument(
        "--not-point", action="append", type=_point, default=[], metavar="X,Y", help="a click outside the object"
    )
    parser.add_argument("--box", type=_box, metavar="X0,Y0,X1,Y1", help="a box around the object; needs one concept")
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: the working folder)"
    )
    parser.add_argument("--backend", default="auto", help="an engine to force (default: auto)")
    parser.add_argument("--device", default="auto", help="a device to force, see cgsam doctor (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Segment all images; one that fails is reported and does not stop the others."""
    from tqdm import tqdm

    from cgsam_edge.segmenter import Segmenter

    files = list(find_images(options.images))
    names = None if options.concepts is None else [n.strip() for n in options.concepts.split(",") if n.strip()]
    if names == []:
        raise InputError("--concepts names no concept; leave it out for all that the bundle holds.")
    _check_prompt(options, names)
    outputs = _outputs(files, options.output)
    failed = 0
    with Segmenter(
        options.bundle, backend=options.backend, device=options.device, threads=options.threads
    ) as segmenter:
        segmenter.check_concepts(names)
        for file, stem in tqdm(
            list(zip(files, outputs, strict=True)), unit="image", disable=True if len(files) == 1 else None
        ):
            try:
                result = _segment(segmenter, file, names, options)
            except ImageError as error:
                failed += 1
                tqdm.write(f"cgsam: error: {error}", file=sys.stderr)
                continue
            write_result(result, file, stem)
            tqdm.write(f"{file}: {_summary(result)} → {stem}.overlay.png")
    if failed:
        print(f"{failed} of {len(files)} images could not be used; see above.", file=sys.stderr)
    return ImageError.exit_code if failed else 0


def find_images(patterns: list[str]) -> Iterator[Path]:
    """Yield the images that paths, folders and globs name, each once, folders in order of names.

    Raises:
        InputError: a pattern names nothing, or a folder holds no image.
    """
    seen: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if _is_photo(p))
        else:
            found = [path] if path.exists() else sorted(Path(p) for p in glob.glob(pattern, recursive=True))
        if not found:
            kind = f"folder without images ({', '.join(SUFFIXES)})" if path.is_dir() else "no such file"
            raise InputError(f"{pattern}: {kind}.")
        for file in found:
            if file not in seen:
                seen.add(file)
                yield file


def _is_photo(path: Path) -> bool:
    """Whether a file of a folder is meant: an image, and no overlay that an earlier run left there."""
    return path.suffix.lower() in SUFFIXES and not path.name.endswith(OVERLAY)


def _check_prompt(options: argparse.Namespace, names: list[str] | None) -> None:
    prompted = bool(options.point or options.not_point or options.box)
    if prompted and (names is None or len(names) != 1):
        raise PromptError("--point, --not-point and --box need exactly one concept: --concepts car")


def _outputs(files: list[Path], folder: Path) -> list[Path]:
    """Return a path without suffix for each file; files of one stem keep theirs, so that none overwrites another."""
    stems = [file.stem.lower() for file in files]  # some disks do not tell cases apart
    names = [file.name if stems.count(file.stem.lower()) > 1 else file.stem for file in files]
    if len({name.lower() for name in names}) < len(names):
        raise InputError("two images have the same name; segment their folders one by one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}).") from error
    return [folder / name for name in names]


def _segment(segmenter: Segmenter, file: Path, names: list[str] | None, options: argparse.Namespace) -> Result:
    from cgsam_edge.results import Result

    if not (options.point or options.not_point or options.box):
        return segmenter.segment(file, names)
    assert names is not None
    encoded = segmenter.encode(file)
    points = [*options.point, *options.not_point]
    labels = [1] * len(options.point) + [0] * len(options.not_point)
    one = encoded.predict(names[0], points=points or None, labels=labels or None, box=options.box)
    return Result(encoded.image, {one.name: one})


def _summary(result: Result) -> str:
    return ", ".join(
        f"{c.name} {100 * c.mask.mean():.1f} %" if c.present else f"{c.name} absent" for c in result.values()
    )


def write_result(result: Result, file: Path, stem: Path) -> None:
    """Write the overlay and the JSON of one image, each beside its place and then renamed.

    Raises:
        OutputError: a file cannot be written.
    """
    width, height = result.image.size
    document = {"image": str(file), "width": width, "height": height, "annotations": result.to_coco()}
    text = json.dumps(document, ensure_ascii=False)
    write_beside(stem.with_name(f"{stem.name}{OVERLAY}"), lambda path: result.overlay().save(path, format="PNG"))
    write_beside(stem.with_name(f"{stem.name}.json"), lambda path: path.write_text(text, encoding="utf-8"))
