"""The concepts file, and the vocabulary made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cgsam_edge.cli import export_main
from cgsam_edge.errors import ConceptsError
from cgsam_edge.export.concepts import build_vocabulary, carried, check_lengths, read_concepts
from cgsam_edge.export.reference import ReferenceModel, text
from cgsam_edge.manifest import ConceptSpec
from tests import tiny

LONG = "a very " * 80 + "long name"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "concepts.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_format(tmp_path: Path) -> None:
    content = "\ufeff# scene\r\n\r\n  car \r\ntree|shrub |  tall   bush # green\r\nC\\# book\r\nfußgänger\t# x\r\n"
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
        ("car\nvan# all of them\n", "line 2: is the '#' in 'van# all of them' part of the name"),
        ("caf\u00e9\ncafe\u0301\n", "line 2: 'caf\u00e9' was already named in line 1"),
        ("[\n'car',\n]\n", "line 1: .* holds no letter or digit"),
    ],
)
def test_bad_files_name_the_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConceptsError, match=message) as caught:
        read_concepts(path)
    assert str(path) in str(caught.value)


def test_what_was_changed_is_said_with_its_line(tmp_path: Path) -> None:
    said: list[str] = []
    path = write(tmp_path, "road\n\ufeffcar\u200b\t# all\n- tree\n")
    assert [line.concept.name for line in read_concepts(path, said.append)] == ["road", "car", "- tree"]
    assert said == [
        f"{path}, line 2: 'car': U+FEFF (ZERO WIDTH NO-BREAK SPACE), which cannot be seen, was left out.",
        f"{path}, line 2: 'car': U+200B (ZERO WIDTH SPACE), which cannot be seen, was left out.",
        f"{path}, line 3: '- tree': looks like a list item; its bullet is part of the name.",
    ]


def test_the_command_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "car, road\n")
    (tmp_path / "none.pth").touch()
    assert export_main(["--checkpoint", str(tmp_path / "none.pth"), "--concepts", str(path)]) == 3
    assert f"{path}, line 1: 'car, road': looks like several concepts in one line." in capsys.readouterr().err


def test_calibration_finds_its_concept_under_every_spelling(tmp_path: Path) -> None:
    """What a checkpoint carries is not lost to a comment, an accent or a character that nobody sees."""
    lines = read_concepts(write(tmp_path, "Car\u200b\t# all vehicles\ncafe\u0301\nvan\n"))
    metadata = {"presence": json.dumps({"car": [1.0] * 9, "caf\u00e9": [2.0] * 9})}
    said: list[str] = []
    presence = carried(Path("c.safetensors"), metadata, lines, said.append)["presence"]
    np.testing.assert_array_equal(presence[:, 0], [1, 2, np.nan])
    assert said == ["c.safetensors: contains no calibrated presence for van; run 'cgsam calibrate' on the bundle."]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConceptsError, match=r"nothing\.txt: cannot be read"):
        read_concepts(tmp_path / "nothing.txt")


def test_a_name_that_clip_would_cut(tmp_path: Path) -> None:
    path = write(tmp_path, f"car\ntree | {LONG}\n")
    with pytest.raises(ConceptsError, match=r"line 2: 'a very .*' is too long: 1\d\d tokens; CLIP's limit is 77"):
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
