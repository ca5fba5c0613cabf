"""Database errors as sentences that say what to do."""

import sqlite3

from sqlalchemy.exc import DBAPIError


def _codes(error: DBAPIError) -> tuple[int, str]:
    """SQLite's primary error code, or the SQLSTATE of a server."""
    code = getattr(error.orig, "sqlite_errorcode", None) or 0
    return code & 0xFF, getattr(error.orig, "sqlstate", None) or ""


def is_unwritable(error: DBAPIError) -> bool:
    """Whether a SQLite file or its folder is not writable."""
    return _codes(error)[0] in (
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    )


def describe(error: DBAPIError, wait: float) -> str:
    """Why a database failed, as half a sentence without a full stop.

    Args:
        error: as SQLAlchemy raised it.
        wait: seconds spent waiting for a lock.
    """
    code, state = _codes(error)
    message = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
    if code == sqlite3.SQLITE_FULL or state == "53100":
        return f"the disk is full ({message}); make room and start again"
    if code == sqlite3.SQLITE_IOERR:
        return f"the disk failed or is full ({message}); make room and start again"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or state in ("55P03", "40P01"):
        return f"another program kept it locked for {wait:g} s ({message}); end it and start again"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"the file is damaged or not a database ({message}); restore it from a copy"
    if is_unwritable(error):
        return f"the file or its folder is not writable ({message})"
    if error.connection_invalidated or state[:2] in ("08", "57"):
        return f"the connection to the server was lost ({message}); start again"
    return message
