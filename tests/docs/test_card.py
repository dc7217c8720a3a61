"""``cgsam card``: it states what the bundle records, and replaces no file that it did not write."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from cgsam_edge import Segmenter, shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import OutputError
from cgsam_edge.manifest import FILE_NAME
from cgsam_edge.quality.card import write_card
from cgsam_edge.quality.scenes import render
from cgsam_edge.written_files import png_mark
from tests.commands import cgsam

SMALL = Path(__file__).parents[2] / "docs" / "vectors" / "bundles" / "format-2.cgsam"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped.BUNDLE, tmp_path / "streets.cgsam"))


def front_matter(card: Path) -> dict[str, object]:
    _, text, _ = card.read_text(encoding="utf-8").split("---\n", 2)
    found: dict[str, object] = yaml.safe_load(text)
    return found


def test_the_card_of_the_shipped_bundle(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(render(1, 0).image).save(tmp_path / "photos" / "scene.png")
    monkeypatch.chdir(tmp_path)
    assert main(["card", "streets.cgsam", "--licence", "apache-2.0", "--images", "photos"]) == 0
    assert "wrote streets.cgsam/README.md" in capsys.readouterr().out
    card = bundle / "README.md"
    assert front_matter(card) == {
        "license": "apache-2.0",
        "library_name": "cgsam-edge",
        "pipeline_tag": "image-segmentation",
        "tags": ["segment-anything", "clip", "clip-guided-sam", "edge", "onnx"],
    }
    text = card.read_text(encoding="utf-8")
    for words in (
        "| bicyclist | cyclist | calibrated |",
        "| `onnxruntime` | clip | fp16 | 6.8 MB | 1.1 G |",
        "| `onnxruntime` | image | fp16 | 6.2 MB | 3.5 G |",
        hashlib.sha256(shipped.CHECKPOINT.read_bytes()).hexdigest(),
        "text and clicks",
        "![Masks of all concepts](card/1-scene.png)",
    ):
        assert words in text
    assert Image.open(bundle / "card" / "1-scene.png").height == 512
    Bundle(bundle).verify()
    with Segmenter(bundle, backend="onnxruntime") as segmenter:
        assert segmenter.concepts[0] == "sky"


def test_what_cgsam_drew_and_labels_are_not_on_the_card(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(SMALL, tmp_path / "small.cgsam"))
    scene = render(1, 0, 96, 96)
    (tmp_path / "photos").mkdir()
    photo = Image.fromarray(scene.image)
    photo.save(tmp_path / "photos" / "street.jpg")
    photo.save(tmp_path / "photos" / "mine.overlay.png")  # no mark: somebody's own
    photo.save(tmp_path / "photos" / "shown.png", pnginfo=png_mark())
    label = Image.fromarray(scene.labels).convert("P")
    label.save(tmp_path / "photos" / "street.png")
    done = cgsam("card", bundle, "--images", "photos", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (bundle / "card").iterdir()) == ["1-mine.overlay.png", "2-street.png"]
    assert "photos/shown.png: left out; cgsam drew it" in done.stderr
    assert "photos/street.png: left out; it looks like the label" in done.stderr


def judged(bundle: Path) -> None:
    """Give a bundle what an export's gate writes."""
    path = bundle / FILE_NAME
    manifest = json.loads(path.read_text(encoding="utf-8"))
    found = {
        "passed": True, "mean_iou": 0.9712, "limit": 0.95, "worst_concept": ["fence", 0.9405], "flips": 2, "masks": 458,
        "class_miou": [0.5329, 0.5327],
    }  # fmt: skip
    manifest["quality"] = {"degraded": True, "pictures": "60 scenes.", "gate": {"onnxruntime": found}, "kept": [{}]}
    manifest["concepts"][0]["name"] = "sk|y"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    targets = [{"target": "onnxruntime", "by_concept": {"fence": 0.94051, "car": 0.99}}]
    (bundle / "report.json").write_text(json.dumps({"targets": targets}), encoding="utf-8")


def test_what_the_gate_found_is_on_the_card(bundle: Path) -> None:
    judged(bundle)
    text = write_card(Bundle(bundle)).read_text(encoding="utf-8")
    for words in (
        "| `onnxruntime` | 0.9712 over 458 masks | 0.95 | fence 0.9405 | 2 | 0.5329 → 0.5327 |",
        "| fence | 0.9405 |\n| car | 0.9900 |",
        "exported with `--allow-degraded`",
        "1 layer stayed in higher precision",
        "| sk\\|y |",
        "60 scenes.",
    ):
        assert words in text
    assert front_matter(bundle / "README.md")["license_name"] == "not-stated"


def test_somebody_elses_readme_stays(bundle: Path) -> None:
    card = bundle / "README.md"
    card.write_text("my own words")
    with pytest.raises(OutputError, match=r"README\.md: exists, and this program did not write it"):
        write_card(Bundle(bundle))
    assert card.read_text() == "my own words"
    write_card(Bundle(bundle), replace=True)
    assert "Written by `cgsam card`" in card.read_text(encoding="utf-8")
    write_card(Bundle(bundle), licence="mit")  # its own it replaces without being asked
    assert front_matter(card)["license"] == "mit"
