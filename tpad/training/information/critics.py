"""Critics, the networks that the lower bounds of mutual information train.

A critic maps `x` (B, dim_x) and `y` (C, dim_y) to scores (B, C) of *all* pairs. All bounds in `bounds.py`
are written so that the optimal critic is the log density ratio `log p(x, y) / (p(x) p(y))`. So a
critic that was trained with one bound can be evaluated with another.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tpad.errors import ConfigError


def multilayer_perceptron(dim_in: int, hidden: int, dim_out: int, layers: int = 1) -> nn.Sequential:
    """An MLP with `layers` hidden layers of `hidden` units with GELU, and a linear output layer."""
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
        size: width of the common space.
        hidden: hidden units of the two encoders; 0 makes the encoders linear and the score bilinear.
        normalise: whether to use cosine similarity. It bounds the scores by `1 / temperature`, so that
            MINE and NWJ do not overflow when the features are trained too. The plain dot product is
            more expressive.
        temperature: initial value; it is learned within [0.01, 100].

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
        # InfoNCE and MINE are invariant to a constant, but NWJ and JSD are not.
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        left, right = self.encode_x(x), self.encode_y(y)  # (B, size), (C, size)
        if self.normalise:
            left, right = F.normalize(left, dim=-1), F.normalize(right, dim=-1)
        scale = self.log_scale.clamp(-math.log(100), math.log(100)).exp()
        return (scale * (left @ right.T) + self.bias).float()  # (B, C)


class ConcatCritic(nn.Module):
    """An MLP on concatenated pairs: the most expressive critic, but it needs B · C forward passes.

    Args:
        dim_x: width of `x`.
        dim_y: width of `y`.
        hidden: units of each of the two hidden layers.

    Inputs:
        x (B, dim_x), y (C, dim_y); returns float32 scores (B, C). Memory grows with B · C · hidden.
    """

    def __init__(self, dim_x: int, dim_y: int, *, hidden: int = 64) -> None:
        super().__init__()
        # The first layer on [x; y] is a sum of a layer on x and one on y: B + C products, not B · C.
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
        kind: "bilinear" (linear encoders, cosine similarity), "separable" (MLP encoders, dot product)
            or "concat" (MLP on pairs).
        settings: passed to `SeparableCritic` or `ConcatCritic`.

    Raises:
        ConfigError: there is no such critic.
    """
    if kind == "bilinear":
        return SeparableCritic(dim_x, dim_y, **settings)
    if kind == "separable":
        defaults = {"hidden": 128, "normalise": False, "temperature": 1.0}
        return SeparableCritic(dim_x, dim_y, **(defaults | settings))
    if kind == "concat":
        return ConcatCritic(dim_x, dim_y, **settings)
    raise ConfigError(f"critic is {kind!r}; choose bilinear, separable or concat")
