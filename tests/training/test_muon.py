"""Muon: what an update is, and that it can be resumed."""

import math

import pytest
import torch
from torch import nn

from tpad.io.saved_state import optimizer_tensors, restore_optimizer
from tpad.training.muon import Muon, orthogonal
from tpad.training.optimisation import Optimisation


def test_orthogonal_keeps_directions_and_levels_singular_values():
    torch.manual_seed(0)
    matrices = torch.randn(3, 24, 60) * torch.logspace(0, -1, 24)[:, None]  # (n, m, k)
    found = orthogonal(matrices)
    assert found.shape == matrices.shape
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6 and values.max() < 1.25
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    exact = left @ right
    cosine = nn.functional.cosine_similarity(found.flatten(1), exact.flatten(1))
    assert cosine.min() > 0.97


def test_matrices_do_not_mix():
    torch.manual_seed(0)
    matrices = torch.randn(4, 8, 8)
    together = orthogonal(matrices)
    alone = torch.cat([orthogonal(matrix[None]) for matrix in matrices])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (20, 20)])
def test_an_update_has_the_size_of_one_of_adamw(shape):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(shape))
    before = weight.detach().clone()
    weight.grad = 1e-4 * torch.randn(shape)  # its scale does not matter
    Muon([weight], lr=0.1).step()
    update = weight.detach() - before
    # Orthogonal rows: min(shape) singular values of one, spread over all entries.
    rms = 0.1 * 0.2 * math.sqrt(max(shape) * min(shape) / weight.numel())
    assert update.square().mean().sqrt().item() == pytest.approx(rms, rel=0.2)
    assert (update * weight.grad).sum() < 0


def test_decay_is_decoupled_and_parameters_without_gradient_rest():
    moved, rests = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    moved.grad = torch.zeros(3, 3)
    Muon([moved, rests], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(moved, torch.full((3, 3), 0.95)) and torch.equal(rests, torch.ones(3, 3))


def test_only_matrices():
    with pytest.raises(ValueError, match="matrices only"):
        Muon([nn.Parameter(torch.ones(3))], lr=0.1)


def test_a_quadratic_is_learnt_and_a_resumed_run_takes_the_same_steps():
    torch.manual_seed(0)
    inputs, truth = torch.randn(64, 8), torch.randn(5, 8)

    def start() -> tuple[nn.Linear, Optimisation]:
        torch.manual_seed(1)
        layer = nn.Linear(8, 5)
        return layer, Optimisation(
            [{"params": [layer.bias], "lr": 1e-2}],
            steps=60,
            matrices=[layer.weight],
            matrix_rate=0.2,
        )

    def loss(layer: nn.Linear) -> torch.Tensor:
        return (layer(inputs) - inputs @ truth.T).square().mean()

    whole, optimisation = start()
    first = loss(whole).item()
    for step in range(60):
        optimisation.step(loss(whole))
        if step == 29:
            weights = {k: v.clone() for k, v in whole.state_dict().items()}
            kept = [
                {k: v.clone() for k, v in optimizer_tensors(optimizer).items()}
                for optimizer in optimisation.optimizers
            ]
    assert loss(whole).item() < 0.05 * first

    resumed, optimisation = start()
    resumed.load_state_dict(weights)
    for optimizer, state in zip(optimisation.optimizers, kept, strict=True):
        restore_optimizer(optimizer, state)
    optimisation.taken = 30
    for _ in range(30):
        optimisation.step(loss(resumed))
    assert torch.equal(resumed.weight, whole.weight) and torch.equal(resumed.bias, whole.bias)
