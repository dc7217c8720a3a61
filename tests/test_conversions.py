"""Conversions are remembered by all that a converter sees, and what is remembered is what it made."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from cgsam_edge.export.graphs.build import Graph, build_graphs
from cgsam_edge.export.targets import coreml, onnxruntime
from tests import tiny
from tests.conversions import digest, replaced, whole
from tests.shelf import Shelf


def graph() -> Graph:
    return build_graphs(tiny.model(tiny.config())).decoder


def changed(change: Callable[[torch.nn.Module], object]) -> Graph:
    made = graph()
    change(made.module)
    return made


def other_weight(module: torch.nn.Module) -> None:
    next(module.parameters()).view(-1)[0] += 1e-6


def other_setting(module: torch.nn.Module) -> None:
    norm = next(one for one in module.modules() if isinstance(one, torch.nn.LayerNorm))
    norm.eps *= 2


def tied(module: torch.nn.Module) -> None:
    """Equal numbers in one tensor where there were two."""
    first, second = [one for one in module.modules() if isinstance(one, torch.nn.LayerNorm)][:2]
    first.weight = second.weight


def test_equal_graphs_have_one_digest() -> None:
    assert digest(graph(), "fp32", 17) == digest(copy.deepcopy(graph()), "fp32", 17)


@pytest.mark.parametrize(
    "other",
    [
        lambda: changed(other_weight),
        lambda: changed(other_setting),
        lambda: changed(tied),
        lambda: replace(graph(), limits={**graph().limits, "points": (0.0, 1.0)}),
        lambda: replace(graph(), outputs=graph().outputs[::-1]),
        lambda: build_graphs(tiny.model(tiny.config()), 7).decoder,
    ],
    ids=["weight", "setting", "tied", "limits", "outputs", "slots"],
)
def test_whatever_a_converter_sees_is_in_the_digest(other: Callable[[], Graph]) -> None:
    assert digest(graph()) != digest(other())


def test_settings_are_in_the_digest() -> None:
    assert len({digest(1, "fp32"), digest(1, "fp16"), digest("1", "fp32"), digest((1, "fp32"))}) == 4


def test_a_value_of_which_nothing_is_known() -> None:
    with pytest.raises(TypeError, match="not known to the digest"):
        digest(object())


def test_what_is_remembered_is_what_was_made(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    convert = onnxruntime._to_onnx

    def counted(one: Graph) -> Any:
        made.append(convert(one))
        return made[-1]

    monkeypatch.setattr(onnxruntime, "_to_onnx", counted)
    small = Graph("small", torch.nn.Linear(3, 2).requires_grad_(requires_grad=False), {"input": (1, 3)}, ("y",))
    with replaced(Shelf(shelf.folder / "once")):
        first, second = onnxruntime._to_onnx(small), onnxruntime._to_onnx(small)
    assert len(made) == 1
    assert first.proto.SerializeToString() == second.proto.SerializeToString() == whole(made[0]).SerializeToString()


class Product(torch.nn.Module):
    """A graph that is traced in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, 3), requires_grad=False)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": x @ self.weight}


def test_a_traced_program_is_taken_again_while_its_graph_is_as_it_was(shelf: Shelf) -> None:
    with replaced(shelf):
        first, again = (Graph("product", Product(), {"x": (2, 3)}, ("y",)) for _ in range(2))
        program = coreml._exported(first)
        assert coreml._exported(again) is program
        other_weight(first.module)
        assert coreml._exported(again) is not program, "the program has the changed weights too"
