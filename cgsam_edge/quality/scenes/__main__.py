"""Write rendered street scenes to a folder: ``python -m cgsam_edge.quality.scenes --count 8 --output DIR``."""

import argparse
from pathlib import Path

from cgsam_edge.opencv import cv2
from cgsam_edge.quality.scenes.concepts import CONCEPTS, IGNORE
from cgsam_edge.quality.scenes.render import render


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m cgsam_edge.quality.scenes", description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="how many scenes")
    parser.add_argument("--size", default="512", help="pixels: 512 for squares, or WIDTHxHEIGHT")
    parser.add_argument("--seed", type=int, default=0, help="which series of scenes")
    parser.add_argument("--start", type=int, default=0, help="index of the first scene in the series")
    parser.add_argument("--output", type=Path, required=True, help="folder for images/, labels/ and classes.txt")
    return parser.parse_args()


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
    width, _, height = str(args.size).partition("x")
    indices = range(args.start, args.start + args.count)
    write_scenes(args.output, args.seed, indices, int(height or width), int(width))


if __name__ == "__main__":
    main()
