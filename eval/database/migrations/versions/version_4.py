"""Ties of ranks, without which metrics cannot be expectations over the order of equal scores."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Adds a column, which stays empty for the runs that are there: their ties were not stored."""
    op.add_column("rank", sa.Column("ties", sa.LargeBinary, nullable=True))
