"""What is trained inside the estimators: critics of pairs, and vCLUB with its conditional Gaussian.

A critic maps `x` (B, dim_x) and `y` (C, dim_y) to scores (B, C) of *every* pair. All lower bounds
in `mutual_information.py` are written such that their ideal critic is the log density ratio
`log p(x, y) / (p(x) p(y))`, hence a critic trained by one of them can be read by another.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tpad.errors import ConfigError


def multilayer_perceptron(dim_in: int, hidden: int, dim_out: int, layers: int = 1) -> nn.Sequential:
    """`layers` hidden layers of `hidden` units with GELU, then a linear one."""
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(dim_in, hidden), nn.GELU()]
        dim_in = hidden
    return nn.Sequential(*parts, nn.Linear(dim_in, dim_out))


class SeparableCritic(nn.Module):
    """`score(x, y) = f(x) · g(y) / temperature + bias`: one matrix product for all pairs.

    Args:
        dim_x: width of `x`.
        dim_y: width of `y`.
        size: width of the space in which both sides meet.
        hidden: hidden units of the two encoders; 0 makes them linear, the score bilinear.
        normalise: cosine instead of the plain dot product. It bounds the scores by
            `1 / temperature`, which keeps MINE and NWJ from overflowing on features that are
            themselves trained; the plain product can represent more.
        temperature: initial value; it is learned, in [0.01, 100].

    Inputs:
        x (B, dim_x), y (C, dim_y); returns float32 scores (B, C).
    """

    def __init__(
        self,
        dim_x: int,
        dim_y: int,
        *,
        size: int = 64,
        hidden: int = 0,
        normalise: bool = True,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0.01 <= temperature <= 100:
            raise ConfigError(f"temperature is {temperature}; give a value between 0.01 and 100")
        if hidden:
            self.encode_x: nn.Module = multilayer_perceptron(dim_x, hidden, size, layers=2)
            self.encode_y: nn.Module = multilayer_perceptron(dim_y, hidden, size, layers=2)
        else:
            self.encode_x = nn.Linear(dim_x, size, bias=False)
            self.encode_y = nn.Linear(dim_y, size, bias=False)
        self.normalise = normalise
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        # InfoNCE and MINE do not feel a constant, but NWJ and JSD need the right one.
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        left, right = self.encode_x(x), self.encode_y(y)  # (B, size), (C, size)
        if self.normalise:
            left, right = F.normalize(left, dim=-1), F.normalize(right, dim=-1)
        scale = self.log_scale.clamp(-math.log(100), math.log(100)).exp()
        return (scale * (left @ right.T) + self.bias).float()  # (B, C)


class ConcatCritic(nn.Module):
    """An MLP on the concatenated pair: the most flexible critic, at B · C forwards of the MLP.

    Args:
        dim_x: width of `x`.
        dim_y: width of `y`.
        hidden: units of each of the two hidden layers.

    Inputs:
        x (B, dim_x), y (C, dim_y); returns float32 scores (B, C). Memory grows with B · C · hidden.
    """

    def __init__(self, dim_x: int, dim_y: int, *, hidden: int = 64) -> None:
        super().__init__()
        # The first layer on [x; y] is a sum of one on x and one on y: B + C products, not B · C.
        self.first_x = nn.Linear(dim_x, hidden)
        self.first_y = nn.Linear(dim_y, hidden, bias=False)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        pairs = self.first_x(x)[:, None] + self.first_y(y)[None]  # (B, C, hidden)
        return self.rest(pairs).squeeze(-1).float()  # (B, C)


def make_critic(kind: str, dim_x: int, dim_y: int, **settings) -> nn.Module:
    """A critic by name.

    Args:
        kind: "bilinear" (linear encoders, cosine), "separable" (MLP encoders, plain dot product)
            or "concat" (MLP on pairs).
        settings: passed on to `SeparableCritic` or `ConcatCritic`.

    Raises:
        ConfigError: unknown kind.
    """
    if kind == "bilinear":
        return SeparableCritic(dim_x, dim_y, **settings)
    if kind == "separable":
        defaults = {"hidden": 128, "normalise": False, "temperature": 1.0}
        return SeparableCritic(dim_x, dim_y, **(defaults | settings))
    if kind == "concat":
        return ConcatCritic(dim_x, dim_y, **settings)
    raise ConfigError(f"critic is {kind!r}; choose bilinear, separable or concat")


class ConditionalGaussian(nn.Module):
    """`q(y | x) = N(mean(x), diag exp(log_variance(x)))`, the log-variance kept within limits.

    Args:
        dim_x: width of the condition.
        dim_y: width of what is predicted.
        hidden: hidden units of both MLPs.
        log_variance: (lowest, highest) log-variance; a sigmoid keeps it in between. Without a
            lower limit one confident dimension makes the likelihood and vCLUB arbitrarily large.

    Inputs:
        x (B, dim_x); returns mean (B, dim_y) and log-variance (B, dim_y).
    """

    def __init__(
        self, dim_x: int, dim_y: int, hidden: int, log_variance: tuple[float, float]
    ) -> None:
        super().__init__()
        self.low, self.high = log_variance
        if not self.low < self.high:
            raise ConfigError(f"log_variance is {log_variance}; the first must be the lower one")
        self.mean = multilayer_perceptron(dim_x, hidden, dim_y)
        self.spread = multilayer_perceptron(dim_x, hidden, dim_y)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_variance = self.low + (self.high - self.low) * self.spread(x).sigmoid()  # (B, dim_y)
        return self.mean(x), log_variance


class VClub(nn.Module):
    """Variational CLUB: `E_p[log q(y|x)] - E_pp[log q(y|x)]`, an upper bound once q is good.

    q has its own optimiser and is fitted by `fit_step` alone: `estimate` passes gradients to x and
    y but never to q, so an outer optimiser that holds all parameters does no harm. On free features
    use `mutual_information.Disentangler`: a raw estimate can be driven to minus infinity by fooling
    q.

    Args:
        dim_x: width of the condition.
        dim_y: width of what q predicts.
        hidden: hidden units of q.
        log_variance: limits of q's log-variance, see `ConditionalGaussian`.
        learning_rate: of q's Adam.

    Inputs:
        x (B, dim_x), y (B, dim_y), row i of one belongs to row i of the other, B >= 2.

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
        """Adam over q, made at first use, after any move to another device; for checkpoints too."""
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam(self.q.parameters(), self.learning_rate)
        return self._optimizer

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """`estimate` with its defaults."""
        return self.estimate(x, y)

    def estimate(
        self, x: Tensor, y: Tensor, *, negatives: str = "all", clamp: bool = False
    ) -> Tensor:
        """The bound in nats, a scalar.

        Args:
            x, y: see the class.
            negatives: "all" other rows of the batch (computed from moments, as fast as sampling),
                or one "sampled" other row each, as in the paper's vCLUB-S.
            clamp: at zero, which also stops the gradient where q has been fooled.
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
            # Mean over j of (y_j - mean_i)^2 without the (B, B, dim_y) differences; the spread is
            # taken about the centre, since E[y^2] - E[y]^2 loses digits.
            centre = y.mean(0)
            all_rows = (y - centre).square().mean(0) + (centre - mean).square()  # (B, dim_y)
            other = (len(y) * all_rows - own) / (len(y) - 1)
        else:
            shift = torch.randint(1, len(y), (len(y),), device=y.device)
            rows = (torch.arange(len(y), device=y.device) + shift) % len(y)  # never the own row
            other = (y[rows] - mean).square()
        # The normalising terms of q are equal on both sides of the difference and cancel.
        value = ((other - own) / (2 * log_variance.float().exp())).sum(-1).mean()
        return value.clamp(min=0) if clamp else value

    def fit_step(self, x: Tensor, y: Tensor, steps: int = 1) -> float:
        """Fits q by `steps` Adam steps on its negative log-likelihood; x and y get no gradient.

        Returns:
            The last step's negative log-likelihood per row in nats, less the constant.
        """
        if steps < 1:
            raise ConfigError(f"steps is {steps}; q must be fitted by at least one")
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
