"""A copy of the demo's results database, so that verdicts never change a file of the checkout."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from eval.database.file_systems import numbering
from eval.database.store import Store
from tpad.io.files import replacing

COLUMNS = 'run_id, "case", verdict, note, who, time'


def working_copy(shipped: Path, copy: Path) -> Path:
    """The database to open instead of the shipped one.

    The copy is replaced when it lacks runs of the shipped database, as after an update; verdicts on
    runs that still exist are kept.

    Args:
        shipped: SQLite file, which is only read.
        copy: path of the copy.

    Returns:
        `copy`, or `shipped` if nothing can be written.

    Raises:
        DataError: the copy cannot be read, or has another version.
    """
    if not os.access(copy.parent, os.W_OK):
        return shipped
    if copy.exists():
        Store(copy).close()  # refuses a damaged one, or another version
        if _run_ids(shipped) <= _run_ids(copy):
            return copy
    with replacing(copy) as part:
        with closing(_reading(shipped)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        Store(part).close()
        if copy.exists():
            _move_verdicts(copy, part)
        with closing(sqlite3.connect(part)) as whole:  # nothing may remain in a write-ahead log
            whole.execute("PRAGMA journal_mode=DELETE")
            whole.execute(numbering())
    return copy


def _move_verdicts(old: Path, new: Path) -> None:
    with closing(sqlite3.connect(old)) as source:
        verdicts = source.execute(f"SELECT {COLUMNS} FROM verdict ORDER BY id").fetchall()
        source.execute("PRAGMA journal_mode=DELETE")  # removes its write-ahead log
    known = _run_ids(new)
    with closing(sqlite3.connect(new)) as target, target:
        target.executemany(
            f"INSERT INTO verdict ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            [row for row in verdicts if row[0] in known],
        )


def _run_ids(path: Path) -> set[str]:
    with closing(_reading(path)) as database:
        return {run for (run,) in database.execute("SELECT id FROM run WHERE status = 'done'")}


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path.resolve().as_posix()}?mode=ro", uri=True)
