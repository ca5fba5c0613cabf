"""Runs and their worst cases, as tables."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from app.shell.names import model_title
from eval.database.records import RunInfo

_COLUMNS = [
    "run",
    "model",
    "title",
    "role",
    "seed",
    "status",
    "started",
    "seconds",
    "commit",
    "on",
]


def run_table(runs: Iterable[RunInfo]) -> pd.DataFrame:
    """Runs, newest first: run, model, title, role, seed, status, started, seconds, commit, on.

    `seconds` are from start to end, NaN for an unfinished run.
    """
    rows = [
        (
            run.id,
            run.model,
            model_title(run.model),
            run.role,
            run.seed,
            run.status,
            run.started,
            np.nan if run.ended is None else (run.ended - run.started).total_seconds(),
            run.commit,
            run.dataset + (f", {run.split}" if run.split else ""),
        )
        for run in runs
    ]
    return pd.DataFrame(rows[::-1], columns=_COLUMNS)


def worst_cases(ranks: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the cases of a slice with the largest ranks; cases without a rank come last.

    Args:
        ranks: (n_cases,), inf for items that were not found.
        mask: (n_cases,) bool.
        count: of the result at most.
    """
    rows = np.flatnonzero(mask)
    own = ranks[rows].astype(np.float64)
    found = np.isfinite(own)
    order = np.lexsort((rows, np.where(found, -own, 0.0), ~found))
    return rows[order][:count]
