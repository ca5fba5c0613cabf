"""The revision of a results database, which Alembic keeps in the table `alembic_version`.

A database of an earlier revision is brought up to date when it is opened for writing. Opened for reading
it stays as it is, and what its tables lack counts as not stored.
"""

from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, inspect, text

from eval.database.file_systems import numbering
from eval.database.schema import EARLIER, REVISION
from tpad import DataError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version"
ADVISORY_LOCK = 0x74706164  # "tpad", for PostgreSQL, which has no lock on a whole database

_ONE_AT_A_TIME = Lock()  # Alembic's context is global to the process


def revision_of(connection: Connection, name: str) -> str | None:
    """The revision of the tables: `REVISION` or an earlier one; None if the database is empty.

    Args:
        connection: to the database.
        name: of the database, for messages.

    Raises:
        DataError: it holds the tables of another program, or of a later version of tpad.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if not {VERSION_TABLE, "run"} <= set(tables):
        raise DataError(
            f"{name} is not a results database: it holds other tables "
            f"({', '.join(sorted(tables)[:3])}); name another database."
        )
    found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    if found not in (REVISION, *EARLIER):
        raise DataError(
            f"{name} was written by another version of tpad (schema {found}, this version reads "
            f"{REVISION}); open it with that version, or name another database."
        )
    return str(found)


def bring_up_to_date(connection: Connection, name: str) -> None:
    """Creates the tables in an empty database, or adds what an earlier revision lacks.

    It is part of the connection's transaction. Nothing that is stored changes.

    Args:
        connection: in a transaction that holds SQLite's write lock.
        name: of the database, for messages.

    Raises:
        DataError: as `revision_of`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
    found = revision_of(connection, name)  # checked again: another process may just have done this
    if found == REVISION:
        return
    from alembic import command  # slow to import, and rarely needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, REVISION)
    if found is None and connection.dialect.name == "sqlite":
        connection.exec_driver_sql(numbering())
