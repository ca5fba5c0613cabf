"""Tables of the results database.

To change them, add a revision to `eval/database/migrations/versions/` and name it in `REVISION`; a test
compares the tables with the migrations. A revision that has been released is never edited, and stays in
`EARLIER` as long as its databases can be read without being changed.
"""

from datetime import datetime
from math import isfinite
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    DateTime,
    Double,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0002"
"""The revision of these tables, as Alembic stores it."""
EARLIER = ("0001",)
"""Revisions that can be read as they are, and that are brought up to date before anything is written."""


class _Checked(TypeDecorator):
    """A column type that checks values when they are read: SQLite stores any value in any column."""

    impl: Any = String
    cache_ok = True
    kinds: ClassVar[tuple[type, ...]]

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """The same value.

        Raises:
            TypeError: it is of another type.
        """
        if value is not None and (not isinstance(value, self.kinds) or isinstance(value, bool)):
            raise TypeError(f"a column of {self.kinds[0].__name__} holds {value!r:.40}")
        return value


class _Text(_Checked):
    impl, cache_ok, kinds = String, True, (str,)


class _Whole(_Checked):
    impl, cache_ok, kinds = Integer, True, (int,)


class _Number(_Checked):
    impl, cache_ok, kinds = Float, True, (float, int)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """The same value; see `_Checked`."""
        if value is not None and not isfinite(super().process_result_value(value, dialect)):
            raise ValueError(f"a column of numbers holds {value}")
        return value


class _Double(_Number):
    impl, cache_ok = Double, True


class _Bytes(_Checked):
    impl, cache_ok, kinds = LargeBinary, True, (bytes,)


class _Mapping(_Checked):
    impl, cache_ok, kinds = JSON, True, (dict,)


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map: ClassVar = {
        str: _Text(),
        int: _Whole(),
        float: _Double(),
        bytes: _Bytes(),
        dict: _Mapping(),
        datetime: DateTime(timezone=True),
    }


class DatasetRow(Base):
    """A dataset, identified by its content."""

    __tablename__ = "dataset"
    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(_Text(64), unique=True)
    name: Mapped[str]
    n_items: Mapped[int]
    n_train: Mapped[int]
    n_validation: Mapped[int]
    n_test: Mapped[int]


class CasesRow(Base):
    """The test cases of a protocol on a dataset; the ranks of a run are in the same order."""

    __tablename__ = "cases"
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    fingerprint: Mapped[str] = mapped_column(_Text(64), unique=True)
    protocol: Mapped[str]
    n: Mapped[int]
    left_out: Mapped[int]
    # Arrays as little-endian bytes: one row per case would take twenty times the space.
    session: Mapped[bytes]  # (n,) <i4, row of the test session
    length: Mapped[bytes]  # (n,) <i4, items of the prefix
    target: Mapped[bytes]  # (n,) <i4, item row
    cold: Mapped[bytes]  # (n,) u1


class CaseSliceRow(Base):
    """A named slice of the cases; "all", "warm" and "cold" follow from the cases themselves."""

    __tablename__ = "case_slice"
    cases_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]  # order in a report
    mask: Mapped[bytes]  # (n,) bits; the highest bit comes first


class ModelRow(Base):
    """A model, identified by its name."""

    __tablename__ = "model"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]


class SplitRow(Base):
    """A split of a dataset, identified by its content."""

    __tablename__ = "split"
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), index=True)
    fingerprint: Mapped[str] = mapped_column(_Text(64), unique=True)
    name: Mapped[str]
    kind: Mapped[str]
    seed: Mapped[int]
    params: Mapped[dict]


class SplitItemRow(Base):
    """The role of one item in a split."""

    __tablename__ = "split_item"
    split_id: Mapped[int] = mapped_column(ForeignKey("split.id"), primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)


class RunRow(Base):
    """One fit of one model and its evaluation; never overwritten."""

    __tablename__ = "run"
    id: Mapped[str] = mapped_column(_Text(32), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    cases_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    seed: Mapped[int]
    config: Mapped[dict]
    key: Mapped[str] = mapped_column(
        _Text(64), index=True
    )  # runs with equal keys have equal results
    package_version: Mapped[str]
    commit: Mapped[str]
    status: Mapped[str]  # running, done, interrupted or failed
    started: Mapped[datetime]
    ended: Mapped[datetime | None]
    host: Mapped[str]
    process: Mapped[int]
    fit_seconds: Mapped[float | None]
    score_seconds: Mapped[float | None]
    split_id: Mapped[int | None] = mapped_column(ForeignKey("split.id"), index=True)


class MetricRow(Base):
    """One metric of a run on one slice."""

    __tablename__ = "metric"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    slice: Mapped[str]
    name: Mapped[str]
    k: Mapped[int]  # 0 if the metric has no cut-off
    value: Mapped[float]
    low: Mapped[float | None] = mapped_column(_Number)  # NULL if there is no interval
    high: Mapped[float | None] = mapped_column(_Number)
    __table_args__ = (UniqueConstraint("run_id", "slice", "name", "k"),)


class RankRow(Base):
    """The rank of the target in each case of a run, see `eval.metrics.ranks.Ranks`."""

    __tablename__ = "rank"
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    ranks: Mapped[bytes]  # (n,) <f4, expected rank over ties; inf: not found
    ties: Mapped[
        bytes
    ]  # (n,) <i4, items with the score of the target, itself included; 0: not found


class FrontierRow(Base):
    """P@20 of warm against cold targets as an offset is added to the scores of unclicked items.

    The points are those of `eval.metrics.frontier.Frontier`. Runs of revision 0001 and imported lists
    have none, and neither have cases whose targets are all warm or all cold.
    """

    __tablename__ = "frontier"
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    n: Mapped[int]  # points; 1 for a model that cannot score unclicked items
    offsets: Mapped[bytes]  # (n,) <f8, ascending from −inf to inf
    warm: Mapped[bytes]  # (n,) <f8, P@20 of warm targets
    cold: Mapped[bytes]  # (n,) <f8, P@20 of cold targets
    share: Mapped[bytes]  # (n,) <f8, share of unclicked items in the lists


class VerdictRow(Base):
    """A person's verdict on one case of a run; a changed verdict is a new row."""

    __tablename__ = "verdict"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    case: Mapped[int]  # from 0, in the order of the run's cases
    verdict: Mapped[str]
    note: Mapped[str]
    who: Mapped[str]
    time: Mapped[datetime]
