"""Which graphs may compute in less than float32: the search, the emulation, and what an export writes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cgsam_edge import Segmenter, arithmetic
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import export_main
from cgsam_edge.errors import InputError
from cgsam_edge.export import arithmetic_proof
from cgsam_edge.export.arithmetic_search import NO_TIME, Budget, Combination, Search
from cgsam_edge.export.emulation import EmulatedBackend, Rounding
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.manifests import geometry_of, prompting_of
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle, planned
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.export.torch_backend import open_in_torch
from cgsam_edge.manifest import GRAPH_NAMES, GraphSpec, Manifest
from cgsam_edge.quality.judge import GateLimits, TargetQuality
from cgsam_edge.quality.pairs import MaskPair

COSTS = {"clip": 400, "image": 800, "concept": 3000, "decoder": 100}


def attempts(loss: Callable[[Combination], float]) -> tuple[Search, list[Combination]]:
    """A search whose combinations lose that much of mask IoU, of which 0.02 pass, and what it tried."""
    tried: list[Combination] = []

    def attempt(graphs: Combination) -> TargetQuality:
        tried.append(graphs)
        return TargetQuality("x", (MaskPair(Path("a.png"), "car", 1 - loss(graphs)),), GateLimits())

    return Search(attempt, COSTS, Budget(1e6)), tried


def added(**losses: float) -> Callable[[Combination], float]:
    return lambda graphs: sum(losses.get(graph, 0.0) for graph in graphs)


def test_all_at_once_where_that_passes() -> None:
    search, tried = attempts(added(clip=0.005, concept=0.005))
    found = search.run()
    assert (found.graphs, found.note, found.attempts) == (frozenset(COSTS), "", 1)
    assert found.found is not None
    assert found.found.mean_iou == pytest.approx(0.99)
    assert tried == [frozenset(COSTS)]


def test_the_one_that_moves_masks_stays_in_float32() -> None:
    search, tried = attempts(added(clip=0.03, concept=0.005))
    found = search.run()
    assert found.graphs == {"image", "concept", "decoder"}
    assert found.note == "clip moved the masks too far"
    assert len(tried) == found.attempts == 3, "all, all but the decoder, which computes least, and all but CLIP"


def test_the_one_that_computes_least_goes_back_where_any_would_do() -> None:
    search, tried = attempts(added(concept=0.015, decoder=0.01))
    assert search.run().graphs == {"clip", "image", "concept"}
    assert len(tried) == 2


def test_two_that_move_masks_alone_stay_in_float32() -> None:
    search, tried = attempts(added(clip=0.03, decoder=0.03))
    found = search.run()
    assert found.graphs == {"image", "concept"}
    assert found.note == "clip, decoder moved the masks too far"
    assert len(set(tried)) == len(tried) == found.attempts == 10


def test_the_dearest_go_back_where_all_pass_alone() -> None:
    """The decoder moves masks no more than CLIP, and far more for what it computes; of these three one may stay."""
    search, _ = attempts(added(clip=0.015, decoder=0.015, image=0.012))
    found = search.run()
    assert found.graphs == {"image", "concept"}
    assert found.found is not None
    assert found.found.mean_iou == pytest.approx(0.988)


def test_nothing_may_pass() -> None:
    found = attempts(lambda _: 0.5)[0].run()
    assert (found.graphs, found.found) == (frozenset(), None)
    assert found.note == "clip, concept, decoder, image moved the masks too far"


def test_what_passed_on_another_target_is_tried_first() -> None:
    likely = frozenset(["image", "concept"])
    search, tried = attempts(added(clip=0.03))
    assert search.run(likely).graphs == likely
    assert tried == [likely]
    search, tried = attempts(added())
    assert search.run(frozenset(COSTS)).graphs == frozenset(COSTS)


def test_no_attempt_begins_that_would_take_too_long() -> None:
    tried: list[Combination] = []

    def attempt(graphs: Combination) -> TargetQuality:
        tried.append(graphs)
        time.sleep(0.2)
        return TargetQuality("x", (MaskPair(Path("a.png"), "car", 0.5),), GateLimits())

    found = Search(attempt, COSTS, Budget(0.3)).run()
    assert (found.graphs, found.note, len(tried)) == (frozenset(), NO_TIME, 1)
    assert Search(attempt, COSTS, Budget(0.0)).run().attempts == 0
    assert len(tried) == 1


def test_products_take_rounded_numbers_and_sum_in_float32() -> None:
    exact = torch.full((1, 4096), 1.0)
    with torch.inference_mode():
        with Rounding("bfloat16"):
            summed = exact @ exact.T  # in bfloat16 all the way it would stay at 256
            rounded = torch.full((1, 1), 1 + 2**-9) @ torch.ones(1, 1)
            added_up = torch.tensor([256.0]) + 1
        assert summed.item() == 4096
        assert rounded.item() == 1  # 1 + 1/512 has no place among numbers of 8 bits
        assert added_up.item() == 256
        with Rounding("float16"):
            assert torch.tensor([60000.0]).mul(2).isinf().all()
            assert torch.tensor([300.0]).pow(2).mean() == 90000, "engines keep norms in float32"
            assert (torch.tensor([2048.0]) + 1).item() == 2048
        assert (torch.tensor([256.0]) + 1).item() == 257


def test_an_emulated_graph_is_near_the_exact_one(tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    model = load_reference(tiny_checkpoint)
    graphs, vocabulary = build_graphs(model), Bundle(tiny_bundle).vocabulary
    prompting = prompting_of(model.config.prompt, 16)
    manifest = Manifest(geometry_of(model.config), prompting, vocabulary.concepts, {}, {})
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exact = open_in_torch(tmp_path, manifest, vocabulary, graphs)
    expected = exact.encode(picture).features["tokens"]
    errors = []
    for kind in ("float16", "bfloat16"):
        backend = EmulatedBackend(graphs, {"image": kind})
        with Segmenter(exact.bundle.path, backend=backend) as segmenter:
            assert {one.graph: one.precision for one in segmenter.placement.graphs}["image"] == kind
            assert segmenter.placement.precision == f"float32, {kind} in image"
            errors.append(float(np.abs(segmenter.encode(picture).features["tokens"] - expected).std()))
    assert 0 < 4 * errors[0] < errors[1] < 0.1 * float(expected.std())


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
    failing = TargetQuality("onnxruntime", (MaskPair(Path("a.png"), "car", 0.5),), GateLimits())
    nothing: Any = None  # none of these is asked
    prover = arithmetic_proof.Prover(nothing, nothing, nothing, tmp_path, ("bfloat16",), Budget(1e6), print)
    assert prover.prove(failing, nothing) == {}


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


def test_options(tiny_checkpoint: Path, concepts_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ExportOptions(tiny_checkpoint, concepts_file)
    assert "arithmetic of onnxruntime" in planned(options, QualityOptions())
    for without in (QualityOptions(arithmetic=()), QualityOptions(gate_count=0)):
        assert "arithmetic of onnxruntime" not in planned(options, without)
    with pytest.raises(InputError, match="no arithmetic 'float8' to prove; expected bfloat16 or float16"):
        QualityOptions(arithmetic=("float8",))
    with pytest.raises(InputError, match="0 minutes or more, got -1"):
        QualityOptions(arithmetic_minutes=-1)
    with pytest.raises(SystemExit):
        export_main(["--concepts", str(concepts_file), "--arithmetic", "int4"])
    assert "expected float32, or bfloat16 and float16, got 'int4'" in capsys.readouterr().err
