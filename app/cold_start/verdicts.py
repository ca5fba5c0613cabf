"""What people said of test cases: who said it, what counts, and how it agrees with the metric."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from app.cold_start.cases import HIT_WITHIN
from eval.database.records import RunInfo, Verdict

VERDICTS = {"plausible": "Plausible", "wrong": "Wrong", "unsure": "Unsure"}
_VISITOR = "visitor:"
_COLUMNS = [
    "time",
    "dataset",
    "split",
    "case",
    "model",
    "seed",
    "run",
    "session",
    "target",
    "rank",
    "verdict",
    "note",
    "who",
]


def signature(name: str, visitor: str) -> str:
    """The author of a verdict as stored: the name, if one is given, and the visitor's id."""
    return " ".join(part for part in (name, f"{_VISITOR}{visitor}" if visitor else "") if part)


def visitor_of(who: str) -> str:
    """What tells one author from another: the visitor's id, else the name.

    Args:
        who: of a verdict, see `signature`.
    """
    last = who.rpartition(" ")[2]
    return last.removeprefix(_VISITOR) if last.startswith(_VISITOR) else who


def latest(verdicts: Sequence[Verdict]) -> dict[tuple[str, int, str], Verdict]:
    """The latest verdict of each visitor on each (run, case); it replaces earlier ones."""
    return {(one.run_id, one.case, visitor_of(one.who)): one for one in verdicts}


def summary(verdicts: Sequence[Verdict], ranks: np.ndarray) -> dict[str, float]:
    """The verdicts on one model's cases, and how they agree with the metric.

    Args:
        verdicts: on the runs of one model, see `latest`.
        ranks: (n_cases,) of the model.

    Returns:
        `cases`: number of cases rated; the number of each verdict by its name; `hits` and `misses`:
        number of plausible or wrong verdicts on cases with the true next item among the first
        `HIT_WITHIN` or not, and `hits_plausible` and `misses_plausible` of them; `auc`: probability
        that a plausible case has a better rank than a wrong one, ties counted half (Mann and
        Whitney 1947), NaN without both.
    """
    rated = [(one.verdict, ranks[one.case] <= HIT_WITHIN) for one in verdicts]
    clear = [(verdict, hit) for verdict, hit in rated if verdict in ("plausible", "wrong")]
    good, bad = (
        np.array([ranks[one.case] for one in verdicts if one.verdict == verdict], dtype=float)
        for verdict in ("plausible", "wrong")
    )
    auc = float("nan")
    if len(good) and len(bad):
        better = (good[:, None] < bad[None, :]).mean()
        auc = float(better + 0.5 * (good[:, None] == bad[None, :]).mean())
    return {
        "cases": len({one.case for one in verdicts}),
        **{name: sum(verdict == name for verdict, _ in rated) for name in VERDICTS},
        "hits": sum(hit for _, hit in clear),
        "hits_plausible": sum(hit and verdict == "plausible" for verdict, hit in clear),
        "misses": sum(not hit for _, hit in clear),
        "misses_plausible": sum(not hit and verdict == "plausible" for verdict, hit in clear),
        "auc": auc,
    }


def verdict_frame(
    verdicts: Sequence[Verdict],
    runs: Mapping[str, RunInfo],
    rank_of: Callable[[str, int], float],
    items_of: Callable[[str, int], tuple[str, str]],
) -> pd.DataFrame:
    """Verdicts as a table for download, one row each, oldest first.

    Args:
        verdicts: the verdicts.
        runs: id -> run; verdicts on other runs are left out.
        rank_of: (run id, case) -> rank of the true next item in that run.
        items_of: (run id, case) -> ids of the session's items, separated by spaces, and of the true
            next item; empty if they cannot be read.
    """
    rows = []
    for one in verdicts:
        run = runs.get(one.run_id)
        if run is None:
            continue
        session, target = items_of(one.run_id, one.case)
        rows.append(
            (
                one.time.isoformat(timespec="seconds"),
                run.dataset,
                run.split or "",
                one.case,
                run.model,
                run.seed,
                one.run_id,
                session,
                target,
                rank_of(one.run_id, one.case),
                one.verdict,
                one.note,
                one.who,
            )
        )
    return pd.DataFrame(rows, columns=_COLUMNS)
