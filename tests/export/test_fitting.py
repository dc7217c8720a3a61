"""``--max-size``: the most precise weights that fit, an estimate that holds, and a refusal where nothing fits."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cgsam_edge import shipped
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli.values import size as parsed
from cgsam_edge.errors import ExportError, InputError
from cgsam_edge.export.config import ModelConfig
from cgsam_edge.export.fitting import check_size, estimate, fit, stored_size, weights_of
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle

BOTH = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return load_reference(shipped.CHECKPOINT).config


@pytest.fixture
def options(tmp_path: Path) -> ExportOptions:
    return ExportOptions(shipped.CHECKPOINT, Path("concepts.txt"), tmp_path / "made.cgsam")


def test_the_estimate_holds_for_the_shipped_bundle(config: ModelConfig, options: ExportOptions) -> None:
    half = replace(options, precision="fp16")
    real = Bundle(shipped.BUNDLE).size
    assert real <= estimate(weights_of(config, half), half, "onnxruntime") <= 1.06 * real


@pytest.mark.parametrize(
    ("megabytes", "word"), [(60, "fp32"), (38.3, "fp16"), (20, "fp16"), (19, "int8"), (13.5, "int8"), (9.2, "int4")]
)
def test_the_most_precise_that_fits_is_taken(
    config: ModelConfig, options: ExportOptions, megabytes: float, word: str
) -> None:
    limited = replace(options, max_size=round(megabytes * 1e6), targets=BOTH)
    chosen, line = fit(limited, config, judged=True)
    assert chosen == replace(limited, precision=word)
    assert line.startswith(f"precision {word}: about ")
    assert f"of {megabytes:.1f} MB allowed" in line


def test_without_a_size_nothing_changes(config: ModelConfig, options: ExportOptions) -> None:
    assert fit(options, config, judged=True) == (options, "")


@pytest.mark.parametrize(
    ("change", "listed"),
    [
        ({"max_size": 8_000_000}, "fp32 38.5 MB, fp16 19.8 MB, int8 13.5 MB, int4 9.0 MB"),
        ({"max_size": 12_000_000, "precision": "int8"}, "about int8 13.5 MB"),
        ({"max_size": 20_000_000, "precision": "fp32", "targets": BOTH}, "about fp32 38.5 MB"),
    ],
)
def test_what_cannot_fit_is_refused_before_any_work(
    config: ModelConfig, options: ExportOptions, change: dict[str, object], listed: str
) -> None:
    with pytest.raises(InputError, match=listed) as caught:
        fit(replace(options, **change), config, judged=True)  # type: ignore[arg-type]
    assert f"no bundle of {change['max_size'] / 1e6:.1f} MB" in str(caught.value)  # type: ignore[operator]
    assert ("leave out --precision" in str(caught.value)) == ("precision" in change)
    assert "--text-encoder" not in str(caught.value)


def test_the_size_that_is_advised_is_enough(config: ModelConfig, options: ExportOptions) -> None:
    with pytest.raises(InputError) as caught:
        fit(replace(options, max_size=8_000_000), config, judged=True)
    found = re.search(r"Allow ([0-9.]+) MB or more \(int4\), or train a smaller model\.", str(caught.value))
    assert found is not None
    chosen, _ = fit(replace(options, max_size=round(float(found[1]) * 1e6)), config, judged=True)
    assert chosen.precision == "int4"


def test_nothing_is_quantised_without_calibration(config: ModelConfig, options: ExportOptions) -> None:
    with pytest.raises(InputError, match=r"fp32 38\.5 MB, fp16 19\.8 MB\."):
        fit(replace(options, max_size=15_000_000), config, judged=False)


def test_a_bundle_that_came_out_larger_is_refused(tmp_path: Path, options: ExportOptions) -> None:
    for name, size in (("onnxruntime", 70), ("openvino", 90), (".", 10)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "file").write_bytes(bytes(size * 1000))
    both = replace(options, targets=BOTH, precision="int8")
    assert stored_size(tmp_path, both, "onnxruntime") == 80_000
    assert stored_size(tmp_path, both, "openvino") == 100_000
    check_size(tmp_path, replace(both, max_size=100_000))
    with pytest.raises(ExportError, match=r"0\.10 MB with openvino, over the 0\.09 MB .*Take --precision int4"):
        check_size(tmp_path, replace(both, max_size=90_000))


@pytest.mark.parametrize(
    ("text", "size"), [("120MB", 120_000_000), ("1.5 GB", 1_500_000_000), ("8mib", 8 * 2**20), ("900kB", 900_000)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parsed(text) == size


@pytest.mark.parametrize("text", ["120", "MB", "-3MB", "1e3MB", "12TB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 120MB"):
        parsed(text)


@pytest.mark.slow
def test_an_export_takes_the_precision(tiny_checkpoint: Path, concepts_file: Path, options: ExportOptions) -> None:
    lines: list[str] = []
    tiny = replace(options, checkpoint=tiny_checkpoint, concepts=concepts_file, max_size=2_200_000)
    made = Bundle(export_bundle(tiny, progress=lines.append))
    assert {graph.precision for graph in made.manifest.targets["onnxruntime"].values()} == {"fp16"}
    assert made.size <= 2_200_000
    assert any(line.startswith("precision fp16: about ") for line in lines)
