"""Which pictures there are: folders, files, globs, Parquet files with image bytes, and any URL that fsspec reads."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cgsam_edge.bulk import parquet, urls
from cgsam_edge.bulk.run_folder import is_run
from cgsam_edge.errors import InputError
from cgsam_edge.manifest import FILE_NAME, VOCABULARY_FILE
from cgsam_edge.url_secrets import shown_place, shown_typed
from cgsam_edge.written_files import is_drawn, is_marked_png, was_drawn

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
"""Suffixes of the files in a folder that count as pictures."""

_SHOWN = 3


class PictureRef(NamedTuple):
    """A picture that was found, and has not been read.

    Attributes:
        name: relative POSIX path, unique within a run.
        place: an absolute path or a URL: the picture, or the Parquet file that holds it.
        row: row of the Parquet file; -1 if the file is the picture.
        stamp: size and time of the file.
    """

    name: str
    place: str
    row: int = -1
    stamp: str = ""


def find_pictures(
    sources: Sequence[str], leave_out: Path | None = None, drawn: Callable[[str], object] = lambda _: None
) -> list[PictureRef]:
    """Return the pictures of all sources in the order of their names.

    A folder or a prefix of a URL stands for all pictures below it, named by their path within it. With several
    sources, the name of each folder comes first.

    Args:
        sources: paths, globs and URLs as the user typed them.
        leave_out: a folder that is not searched, the output; nor are folders of other runs below a source.
        drawn: called with each file that counts as drawn by a command: a local one by its name and by what it holds,
            one behind a URL by its name.

    Raises:
        InputError: a source does not exist or cannot be read, holds no picture, or two pictures have the same name.
        MissingLibraryError: a URL or a Parquet file needs a library that is not installed.
    """
    found: dict[str, PictureRef] = {}
    output = None if leave_out is None else Path(os.path.realpath(leave_out))
    for source in sources:
        empty, ours = True, 0

        def note(file: str) -> None:
            nonlocal ours
            ours += 1
            drawn(file)

        for one in _of(source, output, note, several=len(sources) > 1):
            empty = False
            other = found.setdefault(one.name, one)
            if (other.place, other.row) != (one.place, one.row):
                raise InputError(_same_name(other, one))
        if empty and "://" not in source and _is_within(Path(source), output):
            raise InputError(f"{source}: is the output folder too, or lies in it; name another with --output.")
        if empty:
            rest = f", apart from {ours} that cgsam drew; name one to label it" if ours else ""
            kinds = f"no picture ({', '.join(SUFFIXES)}) and no .parquet file"
            raise InputError(f"{shown_place(source)}: holds {kinds}{rest}.")
    return [found[name] for name in sorted(found)]


def without_marked(
    refs: Iterable[PictureRef], sources: Sequence[str], drawn: Callable[[str], object]
) -> Iterator[PictureRef]:
    """Yield the pictures but for local PNGs that hold the mark of a command's drawing, unless they are named.

    Args:
        refs: found in the sources.
        sources: as for `find_pictures`.
        drawn: called with each file that is not yielded.
    """
    named = {Path(source).absolute().as_posix() for source in sources if "://" not in source}
    for ref in refs:
        if "://" not in ref.place and ref.place not in named and is_marked_png(Path(ref.place)):
            drawn(ref.place)
        else:
            yield ref


def _same_name(one: PictureRef, other: PictureRef) -> str:
    def shown(ref: PictureRef) -> str:
        return shown_place(ref.place) + ("" if ref.row < 0 else f", row {ref.row}")

    return (
        f"{shown(one)} and {shown(other)}: both would be {one.name!r} in the data set. Label their folders in two "
        "runs, or name the folder above both."
    )


def _of(source: str, leave_out: Path | None, drawn: Callable[[str], object], *, several: bool) -> Iterator[PictureRef]:
    if _is_moving(source):
        raise InputError(
            f"{shown_place(source)}: videos and cameras are for cgsam segment; save frames as pictures first."
        )
    if "://" in source:
        base = PurePosixPath(_without_query(source).partition("://")[2]).name
        yield from _named(urls.files(source, partial(_is_undrawn, drawn)), base if several else "")
        return
    try:
        yield from _named(_local(source, leave_out, drawn), Path(source).absolute().name if several else "")
    except (OSError, ValueError) as error:  # a path may contain a zero byte
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def _is_moving(source: str) -> bool:
    """Whether a source is a video or a camera: a file by its suffix, a device, a number, or a stream."""
    from cgsam_edge.video import SUFFIXES as VIDEOS  # on use: it loads OpenCV

    if source.lower().startswith(("rtsp://", "rtsps://", "/dev/video")) or _without_query(source).lower().endswith(
        VIDEOS
    ):
        return not Path(source).is_dir()
    return source.isascii() and source.isdecimal() and not Path(source).exists()


def _without_query(url: str) -> str:
    """Return a web address without what follows its path; in buckets, a name may hold these characters."""
    return url.partition("?")[0].partition("#")[0] if url.startswith(("http://", "https://")) else url


Found = tuple[str, str, str]
"""A file: its path within the source (empty if the source is the file), its absolute place, its stamp."""


def _named(files: Iterable[Found], folder: str) -> Iterator[PictureRef]:
    for inner, found, stamp in files:
        parts = (folder, inner) if inner and folder else (inner or PurePosixPath(_without_query(found)).name,)
        name, place = _clean(PurePosixPath(*parts)), _readable(found)
        if name.lower().endswith(parquet.SUFFIX):
            whole = "" if not (inner or folder) else f"{PurePosixPath(name).with_suffix('')}/"
            for number, row in enumerate(parquet.names(place)):
                yield PictureRef(f"{whole}{_clean(PurePosixPath(row))}", place, number, stamp)
        else:
            yield PictureRef(name, place, -1, stamp)


def _clean(path: PurePosixPath) -> str:
    """Return a path that cannot lead out of a folder."""
    return _readable("/".join(part for part in path.parts if part not in ("/", "..", ".")))


def _readable(text: str) -> str:
    r"""Return text with bytes that are not UTF-8 as \\x escapes; such a picture is refused by its name, in its turn."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_picture(path: str) -> bool:
    """Whether a file in a folder counts as a picture, or holds pictures, by its name; hidden files do not."""
    name = PurePosixPath(path).name.lower()
    return name.endswith((*SUFFIXES, parquet.SUFFIX)) and not name.startswith(".")


def _is_undrawn(drawn: Callable[[str], object], path: str) -> bool:
    if is_picture(path) and is_drawn(PurePosixPath(path).name):
        drawn(path)
        return False
    return is_picture(path)


def _local(source: str, leave_out: Path | None, drawn: Callable[[str], object]) -> Iterator[Found]:
    path = Path(source)
    if path.is_dir():
        for file in _walk(path.absolute(), leave_out):
            if was_drawn(file):
                drawn(str(file))
            else:
                yield file.relative_to(path.absolute()).as_posix(), file.as_posix(), _stamp(file)
        return
    if path.exists():
        yield "", path.absolute().as_posix(), _stamp(path)
        return
    hits = sorted(map(Path, glob.glob(source, recursive=True)))
    if not hits:
        raise InputError(f"{shown_typed(source)}: no such file or folder.")
    for file in _chosen(hits, _fixed_part(path), leave_out):
        if was_drawn(file):
            drawn(str(file))
        else:
            yield "", file.absolute().as_posix(), _stamp(file)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder before the first wildcard."""
    return Path(*itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))


def _chosen(hits: Iterable[Path], top: Path, leave_out: Path | None) -> Iterator[Path]:
    """Yield the files that no run has written."""
    known: dict[Path, bool] = {}
    for file in hits:
        folder = file.parent
        if folder not in known:
            between = [one for one in (folder, *folder.parents) if top in one.parents]
            known[folder] = _is_within(folder, leave_out) or any(map(is_run, between))
        if file.is_file() and not known[folder]:
            yield file


def _is_within(folder: Path, output: Path | None) -> bool:
    """Whether a folder, however it is spelled, is the output or lies in it."""
    place = Path(os.path.realpath(folder))
    return output is not None and (place == output or output in place.parents)


def _is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle, whose card may show pictures."""
    return all((folder / name).is_file() for name in (FILE_NAME, VOCABULARY_FILE))


def _walk(top: Path, leave_out: Path | None) -> Iterator[Path]:
    """Yield the pictures of a folder and of those below it; links to folders elsewhere are followed, each once."""
    known: set[Path] = set()

    def fail(error: OSError) -> None:
        raise error

    def searched(folder: Path) -> bool:
        made = _is_within(folder, leave_out) or is_run(folder) or _is_bundle(folder)
        return not folder.name.startswith(".") and not made and not _is_repeated(folder, top, known)

    if _is_within(top, leave_out):
        return
    for where, folders, files in os.walk(top, onerror=fail, followlinks=True):
        here, place = Path(where), Path(os.path.realpath(where))
        if place in known:  # two links lead here
            folders.clear()
            continue
        known.add(place)
        folders[:] = sorted(name for name in folders if searched(here / name))
        for name in sorted(filter(is_picture, files)):
            yield here / name


def _is_repeated(folder: Path, top: Path, known: set[Path]) -> bool:
    """Whether a folder is searched in another place: one that is known, or a link to one below ``top``."""
    place = Path(os.path.realpath(folder))
    return place in known or (folder.is_symlink() and _is_within(place, Path(os.path.realpath(top))))


def _stamp(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:  # a broken link: reading it reports why
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


Images = Callable[[str], "Path | bytes | None"]
"""Function from a picture's name to its file or its bytes, as the writers of data sets take it."""
