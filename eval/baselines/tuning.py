"""Tunes baselines on validation sessions, with the same number of tries for each.

A model that scores items without clicks is tuned like the session recommender: a tenth of the items lose
their training clicks, and targets of both kinds count (see `eval.baselines.validation`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np

from eval.baselines.registry import BASELINES, Baseline, Progress, Table
from eval.baselines.settings import build
from eval.baselines.validation import ValidationCases
from tpad import ConfigError, Dataset
from tpad.data.pseudo_cold import hold_out, pseudo_cold


@dataclass(frozen=True)
class Tuning:
    """The best settings and the result of every try, as plain values to be stored."""

    settings: dict[str, Any]
    """Settings of the best try, for `Baseline.make`."""
    tries: list[tuple[dict[str, Any], float]]
    """Settings and validation value (NaN without validation cases) of every try, in order. The value is
    the MRR@20, or what `Baseline.choose` returns."""


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
    """Fits a baseline with several settings and takes those with the best validation value.

    The first try uses the defaults, the others are drawn without replacement from the combinations in
    the model's search tables. If there are fewer combinations, all are tried.

    Args:
        model: a name of `BASELINES`, or a `Baseline`.
        dataset: training and validation sessions are used, test sessions never.
        seed: of the draws and of the models.
        tries: maximum number of fits, at least 1.
        settings: fixed settings of every try, such as the number of epochs.
        mask_seen: whether items of a session are excluded from the candidates.
        cases: the validation cases, "every prefix" or "last item".
        progress: called after each epoch of a neural model.

    Returns:
        The best settings (the earliest of equal ones), fixed settings included.

    Raises:
        ConfigError: there is no such model, or a setting is invalid.
    """
    baseline = baseline_of(model)
    if tries < 1:
        raise ConfigError(f"tries must be at least 1, not {tries}.")
    shared = dict(settings or {})
    known = [one.name for one in fields(baseline.config)]
    for name, given in (("mask_seen", mask_seen), ("validation", cases)):
        if name in known:
            shared[name] = given
    build(baseline.config, shared)  # fails early if a setting is invalid
    combinations = _combinations(baseline.search, shared)
    if not combinations:
        return Tuning(shared, [])
    reduced, held_out = dataset, None
    if baseline.new_items:
        held_out = pseudo_cold(~dataset.cold)
        reduced = replace(dataset, train=hold_out(dataset.train, ~held_out))
    validation = ValidationCases.of(dataset, mask_seen=mask_seen, cases=cases, held_out=held_out)
    done: list[tuple[dict[str, Any], float]] = []
    further: dict[str, Any]
    for chosen in _draws(combinations, baseline, seed, tries):
        fitted = baseline.make(seed, shared | chosen, progress).fit(reduced)
        if baseline.choose is None:
            further, value = {}, validation.mrr(fitted)
        else:
            further, value = baseline.choose(fitted, validation)
        done.append((shared | chosen | further, value))
    best = max(done, key=lambda one: -np.inf if np.isnan(one[1]) else one[1])
    return Tuning(best[0], done)


def baseline_of(model: str | Baseline) -> Baseline:
    """A baseline by name; a `Baseline` is returned as it is."""
    if isinstance(model, Baseline):
        return model
    if model not in BASELINES:
        raise ConfigError(f"There is no baseline {model!r}; choose from {', '.join(BASELINES)}.")
    return BASELINES[model]


def _combinations(tables: Sequence[Table], shared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All combinations of the settings that are not fixed, without duplicates."""
    found: dict[frozenset[tuple[str, Any]], dict[str, Any]] = {}
    for table in tables:
        free = {name: values for name, values in table.items() if name not in shared}
        for values in product(*free.values()):
            one = dict(zip(free, values, strict=True))
            found.setdefault(frozenset(one.items()), one)
    found.pop(frozenset(), None)  # all settings are fixed
    return list(found.values())


def _draws(
    combinations: Sequence[dict[str, Any]], baseline: Baseline, seed: int, tries: int
) -> list[dict[str, Any]]:
    """The defaults, then the other combinations in random order."""
    default = baseline.config()
    first: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for one in combinations:
        is_default = all(getattr(default, name) == value for name, value in one.items())
        (first if is_default and not first else others).append(one)
    order = np.random.default_rng(seed).permutation(len(others))
    return [*first, *(others[row] for row in order)][:tries]
