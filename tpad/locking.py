"""One run at a time on a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
        lock.write_text(f"{os.getpid()}\n", "ascii")
        yield
    finally:
        held.release()


def _read(lock: Path) -> str:
    try:
        return lock.read_text("ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"
