"""Estimators against the closed form for correlated Gaussians (d = 4), and what else they promise.

Stated distances, in nats (`gaussian_check`; 300 Adam steps, at rho 0.9 900 steps):

    rho  truth   InfoNCE    MINE, NWJ, JSD    vCLUB
    0.3  0.189   -0.05      -0.05             above the truth, within 10 % of 0.396
    0.6  0.893   -0.05      -0.05             above the truth, within 10 % of 2.250
    0.9  3.321   -0.20      -0.45             above the truth, within 10 % of 17.053

CLUB of the *true* conditional is d rho² / (1 - rho²), so its distance from the truth is its own,
not one of training. Lower bounds may exceed the truth by 0.03, the noise of 16,384 fresh samples.
"""

import math

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tpad.errors import ConfigError
from tpad.training.information.bounds import (
    LOWER_BOUNDS,
    MINE,
    info_nce,
    make_lower_bound,
    repeated_targets,
)
from tpad.training.information.critics import ConcatCritic, SeparableCritic, make_critic
from tpad.training.information.gaussian import (
    correlated_gaussians,
    gaussian_check,
    gaussian_club,
    gaussian_information,
)

NOISE = 0.03
RHOS = (0.3, 0.6, 0.9)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    parts = [gaussian_check(rhos=RHOS[:2], steps=300), gaussian_check(rhos=RHOS[2:], steps=900)]
    return pd.concat(parts).set_index(["estimator", "rho"])


class TestClosedForm:
    def test_formulas(self):
        assert gaussian_information(0.6, 4) == pytest.approx(-2 * math.log(0.64))
        assert gaussian_club(0.6, 4) == pytest.approx(4 * 0.36 / 0.64)

    @pytest.mark.parametrize("rho", RHOS)
    @pytest.mark.parametrize("name", LOWER_BOUNDS)
    def test_lower_bounds_stay_below_and_come_close(self, table, name, rho):
        row = table.loc[(name, rho)]
        distance = 0.05 if rho < 0.9 else 0.2 if name == "infonce" else 0.45
        assert row.kind == "lower"
        assert row.truth - distance <= row.estimate <= row.truth + NOISE

    @pytest.mark.parametrize("rho", RHOS)
    def test_vclub_stays_above_and_comes_close_to_its_ideal(self, table, rho):
        row = table.loc[("vclub", rho)]
        assert row.kind == "upper"
        assert row.estimate >= row.truth
        assert row.estimate == pytest.approx(gaussian_club(rho, 4), rel=0.1)

    def test_check_leaves_the_global_random_state_alone(self):
        before = torch.random.get_rng_state()
        gaussian_check(["nwj"], [0.3], steps=5)
        assert torch.equal(before, torch.random.get_rng_state())


class _Exact(nn.Module):
    """Critic that returns a given table of scores, or the true log density ratio for a rho."""

    def __init__(self, rho: float | None = None, scores: torch.Tensor | None = None) -> None:
        super().__init__()
        self.rho, self.scores = rho, scores

    def forward(self, x, y):
        if self.scores is not None:
            return self.scores
        rho = self.rho
        quadratic = (x.square().sum(1)[:, None] + y.square().sum(1)[None]) * rho**2
        exponent = (2 * rho * x @ y.T - quadratic) / (2 * (1 - rho**2))
        return exponent + gaussian_information(rho, x.shape[1])


class TestLowerBounds:
    @pytest.mark.parametrize("name", LOWER_BOUNDS)
    def test_true_density_ratio_gives_the_truth(self, name):
        """All four share one ideal critic, JSD included: its estimate is in nats of information."""
        x, y = correlated_gaussians(4096, 4, 0.6)
        estimate = LOWER_BOUNDS[name](_Exact(rho=0.6))(x, y)
        assert estimate.item() == pytest.approx(gaussian_information(0.6, 4), abs=0.08)

    def test_infonce_never_exceeds_log_batch(self):
        x = torch.randn(16, 8)
        bound = make_lower_bound("infonce", 8, 8, temperature=0.01)
        bound.critic.encode_y.weight.data.copy_(bound.critic.encode_x.weight)
        assert bound(x, x).item() <= math.log(16) + 1e-5
        assert bound(x, x).item() > 0.9 * math.log(16)  # of an infinite amount of information

    def test_infonce_cap_holds_where_the_truth_is_higher(self):
        x, y = correlated_gaussians(8, 4, 0.9)
        bound = LOWER_BOUNDS["infonce"](_Exact(rho=0.9))
        assert bound(x, y).item() <= math.log(8) < gaussian_information(0.9, 4)

    @pytest.mark.parametrize("name", LOWER_BOUNDS)
    @pytest.mark.parametrize("critic", ["bilinear", "separable", "concat"])
    def test_loss_trains_critic_and_both_inputs(self, name, critic):
        x = torch.randn(8, 3, requires_grad=True)
        y = torch.randn(8, 5, requires_grad=True)
        bound = make_lower_bound(name, 3, 5, critic=critic)
        bound.loss(x, y).backward()
        gradients = [x.grad, y.grad, *(p.grad for p in bound.critic.parameters() if p.ndim > 1)]
        assert all(g.isfinite().all() and g.abs().sum() > 0 for g in gradients)

    @pytest.mark.parametrize("name", LOWER_BOUNDS)
    def test_default_critic_learns_a_pairing(self, name):
        bound = make_lower_bound(name, 8, 8)
        optimizer = torch.optim.Adam(bound.parameters(), 1e-2)
        turn = torch.linalg.qr(torch.randn(8, 8)).Q
        for _ in range(150):
            x = torch.randn(64, 8)
            loss = bound.loss(x, x @ turn)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        x = torch.randn(256, 8)
        assert bound(x, x @ turn).item() > 1.5
        assert bound(x, torch.randn(256, 8)).item() < 0.1

    @pytest.mark.parametrize("name", LOWER_BOUNDS)
    def test_excluded_pairs_do_not_count(self, name):
        scores = torch.randn(6, 6)
        exclude = repeated_targets(torch.tensor([0, 1, 2, 0, 4, 1]))
        spoilt = torch.where(exclude & ~torch.eye(6, dtype=torch.bool), 1e4, scores)
        x = torch.zeros(6, 1)
        clean, dirty = (LOWER_BOUNDS[name](_Exact(scores=s)) for s in (scores, spoilt))
        assert torch.equal(clean(x, x, exclude), dirty(x, x, exclude))
        assert torch.equal(clean.loss(x, x, exclude), dirty.loss(x, x, exclude))
        assert clean(x, x).item() != pytest.approx(dirty(x, x).item())

    @pytest.mark.parametrize("name", ["mine", "nwj", "jsd"])
    def test_a_batch_without_negatives_is_refused(self, name):
        with pytest.raises(ConfigError, match="no negative pair"):
            make_lower_bound(name, 2, 2)(torch.randn(1, 2), torch.randn(1, 2))

    def test_mine_gradient_divides_by_the_moving_average(self):
        scores = torch.randn(5, 5, requires_grad=True)
        mine = MINE(_Exact(scores=scores), rate=0.25)
        negatives = ~torch.eye(5, dtype=torch.bool)
        x = torch.zeros(5, 1)
        first = scores.detach()[negatives].exp().mean()
        mine.loss(x, x)
        mine.critic.scores = later = (scores.detach() + 1).requires_grad_()
        mine.loss(x, x).backward()
        average = 0.75 * first + 0.25 * first * math.e
        expected = later.detach()[negatives].exp() / negatives.sum() / average
        assert torch.allclose(later.grad[negatives], expected, atol=1e-6)
        assert torch.allclose(later.grad.diagonal(), torch.tensor(-1 / 5))

    def test_mine_does_not_overflow(self):
        mine = MINE(_Exact(scores=(200 * torch.randn(5, 5)).requires_grad_()))
        x = torch.zeros(5, 1)
        mine.loss(x, x).backward()
        assert mine.critic.scores.grad.isfinite().all()

    def test_mine_average_stays_put_in_evaluation(self):
        mine = make_lower_bound("mine", 2, 2)
        mine.loss(torch.randn(8, 2), torch.randn(8, 2))
        before = mine.log_average.clone()
        mine.eval().loss(torch.randn(8, 2), torch.randn(8, 2))
        assert torch.equal(before, mine.log_average)

    def test_unknown_names(self):
        with pytest.raises(ConfigError, match="infonce, mine, nwj, jsd"):
            make_lower_bound("club", 2, 2)
        with pytest.raises(ConfigError, match="bilinear, separable or concat"):
            make_critic("cosine", 2, 2)


class TestInfoNCELoss:
    def test_matches_softmax_over_all_candidates(self):
        scores, targets = torch.randn(4, 9), torch.tensor([0, 3, 8, 3])
        expected = -scores.softmax(1)[range(4), targets].log().mean()
        assert torch.allclose(info_nce(scores, targets), expected)

    def test_correction_makes_sampled_softmax_agree_with_the_full_one(self):
        """Negatives drawn by q, each corrected by log q, estimate the sum over all items."""
        items = torch.randn(20)
        q = torch.randn(20).mul(1.5).softmax(0)
        drawn = torch.multinomial(q, 200_000, replacement=True)
        full = items.logsumexp(0)
        sampled = (items[drawn] - q[drawn].log()).logsumexp(0) - math.log(len(drawn))
        target = 7
        pool = torch.cat([torch.tensor([target]), drawn])
        loss = info_nce(items[pool][None], torch.tensor([0]), log_q=q[pool].log())
        expected = full - items[target] + q[target].log() + math.log(len(drawn))
        assert sampled.item() == pytest.approx(full.item(), abs=0.02)
        assert loss.item() == pytest.approx(expected.item(), abs=0.02)

    def test_constant_correction_changes_nothing(self):
        scores, targets = torch.randn(4, 9), torch.tensor([0, 3, 8, 3])
        shifted = info_nce(scores, targets, log_q=torch.full((9,), -3.0))
        assert torch.allclose(shifted, info_nce(scores, targets))

    def test_repeated_target_is_no_negative(self):
        ids = torch.tensor([5, 7, 5])
        scores = torch.tensor([[1.0, 0.0, 9.0], [0.0, 1.0, 0.0], [9.0, 0.0, 1.0]])
        loss = info_nce(scores, torch.arange(3), exclude=repeated_targets(ids))
        rows = [[1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0]]
        expected = sum(-F.log_softmax(torch.tensor(r), 0)[0] for r in rows) / 3
        assert torch.allclose(loss, expected)

    def test_excluding_everything_leaves_the_target(self):
        loss = info_nce(
            torch.randn(3, 3), torch.arange(3), exclude=torch.ones(3, 3, dtype=torch.bool)
        )
        assert loss.item() == 0


class TestCritics:
    def test_concat_critic_is_an_mlp_on_the_pair(self):
        critic = ConcatCritic(3, 5, hidden=7)
        x, y = torch.randn(4, 3), torch.randn(6, 5)
        scores = critic(x, y)
        assert scores.shape == (4, 6)
        one = critic.rest(critic.first_x(x[2]) + critic.first_y(y[5]))
        assert torch.allclose(scores[2, 5], one.squeeze(), atol=1e-6)

    def test_cosine_scores_are_bounded_by_the_temperature(self):
        critic = SeparableCritic(3, 5, temperature=0.1)
        assert critic(1e3 * torch.randn(50, 3), 1e3 * torch.randn(60, 5)).abs().max() <= 10.001

    def test_bad_temperature(self):
        with pytest.raises(ConfigError, match="temperature is 0"):
            SeparableCritic(3, 5, temperature=0)
