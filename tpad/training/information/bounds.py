"""Lower bounds of mutual information, which alignment maximises.

All bounds (InfoNCE, MINE, NWJ, JSD) share one interface: `bound(x, y)` is the estimate in nats, and
minimising `bound.loss(x, y)` raises it. The pairs of rows are the positives; all other combinations in
the batch are the negatives.

Aligning and separating the parts by mutual information is [paper]; the choice of estimators and all
settings are [ours]. `tpad.training.information.gaussian` compares the estimates with the closed form.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tpad.errors import ConfigError
from tpad.training.information.critics import make_critic


def repeated_targets(ids: Tensor) -> Tensor:
    """Target ids (B,) -> bool mask (B, B): True where row and column have the same target."""
    return ids[:, None] == ids[None, :]


def _candidates(
    scores: Tensor, targets: Tensor, log_q: Tensor | None, exclude: Tensor | None
) -> Tensor:
    """Scores (B, C) minus `log_q`, with −inf for excluded candidates."""
    scores = scores.float()
    if log_q is not None:
        scores = scores - log_q.float()  # (C,) broadcasts over rows
    if exclude is not None:
        # The target of a row is never excluded: the loss would be infinite.
        exclude = exclude.scatter(1, targets[:, None], False)
        scores = scores.masked_fill(exclude, -math.inf)
    return scores


def info_nce(
    scores: Tensor, targets: Tensor, log_q: Tensor | None = None, exclude: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the target among the candidates, in nats, mean over rows.

    Args:
        scores: (B, C) scores of the candidates, already divided by the temperature.
        targets: (B,) int64, column of each row's positive.
        log_q: (C,) log-probability with which each candidate was sampled. It corrects for popular
            items, which are sampled more often as in-batch negatives (sampled softmax, Bengio and
            Senecal 2008; in-batch form, Yi et al. 2019). Constants cancel.
        exclude: (B, C) bool, True for candidates that are not negatives, such as a repeated target
            in a batch (`repeated_targets`). The target of the row itself is never excluded.

    Source: van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive
        coding", arXiv 1807.03748.
    """
    return F.cross_entropy(_candidates(scores, targets, log_q, exclude), targets)


class LowerBound(nn.Module):
    """Base class of the lower bounds: holds the critic, and splits scores into paired and unpaired.

    Args:
        critic: module that maps x (B, dim_x) and y (C, dim_y) to scores (B, C); see `critics.py`.

    Inputs:
        x (B, dim_x) and y (B, dim_y), where row i of x belongs to row i of y; exclude, (B, B) bool or
        None, pairs that must not be negatives (the diagonal is ignored). With exclusions, the
        negatives do not follow p(x) p(y), so the value is only approximately a bound.

    Raises:
        ConfigError: there are no negatives, as in a batch of one (InfoNCE gives zero there).
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
        """Scalar to minimise, for the critic and for the networks that compute x and y."""
        return -self.estimate(x, y, exclude)

    def _split(self, x: Tensor, y: Tensor, exclude: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of the pairs (B,), scores of the negatives (B, B) with −inf elsewhere, and their count."""
        scores = self.critic(x, y)  # (B, B)
        drop = torch.eye(len(x), dtype=torch.bool, device=scores.device)
        if exclude is not None:
            drop = drop | exclude
        count = (~drop).sum()
        if not count:
            raise ConfigError(
                "no negative pair is left in the batch; use batches with two or more targets"
            )
        return scores.diagonal(), scores.masked_fill(drop, -math.inf), count


def _log_mean_exp(scores: Tensor, count: Tensor) -> Tensor:
    return scores.flatten().logsumexp(0) - count.log()


def _nwj(paired: Tensor, unpaired: Tensor, count: Tensor) -> Tensor:
    """NWJ with T = 1 + score, whose optimal score is the log density ratio."""
    return 1 + paired.mean() - _log_mean_exp(unpaired, count).exp()


class InfoNCE(LowerBound):
    """InfoNCE, `ln B + mean log softmax`: low variance, but never above ln B.

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
        """The estimate in nats; `log_q` (B,) as in `info_nce`, as a part of the critic."""
        targets = torch.arange(len(x), device=x.device)
        scores = _candidates(self.critic(x, y), targets, log_q, exclude)  # (B, B)
        # With exclusions, a row has fewer than B candidates and a lower upper limit.
        chance = scores.isfinite().sum(1).log().mean()
        return chance - F.cross_entropy(scores, targets)

    def loss(
        self, x: Tensor, y: Tensor, exclude: Tensor | None = None, log_q: Tensor | None = None
    ) -> Tensor:
        """`info_nce` of the critic's scores, which is ln B minus the estimate."""
        targets = torch.arange(len(x), device=x.device)
        return info_nce(self.critic(x, y), targets, log_q, exclude)


class MINE(LowerBound):
    """MINE, the Donsker–Varadhan bound: `E_p[T] - ln E_pp[exp T]`.

    The gradient of the logarithm of a *batch* mean is biased. `loss` divides by a moving average of the
    mean instead: its gradient is corrected, but its value has no meaning. By Jensen's inequality, the
    estimate is too high in small batches, so compute it on a large one.

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
        # Stored as a logarithm, because exp(T) of an untrained critic may overflow.
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
    """NWJ, `1 + E_p[T] - E_pp[exp T]`: unbiased even in small batches, but with high variance.

    This is the usual `E_p[T'] - E_pp[exp(T' - 1)]` with T' = 1 + T. So the optimal T is the log density
    ratio, and a critic that returns zero gives an estimate of zero.

    Source: Nguyen, Wainwright and Jordan 2010, "Estimating divergence functionals and the
        likelihood ratio by convex risk minimization", arXiv 0809.0853.
    """

    def estimate(self, x: Tensor, y: Tensor, exclude: Tensor | None = None) -> Tensor:
        return _nwj(*self._split(x, y, exclude))


class JSD(LowerBound):
    """JSD: the critic is trained as a classifier of pairs against non-pairs, with a stable loss.

    The objective bounds the Jensen–Shannon divergence; it is *not* mutual information in nats. But its
    optimal critic is the log density ratio, and NWJ is valid for any critic. So the estimate is NWJ
    with the critic that `loss` trained.

    Source: Hjelm et al. 2019, "Learning deep representations by mutual information estimation and
        maximization", arXiv 1808.06670. Estimate by NWJ: Poole et al. 2019, arXiv 1905.06922.
        Tighter bounds do not always give better features: Tschannen et al. 2020, arXiv 1907.13625.
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
        settings: settings of the critic.

    Raises:
        ConfigError: there is no such bound or critic.
    """
    if name not in LOWER_BOUNDS:
        raise ConfigError(f"estimator is {name!r}; choose one of {', '.join(LOWER_BOUNDS)}")
    return LOWER_BOUNDS[name](make_critic(critic, dim_x, dim_y, **settings))
