"""What quantisation starts from: ranges, exact smoothing, and rounding simulated in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cgsam_edge.calibration.fakequant import quantised, round_input, round_weight
from cgsam_edge.calibration.ranges import METHODS, Observer, Range, Seen
from cgsam_edge.calibration.smoothing import readers, smooth
from cgsam_edge.errors import ExportError
from cgsam_edge.export.graphs.build import Graphs, build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.reference import ReferenceModel
from tests import tiny


@pytest.fixture
def model() -> ReferenceModel:
    return tiny.model(tiny.config())


@pytest.fixture
def graphs(model: ReferenceModel) -> Graphs:
    return build_graphs(model)


def run(graphs: Graphs) -> dict[str, torch.Tensor]:
    out: dict[str, torch.Tensor] = {}
    for graph in (graphs.clip, graphs.image, graphs.concept):
        out |= graph.run(graph.example())
    return out


def observed(graphs: Graphs) -> Observer:
    observer = Observer(graphs)
    with observer.watching():
        run(graphs)
    return observer


def test_every_layer_is_seen_and_no_hook_stays(graphs: Graphs) -> None:
    observer = observed(graphs)
    layers = {(g.name, name) for g in (graphs.clip, graphs.image, graphs.concept) for name in quantisable(g)}
    assert set(observer.seen) == layers
    assert not any(m._forward_pre_hooks for g in graphs for m in g.module.modules())


def test_ranges_are_those_of_all_that_was_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(50, 3, generator=generator) * s for s in (1.0, 7.0, 0.1)]
    seen = Seen(3)
    for part in parts:
        seen.add(part)
    joined = torch.cat(parts)
    found = seen.choose("minmax")
    assert (found.low, found.high) == (joined.min().item(), joined.max().item())
    assert torch.equal(seen.magnitude, joined.abs().amax(dim=0))
    assert seen.counts.sum() == joined.numel()


def test_an_outlier_is_left_out_where_that_rounds_better() -> None:
    seen = Seen(1)
    seen.add(torch.linspace(-1, 1, 100_000)[:, None])
    seen.add(torch.tensor([[300.0]]))
    assert seen.choose("minmax").high == 300
    assert seen.choose("percentile").high < 2
    errors = {method: seen._error(seen.choose(method)) for method in METHODS}
    assert errors["mse"] == min(errors.values())
    assert errors["mse"] < errors["percentile"]


@pytest.mark.parametrize("method", METHODS)
def test_a_range_always_holds_zero(method: str) -> None:
    seen = Seen(1)
    seen.add(torch.full((10, 1), 5.0))
    found = seen.choose(method)
    assert found.low <= 0 < found.high


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_range_that_is_no_number_names_its_layer(graphs: Graphs, bad: float) -> None:
    observer = observed(graphs)
    observer.seen["concept", "first_up"].add(torch.full((1, 8), bad))
    with pytest.raises(ExportError, match=r"'first_up' of graph 'concept' was NaN or infinite"):
        observer.ranges("minmax")


def test_what_would_be_seen_after_smoothing_follows_from_what_was_seen_before(graphs: Graphs) -> None:
    observer = Observer(graphs, readers(graphs))
    with observer.watching():
        run(graphs)
    places = smooth(graphs, observer.seen, 0.5)
    derived = {layer: observer.seen[layer].divided(scale) for place in places for layer, scale in place.items()}
    seen = observed(graphs).seen
    assert len(derived) > len(places) > 10
    for layer, one in derived.items():
        for method in METHODS:
            expected, found = seen[layer].choose(method), one.choose(method)
            tolerance = {"minmax": 1e-4, "percentile": 0.02, "mse": 0.1}[method] * (expected.high - expected.low)
            assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=tolerance), layer
        assert one.counts.sum() == seen[layer].counts.sum()


def test_nothing_seen_is_an_error(graphs: Graphs) -> None:
    with pytest.raises(ExportError, match="at least one picture"):
        Observer(graphs).ranges("minmax")


def test_smoothing_is_exact_and_leaves_the_model_alone(model: ReferenceModel, graphs: Graphs) -> None:
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    before, plain = run(graphs), observed(graphs)
    assert len(smooth(graphs, plain.seen, 0.5)) > 10
    after, smoothed = run(graphs), observed(graphs)
    for name, value in before.items():
        assert (after[name] - value).abs().max() < 2e-5 * value.std().clamp(min=1e-3), name
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    key = ("image", "blocks.0.attention.qkv")
    spread = [float(o.seen[key].magnitude.max() / o.seen[key].magnitude.median()) for o in (plain, smoothed)]
    assert spread[0] != spread[1]


def test_rounding_is_acted_out_for_a_while(graphs: Graphs) -> None:
    ranges, before = observed(graphs).ranges("minmax"), run(graphs)
    chosen = {key for key in ranges if key[0] == "image"}
    with quantised(graphs, ranges, chosen):
        during = run(graphs)
    after = run(graphs)
    assert torch.equal(before["tokens"], after["tokens"])
    error = (during["tokens"] - before["tokens"]).square().mean().sqrt() / before["tokens"].std()
    assert 1e-4 < error < 0.2
    assert torch.equal(before["image_embedding"], during["image_embedding"])  # of the other graph


def test_a_weight_is_rounded_while_its_layer_runs_alone(graphs: Graphs) -> None:
    """All rounded weights at once would be as much memory as the model."""
    ranges = observed(graphs).ranges("minmax")
    layers = {key: quantisable(graph)[key[1]] for graph in graphs for key in ranges if key[0] == graph.name}
    exact = {key: layer.weight for key, layer in layers.items()}
    at_once = []

    def count(*_: object) -> None:
        at_once.append(sum(layer.weight is not exact[key] for key, layer in layers.items()))

    with quantised(graphs, ranges, ranges.keys()):
        hooks = [layer.register_forward_pre_hook(count) for layer in layers.values()]
        run(graphs)
    for hook in hooks:
        hook.remove()
    assert set(at_once) == {1}
    assert all(layer.weight is exact[key] for key, layer in layers.items())


def test_rounding_is_that_of_the_engines() -> None:
    values = torch.tensor([-1.0, -0.3, 0.0, 0.5, 2.0, 9.0])
    rounded = round_input(values, Range(-1.0, 2.0))
    step = 3 / 255
    assert rounded[2] == 0
    assert (rounded[:5] - values[:5]).abs().max() <= step
    assert rounded[5] == pytest.approx(2.0, abs=step)
    weight = torch.tensor([[1.0, -0.5], [0.001, 0.0005]])
    np.testing.assert_allclose(round_weight(weight), weight, rtol=0.02)  # each row has its own scale
