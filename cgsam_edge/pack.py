"""A bundle as one file for a web page: the graphs of one target, and nothing that only other readers use."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import InputError, OutputError
from cgsam_edge.manifest import FILE_NAME, TEXT_GRAPHS, VOCABULARY_FILE, Manifest

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip can hold: the same bundle gives the same bytes, whenever it is packed."""
_MODE = 0o644 << 16


def pack(bundle: Bundle, output: Path, target: str = "onnxruntime") -> int:
    """Write a bundle as a ``.zip`` that holds the vocabulary and the graphs of one target.

    Left out are other targets, graphs compiled for NPUs, the examples, the report, the card, and the graphs that learn
    new names. The files are stored and not compressed: weights hardly shrink, a server may compress on the way, and the
    bytes then depend on the bundle alone.

    Args:
        bundle: an opened bundle.
        output: the file, which ends in ``.zip``; a packed bundle of that name is replaced.
        target: whose graphs are packed.

    Returns:
        The size of the file in bytes.

    Raises:
        InputError: ``output`` does not end in ``.zip``.
        BundleError: the bundle does not hold the target, or a file is missing or altered.
        OutputError: another file of that name exists, or it could not be written.
    """
    if output.suffix != ".zip":
        raise InputError(f"{output}: a packed bundle must end in .zip, by which a page knows it.")
    manifest = packed_manifest(bundle, target)
    bundle.verify(manifest.files)
    with _replaced(output) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member(FILE_NAME), manifest.to_json())
        for name in sorted(manifest.files):
            _copy(archive, bundle.path / name, name)
    return output.stat().st_size


def packed_manifest(bundle: Bundle, target: str) -> Manifest:
    """Return the manifest of a packed bundle: of one target, without the graphs that learn new names.

    Raises:
        BundleError: the bundle does not hold the target.
    """
    graphs = {name: graph for name, graph in bundle.graphs(target).items() if name not in TEXT_GRAPHS}
    kept = {VOCABULARY_FILE, *(file for graph in graphs.values() for file in _opened_files(bundle, graph.path))}
    return dataclasses.replace(
        bundle.manifest.with_targets({target: graphs}),
        files={name: spec for name, spec in bundle.manifest.files.items() if name in kept},
        created={key: note for key, note in bundle.manifest.created.items() if key != "compiled"},
    )


def _opened_files(bundle: Bundle, path: str) -> list[str]:
    """Return the files of a graph without what is compiled of it for an NPU, which no page can open."""
    return [file for file in bundle.files_of(path) if not file.startswith(f"{path}.qnn-")]


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EARLIEST)
    info.external_attr, info.create_system = _MODE, 3
    return info


def _copy(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    info = _member(name)
    info.file_size = path.stat().st_size
    with path.open("rb") as source, archive.open(info, "w") as member:
        while chunk := source.read(2**22):
            member.write(chunk)


@contextmanager
def _replaced(output: Path) -> Iterator[Path]:
    """Give a path beside ``output``, and move it there when the block ends well."""
    if output.exists() and not _is_packed(output):
        raise OutputError(f"{output}: exists and is no packed bundle; it is left alone. Name another.")
    partial: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{output.stem[:80]}.partial-", suffix=".zip", dir=output.parent)
        os.close(descriptor)
        partial = Path(name)
        partial.chmod(0o644)
        yield partial
        partial.replace(output)
    except OSError as error:
        raise OutputError(f"{output}: could not be written ({error.strerror or error}).") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _is_packed(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return FILE_NAME in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
