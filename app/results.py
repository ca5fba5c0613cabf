"""The results database as the app reads it: which tables there are, and one of them in full.

Nothing is kept but what was asked last: when a run begins or ends, the next question reads anew.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import func, select

from eval.database.records import RunInfo, Verdict
from eval.database.schema import RunRow, VerdictRow
from eval.database.store import Store
from eval.protocol import SLICES
from eval.results import Result
from eval.rivals import Contest, against_best, against_variants
from eval.selection import Selection, results_of, select_runs
from eval.tables import results_frame
from tpad.errors import DataError


@dataclass(frozen=True)
class Choice:
    """A set of cases with finished runs: what one table is about.

    Attributes:
        key: fingerprint of the cases.
        title: the dataset, the split if there is one, and how the cases were made.
        dataset, dataset_fingerprint, split: as in `RunInfo`.
        n_cases: how many cases.
    """

    key: str
    title: str
    dataset: str
    dataset_fingerprint: str
    split: str | None
    n_cases: int


class Outcome:
    """All finished runs of one set of cases, and what follows from them.

    Attributes:
        selection: the runs, the cases and the slices.
        results: one a model, in the order of a table.
        masks: slice -> (n_cases,) bool.
    """

    def __init__(self, selection: Selection, results: list[Result]) -> None:
        self.selection, self.results = selection, results
        self.masks: dict[str, np.ndarray] = selection.masks()
        self._frames: dict[str, pd.DataFrame] = {}
        self._contests: dict[str, list[Contest]] = {}

    @cached_property
    def by_name(self) -> dict[str, Result]:
        """The results by their models' names."""
        return {result.name: result for result in self.results}

    def frame(self, part: str) -> pd.DataFrame:
        """Every figure of every model on a slice, see `eval.tables.results_frame`."""
        return _kept(self._frames, part, lambda: results_frame(
            self.results, self.selection.cases.session, {part: self.masks[part]}
        ))  # fmt: skip

    def contests(self, subject: str, part: str) -> list[Contest]:
        """`subject` against the best baseline of a slice."""
        return _kept(self._contests, f"{subject}/{part}", lambda: against_best(
            self.results, self.selection.cases.session, {part: self.masks[part]}, subject
        ))  # fmt: skip

    def variants(self) -> list[Contest]:
        """TPAD against each of its ablations on all, warm and cold targets."""
        main: dict[str, np.ndarray] = {p: self.masks[p] for p in SLICES if p in self.masks}
        return _kept(self._contests, "", lambda: against_variants(
            self.results, self.selection.cases.session, main
        ))  # fmt: skip


class Results:
    """A results database, read anew whenever it has changed.

    Args:
        target: path of a SQLite file, or a SQLAlchemy URL.
        read_only: take no verdicts, even where the database could be written.

    Raises:
        DataError: it cannot be opened.
    """

    def __init__(self, target: str | Path, *, read_only: bool = False) -> None:
        self.store = Store(target, read_only=read_only)
        self._lock = threading.Lock()
        self._outcomes: dict[str, tuple[str, Outcome]] = {}

    @property
    def read_only(self) -> bool:
        """Whether verdicts cannot be stored."""
        return self.store.read_only

    def stamp(self) -> str:
        """Changes whenever a run begins or ends."""
        with self.store.read() as session:
            query = select(func.count(RunRow.id), func.max(RunRow.started), func.max(RunRow.ended))
            return str(session.execute(query).one())

    def runs(self) -> list[RunInfo]:
        """All runs, unfinished ones too, the oldest first."""
        return self.store.list_runs()

    def choices(self) -> list[Choice]:
        """The sets of cases that have finished runs, those of the latest run first."""
        found: dict[str, Choice] = {}
        for run in reversed(self.store.list_runs(status="done")):
            split = f", split {run.split}" if run.split else ""
            found.setdefault(run.cases, Choice(
                run.cases, f"{run.dataset}{split}: {run.protocol}", run.dataset,
                run.dataset_fingerprint, run.split, run.n_cases,
            ))  # fmt: skip
        return list(found.values())

    def outcome(self, key: str) -> Outcome:
        """All that is stored of a set of cases.

        Args:
            key: of a `Choice`.

        Raises:
            DataError: there is no finished run on these cases.
        """
        with self._lock:
            stamp = self.stamp()
            kept = self._outcomes.get(key)
            if kept is not None and kept[0] == stamp:
                return kept[1]
            if not self.store.list_runs(cases=key, status="done"):
                raise DataError("These results are no longer in the database; reload the page.")
            selection = select_runs(self.store, cases=key)
            outcome = Outcome(selection, results_of(self.store, selection))
            self._outcomes[key] = stamp, outcome
            return outcome

    def verdicts(self) -> list[Verdict]:
        """Everything people said, the oldest first."""
        return self.store.verdicts()

    def verdict_count(self) -> int:
        """How many verdicts there are."""
        with self.store.read() as session:
            return session.scalar(select(func.count(VerdictRow.id))) or 0


def open_results(target: str | Path | None, *, read_only: bool = False) -> Results | None:
    """Opens a database; None where none is named.

    Raises:
        DataError: it cannot be opened.
    """
    return None if target is None else Results(target, read_only=read_only)


def _kept(store: dict[str, Any], key: str, make: Callable[[], Any]) -> Any:
    if key not in store:
        store[key] = make()
    return store[key]
