"""Where the results of ``cgsam segment`` go, and which files they must not overwrite."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cgsam_edge.cli.inputs import Input
from cgsam_edge.cli.looks import OVERLAY, Look
from cgsam_edge.errors import CgsamError, InputError, OutputError
from cgsam_edge.files import longest_name
from cgsam_edge.written_files import SUFFIXES, is_ours


def without_overlays(files: list[Path], note: Callable[[str], object]) -> list[Path]:
    """Leave out pictures that an earlier run drew of another of these files: a shell's ``*.png`` includes them."""
    names = {file.with_name(file.stem) for file in files} | set(files)
    kept = []
    for file in files:
        stem, drawn = _without_drawn(file.name)
        if drawn and file.with_name(stem) in names and _is_ours(file):
            note(f"{file}: left out; cgsam drew it, from another of these files.")
        else:
            kept.append(file)
    return kept


def _without_drawn(name: str) -> tuple[str, bool]:
    for suffix in SUFFIXES:
        if name.endswith(f"{suffix}.png"):
            return name.removesuffix(f"{suffix}.png"), True
    return name, False


def without_marked(files: list[Path], named: list[str], note: Callable[[str], object]) -> list[Path]:
    """Leave out a folder's PNGs that hold the mark of what was drawn, under whatever name; a glob names its files.

    Raises:
        InputError: nothing else is left.
    """
    folders = {Path(name) for name in named}
    drawn = {file for file in files if file.parent in folders and file.suffix.lower() == ".png" and _is_ours(file)}
    drawn -= folders  # a file that is named beside its folder
    for file in sorted(drawn):
        note(f"{file}: left out; cgsam drew it. Name it to segment it too.")
    if files and len(drawn) == len(files):
        raise InputError(f"{', '.join(named)}: cgsam drew all images there; name one to segment it.")
    return [file for file in files if file not in drawn]


def without_labels(files: list[Path], named: list[str], note: Callable[[str], object]) -> list[Path]:
    """Leave out PNGs that look like the label of an image of the same name beside them, unless the user named them."""
    photos = {(file.parent, file.stem) for file in files if file.suffix.lower() != ".png"}
    spelled = {Path(name) for name in named}
    beside = [f for f in files if f.suffix.lower() == ".png" and (f.parent, f.stem) in photos and f not in spelled]
    if not beside:
        return files
    from cgsam_edge.quality.labels.index_png import holds_indices

    labels = {file for file in beside if holds_indices(file)}
    for file in sorted(labels):
        note(f"{file}: left out; it looks like the label of the image of the same name. Name it to segment it too.")
    return [file for file in files if file not in labels]


def destinations(files: list[Path], folder: Path) -> dict[Path, Path]:
    """Return a path without suffix for each file; none overwrites another's results.

    Raises:
        InputError: results would overwrite each other.
    """
    stems = [file.stem.lower() for file in files]  # some disks ignore case
    names = [file.name if stems.count(file.stem.lower()) > 1 else file.stem for file in files]
    seen: dict[str, Path] = {}
    for file, name in zip(files, names, strict=True):
        other = seen.setdefault(name.lower(), file)
        if other is not file:
            raise InputError(
                f"{other} and {file}: their results would have the same name; segment their folders one at "
                "a time, each with another --output."
            )
    return {file: folder / name for file, name in zip(files, names, strict=True)}


def checked(inputs: list[Input], *, force: bool, look: Look = OVERLAY) -> list[Input]:
    """Attach an error to each input whose results cannot be written or would overwrite other files.

    Args:
        inputs: all of them.
        force: whether files that another program wrote may be overwritten; inputs never are.
        look: how results are drawn, which decides on their names.
    """
    known = {identity: one.file for one in inputs if (identity := _identity(one.file)) is not None}
    limit = longest_name(inputs[0].stem.parent) if inputs else 0
    return [one if one.error else replace(one, error=_problem(one, known, limit, look, force=force)) for one in inputs]


def _problem(
    one: Input, known: dict[tuple[int, int], Path], limit: int, look: Look, *, force: bool
) -> CgsamError | None:
    for suffix in (look.picture, ".json") if one.video is None else (look.video, ".jsonl"):
        result = one.stem.with_name(one.stem.name + suffix)
        length = len(os.fsencode(result.name))
        if length > limit:
            return OutputError(
                f"{one.file}: the name of its result, including {suffix}, has {length} bytes; the limit in that folder "
                f"is {limit}. Rename the file."
            )
        identity = _identity(result)
        if identity is None:
            continue
        if identity in known:
            return InputError(
                f"{one.file}: its result {result} would overwrite {known[identity]}, which is an input. Name another "
                "folder with --output."
            )
        if result.is_dir() or not (force or _is_ours(result)):
            way = "" if result.is_dir() else ", or overwrite it with --force"
            return OutputError(
                f"{one.file}: its result {result} exists and was not written by this version of cgsam segment; it is "
                f"left alone. Name another folder with --output{way}."
            )
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return an identifier of a file that does not depend on its name, or None if there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _is_ours(path: Path) -> bool:
    try:
        return is_ours(path)
    except OSError:
        return False
