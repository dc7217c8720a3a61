"""``cgsam bench``: real engines on real bundles; statistics, warnings and sensors on plain data."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from cgsam_edge import errors, shipped
from cgsam_edge.agreement import mask_ious
from cgsam_edge.bench import cautions, energy, matmul, page, prose
from cgsam_edge.bench.compare import compare
from cgsam_edge.bench.measure import measure
from cgsam_edge.bench.measurement import (
    ALL,
    CLICK,
    ONE,
    REST,
    Cold,
    Configuration,
    Machine,
    Measurement,
    Peak,
    Row,
    Sample,
    Subject,
)
from cgsam_edge.bench.plan import Options
from cgsam_edge.bench.roofline import distances
from cgsam_edge.bench.rounds import groups
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.storage import load, save
from cgsam_edge.bench.summary import Summary, drift, summarise
from cgsam_edge.bench.tables import tables
from cgsam_edge.bench.tally import Tally
from cgsam_edge.bench.watch import Watch
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.manifest import GRAPH_NAMES
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.protocol import Backend, SessionOptions
from cgsam_edge.runtimes.registry import BACKENDS
from tests.quality.pages import Page
from tests.runtime import fakes

QUIET = Machine("Linux 6 x86_64", "a processor", 4, 4, 8 * 2**30, "host")
CPU = Configuration("onnxruntime", "onnxruntime", "CPU", "default")
SUBJECT = Subject(
    "cars.cgsam", "d1", (64, 48), "p1", "car", ("car", "road"), 4, {"python": "3.11"},
    {"image": 4_000_000_000, "decoder": 1_000_000}, {"onnxruntime": {"image": 10_000_000, "decoder": 50_000_000}},
)  # fmt: skip


def flat(milliseconds: float) -> Summary:
    return summarise([milliseconds] * 20)


def row(scale: float = 1.0, configuration: Configuration = CPU) -> Row:
    kinds = (ONE, ALL, CLICK, *GRAPH_NAMES, REST)
    return Row(
        configuration, "float32", "fp32", 4,
        cold=(
            Cold(False, 0.1, 0.3, 2.0, 0.4, {}, 900),
            Cold(True, 0.1, 0.3, 0.5, 0.3, {"image": 9.0}, int(700 * scale)),
        ),
        times={kind: flat(scale * 10 * (i + 1)) for i, kind in enumerate(kinds)},
        series=(10.0, 11.0), seconds=(0.5, 1.5), mask_iou=1.0, worst_mask_iou=0.9, peak=Peak(100e9, 200e9),
    )  # fmt: skip


def measurement(*rows: Row, machine: Machine = QUIET, subject: Subject = SUBJECT) -> Measurement:
    samples = (Sample(0.0, 50.0, 3000.0, 4 * 2**30, 0.0, 0.0), Sample(9.0, 52.0, 3000.0, 4 * 2**30, 0.0, 0.0))
    return Measurement("now", machine, subject, rows or (row(),), samples, reference="it", bandwidth=10e9)


# statistics


def test_percentiles() -> None:
    found = summarise([float(i) for i in range(101)])
    assert found == Summary(101, 0.0, 50.0, 90.0, 99.0, 50.0)
    assert found.spread == 1.8
    assert dataclasses.astuple(summarise([4.0, 2.0])) == pytest.approx((2, 2.0, 3.0, 3.8, 3.98, 3.0))
    assert summarise([0.0]).spread == 1.0
    with pytest.raises(ValueError, match="no times"):
        summarise([])


def test_drift_is_the_last_quarter_over_the_first() -> None:
    assert drift([2.0, 2.0, 5.0, 5.0, 1.0, 9.0, 1.0, 1.0]) == 0.5
    assert drift([1.0, 2.0, 3.0]) == 1.0
    assert drift([0.0, 1.0, 1.0, 1.0]) == 1.0


def test_mask_ious() -> None:
    a = np.zeros((3, 2, 2), bool)
    b = a.copy()
    a[0], b[0, 0] = True, True  # half of it
    a[1, 0], b[1, 1] = True, True  # nothing of it
    assert mask_ious(a, b) == [0.5, 0.0, 1.0]


def test_a_tally_becomes_a_row() -> None:
    tally = Tally(CPU, "fp16")
    tally.add(ONE, {"milliseconds": [10.0, 20.0], "graphs": {"image": [6.0, 13.0], "decoder": [2.0, 2.0]}}, 5.0)
    tally.add(CLICK, {"milliseconds": [3.0], "graphs": {}}, 6.0)
    tally.peaks = [{"rate": 1.0, "int8": None}, {"rate": 2.0, "int8": None}]
    made = tally.row(None)
    assert made.times[REST].minimum == 2.0
    assert made.times[REST].runs == 2
    assert made.seconds == pytest.approx((4.98, 5.0))
    assert made.images_per_second == pytest.approx(1000 / 15)
    assert made.peak == Peak(2.0, None)
    assert (made.mask_iou, made.joules, made.peak_memory) == (None, None, None)


def test_what_does_not_fit_in_memory_runs_in_groups() -> None:
    tallies = [Tally(CPU, cold=[Cold(True, 0, 0, 0, 0, {}, memory)]) for memory in (400, 300, 600, 9000)]
    assert [len(group) for group in groups(tallies, 1000)] == [2, 1, 1]
    assert [len(group) for group in groups(tallies, None)] == [4]


# warnings


def test_a_quiet_machine_gives_no_warning() -> None:
    quiet = cautions.Conditions(QUIET, None, {}, 0.3, ("performance",))
    assert cautions.before(quiet) == []
    assert cautions.after((row(),), measurement().samples, QUIET) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": 8}, "8 threads on 4 cores"),
        ({"environment": {"OMP_NUM_THREADS": "16"}}, "OMP_NUM_THREADS=16"),
        ({"machine": dataclasses.replace(QUIET, cores=2)}, "2 of 4 cores"),
        ({"load": 3.5}, "load 3.5 on 4 cores"),
        ({"governors": ("powersave",)}, "governor is powersave"),
        ({"battery": True}, "on battery"),
    ],
)
def test_warnings_before(change: dict[str, object], words: str) -> None:
    quiet = cautions.Conditions(QUIET, None, {}, 0.3, ("performance",))
    (found,) = cautions.before(dataclasses.replace(quiet, **change))  # type: ignore[arg-type]
    assert words in found


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (Sample(1.0, 50.0, 3000.0, 4 * 2**30, 0.8, 0.0), "0.6 cores busy"),
        (Sample(1.0, 50.0, 3000.0, 4 * 2**30, 0.0, 0.1), "took 8 %"),
        (Sample(1.0, 50.0, 2000.0, 4 * 2**30, 0.0, 0.0), "fell to 67 %"),
        (Sample(1.0, 75.0, 3000.0, 4 * 2**30, 0.0, 0.0), "25 °C warmer"),
        (Sample(1.0, 50.0, 3000.0, 2**26, 0.0, 0.0), "67 MB of memory"),
    ],
)
def test_warnings_after(sample: Sample, words: str) -> None:
    samples = (measurement().samples[0], *(dataclasses.replace(sample, seconds=i) for i in range(1, 5)))
    assert any(words in line for line in cautions.after((row(),), samples, QUIET))


def test_warnings_about_runs() -> None:
    uneven = dataclasses.replace(row(), times={ONE: summarise([1.0, 1.0, 9.0])})
    found = "\n".join(cautions.after((uneven,), (), QUIET))
    assert "only 3 runs" in found
    assert "p90 is 7.40 times p50" in found


# sensors


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_sensors_read_what_linux_tells(tmp_path: Path) -> None:
    cpufreq = "sys/devices/system/cpu/cpu{}/cpufreq/{}"
    root = write(tmp_path, {
        "proc/stat": "cpu  100 200 300 400 50 6 4 40 0 0\ncpu0 1 2 3 4 5 6 7 8\n",
        "proc/meminfo": "MemTotal:  2000 kB\nMemFree: 1 kB\nMemAvailable:  500 kB\n",
        "proc/loadavg": "1.5 1.0 0.5 1/99 7\n",
        "proc/cpuinfo": "processor : 0\nmodel name : Some CPU\ncpu MHz : 1.0\n",
        "sys/class/thermal/thermal_zone0/temp": "41000\n",
        "sys/class/thermal/thermal_zone1/temp": "67500\n",
        "sys/class/thermal/thermal_zone2/temp": "asleep\n",
        cpufreq.format(0, "scaling_cur_freq"): "3000000\n",
        cpufreq.format(1, "scaling_cur_freq"): "1000000\n",
        cpufreq.format(0, "scaling_governor"): "schedutil\n",
        cpufreq.format(1, "scaling_governor"): "schedutil\n",
        "sys/class/power_supply/BAT0/type": "Battery\n",
        "sys/class/power_supply/BAT0/status": "Discharging\n",
    })  # fmt: skip
    sensors = Sensors(root)
    told = sensors.cpu_time()
    assert told is not None
    assert (told.busy / told.total, told.stolen / told.total) == pytest.approx((610 / 1100, 40 / 1100))
    assert sensors.memory() == (2000 * 1024, 500 * 1024)
    assert (sensors.temperature(), sensors.clock(), sensors.load()) == (67.5, 2000.0, 1.5)
    assert sensors.governors() == ("schedutil",)
    assert sensors.on_battery()
    assert sensors.machine().processor == "Some CPU"


def test_sensors_where_nothing_is_told(tmp_path: Path) -> None:
    sensors = Sensors(tmp_path)
    assert (sensors.cpu_time(), sensors.memory(), sensors.temperature(), sensors.clock()) == (None, None, None, None)
    assert sensors.governors() == ()
    assert not sensors.on_battery()
    sample = Watch(sensors).look()
    assert (sample.others, sample.stolen, sample.available) == (None, None, None)


def test_others_are_what_is_neither_ours_nor_the_childrens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgsam_edge.bench.sensors._ticks", lambda: 1)
    tally = dataclasses.make_dataclass("Child", [("cpu", float)])(0.0)
    root = write(tmp_path, {"proc/stat": "cpu 100 0 0 100 0 0 0 0 0 0\n"})
    watch = Watch(Sensors(root))
    watch.begin([tally])
    write(root, {"proc/stat": "cpu 130 0 0 160 0 0 0 10 0 0\n"})
    tally.cpu = 30.0  # all that was busy
    sample = watch.look()
    assert sample.others == 0.0
    assert sample.stolen == pytest.approx(0.1)


def test_energy_of_processor_packages(tmp_path: Path) -> None:
    package = "sys/class/powercap/intel-rapl:0"
    root = write(tmp_path, {
        f"{package}/energy_uj": "900000", f"{package}/max_energy_range_uj": "1000000",
        "sys/class/powercap/intel-rapl:0:0/energy_uj": "5",
    })  # fmt: skip
    meter = energy.meter(root)
    assert meter.source.startswith("RAPL, 1 processor package,")
    write(root, {f"{package}/energy_uj": "400000"})  # it began again at its range
    assert meter.joules() == pytest.approx(0.5)
    write(root, {f"{package}/energy_uj": "900000"})
    assert meter.joules() == pytest.approx(1.0)


def test_energy_of_rails(tmp_path: Path) -> None:
    chip = "sys/class/hwmon/hwmon3"
    root = write(tmp_path, {
        f"{chip}/name": "ina3221", f"{chip}/in1_label": "VDD_IN", f"{chip}/curr1_input": "2000",
        f"{chip}/in1_input": "5000", f"{chip}/in2_label": "VDD_CPU", f"{chip}/curr2_input": "1000",
        f"{chip}/in2_input": "5000", "sys/class/hwmon/hwmon1/name": "acpitz",
    })  # fmt: skip
    rails = energy._rails(root)
    assert [(name, read()) for name, read in rails] == [("VDD_IN", 10.0)]  # the whole board, and not its parts again
    meter = energy.meter(root)
    assert meter.source == "INA rails VDD_IN"
    meter.close()


def test_energy_that_is_not_told(tmp_path: Path) -> None:
    meter = energy.meter(tmp_path)
    assert (meter.source, meter.joules()) == ("not reported", None)
    root = write(tmp_path, {"sys/class/powercap/intel-rapl:0/max_energy_range_uj": "1"})
    assert energy.meter(root).joules() is None  # there, and not ours to read


# roofline


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("model", "near"), [(matmul.float_model, 1e-4), (matmul.int8_model, 0.1)])
def test_the_products_are_valid_and_right(
    backend: str, model: Callable[[], bytes], near: float, tmp_path: Path
) -> None:
    content = model()
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    path = tmp_path / "products.onnx"
    path.write_bytes(content)
    session = BACKENDS[backend].open(path, SessionOptions(1))
    x = np.random.default_rng(1).standard_normal((matmul.SIDE, matmul.SIDE)).astype(np.float32)
    expected = x.astype(np.float64)
    for _ in range(matmul.LAYERS):
        expected = expected @ matmul._weights()
    got = session.run({"x": x})["y"]
    assert np.sqrt(((got - expected) ** 2).mean()) / expected.std() < near
    session.close()


def test_distances() -> None:
    image, decoder = distances(measurement())
    assert (image.graph, image.measured, image.bound) == ("image", 50.0, "products")
    assert image.limit == pytest.approx(40.0)
    assert image.share == pytest.approx(0.8)
    assert image.int8_limit == pytest.approx(20.0)
    assert decoder.bound == "memory"
    assert decoder.limit == pytest.approx(5.0)  # 50 MB at 10 GB/s


# reports


def test_a_report_is_the_same_after_json(tmp_path: Path) -> None:
    made = measurement(row(), dataclasses.replace(row(), problem="broke", times={}, peak=None))
    save(made, tmp_path / "a.json")
    assert load(tmp_path / "a.json") == made


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "cgsam-bundle"}', '{"format": "cgsam-bench"}', "\0"])
def test_files_that_are_no_report(content: str, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(errors.InputError, match=r"old\.json"):
        load(path)


def test_a_comparison() -> None:
    same = compare(measurement(), measurement())
    assert set(same.ratios["onnxruntime CPU float32"].values()) == {1.0}
    assert same.warnings == ()
    half = compare(measurement(), measurement(row(0.5)))
    assert set(half.ratios["onnxruntime CPU float32"].values()) == {0.5, 1.0}  # starts were not shorter


def test_a_comparison_of_different_things_warns() -> None:
    subject = dataclasses.replace(SUBJECT, digest="d2", threads=2, versions={"python": "3.12", "openvino": "9"})
    other = measurement(
        row(configuration=dataclasses.replace(CPU, device="CUDA")),
        machine=dataclasses.replace(QUIET, processor="another"),
        subject=subject,
    )
    found = "\n".join(compare(measurement(), other).warnings)
    for words in (
        "not the same machine", "not the same bundle", "number of threads: 4 then, 2 now",
        "python: 3.11 then, 3.12 now",
        "openvino: none then, 9 now", "onnxruntime CPU default was measured then", "CUDA default is measured now",
    ):  # fmt: skip
        assert words in found
    fewer = measurement(subject=dataclasses.replace(SUBJECT, concepts=("car",)))
    assert ALL not in compare(measurement(), fewer).ratios["onnxruntime CPU float32"]
    reduced = dataclasses.replace(row(), arithmetic="bfloat16")
    assert (
        "computed in float32 on fp32 weights then, and in bfloat16"
        in compare(measurement(), measurement(reduced)).warnings[0]
    )


def test_the_text_fits_a_terminal() -> None:
    many = [row(configuration=dataclasses.replace(CPU, device=name)) for name in ("TensorRT", "DirectML")]
    made = measurement(*many)
    shown = prose.text(made, compare(made, made))
    assert max(map(len, shown.splitlines())) <= 100
    assert "onnxruntime DirectML float32" in shown


def test_the_page_stands_alone(tmp_path: Path) -> None:
    made = measurement(row(), dataclasses.replace(row(), problem="died of <SIGSEGV>", times={}, peak=None))
    path = tmp_path / "bench.html"
    path.write_text(page.page(made, compare(made, made)), encoding="utf-8")
    shown = Page(path)
    assert "died of <SIGSEGV>" in shown.text
    assert shown.tags["svg"] == shown.classes["plot"] == 7
    assert (shown.tags["script"], shown.pictures) == (0, [])
    assert len(re.findall(r"<tr>", shown.source)) == sum(1 + len(one.rows) for one in tables(made, compare(made, made)))


# the command


@pytest.mark.slow
def test_a_whole_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {kind: tmp_path / f"a.{kind}" for kind in ("json", "markdown", "html")}
    command = [
        "bench",
        str(shipped.BUNDLE),
        "--quick",
        "--runs",
        "4",
        "--threads",
        "1",
        "--roofline",
        "--concept",
        "car",
    ]
    assert main([*command, *(f"--{kind}={path}" for kind, path in files.items())]) == 0
    out = capsys.readouterr()
    assert "round 2 of 2" in out.err
    assert "Side by side" in out.out
    made = load(files["json"])
    assert [row.configuration.backend for row in made.rows][:2] == ["onnxruntime", "openvino"]
    for one in made.rows:
        _check_row(one)
    assert made.subject.concepts == ("car", "sky", "building")
    assert made.bandwidth
    assert len(list(distances(made))) == 4 * len(made.rows)
    assert f"| {made.rows[0].name} |" in files["markdown"].read_text()
    assert made.rows[0].name in files["html"].read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json", "a.markdown"]


def _check_row(one: Row) -> None:
    assert one.problem == ""
    assert {one.times[kind].runs for kind in (ONE, CLICK, *GRAPH_NAMES, REST)} == {4}
    assert one.times[ALL].runs == 2
    assert one.times[ONE].p50 > one.times["image"].minimum > 0
    assert [cold.cached for cold in one.cold] == [False, True, True]  # the last is the one that was measured
    assert all(min(cold.start, cold.imports, cold.open, cold.first) > 0 for cold in one.cold)
    assert one.threads in (1, None)
    assert one.peak is not None
    assert one.peak.rate
    if one.arithmetic == "float32":
        assert one.mask_iou == pytest.approx(1.0, abs=1e-3)
        assert one.pytorch_mask_iou == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_engine_that_crashes_leaves_the_others(
    tiny_bundle: Path, engines: Callable[..., None], picture_file: Path
) -> None:
    engines(fakes.Crashing(), OnnxRuntimeBackend())
    options = Options(runs=1, starts=0, threads=1, picture=picture_file, device="auto")
    made = measure(Bundle(tiny_bundle), options)
    told = {f"{one.configuration.backend} {one.configuration.device}": one for one in made.rows}
    assert "its process died of SIGKILL while opening the graphs" in told["crashing GPU"].problem
    assert told["crashing CPU"].measured
    assert told["onnxruntime CPU"].measured
    assert made.reference.startswith("crashing CPU")
    assert "problem: crashing GPU" in prose.text(made)


def test_where_nothing_runs(tiny_bundle: Path, engines: Callable[..., None]) -> None:
    engines(fakes.Crashing())
    with pytest.raises(errors.BackendError, match=r"no engine can run this bundle here:\n  crashing GPU"):
        measure(Bundle(tiny_bundle), Options(device="gpu", starts=0))
    engines(fakes.CrashingDriver())
    with pytest.raises(errors.BackendError, match="ended with code 66"):
        measure(Bundle(tiny_bundle), Options())


@pytest.mark.parametrize("backend", [fakes.Missing()])
def test_engines_that_are_not_installed_are_noted(
    tiny_bundle: Path, backend: Backend, engines: Callable[..., None]
) -> None:
    engines(OnnxRuntimeBackend(), backend)
    made = measure(Bundle(tiny_bundle), Options(runs=1, starts=0, threads=1))
    assert any("missing is not installed" in note for note in made.notes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.cgsam"], "nowhere.cgsam: no such bundle"),
        ([str(shipped.BUNDLE), "--backend", "coreml"], "no graphs for 'coreml'"),
        ([str(shipped.BUNDLE), "--backend", "openvino", "--device", "cuda"], "openvino has no device 'cuda'"),
        ([str(shipped.BUNDLE), "--image", "no.png"], "no.png: no such file"),
        ([str(shipped.BUNDLE), "--concept", "cra"], "Did you mean 'car'?"),
        (["--concept", "cra"], "Did you mean 'car'?"),  # the shipped bundle
        ([str(shipped.BUNDLE), "--json", "no/where.json"], "its folder does not exist"),
        ([str(shipped.BUNDLE), "--compare", "no.json"], "no.json: no such file"),
        ([str(shipped.BUNDLE), "--compare", str(shipped.BUNDLE / "manifest.json")], "not a file that cgsam bench"),
    ],
)
def test_bad_input(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 3
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runs": 0}, "--runs must be 1 or more, got 0"),
        ({"threads": 0}, "--threads must be a whole number from 1 to"),
        ({"minutes": -1.0}, "--minutes must be 0 or more"),
        ({"minutes": math.nan}, "--minutes must be 0 or more"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.InputError, match=words):
        Options(**options)


@pytest.mark.slow
def test_a_bundle_without_examples_wants_a_picture(tiny_bundle: Path, picture_file: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(tiny_bundle, tmp_path / "bare.cgsam"))
    manifest = json.loads((bare / "manifest.json").read_text())
    del manifest["files"]["examples.npz"]
    del manifest["cost"]
    (bare / "manifest.json").write_text(json.dumps(manifest))
    bundle = Bundle(bare)
    with pytest.raises(errors.InputError, match="Give one with --image"):
        measure(bundle, Options())
    options = Options(backend="onnxruntime", runs=1, starts=0, threads=1, picture=picture_file, roofline=True)
    made = measure(bundle, options)
    assert made.rows[0].pytorch_mask_iou is None
    assert "lists no multiply-adds for its graphs" in prose.text(made)
