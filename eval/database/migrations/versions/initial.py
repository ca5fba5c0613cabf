"""All tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates all tables."""
    _create_datasets()
    _create_runs()
    _create_results()


def _create_datasets() -> None:
    """Datasets, with their test cases and splits."""
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.String(64), unique=True, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("n_items", sa.Integer, nullable=False),
        sa.Column("n_train", sa.Integer, nullable=False),
        sa.Column("n_validation", sa.Integer, nullable=False),
        sa.Column("n_test", sa.Integer, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("dataset.id"), nullable=False),
        sa.Column("fingerprint", sa.String(64), unique=True, nullable=False),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("left_out", sa.Integer, nullable=False),
        sa.Column("session", sa.LargeBinary, nullable=False),
        sa.Column("length", sa.LargeBinary, nullable=False),
        sa.Column("target", sa.LargeBinary, nullable=False),
        sa.Column("cold", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "case_slice",
        sa.Column("cases_id", sa.Integer, sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("mask", sa.LargeBinary, nullable=False),
    )
    dataset = sa.ForeignKey("dataset.id")
    op.create_table(
        "split",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dataset_id", sa.Integer, dataset, nullable=False, index=True),
        sa.Column("fingerprint", sa.String(64), unique=True, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
    )
    op.create_table(
        "split_item",
        sa.Column("split_id", sa.Integer, sa.ForeignKey("split.id"), primary_key=True),
        sa.Column("item_id", sa.String, primary_key=True),
        sa.Column("role", sa.String, primary_key=True),
    )


def _create_runs() -> None:
    """Models and their runs."""
    op.create_table(
        "model",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, unique=True, nullable=False),
        sa.Column("role", sa.String, nullable=False),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("model.id"), nullable=False, index=True),
        sa.Column("cases_id", sa.Integer, sa.ForeignKey("cases.id"), nullable=False, index=True),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("key", sa.String(64), nullable=False, index=True),
        sa.Column("package_version", sa.String, nullable=False),
        sa.Column("commit", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("fit_seconds", sa.Double),
        sa.Column("score_seconds", sa.Double),
        sa.Column("split_id", sa.Integer, sa.ForeignKey("split.id"), index=True),
    )


def _create_results() -> None:
    """What is stored of each run."""
    op.create_table(
        "metric",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("run.id"), nullable=False, index=True),
        sa.Column("slice", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("k", sa.Integer, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.UniqueConstraint("run_id", "slice", "name", "k"),
    )
    op.create_table(
        "rank",
        sa.Column("run_id", sa.String(32), sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("ranks", sa.LargeBinary, nullable=False),
        sa.Column("ties", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("run.id"), nullable=False, index=True),
        sa.Column("case", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
