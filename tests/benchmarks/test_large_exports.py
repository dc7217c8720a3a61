"""The measured exports of large models, here of a tiny one: figures, tables, what is done again and what is not."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import large_exports
from benchmarks.large import write
from benchmarks.large_exports import Combination, Study, chosen, run, tables
from tests import tiny

MB = 1_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("large")
    settings = tiny.config("psss")
    write(replace(settings, clip=replace(settings.clip, vocab_size=49408)), made / "tiny.safetensors")
    return made


def study(folder: Path) -> Study:
    return Study(folder, options={"clip_activation": "quickgelu", "clip_heads": [1, 1]})


@pytest.mark.slow
def test_an_export_is_measured_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Combination("tiny", ("onnxruntime", "coreml"), "fp16")
    (result,) = run(study(folder), [one])
    assert "error" not in result
    export, concept = result["export"], result["masks"]["onnxruntime"]
    assert [*result["masks"]] == ["onnxruntime"]  # Core ML does not run here
    names = [stage["name"] for stage in export["stages"]]
    assert names[0] == "read tiny.safetensors"
    assert {"convert concept for onnxruntime", "convert concept for coreml"} < {*names}
    assert export["peak_memory"] > export["peak_anonymous"] > 100 * MB  # PyTorch alone is more
    assert export["wall_seconds"] >= sum(stage["seconds"] for stage in export["stages"]) > 0
    assert 50 * MB < concept["peak_memory"] < export["peak_memory"]
    assert not list(folder.glob("*.cgsam"))
    monkeypatch.setattr(large_exports, "_measured", lambda _: pytest.fail("it was measured already"))
    assert run(study(folder), [one]) == [result]
    assert "| tiny, onnxruntime and coreml, fp16 |" in (folder / "large.md").read_text()
    assert json.loads((folder / "large.json").read_text()) == [result]


@pytest.mark.slow
def test_a_failure_is_recorded_and_tried_again(folder: Path) -> None:
    one = Combination("tiny", ("onnxruntime",), "int3")
    (result,) = run(study(folder), [one])
    assert "no precision 'int3'" in result["error"]
    assert result["stages"] == []
    assert study(folder).found(one) is None
    assert "int3" not in (folder / "large.md").read_text()


def test_an_export_that_was_stopped_leaves_its_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, steps = Combination("tiny", ("onnxruntime",), "fp32"), [{"name": "count", "seconds": 2.0, "peak_memory": MB}]

    def stopped(command: list[str], **options: Any) -> None:
        assert options["timeout"] == 90
        Path(json.loads(options["input"])["stages"]).write_text(json.dumps(steps))
        raise subprocess.TimeoutExpired(command, 90)

    monkeypatch.setattr(subprocess, "run", stopped)
    (result,) = run(replace(study(folder), minutes=1.5), [one])
    assert (result["error"], result["stages"]) == ("stopped after 1.5 minutes", steps)
    assert not list(folder.glob("*.stages.json"))


def measured(**export: Any) -> dict[str, Any]:
    stages = [{"name": "count", "seconds": 2.0}, {"name": "convert concept for openvino", "seconds": 150.4}]
    held = {"wall_seconds": 491.0, "cpu_seconds": 88.0, "peak_memory": 11_960_000_000, "peak_anonymous": 950 * MB}
    return {
        "model": "vit_h",
        "targets": ["openvino", "coreml"],
        "precision": "fp16",
        "date": "2026-11-27",
        "machine": "a CPU",
        "export": {**held, "size": 2_345_000_000, "stages": stages, **export},
        "masks": {
            "openvino": {"open_seconds": 8.04, "first_seconds": 37.0, "seconds": 36.5, "peak_memory": 5_640_000_000},
        },
    }


def test_the_tables_say_what_was_measured() -> None:
    exports, masks = tables([measured(), {"model": "vit_l", "error": "no"}])
    assert exports.rows == (
        (
            "vit_h, openvino and coreml, fp16",
            "8 min 11 s",
            "88 s",
            "12.0 GB",
            "950 MB",
            "convert concept for openvino, 150 s",
            "2.3 GB",
        ),
    )
    assert masks.rows == (("vit_h, openvino, fp16", "8.0 s", "37.0 s", "36.5 s", "5.6 GB"),)
    assert "(a CPU, 2026-11-27)" in exports.title


def test_what_is_exported() -> None:
    assert chosen(["vit_l"], ["openvino", "coreml"], ["int8"], together=False) == [
        Combination("vit_l", ("openvino",), "int8"),
        Combination("vit_l", ("coreml",), "int8"),
    ]
    assert chosen(["vit_l"], None, ["int8"], together=True) == [
        Combination("vit_l", ("onnxruntime", "openvino", "coreml"), "int8")
    ]
    all_of_them = chosen(None, None, None, together=True)
    assert len(all_of_them) == 2 * 4
    assert {one.model for one in all_of_them} == {"vit_h", "vit_l"}
