"""Alembic's folder: one file in `versions/` for each revision of the schema."""
