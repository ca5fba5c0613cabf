"""Imports ranked lists of models of other libraries, and exports the test cases for them.

Three forms of table are read, recognised by their columns:

| columns | one row is | made by |
| --- | --- | --- |
| `case`, `items` | the ranked items of a case, the best first | any program that reads `python -m eval export cases` |
| `SessionId`, `Position`, `Recommendations` | the same, by session and position | session-rec's `Saver`, unchanged |
| `session_id`, `item_id`, `score` (or `rank`), optional `position` | one item of one list | RecBole's `full_sort_topk`, written to a file |

Position 0 predicts the second click of a session. A list without a position predicts the last click of
its session. Lists for clicks that are not test cases (such as items that are already in the prefix) are
counted and left out. A target that is not in its list is not found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from eval.metrics.ranks import NOT_FOUND
from eval.protocol import TestCases
from tpad import Columns, ConfigError, DataError, Dataset
from tpad.data.ids import to_ids
from tpad.data.parquet_table import read_parquet
from tpad.data.tables import to_text
from tpad.errors import shown
from tpad.io.csv_files import original_cell

SEPARATOR = ","
POSITION = "position"
_ID_COLUMNS = (Columns.SESSION_ID, Columns.ITEM_ID, POSITION, "SessionId", "Position")


@dataclass(frozen=True)
class ImportedRanks:
    """The ranks of the targets in imported lists.

    Attributes:
        ranks: (n_cases,) float32; inf if the target is not in the list.
        unanswered: number of cases without a list.
        longest: length of the longest list; metrics at a larger k are lower bounds.
        left_out: number of lists for clicks that are not test cases.
    """

    ranks: np.ndarray
    unanswered: int
    longest: int
    left_out: int = 0


def cases_frame(
    cases: TestCases, dataset: Dataset, *, separator: str = SEPARATOR, targets: bool = False
) -> pd.DataFrame:
    """The test cases as a table: case, session_id, position, prefix (item ids) and optionally target.

    Args:
        cases, dataset: the test cases and their dataset.
        separator: between the items of a prefix.
        targets: whether to include the targets.

    Raises:
        ConfigError: an item id contains the separator.
    """
    ids = dataset.items[Columns.ITEM_ID].to_numpy(dtype=object)
    _check_separator(ids, separator)
    frame = pd.DataFrame(
        {
            "case": np.arange(len(cases)),
            Columns.SESSION_ID: dataset.test.ids[cases.session],
            POSITION: [len(prefix) - 1 for prefix in cases.prefixes],
            "prefix": [separator.join(ids[prefix]) for prefix in cases.prefixes],
        }
    )
    return frame.assign(target=ids[cases.targets]) if targets else frame


def read_ranked_lists(
    path: Path,
    cases: TestCases,
    dataset: Dataset,
    *,
    separator: str = SEPARATOR,
    allow_missing: bool = False,
) -> ImportedRanks:
    """Ranks of the targets in the lists of a file.

    If the protocol masks the history, items of the prefix are removed from the lists, as they are not
    candidates.

    Args:
        path: CSV (comma, semicolon or tab between columns) or Parquet, in one of the forms above.
        cases, dataset: the test cases and their dataset.
        separator: between the items of one list.
        allow_missing: accept cases without a list; their targets are not found.

    Raises:
        DataError: the table is invalid; the message names the row.
    """
    lists, table_rows, left_out = _read_lists(Path(path), cases, dataset, separator)
    _normalise_ids(Path(path), lists, table_rows)
    item_rows = {item: row for row, item in enumerate(dataset.items[Columns.ITEM_ID])}
    ranks = np.full(len(cases), NOT_FOUND, np.float32)
    longest = 0
    for case, items in lists.items():
        ranked = np.array([item_rows.get(_known(item, item_rows), -1) for item in items], int)
        unknown = np.flatnonzero(ranked < 0)
        if len(unknown):
            raise DataError(
                f"{path} row {table_rows[case]} ranks the unknown item '{shown(items[unknown[0]])}'; "
                "use the item ids of the dataset."
            )
        if len(np.unique(ranked)) < len(ranked):
            raise DataError(f"{path} row {table_rows[case]} ranks an item twice; rank each once.")
        longest = max(longest, len(ranked))
        if cases.mask_history:
            ranked = ranked[~np.isin(ranked, cases.prefixes[case])]
        found = np.flatnonzero(ranked == cases.targets[case])
        if len(found):
            ranks[case] = found[0] + 1
    unanswered = len(cases) - len(lists)
    if unanswered and not allow_missing:
        first = next(case for case in range(len(cases)) if case not in lists)
        raise DataError(
            f"{path} has no list for {unanswered:,} of {len(cases):,} cases (the first is case "
            f"{first}, session '{shown(dataset.test.ids[cases.session[first]])}'); rank them too, or allow "
            "missing cases, which then count as not found."
        )
    return ImportedRanks(ranks, unanswered, longest, left_out)


Lists = tuple[dict[int, list[str]], dict[int, int], int]
"""case -> item ids, the best first; case -> row of the table, the header being row 1; number of lists
left out."""
NO_CASE = -1  # number of a list for a click that is not a test case


def _read_lists(path: Path, cases: TestCases, dataset: Dataset, separator: str) -> Lists:
    frame = _read_frame(path)
    columns = set(frame.columns)
    if frame.columns[:1].tolist() == ["Metrics"]:
        raise DataError(
            f"{path} is session-rec's table of metrics; pass the file of lists that its Saver writes in "
            "the same folder, whose name ends in Saver@50--.csv or similar."
        )
    if {"case", "items"} <= columns:
        numbers = pd.to_numeric(frame["case"], errors="coerce")
        invalid = np.flatnonzero(~(numbers.isin(range(len(cases)))))
        if len(invalid):
            raise DataError(
                f"{path} row {invalid[0] + 2} names case {shown(frame['case'].iloc[invalid[0]])!r}; cases go "
                f"from 0 to {len(cases) - 1}."
            )
        return _split(path, numbers.astype(int).tolist(), frame["items"], separator)
    if {"SessionId", "Position", "Recommendations"} <= columns:
        numbers = _find(path, frame["SessionId"], frame["Position"], cases, dataset)
        return _split(path, numbers, frame["Recommendations"], SEPARATOR)
    if {Columns.SESSION_ID, Columns.ITEM_ID} <= columns and columns & {"score", "rank"}:
        return _long(path, frame, cases, dataset)
    raise DataError(
        f"{path} has the columns {shown(', '.join(map(str, frame.columns)), 200)}; it must have case and items, "
        "or SessionId, Position and Recommendations, or session_id, item_id and score (or rank)."
    )


def _read_frame(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a CSV or Parquet table of ranked items.")
    try:
        if path.suffix == ".parquet":
            frame = read_parquet(path)
            frame.index += 1  # the header of a CSV is row 1
            return _with_ids(frame.apply(to_text, table=path.name), path)
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline()
        mark = max(",;\t", key=head.count)
        frame = pd.read_csv(
            path, sep=mark, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
        )
        frame.index += 2
        return _with_ids(frame, path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a table ({shown(error, 200)}).") from error


def _with_ids(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with its ids and positions as text; lists stay as they are."""
    for column in frame.columns.intersection(_ID_COLUMNS):
        frame[column] = to_ids(frame[column], path.name)
    return frame


def _normalise_ids(path: Path, lists: dict[int, list[str]], rows: dict[int, int]) -> None:
    """Reads the ids in all lists as the dataset's ids are read, in place."""
    numbers = [rows[case] for case, items in lists.items() for _ in items]
    flat = [item for items in lists.values() for item in items]
    ids = iter(to_ids(pd.Series(flat, index=numbers, name="items", dtype=object), path.name))
    for case, items in lists.items():
        lists[case] = list(islice(ids, len(items)))


def _split(path: Path, numbers: Sequence[int], texts: pd.Series, separator: str) -> Lists:
    lists: dict[int, list[str]] = {}
    rows: dict[int, int] = {}
    for row, (case, text) in enumerate(zip(numbers, texts, strict=True), 2):
        if case == NO_CASE:
            continue
        if case in lists:
            raise DataError(f"{path} row {row} is a second list for case {case}; keep one.")
        lists[case] = [item.strip() for item in text.split(separator) if item.strip()]
        rows[case] = row
    return lists, rows, sum(case == NO_CASE for case in numbers)


def _long(path: Path, frame: pd.DataFrame, cases: TestCases, dataset: Dataset) -> Lists:
    given = frame.get(POSITION)
    numbers = _find(path, frame[Columns.SESSION_ID], given, cases, dataset)
    by_rank = "rank" in frame
    values = pd.to_numeric(frame["rank" if by_rank else "score"], errors="coerce")
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        raise DataError(
            f"{path} row {row + 2} has a {'rank' if by_rank else 'score'} that is not a number."
        )
    items = frame[Columns.ITEM_ID].tolist()
    order = np.lexsort((values if by_rank else -values, numbers))  # stable: ties keep their order
    lists: dict[int, list[str]] = {}
    rows: dict[int, int] = {}
    for at in order.tolist():
        case = numbers[at]
        if case == NO_CASE:
            continue
        lists.setdefault(case, []).append(items[at])
        rows.setdefault(case, at + 2)
    clicks = zip(
        frame[Columns.SESSION_ID], [""] * len(frame) if given is None else given, strict=True
    )
    left_out = {click for click, case in zip(clicks, numbers, strict=True) if case == NO_CASE}
    return lists, rows, len(left_out)


def _find(
    path: Path,
    sessions: pd.Series,
    positions: pd.Series | None,
    cases: TestCases,
    dataset: Dataset,
) -> list[int]:
    """The case of each row, by session and position; `NO_CASE` for a click that is not a test case."""
    clicks = dict(zip(dataset.test.ids, dataset.test.lengths.tolist(), strict=True))
    names = dataset.test.ids[cases.session]
    at = {
        (name, int(n) - 1): k for k, (name, n) in enumerate(zip(names, cases.lengths, strict=True))
    }
    found: list[int] = []
    given: dict[str, set[int]] = {}
    texts = [""] * len(sessions) if positions is None else positions.tolist()
    for row, (session, text) in enumerate(zip(sessions.tolist(), texts, strict=True), 2):
        name = _known(session, clicks)
        last = clicks.get(name, 0) - 2  # the position that predicts the last click
        place = last if text == "" else int(text) if text.isdecimal() else -1
        if not 0 <= place <= last:
            which = f"session '{shown(session)}'" + (f", position {shown(text)}" if text else "")
            raise DataError(f"{path} row {row} has a list for {which}, which is not a test click.")
        found.append(at.get((name, place), NO_CASE))
        if text:
            given.setdefault(name, set()).add(place)
    if NO_CASE in found:
        _check_positions(path, given, clicks)
    return found


def _check_positions(path: Path, given: dict[str, set[int]], clicks: dict[str, int]) -> None:
    """Checks that a program that predicts every click has seen all clicks of each session; if it has
    removed some, its positions differ from ours."""
    for name, places in given.items():
        if len(places) < clicks[name] - 1:
            raise DataError(
                f"{path} has lists for {len(places)} positions of session '{name}', which has "
                f"{clicks[name] - 1}. session-rec removes clicks on items that it did not train on, "
                "and counts positions without them; rank the cases of `python -m eval export cases`."
            )


def _known(text: str, ids: Mapping[str, object]) -> str:
    """The id itself, or the id without the mark that our CSV files add, see `tpad.io.csv_files`."""
    plain = original_cell(text)
    return plain if text not in ids and plain in ids else text


def _check_separator(ids: np.ndarray, separator: str) -> None:
    bad = next((item for item in ids if separator in item), None)
    if not separator or bad is not None:
        raise ConfigError(
            f"{separator!r} cannot separate item ids"
            + (f" such as '{shown(bad)}'" if bad is not None else "")
            + "; choose another separator."
        )
