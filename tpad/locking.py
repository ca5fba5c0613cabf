"""One run at a time on a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tpad.errors import ConfigError


@contextmanager
def only_run(lock: Path) -> Iterator[None]:
    """Keeps other runs off the folder that a lock file lies in. The system frees the lock of a process
    that died.

    Raises:
        ConfigError: another run uses the folder.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"Another run writes to {lock.parent} (process {_read(lock)}); wait for its end, stop it, "
            "or choose another folder."
        ) from None
    try:
        _name(lock, f"{os.getpid()}\n")
        yield
    finally:
        _name(lock, "")  # what a finished run leaves does not depend on who made it
        held.release()


def _name(lock: Path, process: str) -> None:
    with suppress(OSError):  # a full disk: the lock holds all the same, and "unknown" is read
        lock.write_text(process, "ascii")


def _read(lock: Path) -> str:
    try:
        return lock.read_text("ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"
