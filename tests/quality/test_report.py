"""The page and the JSON of values made by hand."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge.agreement import Overlap
from cgsam_edge.errors import OutputError
from cgsam_edge.quality.charts import _distinct
from cgsam_edge.quality.findings import FloatLayer, GraphQuality, Latency, Quality, Sensitivity
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.pairs import MaskPair, extremes
from cgsam_edge.quality.pictures import figures
from cgsam_edge.quality.report import write_report
from cgsam_edge.quality.resolution import SizeSearch, SizeTrial
from cgsam_edge.quality.terminal import export_table
from cgsam_edge.quality.verdicts import verdict
from tests.quality.pages import Page

NASTY = '<b>"&'

Mask = np.ndarray[Any, Any]


def masks(_target: str, pair: MaskPair) -> tuple[Image.Image, Mask, Mask]:
    """A noisy picture and two discs whose overlap is about as told."""
    pixels = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    y, x = np.mgrid[:300, :400]
    expected = (x - 200) ** 2 + (y - 150) ** 2 < 50**2
    return Image.fromarray(pixels), expected, np.roll(expected, round(40 * (1 - pair.iou)), axis=1)


def target(name: str, low: float = 0.97, concepts: tuple[str, ...] = ("car", NASTY, "tree")) -> TargetQuality:
    pairs = [
        MaskPair(
            Path(f"/somewhere/{i}.png"),
            concept,
            low + 0.001 * i + 0.01 * k,
            True,
            i > 0 or k > 0,
            True,
            Overlap(9, 10),
            Overlap(8, 10),
        )
        for k, concept in enumerate(concepts)
        for i in range(5)
    ]
    return TargetQuality(name, tuple(pairs), GateLimits(0.95, 0.2))


def graphs(name: str, latency: Latency | None) -> tuple[GraphQuality, ...]:
    error = None if latency is None else 0.00123
    return tuple(
        GraphQuality(name, graph, "int8", 12_900_000, 5_880_000_000, error, latency)
        for graph in ("clip", "image", "concept", "decoder")
    )


QUALITY = Quality(
    title=f"street.cgsam {NASTY}",
    reference="PyTorch, float32",
    pictures="5 pictures.",
    targets=(target("onnxruntime"), target("openvino", 0.90)),
    graphs=(*graphs("onnxruntime", Latency(0.25, 0.06, 0.0123)), *graphs("coreml", None)),
    kept_in_float=tuple(FloatLayer("openvino", "image", f"/layer.{i}/{NASTY}", f"because {NASTY}") for i in range(20)),
    sensitivity=tuple(Sensitivity("image", f"/layer.{i}/{NASTY}", 0.9 + 0.001 * i, 0.01) for i in range(30)),
    notes=(f"note {NASTY}",),
    machine=("a machine",),
)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Quality], tuple[Page, dict[str, Any]]]:
    def write(quality: Quality) -> tuple[Page, dict[str, Any]]:
        write_report(quality, tmp_path / "new" / "out", masks)
        document: dict[str, Any] = json.loads((tmp_path / "new" / "out" / "report.json").read_text(encoding="utf-8"))
        assert {p.name for p in (tmp_path / "new" / "out").iterdir()} == {"report.html", "report.json"}
        return Page(tmp_path / "new" / "out" / "report.html"), document

    return write


Written = Callable[[Quality], tuple[Page, dict[str, Any]]]


def test_page_stands_alone(written: Written) -> None:
    page, _ = written(QUALITY)
    assert page.tags["svg"] == 2 + 2 * 2 + 1
    assert len(page.pictures) == 3 * 7 * 2
    assert not page.tags["script"]
    assert page.tags["b"] == 14, "the captions' own"
    assert len(page.source) < 1_500_000
    for uri in page.pictures:
        assert max(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size) == 256
    for part in (NASTY, f"note {NASTY}", f"because {NASTY}", "a machine", "not run here", "8 more"):
        assert part in page.text
    assert "prefers-color-scheme: dark" in page.source
    assert "/somewhere" not in page.source


def test_sizes_are_shown_where_one_was_chosen(written: Written) -> None:
    tried = tuple(
        SizeTrial(size, size // 2, 10**9 * size, size / 1000, 57, iou, (NASTY, 0.5), 2, None)
        for size, iou in ((256, 0.8312), (320, 0.9123))
    )
    page, document = written(replace(QUALITY, size=SizeSearch(512, 256, 512 * 10**9, 0.512, None, tried, 320, 0.9)))
    assert page.tags["svg"] == 2 + 2 * 2 + 1 + 1
    for part in ("Image size", f"{NASTY} 0.5000", "0.9123", "320 G, 62 %", "limit 0.9", "the longest 512 ms"):
        assert part in page.text
    assert "Chosen: 320 pixels: the smallest size with a mean mask IoU of 0.9 or more" in page.text
    assert [one["mean_iou"] for one in document["size"]["tried"]] == [0.8312, 0.9123]
    page, document = written(QUALITY)
    assert "Image size" not in page.text
    assert document["size"] is None


def test_verdicts_in_words(written: Written) -> None:
    page, _ = written(QUALITY)
    assert page.classes["verdict"] == 3
    assert "3 targets: 1 passed, 1 failed, 1 not run here" in page.text
    assert "mean mask IoU 0.9120, at least 0.95 is needed" in page.text
    assert "0.9000 → 0.8000" in page.text
    assert "1 of 15" in page.text
    assert "car in 0.png: present → absent" in page.text
    assert "✗ failed" in page.text
    page, document = written(replace(QUALITY, degraded=True))
    assert "1 passed, 1 degraded, 1 not run here" in page.text
    assert [t["verdict"] for t in document["targets"]] == ["passed", "degraded"]
    page, _ = written(replace(QUALITY, comparison=True, reference="A.cgsam", targets=QUALITY.targets[1:], graphs=()))
    assert "The target differs from A.cgsam" in page.text


def test_json_has_every_number(written: Written) -> None:
    _, document = written(QUALITY)
    for name, held in (
        ("graphs", QUALITY.graphs),
        ("kept", QUALITY.kept_in_float),
        ("sensitivity", QUALITY.sensitivity),
    ):
        assert document[name] == [asdict(one) for one in held]
    for name in ("title", "reference", "pictures", "degraded", "comparison"):
        assert document[name] == getattr(QUALITY, name)
    assert document["not_run"] == ["coreml"]
    passed, failed = document["targets"]
    limits = {"mean_iou": 0.95, "labelled_drop": 0.2, "disagreement": 0.5, "flips": 0.015, "score_change": 0.01}
    assert passed["limits"] == failed["limits"] == limits
    # 15 IoUs from 0.97 up: 0.001 more for each picture, 0.01 more for each concept
    assert passed["mean_iou"] == pytest.approx(0.982)
    assert failed["mean_iou"] == pytest.approx(0.912)
    assert failed["by_concept"] == pytest.approx({"car": 0.902, NASTY: 0.912, "tree": 0.922})
    assert failed["worst_concept"] == {"concept": "car", "iou": pytest.approx(0.902)}
    assert (failed["worst"]["image"], failed["worst"]["iou"]) == ("0.png", 0.90)
    for one in (passed, failed):
        assert one["labelled"] == {"before": pytest.approx(0.9), "after": pytest.approx(0.8)}
        assert (one["flips"], one["counted"]) == (1, 15)
    assert (passed["passed"], passed["problems"]) == (True, [])
    assert (failed["passed"], failed["problems"]) == (False, ["mean mask IoU 0.9120, at least 0.95 is needed"])
    assert failed["pairs"][7] == {
        "image": "2.png", "concept": NASTY, "iou": pytest.approx(0.912), "expected_present": True, "present": True,
        "calibrated": True, "labelled_before": [9, 10], "labelled_after": [8, 10], "error": 0.0, "score_change": 0.0,
        "drawn": None, "labelled_absent": False,
    }  # fmt: skip


def test_a_drop_of_class_miou_is_a_problem() -> None:
    strict = replace(target("x"), limits=GateLimits(0.95, 0.05))
    assert strict.problems == ("class mIoU 0.9000 → 0.8000, a drop of 0.05 is allowed",)
    assert replace(strict, limits=GateLimits(0.95, 0.11)).passed


def test_what_is_not_known_is_said(written: Written) -> None:
    alone = MaskPair(Path("a.png"), "car", 1.0)
    odd = GraphQuality("onnxruntime", "image", "fp32", 1, None, math.nan, Latency(0.1, 0.1, 2.5))
    quality = Quality(
        "t", "r", "p", (TargetQuality("x", (), GateLimits(0.9)), TargetQuality("y", (alone,), GateLimits(0.9))), (odd,)
    )
    page, document = written(quality)
    assert document["graphs"][0]["error"] is None
    assert "mean_iou" not in document["targets"][0]
    for part in ("not run here", "undefined", "unknown", "2.50 s", "no labels", "not calibrated"):
        assert part in page.text
    assert len(page.pictures) == 3


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_report(QUALITY, tmp_path / "file" / "out", masks)


def test_extremes_show_none_twice() -> None:
    chosen = extremes(target("x").counted)
    assert [kind for kind, _ in chosen] == ["worst"] * 3 + ["median"] * 2 + ["best"] * 2
    assert len({id(pair) for _, pair in chosen}) == 7
    assert chosen[0][1].iou == min(p.iou for p in target("x").pairs)
    assert [kind for kind, _ in extremes(target("x").pairs[:4])] == ["worst"] * 3 + ["best"]


def test_pictures_show_small_objects_large_and_stay_within_the_budget() -> None:
    lean, rich = (
        sum(len(f.reference) for f in figures([target("x")], masks, budget)["x"]) for budget in (10**5, 10**7)
    )
    assert lean < rich / 2
    small = np.zeros((1000, 2000), bool)
    small[990:, :20] = True
    picture = Image.new("RGB", (2000, 1000))
    (found,) = figures([target("x")], lambda *_: (picture, small, small), 10**6).values()
    assert found[0].size == (256, 128)
    tile = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0].reference.partition(",")[2]))))
    blue = (tile[..., 2] > 90) & (tile[..., 0] < 60)
    assert blue[-2:].any()
    assert blue.sum() > 2 * 256 * 128 * small.mean()
    nothing = np.zeros_like(small)
    figures([target("x")], lambda *_: (picture, nothing, nothing), 10**6)


def test_all_concepts_absent_is_no_failure() -> None:
    absent = TargetQuality("x", (MaskPair(Path("a"), "car", 1.0, False, False, True),), GateLimits(0.9))
    assert verdict(replace(QUALITY, targets=(absent,)), absent).word == "passed"


def test_layers_are_told_apart() -> None:
    names = [f"/image_encoder/blocks.{i}/{part}/MatMul_output_quantized" for i in (3, 31) for part in ("attn", "mlp")]
    assert _distinct(names) == ["3/attn", "3/mlp", "31/attn", "31/mlp"]
    assert _distinct(["a/b", "a/b"]) == ["a/b", "a/b"]
    assert _distinct(["car", "cab"]) == ["car", "cab"]
    assert _distinct(["a/", "a/b"]) == ["a/", "b"]


def test_the_summary_of_an_export() -> None:
    """Sizes and times are added up over the graphs: 4 × 12.9 MB, 4 × 12.3 ms."""
    head, first, second, kept = export_table(QUALITY)
    assert kept.startswith(
        "openvino: 20 layers put back in float, because masks moved too far in fewer bits; report.html"
    )
    assert head.split("  ")[0] == "target"
    assert first.split() == ["onnxruntime", "51.6", "MB", "0.9820", "0.9000", "→", "0.8000", "49", "ms", "passed"]
    assert second.startswith("openvino")
    assert "not run here" in second
    assert len({line.index("MB") for line in (first, second)}) == 1
