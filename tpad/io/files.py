"""Files and folders that appear whole or not at all."""

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
_LOCK, _NEW, _OLD = "lock", "new", "old"  # what lies in a part folder
_PART = re.compile(r"\.(?P<name>.+)\.part-[a-z0-9_]+")
_swept: set[Path] = set()  # folders whose leftovers this process has removed


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write a file to; it takes the place of `path` if no error occurs.

    What a killed process left half-written in the folder is removed, once per process.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent.absolute()
    if folder not in _swept:
        _swept.add(folder)
        remove_leftovers(folder)
    with _part_folder(path) as part:
        written = part / path.name
        yield written
        _let_others_read(written)
        os.replace(written, path)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder beside `path` to write to; it replaces `path` if no error occurs.

    A folder that is there is exchanged in one step where the system can do so (Linux, macOS).
    Elsewhere, a kill between the two renames is undone by `remove_leftovers`, which is called here
    first.
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with _part_folder(path) as part:
        new = part / _NEW
        new.mkdir()
        yield new
        _let_others_read(new)
        if path.is_dir():
            if _exchange(new, path):
                return  # the old one now lies in the part folder
            os.replace(path, part / _OLD)
        os.replace(new, path)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes what killed processes left half-written; what a living process writes is kept.

    A folder that was moved aside and not yet replaced is put back.

    Args:
        folder: to look in.
        name: of the one file or folder whose leftovers are removed; None for all.
    """
    with suppress(OSError):  # a folder that cannot be read or written: nothing is left here by us
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
    except (Timeout, OSError, NotImplementedError):  # in use, or nobody can tell
        return
    try:
        if (part / _OLD).is_dir() and not path.exists():
            os.replace(part / _OLD, path)
        shutil.rmtree(part, ignore_errors=True)
    finally:
        held.release()


@contextmanager
def _part_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that goes away; its lock tells that its process is alive."""
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.part-", dir=path.parent))
    held = FileLock(part / _LOCK)
    try:
        with suppress(OSError, NotImplementedError):  # a file system without locks
            held.acquire()
        yield part
    finally:
        held.release()
        shutil.rmtree(part, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two paths in one step; False where the system or the file system cannot."""
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


def _let_others_read(path: Path) -> None:
    """mkdtemp makes a folder private, and safetensors a file: a server may run as somebody else."""
    for found in [path, *path.rglob("*")]:
        if not found.is_symlink():
            found.chmod(0o755 if found.is_dir() else 0o644)


def sha256(path: Path) -> str:
    """The file's digest in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
