"""Reading pickles of lists, tuples, numbers and strings, and of nothing else.

A pickle is a program. Before it runs, every instruction is looked at, and all but those that build
these four kinds of values are refused; the reader that then runs it refuses names and references
once more. What is admitted can neither import nor call anything, nor make a reader reserve more
memory than the file's own size justifies.
"""

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from tpad.errors import DataError
from tpad.importers.source import plain_file

ADMITTED = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "EMPTY_LIST",
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "NEWTRUE",
        "NEWFALSE",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "MEMOIZE",
        "GET",
        "BINGET",
        "LONG_BINGET",
    ]
)
_PLACES = ("PUT", "BINPUT", "LONG_BINPUT")  # a reader makes a table as long as the highest of these


class _PlainUnpickler(pickle.Unpickler):
    """The second fence: no class, no function, no outside object."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside of it")


def load_plain_pickle(path: Path) -> Any:
    """Reads a pickle of lists, tuples, numbers and strings; it is held in memory whole.

    Raises:
        DataError: it is damaged, or holds anything else, in which case nothing of it has run.
    """
    with plain_file(path).open("rb") as file:
        _check(file, path)
        file.seek(0)
        try:
            return _PlainUnpickler(file).load()
        except Exception as error:  # damaged data raises nearly anything
            raise DataError(f"{path.name} is a damaged pickle ({error}); get it again.") from error


def _check(file: BinaryIO, path: Path) -> None:
    size = path.stat().st_size
    with tqdm(
        desc=f"checking {path.name}", total=size, unit="B", unit_scale=True, delay=0.5
    ) as bar:
        try:
            for count, (code, argument, place) in enumerate(pickletools.genops(file)):
                if code.name not in ADMITTED:
                    if place == 0:
                        _refuse_text(path)
                    raise DataError(
                        f"{path.name} holds more than lists, tuples, numbers and strings (the "
                        f"instruction {code.name} at byte {place:,}); it was not run: save it "
                        "again as plain lists."
                    )
                if code.name in _PLACES and int(argument or 0) > size:
                    raise DataError(
                        f"{path.name} is a damaged pickle (byte {place:,}); get it again."
                    )
                if count % 65_536 == 0:
                    bar.update((place or 0) - bar.n)
        except (ValueError, IndexError, MemoryError, OverflowError) as error:
            _refuse_text(path)
            told = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
            raise DataError(f"{path.name} is no pickle, or a damaged one ({told}).") from error


def _refuse_text(path: Path) -> None:
    """Raises a `DataError` if the file is plain text. Old pickles are text that ends with a dot."""
    with path.open("rb") as file:
        head = file.read(1000)
        file.seek(-1, os.SEEK_END)
        ends_with_dot = file.read() == b"."
    text = head.decode("utf-8", "ignore")
    printable = all(character.isprintable() or character.isspace() for character in text)
    if printable and len(text.encode()) > len(head) - 4 and not ends_with_dot:
        first = " ".join(text.split())[:40]
        raise DataError(
            f"{path.name} is plain text, not a pickle (it begins with '{first}'); give the pickle, "
            "or choose the format that fits the text."
        )
