"""Results of all addresses, stored in the folder so that a killed run can be resumed."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tpad.errors import ConfigError, DataError
from tpad.fetching.config import FetchConfig
from tpad.fetching.results import FetchResult, Kind

JOURNAL = "images.sqlite"
_VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (
    url TEXT PRIMARY KEY, kind TEXT, picture TEXT, reason TEXT, detail TEXT, status INTEGER,
    attempts INTEGER
) WITHOUT ROWID;
"""


class Journal:
    """The results of one folder, on disk; each is stored as soon as it is known.

    Args:
        folder: with or without a journal.
        config: size and format of the pictures; must be the same as before.

    Raises:
        ConfigError: the pictures of the folder have another size or format.
        DataError: the journal cannot be read or written.
    """

    def __init__(self, folder: Path, config: FetchConfig) -> None:
        self._path = folder / JOURNAL
        with self._errors():
            # Used by one thread at a time; in a notebook, not by the thread that opens it.
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                self._db.close()
                raise DataError(
                    f"{self._path} has the version {version}, not {_VERSION}; use another folder."
                )
            # A system crash may lose the last results; these pictures are downloaded again.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(f"{_TABLES} PRAGMA user_version = {_VERSION};")
            try:
                self._check_same(config)
            except ConfigError:
                self._db.close()
                raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def get(self, url: str) -> FetchResult | None:
        """The result of an address; None if there is none yet."""
        with self._errors():
            row = self._db.execute(
                "SELECT kind, picture, reason, detail, status, attempts FROM results WHERE url = ?",
                (url,),
            ).fetchone()
        return None if row is None else FetchResult(url, Kind(row[0]), *row[1:])

    def put(self, results: Iterable[FetchResult]) -> None:
        """Store results, and replace earlier ones of the same addresses."""
        rows = [
            (r.url, r.kind.value, r.picture, r.reason, r.detail, r.status, r.attempts)
            for r in results
        ]
        if not rows:
            return
        with self._errors():
            self._db.execute("BEGIN")
            self._db.executemany("REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def _check_same(self, config: FetchConfig) -> None:
        stored = dict(self._db.execute("SELECT name, value FROM settings"))
        wanted = {"size": str(config.size), "format": config.format}
        if stored and stored != wanted:
            raise ConfigError(
                f"{self._path.parent} holds pictures of --size {stored['size']} --format "
                f"{stored['format']}; give the same settings, or another folder."
            )
        self._db.executemany("REPLACE INTO settings VALUES (?, ?)", wanted.items())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the database into a `DataError`."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self._path} cannot be used ({error}); if the disk is not full, remove the file: "
                "all pictures are then downloaded again."
            ) from error
