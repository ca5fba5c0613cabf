"""Run by Alembic on the open transaction of `eval.database.revision`, which commits it."""

from alembic import context

from eval.database.schema import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("tpad creates its tables itself; do not run the alembic command.")
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
