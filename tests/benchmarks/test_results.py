"""From turns to rows, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import labelled, peaks, results, work
from benchmarks.contenders import CONTENDERS
from benchmarks.runners import Request
from benchmarks.turns import Rounds, Store, Task, Turn
from cgsam_edge.bench import matmul
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.render import render

NAMES = ("pytorch", "plain-onnxruntime", "ours-onnxruntime", "ours-onnxruntime-int8")
CHOSEN = [one for one in CONTENDERS if one.key in NAMES]


def turn(key: str, number: int, one: float, identity: str = "a", memory: int | None = 1000) -> Turn:
    return Turn(key, identity, number, 2.0 + number, {"one": (one, one + 2), "click": (3.0,)}, memory, 0.0)


def measured(folder: Path, turns: list[Turn], problems: dict[str, str] | None = None) -> results.Measured:
    rates = {"onnxruntime": {"fp32": 2e9, "int8": 8e9}, "torch": {"fp32": 1e9}}
    return results.Measured(
        turns, problems or {}, folder, dict.fromkeys(NAMES, 4_000_000), {NAMES[3]: 3_000_000}, rates
    )


def by_key(found: list[results.ContenderRow]) -> dict[str, results.ContenderRow]:
    return {row.key: row for row in found}


def test_medians_ratios_and_limits(tmp_path: Path) -> None:
    turns = [turn(key, n, base) for key, base in zip(NAMES, (99, 49, 24, 11), strict=True) for n in (0, 1)]
    rows = by_key(results.rows(CHOSEN, measured(tmp_path, turns)))
    ours = rows["ours-onnxruntime"]
    assert ours.one is not None
    assert (ours.one.p50, ours.one.runs, ours.cold, ours.peak_memory) == (25, 4, 2.5, 1000)
    assert (ours.to_eager, ours.to_plain) == (0.25, 0.5)
    assert (ours.limit, ours.to_limit) == (2.0, 12.5)
    assert rows["ours-onnxruntime-int8"].limit == 3 / 8 + 1 / 2
    assert (rows["pytorch"].limit, rows["pytorch"].to_eager, rows["pytorch"].to_plain) == (4.0, 1.0, None)


def test_int8_that_is_slower_than_float32_has_the_limit_of_float32(tmp_path: Path) -> None:
    turns = [turn(key, 0, 10) for key in NAMES]
    made = results.Measured(
        turns, {}, tmp_path, {NAMES[3]: 4_000_000}, {NAMES[3]: 3_000_000}, {"onnxruntime": {"fp32": 2e9, "int8": 1e9}}
    )
    assert by_key(results.rows(CHOSEN, made))[NAMES[3]].limit == 2.0


def test_reduced_arithmetic_has_its_own_limit(tmp_path: Path) -> None:
    key = "ours-openvino-int8-bf16"
    chosen = [one for one in CONTENDERS if one.key == key]
    rates = {"openvino": {"fp32": 1e9, "reduced": 2e9, "int8": 4e9}}
    made = results.Measured([turn(key, 0, 10)], {}, tmp_path, {key: 4_000_000}, {key: 2_000_000}, rates)
    assert results.rows(chosen, made)[0].limit == 1.0 + 0.5


def test_products_in_int8_are_those_of_quantised_inputs_with_quantised_constants(tmp_path: Path) -> None:
    path = tmp_path / "products.onnx"
    path.write_bytes(matmul.int8_model())
    assert work.int8_macs(path) == matmul.MACS
    path.write_bytes(matmul.float_model())
    assert work.int8_macs(path) == 0


def test_masks_are_compared_with_eager_pytorch(tmp_path: Path) -> None:
    logits = np.full((2, 4, 4), -1, np.float32)
    logits[:, :2] = 1
    np.save(tmp_path / "pytorch.npy", logits)
    logits[1, 1] = -1
    np.save(tmp_path / "ours-onnxruntime.npy", logits)
    found = by_key(results.rows(CHOSEN, measured(tmp_path, [turn(key, 0, 10) for key in NAMES])))
    assert (found["ours-onnxruntime"].mask_iou, found["ours-onnxruntime"].worst_mask_iou) == (0.75, 0.5)
    assert found["plain-onnxruntime"].mask_iou is None


def test_class_miou_is_read_and_only_defaults_are_marked(tmp_path: Path) -> None:
    (tmp_path / "pytorch.json").write_text('{"class_miou": 0.5, "scenes": 2}')
    found = by_key(results.rows(CHOSEN, measured(tmp_path, [turn(key, 0, 10) for key in NAMES])))
    assert (found["pytorch"].class_miou, found["ours-onnxruntime"].class_miou) == (0.5, None)
    assert {row.key for row in found.values() if row.by_default} == {"pytorch", "plain-onnxruntime"}
    defaults = [one for one in CONTENDERS if one.by_default]
    assert {"plain-openvino-default", "plain-openvino-int8-default", "ours-default"} <= {one.key for one in defaults}
    assert all(one.arithmetic == "default" for one in defaults if one.engine in ("", "openvino"))


class Truth:
    """A runner whose masks are a scene's labels, but of one concept the opposite."""

    def __init__(self, names: tuple[str, ...], wrong: str) -> None:
        self.names, self.wrong, self.index = names, wrong, 0

    def masks(self, picture: NDArray[np.uint8], count: int) -> list[NDArray[np.bool_]]:
        scene = render(5, self.index)
        assert np.array_equal(picture, scene.image)
        self.index += 1
        return [(scene.labels == CONCEPTS.index(name)) ^ (name == self.wrong) for name in self.names[:count]]


@pytest.mark.slow
def test_masks_of_labelled_scenes_are_judged_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    names = CONCEPTS[::-1]
    held = SimpleNamespace(vocabulary=SimpleNamespace(names=names))
    monkeypatch.setattr(labelled, "Bundle", lambda _: held)
    right = labelled.class_miou_of(Truth(names, ""), "", 5, 2)  # type: ignore[arg-type]
    wrong = labelled.class_miou_of(Truth(names, "road"), "", 5, 2)  # type: ignore[arg-type]
    assert right == 1.0
    held_there = {name for i in range(2) for name in names if (render(5, i).labels == CONCEPTS.index(name)).sum() > 100}
    assert wrong == pytest.approx(1 - 1 / len(held_there))


def test_without_eager_there_is_no_ratio_and_a_problem_is_a_row(tmp_path: Path) -> None:
    found = by_key(results.rows(CHOSEN, measured(tmp_path, [turn(NAMES[2], 0, 10)], {NAMES[0]: "it broke"})))
    assert (found[NAMES[0]].problem, found[NAMES[1]].problem) == ("it broke", "not measured")
    assert found[NAMES[2]].to_eager is None


def test_greatest_peaks() -> None:
    several: list[peaks.Peaks] = [{"torch": {"fp32": 2.0}}, {"torch": {"fp32": 3.0}, "openvino": {"int8": 1.0}}]
    assert peaks.greatest(several) == {"torch": {"fp32": 3.0}, "openvino": {"int8": 1.0}}


def test_turns_are_kept_and_those_of_another_identity_dropped(tmp_path: Path) -> None:
    path = tmp_path / "turns.json"
    store = Store(path, {"x": "a", "y": "b"})
    for one in (turn("x", 0, 1), turn("y", 0, 1, "b"), turn("x", 1, 1)):
        store.add(one)
    assert Store(path, {"x": "a", "y": "b"}).turns == store.turns
    assert [(one.key, one.number) for one in Store(path, {"x": "a", "y": "c"}).turns] == [("x", 0), ("x", 1)]
    assert store.has("y", 0)
    assert not store.has("y", 1)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"key": "x"}]'])
def test_a_file_of_turns_that_cannot_be_read_is_measured_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "turns.json"
    path.write_text(text)
    store = Store(path, {"x": "a"})
    assert store.turns == []
    store.add(turn("x", 0, 1))
    assert len(json.loads(path.read_text())) == 1


def test_a_contender_that_cannot_open_is_left_out_and_says_why(tmp_path: Path) -> None:
    request = Request("bundle", "onnxruntime", "nowhere", "", str(tmp_path / "none.cgsam"), "none.png", 1, None)
    told: list[str] = []
    rounds = Rounds(Store(tmp_path / "turns.json", {}), [Task("x", "a", request, {}, tmp_path)], 2, told.append)
    rounds.run()
    assert "none.cgsam" in rounds.problems["x"]
    assert len(told) == 1
