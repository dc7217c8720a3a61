"""The evaluator's operators, each against another account of what it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coremltools.converters.mil import Builder

from cgsam_edge.errors import BackendError
from cgsam_edge.export.mil.evaluator import Evaluator
from cgsam_edge.export.mil.operators import OPERATORS
from cgsam_edge.export.mil.package import load_function
from tests.export.mil.packages import write

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(6, 2, 3, 3)).astype(np.float32)
MATRIX = RNG.normal(size=(5, 8)).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """An operator: how the builder makes it, and what it is by hand, of one input x."""

    name: str
    shape: tuple[int, ...]
    build: Callable[[Any], Any]
    expected: Callable[[Array], Any]


def torch_of(x: Array) -> torch.Tensor:
    return torch.from_numpy(x)


CASES = [
    Case(
        "slice with masks, a negative end and a stride",
        (4, 5, 6, 7),
        lambda x: Builder.slice_by_index(
            x=x,
            begin=[1, 3, 2, 0],
            end=[0, 0, -1, 7],
            stride=[1, 1, 2, 3],
            begin_mask=[False, False, True, False],
            end_mask=[True, False, False, False],
            squeeze_mask=[False, True, False, False],
        ),
        lambda x: x[1:, 3, :-1:2, 0:7:3],
    ),
    Case(
        "slice by size", (4, 5), lambda x: Builder.slice_by_size(x=x, begin=[1, 2], size=[2, -1]), lambda x: x[1:3, 2:]
    ),
    Case("split sizes", (2, 7), lambda x: Builder.split(x=x, split_sizes=[3, 4], axis=1)[1], lambda x: x[:, 3:]),
    Case("split in parts", (6, 2), lambda x: Builder.split(x=x, num_splits=3, axis=0)[2], lambda x: x[4:]),
    Case("expand dims", (3, 4), lambda x: Builder.expand_dims(x=x, axes=[0, -1]), lambda x: x[None, :, :, None]),
    Case("squeeze", (1, 3, 1), lambda x: Builder.squeeze(x=x, axes=[-1]), lambda x: x[..., 0]),
    Case(
        "reshape keeps and infers", (2, 3, 4), lambda x: Builder.reshape(x=x, shape=[2, -1]), lambda x: x.reshape(2, 12)
    ),
    Case(
        "interleaved concat",
        (1, 2, 3),
        lambda x: Builder.concat(values=[x, Builder.mul(x=x, y=2.0)], axis=1, interleave=True),
        lambda x: np.stack([x[:, 0], 2 * x[:, 0], x[:, 1], 2 * x[:, 1]], axis=1),
    ),
    Case("stack", (2, 3), lambda x: Builder.stack(values=[x, x], axis=1), lambda x: np.stack([x, x], axis=1)),
    Case("tile", (2, 3), lambda x: Builder.tile(x=x, reps=[2, 1]), lambda x: np.tile(x, (2, 1))),
    Case("gather", (4, 5), lambda x: Builder.gather(x=x, indices=[3, 0, 0], axis=1), lambda x: x[:, [3, 0, 0]]),
    Case(
        "convolution with uneven padding and groups",
        (1, 4, 9, 8),
        lambda x: Builder.conv(x=x, weight=KERNEL, pad_type="custom", pad=[2, 1, 0, 3], strides=[2, 1], groups=2),
        lambda x: F.conv2d(F.pad(torch_of(x), [0, 3, 2, 1]), torch_of(KERNEL), stride=(2, 1), groups=2),
    ),
    Case(
        "convolution that keeps the size",
        (1, 2, 9, 8),
        lambda x: Builder.conv(x=x, weight=KERNEL, pad_type="same", strides=[2, 2], dilations=[1, 1]),
        lambda x: F.conv2d(F.pad(torch_of(x), [0, 1, 1, 1]), torch_of(KERNEL), stride=2),
    ),
    Case(
        "transposed convolution, cropped",
        (1, 6, 5, 4),
        lambda x: Builder.conv_transpose(x=x, weight=KERNEL, pad_type="custom", pad=[1, 1, 1, 1], strides=[2, 2]),
        lambda x: F.conv_transpose2d(torch_of(x), torch_of(KERNEL), stride=2, padding=1),
    ),
    Case(
        "matmul of transposed",
        (3, 8, 5),
        lambda x: Builder.matmul(x=x, y=x, transpose_x=True, transpose_y=False),
        lambda x: x.transpose(0, 2, 1) @ x,
    ),
    Case("linear without a bias", (3, 8), lambda x: Builder.linear(x=x, weight=MATRIX), lambda x: x @ MATRIX.T),
    Case(
        "layer norm of the channels",
        (1, 4, 3, 3),
        lambda x: Builder.layer_norm(x=x, axes=[1], gamma=KERNEL[:4, 0, 0, 0], epsilon=1e-3),
        lambda x: F.layer_norm(torch_of(x.swapaxes(1, 3)), (4,), torch_of(KERNEL[:4, 0, 0, 0]), None, 1e-3).transpose(
            1, 3
        ),
    ),
    Case("softmax", (3, 4), lambda x: Builder.softmax(x=x, axis=0), lambda x: torch_of(x).softmax(dim=0)),
    Case(
        "rsqrt", (3, 4), lambda x: Builder.rsqrt(x=Builder.square(x=x), epsilon=0.5), lambda x: 1 / np.sqrt(x**2 + 0.5)
    ),
    Case("clip", (3, 4), lambda x: Builder.clip(x=x, alpha=-0.5, beta=0.25), lambda x: x.clip(-0.5, 0.25)),
    Case(
        "select",
        (3, 4),
        lambda x: Builder.select(cond=Builder.greater(x=x, y=0.0), a=x, b=Builder.sub(x=0.0, y=x)),
        np.abs,
    ),
    Case(
        "tanh GELU",
        (3, 4),
        lambda x: Builder.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    Case(
        "bilinear upsampling",
        (1, 2, 3, 4),
        lambda x: Builder.upsample_bilinear(x=x, scale_factor_height=2.0, scale_factor_width=3.0, align_corners=False),
        lambda x: F.interpolate(torch_of(x), (6, 12), mode="bilinear", align_corners=False),
    ),
    Case("norm", (3, 4), lambda x: Builder.reduce_l2_norm(x=x, axes=[1]), lambda x: np.sqrt((x**2).sum(1))),
    Case("sum", (3, 4), lambda x: Builder.reduce_sum(x=x, keep_dims=True), lambda x: x.sum(keepdims=True)),
    Case("greatest", (3, 4), lambda x: Builder.reduce_max(x=x, axes=[-1]), lambda x: x.max(-1)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operator(case: Case, tmp_path: Path) -> None:
    package = write(tmp_path / "one.mlpackage", {"x": case.shape}, case.build)
    x = RNG.normal(size=case.shape).astype(np.float32)
    (got,) = Evaluator(package).run({"x": torch.from_numpy(x)}).values()
    expected = np.asarray(case.expected(x))
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_attention_of_ios_18(tmp_path: Path) -> None:
    def body(q: Any, k: Any, v: Any) -> Any:
        return Builder.scaled_dot_product_attention(query=q, key=k, value=v)

    shapes = dict.fromkeys("qkv", (1, 2, 5, 4))
    package = write(tmp_path / "one.mlpackage", shapes, body, ios=18)
    assert [op.op_type for op in load_function(package).operations if op.op_type != "const"] == [
        "scaled_dot_product_attention"
    ]
    q, k, v = (torch.randn(shape) for shape in shapes.values())
    (got,) = Evaluator(package).run({"q": q, "k": k, "v": v}).values()
    torch.testing.assert_close(got, (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v)


def test_results_are_rounded_as_declared(tmp_path: Path) -> None:
    """1 + 2⁻¹² is no float16, and 300² overflows; both are seen, and with the switch neither."""

    def body(x: Any) -> Any:
        return Builder.square(x=Builder.add(x=x, y=np.float32(2**-12)))

    package = write(tmp_path / "one.mlpackage", {"x": (2,)}, body, precision="fp16")
    x = {"x": torch.tensor([1.0, 300.0])}
    (rounded,) = Evaluator(package).run(x).values()
    assert rounded.tolist() == [1.0, float("inf")]
    (exact,) = Evaluator(package, single=True).run(x).values()
    torch.testing.assert_close(exact, torch.tensor([(1 + 2**-12) ** 2, 300.000244**2]))


def test_values_are_freed_after_their_last_use(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        for _ in range(4):
            x = Builder.sin(x=x)
        return x

    steps = Evaluator(write(tmp_path / "one.mlpackage", {"x": (2,)}, body)).steps
    assert [len(step.frees) for step in steps] == [1, 1, 1, 1]


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    assert "acos" not in OPERATORS
    package = write(tmp_path / "odd.mlpackage", {"x": (2,)}, lambda x: Builder.acos(x=x, name="angle"))
    with pytest.raises(BackendError, match=r"odd\.mlpackage: .* not know the operator 'acos' \(it makes 'angle'\)"):
        Evaluator(package)


def test_a_form_that_is_not_written_yet_is_named(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        return Builder.upsample_bilinear(
            x=x, scale_factor_height=2.0, scale_factor_width=2.0, align_corners=False, half_pixel_centers=False
        )

    evaluator = Evaluator(write(tmp_path / "odd.mlpackage", {"x": (1, 1, 2, 2)}, body))
    with pytest.raises(BackendError, match=r"upsample_bilinear.*failed: upsample_bilinear with half_pixel_centers"):
        evaluator.run({"x": torch.zeros(1, 1, 2, 2)})


def test_a_damaged_package(tmp_path: Path) -> None:
    package = write(tmp_path / "one.mlpackage", {"x": (2,)}, lambda x: Builder.sin(x=x))
    spec = package / "Data" / "com.apple.CoreML" / "model.mlmodel"
    spec.write_bytes(spec.read_bytes()[:-40])
    with pytest.raises(BackendError, match=r"one\.mlpackage: not a readable ML program: .* Export it again"):
        Evaluator(package)
