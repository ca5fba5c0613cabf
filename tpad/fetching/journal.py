"""What became of each address, kept in the folder so that a killed run goes on where it was."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tpad.errors import ConfigError, DataError
from tpad.fetching.config import FetchConfig
from tpad.fetching.outcomes import Kind, Outcome

JOURNAL = "images.sqlite"
_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (
    url TEXT PRIMARY KEY, kind TEXT, picture TEXT, reason TEXT, detail TEXT, status INTEGER,
    attempts INTEGER
) WITHOUT ROWID;
"""


class Journal:
    """The outcomes of one folder, on disk; each is kept as soon as it is known.

    Args:
        folder: with or without a journal.
        config: how its pictures are made; must be as before.

    Raises:
        ConfigError: the folder's pictures are of another size or format.
        DataError: the journal cannot be read or written.
    """

    def __init__(self, folder: Path, config: FetchConfig) -> None:
        self._path = folder / JOURNAL
        with self._speaking():
            # Used by one thread at a time, but in a notebook by another than the one that opens it.
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                self._db.close()
                raise DataError(
                    f"{self._path} is of version {version}, not {_VERSION}; use another folder."
                )
            # A system that crashes may lose the last outcomes, which are then fetched again.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(f"{_TABLES} PRAGMA user_version = {_VERSION};")
            try:
                self._agree(config)
            except ConfigError:
                self._db.close()
                raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def get(self, url: str) -> Outcome | None:
        """What became of an address; None if nothing did yet."""
        with self._speaking():
            row = self._db.execute(
                "SELECT kind, picture, reason, detail, status, attempts FROM outcomes "
                "WHERE url = ?",
                (url,),
            ).fetchone()
        return None if row is None else Outcome(url, Kind(row[0]), *row[1:])

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Keep outcomes, in place of earlier ones of the same addresses."""
        rows = [
            (o.url, o.kind.value, o.picture, o.reason, o.detail, o.status, o.attempts)
            for o in outcomes
        ]
        if not rows:
            return
        with self._speaking():
            self._db.execute("BEGIN")
            self._db.executemany("REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def _agree(self, config: FetchConfig) -> None:
        kept = dict(self._db.execute("SELECT name, value FROM settings"))
        wanted = {"size": str(config.size), "format": config.format}
        if kept and kept != wanted:
            raise ConfigError(
                f"{self._path.parent} holds pictures made with --size {kept['size']} --format "
                f"{kept['format']}; give these, or another folder."
            )
        self._db.executemany("REPLACE INTO settings VALUES (?, ?)", wanted.items())

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Errors of the database as a sentence."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self._path} cannot be used ({error}); if the disk is not full, remove the file: "
                "what it knows is then fetched again."
            ) from error
