"""The results database: every run with its figures and the rank of every case.

A run is written as `running` when it starts and gets its results in one transaction when it ends,
so a database never holds half a run. A run whose process died is marked `interrupted` the next time
the database is opened on that machine. Nothing is ever overwritten.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
from sqlalchemy import Engine, create_engine, event, inspect, select, update
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from eval.metrics import all_case_values, metric_names
from eval.protocol import SLICES, TestCases
from eval.schema import (
    SCHEMA_VERSION,
    Base,
    CasesRow,
    DatasetRow,
    MetricRow,
    ModelRow,
    RankRow,
    RunRow,
    SchemaVersion,
)
from eval.significance import bootstrap_interval
from tpad import DataError, Dataset

WAIT_SECONDS = 30  # for another writer


@dataclass
class OpenRun:
    """A run in progress; give it its results with `finish`."""

    id: str
    store: "Store"
    cases: TestCases
    done: bool = field(default=False, init=False)

    def finish(
        self, ranks: np.ndarray, fit_seconds: float, score_seconds: float, found: dict | None = None
    ) -> None:
        """Writes ranks and figures, and marks the run done, all or nothing.

        Args:
            ranks: (n_cases,).
            fit_seconds: time of training, tuning included.
            score_seconds: time of ranking all cases.
            found: what was settled during the run (such as sizes chosen), added to its config.
        """
        rows: list[Base] = [RankRow(run_id=self.id, ranks=ranks.astype("<f4").tobytes())]
        rows += [
            MetricRow(run_id=self.id, slice=s, name=name, k=k, value=value, low=low, high=high)
            for s, name, k, value, low, high in figures(ranks, self.cases)
        ]
        with self.store.write() as session:
            session.add_all(rows)
            run = session.get_one(RunRow, self.id)
            run.config = {**run.config, **(found or {})}
            session.flush()
            self.store.close_run(session, self.id, "done", fit_seconds, score_seconds)
        self.done = True


def figures(
    ranks: np.ndarray, cases: TestCases
) -> Iterator[tuple[str, str, int, float, float, float]]:
    """Every figure of a run as (slice, metric, k, value, low, high); empty slices have none."""
    values = all_case_values(ranks)  # (n, n_metrics)
    for name in SLICES:
        mask = cases.slice(name)
        if not mask.any():
            continue
        bounds = bootstrap_interval(values[mask], cases.session[mask])  # (n_metrics, 2)
        means = values[mask].mean(0)
        for (metric, k), mean, (low, high) in zip(metric_names(), means, bounds, strict=True):
            yield name, metric, k, float(mean), float(low), float(high)


class Store:
    """A results database.

    Args:
        target: path of a SQLite file, or any SQLAlchemy URL.

    Raises:
        DataError: it cannot be opened, is no such database, or is of a newer version.
    """

    def __init__(self, target: str | Path) -> None:
        self.target = str(target)
        self.read_only = False
        try:
            self.engine = self._open()
            self._check_version()
        except DataError:
            raise
        except DatabaseError as error:
            raise DataError(
                f"{self.target} cannot be opened as a results database ({error.orig})."
            ) from error
        if not self.read_only:
            self._mark_interrupted()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: all of it is kept, or nothing."""
        if self.read_only:
            raise DataError(f"{self.target} is read-only; name another file with --database.")
        try:
            with Session(self.engine) as session, session.begin():
                yield session
        except OperationalError as error:
            raise DataError(
                f"{self.target} cannot be written ({error.orig}); nothing of this run was stored."
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
    ) -> Iterator[OpenRun]:
        """Opens a run; leaving the block without `finish` marks it interrupted (or failed).

        Args:
            dataset, name: the dataset and what to call it.
            cases: what is asked.
            model: its name and role.
            seed, config: of the run, as JSON values.
            key: equal for runs that must come out equal.
            version: package version and commit.
        """
        with self.write() as session:
            row = RunRow(
                id=uuid4().hex,
                model_id=_model_id(session, *model),
                cases_id=_cases_id(session, dataset, name, cases),
                seed=seed,
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
                with self.write() as session:
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
        """Sets the end of a run that is running."""
        session.execute(
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.status == "running")
            .values(
                status=status,
                ended=datetime.now(UTC),
                fit_seconds=fit_seconds,
                score_seconds=score_seconds,
            )
        )

    def find(self, key: str) -> str | None:
        """Id of the latest finished run with a key, if there is one."""
        with Session(self.engine) as session:
            return session.scalar(
                select(RunRow.id)
                .where(RunRow.key == key, RunRow.status == "done")
                .order_by(RunRow.started.desc())
                .limit(1)
            )

    def runs(self) -> list[RunRow]:
        """All runs, the oldest first."""
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(select(RunRow).order_by(RunRow.started)))

    def get(self, run_id: str) -> RunRow:
        """One run."""
        with Session(self.engine, expire_on_commit=False) as session:
            return session.get_one(RunRow, run_id)

    def ranks(self, run_id: str) -> np.ndarray:
        """(n_cases,) float32, in the order of the run's cases."""
        with Session(self.engine) as session:
            return np.frombuffer(session.get_one(RankRow, run_id).ranks, "<f4")

    def metrics(self, run_id: str) -> list[MetricRow]:
        """All figures of a run."""
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(select(MetricRow).where(MetricRow.run_id == run_id)))

    def close(self) -> None:
        """Gives the file back."""
        self.engine.dispose()

    def _open(self) -> Engine:
        if "://" in self.target:
            engine = create_engine(self.target)
            Base.metadata.create_all(engine)
            return engine
        path = Path(self.target)
        if path.is_dir() or not path.parent.is_dir():
            raise DataError(f"{path} cannot be a database: name a file in a folder that exists.")
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": WAIT_SECONDS})

        @event.listens_for(engine, "connect")
        def _(connection, record) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")

        try:
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError
            Base.metadata.create_all(engine)
        except (OperationalError, PermissionError):
            if not path.exists():
                raise DataError(f"{path} cannot be written; name another --database.") from None
            # A shipped database on a read-only disk: WAL needs to write beside it, `immutable` not.
            engine.dispose()
            self.read_only = True
            uri = f"file:{path.resolve().as_posix()}?immutable=1&uri=true"
            return create_engine(f"sqlite:///{uri}")
        return engine

    def _check_version(self) -> None:
        with Session(self.engine) as session:
            if not inspect(self.engine).has_table(SchemaVersion.__tablename__):
                raise DataError(f"{self.target} is no results database of this package.")
            version = session.scalar(select(SchemaVersion.version))
            if version is None and not self.read_only:
                session.add(SchemaVersion(version=SCHEMA_VERSION))
                session.commit()
            elif version != SCHEMA_VERSION:
                raise DataError(
                    f"{self.target} has schema version {version}, this package reads "
                    f"{SCHEMA_VERSION}; install the matching package or name another --database."
                )

    def _mark_interrupted(self) -> None:
        """Closes runs of this machine whose process is gone."""
        if os.name != "posix":  # elsewhere a process cannot be asked about without ending it
            return
        with self.write() as session:
            running = session.scalars(
                select(RunRow).where(
                    RunRow.status == "running", RunRow.host == socket.gethostname()
                )
            )
            for run in running:
                if not _is_alive(run.process):
                    run.status, run.ended = "interrupted", datetime.now(UTC)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _model_id(session: Session, name: str, role: str) -> int:
    row = session.scalar(select(ModelRow).where(ModelRow.name == name))
    if row is None:
        row = ModelRow(name=name, role=role)
        session.add(row)
        session.flush()
    return row.id


def _cases_id(session: Session, dataset: Dataset, name: str, cases: TestCases) -> int:
    row = session.scalar(select(CasesRow).where(CasesRow.fingerprint == cases.fingerprint))
    if row is not None:
        return row.id
    owner = session.scalar(select(DatasetRow).where(DatasetRow.fingerprint == dataset.fingerprint))
    if owner is None:
        owner = DatasetRow(
            fingerprint=dataset.fingerprint,
            name=name,
            n_items=len(dataset.items),
            n_train=len(dataset.train),
            n_validation=len(dataset.validation),
            n_test=len(dataset.test),
        )
        session.add(owner)
        session.flush()
    lengths = np.array([len(prefix) for prefix in cases.prefixes])
    row = CasesRow(
        dataset_id=owner.id,
        fingerprint=cases.fingerprint,
        protocol=cases.protocol,
        n=len(cases),
        left_out=cases.left_out,
        session=cases.session.astype("<i4").tobytes(),
        length=lengths.astype("<i4").tobytes(),
        target=cases.targets.astype("<i4").tobytes(),
        cold=cases.cold.astype("u1").tobytes(),
    )
    session.add(row)
    session.flush()
    return row.id
