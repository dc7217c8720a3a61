"""Presence: what it is judged by, learning it from labels, and where it shows."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import BundleError, InputError, Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.manifest import VOCABULARY_FILE
from cgsam_edge.presence import EVIDENCE, evidence, judge, uncalibrated
from cgsam_edge.quality.observation import Observation
from cgsam_edge.quality.presence_fit import fit
from cgsam_edge.revise import with_vocabulary

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

ALWAYS, NEVER = 0.0, 2.0
"""Thresholds that every score, and none, reaches."""


def thresholds(*values: float) -> np.ndarray:
    """A table that differs in the threshold alone."""
    table = np.zeros((len(values), len(EVIDENCE) + 2), np.float32)
    table[:, -1] = values
    return table


def with_presence(bundle: Path, table: np.ndarray, output: Path) -> Path:
    opened = Bundle(bundle)
    return with_vocabulary(opened, dataclasses.replace(opened.vocabulary, presence=table), output)


def test_evidence_by_hand() -> None:
    logits = np.array([[2, 0.5], [-0.5, -3]], np.float32)
    similarity = np.array([[0.1, 0.5]], np.float32)
    found = evidence(logits, 1.2, similarity, np.array([0, 2], np.float32), np.array([0.6, 0.8], np.float32))
    confidence = (1 / (1 + np.exp(-2)) + 1 / (1 + np.exp(-0.5))) / 2
    np.testing.assert_allclose(found, [1, 1 / 3, confidence, 0.5**0.5, 0.5, 0.2, 0.8], rtol=1e-6)
    nothing = evidence(-np.abs(logits) - 2, -0.3, similarity, np.zeros(2, np.float32), np.ones(2, np.float32))
    np.testing.assert_allclose(nothing, [0, 0, 0.5, 0, 0.5, 0.2, 0], atol=1e-6)


def test_judged_by_a_logistic_score() -> None:
    found = np.arange(7, dtype=np.float32)
    calibration = np.zeros(9, np.float32)
    calibration[1], calibration[7] = 0.5, -0.2
    score = 1 / (1 + np.exp(-0.3))
    calibration[8] = score - 0.01
    got, present = judge(found, calibration)
    assert got == pytest.approx(score)
    assert present
    calibration[8] = score + 0.01
    assert judge(found, calibration)[1] is False
    assert judge(found, uncalibrated(1)[0]) == (0.0, True)


def observations(images: int, concepts: int, strength: float) -> list[Observation]:
    """Concepts in half of the images, told by the fifth number."""
    rng = np.random.default_rng(1)
    made = []
    for image in range(images):
        for concept in range(concepts):
            held = bool(rng.random() < 0.5)
            values = rng.normal(size=len(EVIDENCE)).astype(np.float32)
            values[4] += strength * held
            made.append(Observation(image, concept, values, held))
    return made


def test_learns_what_tells_present_from_absent() -> None:
    strong = fit(observations(80, 3, 4.0), ["a", "b", "c"])
    assert strong.auroc is not None
    assert strong.auroc > 0.98
    assert all((c.precision or 0) > 0.9 and (c.recall or 0) > 0.9 for c in strong.concepts)
    assert (np.abs(strong.table[:, 4]) > 2 * np.abs(strong.table[:, [0, 1, 2, 3, 5, 6]]).max()).all()
    agreed = [judge(o.evidence, strong.table[o.concept])[1] == o.held for o in observations(80, 3, 4.0)]
    assert np.mean(agreed) > 0.93
    chance = fit(observations(30, 3, 0.0), ["a", "b", "c"])
    assert chance.auroc is not None
    assert 0.35 < chance.auroc < 0.65  # left-out images keep it honest


def test_too_little_to_learn_from() -> None:
    made = observations(40, 2, 3.0)
    always = [dataclasses.replace(o, held=True) if o.concept == 1 else o for o in made]
    got = fit(always, ["a", "b", "c"])
    assert np.isfinite(got.table[0]).all()
    assert np.isnan(got.table[1:]).all()
    assert [c.recall is None for c in got.concepts] == [False, True, True]
    with pytest.raises(InputError, match="no concept is in 5 labelled images and absent from 5 others"):
        fit(always[1::2], ["a", "b"])


def test_absent_concepts_in_a_result(tiny_bundle: Path, picture: Image.Image, tmp_path: Path) -> None:
    changed = with_presence(tiny_bundle, thresholds(NEVER, ALWAYS, ALWAYS, ALWAYS), tmp_path / "changed.cgsam")
    with Segmenter(tiny_bundle) as before, Segmenter(changed) as after:
        plain, result = before.segment(picture), after.segment(picture)
    assert all(one.present and one.presence == min(1, max(0, one.score)) for one in plain.values())
    assert {name: one.present for name, one in result.items()} == {
        "car": False, "road": True, "tree": True, "building": True
    }  # fmt: skip
    assert result["car"].presence == 0.5
    for name, one in result.items():
        np.testing.assert_array_equal(one.mask, plain[name].mask)  # computed and kept either way
    assert 0 not in result.label_map()
    assert [entry["present"] for entry in result.to_coco()] == [False, True, True, True]
    shown = np.asarray(result.overlay())[:, : picture.width]
    assert (shown != np.asarray(plain.overlay())[:, : picture.width]).any()


def test_a_changed_vocabulary_leaves_the_graphs(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.cgsam"
    shutil.copytree(tiny_bundle, copy)
    with_presence(copy, thresholds(NEVER, NEVER, NEVER, NEVER), copy)
    before, after = Bundle(tiny_bundle), Bundle(copy)
    after.verify()
    assert (after.vocabulary.presence[:, -1] == NEVER).all()
    same = set(before.manifest.files) - {VOCABULARY_FILE}
    assert {n: after.manifest.files[n] for n in same} == {n: before.manifest.files[n] for n in same}
    assert after.manifest.files[VOCABULARY_FILE] != before.manifest.files[VOCABULARY_FILE]
    assert [path.name for path in tmp_path.iterdir()] == ["copy.cgsam"]


def test_bundles_without_presence_open(tiny_bundle: Path, tmp_path: Path) -> None:
    """As those that were written before there was any."""
    vocabulary = Bundle(tiny_bundle).vocabulary
    np.savez(tmp_path / "old.npz", features=vocabulary.features, rows=vocabulary.rows)
    assert np.isnan(type(vocabulary).load(tmp_path / "old.npz", vocabulary.concepts).presence).all()
    with pytest.raises(BundleError, match="'presence' must have 9 columns, got 3"):
        dataclasses.replace(vocabulary, presence=np.zeros((4, 3), np.float32))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Fourteen pictures, half of them with a car."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(14):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
        label = np.full((40, 60), 1, np.uint8)
        label[: 20 * (i % 2)] = 0
        Image.fromarray(label).save(tmp_path / "labels" / f"{i}.png")
    (tmp_path / "classes.txt").write_text("car\nroad\n")
    return tmp_path


def test_the_command(tiny_bundle: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = labelled / "calibrated.cgsam"
    data = ["--images", str(labelled / "images"), "--labels", str(labelled / "labels"), "--classes"]
    data.append(str(labelled / "classes.txt"))
    assert main(["calibrate", str(tiny_bundle), *data, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "car          7       7" in said
    assert "road        14       0  too few images of one kind; always present" in said
    vocabulary = Bundle(output).vocabulary
    assert [vocabulary.calibrated(name) for name in vocabulary.names] == [True, False, False, False]
    assert main(["eval", str(output), *data, "--output", str(labelled / "out")]) == 0
    got = json.loads((labelled / "out" / "eval.json").read_text())
    assert got["concepts"][0]["presence"]["recall"] is not None
    assert got["concepts"][1]["presence"] is None
    assert "precision" in capsys.readouterr().out
    assert main(["calibrate", str(tiny_bundle), *data, "--output", str(labelled / "images")]) == 3
    assert "exists and is not a bundle" in capsys.readouterr().err
