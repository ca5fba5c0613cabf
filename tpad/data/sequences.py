"""Reads sequences of users from a text file: one line per user, `user item item …`, in time order.

Published leave-one-out datasets have this form, for instance the Amazon data of S3-Rec.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.csv_table import BLOCK, CheckedText
from tpad.data.ids import to_ids
from tpad.data.report import ReportBuilder
from tpad.errors import DataError, shown

_LOOKED_AT = 1 << 16  # bytes
_SEPARATORS = b",;\t"


def is_sequence_file(path: Path) -> bool:
    """Whether the first line has no separator of a table, and there are spaces between words."""
    with path.open("rb") as file:
        lines = file.read(_LOOKED_AT).replace(b"\r", b"\n").split(b"\n")
    words = [line for line in map(bytes.strip, lines) if line]
    is_table = bool(words) and any(mark in words[0] for mark in _SEPARATORS)
    return not is_table and any(b" " in line for line in words)


def read_sequences(path: Path, report: ReportBuilder) -> pd.DataFrame:
    """Read a file of sequences.

    Args:
        path: UTF-8 text; words are separated by spaces, and blank lines are skipped.
        report: counts users without items and lines that repeat a user; these lines are skipped.

    Returns:
        user_id, item_id (text) and timestamp, one row per click, indexed by the number of the line
        (blank lines do not count). The file has no times: the timestamp numbers all clicks from 0.

    Raises:
        DataError: the file is not UTF-8 text, a line is too long, or no user has an item.
    """
    number_of: dict[str, int] = {}  # of each distinct word that names an item
    users, numbers = list[str](), list[np.ndarray]()
    for words in _lines(path):
        users.append(words[0])
        codes = [number_of.setdefault(word, len(number_of)) for word in words[1:]]
        numbers.append(np.array(codes, dtype=np.int64))
    rows = pd.RangeIndex(1, len(users) + 1)
    names = to_ids(pd.Series(users, index=rows, name=Columns.USER_ID, dtype="str"), path.name)
    lengths = np.fromiter(map(len, numbers), np.int64, len(numbers))
    empty = lengths == 0
    repeated = names.duplicated().to_numpy(bool) & ~empty
    for reason, action, bad in (
        ("user without items", "the line is skipped", empty),
        ("user with a second line", "the first line is kept", repeated),
    ):
        examples = (f"{path.name} row {i + 1} ('{shown(users[i])}')" for i in np.flatnonzero(bad))
        report.error(reason, action, examples, int(bad.sum()))
    kept = ~empty & ~repeated
    if not kept.any():
        raise DataError(
            f"{path.name} has no user with items; write a user and the items in each line, "
            "separated by spaces."
        )
    words_of_items = np.array(list(number_of), dtype=object)
    clicked = np.concatenate([one for one, keep in zip(numbers, kept, strict=True) if keep])
    owner = np.repeat(np.flatnonzero(kept), lengths[kept])
    return pd.DataFrame(
        {
            Columns.USER_ID: names.to_numpy(dtype=object)[owner],
            Columns.ITEM_ID: words_of_items[clicked],
            Columns.TIMESTAMP: np.arange(len(clicked)),
        },
        index=pd.Index(owner + 1),
    )


def _lines(path: Path) -> Iterator[list[str]]:
    """The words of each line that is not blank."""
    with path.open("rb") as file:
        text = CheckedText(path, file)
        text.header()
        number, rest = 0, b""
        while block := text.read(BLOCK):
            *lines, rest = (rest + block).replace(b"\r", b"\n").split(b"\n")
            if len(rest) > BLOCK:
                raise DataError(
                    f"{path.name} has a line of more than {BLOCK >> 20} MiB (after row {number}); "
                    "write one line per user."
                )
            for line in lines:
                if words := line.decode("utf-8").split():
                    number += 1
                    yield words
