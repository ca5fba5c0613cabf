"""The file that a SQLite database is in: how its changes are logged, and whether it is still there.

SQLite's write-ahead log (WAL) needs shared memory between the processes that have the file open. Local
file systems have it; those of networks, clusters and virtual machines may not, or only seem to. There,
and wherever it is not known, a rollback journal (DELETE) does it: readers and a writer then wait for
each other.
"""

import os
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

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
    """ "WAL" for a file on a file system that is known to be local, else "DELETE"."""
    try:
        lines = MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "DELETE"
    mounts = {}  # the last mount on a place is the one that is seen
    for fields in map(str.split, lines):
        if len(fields) > 2:
            mounts[re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[1])] = fields[2]
    place = path.resolve()
    kind = next((mounts[str(p)] for p in (place, *place.parents) if str(p) in mounts), "")
    return "WAL" if kind in LOCAL else "DELETE"


def set_journal(connection: sqlite3.Connection, mode: str) -> None:
    """Sets how changes are logged; a rollback journal where a WAL cannot be kept.

    Where another process is using the file, its mode stays: it is the file's, not the connection's.
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
class Place:
    """A file by its name and by what the name led to when it was opened.

    Attributes:
        path: the name.
        identity: (device, inode).
        has_log: whether a WAL lay beside it.
    """

    path: Path
    identity: tuple[int, int]
    has_log: bool

    @classmethod
    def of(cls, path: Path) -> "Place":
        """The place of a file that is open already.

        Raises:
            DataError: it is gone.
        """
        path = path.absolute()
        try:
            return cls(path, _identity(path), _log(path).exists())
        except OSError as error:
            raise DataError(f"{path} was deleted while it was opened; start again.") from error

    def lost(self) -> str | None:
        """What happened to the file, as the beginning of a sentence; None if it is in its place."""
        try:
            if _identity(self.path) != self.identity:
                return f"{self.path} was replaced"
        except FileNotFoundError:
            return f"{self.path} was deleted"
        except OSError as error:
            return f"{self.path} could no longer be reached ({error.strerror})"
        if self.has_log and not _log(self.path).exists():
            return f"{_log(self.path)}, which holds the latest changes, was deleted"
        return None


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
