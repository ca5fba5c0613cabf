"""Locks a folder, so that only one run at a time writes to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tpad.errors import ConfigError

LOCK = ".lock"
"""Lock file in the folder; it contains the id of the process that writes to it."""


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Lock a folder against other runs. The system releases the lock of a process that died.

    Raises:
        ConfigError: another run uses the folder.
    """
    lock = folder / LOCK
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"Another run writes to {folder} (process {_read(lock)}); wait until it ends, stop it, or "
            "choose another folder."
        ) from None
    try:
        _write(lock, f"{os.getpid()}\n")
        yield
    finally:
        _write(lock, "")  # so that equal runs leave equal folders
        held.release()


def _write(lock: Path, process: str) -> None:
    with suppress(OSError):  # disk full: the lock still works, and the process is "unknown"
        lock.write_text(process, "ascii")


def _read(lock: Path) -> str:
    try:
        return lock.read_text("ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"
