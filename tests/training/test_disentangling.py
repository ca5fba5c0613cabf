"""vCLUB, and the disentangler that keeps it bounded."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tpad.errors import ConfigError
from tpad.training.information.bounds import (
    make_lower_bound,
)
from tpad.training.information.disentangling import Disentangler, VClub
from tpad.training.information.gaussian import (
    correlated_gaussians,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class TestVClub:
    def test_moments_equal_the_explicit_pairs(self):
        club = VClub(3, 2, 8)
        x, y = torch.randn(10, 3), 5 + torch.randn(10, 2)
        mean, log_variance = club.q(x)
        density = torch.distributions.Normal(mean[:, None], (log_variance / 2).exp()[:, None])
        pairs = density.log_prob(y[None]).sum(-1)  # (10, 10)
        off = ~torch.eye(10, dtype=torch.bool)
        expected = pairs.diagonal().mean() - pairs[off].mean()
        assert torch.allclose(club.estimate(x, y), expected, rtol=1e-4)

    def test_sampled_negatives_agree_on_average(self):
        club = VClub(3, 2, 8)
        x, y = torch.randn(64, 3), torch.randn(64, 2)
        draws = torch.stack([club.estimate(x, y, negatives="sampled") for _ in range(500)])
        error = draws.std() / math.sqrt(len(draws))
        assert abs(draws.mean() - club.estimate(x, y)) < 4 * error

    def test_fit_raises_likelihood_and_leaves_inputs_without_gradient(self):
        club = VClub(4, 4, 16)
        x, y = (part.requires_grad_() for part in correlated_gaussians(256, 4, 0.8))
        first = club.fit_step(x, y)
        assert club.fit_step(x, y, steps=200) < first
        assert x.grad is None and y.grad is None

    def test_estimate_gives_no_gradient_to_q(self):
        club = VClub(4, 4, 16)
        x = torch.randn(8, 4, requires_grad=True)
        y = torch.randn(8, 4, requires_grad=True)
        club.estimate(x, y).backward()
        assert x.grad.abs().sum() > 0 and y.grad.abs().sum() > 0
        assert all(p.grad is None for p in club.parameters())

    def test_clamp_stops_value_and_gradient_below_zero(self):
        club = VClub(2, 2, 8, learning_rate=2e-2)
        club.fit_step(*(2 * [torch.randn(256, 2)]), steps=100)
        x = torch.randn(64, 2, requires_grad=True)
        assert club.estimate(x, -x).item() < 0
        clamped = club.estimate(x, -x, clamp=True)
        clamped.backward()
        assert clamped.item() == 0 and not x.grad.any()

    def test_log_variance_keeps_its_limits(self):
        club = VClub(2, 2, 8, log_variance=(-4, 1))
        _, log_variance = club.q(1e4 * torch.randn(100, 2))
        assert log_variance.min() >= -4 and log_variance.max() <= 1

    def test_refusals(self):
        club = VClub(2, 2)
        with pytest.raises(ConfigError, match="two rows"):
            club.estimate(torch.randn(1, 2), torch.randn(1, 2))
        with pytest.raises(ConfigError, match="all or sampled"):
            club.estimate(torch.randn(4, 2), torch.randn(4, 2), negatives="some")
        with pytest.raises(ConfigError, match="at least one"):
            club.fit_step(torch.randn(4, 2), torch.randn(4, 2), steps=0)
        with pytest.raises(ConfigError, match="log_variance"):
            VClub(2, 2, log_variance=(1, -4))


def _features(count: int) -> torch.Tensor:
    """(count, 32) features of 16 hidden factors by a fixed mixing, with a little noise."""
    mixing = torch.randn(16, 32, generator=torch.Generator().manual_seed(1)) / 4
    return torch.tanh(torch.randn(count, 16) @ mixing) + 0.1 * torch.randn(count, 32)


def _explained(tau: torch.Tensor, nu: torch.Tensor) -> float:
    """Share of nu's variance that least squares reads from tau, on held-out rows."""
    tau, nu = (F.layer_norm(part.detach(), part.shape[-1:]) for part in (tau, nu))
    half = len(tau) // 2
    tau = torch.cat([tau, torch.ones(len(tau), 1)], 1)
    weights = torch.linalg.lstsq(tau[:half], nu[:half]).solution
    left = (nu[half:] - tau[half:] @ weights).square().sum()
    return 1 - (left / (nu[half:] - nu[half:].mean(0)).square().sum()).item()


def _information(tau: torch.Tensor, nu: torch.Tensor) -> float:
    """InfoNCE of a new critic, in nats, on held-out rows: it has no part in the penalty."""
    tau, nu = (F.layer_norm(part.detach(), part.shape[-1:]) for part in (tau, nu))
    half = len(tau) // 2
    bound = make_lower_bound("infonce", 8, 8, critic="separable", size=32, hidden=64)
    optimizer = torch.optim.Adam(bound.parameters(), 2e-3)
    for rows in (torch.randint(half, (128,)) for _ in range(200)):
        loss = bound.loss(tau[rows], nu[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        parts = zip(tau[half:].split(256), nu[half:].split(256), strict=True)
        return torch.stack([bound(a, b) for a, b in parts]).mean().item()


class TestDisentangler:
    def test_stays_bounded_and_reduces_dependence(self):
        heads = nn.ModuleList([nn.Linear(32, 8), nn.Linear(32, 8)])
        held_out = _features(4096)
        parts = [head(held_out) for head in heads]
        explained, information = _explained(*parts), _information(*parts)
        apart = Disentangler(8, 8, hidden=64)
        optimizer = torch.optim.Adam(heads.parameters(), 5e-4)
        estimates = []
        for _ in range(300):
            features = _features(128)
            penalty = apart(heads[0](features), heads[1](features))
            optimizer.zero_grad()
            penalty.loss.backward()
            optimizer.step()
            estimates.append(penalty.estimate.item())
        parts = [head(held_out) for head in heads]
        assert min(estimates) >= 0
        assert max(estimates) < 15
        assert all(part.isfinite().all() for part in parts)
        assert _explained(*parts) < 0.4 * explained
        assert _information(*parts) < 0.3 * information

    def test_without_its_measures_the_same_heads_diverge(self):
        """What the class is for: an outdated q and free features lead to minus infinity."""
        heads = nn.ModuleList([nn.Linear(32, 8), nn.Linear(32, 8)])
        club = VClub(8, 8, 64)
        for _ in range(200):
            features = _features(128)
            club.fit_step(heads[0](features), heads[1](features))
        optimizer = torch.optim.Adam(heads.parameters(), 2e-3)
        for _ in range(400):
            features = _features(128)
            estimate = club.estimate(heads[0](features), heads[1](features))
            optimizer.zero_grad()
            estimate.backward()
            optimizer.step()
        assert estimate.item() < -1000

    def test_weight_warms_up_and_survives_a_restart(self):
        apart = Disentangler(4, 4, weight=0.5, warmup_steps=4, inner_steps=1)
        parts = torch.randn(16, 4), torch.randn(16, 4)
        assert [apart(*parts).weight for _ in range(3)] == [0, 0.125, 0.25]
        again = Disentangler(4, 4, weight=0.5, warmup_steps=4, inner_steps=1)
        again.load_state_dict(apart.state_dict())
        assert [again(*parts).weight for _ in range(3)] == [0.375, 0.5, 0.5]

    def test_evaluation_changes_nothing(self):
        apart = Disentangler(4, 4, weight=0.5).eval()
        before = {name: value.clone() for name, value in apart.state_dict().items()}
        assert apart(torch.randn(16, 4), torch.randn(16, 4)).weight == 0.5
        assert all(torch.equal(value, before[name]) for name, value in apart.state_dict().items())

    def test_scale_is_no_way_out(self):
        apart = Disentangler(4, 4).eval()
        tau, nu = torch.randn(16, 4), torch.randn(16, 4)
        small, large = apart(tau, nu).estimate, apart(1000 * tau, 1000 * nu).estimate
        assert torch.allclose(small, large, atol=1e-4)
