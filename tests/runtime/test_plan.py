"""``cgsam plan``: estimates against sums done by hand from the published tables, and the check of this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from cgsam_edge import shipped
from cgsam_edge.bench import estimate, products
from cgsam_edge.bench.estimate_check import checks
from cgsam_edge.bench.measurement import Cold, Configuration, Machine, Measurement, Peak, Row, Subject
from cgsam_edge.bench.products import Span
from cgsam_edge.bench.summary import summarise
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.errors import InputError
from cgsam_edge.runtimes.registry import BACKENDS
from tests.commands import cgsam, fails

MACS = {"image": 4_000_000_000, "concept": 1_000_000_000, "decoder": 200_000_000}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The shipped bundle as format 1 had it, with round numbers of multiply-adds and parameters."""
    return altered(
        tmp_path / "b.cgsam", cost={name: {"macs": macs, "parameters": 1_000_000} for name, macs in MACS.items()}
    )


def altered(path: Path, *, cost: Mapping[str, object], precision: str = "fp16") -> Bundle:
    shutil.copytree(shipped.BUNDLE, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["cost"] = cost
    if "clip" not in cost:  # part of the image graph in format 1
        manifest["format_version"] = 1
        manifest["targets"]["onnxruntime"].pop("clip", None)
    manifest["targets"]["onnxruntime"]["image"]["precision"] = precision
    (path / "manifest.json").write_text(json.dumps(manifest))
    return Bundle(path)


def planned(bundle: Bundle, name: str) -> list[estimate.PlannedRun]:
    known = products.table()
    return list(estimate.runs(bundle, known.find(name), known))


def test_a_cpu_computes_at_the_rates_of_the_published_networks(bundle: Bundle) -> None:
    (one,) = planned(bundle, "pi5")
    slow, fast = 168.082 / 3.25, 324.17 / 10.75  # YOLO11n and YOLO11s on a Pi 5: milliseconds for 10^9 multiply-adds
    assert (one.image.low, one.image.high) == pytest.approx((4 * fast, 4 * slow))
    assert (one.concept.low, one.concept.high) == pytest.approx((1.2 * fast, (1 + 0.2 * 2.7) * slow))
    assert (one.click.low, one.click.high) == pytest.approx((0.2 * fast, 0.2 * 2.7 * slow))
    assert (one.engine, one.device, one.arithmetic) == ("onnxruntime", "CPU", "float32")
    assert "raspberry-pi" in one.source


def test_clip_and_sam_both_count_for_an_image(tmp_path: Path) -> None:
    cost = {name: {"macs": macs} for name, macs in {**MACS, "clip": 500_000_000}.items()}
    (one,) = planned(altered(tmp_path / "two", cost=cost), "pi5")
    assert one.image.low == pytest.approx(4.5 * 324.17 / 10.75)
    assert one.image.high >= 4.5 * 168.082 / 3.25


def test_a_small_graph_on_a_gpu_may_take_as_long_as_the_smallest_network(bundle: Bundle) -> None:
    float32, float16 = planned(bundle, "orin-nano")
    assert float32.click.high == pytest.approx(2.7 * 7.94)  # YOLO11n, 16 times as large as this decoder
    assert float16.image.high == pytest.approx(4 * 4.91 / 3.25)  # of the networks up to 16 times as large, the slowest
    assert float16.image.low == pytest.approx(4 * 17.57 / 43.45)  # and the fastest; YOLO11x is 24 times as large


def test_int8_is_planned_for_int8_bundles_alone_and_float_graphs_in_float(tmp_path: Path) -> None:
    cost = {name: {"macs": macs} for name, macs in MACS.items()}
    assert {one.arithmetic for one in planned(altered(tmp_path / "f", cost=cost), "core-ultra-155h")} == {
        "float32",
        "float16",
    }
    quantised = altered(tmp_path / "q", cost=cost, precision="int8")
    cpu = {one.arithmetic: one for one in planned(quantised, "core-ultra-155h") if one.device == "CPU"}
    assert cpu["int8"].image.low == pytest.approx(4 * 85.32 / 96.95)
    assert cpu["int8"].click == cpu["float32"].click  # only the image graph is INT8
    (npu,) = planned(quantised, "snapdragon-8-elite-gen5")
    assert npu.device == "QNN"
    assert npu.memory == planned(quantised, "pi5")[0].memory


def test_memory_and_disk(bundle: Bundle) -> None:
    (one,) = planned(bundle, "pi5")
    stored = sum((bundle.path / graph.path).stat().st_size for graph in bundle.graphs("onnxruntime").values())
    assert stored < 12e6
    assert one.memory == Span(150e6 + stored, 150e6 + 3 * 12e6)  # three graphs of a million weights of 4 bytes
    assert one.disk == sum(
        file.stat().st_size for file in bundle.path.rglob("*") if file.name != "manifest.json" and file.is_file()
    )


def test_the_table_is_whole() -> None:
    known = products.table()
    for product in known.products.values():
        assert product.rates
        for rate in product.rates:
            assert rate.engine in BACKENDS
            assert rate.arithmetic in ("float32", "float16", "int8")
            assert rate.milliseconds.keys() <= known.networks.keys()
            assert all(known.sources[key].url.startswith("https://") for key in (rate.source, rate.networks))


def test_unknown_products_are_refused_with_the_known(bundle: Bundle, tmp_path: Path) -> None:
    done = cgsam("plan", bundle.path, "--device", "pi4", cwd=tmp_path)
    fails(done, 2, "argument --device: no published figures for 'pi4'. Did you mean 'pi5'?", "agx-orin")


def test_a_manifest_without_multiply_adds_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = altered(tmp_path / "plain.cgsam", cost={})
    assert main(["plan", str(plain.path), "--device", "pi5"]) == InputError.exit_code
    assert f"{plain.path}: its manifest does not say how many multiply-adds" in capsys.readouterr().err


def test_what_is_printed(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(bundle.path)]) == 0
    out = capsys.readouterr().out
    assert "onnxruntime on CPU, float32  121 to 207 ms" in out
    assert (
        "iphone-17-pro: iPhone 17 Pro\n  no published figure fits this bundle, which holds graphs for onnxruntime"
        in out
    )
    assert "These are estimates" in out
    assert main(["plan", str(bundle.path), "--device", "pi5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["products"]["pi5"]["runs"][0]["image"]["low"] == pytest.approx(4 * 324.17 / 10.75)
    assert list(found["products"]) == ["pi5"]


def test_a_graph_in_four_bits_is_planned_as_one_in_int8_and_takes_half_a_byte(tmp_path: Path) -> None:
    cost = {name: {"macs": macs} for name, macs in MACS.items()}
    eight, four = (altered(tmp_path / word, cost=cost, precision=word) for word in ("int8", "int4"))
    assert [one.image for one in planned(four, "core-ultra-155h")] == [
        one.image for one in planned(eight, "core-ultra-155h")
    ]
    stored = (four.path / four.graphs("onnxruntime")["image"].path).stat().st_size
    highest = [estimate.memory(one, "onnxruntime", "onnxruntime") for one in (four, eight)]
    assert highest[0] is not None
    assert highest[1] is not None
    assert highest[0].high - highest[1].high == pytest.approx(3 * 4 * (stored / 0.5 - stored / 1))


def test_this_machine_takes_four_bits_at_its_rate_of_int8(tmp_path: Path) -> None:
    bundle = altered(tmp_path / "b", cost={name: {"macs": macs} for name, macs in MACS.items()}, precision="int4")
    (one,) = checks(bundle, measured(100.0, 170_000_000, int8=400e9))
    assert one.estimate.image.low == pytest.approx(10.0)  # 4·10^9 at 400·10^9
    assert one.estimate.concept.low == pytest.approx(12.0)  # in float


def measured(image: float, memory: int, int8: float | None = None) -> Measurement:
    times = {"image": image, "concept": 20.0, "decoder": 10.0}
    row = Row(
        Configuration("onnxruntime", "onnxruntime", "CPU", "default"), "float32", "fp16", 2,
        cold=(Cold(False, 0.1, 0.1, 0.1, 0.1, {}, memory),),
        times={name: summarise([ms] * 3) for name, ms in times.items()}, peak=Peak(100e9, int8),
    )  # fmt: skip
    subject = Subject("b", "d", (8, 8), "p", "car", ("car",), None, {})
    return Measurement("now", Machine("Linux", "a processor", 2, 2), subject, (row,))


@pytest.mark.parametrize(
    ("image", "memory", "inside"),
    [(100.0, 170_000_000, True), (181.0, 170_000_000, False), (39.0, 170_000_000, False), (100.0, 200_000_000, False)],
    ids=["as estimated", "slower", "faster than matrix products", "more memory"],
)
def test_this_machine_is_compared_with_its_own_estimate(
    bundle: Bundle, image: float, memory: int, inside: bool
) -> None:
    (one,) = checks(bundle, measured(image, memory))
    assert (one.estimate.image.low, one.estimate.image.high) == pytest.approx((40.0, 180.0))  # 4·10^9 at 100·10^9
    assert (one.image, one.concept, one.click, one.memory) == (image, 30.0, 10.0, memory)
    assert one.inside is inside


@pytest.mark.slow
def test_this_machine_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(shipped.BUNDLE), "--device", "this", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["products"] == {}
    assert {one["estimate"]["engine"] for one in found["this"]} >= {"onnxruntime"}
    assert all(one["image"] > 0 and one["memory"] > 0 for one in found["this"])
