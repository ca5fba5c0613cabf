"""Opens a results database: a SQLite file, a SQLite database in memory, or a database server.

SQLite keeps a write-ahead log (WAL) beside the file where that is safe (see
`eval.database.file_systems`), so that readers and a writer do not block each other.
"""

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from eval.database.errors import describe, is_unwritable
from eval.database.file_systems import FileIdentity, journal_mode, set_journal
from eval.database.integrity import reporting_damage
from eval.database.revision import bring_up_to_date, revision_of
from eval.database.schema import REVISION
from tpad import DataError
from tpad.environment import variable

WAIT_SECONDS = 30.0  # for another writer
DEFAULT_TARGET = "results.db"
URL_VARIABLE = "TPAD_DATABASE_URL"
DRIVERS = {"psycopg": "psycopg[binary]==3.3.9"}
WRITES = "writes"  # execution option of an engine whose transactions write


def default_target() -> str:
    """The database used if none is named: `TPAD_DATABASE_URL`, else `results.db` in this folder."""
    return variable(URL_VARIABLE, DEFAULT_TARGET)


@dataclass(frozen=True)
class OpenDatabase:
    """An open database.

    Attributes:
        engine: for transactions that read.
        name: of the database, for messages; without the password.
        read_only: whether it can only be read.
        keep_alive: a connection that keeps a database in memory alive.
        file: the file that was opened; None in memory and on a server.
    """

    engine: Engine
    name: str
    read_only: bool = False
    keep_alive: sqlite3.Connection | None = None
    file: FileIdentity | None = None

    def check_in_place(self, stored: bool = False) -> None:
        """Checks that the path still leads to the file that was opened.

        SQLite does not notice that a file was deleted, replaced or overwritten, and its later writes
        are lost.

        Args:
            stored: whether something was just written.

        Raises:
            DataError: the file was deleted, replaced or overwritten, or its log was deleted.
        """
        change = None if self.file is None else self.file.change()
        if change is not None:
            effect = "The last results were lost" if stored else "Nothing was read or stored"
            raise DataError(f"{change} after it was opened. {effect}; start again.")

    @property
    def writing(self) -> Engine:
        """The engine for transactions that write.

        On SQLite they take the write lock at once: a transaction that has already read cannot wait
        for it.
        """
        return self.engine.execution_options(**{WRITES: True})

    def close(self) -> None:
        """Closes the file or the connections to the server."""
        self.engine.dispose()
        if self.keep_alive is not None:
            self.keep_alive.close()


def open_database(
    target: str | Path, *, read_only: bool = False, wait: float = WAIT_SECONDS
) -> OpenDatabase:
    """Opens a database, creates its tables if it is new, and adds what an earlier revision lacks.

    Args:
        target: path of a SQLite file, or a SQLAlchemy URL (`sqlite://` is in memory).
        read_only: change nothing and create nothing.
        wait: seconds to wait for another writer.

    Raises:
        DataError: it cannot be opened, is not a results database, or was written by another version
            of tpad.
    """
    url = _url(str(target))
    name = str(target) if url is None else url.render_as_string(hide_password=True)
    try:
        with reporting_damage(name):
            if url is None:
                return _Sqlite(str(target), name, wait).open(read_only)
            if url.get_backend_name() == "sqlite" and not url.query:
                return _Sqlite(url.database or ":memory:", name, wait).open(read_only)
            return _open_server(url, name, read_only, wait)
    except DBAPIError as error:
        raise DataError(
            f"{name} cannot be opened as a results database: {describe(error, wait)}."
        ) from error


def _url(target: str) -> URL | None:
    """None for a path."""
    if "://" not in target:
        return None
    try:
        url = make_url(target)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # ValueError: the port
        kind = target.split("://", 1)[0]
        raise DataError(
            f"{kind}://… is not a valid database URL; write sqlite:///results.db or "
            "postgresql://user:password@host/database."
        ) from error
    return url


def _open_server(url: URL, name: str, read_only: bool, wait: float) -> OpenDatabase:
    try:
        # Training takes longer than many connections last, so they are tested before use.
        engine = create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        driver = DRIVERS.get(error.name or "", error.name)
        raise DataError(f'{name} needs a driver; run pip install "{driver}".') from error
    _begin_transactions(engine, wait)
    return _checked(OpenDatabase(engine, name, read_only))


@dataclass(frozen=True)
class _Sqlite:
    """A SQLite database that is about to be opened."""

    database: str
    name: str
    wait: float

    def open(self, read_only: bool) -> OpenDatabase:
        if self.database == ":memory:":
            return self._open_in_memory()
        path = Path(self.database)
        if path.is_dir() or not path.parent.is_dir():
            raise DataError(
                f"{path} cannot be a database: name a file in a folder that exists, "
                f"or a URL such as postgresql://user:password@host/database."
            )
        if read_only and not path.exists():
            raise DataError(f"There is no database {path}; create one with `python -m eval run`.")
        if not read_only and not (path.exists() and not os.access(path, os.W_OK)):
            try:
                return self._open_to_write(path)
            except OperationalError as error:
                if not is_unwritable(error):
                    raise
                if not path.exists():
                    raise DataError(f"{path} cannot be written; name another database.") from error
        return self._open_to_read(path)

    def _open_to_write(self, path: Path) -> OpenDatabase:
        is_new = not path.exists()
        if not is_new:
            self._check_unchanged(path)
        engine = self._engine(str(path), journal_mode(path))
        try:
            opened = _checked(OpenDatabase(engine, self.name))
            return replace(opened, file=FileIdentity.of(path))
        except BaseException:
            engine.dispose()
            if is_new and path.exists() and path.stat().st_size == 0:
                path.unlink()  # such as on a full disk
            raise

    def _check_unchanged(self, path: Path) -> None:
        """Checks a file before its journal mode is set, so that no other database is changed."""
        engine = self._engine(str(path), query_only=True)
        try:
            with engine.connect() as connection:
                revision_of(connection, self.name)
        finally:
            engine.dispose()

    def _open_to_read(self, path: Path) -> OpenDatabase:
        quoted = f"file:{quote(path.resolve().as_posix())}"
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            mode = "rw"  # others may be writing: use their log, but write nothing
        else:
            log = path.with_name(path.name + "-wal")
            # `immutable` needs no files beside the database, but ignores what is in the log.
            mode = "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"
        engine = self._engine(f"{quoted}?mode={mode}", query_only=True)
        opened = _checked(OpenDatabase(engine, self.name, read_only=True))
        return replace(opened, file=FileIdentity.of(path))

    def _open_in_memory(self) -> OpenDatabase:
        uri = f"file:{uuid4().hex}?mode=memory&cache=shared"
        keep_alive = sqlite3.connect(uri, uri=True, check_same_thread=False)
        return _checked(OpenDatabase(self._engine(uri), self.name, keep_alive=keep_alive))

    def _engine(
        self, database: str, journal: str | None = None, *, query_only: bool = False
    ) -> Engine:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                database,
                timeout=self.wait,
                uri=database.startswith("file:"),
                check_same_thread=False,  # the pool gives a connection to one thread at a time
                isolation_level=None,  # SQLAlchemy begins the transactions
            )
            connection.execute("PRAGMA foreign_keys=ON")
            if query_only:
                connection.execute("PRAGMA query_only=ON")
            if journal:
                try:
                    set_journal(connection, journal)
                except BaseException:
                    connection.close()
                    raise
            return connection

        engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
        _begin_transactions(engine, self.wait)
        return engine


def _begin_transactions(engine: Engine, wait: float) -> None:
    """Makes transactions begin as each kind of database needs it."""

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            writes = connection.get_execution_options().get(WRITES)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        elif connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, int(1000 * wait))}")


def _checked(opened: OpenDatabase) -> OpenDatabase:
    """The same database, up to date if it can be written; closed if it cannot be used."""
    try:
        with opened.engine.connect() as connection:
            revision = revision_of(connection, opened.name)
        if revision is None and opened.read_only:
            raise DataError(f"{opened.name} is empty: it is not a results database.")
        if revision != REVISION and not opened.read_only:
            with opened.writing.begin() as connection:
                bring_up_to_date(connection, opened.name)
            if opened.engine.dialect.name == "sqlite":
                _empty_log(opened.engine)
    except BaseException:
        opened.close()
        raise
    return opened


def _empty_log(engine: Engine) -> None:
    """Moves the content of the log into the file, unless the disk is full."""
    with (
        closing(engine.raw_connection()) as connection,
        suppress(sqlite3.OperationalError),  # it stays in the log
    ):
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
