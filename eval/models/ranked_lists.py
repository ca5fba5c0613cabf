"""Lists of an outside model, so that it stands in the same table; and the cases it is to answer.

Three forms of table are read, told apart by their columns:

| columns | one row is | made by |
| --- | --- | --- |
| `case`, `items` | a case's ranked items, the best first | whoever answers `python -m eval export cases` |
| `SessionId`, `Position`, `Recommendations` | the same by session and place | session-rec's `Saver`, as it is |
| `session_id`, `item_id`, `score` (or `rank`) and perhaps `position` | one item of one list | RecBole's `full_sort_topk`, written out |

Position 0 predicts a session's second click. Without a position, or with an empty one, a list answers
the last click of its session. Lists of clicks that are not asked, as the item is in the prefix already,
are counted and left out. An item that no list holds is not found, whatever its place would have been.
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
    """What an outside model's lists say.

    Attributes:
        ranks: (n_cases,) float32, inf where the target is in no list.
        unanswered: number of cases without a list.
        longest: length of the longest list; figures at a larger k are a lower bound.
        left_out: number of lists that answer a click which is not asked.
    """

    ranks: np.ndarray
    unanswered: int
    longest: int
    left_out: int = 0


def cases_frame(
    cases: TestCases, dataset: Dataset, *, separator: str = SEPARATOR, targets: bool = False
) -> pd.DataFrame:
    """The questions: case, session_id, position and prefix (item ids), perhaps the target.

    Raises:
        ConfigError: an item id holds the separator.
    """
    ids = dataset.items[Columns.ITEM_ID].to_numpy(dtype=object)
    _refuse_separator(ids, separator)
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
    """Ranks of the targets in an outside model's lists.

    Where the protocol masks the history, items of the prefix are taken out of a list, as they are
    no candidates for any model.

    Args:
        path: CSV (comma, semicolon or tab between columns) or Parquet, in one of the module's forms.
        cases, dataset: what was asked.
        separator: between the items of one list.
        allow_missing: count a case without a list as not found instead of refusing the table.

    Raises:
        DataError: the table does not fit; the sentence names the row.
    """
    lists, rows, left_out = _read_lists(Path(path), cases, dataset, separator)
    _lists_of_ids(Path(path), lists, rows)
    places_of = {item: row for row, item in enumerate(dataset.items[Columns.ITEM_ID])}
    ranks = np.full(len(cases), NOT_FOUND, np.float32)
    longest = 0
    for case, items in lists.items():
        places = np.array([places_of.get(_known(item, places_of), -1) for item in items], int)
        unknown = np.flatnonzero(places < 0)
        if len(unknown):
            raise DataError(
                f"{path} row {rows[case]} ranks the unknown item '{shown(items[unknown[0]])}'; "
                "use the shop's item ids."
            )
        if len(np.unique(places)) < len(places):
            raise DataError(f"{path} row {rows[case]} ranks an item twice; rank each once.")
        longest = max(longest, len(places))
        if cases.mask_history:
            places = places[~np.isin(places, cases.prefixes[case])]
        found = np.flatnonzero(places == cases.targets[case])
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
"""case -> item ids, the best first; case -> the table's row, the header being row 1; lists left out."""
NOT_ASKED = -1  # in place of a case's number


def _read_lists(path: Path, cases: TestCases, dataset: Dataset, separator: str) -> Lists:
    frame = _read_frame(path)
    columns = set(frame.columns)
    if frame.columns[:1].tolist() == ["Metrics"]:
        raise DataError(
            f"{path} is session-rec's table of metrics; give the file of lists that its Saver writes "
            "beside it, whose name ends in Saver@50--.csv or the like."
        )
    if {"case", "items"} <= columns:
        numbers = pd.to_numeric(frame["case"], errors="coerce")
        wrong = np.flatnonzero(~(numbers.isin(range(len(cases)))))
        if len(wrong):
            raise DataError(
                f"{path} row {wrong[0] + 2} names case {shown(frame['case'].iloc[wrong[0]])!r}; cases go "
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
    """The table with its ids and positions read by the one rule; lists are left as they are."""
    for column in frame.columns.intersection(_ID_COLUMNS):
        frame[column] = to_ids(frame[column], path.name)
    return frame


def _lists_of_ids(path: Path, lists: dict[int, list[str]], rows: dict[int, int]) -> None:
    """Reads the ids in all lists, in place, by the one rule."""
    numbers = [rows[case] for case, items in lists.items() for _ in items]
    flat = [item for items in lists.values() for item in items]
    ids = iter(to_ids(pd.Series(flat, index=numbers, name="items", dtype=object), path.name))
    for case, items in lists.items():
        lists[case] = list(islice(ids, len(items)))


def _split(path: Path, numbers: Sequence[int], texts: pd.Series, separator: str) -> Lists:
    lists: dict[int, list[str]] = {}
    rows: dict[int, int] = {}
    for row, (case, text) in enumerate(zip(numbers, texts, strict=True), 2):
        if case == NOT_ASKED:
            continue
        if case in lists:
            raise DataError(f"{path} row {row} answers case {case} a second time; keep one list.")
        lists[case] = [item.strip() for item in text.split(separator) if item.strip()]
        rows[case] = row
    return lists, rows, sum(case == NOT_ASKED for case in numbers)


def _long(path: Path, frame: pd.DataFrame, cases: TestCases, dataset: Dataset) -> Lists:
    given = frame.get(POSITION)
    numbers = _find(path, frame[Columns.SESSION_ID], given, cases, dataset)
    by_rank = "rank" in frame
    values = pd.to_numeric(frame["rank" if by_rank else "score"], errors="coerce")
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        raise DataError(
            f"{path} row {row + 2} has no number as its {'rank' if by_rank else 'score'}."
        )
    items = frame[Columns.ITEM_ID].tolist()
    order = np.lexsort((values if by_rank else -values, numbers))  # stable: ties as they are given
    lists: dict[int, list[str]] = {}
    rows: dict[int, int] = {}
    for at in order.tolist():
        case = numbers[at]
        if case == NOT_ASKED:
            continue
        lists.setdefault(case, []).append(items[at])
        rows.setdefault(case, at + 2)
    answered = zip(
        frame[Columns.SESSION_ID], [""] * len(frame) if given is None else given, strict=True
    )
    spare = {each for each, case in zip(answered, numbers, strict=True) if case == NOT_ASKED}
    return lists, rows, len(spare)


def _find(
    path: Path,
    sessions: pd.Series,
    positions: pd.Series | None,
    cases: TestCases,
    dataset: Dataset,
) -> list[int]:
    """The case of each row, by session and place; `NOT_ASKED` for a click that is no case."""
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
            raise DataError(f"{path} row {row} answers {which}, which is no test case.")
        found.append(at.get((name, place), NOT_ASKED))
        if text:
            given.setdefault(name, set()).add(place)
    if NOT_ASKED in found:
        _refuse_moved(path, given, clicks)
    return found


def _refuse_moved(path: Path, given: dict[str, set[int]], clicks: dict[str, int]) -> None:
    """A file with lists of clicks that are not asked is the work of a program that answers every click
    it knows; where it knows fewer than there are, its positions are not ours."""
    for name, places in given.items():
        if len(places) < clicks[name] - 1:
            raise DataError(
                f"{path} has lists for {len(places)} positions of session '{name}', which has "
                f"{clicks[name] - 1}. session-rec takes out clicks on items that it did not train on, "
                "and counts positions without them; answer `python -m eval export cases` instead."
            )


def _known(text: str, ids: Mapping[str, object]) -> str:
    """The id that is meant: also one that our CSV files mark, see `tpad.io.csv_files`."""
    plain = original_cell(text)
    return plain if text not in ids and plain in ids else text


def _refuse_separator(ids: np.ndarray, separator: str) -> None:
    bad = next((item for item in ids if separator in item), None)
    if not separator or bad is not None:
        raise ConfigError(
            f"{separator!r} cannot separate item ids"
            + (f" such as '{shown(bad)}'" if bad is not None else "")
            + "; choose another separator."
        )
