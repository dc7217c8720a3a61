"""What ``cgsam segment`` reads: images and videos from paths, folders and globs, and where their results go."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cgsam_edge.errors import ImageError, InputError, OutputError
from cgsam_edge.video import SUFFIXES as VIDEO_SUFFIXES
from cgsam_edge.video import Video

if TYPE_CHECKING:
    from cgsam_edge.image import ImageSource
    from cgsam_edge.video import Frame

OVERLAY = ".overlay.png"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


@dataclass(frozen=True, eq=False)
class Input:
    """One file.

    Attributes:
        file: an image or a video.
        stem: where its results go, without suffix.
        video: the opened video, or None for an image.
        error: why the video cannot be opened, or None.
    """

    file: Path
    stem: Path
    video: Video | None = None
    error: ImageError | None = None


@dataclass(frozen=True, eq=False)
class Item:
    """One image, or one frame of a video.

    Attributes:
        source: the file that it is from.
        frame: the frame, or None for an image.
        error: why this image, or the rest of this video, cannot be had; else None.
    """

    source: Input
    frame: Frame | None = None
    error: ImageError | None = None

    def image(self) -> ImageSource:
        """Return what `Segmenter` takes.

        Raises:
            ImageError: ``error``, if there is one.
        """
        if self.error is not None:
            raise self.error
        return self.source.file if self.frame is None else self.frame.image


def find_images(patterns: list[str]) -> Iterator[Path]:
    """Yield the files that paths, folders and globs name, each once; of folders the images, in order of names.

    Raises:
        InputError: a pattern names nothing, or a folder holds no image.
    """
    seen: set[str] = set()
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if _is_photo(p))
        else:
            found = [path] if path.exists() else sorted(Path(p) for p in glob.glob(pattern, recursive=True))
        if not found:
            raise InputError(f"{pattern}: {_nothing(path)}.")
        for file in found:
            spelled = os.path.normcase(os.path.abspath(file))  # noqa: PTH100 — links stay files of their own
            if spelled not in seen:
                seen.add(spelled)
                yield file


def _is_photo(path: Path) -> bool:
    """Whether a file of a folder is meant: an image, not hidden, and no overlay that an earlier run left there."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.name.endswith(OVERLAY)


def _nothing(path: Path) -> str:
    if not path.is_dir():
        return "no such file"
    videos = sorted(p.suffix for p in path.iterdir() if is_video(p))
    hint = f"; it holds videos, which are named one by one or with a glob: '{path}/*{videos[0]}'" if videos else ""
    return f"folder without images ({', '.join(SUFFIXES)}){hint}"


def is_video(file: Path) -> bool:
    """Whether a file's name is that of a video."""
    return file.suffix.lower() in VIDEO_SUFFIXES


def open_inputs(files: list[Path], folder: Path, every: int | None) -> list[Input]:
    """Make the folder and open the videos; one that is no video keeps its error for its turn.

    Args:
        files: images and videos.
        folder: where results go.
        every: take each so many frames of videos; None means all.

    Raises:
        InputError: ``every`` is given and there is no video, or results would overwrite each other.
        OutputError: the folder cannot be made.
    """
    if every is not None and not any(is_video(file) for file in files):
        raise InputError("--every is for videos, and none of these files is one; leave it out.")
    stems = _outputs(files, folder)
    return [_open(file, stem, every or 1) for file, stem in zip(files, stems, strict=True)]


def _open(file: Path, stem: Path, every: int) -> Input:
    if not is_video(file):
        return Input(file, stem)
    try:
        return Input(file, stem, Video(file, every))
    except ImageError as error:
        return Input(file, stem, error=error)


def _outputs(files: list[Path], folder: Path) -> list[Path]:
    """Return a path without suffix for each file; files of one stem keep theirs, so that none overwrites another."""
    stems = [file.stem.lower() for file in files]  # some disks do not tell cases apart
    names = [file.name if stems.count(file.stem.lower()) > 1 else file.stem for file in files]
    if len({name.lower() for name in names}) < len(names):
        raise InputError("two files have the same name; segment their folders one by one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}).") from error
    return [folder / name for name in names]


def count(inputs: list[Input]) -> int | None:
    """Return how many images and frames to expect, or None where a video does not say."""
    counts = [1 if one.video is None else one.video.expected() for one in inputs]
    return None if None in counts else sum(n for n in counts if n is not None)


def read(inputs: Iterable[Input]) -> Iterator[Item]:
    """Yield all images and frames in order; frames are decoded here, images by whoever opens their file."""
    for one in inputs:
        if one.video is None:
            yield Item(one, error=one.error)
            continue
        try:
            for frame in one.video:
                yield Item(one, frame)
        except ImageError as error:
            yield Item(one, error=error)
