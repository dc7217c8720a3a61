"""What ``cgsam segment`` reads: images and videos from paths, folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.animation import Animation
from cgsam_edge.cli.values import UsageError
from cgsam_edge.errors import CgsamError, ImageError, InputError
from cgsam_edge.image_files import is_animation, opened
from cgsam_edge.url_secrets import shown_typed
from cgsam_edge.video import SUFFIXES as VIDEO_SUFFIXES
from cgsam_edge.video import Video
from cgsam_edge.written_files import was_drawn

if TYPE_CHECKING:
    import argparse

    from cgsam_edge.image import ImageSource
    from cgsam_edge.video import Frame

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


@dataclass(frozen=True, eq=False)
class Input:
    """One file.

    Attributes:
        file: an image or a video.
        stem: path of its results, without suffix.
        video: the opened video or animation, or None for an image.
        error: why it cannot be used, or why its results cannot be written; otherwise None.
    """

    file: Path
    stem: Path
    video: Video | Animation | None = None
    error: CgsamError | None = None


@dataclass(frozen=True, eq=False)
class Item:
    """One image, or one frame of a video.

    Attributes:
        source: the file that it comes from.
        frame: the frame, or None for an image.
        error: why this image, or the rest of this video, cannot be read; otherwise None.
    """

    source: Input
    frame: Frame | None = None
    error: CgsamError | None = None

    def image(self) -> ImageSource:
        """Return what `Segmenter` takes.

        Raises:
            CgsamError: ``error``, if there is one.
        """
        if self.error is not None:
            raise self.error
        return self.source.file if self.frame is None else self.frame.image


def find_images(patterns: list[str], on_error: Callable[[InputError], object] | None = None) -> Iterator[Path]:
    """Yield the files that paths, folders and globs name, each once; a folder stands for its images, in order of names.

    Args:
        patterns: paths, folders and globs as the user typed them.
        on_error: called if a pattern names nothing, or a folder contains no image or cannot be read; the other patterns
            continue. If None, the error is raised.

    Raises:
        InputError: see ``on_error``.
    """
    seen: set[str] = set()
    for pattern in patterns:
        try:
            found = _named(pattern)
        except InputError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        for file in found:
            spelled = os.path.normcase(os.path.abspath(file))  # noqa: PTH100 — links count as separate files
            if spelled not in seen:
                seen.add(spelled)
                yield file


def _named(pattern: str) -> list[Path]:
    path = Path(pattern)
    try:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if _is_photo(p))
        else:
            found = (
                [path] if path.exists() or path.is_symlink() else sorted(map(Path, glob.glob(pattern, recursive=True)))
            )
        if not found:
            raise InputError(f"{shown_typed(pattern)}: {_nothing(path)}.")
    except (OSError, ValueError) as error:  # a path may contain a zero byte
        if isinstance(error, InputError):
            raise
        raise InputError(f"{pattern}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    return found


def _is_photo(path: Path) -> bool:
    """Whether a file counts as one of a folder's images: not hidden, and not drawn by a command."""
    named = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return named and not path.is_dir() and not was_drawn(path)


def _nothing(path: Path) -> str:
    if not path.is_dir():
        return "no such file"
    videos = sorted(p.suffix for p in path.iterdir() if is_video(p))
    hint = f"; it holds videos, which are named one by one or with a glob: '{path}/*{videos[0]}'" if videos else ""
    if not videos and any(p.is_dir() and not p.name.startswith(".") for p in path.iterdir()):
        hint = f"; those in folders below it are named by a glob: '{path}/**/*.png'"
    return f"folder without images ({', '.join(SUFFIXES)}){hint}"


def is_video(file: Path) -> bool:
    """Whether a file's name is that of a video."""
    return file.suffix.lower() in VIDEO_SUFFIXES


def open_inputs(files: dict[Path, Path], every: int | None) -> list[Input]:
    """Open the videos, and with ``every`` animations too; one that cannot be opened keeps its error for its turn.

    Args:
        files: images and videos, and the path of each one's results, without suffix.
        every: take each Nth frame of videos; None means every frame of videos, and the first picture of animations.

    Raises:
        UsageError: ``every`` is given, and there is no video.
    """
    inputs = [_open(file, stem, every) for file, stem in files.items()]
    if every is not None and not any(one.video is not None or is_video(one.file) for one in inputs):
        raise UsageError("--every is for videos and animations, and there is none among these files; leave it out.")
    return inputs


def check_kinds(options: argparse.Namespace, inputs: list[Input]) -> None:
    """Refuse options of images where there are only videos, and the other way round.

    Raises:
        UsageError: there is one of them.
    """
    moving = [one.video is not None or is_video(one.file) for one in inputs]
    for name, value in (("page", options.page), ("bits", options.bits)):
        if value is not None and all(moving):
            raise UsageError(f"--{name} is for images, and there are only videos among these files; leave it out.")
    if options.container is not None and not any(moving):
        raise UsageError("--container is for videos, and there is none among these files; leave it out.")


def _open(file: Path, stem: Path, every: int | None) -> Input:
    try:
        if is_video(file):
            return Input(file, stem, Video(file, every or 1))
        if every is not None and _is_animated(file):
            return Input(file, stem, Animation(file, every))
    except ImageError as error:
        return Input(file, stem, error=error)
    return Input(file, stem)


def _is_animated(file: Path) -> bool:
    try:
        with opened(str(file)) as image:
            return is_animation(image)
    except ImageError:  # reported in its turn
        return False


def count(inputs: list[Input]) -> int | None:
    """Return how many images and frames to expect, or None if a video does not state its length."""
    counts = [1 if one.video is None else one.video.expected() for one in inputs]
    return None if None in counts else sum(n for n in counts if n is not None)


def read(inputs: Iterable[Input]) -> Iterator[Item]:
    """Yield all images and frames in order; frames are decoded here, images in the next stage."""
    for one in inputs:
        if one.video is None or one.error is not None:
            yield Item(one, error=one.error)
            continue
        try:
            for frame in one.video:
                yield Item(one, frame)
        except ImageError as error:
            yield Item(one, error=error)
