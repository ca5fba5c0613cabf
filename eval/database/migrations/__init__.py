"""Alembic's folder: one file in `versions/` for each version of the schema."""
