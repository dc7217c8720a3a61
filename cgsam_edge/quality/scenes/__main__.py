"""Write rendered street scenes to a folder: ``python -m cgsam_edge.quality.scenes --count 8 --output DIR``."""

import argparse
import re
from pathlib import Path

from cgsam_edge.errors import OutputError
from cgsam_edge.files import check_folder
from cgsam_edge.opencv import cv2
from cgsam_edge.quality.scenes.concepts import CONCEPTS, IGNORE
from cgsam_edge.quality.scenes.render import render

FEWEST_PIXELS = 16
"""Least height and width of a scene."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cgsam_edge.quality.scenes",
        description="Write rendered street scenes, with labels, to a folder.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--count", type=_count, default=8, metavar="N", help="how many scenes")
    parser.add_argument(
        "--size", type=_size, default="512", metavar="PIXELS", help="a side of squares, or WIDTHxHEIGHT"
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="which series of scenes")
    parser.add_argument("--start", type=_whole, default=0, metavar="N", help="index of the first scene in the series")
    output = "folder for images/, labels/ and classes.txt"
    parser.add_argument(
        "--output", type=_folder, default=argparse.SUPPRESS, required=True, metavar="FOLDER", help=output
    )
    return parser.parse_args()


def _whole(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, 1)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got ''")
    try:
        check_folder(Path(text))
    except OutputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(text)


def _size(text: str) -> tuple[int, int]:
    """Return width and height."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text, re.ASCII)
    width, height = (0, 0) if found is None else (int(found[1]), int(found[2] or found[1]))
    if min(width, height) < FEWEST_PIXELS:
        raise argparse.ArgumentTypeError(
            f"expected pixels such as 512, or 640x480 for width and height, at least {FEWEST_PIXELS} each, got {text!r}"
        )
    return width, height


def write_scenes(output: Path, seed: int, indices: range, height: int, width: int) -> None:
    """Write scenes of a series to ``images/`` and ``labels/`` of a folder, and the concepts to ``classes.txt``."""
    for folder in ("images", "labels"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    for index in indices:
        scene = render(seed, index, height, width)
        name = f"scene_{seed:03d}_{index:05d}.png"
        cv2.imwrite(str(output / "images" / name), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(output / "labels" / name), scene.labels)
    lines = [*CONCEPTS, f"ignore: {IGNORE}"]
    (output / "classes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Render and write."""
    args = parse()
    width, height = args.size
    write_scenes(args.output, args.seed, range(args.start, args.start + args.count), height, width)
    print(f"{args.count} scene{'' if args.count == 1 else 's'} → {args.output / 'images'}")


if __name__ == "__main__":
    main()
