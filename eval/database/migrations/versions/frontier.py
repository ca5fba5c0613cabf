"""The frontier of each run."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Creates the table of frontiers, without any for the runs that are stored."""
    op.create_table(
        "frontier",
        sa.Column("run_id", sa.String(32), sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("offsets", sa.LargeBinary, nullable=False),
        sa.Column("warm", sa.LargeBinary, nullable=False),
        sa.Column("cold", sa.LargeBinary, nullable=False),
        sa.Column("share", sa.LargeBinary, nullable=False),
    )
