"""vCLUB, an upper bound of mutual information, and a penalty that uses it to separate two parts.

Separating the parts by mutual information is [paper]; the estimator and all settings are [ours].
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tpad.errors import ConfigError
from tpad.training.information.critics import multilayer_perceptron


class ConditionalGaussian(nn.Module):
    """`q(y | x) = N(mean(x), diag exp(log_variance(x)))` with a bounded log-variance.

    Args:
        dim_x: width of the condition `x`.
        dim_y: width of the prediction `y`.
        hidden: hidden units of both MLPs.
        log_variance: (lowest, highest) log-variance, enforced by a sigmoid. Without a lower limit,
            one confident dimension could make the likelihood and vCLUB arbitrarily large.

    Inputs:
        x (B, dim_x); returns mean (B, dim_y) and log-variance (B, dim_y).
    """

    def __init__(
        self, dim_x: int, dim_y: int, hidden: int, log_variance: tuple[float, float]
    ) -> None:
        super().__init__()
        self.low, self.high = log_variance
        if not self.low < self.high:
            raise ConfigError(f"log_variance is {log_variance}; give (lowest, highest)")
        self.mean = multilayer_perceptron(dim_x, hidden, dim_y)
        self.spread = multilayer_perceptron(dim_x, hidden, dim_y)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_variance = self.low + (self.high - self.low) * self.spread(x).sigmoid()  # (B, dim_y)
        return self.mean(x), log_variance


class VClub(nn.Module):
    """Variational CLUB, `E_p[log q(y|x)] - E_pp[log q(y|x)]`: an upper bound if q is well fitted.

    q has its own optimiser and is trained only by `fit_step`: `estimate` passes gradients to x and y but
    never to q. For features that are trained, use `Disentangler`: they could drive the raw estimate to
    minus infinity, where q is wrong.

    Args:
        dim_x: width of the condition `x`.
        dim_y: width of `y`, which q predicts.
        hidden: hidden units of q.
        log_variance: limits of q's log-variance; see `ConditionalGaussian`.
        learning_rate: learning rate of q's Adam optimiser.

    Inputs:
        x (B, dim_x) and y (B, dim_y), where row i of x belongs to row i of y; B >= 2.

    Example:
        >>> club = VClub(4, 4)
        >>> x = torch.randn(64, 4)
        >>> nll = club.fit_step(x, x + 0.5 * torch.randn(64, 4), steps=5)
        >>> club.estimate(x, torch.randn(64, 4), clamp=True).item() >= 0
        True

    Source: Cheng et al. 2020, "CLUB: a contrastive log-ratio upper bound of mutual information",
        arXiv 2006.12013, eq. 12 (without the i = j terms among the negatives, which lower it).
    """

    def __init__(
        self,
        dim_x: int,
        dim_y: int,
        hidden: int = 128,
        *,
        log_variance: tuple[float, float] = (-4.0, 1.0),
        learning_rate: float = 1e-3,
    ) -> None:
        super().__init__()
        self.q = ConditionalGaussian(dim_x, dim_y, hidden, log_variance)
        self.learning_rate = learning_rate
        self._optimizer: torch.optim.Adam | None = None

    @property
    def optimizer(self) -> torch.optim.Adam:
        """Adam optimiser of q, created at first use: only then is q on its final device."""
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam(self.q.parameters(), self.learning_rate)
        return self._optimizer

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """`estimate` with default arguments."""
        return self.estimate(x, y)

    def estimate(
        self, x: Tensor, y: Tensor, *, negatives: str = "all", clamp: bool = False
    ) -> Tensor:
        """The bound in nats, a scalar.

        Args:
            x, y: see the class.
            negatives: "all" other rows of the batch (computed from moments, as fast as sampling),
                or one "sampled" other row for each row, as in vCLUB-S of the CLUB paper.
            clamp: whether to clamp at zero, which also stops the gradient where q is wrong.
        """
        if negatives not in ("all", "sampled"):
            raise ConfigError(f"negatives is {negatives!r}; choose all or sampled")
        if len(x) < 2:
            raise ConfigError("vCLUB needs batches of two rows or more")
        frozen = {name: value.detach() for name, value in self.q.named_parameters()}
        mean, log_variance = torch.func.functional_call(self.q, frozen, (x,))  # (B, dim_y) each
        mean, y = mean.float(), y.float()
        own = (y - mean).square()  # (B, dim_y)
        if negatives == "all":
            # Mean over j of (y_j - mean_i)^2 without the (B, B, dim_y) differences. The variance is
            # computed around the centre, because E[y^2] - E[y]^2 loses digits.
            centre = y.mean(0)
            all_rows = (y - centre).square().mean(0) + (centre - mean).square()  # (B, dim_y)
            other = (len(y) * all_rows - own) / (len(y) - 1)
        else:
            shift = torch.randint(1, len(y), (len(y),), device=y.device)
            rows = (torch.arange(len(y), device=y.device) + shift) % len(y)  # never the row itself
            other = (y[rows] - mean).square()
        # The normalising terms of q cancel in the difference.
        value = ((other - own) / (2 * log_variance.float().exp())).sum(-1).mean()
        return value.clamp(min=0) if clamp else value

    def fit_step(self, x: Tensor, y: Tensor, steps: int = 1) -> float:
        """Train q with `steps` Adam steps on its negative log-likelihood; x and y get no gradient.

        Returns:
            Negative log-likelihood per row in nats at the last step, without the constant term.
        """
        if steps < 1:
            raise ConfigError(f"steps is {steps}; q needs at least one")
        x, y = x.detach(), y.detach().float()
        with torch.enable_grad():
            for _ in range(steps):
                mean, log_variance = self.q(x)
                squared = (y - mean).square() / log_variance.exp()
                loss = 0.5 * (squared + log_variance).sum(-1).mean()
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
        return loss.item()


class Penalty(NamedTuple):
    """The output of a `Disentangler`: add `loss` to the objective, and log the other two."""

    loss: Tensor  # scalar, weight * estimate, with gradient
    estimate: Tensor  # scalar, nats >= 0, detached
    weight: float  # weight of this step, after the warm-up factor


class Disentangler(nn.Module):
    """Separates two parts of a representation by a vCLUB penalty that cannot diverge.

    Four measures make vCLUB stable for features that are trained [ours]: both parts are
    layer-normalised, so that they cannot grow; the estimate is clamped at zero; q takes several steps
    for each step of the heads; and the weight rises linearly from zero, so that q is fitted before it
    matters. They do not prevent a part from collapsing to a constant: each part needs a loss of its own.

    Args:
        dim_tau: width of the transitional part.
        dim_nu: width of the intrinsic part.
        hidden: hidden units of q.
        weight: λ, the weight after the warm-up.
        warmup_steps: number of training calls of the warm-up.
        inner_steps: steps of q per training call.
        learning_rate: learning rate of q, ten times that of the heads. With 2.5 times, q cannot follow
            the heads, and the parts stay dependent (R² falls from .41 to .25 instead of .04).

    Inputs:
        tau (B, dim_tau) and nu (B, dim_nu). Training mode fits q and advances the warm-up; evaluation
        mode does neither and uses the full weight.

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

    @torch.no_grad()
    def explained(self, tau: Tensor, nu: Tensor) -> float:
        """R²: the part of the variance of nu (B, dim_nu), standardised per row, that q explains by tau."""
        tau = F.layer_norm(tau, tau.shape[-1:])
        nu = F.layer_norm(nu, nu.shape[-1:])
        mean, _ = self.club.q(tau)  # (B, dim_nu)
        total = (nu - nu.mean(0)).square().sum()
        return float(1 - (nu - mean).square().sum() / total)

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
