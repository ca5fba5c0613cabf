"""The results database: every run with its metrics and the rank of every case.

A run is stored as `running` when it starts, and its results are written in one transaction when it
ends, so a database never holds half a run. A run whose process died is marked as `interrupted` the
next time the database is opened on the same machine. Results are never overwritten.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
from sqlalchemy import Table, insert, select

from eval.database.connection import WAIT_SECONDS, open_database
from eval.database.open_run import OpenRun, close_run
from eval.database.processes import is_running
from eval.database.reader import Reader
from eval.database.schema import RunRow, SplitItemRow, SplitRow, VerdictRow
from eval.database.unique_rows import add_slice, cases_id, dataset_id, model_id, once
from eval.protocol import SLICES, TestCases
from tpad import DataError, Dataset


class Store(Reader):
    """A results database.

    Args:
        target: path of a SQLite file, or any SQLAlchemy URL. A new database gets its tables.
        read_only: change nothing. A file that is not writable is always opened read-only.
        wait: seconds to wait for another writer.

    Raises:
        DataError: it cannot be opened, is not a results database, or was written by another version
            of tpad.
    """

    def __init__(
        self, target: str | Path, *, read_only: bool = False, wait: float = WAIT_SECONDS
    ) -> None:
        self.target = str(target)
        super().__init__(open_database(target, read_only=read_only, wait=wait), wait)
        if not self.read_only:
            try:
                self._mark_interrupted()
            except BaseException:
                self.close()
                raise

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
        """Starts a run; if the block ends without `finish`, it is marked as interrupted or failed.

        Args:
            dataset, name: the dataset and its name for people.
            cases: what is ranked.
            model: its name and role.
            seed, config: of the run, as JSON values.
            key: equal for runs that must have equal results.
            version: package version and commit.
            split_id: from `add_split`, if the dataset is a stored split of another.
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
                # If not even this can be written, the first error is the one to report.
                with suppress(DataError), self.write() as session:
                    close_run(session, run.id, status)
            raise
        if not run.done:
            with self.write() as session:
                close_run(session, run.id, "interrupted")

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
        """Stores a split item by item, unless one with the same fingerprint is stored already.

        Args:
            dataset, dataset_name: what was split, and its name for people.
            name, kind, seed, params: how it was made; params as JSON values.
            fingerprint: equal for splits of the same content, at most 64 characters.
            rows: (item id, role) of every item that has a role.

        Returns:
            Number of the split, for `run(split_id=...)`.
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
        """Stores slices of the cases, so that metrics of any run on them can be reported by slice.

        Args:
            dataset, name: the dataset and its name for people.
            cases: n cases; stored if they are new.
            masks: name -> (n,) bool, from `eval.metrics.slices.slices`. Slices that are already stored
                or empty are skipped, and so are "all", "warm" and "cold".
        """
        some = {k: mask for k, mask in masks.items() if k not in SLICES and mask.any()}
        with self.write() as session:
            number = cases_id(session, dataset, name, cases)
            for position, (part, mask) in enumerate(some.items()):
                add_slice(session, number, part, position, mask)

    def add_verdict(
        self, run_id: str, case: int, verdict: str, *, note: str = "", who: str = ""
    ) -> None:
        """Stores a person's verdict on one case; a changed verdict is added, not replaced.

        Args:
            run_id: the run that was inspected.
            case: number of the case from 0, in the order of the run's ranks.
            verdict: one word, such as "good".
            note, who: a remark and the person's name; may be empty.

        Raises:
            DataError: there is no such run or case, or the verdict is empty.
        """
        if not verdict.strip():
            raise DataError("The verdict is empty; give a word such as good or bad.")
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

    def _mark_interrupted(self) -> None:
        """Marks runs of this machine whose process has died."""
        mine = RunRow.status == "running", RunRow.host == socket.gethostname()
        with self.read() as session:
            running = session.scalars(select(RunRow).where(*mine))
            dead = [run.id for run in running if not is_running(run.process, run.started)]
        if dead:
            with self.write() as session:
                for run_id in dead:
                    close_run(session, run_id, "interrupted")
