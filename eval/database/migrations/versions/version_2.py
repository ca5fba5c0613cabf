"""Splits item by item, a person's verdicts, and figures without an interval."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Adds tables and a column; nothing that is there changes."""
    op.create_table(
        "split",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "dataset_id", sa.Integer, sa.ForeignKey("dataset.id"), nullable=False, index=True
        ),
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
    # In line: SQLite cannot add a foreign key later, and to rebuild `run` would break its children.
    op.add_column(
        "run", sa.Column("split_id", sa.Integer, sa.ForeignKey("split.id")), inline_references=True
    )
    op.create_index("ix_run_split_id", "run", ["split_id"])
    with op.batch_alter_table("metric") as metric:
        metric.alter_column("low", existing_type=sa.Float, nullable=True)
        metric.alter_column("high", existing_type=sa.Float, nullable=True)
