"""The file of a SQLite database: which journal mode is safe, and whether the file is still in its place.

SQLite's write-ahead log (WAL) needs shared memory between the processes that have the file open. Local
file systems provide it; those of networks, clusters and virtual machines may not, or may only seem to.
On these, and on unknown file systems, a rollback journal (DELETE) is used: readers and a writer then
wait for each other.
"""

import os
import re
import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tpad.errors import DataError

LOCAL = {
    "bcachefs",
    "btrfs",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "jfs",
    "overlay",
    "ramfs",
    "reiserfs",
    "tmpfs",
    "xfs",
    "zfs",
}
MOUNTS = Path("/proc/self/mounts")


def journal_mode(path: Path) -> str:
    """ "WAL" for a file on a known local file system, else "DELETE"."""
    try:
        lines = MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "DELETE"
    mounts = {}  # of several mounts on one folder, the last is visible
    for fields in map(str.split, lines):
        if len(fields) > 2:
            mounts[re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[1])] = fields[2]
    real = path.resolve()
    kind = next((mounts[str(p)] for p in (real, *real.parents) if str(p) in mounts), "")
    return "WAL" if kind in LOCAL else "DELETE"


def set_journal(connection: sqlite3.Connection, mode: str) -> None:
    """Sets the journal mode; a rollback journal if a WAL is not possible.

    If another process is using the file, its mode is kept: the mode belongs to the file, not to the
    connection.
    """
    try:
        connection.execute(f"PRAGMA journal_mode={mode}")
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_BUSY:
            return
        if mode != "WAL" or code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise
        set_journal(connection, "DELETE")


@dataclass(frozen=True)
class FileIdentity:
    """A path, and the file that it led to when the database was opened.

    Attributes:
        path: absolute.
        identity: (device, inode).
        has_log: whether there was a WAL beside it.
        number: the file's own, see `numbering`; 0 if it has none.
    """

    path: Path
    identity: tuple[int, int]
    has_log: bool
    number: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """The identity of a file that is already open.

        Raises:
            DataError: it was deleted.
        """
        path = path.absolute()
        try:
            identity, has_log = _identity(path), _log(path).exists()
        except OSError as error:
            raise DataError(
                f"{path} was deleted while it was being opened; start again."
            ) from error
        try:
            return cls(path, identity, has_log, _number(path))
        except sqlite3.DatabaseError:
            return cls(path, identity, has_log, 0)

    def change(self) -> str | None:
        """What happened to the file, as the start of a sentence; None if it is still the same."""
        try:
            if _identity(self.path) != self.identity:
                return f"{self.path} was replaced"
        except FileNotFoundError:
            return f"{self.path} was deleted"
        except OSError as error:
            return f"{self.path} could no longer be reached ({error.strerror})"
        if self.has_log and not _log(self.path).exists():
            return f"{_log(self.path)}, which holds the latest changes, was deleted"
        return f"{self.path} was overwritten" if self._is_overwritten() else None

    def _is_overwritten(self) -> bool:
        try:
            return _number(self.path) != self.number != 0
        except sqlite3.DatabaseError as error:
            # A file whose log could only be moved into it in part is "malformed", but the same.
            return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_NOTADB


def numbering() -> str:
    """A statement that gives a SQLite database a random number.

    By this number it is noticed if another database is copied over an open one.
    """
    return f"PRAGMA user_version={1 + secrets.randbelow(2**31 - 1)}"


def _number(path: Path) -> int:
    """The number in the file itself, whatever its log says."""
    # By SQLite: if this process closed a file of its own, SQLite would lose its locks on the file.
    address = f"file:{quote(path.as_posix())}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
