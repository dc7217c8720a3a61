"""The concepts file, and the vocabulary made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cgsam_edge.errors import ConceptsError
from cgsam_edge.export.concepts import build_vocabulary, check_lengths, read_concepts
from cgsam_edge.export.reference import ReferenceModel, text
from cgsam_edge.manifest import ConceptSpec
from tests import tiny

LONG = "a very " * 80 + "long name"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "concepts.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_format(tmp_path: Path) -> None:
    content = "\ufeff# scene\r\n\r\n  car \r\ntree|shrub |  tall   bush # green\r\nC# book\r\nfußgänger\r\n"
    lines = read_concepts(write(tmp_path, content))
    assert [line.concept for line in lines] == [
        ConceptSpec("car"),
        ConceptSpec("tree", ("shrub", "tall bush")),
        ConceptSpec("C# book"),
        ConceptSpec("fußgänger"),
    ]
    assert [line.line for line in lines] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names no concept"),
        ("# only a comment\n\n", "names no concept"),
        ("car\nroad\nCar\n", "line 3: 'Car' was already named in line 1"),
        ("tree | shrub\nshrub\n", "line 2: 'shrub' was already named in line 1"),
        ("car | car\n", "line 1: 'car' was already named in line 1"),
        ("car\ntree || bush\n", "line 2: an empty name"),
        ("car\n| bush\n", "line 2: an empty name"),
        (b"car\nstra\xdfe\n", "line 2: not UTF-8"),
    ],
)
def test_bad_files_name_the_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConceptsError, match=message) as caught:
        read_concepts(path)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConceptsError, match=r"nothing\.txt: cannot be read"):
        read_concepts(tmp_path / "nothing.txt")


def test_a_name_that_clip_would_cut(tmp_path: Path) -> None:
    path = write(tmp_path, f"car\ntree | {LONG}\n")
    with pytest.raises(ConceptsError, match=r"line 2: 'a very .*' is too long: 1\d\d tokens, CLIP takes 77"):
        check_lengths(path, read_concepts(path), 77)
    path.write_text("very " * 72 + "car")
    check_lengths(path, read_concepts(path), 77)
    with pytest.raises(ConceptsError, match="is too long"):
        check_lengths(path, read_concepts(path), 77, prompt_ensemble=True)


def test_vocabulary_is_upstreams_features(tmp_path: Path, model: ReferenceModel) -> None:
    lines = read_concepts(write(tmp_path, "car\ntree | shrub\n"))
    made = build_vocabulary(model, lines)
    assert made.features.shape == (2, tiny.CLIP.embed_dim)
    assert made.rows.shape == (2, 3, 8)
    np.testing.assert_allclose(np.linalg.norm(made.features, axis=1), 1, rtol=1e-5)
    both = text.embed_texts(model.clip, ["tree", "shrub"]).mean(0)
    expected = text.text_feature(both, text.redundant_feature(model.clip))
    np.testing.assert_allclose(made.features[1], expected, atol=1e-6)


def test_prompt_ensemble_is_another_feature(tmp_path: Path, model: ReferenceModel) -> None:
    lines = read_concepts(write(tmp_path, "car\n"))
    plain = build_vocabulary(model, lines).features
    assert not np.allclose(plain, build_vocabulary(model, lines, prompt_ensemble=True).features, atol=1e-3)


def test_templates_are_the_85_of_clip_surgery() -> None:
    texts = [template("car") for template in text.templates()]
    assert len(texts) == len(set(texts)) == 85
    assert {"a photo of a car.", "this is one car in the scene.", "there is the car in the scene."} <= set(texts)


def test_a_model_without_text_has_an_empty_table(tmp_path: Path) -> None:
    lines = read_concepts(write(tmp_path, "car\n"))
    assert build_vocabulary(tiny.model(tiny.config("nnnn")), lines).rows.shape[:2] == (1, 0)
    assert build_vocabulary(tiny.model(tiny.config("vvvv")), lines).rows.shape[:2] == (1, 0)
    assert torch.get_default_dtype() == torch.float32
