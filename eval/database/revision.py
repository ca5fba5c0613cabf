"""The revision of a results database: created, read and checked. Alembic keeps it in `alembic_version`."""

from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, inspect, text

from eval.database.file_systems import numbering
from eval.database.schema import REVISION
from tpad import DataError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version"
ADVISORY_LOCK = 0x74706164  # "tpad", for PostgreSQL, which has no lock on a whole database

_ONE_AT_A_TIME = Lock()  # Alembic's context is global to the process


def has_tables(connection: Connection, name: str) -> bool:
    """Whether the database has the tables of this version of tpad; False if it is empty.

    Args:
        connection: to the database.
        name: of the database, for messages.

    Raises:
        DataError: it holds the tables of another program, or of another version of tpad.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return False
    if not {VERSION_TABLE, "run"} <= set(tables):
        raise DataError(
            f"{name} is not a results database: it holds other tables "
            f"({', '.join(sorted(tables)[:3])}); name another database."
        )
    found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    if found != REVISION:
        raise DataError(
            f"{name} was written by another version of tpad (schema {found}, this version reads "
            f"{REVISION}); open it with that version, or name another database."
        )
    return True


def create_tables(connection: Connection, name: str) -> None:
    """Creates the tables in an empty database, as part of the connection's transaction.

    Args:
        connection: in a transaction that holds SQLite's write lock.
        name: of the database, for messages.

    Raises:
        DataError: as `has_tables`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
    if has_tables(connection, name):  # checked again: another process may just have created them
        return
    from alembic import command  # slow to import, and needed for new databases only
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, REVISION)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(numbering())
