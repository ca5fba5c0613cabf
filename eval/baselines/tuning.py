"""The declared search: the same number of tries for every baseline, on validation sessions alone."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from eval.baselines.registry import BASELINES, Baseline, Progress
from eval.baselines.settings import build
from eval.baselines.validation import ValidationCases
from tpad import ConfigError, Dataset


@dataclass(frozen=True)
class Tuning:
    """The settings found, and what every try reached; plain values, to be recorded."""

    settings: dict[str, Any]
    """Settings of the best try, for `Baseline.make`."""
    tries: list[tuple[dict[str, Any], float]]
    """Settings and validation MRR@20 (NaN without validation cases) of every try, in order."""


def tune(
    model: str | Baseline,
    dataset: Dataset,
    seed: int,
    tries: int,
    *,
    settings: Mapping[str, Any] | None = None,
    mask_seen: bool = True,
    cases: str = "every prefix",
    progress: Progress = None,
) -> Tuning:
    """Fits a baseline with several settings and takes those with the best validation MRR@20.

    The first try has the defaults, the others are drawn from the model's search table without
    repetition. A model with fewer combinations gets as many tries as there are; one without any
    needs none.

    Args:
        model: a name of `BASELINES`, or a `Baseline`.
        dataset: training and validation sessions are read, test sessions never.
        seed: of the draw and of the models.
        tries: most fits, at least 1.
        settings: what every try shares, such as the budget of epochs; it is not searched.
        mask_seen: whether items of a session are no candidates.
        cases: which validation cases count, "every prefix" or "last item".
        progress: called after each epoch of a neural model.

    Returns:
        The best settings (the earliest if several are equal), with those shared.

    Raises:
        ConfigError: there is no such model, or a setting cannot work.
    """
    baseline = baseline_of(model)
    if tries < 1:
        raise ConfigError(f"tries must be at least 1, not {tries}.")
    shared = dict(settings or {})
    known = [one.name for one in fields(baseline.config)]
    for name, value in (("mask_seen", mask_seen), ("validation", cases)):
        if name in known:
            shared[name] = value
    build(baseline.config, shared)  # a fault is told before any time is spent
    table = {name: values for name, values in baseline.search.items() if name not in shared}
    if not table:
        return Tuning(shared, [])
    asked = ValidationCases.of(dataset, mask_seen=mask_seen, cases=cases)
    done: list[tuple[dict[str, Any], float]] = []
    for chosen in _draws(table, baseline, seed, tries):
        fitted = baseline.make(seed, shared | chosen, progress).fit(dataset)
        done.append((shared | chosen, asked.mrr(fitted)))
    best = max(done, key=lambda one: -np.inf if np.isnan(one[1]) else one[1])
    return Tuning(best[0], done)


def baseline_of(model: str | Baseline) -> Baseline:
    """A baseline by name; a `Baseline` is given back as it is."""
    if isinstance(model, Baseline):
        return model
    if model not in BASELINES:
        raise ConfigError(f"There is no baseline {model!r}; choose from {', '.join(BASELINES)}.")
    return BASELINES[model]


def _draws(
    table: Mapping[str, tuple[Any, ...]], baseline: Baseline, seed: int, tries: int
) -> list[dict[str, Any]]:
    """The defaults, then other combinations in random order."""
    default = baseline.config()
    first = {name: getattr(default, name) for name in table}
    every = [dict(zip(table, values, strict=True)) for values in product(*table.values())]
    others = [one for one in every if one != first]
    order = np.random.default_rng(seed).permutation(len(others))[: tries - 1]
    return [first, *(others[row] for row in order)]
