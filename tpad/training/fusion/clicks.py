"""Chooses the settings of the memories of clicks, each alone, on validation cases with clicked targets."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TypeVar

import numpy as np
from scipy import sparse

from tpad.data.sessions import Cases, Sessions
from tpad.model.session.memory import Memory, MemoryConfig, clicks_of, count_pairs
from tpad.model.session.neighbours import NeighboursConfig, SessionNeighbours
from tpad.model.session.session_matrix import decayed_rows
from tpad.training.fusion.validation import GAINS, K, Validation, sampled

MAX_CASES = 3_000
MEMORY_GRID = {
    "decay": (1.0, 2.0, 4.0, 8.0),
    "back": (0.0, 0.25, 0.5, 1.0),
    "shrinkage": (3.0, 10.0, 30.0),
    "popularity": (0.0, 0.25, 0.5),
}
RECENCY_FACTORS = (0.5, 1.0)
"""Recencies of the memory that are tried, as multiples of its decay."""
NEIGHBOUR_GRID = {"recency": (2.0, 4.0, 8.0), "rarity": (0.0, 1.0, 5.0)}
CHUNK = 512  # cases scored at once

Model = TypeVar("Model", Memory, SessionNeighbours)


def tune_memory(check: Validation) -> Memory:
    """The memory with the settings of `MEMORY_GRID` that have the highest P@20 + MRR@20."""
    return _best(_memories(check.train, len(check.clicked), check.mask_seen), check)


def tune_neighbours(check: Validation) -> SessionNeighbours:
    """The session neighbours with the settings of `NEIGHBOUR_GRID` that have the highest P@20 + MRR@20."""
    one = SessionNeighbours.fit(check.train, len(check.clicked), NeighboursConfig())
    tries = product(NEIGHBOUR_GRID["recency"], NEIGHBOUR_GRID["rarity"])
    configs = (replace(one.config, recency=recency, rarity=rarity) for recency, rarity in tries)
    return _best((one.with_config(config) for config in configs), check)


def _best(models: Iterator[Model], check: Validation) -> Model:
    cases = sampled(check.on_clicked().cases, MAX_CASES)
    best: tuple[float, Model] | None = None
    for model in models:
        value = _value(model, cases, check)
        if best is None or value > best[0]:
            best = value, model
    assert best is not None
    return best[1]


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


def _memories(train: Sessions, n_items: int, mask_seen: bool) -> Iterator[Memory]:
    """Memories of all settings of the grid; those with the same decay share their counts."""
    clicks = clicks_of(train, n_items)
    names = [name for name in MEMORY_GRID if name != "decay"]
    for decay in MEMORY_GRID["decay"]:
        counts = count_pairs(train.items, n_items, decay)
        for values in product(*(MEMORY_GRID[name] for name in names)):
            config = replace(MemoryConfig(decay=decay), **dict(zip(names, values, strict=True)))
            memory = Memory.of_counts(counts, clicks, config, mask_seen=mask_seen)
            for recency in dict.fromkeys(max(1.0, factor * decay) for factor in RECENCY_FACTORS):
                yield Memory(memory.matrix, replace(config, recency=recency))
