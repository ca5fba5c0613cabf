"""A run in progress, and how it ends."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import update
from sqlalchemy.orm import Session

from eval.database.frontier_rows import frontier_row
from eval.database.schema import Base, MetricRow, RankRow, RunRow
from eval.database.transactions import Transactions
from eval.metrics.frontier import Frontier
from eval.metrics.ranks import Ranks
from eval.metrics.slice_metrics import MetricValue, slice_metrics
from eval.protocol import TestCases
from tpad import DataError


@dataclass
class OpenRun:
    """A run in progress; `finish` stores its results.

    Attributes:
        id: of the run.
        database: where it is stored.
        cases: what is ranked.
        done: whether it has its results.
    """

    id: str
    database: Transactions
    cases: TestCases
    done: bool = field(default=False, init=False)

    def finish(
        self,
        ranks: Ranks | np.ndarray,
        fit_seconds: float | None,
        score_seconds: float,
        found: dict | None = None,
        more: Iterable[MetricValue] = (),
        frontier: Frontier | None = None,
    ) -> None:
        """Stores ranks and metrics and marks the run as done, all or nothing.

        Args:
            ranks: of the n_cases targets. An array (n_cases,) holds expected ranks, such as positions
                in lists without ties; inf if the target was not found, see `Ranks.from_expected`.
            fit_seconds: training time, tuning included; None if the model was trained before.
            score_seconds: time to rank all cases.
            found: settings chosen during the run, added to its config.
            more: metrics that do not follow from the ranks.
            frontier: of warm against cold targets, if the cases have both.

        Raises:
            DataError: there is not one valid rank per case, a metric is not finite, the run already
                has its results, or they cannot be written.
        """
        if self.done:
            raise DataError(f"Run {self.id} already has its results; they are never overwritten.")
        if ranks.shape != (len(self.cases),):
            raise DataError(
                f"A run of {len(self.cases)} cases needs as many ranks, not an array of shape "
                f"{ranks.shape}."
            )
        if not isinstance(ranks, Ranks):
            try:
                ranks = Ranks.from_expected(ranks)
            except ValueError as error:
                raise DataError(f"{error} Use inf for a target that was not found.") from error
        expected, ties = ranks.expected.astype("<f4"), ranks.ties.astype("<i4")
        rows: list[Base] = [RankRow(run_id=self.id, ranks=expected.tobytes(), ties=ties.tobytes())]
        for metric in (*slice_metrics(ranks, self.cases), *more):
            numbers = [metric.value, metric.low, metric.high]
            if not np.isfinite([number for number in numbers if number is not None]).all():
                raise DataError(
                    f"The metric {metric.name}@{metric.k} of slice {metric.slice} is not finite; "
                    "leave it out if it is undefined."
                )
            rows.append(MetricRow(run_id=self.id, **metric._asdict()))
        if frontier is not None:
            rows.append(frontier_row(self.id, frontier))
        with self.database.write() as session:
            session.add_all(rows)
            run = session.get_one(RunRow, self.id)
            run.config = {**run.config, **(found or {})}
            session.flush()
            close_run(session, self.id, "done", fit_seconds, score_seconds)
        self.done = True


def close_run(
    session: Session,
    run_id: str,
    status: str,
    fit_seconds: float | None = None,
    score_seconds: float | None = None,
) -> None:
    """Ends a run that is running.

    A run that was marked as interrupted while its process was still alive can still be finished.
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
