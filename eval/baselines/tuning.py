"""The declared search: the same number of tries for every baseline, on validation sessions alone.

A model that scores items without clicks is searched as the session recommender is: without the training
clicks on a tenth of the items, on validation targets of both kinds (see `validation`).
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

    The first try has the defaults, the others are drawn from the model's search tables without
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
    combinations = _combinations(baseline.search, shared)
    if not combinations:
        return Tuning(shared, [])
    learnt, held_out = dataset, None
    if baseline.new_items:
        held_out = pseudo_cold(~dataset.cold)
        learnt = replace(dataset, train=hold_out(dataset.train, ~held_out))
    asked = ValidationCases.of(dataset, mask_seen=mask_seen, cases=cases, held_out=held_out)
    done: list[tuple[dict[str, Any], float]] = []
    for chosen in _draws(combinations, baseline, seed, tries):
        fitted = baseline.make(seed, shared | chosen, progress).fit(learnt)
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


def _combinations(tables: Sequence[Table], shared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that may be tried of the settings that are not shared; none twice."""
    found: dict[frozenset[tuple[str, Any]], dict[str, Any]] = {}
    for table in tables:
        free = {name: values for name, values in table.items() if name not in shared}
        for values in product(*free.values()):
            one = dict(zip(free, values, strict=True))
            found.setdefault(frozenset(one.items()), one)
    found.pop(frozenset(), None)  # all settings are shared
    return list(found.values())


def _draws(
    combinations: Sequence[dict[str, Any]], baseline: Baseline, seed: int, tries: int
) -> list[dict[str, Any]]:
    """The defaults, then other combinations in random order."""
    default = baseline.config()
    first: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for one in combinations:
        is_default = all(getattr(default, name) == value for name, value in one.items())
        (first if is_default and not first else others).append(one)
    order = np.random.default_rng(seed).permutation(len(others))
    return [*first, *(others[row] for row in order)][:tries]
