"""The slices of the cases, so that any stored run can be cut by them without its dataset."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Adds a table; nothing that is there changes."""
    op.create_table(
        "case_slice",
        sa.Column("cases_id", sa.Integer, sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("mask", sa.LargeBinary, nullable=False),
    )
