"""Tables of the results database."""

from datetime import datetime

from sqlalchemy import JSON, DateTime, Float, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 1


class Base(DeclarativeBase):
    """Base of all tables."""


class SchemaVersion(Base):
    """One row: the version of the schema."""

    __tablename__ = "schema_version"
    version: Mapped[int] = mapped_column(primary_key=True)


class DatasetRow(Base):
    """A dataset, known by its content."""

    __tablename__ = "dataset"
    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str]
    n_items: Mapped[int]
    n_train: Mapped[int]
    n_validation: Mapped[int]
    n_test: Mapped[int]


class CasesRow(Base):
    """The test cases of a protocol on a dataset; ranks of a run are in the order of these."""

    __tablename__ = "cases"
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    protocol: Mapped[str]
    n: Mapped[int]
    left_out: Mapped[int]
    # Arrays as little-endian bytes: 100,000 rows a run would cost twenty times the space.
    session: Mapped[bytes] = mapped_column(LargeBinary)  # (n,) <i4, row of the test session
    length: Mapped[bytes] = mapped_column(LargeBinary)  # (n,) <i4, items of the prefix
    target: Mapped[bytes] = mapped_column(LargeBinary)  # (n,) <i4, item row
    cold: Mapped[bytes] = mapped_column(LargeBinary)  # (n,) u1


class ModelRow(Base):
    """A model, known by its name."""

    __tablename__ = "model"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]


class RunRow(Base):
    """One fit of one model and its evaluation; never overwritten."""

    __tablename__ = "run"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    cases_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    seed: Mapped[int]
    config: Mapped[dict] = mapped_column(JSON)
    key: Mapped[str] = mapped_column(String(64), index=True)  # equal keys, equal results
    package_version: Mapped[str]
    commit: Mapped[str]
    status: Mapped[str]  # running, done, interrupted or failed
    started: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    host: Mapped[str]
    process: Mapped[int]
    fit_seconds: Mapped[float | None]
    score_seconds: Mapped[float | None]


class MetricRow(Base):
    """One figure of a run."""

    __tablename__ = "metric"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    slice: Mapped[str]
    name: Mapped[str]
    k: Mapped[int]
    value: Mapped[float]
    low: Mapped[float] = mapped_column(Float)
    high: Mapped[float] = mapped_column(Float)
    __table_args__ = (UniqueConstraint("run_id", "slice", "name", "k"),)


class RankRow(Base):
    """The rank of the target in each case of a run."""

    __tablename__ = "rank"
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    ranks: Mapped[bytes] = mapped_column(LargeBinary)  # (n,) <f4; inf is not found, .5 a tie
