"""Lower bounds of mutual information, which alignment maximises.

Lower bounds (InfoNCE, MINE, NWJ, JSD) share one interface: `bound(x, y)` is the estimate in nats,
`bound.loss(x, y)` is what to *minimise* in order to raise it. The paired rows are the positives,
all other combinations in the batch the negatives.

That mutual information ties and separates the parts is [paper]; which estimators, and every setting
here, is [ours]. `tpad.training.information.gaussian` measures them against the closed form.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tpad.errors import ConfigError
from tpad.training.information.critics import make_critic


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
