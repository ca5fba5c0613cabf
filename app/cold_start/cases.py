"""Test cases walked through by hand: which ones, in which order, and what people said of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.database.records import CaseTable, RunInfo, SplitInfo, Verdict
from eval.runs.results import Result
from tpad.data.dataset import Dataset
from tpad.data.sessions import Sessions
from tpad.errors import DataError, TpadError

RIGHT_WITHIN = 20
"""A model is right in a case if the true next item is among so many places."""
VERDICTS = {"plausible": "Plausible", "wrong": "Wrong", "unsure": "Unsure"}
RULES = {
    "all": "every case",
    "right": "{first} right, {second} wrong",
    "wrong": "{first} wrong, {second} right",
    "none": "all wrong",
    "gain": "largest rank gain over {second}",
    "loss": "largest rank loss to {second}",
    "open": "not judged by you yet",
}
"""Ways to walk through the cases, in words."""
_VISITOR = "visitor:"


@dataclass(frozen=True)
class Case:
    """One test case.

    Attributes:
        number: from 0, in the order of the runs' ranks.
        prefix: item rows of the session so far, the most recent last.
        target: row of the true next item.
        cold: whether the target occurs in no training session.
    """

    number: int
    prefix: tuple[int, ...]
    target: int
    cold: bool


def rank_table(results: Sequence[Result]) -> pd.DataFrame:
    """The rank of the target in each case, under each model.

    Args:
        results: models with ranks of shape (n_seeds, n_cases).

    Returns:
        One row a case, one column a model: the median over seeds, inf where it was not found.
    """
    return pd.DataFrame({one.name: median_ranks(one.ranks.expected) for one in results})


def median_ranks(ranks: np.ndarray) -> np.ndarray:
    """(n_seeds, n_cases) -> (n_cases,); of two seeds the worse, so that none is half found."""
    return np.sort(ranks, axis=0)[len(ranks) // 2].astype(np.float64)


def walk(
    ranks: pd.DataFrame,
    mask: np.ndarray,
    rule: str,
    first: str,
    second: str,
    judged: Sequence[int] = (),
) -> np.ndarray:
    """Numbers of the cases that a rule picks, in the order in which they are walked.

    Args:
        ranks: of `rank_table`.
        mask: (n_cases,) bool, the slice.
        rule: one of `RULES`.
        first, second: the model that is judged and the one it is held against.
        judged: numbers of the cases that have a verdict already.

    Returns:
        (m,) int64. Gains and losses come largest first, in doublings of the rank: from place 400 to
        100 counts as much as from 20 to 5. All others keep the cases' order.

    Raises:
        DataError: there is no such rule or model.
    """
    missing = [name for name in (first, second) if name not in ranks]
    if rule not in RULES or missing:
        raise DataError("The page and the app are of different versions; reload the page.")
    ours, theirs = (ranks[name].to_numpy() for name in (first, second))
    right, other_right = ours <= RIGHT_WITHIN, theirs <= RIGHT_WITHIN  # (n_cases,) each
    if rule in ("gain", "loss"):
        gained = np.log2(_finite(theirs, ranks)) - np.log2(_finite(ours, ranks))
        if rule == "loss":
            gained = -gained
        order = np.argsort(-gained, kind="stable")
        return order[mask[order] & (gained[order] > 0)]
    chosen = {
        "all": mask,
        "right": mask & right & ~other_right,
        "wrong": mask & ~right & other_right,
        "none": mask & (ranks.to_numpy() > RIGHT_WITHIN).all(axis=1),
        "open": mask & ~np.isin(np.arange(len(mask)), list(judged)),
    }[rule]
    return np.flatnonzero(chosen)


class CaseBook:
    """Turns the numbers of stored cases back into sessions.

    Args:
        dataset: of the open bundle.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._test: dict[str, Sessions] = {dataset.fingerprint: dataset.test}
        self._tried: set[str] = set()  # fingerprints of splits that were made, or cannot be

    def knows(self, fingerprint: str) -> bool:
        """Whether cases of the dataset of that fingerprint can be shown."""
        return fingerprint in self._test

    def add_splits(self, splits: Sequence[SplitInfo], wanted: Mapping[int, str]) -> None:
        """Makes stored splits of the dataset again, so that their cases can be shown.

        Args:
            splits: as stored.
            wanted: number of a split -> fingerprint of the dataset that its runs were asked.
        """
        from eval.splits.split import SplitConfig, make_split  # brings scipy.stats

        for split in splits:
            fingerprint = wanted.get(split.id)
            if fingerprint is None or fingerprint in self._tried or self.knows(fingerprint):
                continue
            self._tried.add(fingerprint)
            try:
                made = make_split(
                    self.dataset, SplitConfig(split.kind, split.seed, **split.params)
                ).dataset
            except (TpadError, TypeError):  # of another shop, or of a later version
                continue
            if made.fingerprint == fingerprint:
                self._test[fingerprint] = made.test

    def case(self, fingerprint: str, cases: CaseTable, number: int) -> Case:
        """One case.

        Args:
            fingerprint: of the dataset.
            cases: what a run was asked.
            number: of the case.

        Raises:
            DataError: the session is not there, or holds something else.
        """
        sessions = self._test[fingerprint].items
        session, length = int(cases.session[number]), int(cases.length[number])
        target = int(cases.target[number])
        rows = sessions[session].tolist() if 0 <= session < len(sessions) else []
        if length >= len(rows) or rows[length] != target:
            raise DataError("This case is not one of the open bundle's test sessions.")
        return Case(number, tuple(rows[:length]), target, bool(cases.cold[number]))


def signature(name: str, visitor: str) -> str:
    """Who said it, as stored: the name that a visitor gives, if any, and the visitor's id."""
    return " ".join(part for part in (name, f"{_VISITOR}{visitor}" if visitor else "") if part)


def visitor_of(who: str) -> str:
    """What tells one person's verdicts from another's: the visitor's id, else the name.

    Args:
        who: of a verdict, see `signature`.
    """
    last = who.rpartition(" ")[2]
    return last.removeprefix(_VISITOR) if last.startswith(_VISITOR) else who


def latest(verdicts: Sequence[Verdict]) -> dict[tuple[str, int, str], Verdict]:
    """The last word on each (run, case) of each visitor: a change of mind replaces what was said."""
    return {(one.run_id, one.case, visitor_of(one.who)): one for one in verdicts}


def summary(verdicts: Sequence[Verdict], ranks: np.ndarray) -> dict[str, float]:
    """What was said of one model's cases, and how it agrees with the metric.

    Args:
        verdicts: on the runs of one model, see `latest`.
        ranks: (n_cases,) of the model.

    Returns:
        `cases` judged, how many are plausible, wrong and unsure, how many of the `hits` (true next
        item among the first `RIGHT_WITHIN`) and of the `misses` are plausible or wrong at all and
        how many are `hits_plausible` and `misses_plausible`, and `auc`: how likely a plausible case
        has a better rank than a wrong one, ties counted half (Mann and Whitney 1947); NaN where
        there are not both.
    """
    said = [(one.verdict, ranks[one.case] <= RIGHT_WITHIN) for one in verdicts]
    clear = [(verdict, hit) for verdict, hit in said if verdict in ("plausible", "wrong")]
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
        **{name: sum(verdict == name for verdict, _ in said) for name in VERDICTS},
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
    """Verdicts as a table to take away, one row each, the oldest first.

    Args:
        verdicts: all that are wanted.
        runs: id -> run; verdicts on others are left out.
        rank_of: (run id, case) -> rank of the true next item in that run.
        items_of: (run id, case) -> ids of the session's items, with blanks between, and of the true
            next one; empty where they cannot be told.
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
    return pd.DataFrame(
        rows,
        columns=[
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
        ],
    )


def _finite(ranks: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """Ranks with one that was not found behind every other one."""
    values = table.to_numpy()
    last = values[np.isfinite(values)].max(initial=1.0)
    return np.where(np.isfinite(ranks), ranks, 2 * last)
