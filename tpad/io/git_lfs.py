"""Recognises pointers of Git LFS, which stand in for large files that were not downloaded."""

from pathlib import Path

from tpad.errors import DataError, TpadError

POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, error: type[TpadError] = DataError) -> None:
    """Raise an error if a file is a pointer; do nothing if it cannot be read.

    Args:
        path: the file.
        error: class of the error.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(POINTER))
    except OSError:
        return
    if head == POINTER:
        raise error(
            f"{path.name} is a Git LFS pointer, not the data itself; fetch the data with "
            "`git lfs pull`, or download the file from its web page."
        )
