"""One run at a time on a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tpad.errors import ConfigError

LOCK = ".lock"
"""File of a folder that runs write to; it names the process of the one that does so now."""


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keeps other runs off a folder. The system frees the lock of a process that died.

    Raises:
        ConfigError: another run uses the folder.
    """
    lock = folder / LOCK
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"Another run writes to {folder} (process {_read(lock)}); wait for its end, stop it, or "
            "choose another folder."
        ) from None
    try:
        _write(lock, f"{os.getpid()}\n")
        yield
    finally:
        _write(lock, "")  # what a finished run leaves does not depend on who made it
        held.release()


def _write(lock: Path, process: str) -> None:
    with suppress(OSError):  # a full disk: the lock holds all the same, and "unknown" is read
        lock.write_text(process, "ascii")


def _read(lock: Path) -> str:
    try:
        return lock.read_text("ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"
