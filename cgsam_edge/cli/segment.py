"""``cgsam segment``: masks for images, folders and videos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.engine_options import add_engine, check_soc, engine
from cgsam_edge.cli.live_options import add_live, check_for_files
from cgsam_edge.cli.looks import add_looks, look_of
from cgsam_edge.cli.prompts import add_prompts, check_prompts, check_still, predicted, prompted
from cgsam_edge.cli.tiles import add_tiles, check_side, check_tiles, opened_item, tile_bar
from cgsam_edge.cli.tracking import Series, add_tracking, check_tracking
from cgsam_edge.cli.values import UsageError, number, source, whole
from cgsam_edge.errors import InputError
from cgsam_edge.image_depth import FEWEST_BITS, MOST_BITS
from cgsam_edge.limits import Limits
from cgsam_edge.live.address import is_camera

if TYPE_CHECKING:
    from cgsam_edge.cli.inputs import Item
    from cgsam_edge.image import Prepared
    from cgsam_edge.results import Result
    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.tiling.windows import WindowReader


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "segment",
        help="segment images, folders and videos",
        usage="%(prog)s IMAGE [IMAGE ...] [--bundle FOLDER] [--concepts NAMES] [options]",
        description="Segment images and videos by concept. Each image gets NAME.overlay.png, with a legend, and "
        "NAME.json, with masks as COCO RLE; each video gets NAME.overlay.mp4 and NAME.jsonl, with a line per frame. A "
        "camera gets NAME-TIME.jsonl until interrupted.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        type=source,
        metavar="IMAGE",
        help="an image, a video, a folder of images, or a glob in quotes; or a camera: its number, /dev/video0, or "
        "rtsp://… or http://…",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="the bundle (default: the reference bundle, of eleven street concepts)",
    )
    parser.add_argument("--concepts", metavar="NAMES", help="separated by commas (default: all that the bundle holds)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="folder for the results (default: the working folder)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite results that another program wrote")
    add_prompts(parser.add_argument_group("clicks and boxes, in image pixels; they need exactly one concept"))
    add_looks(parser.add_argument_group("what is drawn, in place of masks in colour"))
    _add_limits(parser.add_argument_group("less time"))
    add_tiles(parser.add_argument_group("big pictures"))
    _add_files(parser.add_argument_group("files with several pictures or more than 8 bits per channel"))
    add_tracking(parser.add_argument_group("videos, cameras and series of images"))
    add_live(parser.add_argument_group("cameras"))
    add_engine(parser)
    parser.set_defaults(run=run)


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-concepts", type=whole(), metavar="N", help="compute only the N likeliest concepts of each image"
    )
    group.add_argument(
        "--time-budget",
        type=number(above=True),
        metavar="SECONDS",
        help="stop starting further concepts of an image after this time",
    )
    group.add_argument(
        "--skip-absent",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="skip concepts that similarity alone rules out, if the bundle is calibrated (default: yes)",
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--every",
        type=whole(),
        metavar="N",
        help="take each Nth frame of videos (default: all), and treat animations (GIF, WebP, PNG) as videos",
    )
    group.add_argument(
        "--page", type=whole(), metavar="N", help="which picture to take from files with several (default: 1)"
    )
    group.add_argument(
        "--bits",
        type=int,
        choices=range(FEWEST_BITS, MOST_BITS + 1),
        metavar="N",
        help="bits per channel of images with more than 8, such as 12; the full range is scaled to 0 to 255",
    )


def run(options: argparse.Namespace) -> int:
    """Segment a camera, or all files; an image or a video that fails is reported and does not stop the others."""
    check_soc(options)
    if any(is_camera(name) and not _is_file(Path(name)) for name in options.images):
        return _run_live(options)
    check_for_files(options)
    return _run_files(options)


def _is_file(path: Path) -> bool:
    """Whether it is a file or a folder; one may be named as a camera is, such as 0001. A device is neither."""
    return path.is_file() or path.is_dir()


def _run_live(options: argparse.Namespace) -> int:
    from cgsam_edge.cli.live import run_live
    from cgsam_edge.segmenter import Segmenter

    look = look_of(options)
    if options.container is not None and not (options.record or options.cutout or options.blur):
        raise UsageError("--container is for videos; give --record too, or leave it out.")
    names = _with(_names(options), look.blur)
    Limits(options.max_concepts, options.time_budget)  # refuses before any work
    check_tracking(options)
    return run_live(options, look, names, lambda: Segmenter(options.bundle, **engine(options)))


def _run_files(options: argparse.Namespace) -> int:
    from cgsam_edge.cli.destinations import (
        checked,
        destinations,
        without_labels,
        without_marked,
        without_overlays,
    )
    from cgsam_edge.cli.inputs import check_kinds, find_images, open_inputs
    from cgsam_edge.cli.memory import return_big_blocks
    from cgsam_edge.cli.messages import say
    from cgsam_edge.cli.stages import segment_all
    from cgsam_edge.files import make_folder
    from cgsam_edge.segmenter import Segmenter

    return_big_blocks()
    missing: list[InputError] = []
    named = list(find_images(options.images, missing.append))
    if not named:
        raise missing[0]
    drawn_apart = without_marked(without_overlays(named, _warn), options.images, _warn)
    files = without_labels(drawn_apart, options.images, _warn)
    look = look_of(options)
    names = _with(_names(options), look.blur)
    check_prompts(options, names)
    check_tiles(options, prompted=prompted(options))
    check_tracking(options, prompted=prompted(options))
    Limits(options.max_concepts, options.time_budget)  # refuses before any work
    for error in missing:
        say(f"cgsam: error: {error}")
    opened = open_inputs(destinations(files, options.output), options.every)
    check_kinds(options, opened)
    check_still(options, opened)
    make_folder(options.output)
    inputs = checked(opened, force=options.force, look=look)
    with Segmenter(options.bundle, **engine(options)) as segmenter:
        segmenter.check_concepts(names)
        check_side(options, segmenter.bundle.manifest.geometry)
        return segment_all(
            inputs,
            lambda item: _prepare(segmenter, item, options),
            lambda image: _segment(segmenter, image, names, options),
            len(missing),
            look,
            Series(segmenter, options).follow,
        )


def _names(options: argparse.Namespace) -> list[str] | None:
    names = None if options.concepts is None else [n.strip() for n in options.concepts.split(",") if n.strip()]
    if names == []:
        raise UsageError("--concepts names no concept; leave it out for all that the bundle holds.")
    return names


def _with(names: list[str] | None, blur: tuple[str, ...] | None) -> list[str] | None:
    """Return the concepts to compute: only those to blur, unless others are named."""
    if blur is None:
        return names
    return [*(names or []), *(name for name in blur if name not in (names or []))]


def _warn(text: str) -> None:
    from cgsam_edge.cli.messages import say

    say(f"cgsam: warning: {text}")


def _prepare(segmenter: Segmenter, item: Item, options: argparse.Namespace) -> Prepared | WindowReader:
    if options.tile is not None:
        return opened_item(item, options)
    if item.frame is not None:
        return segmenter.prepare(item.image())
    return segmenter.prepare(item.image(), bits=options.bits, page=options.page)


def _segment(
    segmenter: Segmenter, image: Prepared | WindowReader, names: list[str] | None, options: argparse.Namespace
) -> Result:
    if options.tile is not None:
        return _segment_tiles(segmenter, image, names, options)
    if not prompted(options):
        limits = {name: getattr(options, name) for name in ("max_concepts", "time_budget", "skip_absent")}
        return segmenter.segment(image, names, **limits)
    assert names is not None
    return predicted(segmenter.encode(image), names[0], options)


def _segment_tiles(segmenter: Segmenter, image: Any, names: list[str] | None, options: argparse.Namespace) -> Result:
    with image, tile_bar() as progress:
        return segmenter.segment(
            image,
            names,
            max_concepts=options.max_concepts,
            skip_absent=options.skip_absent,
            tile=options.tile,
            overlap=options.overlap,
            progress=progress,
        )
