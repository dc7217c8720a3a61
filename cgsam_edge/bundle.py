"""Opening a bundle: nothing in it is trusted before it has been checked."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from cgsam_edge.contract import check_shapes
from cgsam_edge.errors import BundleError
from cgsam_edge.manifest import FILE_NAME, VOCABULARY_FILE, FileSpec, GraphSpec, Manifest
from cgsam_edge.vocabulary import Vocabulary

_MAX_MANIFEST_BYTES = 16 * 2**20


def file_spec(path: Path) -> FileSpec:
    """Return the size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            digest.update(chunk)
    return FileSpec(path.stat().st_size, digest.hexdigest())


class Bundle:
    """An opened bundle: its manifest and vocabulary, and access to its graphs.

    Args:
        path: the bundle's folder.

    Raises:
        BundleError: the folder, its manifest or its vocabulary is missing, altered, or from a newer format version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise BundleError(f"{self.path}: {'not a folder' if self.path.exists() else 'no such bundle'}.")
        self.manifest = _read_manifest(self.path)
        self.verify([VOCABULARY_FILE])
        self.vocabulary = Vocabulary.load(self.path / VOCABULARY_FILE, self.manifest.concepts)
        check_shapes(str(self.path / FILE_NAME), self.manifest, self.vocabulary)

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Check the size and SHA-256 of some files, or of all files and that no graph has parts that are not listed.

        Raises:
            BundleError: a file is not listed, lies outside the folder, is missing, or differs from the manifest's
                entry; or weights that the manifest does not list lie beside a graph.
        """
        for name in self.manifest.files if names is None else names:
            if name not in self.manifest.files:
                raise BundleError(f"{self.path / FILE_NAME}: does not list the file {name!r}.")
            _verify_file(self.path, name, self.manifest.files[name])
        if names is None:
            for path in {graph.path for graphs in self.manifest.targets.values() for graph in graphs.values()}:
                self._refuse_unlisted(path)

    def graphs(self, target: str) -> dict[str, GraphSpec]:
        """Return the graphs of a target by name.

        Raises:
            BundleError: the bundle does not hold the target, or the target lacks a graph.
        """
        if target not in self.manifest.targets:
            held = ", ".join(sorted(self.manifest.targets)) or "none"
            raise BundleError(f"{self.path}: holds no graphs for {target!r}; it holds: {held}.")
        graphs = self.manifest.targets[target]
        for name in self.manifest.graph_names:
            if name not in graphs:
                raise BundleError(f"{self.path / FILE_NAME}: the target {target!r} lacks the graph {name!r}.")
        return graphs

    def verified_graph(self, target: str, name: str) -> Path:
        """Return the path of a graph after checking every file of it.

        Raises:
            BundleError: as ``verify``, or the manifest lists no file of the graph, or not its weights or what is
                compiled of it.
        """
        path = self.graphs(target)[name].path
        files = self.files_of(path)
        if path not in files and not any(file.startswith(f"{path}/") for file in files):
            raise BundleError(f"{self.path / FILE_NAME}: does not list the file {path!r} of graph {name!r}.")
        self.verify(files)
        self._refuse_unlisted(path)
        return _inside(self.path, path)

    def _refuse_unlisted(self, path: str) -> None:
        """Refuse parts of a graph that no hash protects: engines find weights and compiled forms by their names."""
        listed = {PurePosixPath(file).as_posix() for file in self.manifest.files}
        for part in _parts(_inside(self.path, path)):
            if os.path.lexists(part) and part.relative_to(self.path).as_posix() not in listed:
                raise BundleError(f"{part}: not listed in {FILE_NAME}, so nothing protects it; refused. Remove it.")

    def files_of(self, path: str) -> list[str]:
        """Return the listed files of a graph: a folder's content, or a file, its weights and what is compiled of it."""
        beside = (f"{path}/", f"{path}.data", f"{path}.qnn-", f"{path.removesuffix('.xml')}.bin")
        return [file for file in self.manifest.files if file == path or file.startswith(beside)]

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all that an engine's results depend on: graphs, examples, and the proven arithmetic.

        The vocabulary and the manifest's notes are left out, so that a new concept needs no new measurement.
        """
        lines = [
            f"{name} {spec.sha256}" for name, spec in sorted(self.manifest.files.items()) if name != VOCABULARY_FILE
        ]
        for target, proofs in sorted(self.manifest.arithmetic.items()):
            lines += [f"{target} {kind} {json.dumps(proofs[kind].graphs, sort_keys=True)}" for kind in sorted(proofs)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files that the manifest lists."""
        return sum(spec.size for spec in self.manifest.files.values())


def _parts(graph: Path) -> Iterator[Path]:
    """Yield what an engine may open with a graph: weights, which need not exist, compiled forms, a package's files."""
    yield graph.with_suffix(".bin") if graph.suffix == ".xml" else graph.with_name(f"{graph.name}.data")
    yield from graph.parent.glob(f"{glob.escape(graph.name)}.qnn-*")
    if graph.is_dir():  # systems put hidden files into folders that people look at
        yield from (path for path in graph.rglob("*") if not path.is_dir() and not path.name.startswith("."))


def _read_manifest(folder: Path) -> Manifest:
    path = folder / FILE_NAME
    try:
        if not path.exists():
            raise BundleError(f"{folder}: not a bundle (it has no {FILE_NAME}).")
        if not path.is_file():
            raise BundleError(f"{path}: not a regular file.")
        size = path.stat().st_size
        if size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{path}: {size / 1e6:.0f} MB, too large for a manifest.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read ({error}).") from error
    return Manifest.from_json(text, str(path))


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a listed file, refusing one that lies outside the folder, by name or by link."""
    pure = PurePosixPath(name)
    where = folder / FILE_NAME
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise BundleError(f"{where}: the path {name!r} contains characters that are not allowed in a path; refused.")
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or not pure.parts:
        raise BundleError(f"{where}: the path {name!r} leads out of the bundle; refused.")
    path = folder / pure
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # circular links, or a name that is too long
        raise BundleError(f"{where}: the path {name!r} cannot be followed ({error}).") from error
    if not inside:
        raise BundleError(
            f"{where}: the path {name!r} leads out of the bundle; refused. It is a link: copy the bundle with the "
            "files behind its links, as 'cp -rL' does."
        )
    return path


def _verify_file(folder: Path, name: str, expected: FileSpec) -> None:
    path = _inside(folder, name)
    try:
        if not path.is_file():
            what = "not a regular file" if path.exists() else "missing from the bundle"
            raise BundleError(f"{path}: {what}. Copy or export it again.")
        size = path.stat().st_size
        if size != expected.size:
            raise BundleError(
                f"{path}: truncated or altered: expected {expected.size} bytes, got {size}. Copy or export it again."
            )
        altered = file_spec(path).sha256 != expected.sha256
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if altered:
        raise BundleError(
            f"{path}: altered: its SHA-256 differs from the one in the manifest. Copy or export it again."
        )
