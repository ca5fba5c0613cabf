"""Chooses the settings of the memories of clicks, each alone, on validation cases with clicked targets."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from tpad.data.sessions import Cases
from tpad.model.session.memory import Memory, MemoryConfig, clicks_of, count_pairs
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours
from tpad.model.session.session_matrix import decayed_rows
from tpad.training.fusion.validation import GAINS, K, Validation, sampled

MAX_CASES = 3_000
ROUNDS = 3
MEMORY_GRID = {
    "decay": (1.0, 2.0, 4.0, 8.0),
    "recency": (0.5, 1.0, 2.0, 4.0, 8.0),
    "back": (0.0, 0.25, 0.5, 1.0),
    "shrinkage": (3.0, 10.0, 30.0),
    "popularity": (0.0, 0.25, 0.5),
}
NEIGHBOUR_GRID = {"recency": (2.0, 4.0, 8.0), "rarity": (0.0, 1.0, 5.0)}
CHUNK = 512  # cases scored at once

Config = TypeVar("Config", bound=MemoryConfig | NeighboursConfig)


def tune_memory(check: Validation) -> Memory:
    """The memory whose settings have the highest P@20 + MRR@20; one of `MEMORY_GRID` at a time is tuned."""
    n_items = len(check.clicked)
    clicks = clicks_of(check.train, n_items)
    counts = {
        decay: count_pairs(check.train.items, n_items, decay) for decay in MEMORY_GRID["decay"]
    }

    def memory(config: MemoryConfig) -> Memory:
        return Memory.of_counts(counts[config.decay], clicks, config, mask_seen=check.mask_seen)

    return memory(_climb(MemoryConfig(), MEMORY_GRID, memory, check))


def tune_neighbours(check: Validation) -> SessionNeighbours:
    """The session neighbours, tuned in the same way over `NEIGHBOUR_GRID`."""
    one = SessionNeighbours.fit(check.train, len(check.clicked), NeighboursConfig())
    return one.with_config(_climb(one.config, NEIGHBOUR_GRID, one.with_config, check))


def _climb(
    start: Config,
    grid: Mapping[str, tuple[float, ...]],
    make: Callable[[Config], Memory | SessionNeighbours],
    check: Validation,
) -> Config:
    """Improve one setting at a time, until none improves the value."""
    cases = sampled(check.on_clicked().cases, MAX_CASES)
    known: dict[Config, float] = {}
    best: Config = start
    for _ in range(ROUNDS):
        before = best
        for name, tries in grid.items():
            changes: list[dict[str, Any]] = [{name: value} for value in tries]
            tried = [best, *(replace(best, **change) for change in changes)]
            for config in tried:
                if config not in known:
                    known[config] = _value(make(config), cases, check)
            best = max(tried, key=lambda config: known[config])  # the first of equal ones
        if best == before:
            break
    return best


def _value(model: Memory | SessionNeighbours, cases: Cases, check: Validation) -> float:
    """Sum of the gains over the cases; ties as in `expected_gains`.

    The scores are counted in their sparse form: most items have the score 0.
    """
    total, worth = 0.0, np.append(0.0, np.cumsum(GAINS))  # (K + 1,), sum over all ranks up to each
    for start in range(0, len(cases), CHUNK):
        part = slice(start, start + CHUNK)
        targets, scores = cases.targets[part], sparse.csr_array(model.scores(cases.prefixes[part]))
        n_candidates = np.full(len(targets), check.candidates.sum())  # (n,)
        if check.mask_seen:
            seen = _items_of(cases.prefixes[part], len(check.candidates))  # (n, n_items)
            scores = scores - scores * seen
            n_candidates -= seen[:, check.candidates].sum(1).astype(int)
        scores.eliminate_zeros()
        own = np.asarray(scores[np.arange(len(targets)), targets]).ravel()  # (n,)
        case = np.repeat(np.arange(len(targets)), np.diff(scores.indptr))
        above = np.bincount(case[scores.data > own[case]], minlength=len(targets))
        equal = np.bincount(case[scores.data == own[case]], minlength=len(targets))
        ties = np.where(own > 0, equal, n_candidates - above)
        gained = worth[np.minimum(above + ties, K)] - worth[np.minimum(above, K)]
        total += float((gained / ties).sum())
    return total


def _items_of(prefixes: list[np.ndarray], n_items: int) -> sparse.csr_array:
    """(n, n_items), 1 for the items of each prefix."""
    items = decayed_rows(prefixes, n_items, None, mean=False)
    items.data[:] = 1.0
    return items
