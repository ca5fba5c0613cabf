"""The published datasets of MMSBR: pickles of plain lists, one prediction case after the other.

A file is a tuple of item prefixes, their price levels, their categories, the price level and the
category of each item (item 1 first), and the labels; the pair of prefixes and labels of SR-GNN is also
read. Cases are shuffled, so that the original sessions cannot be restored: each case becomes a session
whose prefix is history and whose label is its only target. There are no times: the number of a case is
its time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tpad.errors import ConfigError, DataError
from tpad.importers.counts import RowCounts
from tpad.importers.settings import ImportSettings
from tpad.importers.source import BATCH_ROWS, CLICKS, HISTORY, ITEM_FIELDS, Batch, Source
from tpad.importers.unpickling import load_plain_pickle

MAX_CASES = 10_000_000  # of a file; the numbers of the next file start there
_SCHEMA = CLICKS.append(pa.field(HISTORY, pa.bool_()))
_ITEM_SCHEMA = ITEM_FIELDS.append(pa.field("price_level", pa.string()))


def open_mmsbr(files: list[Path], settings: ImportSettings) -> Source:
    """Readers of the cases of all files, and of the items of the first file that has items."""
    if settings.min_clicks > 1:
        raise ConfigError(
            "--min-clicks does not work with mmsbr, whose cases repeat each other's clicks; leave it out."
        )
    names = [file.stem for file in files]
    if len(set(names)) < len(names):
        raise ConfigError(
            "Two files have the same name, which is part of the case names; rename one."
        )
    parts = {file: _parts(file) for file in files}
    with_items = [file for file in files if len(parts[file]) == 6]
    return Source(
        [_Cases(file, parts[file], number) for number, file in enumerate(files)],
        [_Items(file, *parts[file][3:5]) for file in with_items[:1]],
        has_users=False,
        has_sessions=True,
        default_sessions="given",
        notes=(
            "Each case is a session: its prefix is history, its label the target.",
            "The files hold no times: the timestamp is the case's number.",
        ),
    )


class _Cases:
    """Clicks of the cases of one file; a position is the number of the next case."""

    schema = _SCHEMA

    def __init__(self, path: Path, parts: Any, number: int) -> None:
        self.path, self.size, self._first = path, path.stat().st_size, number * MAX_CASES
        self._prefixes, self._labels = parts[0], parts[-1]

    def batches(self, counts: RowCounts, position: Any, limit: int | None) -> Iterator[Batch]:
        prefixes, labels = self._prefixes, self._labels
        rows: list[tuple] = []
        left = float("inf") if limit is None else limit
        for case in range(position or 0, len(prefixes)):
            items = [*prefixes[case], labels[case]]
            left -= len(items)
            if left < 0:
                break
            counts.read += len(items)
            if not all(type(item) in (int, str) for item in items):
                where = f"{self.path.name} case {case + 1}"
                counts.drop("case with an item that is not a valid id", (where,), len(items))
                continue
            name, time = f"{self.path.stem}-{case + 1}", float(self._first + case)
            last = len(items) - 1
            rows.extend((name, str(item), time, at < last) for at, item in enumerate(items))
            if len(rows) >= BATCH_ROWS:
                yield Batch(rows, case + 1, self.size * (case + 1) // len(prefixes))
                rows = []
        yield Batch(rows, len(prefixes), self.size)


class _Items:
    """The items of one file, in one batch."""

    schema = _ITEM_SCHEMA

    def __init__(self, path: Path, levels: Any, categories: Any) -> None:
        self.path, self.size = path, path.stat().st_size
        self._facts = list(zip(levels, categories, strict=True))

    def batches(self, counts: RowCounts, position: Any, limit: int | None) -> Iterator[Batch]:
        rows = [
            (str(number), "", "", str(category), None, str(level))
            for number, (level, category) in enumerate(self._facts, 1)
        ]
        counts.read += len(rows)
        yield Batch(rows, len(rows), self.size)


def _parts(path: Path) -> Any:
    """The lists of a file.

    Raises:
        DataError: it has another structure.
    """
    parts = load_plain_pickle(path)
    shape = DataError(
        f"{path.name} is not an MMSBR file: it must be a tuple of prefixes, price levels, categories, "
        "price level and category of each item, and labels."
    )
    if not isinstance(parts, (list, tuple)) or len(parts) not in (2, 6):
        raise shape
    if not all(isinstance(part, (list, tuple)) for part in parts):
        raise shape
    prefixes = parts[0]
    if len(prefixes) != len(parts[-1]) or not all(isinstance(p, (list, tuple)) for p in prefixes):
        raise shape
    if len(parts) == 6 and len(parts[3]) != len(parts[4]):
        raise shape
    if len(prefixes) > MAX_CASES:
        raise DataError(f"{path.name} has more than {MAX_CASES:,} cases; split the file.")
    # A pickle may refer to the same list many times.
    if sum(map(len, prefixes)) > path.stat().st_size:
        raise DataError(
            f"{path.name} repeats its lists beyond its own size; write it without repeated references."
        )
    return parts
