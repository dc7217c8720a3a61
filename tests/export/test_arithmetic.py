"""Which graphs may compute in less than float32: the search, and the emulation."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import export_main
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.export.arithmetic_search import NO_TIME, Budget, Combination, Search
from cgsam_edge.export.emulation import EmulatedBackend, EmulatedSession, Rounding
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.manifests import geometry_of, prompting_of
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import planned
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.export.torch_backend import open_in_torch
from cgsam_edge.manifest import Manifest
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


def test_what_pytorch_cannot_compute_is_an_error_of_the_engine(
    tiny_checkpoint: Path,
) -> None:
    graph = next(one for one in build_graphs(load_reference(tiny_checkpoint)) if one.name == "decoder")
    session = EmulatedSession(graph, "bfloat16")
    wrong = {name: np.zeros((1, 3), np.float32) for name in graph.inputs}
    with pytest.raises(BackendError, match="PyTorch cannot compute the graph 'decoder' in bfloat16: "):
        session.run(wrong)


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
