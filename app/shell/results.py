"""The results database as the app reads it: which tables there are, and one of them in full.

Nothing is kept but what was asked last: when a run begins or ends, the next question reads anew.
"""

import threading
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import func, select

from app.cold_start.cases import CaseBook
from eval.database.records import RunInfo, Verdict
from eval.database.schema import RunRow
from eval.database.store import Store
from eval.metrics.averaging import CASE
from eval.models.naming import SUBJECT
from eval.reports.tables import results_frame
from eval.runs.comparison import Comparison, compare_runs, corrected
from eval.runs.results import Result
from eval.runs.selection import Selection, results_of, select_runs
from eval.runs.slice_comparison import SliceComparison, compare_with_best_baseline
from tpad.data.dataset import Dataset
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
    """All finished runs of one set of cases, and what follows from them; safe to share.

    Attributes:
        selection: the runs, the cases and the slices.
        results: one a model, in the order of a table.
        masks: slice -> (n_cases,) bool.
        mean: what figures and tests are averaged over, "case" or "session".
    """

    def __init__(
        self,
        selection: Selection,
        results: list[Result],
        tests: "_Kept | None" = None,
        mean: str = CASE,
    ) -> None:
        self.selection, self.results, self.mean = selection, results, mean
        self.masks: dict[str, np.ndarray] = selection.masks()
        self._kept = _Kept()
        self._tests = _Kept() if tests is None else tests  # by runs: more of them change no other

    @cached_property
    def by_name(self) -> dict[str, Result]:
        """The results by their models' names."""
        return {result.name: result for result in self.results}

    @property
    def seeds(self) -> list[int]:
        """Seeds of the models that were run more than once; empty where none was."""
        return sorted({s for r in self.results if len(r.seeds) > 1 for s in r.seeds})

    def only(self, seed: int) -> "Outcome":
        """The same with the runs of one seed; a model that was run once stays as it is."""
        return self._kept.get(("only", seed), lambda: self._of_seed(seed))

    def averaged_over(self, mean: str) -> "Outcome":
        """The same with means over "case" or "session", see `eval.metrics.averaging`."""
        if mean == self.mean:
            return self
        return self._kept.get(
            ("mean", mean), lambda: Outcome(self.selection, self.results, self._tests, mean)
        )

    def frame(self, part: str, models: Sequence[str] | None = None) -> pd.DataFrame:
        """Every figure of some models, or of all, on a slice, see `eval.reports.tables.results_frame`."""
        some = [r for r in self.results if models is None or r.name in models]
        key = part, None if models is None else tuple(r.name for r in some)
        return self._kept.get(
            key,
            lambda: results_frame(
                some, self.selection.cases.session, {part: self.masks[part]}, self.mean
            ),
        )

    def contests(self, subject: str, part: str) -> list[SliceComparison]:
        """`subject` against the best baseline of a slice."""
        return self._kept.get(
            ("best", subject, part),
            lambda: compare_with_best_baseline(
                self.results,
                self.selection.cases.session,
                {part: self.masks[part]},
                subject,
                self.mean,
            ),
        )

    def against(
        self, rivals: Sequence[str], part: str, metric: str, k: int, subject: str = SUBJECT
    ) -> list[SliceComparison]:
        """`subject` against each of `rivals` on a slice, p-values corrected over these tests.

        Nothing where there is no such subject.
        """
        if subject not in self.by_name:
            return []
        mask = self.masks[part]
        sessions = self.selection.cases.session[mask]

        def compare(rival: str) -> Comparison:
            first, second = (self.by_name[one].metric(metric, k, mask) for one in (subject, rival))
            return compare_runs(first, second, sessions, shown=0, mean=self.mean)

        # Each test is kept for itself: which are corrected together depends on what is shown.
        found = [
            self._tests.get(self._test(name, part, metric, k, subject), partial(compare, name))
            for name in rivals
        ]
        return [
            SliceComparison(part, metric, k, name, one)
            for name, one in zip(rivals, corrected(found), strict=True)
        ]

    def tested(self, rival: str, part: str, metric: str, k: int, subject: str = SUBJECT) -> bool:
        """Whether `against` has the answer for a rival already."""
        return self._tests.has(self._test(rival, part, metric, k, subject))

    def _test(self, rival: str, part: str, metric: str, k: int, subject: str) -> Hashable:
        both = (tuple(run.id for run in self.selection.runs[name]) for name in (subject, rival))
        return *both, part, metric, k, self.mean

    def _of_seed(self, seed: int) -> "Outcome":
        runs, results = {}, []
        for result in self.results:
            own = list(self.selection.runs[result.name])
            if len(own) > 1:
                own = [run for run in own if run.seed == seed]
            if own:
                place = result.seeds.index(own[0].seed)
                runs[result.name] = own
                results.append(
                    replace(
                        result,
                        seeds=(own[0].seed,),
                        ranks=result.ranks[[place]],
                        fit_seconds=own[0].fit_seconds or 0.0,
                        score_seconds=own[0].score_seconds or 0.0,
                    )
                )
        return Outcome(replace(self.selection, runs=runs), results, self._tests, self.mean)


class Results:
    """A results database, read anew whenever it has changed.

    Args:
        target: path of a SQLite file, or a SQLAlchemy URL.
        read_only: take no verdicts, even where the database could be written.

    Attributes:
        book: the dataset, and the splits of it, whose runs are seen; None sees every run.

    Raises:
        DataError: it cannot be opened.
    """

    book: CaseBook | None = None

    def __init__(self, target: str | Path, *, read_only: bool = False) -> None:
        self.store = Store(target, read_only=read_only)
        self._lock = threading.Lock()
        self._outcomes: dict[str, tuple[list[str], Outcome]] = {}
        self._tests = _Kept()

    @property
    def read_only(self) -> bool:
        """Whether verdicts cannot be stored."""
        return self.store.read_only

    def of_dataset(self, dataset: Dataset) -> "Results":
        """The same database, of which only the runs on one dataset and on its splits are seen.

        What is told apart is the content of the data, by its fingerprint, never its name.
        """
        own = copy(self)
        own.book = CaseBook(dataset)
        return own

    def stamp(self) -> str:
        """Changes whenever a run begins or ends."""
        with self.store.read() as session:
            query = select(func.count(RunRow.id), func.max(RunRow.started), func.max(RunRow.ended))
            return str(session.execute(query).one())

    def runs(self) -> list[RunInfo]:
        """All runs, unfinished ones too, the oldest first."""
        return self._seen(self.store.list_runs())

    def choices(self) -> list[Choice]:
        """The sets of cases that have finished runs, those of the latest run first."""
        found: dict[str, Choice] = {}
        for run in reversed(self._seen(self.store.list_runs(status="done"))):
            split = f", split {run.split}" if run.split else ""
            found.setdefault(
                run.cases,
                Choice(
                    run.cases,
                    f"{run.dataset}{split}: {run.protocol}",
                    run.dataset,
                    run.dataset_fingerprint,
                    run.split,
                    run.n_cases,
                ),
            )
        return list(found.values())

    def outcome(self, key: str) -> Outcome:
        """All that is stored of a set of cases.

        Args:
            key: of a `Choice`.

        Raises:
            DataError: there is no finished run on these cases.
        """
        with self._lock:
            runs = [run.id for run in self._seen(self.store.list_runs(cases=key, status="done"))]
            if not runs:
                raise DataError("These results are no longer in the database; reload the page.")
            kept = self._outcomes.get(key)
            # A run that begins, or that ends on other cases, changes nothing of these.
            if kept is not None and kept[0] == runs:
                return kept[1]
            selection = select_runs(self.store, cases=key)
            outcome = Outcome(selection, results_of(self.store, selection), self._tests)
            self._outcomes[key] = runs, outcome
            return outcome

    def run(self, run_id: str) -> RunInfo:
        """One run, finished or not.

        Raises:
            DataError: there is none.
        """
        found = next((run for run in self.runs() if run.id == run_id), None)
        if found is None:
            raise DataError("This run is no longer in the database; reload the page.")
        return found

    def verdicts(self) -> list[Verdict]:
        """Everything people said of these runs, the oldest first."""
        said = self.store.verdicts()
        known = {run.id for run in self.runs()} if said else set()
        return [one for one in said if one.run_id in known]

    def hides_runs(self) -> bool:
        """Whether the database holds finished runs of other datasets only."""
        finished = self.store.list_runs(status="done")
        return bool(finished) and not self._seen(finished)

    def _seen(self, runs: list[RunInfo]) -> list[RunInfo]:
        """Those on the dataset, or on a split that was made of it."""
        book = self.book
        if book is None:
            return runs
        splits = {r.split_id: r.dataset_fingerprint for r in runs if r.split_id is not None}
        if any(not book.knows(fingerprint) for fingerprint in splits.values()):
            book.add_splits(self.store.splits(), splits)
        return [run for run in runs if book.knows(run.dataset_fingerprint)]


def open_results(target: str | Path | None, *, read_only: bool = False) -> Results | None:
    """Opens a database; None where none is named.

    Raises:
        DataError: it cannot be opened.
    """
    return None if target is None else Results(target, read_only=read_only)


class _Kept:
    """Values that are computed when they are first asked for, each by one thread."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()

    def has(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                self._values[key] = make()
            return self._values[key]
