"""What Alembic runs: it gets an open transaction from `eval.database.versions` and leaves its end to it."""

from alembic import context

from eval.database.schema import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Opening a database upgrades it; the alembic command is not needed.")
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
