"""Opens a results database: SQLite in a file, on a read-only disk or in memory, or a server's.

SQLite keeps a write-ahead log (WAL) beside the file where that is safe, see
`eval.database.file_systems`, so that readers and a writer do not wait for each other.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from eval.database.errors import is_unwritable, reason
from eval.database.file_systems import Place, journal_mode, set_journal
from eval.database.integrity import telling_damage
from eval.database.revision import stored_version, upgrade
from eval.database.schema import SCHEMA_VERSION
from tpad import DataError
from tpad.environment import variable

WAIT_SECONDS = 30.0  # for another writer
DEFAULT_TARGET = "results.db"
URL_VARIABLE = "TPAD_DATABASE_URL"
DRIVERS = {"psycopg": "psycopg[binary]==3.3.9"}
WRITES = "writes"  # execution option of an engine whose transactions write


def default_target() -> str:
    """The database where none is named: `TPAD_DATABASE_URL`, else `results.db` in this folder."""
    return variable(URL_VARIABLE, DEFAULT_TARGET)


@dataclass(frozen=True)
class Opened:
    """An open database of the present version.

    Attributes:
        engine: for transactions that read.
        name: of the database, without a password, for messages.
        read_only: whether it can only be read.
        keeper: what keeps a database in memory alive.
        place: the file that was opened; None in memory and on a server.
    """

    engine: Engine
    name: str
    read_only: bool = False
    keeper: sqlite3.Connection | None = None
    place: Place | None = None

    def check_in_place(self, stored: bool = False) -> None:
        """Checks that the name still leads to the file that was opened.

        SQLite goes on with a file that was deleted or replaced, and what it writes is lost.

        Args:
            stored: something was just written.

        Raises:
            DataError: it was deleted or replaced, or its log was deleted.
        """
        lost = None if self.place is None else self.place.lost()
        if lost is not None:
            kept = "What was just given is not in it" if stored else "Nothing was read or stored"
            raise DataError(f"{lost} after it was opened. {kept}; start again.")

    @property
    def writing(self) -> Engine:
        """For transactions that write; SQLite's take the write lock at once, as a transaction that
        has read cannot wait for it later."""
        return self.engine.execution_options(**{WRITES: True})

    def close(self) -> None:
        """Gives the file or the server's connections back."""
        self.engine.dispose()
        if self.keeper is not None:
            self.keeper.close()


def open_database(
    target: str | Path, *, read_only: bool = False, wait: float = WAIT_SECONDS
) -> Opened:
    """Opens a database, makes its tables where there are none, and upgrades older ones.

    An older database that may not be written is upgraded as a copy in memory.

    Args:
        target: path of a SQLite file, or a SQLAlchemy URL (`sqlite://` is in memory).
        read_only: change nothing, and make nothing where nothing is.
        wait: seconds to wait for another writer.

    Raises:
        DataError: it cannot be opened, is no such database, or is of a newer version.
    """
    url = _url(str(target))
    name = str(target) if url is None else url.render_as_string(hide_password=True)
    if url is None or (url.get_backend_name() == "sqlite" and not url.query):
        database = str(target) if url is None else (url.database or ":memory:")
        opening = _Sqlite(database, name, wait)
        action: Callable[[], Opened] = lambda: opening.open(read_only)  # noqa: E731
    else:
        action = lambda: _open_server(url, name, read_only, wait)  # noqa: E731
    try:
        with telling_damage(name):
            return action()
    except DBAPIError as error:
        raise DataError(
            f"{name} cannot be opened as a results database: {reason(error, wait)}."
        ) from error


def _url(target: str) -> URL | None:
    """None for a path."""
    if "://" not in target:
        return None
    try:
        url = make_url(target)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # ValueError: of a port
        kind = target.split("://", 1)[0]
        raise DataError(
            f"{kind}://… is no database URL that can be read; it should look like "
            "sqlite:///results.db or postgresql://user:password@host/database."
        ) from error
    return url


def _open_server(url: URL, name: str, read_only: bool, wait: float) -> Opened:
    try:
        engine = create_engine(url, pool_pre_ping=True)  # a training outlives many a connection
    except ModuleNotFoundError as error:
        driver = DRIVERS.get(error.name or "", error.name)
        raise DataError(f'{name} needs a driver; install it by pip install "{driver}".') from error
    _watch_transactions(engine, wait)
    try:
        version = _version(engine, name)
        if read_only and version == 0:
            raise DataError(f"{name} is empty: it is no results database.")
        if read_only and version != SCHEMA_VERSION:
            raise DataError(
                f"{name} has schema version {version} and may only be read, this package reads "
                f"{SCHEMA_VERSION}; open it once for writing, which upgrades it."
            )
        opened = Opened(engine, name, read_only)
        _upgrade(opened, version)
    except BaseException:
        engine.dispose()
        raise
    return opened


@dataclass(frozen=True)
class _Sqlite:
    """A SQLite database to be opened."""

    database: str
    name: str
    wait: float

    def open(self, read_only: bool) -> Opened:
        if self.database == ":memory:":
            return self._in_memory(None)
        path = Path(self.database)
        if path.is_dir() or not path.parent.is_dir():
            raise DataError(
                f"{path} cannot be a database: name a file in a folder that exists, "
                f"or a URL such as postgresql://user:password@host/database."
            )
        if read_only and not path.exists():
            raise DataError(f"There is no database {path}; `python -m eval` makes one.")
        if not read_only and not (path.exists() and not os.access(path, os.W_OK)):
            try:
                return self._to_write(path)
            except OperationalError as error:
                if not is_unwritable(error):
                    raise
                if not path.exists():
                    raise DataError(f"{path} cannot be written; name another database.") from error
        return self._to_read(path)

    def _to_write(self, path: Path) -> Opened:
        is_new = not path.exists()
        engine = self._engine(str(path), journal_mode(path))
        try:
            version = _version(engine, self.name)
            opened = Opened(engine, self.name, place=Place.of(path))
            _upgrade(opened, version)
        except BaseException:
            engine.dispose()
            if is_new and path.exists() and path.stat().st_size == 0:
                path.unlink()  # such as on a full disk
            raise
        return opened

    def _to_read(self, path: Path) -> Opened:
        quoted = f"file:{quote(path.resolve().as_posix())}"
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            mode = "rw"  # others may be writing: take part in their log, but write nothing
        else:
            log = path.with_name(path.name + "-wal")
            # `immutable` needs no files beside it, but would pass over what is in the log.
            mode = "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"
        uri = f"{quoted}?mode={mode}"
        engine = self._engine(uri, query_only=True)
        try:
            version = _version(engine, self.name)
            if version == 0:
                raise DataError(f"{self.name} is empty: it is no results database.")
        except BaseException:
            engine.dispose()
            raise
        if version == SCHEMA_VERSION:
            return Opened(engine, self.name, read_only=True, place=Place.of(path))
        engine.dispose()
        return self._in_memory(uri)

    def _in_memory(self, source: str | None) -> Opened:
        """A database in memory, empty or an upgraded copy of a file."""
        uri = f"file:{uuid4().hex}?mode=memory&cache=shared"
        keeper = sqlite3.connect(uri, uri=True, check_same_thread=False)
        if source is not None:
            with closing(sqlite3.connect(source, uri=True, timeout=self.wait)) as connection:
                connection.backup(keeper)
        opened = Opened(self._engine(uri), self.name, source is not None, keeper)
        try:
            _upgrade(opened, _version(opened.engine, self.name), even_read_only=True)
        except BaseException:
            opened.close()
            raise
        return opened

    def _engine(
        self, database: str, journal: str | None = None, *, query_only: bool = False
    ) -> Engine:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                database,
                timeout=self.wait,
                uri=database.startswith("file:"),
                check_same_thread=False,  # the pool hands a connection to one thread at a time
                isolation_level=None,  # transactions begin where SQLAlchemy begins them
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
        _watch_transactions(engine, self.wait)
        return engine


def _watch_transactions(engine: Engine, wait: float) -> None:
    """Begins transactions as each kind of database needs it."""

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            writes = connection.get_execution_options().get(WRITES)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        elif connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, int(1000 * wait))}")


def _version(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        return stored_version(connection, name)


def _upgrade(opened: Opened, version: int, even_read_only: bool = False) -> None:
    if version == SCHEMA_VERSION or (opened.read_only and not even_read_only):
        return
    with opened.writing.begin() as connection:
        upgrade(connection, opened.name)
