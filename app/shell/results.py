"""The results database as the app reads it. It is read again whenever a run begins or ends."""

import threading
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from app.shell.cache import Cache
from app.shell.case_reader import CaseReader
from app.shell.evaluation import Evaluation
from eval.database.records import RunInfo, Verdict
from eval.database.schema import RunRow
from eval.database.store import Store
from eval.runs.selection import results_of, select_runs
from tpad.bundle import Bundle
from tpad.data.dataset import Dataset
from tpad.errors import DataError


@dataclass(frozen=True)
class CaseSet:
    """A set of test cases with finished runs.

    Attributes:
        key: fingerprint of the cases.
        title: the dataset, the split if there is one, and the protocol.
        dataset, dataset_fingerprint, split: as in `RunInfo`.
        n_cases: number of cases.
    """

    key: str
    title: str
    dataset: str
    dataset_fingerprint: str
    split: str | None
    n_cases: int


class Results:
    """A results database.

    Args:
        target: path of a SQLite file, or a SQLAlchemy URL.
        read_only: store no verdicts, even if the database is writable.

    Attributes:
        reader: reads the cases of one dataset and of its splits; only their runs are visible.
            None makes every run visible.
        recommenders: checksums of the recommenders of one bundle; runs of another bundle's
            recommenders are not visible. None makes those of every bundle visible.

    Raises:
        DataError: the database cannot be opened.
    """

    reader: CaseReader | None = None
    recommenders: frozenset[str] | None = None

    def __init__(self, target: str | Path, *, read_only: bool = False) -> None:
        self.store = Store(target, read_only=read_only)
        self._lock = threading.Lock()
        self._evaluations: dict[str, tuple[list[str], Evaluation]] = {}
        self._comparisons = Cache()

    @property
    def read_only(self) -> bool:
        """Whether verdicts cannot be stored."""
        return self.store.read_only

    def of_dataset(self, dataset: Dataset) -> "Results":
        """The same database restricted to the runs on one dataset and on its splits.

        Datasets are told apart by the fingerprint of their content, never by name.
        """
        own = copy(self)
        own.reader = CaseReader(dataset)
        return own

    def of_bundle(self, bundle: Bundle) -> "Results":
        """The same database restricted to a bundle's dataset, without other bundles' recommenders."""
        own = self.of_dataset(bundle.dataset)
        own.recommenders = frozenset(map(bundle.checksum_of_recommender, bundle.sets))
        return own

    def measured(self) -> bool:
        """Whether one of the bundle's own recommenders was evaluated."""
        own = self.recommenders or ()
        return any(_recommender(run) in own for run in self.runs() if run.status == "done")

    def stamp(self) -> str:
        """A text that changes whenever a run begins or ends."""
        with self.store.read() as session:
            query = select(func.count(RunRow.id), func.max(RunRow.started), func.max(RunRow.ended))
            return str(session.execute(query).one())

    def runs(self) -> list[RunInfo]:
        """All runs, unfinished ones included, oldest first."""
        return self._visible(self.store.list_runs())

    def case_sets(self) -> list[CaseSet]:
        """The sets of cases that have finished runs, most recently run first."""
        found: dict[str, CaseSet] = {}
        for run in reversed(self._visible(self.store.list_runs(status="done"))):
            split = f", split {run.split}" if run.split else ""
            found.setdefault(
                run.cases,
                CaseSet(
                    run.cases,
                    f"{run.dataset}{split}: {run.protocol}",
                    run.dataset,
                    run.dataset_fingerprint,
                    run.split,
                    run.n_cases,
                ),
            )
        return list(found.values())

    def evaluation(self, key: str) -> Evaluation:
        """All finished runs on a set of cases.

        Args:
            key: of a `CaseSet`.

        Raises:
            DataError: there is no finished run on these cases.
        """
        with self._lock:
            runs = [run.id for run in self._visible(self.store.list_runs(cases=key, status="done"))]
            if not runs:
                raise DataError("These results are no longer in the database; reload the page.")
            cached = self._evaluations.get(key)
            # A run that begins, or that ends on other cases, changes nothing here.
            if cached is not None and cached[0] == runs:
                return cached[1]
            selection = select_runs(self.store, cases=key, among=runs)
            evaluation = Evaluation(selection, results_of(self.store, selection), self._comparisons)
            self._evaluations[key] = runs, evaluation
            return evaluation

    def run(self, run_id: str) -> RunInfo:
        """One run, finished or not.

        Raises:
            DataError: there is no such run.
        """
        found = next((run for run in self.runs() if run.id == run_id), None)
        if found is None:
            raise DataError("This run is no longer in the database; reload the page.")
        return found

    def verdicts(self) -> list[Verdict]:
        """All verdicts on the visible runs, oldest first."""
        stored = self.store.verdicts()
        visible = {run.id for run in self.runs()} if stored else set()
        return [verdict for verdict in stored if verdict.run_id in visible]

    def only_other_bundles(self) -> bool:
        """Whether all finished runs in the database are on other datasets or of other bundles."""
        finished = self.store.list_runs(status="done")
        return bool(finished) and not self._visible(finished)

    def _visible(self, runs: list[RunInfo]) -> list[RunInfo]:
        """The runs on the dataset and its splits, without those of other bundles' recommenders."""
        if self.recommenders is not None:
            own = {None, *self.recommenders}
            runs = [run for run in runs if _recommender(run) in own]
        reader = self.reader
        if reader is None:
            return runs
        splits = {r.split_id: r.dataset_fingerprint for r in runs if r.split_id is not None}
        if any(not reader.knows(fingerprint) for fingerprint in splits.values()):
            reader.add_splits(self.store.splits(), splits)
        return [run for run in runs if reader.knows(run.dataset_fingerprint)]


def _recommender(run: RunInfo) -> str | None:
    """Checksum of the bundle's recommender that a run, or its run of another seed, evaluated."""
    return (run.config.get("settings") or {}).get("shipped")


def open_results(target: str | Path | None, *, read_only: bool = False) -> Results | None:
    """Open a results database; None if `target` is None.

    Raises:
        DataError: it cannot be opened.
    """
    return None if target is None else Results(target, read_only=read_only)
