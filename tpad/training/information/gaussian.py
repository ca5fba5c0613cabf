"""Compares the estimators of mutual information with the closed form for correlated Gaussians."""

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from tpad.training.information.bounds import LOWER_BOUNDS, LowerBound, make_lower_bound
from tpad.training.information.disentangling import VClub


def gaussian_information(rho: float, dim: int) -> float:
    """Mutual information of `dim` pairs with correlation `rho`: `-dim/2 · ln(1 - rho²)` nats."""
    return -0.5 * dim * math.log(1 - rho**2)


def gaussian_club(rho: float, dim: int) -> float:
    """CLUB for these pairs if q is the true conditional: `dim · rho² / (1 - rho²)` nats."""
    return dim * rho**2 / (1 - rho**2)


def correlated_gaussians(
    count: int, dim: int, rho: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Standard normal x and y, (count, dim) each; the correlation of column k of x and y is `rho`."""
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
    """Train each estimator on correlated Gaussians, and evaluate it on new samples.

    Args:
        estimators: names of `LOWER_BOUNDS`, or "vclub".
        rhos: correlations.
        dim: width of x and of y.
        steps: Adam steps, each on a new batch.
        batch: rows of a training batch; the evaluation uses sixteen batches of 1,024 rows.
        seed: seed of weights and samples.

    Returns:
        A row for each estimator and rho: estimator, kind ("lower" or "upper"), rho, truth (nats), ideal
        (the value with the optimal critic or q: the truth, or `gaussian_club` for vCLUB), estimate.
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
        estimates = [model(*correlated_gaussians(1024, dim, rho)) for _ in range(16)]
    return torch.stack(estimates).mean().item()
