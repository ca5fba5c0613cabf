"""Queries of reports, comparisons and the dashboard on the results database."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from eval.database.frontier_rows import read_frontiers
from eval.database.integrity import decode_array, decode_mask, decode_ranks
from eval.database.records import CaseTable, RunInfo, SplitInfo, Verdict, as_utc
from eval.database.run_rows import run_info, runs_query
from eval.database.schema import (
    CaseSliceRow,
    CasesRow,
    DatasetRow,
    MetricRow,
    ModelRow,
    RankRow,
    RunRow,
    SplitItemRow,
    SplitRow,
    VerdictRow,
)
from eval.database.transactions import Transactions
from eval.metrics.frontier import Frontier
from eval.metrics.ranks import Ranks
from tpad import DataError


class Reader(Transactions):
    """The queries of a `Store`."""

    def find(self, key: str) -> str | None:
        """Id of the latest finished run with this key, or None."""
        with self.read() as session:
            return session.scalar(
                select(RunRow.id)
                .where(RunRow.key == key, RunRow.status == "done")
                .order_by(RunRow.started.desc())
                .limit(1)
            )

    def runs(self) -> list[RunRow]:
        """All runs, the oldest first."""
        with self.read() as session:
            return list(session.scalars(select(RunRow).order_by(RunRow.started)))

    def get(self, run_id: str) -> RunRow:
        """One run."""
        with self.read() as session:
            row = session.get(RunRow, run_id)
        if row is None:
            raise DataError(f"There is no run {run_id} in {self.opened.name}.")
        return row

    def list_runs(
        self,
        *,
        model: str | Sequence[str] | None = None,
        dataset: str | Sequence[str] | None = None,
        cases: str | Sequence[str] | None = None,
        split: str | Sequence[str] | None = None,
        status: str | Sequence[str] | None = None,
        seed: int | Sequence[int] | None = None,
    ) -> list[RunInfo]:
        """Runs, the oldest first.

        Args:
            model, status, seed: one value or several.
            dataset: name or fingerprint.
            cases: fingerprint; runs on the same cases can be compared case by case.
            split: name or fingerprint.
        """
        query = _where(runs_query(), model, ModelRow.name)
        query = _where(query, dataset, DatasetRow.name, DatasetRow.fingerprint)
        query = _where(query, cases, CasesRow.fingerprint)
        query = _where(query, split, SplitRow.name, SplitRow.fingerprint)
        query = _where(query, seed, RunRow.seed)
        with self.read() as session:
            found = [run_info(*row) for row in session.execute(query)]
        wanted = [status] if isinstance(status, str) else status
        return [run for run in found if wanted is None or run.status in wanted]

    def metrics(self, run_id: str) -> list[MetricRow]:
        """All metrics of a run."""
        with self.read() as session:
            return list(session.scalars(select(MetricRow).where(MetricRow.run_id == run_id)))

    def figures(
        self,
        run_ids: Sequence[str] | None = None,
        *,
        slice: str | Sequence[str] | None = None,
        name: str | Sequence[str] | None = None,
        k: int | Sequence[int] | None = None,
    ) -> pd.DataFrame:
        """Metrics of finished runs as a table, one per row.

        Args:
            run_ids: the runs; all by default.
            slice, name, k: one value or several; all by default.

        Returns:
            Columns run_id, model, role, dataset, seed, slice, name, k, value, low, high; the oldest
            run first. `low` and `high` are NaN if a metric has no interval.
        """
        columns = {
            "run_id": RunRow.id,
            "model": ModelRow.name,
            "role": ModelRow.role,
            "dataset": DatasetRow.name,
            "seed": RunRow.seed,
            "slice": MetricRow.slice,
            "name": MetricRow.name,
            "k": MetricRow.k,
            "value": MetricRow.value,
            "low": MetricRow.low,
            "high": MetricRow.high,
        }
        query = (
            select(*columns.values())
            .select_from(MetricRow)
            .join(RunRow, MetricRow.run_id == RunRow.id)
            .outerjoin(ModelRow, RunRow.model_id == ModelRow.id)
            .outerjoin(CasesRow, RunRow.cases_id == CasesRow.id)
            .outerjoin(DatasetRow, CasesRow.dataset_id == DatasetRow.id)
            .where(RunRow.status == "done")
            .order_by(RunRow.started, RunRow.id, MetricRow.id)
        )
        query = _where(query, None if run_ids is None else list(run_ids), RunRow.id)
        query = _where(query, slice, MetricRow.slice)
        query = _where(query, name, MetricRow.name)
        query = _where(query, k, MetricRow.k)
        with self.read() as session:
            rows = session.execute(query).all()
            table = pd.DataFrame(rows, columns=list(columns))
            kinds = {"seed": "int64", "k": "int64", "value": float, "low": float, "high": float}
            if table[["model", "dataset"]].isna().any(axis=None):
                raise LookupError("the model, cases or dataset of a run are missing")
            return table.astype(kinds)

    def ranks(self, run_id: str) -> np.ndarray:
        """Expected ranks (n_cases,) float32, in the order of the run's cases; inf if not found.

        Use them for display only: metrics also need the ties, see `rank_matrix`.
        """
        return self.rank_matrix([run_id])[0].expected.astype(np.float32)

    def rank_matrix(self, run_ids: Sequence[str]) -> Ranks:
        """Ranks of runs on the same cases, with their ties.

        Args:
            run_ids: at least one.

        Returns:
            Of shape (n_runs, n_cases), in the order given.

        Raises:
            DataError: a run does not exist, has no ranks, or has other cases than the first.
        """
        query = (
            select(
                RunRow.id, RunRow.cases_id, RunRow.status, CasesRow.n, RankRow.ranks, RankRow.ties
            )
            .outerjoin(RankRow, RankRow.run_id == RunRow.id)
            .outerjoin(CasesRow, RunRow.cases_id == CasesRow.id)
            .where(RunRow.id.in_(run_ids))
        )
        if not run_ids:
            raise DataError("No run was named; name at least one.")
        with self.read() as session:
            rows = {row.id: row for row in session.execute(query)}
            for run_id in run_ids:
                row = rows.get(run_id)
                if row is None:
                    raise DataError(f"There is no run {run_id} in {self.opened.name}.")
                if row.ranks is None and row.status == "done":
                    raise LookupError(f"the ranks of run {run_id} are missing")
                if row.ranks is None:
                    raise DataError(f"Run {run_id} has no ranks: it is {row.status}.")
                if row.cases_id != rows[run_ids[0]].cases_id:
                    raise DataError(
                        f"Runs {run_ids[0]} and {run_id} have different cases; only runs of "
                        "the same dataset, split and protocol can be compared case by case."
                    )
            found = [
                decode_ranks(rows[run].ranks, rows[run].ties, rows[run].n, run) for run in run_ids
            ]
        result = Ranks.empty((len(found), len(found[0])))
        for place, ranks in enumerate(found):
            result[place] = ranks
        return result

    def frontiers(self, run_ids: Sequence[str]) -> dict[str, Frontier]:
        """The frontiers of runs by run id; runs without one are left out."""
        with self.read() as session:
            return read_frontiers(session, run_ids)

    def case_table(self, run_id: str) -> CaseTable:
        """The cases of a run, as arrays."""
        query = select(CasesRow).join(RunRow, RunRow.cases_id == CasesRow.id)
        with self.read() as session:
            row = session.scalar(query.where(RunRow.id == run_id))
            if row is None:
                raise DataError(f"There is no run {run_id} in {self.opened.name}.")
            return CaseTable(
                fingerprint=row.fingerprint,
                protocol=row.protocol,
                left_out=row.left_out,
                session=decode_array(row.session, "<i4", row.n, "column session of the cases"),
                length=decode_array(row.length, "<i4", row.n, "column length of the cases"),
                target=decode_array(row.target, "<i4", row.n, "column target of the cases"),
                cold=decode_array(row.cold, "u1", row.n, "column cold of the cases").astype(bool),
            )

    def slices(self, run_id: str) -> dict[str, np.ndarray]:
        """The stored slices of a run's cases, in the order of a report.

        Returns:
            Name -> (n_cases,) bool; empty if none were stored. "all", "warm" and "cold" are not
            stored: they follow from `case_table`.
        """
        query = (
            select(CaseSliceRow.name, CaseSliceRow.mask, CasesRow.n)
            .join(CasesRow, CaseSliceRow.cases_id == CasesRow.id)
            .join(RunRow, RunRow.cases_id == CasesRow.id)
            .where(RunRow.id == run_id)
            .order_by(CaseSliceRow.position, CaseSliceRow.name)
        )
        with self.read() as session:
            return {name: decode_mask(mask, n, name) for name, mask, n in session.execute(query)}

    def side_by_side(self, first: str, second: str) -> pd.DataFrame:
        """The ranks of two runs, one case per row.

        Returns:
            Columns case, session, length, target, cold, first, second; the last two are expected
            ranks, inf if the target was not found.
        """
        ranks = self.rank_matrix([first, second]).expected.astype(np.float32)  # (2, n)
        cases = self.case_table(first)
        return pd.DataFrame(
            {
                "case": np.arange(len(cases)),
                "session": cases.session,
                "length": cases.length,
                "target": cases.target,
                "cold": cases.cold,
                "first": ranks[0],
                "second": ranks[1],
            }
        )

    def splits(self, *, name: str | None = None, seed: int | None = None) -> list[SplitInfo]:
        """Stored splits in the order they were added; all, or those with this name and seed."""
        query = select(SplitRow, DatasetRow.name, DatasetRow.fingerprint).join(
            DatasetRow, SplitRow.dataset_id == DatasetRow.id
        )
        query = _where(_where(query, name, SplitRow.name), seed, SplitRow.seed)
        counted = select(SplitItemRow.split_id, SplitItemRow.role, func.count()).group_by(
            SplitItemRow.split_id, SplitItemRow.role
        )
        with self.read() as session:
            rows = session.execute(query.order_by(SplitRow.id)).all()
            counts: dict[int, dict[str, int]] = {}
            for split_id, role, count in session.execute(counted.order_by(SplitItemRow.role)):
                counts.setdefault(split_id, {})[role] = count
            return [
                SplitInfo(
                    id=row.id,
                    name=row.name,
                    kind=row.kind,
                    seed=row.seed,
                    params=row.params,
                    fingerprint=row.fingerprint,
                    dataset=dataset,
                    dataset_fingerprint=fingerprint,
                    counts=counts.get(row.id, {}),
                )
                for row, dataset, fingerprint in rows
            ]

    def split_items(self, split_id: int, role: str | None = None) -> pd.DataFrame:
        """Items of a split, with columns item_id and role, sorted by both; all roles by default."""
        query = select(SplitItemRow.item_id, SplitItemRow.role)
        query = _where(query.where(SplitItemRow.split_id == split_id), role, SplitItemRow.role)
        with self.read() as session:
            if session.get(SplitRow, split_id) is None:
                raise DataError(f"There is no split {split_id} in {self.opened.name}.")
            rows = session.execute(query).all()
        table = pd.DataFrame(map(tuple, rows), columns=["item_id", "role"], dtype=str)
        # Sorted here, as servers order text by locale.
        return table.sort_values(["item_id", "role"], ignore_index=True)

    def verdicts(self, run_id: str | None = None, case: int | None = None) -> list[Verdict]:
        """Verdicts on a run, on one of its cases, or all; the oldest first."""
        query = select(VerdictRow).order_by(VerdictRow.id)
        query = _where(_where(query, run_id, VerdictRow.run_id), case, VerdictRow.case)
        with self.read() as session:
            return [
                Verdict(row.run_id, row.case, row.verdict, row.note, row.who, as_utc(row.time))
                for row in session.scalars(query)
            ]


def _where(query: Select, wanted: Any, *columns: InstrumentedAttribute) -> Select:
    """Keeps rows in which a column equals `wanted`, or one of its values; all rows if it is None."""
    if wanted is None:
        return query
    is_many = isinstance(wanted, Iterable) and not isinstance(wanted, str)
    values = [
        v.item() if isinstance(v, np.generic) else v for v in (wanted if is_many else [wanted])
    ]
    return query.where(or_(*(column.in_(values) for column in columns)))
