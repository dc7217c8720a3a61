"""The concepts file, and the vocabulary that an export builds from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch import Tensor

from cgsam_edge.errors import CheckpointError, ConceptsError
from cgsam_edge.export import fusion
from cgsam_edge.export.graphs import semantic_adapters
from cgsam_edge.export.reference import ReferenceModel, text
from cgsam_edge.manifest import ConceptSpec
from cgsam_edge.names import fold, parse_line, read_lines
from cgsam_edge.presence import uncalibrated
from cgsam_edge.vocabulary import CALIBRATIONS, Vocabulary

_MARKERS = 2
"""Number of tokens that CLIP adds around every text."""


@dataclass(frozen=True)
class ConceptLine:
    """A concept and the line of the file that names it, counted from 1."""

    line: int
    concept: ConceptSpec

    @property
    def names(self) -> tuple[str, ...]:
        """Name and synonyms."""
        return (self.concept.name, *self.concept.synonyms)


def read_concepts(path: Path, progress: Callable[[str], None] = lambda _: None) -> list[ConceptLine]:
    """Read a concepts file: UTF-8, one concept a line, synonyms after ``|``, comments after ``#``.

    Args:
        path: the file, its lines have the form of `cgsam_edge.names.parse_line`.
        progress: receives a line for each name that was changed or looks wrong.

    Raises:
        ConceptsError: the file is missing, not UTF-8, empty, or names a concept twice.
    """
    lines = [_parse_line(path, i, line, progress) for i, line in enumerate(read_lines(path), start=1)]
    concepts = [line for line in lines if line is not None]
    if not concepts:
        raise ConceptsError(f"{path}: names no concept. Write one a line, for example: tree | shrub | bush")
    _check_duplicates(path, concepts)
    return concepts


def _parse_line(path: Path, number: int, line: str, progress: Callable[[str], None]) -> ConceptLine | None:
    try:
        parsed = parse_line(line)
    except ConceptsError as error:
        raise ConceptsError(f"{path}, line {number}: {error}") from error
    if parsed is None:
        return None
    for remark in parsed.remarks(f"{path}, line {number}"):
        progress(remark)
    return ConceptLine(number, ConceptSpec(parsed.names[0], parsed.names[1:]))


def _check_duplicates(path: Path, concepts: Iterable[ConceptLine]) -> None:
    seen: dict[str, int] = {}
    for line in concepts:
        for name in line.names:
            if fold(name) in seen:
                first = seen[fold(name)]
                raise ConceptsError(f"{path}, line {line.line}: {name!r} was already named in line {first}.")
            seen[fold(name)] = line.line


def check_lengths(
    path: Path, concepts: Iterable[ConceptLine], context_length: int, *, prompt_ensemble: bool = False
) -> None:
    """Refuse names that CLIP would truncate, alone or within the templates of the ensemble.

    Raises:
        ConceptsError: a name has more tokens than CLIP's text encoder accepts; the message names the line.
    """
    tokenizer = open_clip.SimpleTokenizer()
    templates = text.templates() if prompt_ensemble else [str]
    for line in concepts:
        for name in line.names:
            tokens = max(len(tokenizer.encode(template(name))) for template in templates) + _MARKERS
            if tokens > context_length:
                raise ConceptsError(
                    f"{path}, line {line.line}: {name[:40] + '…'!r} is too long: {tokens} tokens; CLIP's limit is "
                    f"{context_length}. Shorten it."
                )


def build_vocabulary(
    model: ReferenceModel,
    concepts: list[ConceptLine],
    *,
    prompt_ensemble: bool = False,
    calibrated: Mapping[str, NDArray[np.float32]] | None = None,
) -> Vocabulary:
    """Compute text features and table rows of all concepts.

    Args:
        model: the reference model.
        concepts: names and synonyms.
        prompt_ensemble: average each name over CLIP's templates, which upstream does not do.
        calibrated: result of `carried`; None if nothing was calibrated.
    """
    redundant = text.redundant_feature(model.clip)
    features = []
    for line in concepts:
        raw = text.raw_feature(model.clip, line.names, prompt_ensemble=prompt_ensemble)
        features.append(text.text_feature(raw, redundant))
    stacked = torch.stack(features)
    rows = table_rows(model, stacked)
    plain = Vocabulary.uncalibrated(
        [line.concept for line in concepts], stacked.numpy(), rows.numpy().astype(np.float32)
    )
    return Vocabulary(plain.concepts, plain.features, plain.rows, **calibrated) if calibrated else plain


def table_rows(model: ReferenceModel, features: Tensor) -> Tensor:
    """Return the contribution of the text to each block that takes text: t (N, D) to (N, n, r)."""
    rows = [fusion.text_row(a, features) for a in semantic_adapters(model) if a.text_projection is not None]
    if not rows:
        return features.new_zeros(len(features), 0, model.config.sam.mlp_adapter_width)
    return torch.stack(rows, dim=1)


def carried(
    path: Path,
    metadata: Mapping[str, str],
    concepts: Iterable[ConceptLine],
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, NDArray[np.float32]]:
    """Return the calibrations that a checkpoint contains for its own concepts, see `CALIBRATIONS`.

    Args:
        path: the checkpoint, for messages.
        metadata: its metadata; ``presence`` and ``screening`` are JSON objects from a concept's name to its numbers.
        concepts: the exported concepts; names are compared, synonyms are not.
        progress: receives a line if a calibration exists for some concepts only.

    Returns:
        A table of each, (N, numbers), NaN for concepts without an entry.

    Raises:
        CheckpointError: an entry does not have this form.
    """
    lines = list(concepts)
    tables = {
        name: _carried_table(path, name, metadata.get(name, "{}"), lines, columns)
        for name, columns in CALIBRATIONS.items()
    }
    for name, table in tables.items():
        missing = [line.concept.name for line, row in zip(lines, table, strict=True) if not np.isfinite(row).all()]
        if missing and name in metadata:
            progress(
                f"{path}: contains no calibrated {name} for {', '.join(missing)}; run 'cgsam calibrate' on the bundle."
            )
    return tables


def _carried_table(path: Path, name: str, text: str, lines: list[ConceptLine], columns: int) -> NDArray[np.float32]:
    table = uncalibrated(len(lines), columns)
    try:
        rows = {fold(concept): row for concept, row in json.loads(text).items()}
        for index, line in enumerate(lines):
            if fold(line.concept.name) in rows:
                table[index] = np.asarray(rows[fold(line.concept.name)], np.float32).reshape(columns)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: its metadata {name!r} should map names to {columns} numbers: {error}."
        ) from error
    return table
