"""What ``cgsam segment`` writes and says, in the order of the files."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from cgsam_edge.cli.inputs import OVERLAY, Input, count
from cgsam_edge.cli.video import VideoOutput
from cgsam_edge.errors import ImageError
from cgsam_edge.files import write_beside

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from cgsam_edge.cli.inputs import Item
    from cgsam_edge.results import Result


@dataclass(frozen=True, eq=False)
class Drawn:
    """What is to be written of one image or frame.

    Attributes:
        text: the JSON document.
        picture: the overlay: a PNG's bytes for an image, uint8 BGR (H, W, 3) with even sides for a frame.
        summary: a concept's share of the pixels, or its absence, for each.
        present: whether each concept is there.
    """

    text: str
    picture: Any
    summary: str
    present: dict[str, bool]


def draw(item: Item, result: Result) -> Drawn:
    """Draw the overlay, and put masks into words."""
    width, height = result.image.size
    document = {"width": width, "height": height, "annotations": result.to_coco(), "left_out": dict(result.left_out)}
    frame, name = item.frame, str(item.source.file)
    head = {"image": name} if frame is None else {"video": name, "frame": frame.number, "time": round(frame.seconds, 6)}
    picture = _png(result.overlay()) if frame is None else _even(result.overlay())
    present = {one.name: one.present for one in result.values()}
    return Drawn(json.dumps({**head, **document}, ensure_ascii=False), picture, _summary(result), present)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)  # thrice as fast as the default, a fifth bigger
    return file.getvalue()


def _even(image: Image.Image) -> NDArray[np.uint8]:
    """Return BGR with even sides, which codecs ask for; a column or row at the edge is repeated."""
    pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    return np.asarray(np.pad(pixels, ((0, image.height % 2), (0, image.width % 2), (0, 0)), mode="edge"))


def _summary(result: Result) -> str:
    found = [f"{c.name} {100 * c.mask.mean():.1f} %" if c.present else f"{c.name} absent" for c in result.values()]
    return ", ".join([*found, *(f"{name} left out ({option})" for name, option in result.left_out.items())])


class RunLog:
    """Progress, a line a file, and what failed. A context manager that ends the progress bar.

    Args:
        inputs: all files.
    """

    def __init__(self, inputs: list[Input]) -> None:
        from tqdm import tqdm

        alone = len(inputs) == 1 and inputs[0].video is None
        self._bar = tqdm(total=count(inputs), unit="image", disable=True if alone else None)
        self._inputs = inputs
        self._failed = 0
        self._done = 0
        self._start = time.perf_counter()

    def __enter__(self) -> RunLog:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self) -> None:
        """Count an image or a frame."""
        self._done += 1
        self._bar.update()

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text)

    def failure(self, error: ImageError) -> None:
        """Report a file that could not be used, or not to its end."""
        self._failed += 1
        self._bar.write(f"cgsam: error: {error}", file=sys.stderr)

    def conclude(self, engine: float) -> int:
        """Say how fast it went, and return the exit code.

        Args:
            engine: seconds for which the engine was busy.
        """
        seconds = time.perf_counter() - self._start
        if self._done > 1:
            busy = f"the engine was busy {100 * engine / seconds:.0f} % of the time"
            print(f"{self._done} images in {seconds:.1f} s: {self._done / seconds:.2f} a second; {busy}")
        if self._failed:
            kind = "files could not be used, or not to their end" if self._videos() else "images could not be used"
            print(f"{self._failed} of {len(self._inputs)} {kind}; see above.", file=sys.stderr)
        return ImageError.exit_code if self._failed else 0

    def _videos(self) -> bool:
        return any(one.video is not None or one.error is not None for one in self._inputs)


def write_image(source: Input, drawn: Iterable[Future[Drawn]], log: RunLog) -> None:
    """Write the overlay and the JSON of an image, and report it.

    Raises:
        OutputError: a file cannot be written.
    """
    for future in drawn:
        try:
            one = future.result()
        except ImageError as error:
            log.failure(error)
            continue
        _save(source.stem, one)
        log.line(f"{source.file}: {one.summary} → {source.stem}{OVERLAY}")
        log.step()


def _save(stem: Path, drawn: Drawn) -> None:
    write_beside(stem.with_name(f"{stem.name}{OVERLAY}"), lambda path: path.write_bytes(drawn.picture))
    write_beside(stem.with_name(f"{stem.name}.json"), lambda path: path.write_text(drawn.text, encoding="utf-8"))


def write_video(source: Input, drawn: Iterable[Future[Drawn]], log: RunLog) -> None:
    """Write the overlay video and the JSON lines of a video, as far as it could be read.

    Raises:
        OutputError: a file cannot be written.
    """
    problem: ImageError | None = None
    with VideoOutput(source) as output:
        for future in drawn:
            try:
                one = future.result()
            except ImageError as error:
                problem = problem or error
                continue
            output.add(one.picture, one.text, one.present)
            log.step()
    if problem is not None:
        log.failure(problem)
    if output.frames:
        seen = ", ".join(f"{name} in {n}" if n else f"{name} absent" for name, n in output.seen.items())
        log.line(f"{source.file}: {output.frames} frames, {seen} → {output.overlay}")
