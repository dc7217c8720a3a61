"""The optimiser of training: orthogonal updates, of all matrices of a shape at once."""

import pytest
import torch

from training.optimiser import Muon, orthogonalise


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 4, 20)])
def test_updates_of_matrices_become_orthogonal(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    made = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0)), dtype=dtype)
    assert made.dtype == torch.float32
    values = torch.linalg.svdvals(made)
    assert 0.5 < values.min() < values.max() < 1.4


@pytest.mark.parametrize("shape", [(8, 16), (16, 8)])
def test_a_step_is_the_orthogonal_gradient_at_the_size_of_adams(shape: tuple[int, int]) -> None:
    drawn = torch.Generator().manual_seed(0)
    start, gradient = (torch.randn(shape, generator=drawn) for _ in range(2))
    matrix = torch.nn.Parameter(start.clone())
    matrix.grad = gradient
    muon = Muon([matrix], weight_decay=0.1)
    muon.param_groups[0]["lr"] = 0.01
    muon.step()
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    moved = (start * (1 - 0.01 * 0.1) - matrix.detach()) / (0.01 * 0.2 * 16**0.5)
    kept = u.mT @ moved @ v.mT  # the gradient's own directions, each by about 1
    assert 0.5 < kept.diagonal().min() < kept.diagonal().max() < 1.4
    torch.testing.assert_close(kept, torch.diag(kept.diagonal()), atol=1e-3, rtol=0)


def test_matrices_of_a_shape_and_its_transpose_move_as_each_would_alone() -> None:
    drawn = torch.Generator().manual_seed(0)
    starts = [torch.randn(shape, generator=drawn) for shape in ((8, 16), (16, 8), (8, 16), (8, 8))]
    grads = [torch.randn(start.shape, generator=drawn) for start in starts]

    def moved(numbers: list[int]) -> list[torch.Tensor]:
        matrices = [torch.nn.Parameter(starts[i].clone()) for i in numbers]
        muon = Muon(matrices, weight_decay=0.1)
        for _ in range(2):
            for i, matrix in zip(numbers, matrices, strict=True):
                matrix.grad = grads[i]
            muon.step()
        return [matrix.detach() for matrix in matrices]

    for i, together in enumerate(moved([0, 1, 2, 3])):
        torch.testing.assert_close(together, moved([i])[0])
        assert not torch.equal(together, starts[i])
