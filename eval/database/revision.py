"""The version of a results database: told, checked and, where it is older, upgraded by Alembic."""

from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, delete, insert, inspect, select, text

from eval.database.schema import SCHEMA_VERSION, SchemaVersion
from tpad import DataError

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x74706164  # "tpad", for PostgreSQL, which has no lock on a whole database

_ONE_AT_A_TIME = Lock()  # Alembic's context is global to the process


def stored_version(connection: Connection, name: str) -> int:
    """Version of the tables, 0 if there are none.

    Args:
        connection: to the database.
        name: of the database, for messages.

    Raises:
        DataError: its tables are not ours, or of a version that this package does not know.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return 0
    version = None
    if SchemaVersion.__tablename__ in tables:
        version = connection.scalar(select(SchemaVersion.version))
    if version is None:
        raise DataError(
            f"{name} is no results database of this package: it holds other tables "
            f"({', '.join(sorted(tables)[:3])}); name another database."
        )
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{name} has schema version {version}, this package reads up to {SCHEMA_VERSION}; "
            "install the newer package or name another database."
        )
    return version


def upgrade(connection: Connection, name: str) -> None:
    """Brings the tables to `SCHEMA_VERSION`; the transaction of the connection keeps it or not.

    Args:
        connection: in a transaction that holds SQLite's write lock.
        name: of the database, for messages.

    Raises:
        DataError: as `stored_version`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
    version = stored_version(connection, name)  # again: another process may just have done it
    if version == SCHEMA_VERSION:
        return
    from alembic import command  # takes long to import, and few databases need it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        if version:  # databases of the first version were made without Alembic
            command.stamp(config, str(version))
        command.upgrade(config, str(SCHEMA_VERSION))
    connection.execute(delete(SchemaVersion))
    connection.execute(insert(SchemaVersion).values(version=SCHEMA_VERSION))
