"""The results database: every run with its figures and the rank of every case.

A run is written as `running` when it starts and gets its results in one transaction when it ends,
so a database never holds half a run. A run whose process died is marked `interrupted` the next time
the database is opened on that machine. Nothing is ever overwritten.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
from sqlalchemy import Engine, Table, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from eval.database.connection import WAIT_SECONDS, default_target, open_database
from eval.database.errors import reason
from eval.database.processes import is_running
from eval.database.reader import Reader
from eval.database.schema import (
    Base,
    MetricRow,
    RankRow,
    RunRow,
    SplitItemRow,
    SplitRow,
    VerdictRow,
)
from eval.database.unique_rows import add_slice, cases_id, dataset_id, model_id, once
from eval.metrics.ranks import Ranks
from eval.metrics.slice_metrics import Figure, figures
from eval.protocol import SLICES, TestCases
from tpad import DataError, Dataset
from tpad.io.texts import half_character

__all__ = ["Figure", "OpenRun", "Store", "default_target"]


@dataclass
class OpenRun:
    """A run in progress; give it its results with `finish`."""

    id: str
    store: "Store"
    cases: TestCases
    done: bool = field(default=False, init=False)

    def finish(
        self,
        ranks: Ranks | np.ndarray,
        fit_seconds: float | None,
        score_seconds: float,
        found: dict | None = None,
        more: Iterable[Figure] = (),
    ) -> None:
        """Writes ranks and figures, and marks the run done, all or nothing.

        Args:
            ranks: of the n_cases targets. An array holds the places of items in lists, where none
                tie: (n_cases,), inf where the target is in no list, see `Ranks.of`.
            fit_seconds: time of training, tuning included; None if the model was trained before.
            score_seconds: time of ranking all cases.
            found: what was settled during the run (such as sizes chosen), added to its config.
            more: figures besides those that follow from the ranks of every slice.

        Raises:
            DataError: ranks are not one a case and at least 1, a figure is no number, the run has
                its results already, or they cannot be written.
        """
        if self.done:
            raise DataError(f"Run {self.id} has its results; they are never overwritten.")
        if ranks.shape != (len(self.cases),):
            raise DataError(
                f"A run of {len(self.cases)} cases needs as many ranks, not an array of shape "
                f"{ranks.shape}."
            )
        if not isinstance(ranks, Ranks):
            try:
                ranks = Ranks.of(ranks)
            except ValueError as error:
                raise DataError(f"{error} A target that was not found has inf.") from error
        expected, ties = ranks.expected.astype("<f4"), ranks.ties.astype("<i4")
        rows: list[Base] = [RankRow(run_id=self.id, ranks=expected.tobytes(), ties=ties.tobytes())]
        for figure in (*figures(ranks, self.cases), *more):
            numbers = [figure.value, figure.low, figure.high]
            if not np.isfinite([number for number in numbers if number is not None]).all():
                raise DataError(
                    f"The figure {figure.name}@{figure.k} of slice {figure.slice} is no number; "
                    "leave it out where it cannot be told."
                )
            rows.append(MetricRow(run_id=self.id, **figure._asdict()))
        with self.store.write() as session:
            session.add_all(rows)
            run = session.get_one(RunRow, self.id)
            run.config = {**run.config, **(found or {})}
            session.flush()
            self.store.close_run(session, self.id, "done", fit_seconds, score_seconds)
        self.done = True


class Store(Reader):
    """A results database.

    Args:
        target: path of a SQLite file, or any SQLAlchemy URL. One that is new gets its tables, an
            older one is upgraded.
        read_only: change nothing. A file that cannot be written is opened so by itself.
        wait: seconds to wait for another writer.

    Raises:
        DataError: it cannot be opened, is no such database, or is of a newer version.
    """

    def __init__(
        self, target: str | Path, *, read_only: bool = False, wait: float = WAIT_SECONDS
    ) -> None:
        self.target = str(target)
        self.wait = wait
        self.opened = open_database(target, read_only=read_only, wait=wait)
        if not self.read_only:
            try:
                self._mark_interrupted()
            except BaseException:
                self.close()
                raise

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine, for queries of one's own."""
        return self.opened.engine

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""
        return self.opened.read_only

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: all of it is kept, or nothing."""
        if self.read_only:
            raise DataError(f"{self.opened.name} is read-only; name another with --database.")
        self.opened.check_in_place()
        try:
            with Session(self.opened.writing) as session, session.begin():
                yield session
            self.opened.check_in_place(stored=True)
        except (IntegrityError, ProgrammingError):
            raise
        except UnicodeEncodeError as error:
            raise DataError(f"A text holds {half_character(error)}; remove it.") from error
        except DatabaseError as error:
            raise DataError(
                f"{self.opened.name} cannot be written: {reason(error, self.wait)}. "
                "Nothing of this step was stored; what was there before is whole."
            ) from error

    @contextmanager
    def run(
        self,
        dataset: Dataset,
        name: str,
        cases: TestCases,
        model: tuple[str, str],
        seed: int,
        config: dict,
        key: str,
        version: tuple[str, str],
        split_id: int | None = None,
    ) -> Iterator[OpenRun]:
        """Opens a run; leaving the block without `finish` marks it interrupted (or failed).

        Args:
            dataset, name: the dataset and what to call it.
            cases: what is asked.
            model: its name and role.
            seed, config: of the run, as JSON values.
            key: equal for runs that must come out equal.
            version: package version and commit.
            split_id: what `add_split` gave, if the dataset is a stored split of another.
        """
        with self.write() as session:
            row = RunRow(
                id=uuid4().hex,
                model_id=model_id(session, *model),
                cases_id=cases_id(session, dataset, name, cases),
                split_id=split_id,
                seed=int(seed),
                config=config,
                key=key,
                package_version=version[0],
                commit=version[1],
                status="running",
                started=datetime.now(UTC),
                host=socket.gethostname(),
                process=os.getpid(),
            )
            session.add(row)
            run = OpenRun(row.id, self, cases)
        try:
            yield run
        except BaseException as error:
            if not run.done:
                status = "failed" if isinstance(error, Exception) else "interrupted"
                # Where not even this can be written, what went wrong first is what is told.
                with suppress(DataError), self.write() as session:
                    self.close_run(session, run.id, status)
            raise
        if not run.done:
            with self.write() as session:
                self.close_run(session, run.id, "interrupted")

    def close_run(
        self,
        session: Session,
        run_id: str,
        status: str,
        fit_seconds: float | None = None,
        score_seconds: float | None = None,
    ) -> None:
        """Sets the end of a run that is running.

        A run that another process took for dead may still be finished: its results are whole.
        """
        earlier = ["running", "interrupted"] if status == "done" else ["running"]
        session.execute(
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.status.in_(earlier))
            .values(
                status=status,
                ended=datetime.now(UTC),
                fit_seconds=fit_seconds,
                score_seconds=score_seconds,
            )
        )

    def add_split(
        self,
        dataset: Dataset,
        dataset_name: str,
        *,
        name: str,
        kind: str,
        seed: int,
        params: Mapping,
        fingerprint: str,
        rows: Iterable[tuple[str, str]],
    ) -> int:
        """Stores a split item by item, once: one with the same fingerprint is left as it is.

        Args:
            dataset, dataset_name: what was split, and what to call it.
            name, kind, seed, params: how it was made; params as JSON values.
            fingerprint: equal for splits of the same content, at most 64 characters.
            rows: (item id, role) of every item that plays a role.

        Returns:
            The split's number, for `run(split_id=...)`.
        """
        known = select(SplitRow.id).where(SplitRow.fingerprint == fingerprint)
        with self.read() as session:
            found = session.scalar(known)
        if found is not None:
            return found
        items = list(dict.fromkeys((str(item), str(role)) for item, role in rows))
        with self.write() as session:
            row = SplitRow(
                dataset_id=dataset_id(session, dataset, dataset_name),
                fingerprint=fingerprint,
                name=name,
                kind=kind,
                seed=int(seed),
                params=dict(params),
            )
            split_id, is_new = once(session, known, lambda: row)
            if is_new and items:
                session.execute(
                    insert(cast(Table, SplitItemRow.__table__)),  # without the ORM: many rows
                    [{"split_id": split_id, "item_id": i, "role": r} for i, r in items],
                )
        return split_id

    def add_slices(
        self, dataset: Dataset, name: str, cases: TestCases, masks: Mapping[str, np.ndarray]
    ) -> None:
        """Stores slices of some cases, so that every run of these cases can be cut by them.

        Args:
            dataset, name: the dataset and what to call it.
            cases: n cases; stored if they are not yet.
            masks: name -> (n,) bool, as `eval.metrics.slices.slices` gives them. Slices that are stored
                already, that are empty, or that follow from the cases themselves are passed over.
        """
        some = {k: mask for k, mask in masks.items() if k not in SLICES and mask.any()}
        with self.write() as session:
            number = cases_id(session, dataset, name, cases)
            for position, (part, mask) in enumerate(some.items()):
                add_slice(session, number, part, position, mask)

    def add_verdict(
        self, run_id: str, case: int, verdict: str, *, note: str = "", who: str = ""
    ) -> None:
        """Stores what a person says of one case; a change of mind is added, not replaced.

        Args:
            run_id: the run that was looked at.
            case: number of the case from 0, in the order of the run's ranks.
            verdict: in a word, such as "good".
            note, who: in the person's own words, and their name; may be empty.

        Raises:
            DataError: there is no such run or case, or the verdict is empty.
        """
        if not verdict.strip():
            raise DataError("A verdict needs a word, such as good or bad.")
        n = len(self.case_table(run_id))
        if not 0 <= case < n:
            raise DataError(f"Run {run_id} has cases 0 to {n - 1}, not {case}.")
        with self.write() as session:
            session.add(
                VerdictRow(
                    run_id=run_id,
                    case=int(case),
                    verdict=verdict.strip(),
                    note=note,
                    who=who,
                    time=datetime.now(UTC),
                )
            )

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the file or the server's connections back."""
        self.opened.close()

    def _mark_interrupted(self) -> None:
        """Closes runs of this machine whose process is gone."""
        mine = RunRow.status == "running", RunRow.host == socket.gethostname()
        with self.read() as session:
            running = session.scalars(select(RunRow).where(*mine))
            dead = [run.id for run in running if not is_running(run.process, run.started)]
        if dead:
            with self.write() as session:
                for run_id in dead:
                    self.close_run(session, run_id, "interrupted")
