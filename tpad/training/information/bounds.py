"""Estimators of mutual information: what alignment maximises and disentanglement minimises.

Lower bounds (InfoNCE, MINE, NWJ, JSD) share one interface: `bound(x, y)` is the estimate in nats,
`bound.loss(x, y)` is what to *minimise* in order to raise it. The paired rows are the positives,
all other combinations in the batch the negatives. The upper bound is vCLUB; use it through
`Disentangler`, which keeps it from diverging.

That mutual information ties and separates the parts is [paper]; which estimators, and every setting
here, is [ours]. `gaussian_check` measures all of them against the closed form.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tpad.errors import ConfigError
from tpad.training.information.critics import VClub, make_critic


def repeated_targets(ids: Tensor) -> Tensor:
    """(B,) target ids to a (B, B) bool mask: True where row and column have the same target."""
    return ids[:, None] == ids[None, :]


def _candidates(
    scores: Tensor, targets: Tensor, log_q: Tensor | None, exclude: Tensor | None
) -> Tensor:
    """Scores (B, C) with the correction subtracted and excluded candidates at minus infinity."""
    scores = scores.float()
    if log_q is not None:
        scores = scores - log_q.float()  # (C,) broadcasts over rows
    if exclude is not None:
        # A row's own target always stays: excluding it would make the loss infinite.
        exclude = exclude.scatter(1, targets[:, None], False)
        scores = scores.masked_fill(exclude, -math.inf)
    return scores


def info_nce(
    scores: Tensor, targets: Tensor, log_q: Tensor | None = None, exclude: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the target among the candidates, in nats, mean over rows.

    Args:
        scores: (B, C) score of every candidate, already divided by any temperature.
        targets: (B,) int64, column of each row's positive.
        log_q: (C,) log-probability with which each candidate got into the set. Popular items are
            drawn more often as in-batch negatives and would be pushed down for it (sampled softmax,
            Bengio and Senecal 2008; in-batch form Yi et al. 2019). Constants cancel.
        exclude: (B, C) bool, True for candidates that are no negatives, such as the same target
            twice in a batch (`repeated_targets`). The row's own target is kept in any case.

    Source: van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive
        coding", arXiv 1807.03748.
    """
    return F.cross_entropy(_candidates(scores, targets, log_q, exclude), targets)


class LowerBound(nn.Module):
    """Base of the lower bounds: holds the critic and splits scores into paired and unpaired.

    Args:
        critic: module of x (B, dim_x), y (C, dim_y) to scores (B, C), see `critics.py`.

    Inputs:
        x (B, dim_x) and y (B, dim_y), row i of one belongs to row i of the other; exclude (B, B)
        bool or None, pairs that must not serve as negatives (the diagonal is ignored). With
        exclusions the negatives no longer follow p(x) p(y), so the value is only close to a bound.

    Raises:
        ConfigError: no negative is left, as in a batch of one (InfoNCE gives zero there).
    """

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        """The estimate in nats, a scalar."""
        return self.estimate(x, y, exclude)

    def estimate(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        """The estimate in nats, a scalar; differentiable, but train with `loss`."""
        raise NotImplementedError

    def loss(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        """Scalar to minimise, for the critic and for whatever produced x and y."""
        return -self.estimate(x, y, exclude)

    def _split(self, x: Tensor, y: Tensor, exclude: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of the pairs (B,), of the rest (B, B) with -inf where no negative, their count."""
        scores = self.critic(x, y)  # (B, B)
        drop = torch.eye(len(x), dtype=torch.bool, device=scores.device)
        if exclude is not None:
            drop = drop | exclude
        count = (~drop).sum()
        if not count:
            raise ConfigError(
                "no negative pair is left in the batch; use batches of two or more targets"
            )
        return scores.diagonal(), scores.masked_fill(drop, -math.inf), count


def _log_mean_exp(scores: Tensor, count: Tensor) -> Tensor:
    return scores.flatten().logsumexp(0) - count.log()


def _nwj(paired: Tensor, unpaired: Tensor, count: Tensor) -> Tensor:
    """NWJ of a critic that aims at the log density ratio itself (that is, T = 1 + score)."""
    return 1 + paired.mean() - _log_mean_exp(unpaired, count).exp()


class InfoNCE(LowerBound):
    """`ln B + mean log softmax`: low variance, but never above ln B.

    Example:
        >>> bound = make_lower_bound("infonce", 16, 16)
        >>> bound(torch.randn(8, 16), torch.randn(8, 16)).item() <= math.log(8)
        True

    Source: van den Oord et al. 2018, arXiv 1807.03748; as a bound, Poole et al. 2019, arXiv
        1905.06922.
    """

    def estimate(
        self, x: Tensor, y: Tensor, exclude: Tensor | None = None, log_q: Tensor | None = None
    ) -> Tensor:
        """Estimate in nats; `log_q` (B,) as in `info_nce` (it becomes part of the critic)."""
        targets = torch.arange(len(x), device=x.device)
        scores = _candidates(self.critic(x, y), targets, log_q, exclude)  # (B, B)
        # With exclusions a row has fewer candidates than B, and a lower cap.
        chance = scores.isfinite().sum(1).log().mean()
        return chance - F.cross_entropy(scores, targets)

    def loss(
        self, x: Tensor, y: Tensor, exclude: Tensor | None = None, log_q: Tensor | None = None
    ) -> Tensor:
        """`info_nce` of the critic's scores: minus the estimate, less the constant ln B."""
        targets = torch.arange(len(x), device=x.device)
        return info_nce(self.critic(x, y), targets, log_q, exclude)


class MINE(LowerBound):
    """Donsker–Varadhan: `E_p[T] - ln E_pp[exp T]`.

    The gradient of the logarithm of a *batch* mean is biased; dividing by a moving average of the
    mean instead corrects it, so `loss` has the right gradient, and a value without meaning.
    In a small batch the estimate is too high by Jensen's inequality: read it from a large one.

    Args:
        critic: see `LowerBound`.
        rate: share of the current batch in the moving average, in (0, 1).

    Source: Belghazi et al. 2018, "Mutual information neural estimation", arXiv 1801.04062, §3.2.
    """

    log_average: Tensor

    def __init__(self, critic: nn.Module, rate: float = 0.1) -> None:
        super().__init__(critic)
        if not 0 < rate < 1:
            raise ConfigError(f"rate is {rate}; give a value between 0 and 1")
        self.rate = rate
        # Kept as a logarithm, since exp(T) of an early critic may not fit a float.
        self.register_buffer("log_average", torch.tensor(math.nan))

    def estimate(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        paired, unpaired, count = self._split(x, y, exclude)
        return paired.mean() - _log_mean_exp(unpaired, count)

    def loss(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        paired, unpaired, count = self._split(x, y, exclude)
        log_mean = _log_mean_exp(unpaired, count)
        now = log_mean.detach()
        first = self.log_average.isnan()
        before = torch.where(first, now, self.log_average) + math.log1p(-self.rate)
        average = torch.logaddexp(before, now + math.log(self.rate))
        if self.training:
            self.log_average.copy_(average)
        return (log_mean - average).exp() - paired.mean()


class NWJ(LowerBound):
    """`1 + E_p[T] - E_pp[exp T]`: unbiased, also in small batches, at the price of variance.

    This is the usual `E_p[T'] - E_pp[exp(T' - 1)]` with T' = 1 + T, so that T is the log density
    ratio and an untrained critic that says zero gives an estimate of zero.

    Source: Nguyen, Wainwright and Jordan 2010, "Estimating divergence functionals and the
        likelihood ratio by convex risk minimization", arXiv 0809.0853.
    """

    def estimate(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        return _nwj(*self._split(x, y, exclude))


class JSD(LowerBound):
    """Trained as a classifier of pairs against non-pairs, whose loss cannot explode.

    Its objective bounds the Jensen–Shannon divergence and is *not* in nats of mutual information.
    But its ideal critic is the log density ratio, and NWJ holds for any critic: the estimate is NWJ
    read from the critic that `loss` trained.

    Source: Hjelm et al. 2019, "Learning deep representations by mutual information estimation and
        maximization", arXiv 1808.06670; reading it by NWJ, Poole et al. 2019, arXiv 1905.06922;
        that tighter bounds need not give better features, Tschannen et al. 2020, arXiv 1907.13625.
    """

    def estimate(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        return _nwj(*self._split(x, y, exclude))

    def loss(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        paired, unpaired, count = self._split(x, y, exclude)
        return F.softplus(-paired).mean() + F.softplus(unpaired).sum() / count


LOWER_BOUNDS: dict[str, type[LowerBound]] = {
    "infonce": InfoNCE,
    "mine": MINE,
    "nwj": NWJ,
    "jsd": JSD,
}


def make_lower_bound(
    name: str, dim_x: int, dim_y: int, *, critic: str = "bilinear", **settings
) -> LowerBound:
    """A lower bound by name, with a new critic.

    Args:
        name: "infonce", "mine", "nwj" or "jsd".
        dim_x: width of `x`.
        dim_y: width of `y`.
        critic: "bilinear", "separable" or "concat", see `critics.make_critic`.
        settings: of the critic.

    Raises:
        ConfigError: unknown name or critic.
    """
    if name not in LOWER_BOUNDS:
        raise ConfigError(f"estimator is {name!r}; choose one of {', '.join(LOWER_BOUNDS)}")
    return LOWER_BOUNDS[name](make_critic(critic, dim_x, dim_y, **settings))


class Penalty(NamedTuple):
    """What a `Disentangler` returns: add `loss` to the objective, log the other two."""

    loss: Tensor  # scalar, weight * estimate, with gradient
    estimate: Tensor  # scalar, nats >= 0, detached
    weight: float  # the warmed-up weight of this step


class Disentangler(nn.Module):
    """Pushes two parts of a representation apart by vCLUB, without the divergence.

    Four measures for features that are free to move [ours]: both parts are layer-normalised, so
    growing is no way out; the estimate is clamped at zero; q takes several steps for each of the
    heads; the weight rises linearly from zero, so that q is good before it matters. They do not
    keep a part from fading to a constant: each needs an objective of its own.

    Args:
        dim_tau: width of the transitional part.
        dim_nu: width of the intrinsic part.
        hidden: hidden units of q.
        weight: λ, reached after the warm-up.
        warmup_steps: training calls until then.
        inner_steps: steps of q for each call.
        learning_rate: of q; ten times that of the heads. With 2.5 times, the heads outrun q in
            circles and stay dependent (R² .41 to .25, against .41 to .04).

    Inputs:
        tau (B, dim_tau), nu (B, dim_nu). In training mode q is fitted and the warm-up advances; in
        evaluation mode neither happens and the full weight holds.

    Example:
        >>> apart = Disentangler(16, 16, weight=0.1)
        >>> penalty = apart(torch.randn(32, 16), torch.randn(32, 16))
        >>> penalty.estimate.item() >= 0, penalty.weight < 0.1
        (True, True)
    """

    step: Tensor

    def __init__(
        self,
        dim_tau: int,
        dim_nu: int,
        *,
        hidden: int = 128,
        weight: float = 1.0,
        warmup_steps: int = 100,
        inner_steps: int = 5,
        learning_rate: float = 5e-3,
    ) -> None:
        super().__init__()
        self.club = VClub(dim_tau, dim_nu, hidden, learning_rate=learning_rate)
        self.weight = weight
        self.warmup_steps = warmup_steps
        self.inner_steps = inner_steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, tau: Tensor, nu: Tensor) -> Penalty:
        tau = F.layer_norm(tau, tau.shape[-1:])
        nu = F.layer_norm(nu, nu.shape[-1:])
        weight = self.weight
        if self.training:
            self.club.fit_step(tau, nu, self.inner_steps)
            if self.warmup_steps:
                weight *= min(1.0, self.step.item() / self.warmup_steps)
            self.step += 1
        estimate = self.club.estimate(tau, nu, clamp=True)
        return Penalty(weight * estimate, estimate.detach(), weight)


def gaussian_information(rho: float, dim: int) -> float:
    """`-dim/2 · ln(1 - rho²)` nats between `dim` independent pairs with correlation `rho`."""
    return -0.5 * dim * math.log(1 - rho**2)


def gaussian_club(rho: float, dim: int) -> float:
    """`dim · rho² / (1 - rho²)` nats: what CLUB gives for them when q is the true conditional."""
    return dim * rho**2 / (1 - rho**2)


def correlated_gaussians(
    count: int, dim: int, rho: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Standard normal x and y, (count, dim) each; column k of x and of y correlate by `rho`."""
    x = torch.randn(count, dim, generator=generator)
    noise = torch.randn(count, dim, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def gaussian_check(
    estimators: Sequence[str] = (*LOWER_BOUNDS, "vclub"),
    rhos: Sequence[float] = (0.3, 0.6, 0.9),
    *,
    dim: int = 4,
    steps: int = 900,
    batch: int = 256,
    seed: int = 0,
) -> pd.DataFrame:
    """Trains each estimator on correlated Gaussians and reads it on fresh ones.

    Args:
        estimators: names of `LOWER_BOUNDS`, or "vclub".
        rhos: correlations.
        dim: width of x and of y.
        steps: Adam steps, each on a new batch.
        batch: rows in a training batch; the final reading takes sixteen batches of 1,024.
        seed: of weights and samples.

    Returns:
        One row for each estimator and rho: estimator, kind ("lower" or "upper"), rho, truth (nats),
        ideal (value at the best critic or q: the truth, for vCLUB `gaussian_club`), estimate.
    """
    rows = []
    for name in estimators:
        for rho in rhos:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                estimate = _gaussian_estimate(name, rho, dim, steps, batch)
            upper = name == "vclub"
            truth = gaussian_information(rho, dim)
            ideal = gaussian_club(rho, dim) if upper else truth
            kind = "upper" if upper else "lower"
            rows.append((name, kind, rho, truth, ideal, estimate))
    return pd.DataFrame(rows, columns=["estimator", "kind", "rho", "truth", "ideal", "estimate"])


def _gaussian_estimate(name: str, rho: float, dim: int, steps: int, batch: int) -> float:
    model: VClub | LowerBound
    if name == "vclub":
        model = VClub(dim, dim, 64, learning_rate=5e-3)
        optimizer = model.optimizer
    else:
        model = make_lower_bound(name, dim, dim, critic="separable", size=32, hidden=64)
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, optimizer.param_groups[0]["lr"], total_steps=steps
    )
    for _ in range(steps):
        x, y = correlated_gaussians(batch, dim, rho)
        if isinstance(model, VClub):
            model.fit_step(x, y)
        else:
            loss = model.loss(x, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        readings = [model(*correlated_gaussians(1024, dim, rho)) for _ in range(16)]
    return torch.stack(readings).mean().item()
