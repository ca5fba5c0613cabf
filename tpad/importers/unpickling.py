"""Loads pickles that contain only lists, tuples, numbers and strings.

A pickle is a program. Before it runs, every instruction is checked, and only those that build these
four kinds of values are allowed; the unpickler then refuses names and references once more. The allowed
instructions can neither import nor call anything, nor reserve more memory than the size of the file
justifies.
"""

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from tpad.errors import DataError, one_line
from tpad.importers.source import plain_file

ALLOWED = frozenset(
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
_PLACES = (
    "PUT",
    "BINPUT",
    "LONG_BINPUT",
)  # the unpickler allocates a table up to the highest place


class _PlainUnpickler(pickle.Unpickler):
    """The second check: no classes, functions or external objects."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside of it")


def load_plain_pickle(path: Path) -> Any:
    """Load a pickle of lists, tuples, numbers and strings, completely into memory.

    Raises:
        DataError: it is damaged or contains anything else; then nothing of it was run.
    """
    with plain_file(path).open("rb") as file:
        _check(file, path)
        file.seek(0)
        try:
            return _PlainUnpickler(file).load()
        except Exception as error:  # damaged data raises nearly anything
            raise DataError(
                f"{path.name} is a damaged pickle ({error}); download it again."
            ) from error


def _check(file: BinaryIO, path: Path) -> None:
    size = path.stat().st_size
    with tqdm(
        desc=f"checking {path.name}", total=size, unit="B", unit_scale=True, delay=0.5
    ) as bar:
        try:
            for count, (code, argument, place) in enumerate(pickletools.genops(file)):
                if code.name not in ALLOWED:
                    if place == 0:
                        _refuse_text(path)
                    raise DataError(
                        f"{path.name} holds more than lists, tuples, numbers and strings (the "
                        f"instruction {code.name} at byte {place:,}); it was not run: save it "
                        "again as plain lists."
                    )
                if code.name in _PLACES and int(argument or 0) > size:
                    raise DataError(
                        f"{path.name} is a damaged pickle (byte {place:,}); download it again."
                    )
                if count % 65_536 == 0:
                    bar.update((place or 0) - bar.n)
        except (ValueError, IndexError, MemoryError, OverflowError) as error:
            _refuse_text(path)
            raise DataError(
                f"{path.name} is not a pickle, or a damaged one ({one_line(error)}); give a pickle of "
                "plain lists."
            ) from error


def _refuse_text(path: Path) -> None:
    """Raise a `DataError` if the file is plain text. Pickles of protocol 0 are text that ends with a dot."""
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
