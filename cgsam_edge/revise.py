"""Changing the vocabulary of a bundle: adding and removing concepts without touching graphs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.bundle import Bundle, file_spec
from cgsam_edge.errors import ConceptsError
from cgsam_edge.manifest import CARD_FILE, CARD_PICTURES, FILE_NAME, VOCABULARY_FILE, ConceptSpec
from cgsam_edge.names import fold, parse_line
from cgsam_edge.staging import staged, tidy
from cgsam_edge.text_encoder import TextEncoder
from cgsam_edge.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray


def with_vocabulary(
    bundle: Bundle, vocabulary: Vocabulary, output: Path | None = None, notes: dict[str, Any] | None = None
) -> Path:
    """Write a bundle with another vocabulary and the same graphs.

    The new bundle is completed next to its destination before it takes its place, so that a complete bundle is there at
    any time. Graphs are hard-linked instead of copied if the disk supports it.

    Args:
        bundle: the bundle to start from.
        vocabulary: its new concepts and numbers.
        output: folder to write; None replaces the bundle itself.
        notes: further entries of the manifest's ``created``, informative.

    Returns:
        The path of the bundle that was written.

    Raises:
        OutputError: it cannot be written.
    """
    destination = output or bundle.path
    with staged(destination) as folder:
        carry_files(bundle, folder, {VOCABULARY_FILE})
        vocabulary.save(folder / VOCABULARY_FILE)
        manifest = replace(
            bundle.manifest,
            concepts=vocabulary.concepts,
            files={**bundle.manifest.files, VOCABULARY_FILE: file_spec(folder / VOCABULARY_FILE)},
            created={**bundle.manifest.created, **(notes or {})},
        )
        (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return destination


def carry_files(bundle: Bundle, folder: Path, left_out: Collection[str]) -> None:
    """Put all files of a bundle but some into a new one, and its card; they are linked where the disk can.

    Args:
        bundle: the old bundle.
        folder: the new one, being written.
        left_out: names of files as the manifest lists them.
    """
    for name in bundle.manifest.files:
        if name not in left_out:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _link(bundle.path / name, folder / name)
    _carry_card(bundle.path, folder)


def _carry_card(source: Path, target: Path) -> None:
    """Keep a model card, which people edit and the manifest does not list."""
    if (source / CARD_FILE).is_file():
        shutil.copy2(source / CARD_FILE, target / CARD_FILE)
    if (source / CARD_PICTURES).is_dir():
        shutil.copytree(source / CARD_PICTURES, target / CARD_PICTURES)


def _link(source: Path, target: Path) -> None:
    """Make a file appear in a second place: a hard link, or a copy where links cannot be made."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def add_concepts(
    bundle: str | Path,
    concepts: Sequence[str],
    *,
    embedding: NDArray[np.float32] | None = None,
    output: str | Path | None = None,
    backend: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Add concepts to a bundle that was exported with its text encoder; no new export is needed.

    Args:
        bundle: the bundle's folder.
        concepts: each has the form ``name | synonym | synonym``, like a line of a concepts file.
        embedding: CLIP's text embedding (D,) of the only concept, not normalised, instead of one computed from its
            names; the bundle needs its text encoder for that too, as its files hold t_0 and the adapters' text half.
        output: another bundle to write; None changes the bundle itself.
        backend: which engine computes the text features.
        progress: receives a line for each name that was changed or looks wrong.

    Returns:
        The path of the bundle that was written.

    Raises:
        BundleError: the bundle holds no text encoder.
        ConceptsError: a name is empty, too long, or in the bundle already; or an embedding that does not fit.
        OutputError: the bundle cannot be written.
    """
    tidy(Path(output or bundle))  # also where the names are refused
    opened = Bundle(bundle)
    old = opened.vocabulary
    specs = [_parse(text, progress) for text in concepts]
    _refuse_known(old, [name for spec in specs for name in (spec.name, *spec.synonyms)])
    if not specs or (embedding is not None and len(specs) != 1):
        raise ConceptsError(f"expected {'one concept' if embedding is not None else 'concepts'}, got {len(specs)}.")
    with TextEncoder(opened, backend) as encoder:
        features = [
            encoder.feature((s.name, *s.synonyms)) if embedding is None else encoder.from_embedding(embedding)
            for s in specs
        ]
        rows = [encoder.row(feature) if old.rows.shape[1] else old.rows[0, :0] for feature in features]
    shape = (len(specs), *old.rows.shape[1:])
    new = Vocabulary.uncalibrated(specs, np.stack(features), np.stack(rows).reshape(shape))
    return with_vocabulary(opened, old.joined(new), None if output is None else Path(output))


def _parse(text: str, progress: Callable[[str], None]) -> ConceptSpec:
    parsed = parse_line(text)
    if parsed is None:
        raise ConceptsError(f"{text!r} names no concept; write a name that begins with '#' as '\\#'.")
    for remark in parsed.remarks("concept"):
        progress(remark)
    return ConceptSpec(parsed.names[0], parsed.names[1:])


def remove_concepts(bundle: str | Path, names: Sequence[str], *, output: str | Path | None = None) -> Path:
    """Remove concepts, named by name or synonym, from a bundle.

    Returns:
        The path of the bundle that was written.

    Raises:
        UnknownConceptError: the bundle does not hold one of them.
        ConceptsError: nothing would be left.
        OutputError: the bundle cannot be written.
    """
    tidy(Path(output or bundle))
    opened = Bundle(bundle)
    old = opened.vocabulary
    gone = {old.index(name) for name in names}
    kept = [i for i in range(len(old.concepts)) if i not in gone]
    if not kept:
        raise ConceptsError(f"{opened.path}: a bundle must keep at least one concept, and these are all that it has.")
    return with_vocabulary(opened, old.take(kept), None if output is None else Path(output))


def _refuse_known(vocabulary: Vocabulary, names: Sequence[str]) -> None:
    seen = {name: vocabulary.names[index] for name, index in vocabulary.aliases.items()}
    for name in names:
        if fold(name) in seen:
            raise ConceptsError(f"{name!r} is already there, as {seen[fold(name)]!r}. Remove that one first.")
        seen[fold(name)] = name
