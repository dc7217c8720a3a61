"""What an export proves of arithmetic below float32, and what it writes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import Segmenter, arithmetic
from cgsam_edge.agreement import Overlap
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.export import arithmetic_proof
from cgsam_edge.export.arithmetic_search import NO_TIME, Budget
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.manifest import GRAPH_NAMES, GraphSpec
from cgsam_edge.quality.further import ArithmeticQuality
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.labels import LabelledImage
from cgsam_edge.quality.pairs import MaskPair
from cgsam_edge.runtimes.openvino import precision_hint
from cgsam_edge.runtimes.protocol import Device


@pytest.fixture(scope="module")
def quality(tmp_path_factory: pytest.TempPathFactory) -> QualityOptions:
    return QualityOptions(gate_count=2, min_iou=0.5)  # seeded weights: their masks are no more than noise


def test_an_export_says_what_it_proved(
    tiny_checkpoint: Path, concepts_file: Path, quality: QualityOptions, tmp_path: Path
) -> None:
    lines: list[str] = []
    options = ExportOptions(tiny_checkpoint, concepts_file, tmp_path / "tiny.cgsam")
    bundle = Bundle(export_bundle(options, quality, progress=lines.append))
    proofs = bundle.manifest.arithmetic["onnxruntime"]
    assert list(proofs) == ["bfloat16", "float16"]
    here = arithmetic_proof.has("bfloat16")
    for kind, emulated in (("bfloat16", not here), ("float16", not arithmetic_proof.has("float16"))):
        assert proofs[kind].graphs == dict.fromkeys(GRAPH_NAMES, kind)
        assert (proofs[kind].emulated, proofs[kind].pictures) == (emulated, 2)
        assert proofs[kind].by.startswith("PyTorch" if emulated else "openvino 20")
        assert 0.5 < proofs[kind].found["mean_iou"] < 1
    said = list(arithmetic.lines(bundle.manifest.arithmetic, "onnxruntime"))
    assert [f"onnxruntime: {line}" for line in said] == [line for line in lines if "proven for" in line]
    assert all(f"onnxruntime: {line}" in bundle.manifest.quality["notes"] for line in said)
    assert "arithmetic of onnxruntime" in "\n".join(lines)
    with Segmenter(bundle.path, backend="openvino", device="cpu") as segmenter:
        assert segmenter.placement.precision == ("bfloat16" if here else "float32")


def test_a_target_that_does_not_pass_is_tried_in_nothing_less(tmp_path: Path) -> None:
    """The proof keeps a GPU from computing it in float16, which it does with a target that has none."""
    failing = TargetQuality("onnxruntime", (MaskPair(Path("a.png"), "car", 0.5),), GateLimits())
    nothing: Any = None  # none of these is asked
    manifest: Any = SimpleNamespace(targets={"onnxruntime": dict.fromkeys(GRAPH_NAMES)})
    kinds = ("bfloat16", "float16")
    prover = arithmetic_proof.Prover(nothing, nothing, nothing, tmp_path, kinds, Budget(1e6), print)
    proofs = {"onnxruntime": prover.prove(failing, manifest)}
    assert [one.graphs for one in proofs["onnxruntime"].values()] == [dict.fromkeys(GRAPH_NAMES, "float32")] * 2
    assert arithmetic.proven(proofs, "onnxruntime", "image") == ()
    gpu = Device("GPU.0", "gpu")
    assert precision_hint("default", gpu, ("FP16", "FP32"), arithmetic.proven(proofs, "onnxruntime", "image")) == "f32"
    assert list(arithmetic.lines(proofs, "onnxruntime"))[1] == (
        "float16 not proven (not tried); the target does not pass the gate in float32, so nothing less was tried"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:this model was trained")
def test_an_engine_that_cannot_compute_in_it_ends_no_export(
    tiny_bundle: Path, tiny_segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO computes in float32 where a CPU lacks float16, whatever is asked."""
    if arithmetic_proof.has("float16"):
        pytest.skip("this CPU has FP16")
    monkeypatch.setattr(arithmetic_proof, "has", lambda _: True)
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "a.png")
    gate, manifest = Gate(tiny_segmenter, [LabelledImage(tmp_path / "a.png")], draws=0), Bundle(tiny_bundle).manifest
    judged = TargetQuality("onnxruntime", gate.measure(tiny_segmenter), GateLimits())
    said: list[str] = []
    nothing: Any = None
    prover = arithmetic_proof.Prover(gate, nothing, nothing, tiny_bundle, ("float16",), Budget(1e6), said.append)
    found = prover.prove(judged, manifest)["float16"]
    assert (found.graphs, found.found) == (dict.fromkeys(GRAPH_NAMES, "float32"), {})
    assert found.note.startswith("onnxruntime in float16 could not be computed: the engine computes in float32, asked")
    assert "moved the masks" not in found.note
    assert said[0].startswith("onnxruntime, float16 in clip and image and concept and decoder: not passed: the engine")


def test_what_was_not_computed_is_not_called_too_far() -> None:
    errors = arithmetic_proof.Errors(Path("made"))
    assert errors.beside("decoder moved the masks too far") == "decoder moved the masks too far"
    assert errors.note("x in bfloat16", MemoryError()) == "MemoryError"
    errors.note("x in bfloat16", BackendError(f"{Path('made', 'x.onnx')}: no operator Y\nin a long trace"))
    first, second = (
        f"x in bfloat16 could not be computed: {text}" for text in ("MemoryError", "x.onnx: no operator Y")
    )
    assert errors.beside("decoder moved the masks too far") == f"{first}; {second}"
    assert errors.beside(NO_TIME) == f"{first}; {second}; {NO_TIME}"
    errors.judged = 1
    assert errors.beside("decoder moved the masks too far").endswith("; decoder moved the masks too far")


def narrower(exact_iou: float, iou: float, miou: tuple[int, int, int] | None = None, **limits: float) -> Any:
    """What is found of masks whose IoU with PyTorch's was that in float32, other points giving 0.8.

    Args:
        exact_iou: in float32.
        iou: in less.
        miou: pixels of 1000 that match the label, of PyTorch, of the target in float32, and in less.
        limits: of the gate.
    """
    exact, less = MaskPair(Path("a.png"), "car", exact_iou, drawn=0.8), MaskPair(Path("a.png"), "car", iou, drawn=0.8)
    if miou is not None:
        before, between, after = (Overlap(pixels, 1000) for pixels in miou)
        exact = replace(exact, labelled_before=before, labelled_after=between)
        less = replace(less, labelled_before=before, labelled_after=after)
    held = GateLimits(**limits)
    return ArithmeticQuality("x, bfloat16", (less,), held, TargetQuality("x", (exact,), held))


def test_a_lenient_gate_licenses_no_arithmetic_that_moves_masks() -> None:
    """A quarter of the unit, 0.2, may go beyond what float32 loses; a named IoU of 0.8 alone would pass both."""
    assert narrower(0.97, 0.925, min_iou=0.8).passed
    found = narrower(0.97, 0.915, min_iou=0.8)
    assert found.problems == ("mean mask IoU 0.9700 in float32 → 0.9150, at least 0.9200 is needed",)
    assert not narrower(0.97, float("nan"), min_iou=0.0).passed
    assert not narrower(0.91, 0.89).passed, "the gate's own limit of 0.9 holds as well"


def test_class_miou_is_measured_from_the_target_in_float32() -> None:
    """INT8 lost 0.006 of class mIoU; BF16 may change nothing about that, or lose 0.003 more."""
    assert narrower(0.97, 0.97, (900, 894, 894)).passed
    assert narrower(0.97, 0.97, (900, 894, 891)).passed
    assert narrower(0.97, 0.97, (900, 900, 894)).problems == (
        "class mIoU 0.9000 in float32 → 0.8940, a drop of 0.005 is allowed",
    )
    assert narrower(0.97, 0.97, (900, 893, 889)).problems == ("class mIoU 0.9000 → 0.8890, a drop of 0.01 is allowed",)
    assert arithmetic_proof.found_summary(narrower(0.97, 0.96, (900, 894, 892)))["exact"] == {
        "mean_iou": 0.97, "class_miou": 0.894,
    }  # fmt: skip


def test_float32_is_measured_on_the_pictures_that_are_tried() -> None:
    pairs = tuple(MaskPair(Path(f"{name}.png"), "car", iou) for name, iou in (("a", 0.99), ("b", 0.98), ("c", 0.5)))
    gate: Any = SimpleNamespace(pictures=[SimpleNamespace(path=pair.image) for pair in pairs])
    nothing: Any = None
    prover = arithmetic_proof.Prover(gate, nothing, nothing, Path(), ("bfloat16",), Budget(1e6), print)
    judged = TargetQuality("x", pairs, GateLimits())
    assert prover.exact(judged, 2).pairs == pairs[:2]
    assert prover.exact(judged, None).pairs == pairs


def test_core_ml_packages_compute_in_what_the_gate_judged() -> None:
    passing = TargetQuality("coreml", (MaskPair(Path("a.png"), "car", 0.999),), GateLimits())
    specs = {name: GraphSpec(f"coreml/{name}", "fp16", (), ()) for name in GRAPH_NAMES}
    specs["decoder"] = replace(specs["decoder"], precision="fp32")
    manifest: Any = SimpleNamespace(targets={"coreml": specs})
    gate: Any = SimpleNamespace(pictures=("a.png",))
    nothing: Any = None
    prover = arithmetic_proof.Prover(gate, nothing, nothing, Path(), ("bfloat16", "float16"), Budget(1e6), print)
    (found,) = prover.prove(passing, manifest).items()
    assert found[0] == "float16"
    assert found[1].graphs == dict.fromkeys(GRAPH_NAMES, "float16") | {"decoder": "float32"}
    assert (found[1].by, found[1].emulated, found[1].pictures) == ("the MIL evaluator", True, 1)
