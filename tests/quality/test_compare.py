"""Two bundles side by side: the values, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.agreement import Overlap
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import InputError
from cgsam_edge.examples import EXAMPLES_FILE
from cgsam_edge.manifest import GRAPH_NAMES, ConceptSpec
from cgsam_edge.quality.compare import compare
from cgsam_edge.quality.judge import GateLimits
from cgsam_edge.quality.labels import LabelledImage, Remarks
from cgsam_edge.quality.latency import Racer, race
from cgsam_edge.quality.sides import Side, common_concepts
from cgsam_edge.revise import with_vocabulary
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.shipped import BUNDLE
from cgsam_edge.vocabulary import Vocabulary
from tests.commands import cgsam, fails
from tests.quality.pages import Page

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

VECTORS = Path(__file__).parents[2] / "docs" / "vectors" / "bundles" / "format-2.cgsam"

ENGINE = ("--backend", "onnxruntime", "--threads", "1")
"""An engine that is named is not looked for: that would take seconds for each bundle."""


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of other weights that knows trees by their second name, and a bus."""
    held = Bundle(VECTORS)
    known = held.vocabulary.take([held.vocabulary.index(name) for name in ("tree", "road", "car")])
    names = (ConceptSpec("shrub", ("tree",)), ConceptSpec("bus"), ConceptSpec("car"))
    vocabulary = Vocabulary.uncalibrated(names, known.features, known.rows)
    return with_vocabulary(held, vocabulary, tmp_path_factory.mktemp("other") / "other.cgsam")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{name}.png")
        label = np.full((40, 60), 1, np.uint8)
        label[:20], label[-3:] = 0, 255
        Image.fromarray(label).save(tmp_path / "labels" / f"{name}.png")
    (tmp_path / "classes.txt").write_text("car\nroad\nignore: 255\n")
    return tmp_path / "photos"


def images(photos: Path) -> list[LabelledImage]:
    truth = np.zeros((40, 60), bool)
    truth[10:30, 10:50] = True
    return [LabelledImage(path, {"tree": truth}, np.ones_like(truth)) for path in sorted(photos.iterdir())]


def counts(a: np.ndarray, b: np.ndarray) -> Overlap:
    return Overlap(int((a & b).sum()), int((a | b).sum()))


def test_values_are_those_of_the_two_segmenters(tiny_segmenter: Segmenter, other_bundle: Path, photos: Path) -> None:
    done: list[int] = []
    names = ("car", "tree")
    with Segmenter(other_bundle, backend="onnxruntime", threads=1) as second:
        a, b = Side("A.cgsam", tiny_segmenter), Side("B.cgsam", second)
        assert common_concepts(a, b) == names
        found = compare(
            a, b, images(photos), names, remarks=Remarks(), named="{} pictures.".format, progress=done.append
        )
        results = [one.segment(photos / "b.png", names) for one in (tiny_segmenter, second)]
    (target,) = found.targets
    pairs = {p.concept: p for p in target.pairs if p.image.name == "b.png"}
    truth = images(photos)[0].masks["tree"]
    shared = {name: counts(results[0][name].mask, results[1][name].mask) for name in names}
    assert any(0 < one.intersection < one.union for one in shared.values()), "the masks say nothing about IoU"
    for name, one in shared.items():
        assert pairs[name].iou == (one.intersection / one.union if one.union else 1)
        one_side, other = (result[name].logits for result in results)
        other = cv2.resize(other, one_side.shape, interpolation=cv2.INTER_LINEAR)  # it has smaller cells
        error = np.sqrt(np.mean((other.astype(np.float64) - one_side) ** 2)) / one_side.std(dtype=np.float64)
        assert pairs[name].error == pytest.approx(error, rel=1e-5)
        assert error > 0.01
    assert pairs["tree"].labelled_before == counts(results[0]["tree"].mask, truth)
    assert pairs["tree"].labelled_after == counts(results[1]["tree"].mask, truth)
    cars = [p for p in target.pairs if p.concept == "car"]
    assert cars
    assert all(p.labelled_before is None for p in cars)
    assert (done, found.pictures, found.left_out) == ([1, 2, 3], "3 pictures.", ())
    assert (target.target, target.limits) == (f"B.cgsam on {second.backend}", GateLimits(0.98, 0.01))
    assert "Not compared, only in B.cgsam: bus." in found.notes
    assert any("not calibrated in both" in note for note in found.notes)


def test_concepts_that_both_know(tiny_segmenter: Segmenter, other_bundle: Path) -> None:
    with Segmenter(other_bundle, backend="onnxruntime", threads=1) as second:
        a, b = Side("A.cgsam", tiny_segmenter), Side("B.cgsam", second)
        assert common_concepts(a, b, ["shrub", "car", "tree"]) == ("shrub", "car")
        with pytest.raises(InputError, match=r"B\.cgsam does not know road, building; it knows shrub, bus, car"):
            common_concepts(a, b, ["car", "road", "building"])
        with pytest.raises(InputError, match=r"A\.cgsam does not know bus"):
            common_concepts(a, b, ["bus"])


def test_latency_of_graphs(tiny_bundle: Path) -> None:
    made = [
        Racer(name, Bundle(tiny_bundle), OnnxRuntimeBackend(), "onnxruntime", SessionOptions(1)) for name in ("x", "y")
    ]
    found = race(made, runs=2)
    assert [(g.target, g.graph) for g in found] == [(n, g) for n in "xy" for g in GRAPH_NAMES]
    assert sum(g.bytes for g in found[:4]) == sum(p.stat().st_size for p in (tiny_bundle / "onnxruntime").iterdir())
    for graph in found:
        assert graph.latency is not None
        assert min(graph.latency.open, graph.latency.first, graph.latency.warm) > 0
        assert graph.error is not None
        assert graph.error < 1e-4
        assert graph.macs is not None
        assert graph.macs > 0
    old = Bundle(tiny_bundle)
    del old.manifest.files[EXAMPLES_FILE]
    assert all(g.error is None for g in race([Racer("z", old, OnnxRuntimeBackend(), "onnxruntime", SessionOptions(1))]))


def test_a_bundle_agrees_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(VECTORS), str(VECTORS), "--backend", "onnxruntime", "--threads", "1", "--count", "1"]
    assert main([*arguments, "--concepts", "car,road,tree", "--output", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "your own photos would say more" in err
    assert "B (format-2.cgsam) compared with A (format-2.cgsam): agrees" in out
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    (target,) = document["targets"]
    assert [pair["iou"] for pair in target["pairs"]] == [1, 1, 1]
    assert {pair["error"] for pair in target["pairs"]} == {0}
    assert (target["mean_iou"], target["flips"], target["verdict"]) == (1, 0, "agrees")
    assert target["labelled"]["before"] == target["labelled"]["after"]
    assert {g["target"] for g in document["graphs"]} == {f"{n} (format-2.cgsam) on onnxruntime" for n in "AB"}
    page = Page(tmp_path / "out" / "report.html")
    assert "The target agrees with A (format-2.cgsam)" in page.text
    assert "format-2.cgsam)" in page.text


def test_one_bad_picture_is_named_and_the_rest_is_compared(
    tiny_bundle: Path, other_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:900])
    labels = ["--labels", "labels", "--classes", "classes.txt"]
    done = cgsam(
        "compare", tiny_bundle, other_bundle, "--images", "photos", *labels, *ENGINE, "--output", "out", cwd=tmp_path
    )
    assert done.returncode == 3, done.stderr
    assert "cgsam: left out: b.png: corrupt" in done.stderr
    assert "left out, and not included in these numbers: 1 image or entry" in done.stdout
    assert "differs" in done.stdout
    assert "class mIoU against labels" in done.stdout
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["pictures"] == "2 pictures with labels of photos."
    (problem,) = document["left_out"]
    assert problem.startswith("b.png: ")
    assert {p["concept"] for p in document["targets"][0]["pairs"]} == {"car", "tree"}
    assert {p["image"] for p in document["targets"][0]["pairs"]} == {"a.png", "c.png"}
    assert f"Left out: {problem}" in Page(tmp_path / "out" / "report.html").text


def test_one_bad_label_is_named_and_the_rest_is_compared(tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "labels" / "a.png")
    labels = ["--labels", "labels", "--classes", "classes.txt"]
    done = cgsam(
        "compare", tiny_bundle, tiny_bundle, "--images", "photos", *labels, *ENGINE, "--output", "out", cwd=tmp_path
    )
    assert done.returncode == 3, done.stderr
    assert "cgsam: left out: a.png: 9x9 pixels" in done.stderr
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {p["image"] for p in document["targets"][0]["pairs"]} == {"b.png", "c.png"}


def test_labels_of_synonyms_are_joined(tiny_segmenter: Segmenter, photos: Path) -> None:
    (first, *_) = images(photos)
    upper, lower = first.masks["tree"].copy(), first.masks["tree"].copy()
    upper[20:], lower[:20] = False, False
    apart = LabelledImage(first.path, {"tree": upper, "Shrub": lower, "okapi": upper}, first.valid)
    side = Side("A.cgsam", tiny_segmenter)
    joined, split = (
        compare(side, side, [one], ("tree",), remarks=Remarks(), named=str).targets[0].pairs[0]
        for one in (first, apart)
    )
    assert joined.labelled_before is not None
    assert joined.labelled_before.union >= 800
    assert joined == split


@pytest.mark.slow
def test_a_device_needs_no_torch(tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    arguments = [
        "compare",
        str(tiny_bundle),
        str(tiny_bundle),
        "--images",
        str(photos),
        "--count",
        "2",
        "--output",
        "out",
    ]
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['onnx'] = None\n"
        f"from cgsam_edge.cli import main; sys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pairs = json.loads((tmp_path / "out" / "report.json").read_text())["targets"][0]["pairs"]
    assert {pair["image"] for pair in pairs} == {"a.png", "b.png"}  # spread evenly: the first of each half


def test_what_cannot_be_compared(tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    def refused(*arguments: object, words: tuple[str, ...], code: int = 3) -> None:
        fails(cgsam("compare", *arguments, *ENGINE, "--output", "out", cwd=tmp_path), code, *words)
        assert not (tmp_path / "out").exists()

    refused(tiny_bundle, "photos", words=("not a bundle",))
    refused("nowhere", tiny_bundle, words=("no such bundle",))
    refused(tiny_bundle, tiny_bundle, "--labels", "labels", words=("need --images",), code=2)
    refused(tiny_bundle, tiny_bundle, "--concepts", " ,", words=("names no concept",), code=2)
    without = ("--images", "photos", "--classes", "x")
    refused(tiny_bundle, tiny_bundle, *without, words=("--classes needs --labels",), code=2)
    refused(tiny_bundle, BUNDLE, "--concepts", "car,zebra", words=("does not know zebra",))
    for path in photos.iterdir():
        path.write_bytes(b"no image")
    refused(tiny_bundle, tiny_bundle, "--images", "photos", words=("none of the pictures can be used", "a.png: "))
    for path in photos.iterdir():
        path.unlink()
    refused(tiny_bundle, tiny_bundle, "--images", "photos", words=("holds no image",))
