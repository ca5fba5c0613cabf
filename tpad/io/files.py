"""Writes files and folders atomically: they appear complete or not at all."""

import ctypes
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

CHUNK = 1 << 20  # bytes read at once
_LOCK, _NEW, _OLD = "lock", "new", "old"  # content of a temporary folder
_PART = re.compile(r"\.(?P<name>.+)\.part-[a-z0-9_]+")
_cleaned: set[Path] = set()  # folders whose leftovers this process has removed


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path to write a file to; it replaces `path` if no error occurs.

    Incomplete files of killed processes in the folder are removed, once per process.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent.absolute()
    if folder not in _cleaned:
        _cleaned.add(folder)
        remove_leftovers(folder)
    with _part_folder(path) as part:
        written = part / path.name
        yield written
        _make_readable(written)
        os.replace(written, path)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """An empty temporary folder to write to; it replaces `path` if no error occurs.

    An existing folder is exchanged atomically if the system supports it (Linux, macOS). Otherwise it
    takes two renames, and `remove_leftovers`, which is called first, repairs a kill between them.
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with _part_folder(path) as part:
        new = part / _NEW
        new.mkdir()
        yield new
        _make_readable(new)
        if path.is_dir():
            if _exchange(new, path):
                return  # the old folder is now in the temporary one
            os.replace(path, part / _OLD)
        os.replace(new, path)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove incomplete files and folders of killed processes, but not those of running ones.

    A folder that was renamed and not yet replaced is restored.

    Args:
        folder: the folder to clean.
        name: remove only the leftovers of this file or folder; None for all.
    """
    with suppress(OSError):  # a folder that cannot be read or written has no leftovers of ours
        for found in sorted(folder.iterdir()):
            match = _PART.fullmatch(found.name)
            if match is None or not found.is_dir() or name not in (None, match["name"]):
                continue
            if name is not None or (found / _LOCK).exists():
                _remove_leftover(found, folder / match["name"])


def _remove_leftover(part: Path, path: Path) -> None:
    held = FileLock(part / _LOCK)
    try:
        held.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):  # in use, or locks are not supported
        return
    try:
        if (part / _OLD).is_dir() and not path.exists():
            os.replace(part / _OLD, path)
        shutil.rmtree(part, ignore_errors=True)
    finally:
        held.release()


@contextmanager
def _part_folder(path: Path) -> Iterator[Path]:
    """A hidden temporary folder beside `path`; its lock shows that the process is running."""
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.part-", dir=path.parent))
    held = FileLock(part / _LOCK)
    try:
        with suppress(OSError, NotImplementedError):  # the file system has no locks
            held.acquire()
        yield part
    finally:
        held.release()
        shutil.rmtree(part, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically; False if the system or file system does not support it."""
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            return library.renamex_np(first, second, 2) == 0  # RENAME_SWAP
        here = -100  # AT_FDCWD
        return library.renameat2(here, first, here, second, 2) == 0  # RENAME_EXCHANGE
    except AttributeError:  # an older C library
        return False


def _make_readable(path: Path) -> None:
    """Set the usual permissions: mkdtemp and safetensors make folders and files private."""
    for found in [path, *path.rglob("*")]:
        if not found.is_symlink():
            found.chmod(0o755 if found.is_dir() else 0o644)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
