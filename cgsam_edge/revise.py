"""Changing the vocabulary of a bundle, graphs untouched."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from cgsam_edge.bundle import Bundle, file_spec
from cgsam_edge.manifest import FILE_NAME, VOCABULARY_FILE
from cgsam_edge.staging import staged
from cgsam_edge.vocabulary import Vocabulary


def with_vocabulary(
    bundle: Bundle, vocabulary: Vocabulary, output: Path | None = None, notes: dict[str, Any] | None = None
) -> Path:
    """Write a bundle with another vocabulary and the same graphs.

    The new bundle is complete beside its destination before it takes its place, so that whatever happens, one whole
    bundle is there. Graphs are linked where the disk can, not copied.

    Args:
        bundle: the bundle to start from.
        vocabulary: its new concepts and numbers.
        output: where to write; None replaces the bundle itself.
        notes: further entries of the manifest's ``created``, informative.

    Returns:
        The path of the bundle that was written.

    Raises:
        OutputError: it cannot be written.
    """
    destination = output or bundle.path
    with staged(destination) as folder:
        for name in bundle.manifest.files:
            if name != VOCABULARY_FILE:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _link(bundle.path / name, folder / name)
        vocabulary.save(folder / VOCABULARY_FILE)
        manifest = replace(
            bundle.manifest,
            concepts=vocabulary.concepts,
            files={**bundle.manifest.files, VOCABULARY_FILE: file_spec(folder / VOCABULARY_FILE)},
            created={**bundle.manifest.created, **(notes or {})},
        )
        (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return destination


def _link(source: Path, target: Path) -> None:
    """Make a file appear in a second place: a hard link, or a copy where links cannot be made."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
