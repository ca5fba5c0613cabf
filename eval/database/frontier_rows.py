"""Frontiers as rows of the results database."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from eval.database.integrity import decode_array
from eval.database.schema import FrontierRow
from eval.metrics.frontier import Frontier

CURVES = ("offsets", "warm", "cold", "share")
TOLERANCE = 1e-9


def frontier_row(run_id: str, frontier: Frontier) -> FrontierRow:
    """The row of a run's frontier."""
    arrays = {name: getattr(frontier, name).astype("<f8").tobytes() for name in CURVES}
    return FrontierRow(run_id=run_id, n=len(frontier), **arrays)


def read_frontiers(session: Session, run_ids: Sequence[str]) -> dict[str, Frontier]:
    """The frontiers of runs by run id; runs without one are left out.

    A database of an earlier revision that cannot be written has no such table.

    Raises:
        ValueError: a frontier is damaged.
    """
    if not inspect(session.connection()).has_table(FrontierRow.__tablename__):
        return {}
    rows = session.scalars(select(FrontierRow).where(FrontierRow.run_id.in_(run_ids)))
    return {row.run_id: _decoded(row) for row in rows}


def _decoded(row: FrontierRow) -> Frontier:
    what = f"the frontier of run {row.run_id}"
    found = Frontier(*(decode_array(getattr(row, name), "<f8", row.n, what) for name in CURVES))
    shares = np.concatenate([found.warm, found.cold, found.share])
    # Sums of shares are not exact; the bounds exclude NaN.
    valid = (shares > -TOLERANCE) & (shares < 1 + TOLERANCE)
    if row.n < 1 or not valid.all() or np.isnan(found.offsets).any():
        raise ValueError(f"{what} has a value out of range")
    return found
