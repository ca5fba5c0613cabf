"""Checks clicks and groups them into sessions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.ids import to_ids
from tpad.data.interactions import Interactions, no_known_item, read_interactions
from tpad.data.report import ReportBuilder
from tpad.data.sessions import SPLITS, Clicks
from tpad.data.tables import require_columns, to_booleans, to_text
from tpad.data.times import ACCEPTED, is_order, refuse_constant, to_unix_seconds
from tpad.errors import DataError, shown


def read_clicks(
    source: str | Path | Interactions,
    item_ids: pd.Series,
    report: ReportBuilder,
    *,
    session_gap_minutes: float = 30,
    min_session: int = 2,
    merge_repeats: bool = False,
    whole_users: bool = False,
) -> Clicks:
    """Read interactions and group their clicks into sessions.

    With a `session_id` column, each id is one session. Otherwise a session is a sequence of one user's
    clicks in which each follows the previous one in less than the gap; sessions are named `user#1`,
    `user#2`, …. A user's session also ends where the `split` column changes. Clicks of the same second
    keep the order of the table. Repeated clicks on the same item are kept unless `merge_repeats`;
    those of the same second are counted.

    Args:
        source: CSV or Parquet with session_id or user_id, item_id, timestamp, and optionally split
            and is_history; or a file with a line `user item item …` per user.
        item_ids: (n_items,) str, the known items; the item row of a click is a position in it.
        report: counts rows that are skipped or repaired.
        session_gap_minutes: minutes without a click that end a user's session.
        min_session: sessions with fewer clicks are dropped.
        merge_repeats: merge consecutive clicks on the same item.
        whole_users: all clicks of a user_id are one session, named as the user; without such a
            column, those of a session_id are.

    Raises:
        DataError: a column is missing, a split or time is invalid, or no click remains.
    """
    before = len(report)
    if not isinstance(source, Interactions):
        source = read_interactions(source, report)
    name, frame = source.name, source.frame
    whole_users = whole_users or source.is_sequences
    owner_column = _owner_column(frame, name, whole_users)
    by_user = owner_column == Columns.USER_ID
    require_columns(frame, [Columns.ITEM_ID, Columns.TIMESTAMP], name)
    rows, owner_ids = _valid_rows(frame, owner_column, item_ids, name, report, before)
    _report_disorder(rows, name, report)
    _report_oddities(rows, name, report, has_times=not source.is_sequences)
    rows = rows.select(
        np.lexsort((rows.time, rows.owner))
    )  # stable: ties keep the order of the table
    has_gaps = by_user and not whole_users
    clicks, begins = _group(rows, owner_ids, has_gaps, session_gap_minutes * 60, name)
    if merge_repeats:
        repeats = (np.diff(clicks.item, prepend=-1) == 0) & ~begins
        report.note("repeated click in a row", "merged into one", (), int(repeats.sum()))
        clicks = clicks.select(~repeats)
    return drop_short(clicks, min_session, report, name, is_error=not by_user)


def _owner_column(frame: pd.DataFrame, name: str, whole_users: bool) -> str:
    """The column that says whose clicks a session has."""
    columns = [Columns.SESSION_ID, Columns.USER_ID]
    found = [column for column in columns if column in frame.columns]
    if not found:
        require_columns(frame, columns[:1], name)
    return found[-1] if whole_users else found[0]


def drop_short(
    clicks: Clicks, min_session: int, report: ReportBuilder, name: str, is_error: bool
) -> Clicks:
    """Drop the sessions of fewer than `min_session` clicks, and report them."""
    short = clicks.lengths < min_session
    record = report.error if is_error else report.note
    record(
        "session too short to predict from" if min_session > 2 else "single-click session",
        "the session is skipped",
        (f"{name} session '{shown(clicks.ids[i])}'" for i in np.flatnonzero(short)),
        int(short.sum()),
    )
    return clicks.select(~short[clicks.session]) if short.any() else clicks


@dataclass(frozen=True, eq=False)
class _Rows:
    """The valid rows of a click table, as parallel arrays (n,).

    Attributes:
        number: row number in the table.
        owner: number of the session or user.
        item: int32, item row.
        time: int64, Unix seconds.
        split: int8, index into `SPLITS`; None without such a column.
        history: bool; None without such a column.
    """

    number: np.ndarray
    owner: np.ndarray
    item: np.ndarray
    time: np.ndarray
    split: np.ndarray | None
    history: np.ndarray | None

    def select(self, at: np.ndarray) -> "_Rows":
        """The rows at `at` (indices or a mask), in that order."""
        split = None if self.split is None else self.split[at]
        history = None if self.history is None else self.history[at]
        return _Rows(self.number[at], self.owner[at], self.item[at], self.time[at], split, history)


def _valid_rows(
    frame: pd.DataFrame,
    owner_column: str,
    item_ids: pd.Series,
    name: str,
    report: ReportBuilder,
    before: int,
) -> tuple[_Rows, np.ndarray]:
    """The valid rows, and the names of their sessions or users: (n_owners,) str object."""
    owners, clicked = to_ids(frame[owner_column], name), to_ids(frame[Columns.ITEM_ID], name)
    item = pd.Index(item_ids).get_indexer(clicked)
    time, bad_time = to_unix_seconds(frame[Columns.TIMESTAMP], name)
    split = _split_codes(frame, name)
    history = None
    if Columns.IS_HISTORY in frame.columns:
        history = to_booleans(frame[Columns.IS_HISTORY], name)
    keep = np.ones(len(frame), dtype=bool)
    skip = _skipper(frame.index.to_numpy(), keep, name, report)

    skip(f"missing {owner_column}", (owners == "").to_numpy(dtype=bool))
    skip("missing item_id in a click", (clicked == "").to_numpy(dtype=bool))
    if keep.any() and (item[keep] < 0).all():
        raise no_known_item(name, clicked[keep].iloc[0], item_ids.iloc[0])
    skip("unknown item in a click", item < 0, clicked)
    skip("unreadable timestamp", bad_time, frame[Columns.TIMESTAMP])
    if not keep.any():
        times = f" Accepted timestamps are {ACCEPTED}." if bad_time.any() else ""
        raise DataError(
            f"{name} has no usable click: {report.evidence(before)}; correct the table.{times}"
        )
    refuse_constant(time[keep], frame[Columns.TIMESTAMP][keep], name)
    owner, owner_ids = pd.factorize(owners[keep])
    rows = _Rows(
        frame.index.to_numpy(),
        np.empty(len(frame), int),
        item.astype(np.int32),
        time,
        split,
        history,
    )
    return replace(rows.select(keep), owner=owner), owner_ids.to_numpy(dtype=object)


def _skipper(
    numbers: np.ndarray, keep: np.ndarray, name: str, report: ReportBuilder
) -> Callable[..., None]:
    """A function that clears `keep` for invalid rows and reports them."""

    def skip(reason: str, bad: np.ndarray, values: pd.Series | None = None) -> None:
        at = np.flatnonzero(bad & keep)
        examples = (
            f"{name} row {numbers[i]}" + ("" if values is None else f" ('{shown(values.iloc[i])}')")
            for i in at
        )
        report.error(reason, "the click is skipped", examples, len(at))
        keep[at] = False

    return skip


def _group(
    rows: _Rows, owner_ids: np.ndarray, has_gaps: bool, gap: float, name: str
) -> tuple[Clicks, np.ndarray]:
    """Group rows, sorted by owner and time, into sessions.

    Returns:
        The clicks, and (n,) bool, whether a click is the first of its session.
    """
    new_owner = np.diff(rows.owner, prepend=-1) != 0
    begins = new_owner.copy()
    if has_gaps:
        begins |= np.diff(rows.time, prepend=rows.time[0]) >= gap
        if rows.split is not None:
            begins |= np.diff(rows.split, prepend=rows.split[0]) != 0
    session = np.cumsum(begins) - 1
    at = np.flatnonzero(begins)
    names = owner_ids[rows.owner[at]]
    if has_gaps:
        first = np.maximum.accumulate(np.where(new_owner[at], np.arange(len(at)), 0))
        numbers = np.arange(len(at)) - first + 1
        names = np.array([f"{user}#{n}" for user, n in zip(names, numbers, strict=True)], object)
    elif rows.split is not None:
        mixed = np.flatnonzero(rows.split != rows.split[at][session])
        if mixed.size:
            raise DataError(
                f"{name} row {rows.number[mixed[0]]} puts session "
                f"'{shown(names[session[mixed[0]]])}' into a second split; give all clicks of a "
                "session the same split."
            )
    _check_history(rows, begins, name)
    split = None if rows.split is None else rows.split[at]
    return Clicks(session, rows.item, rows.time, names, split, rows.history), begins


def _check_history(rows: _Rows, begins: np.ndarray, name: str) -> None:
    if rows.history is None:
        return
    late = np.flatnonzero(~begins[1:] & rows.history[1:] & ~rows.history[:-1])
    if late.size:
        raise DataError(
            f"{name} row {rows.number[late[0] + 1]} is history, but a click before it in its session "
            f"is not; the column {Columns.IS_HISTORY} may be true for the first clicks only."
        )


def _split_codes(frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """(n,) int8 indices into `SPLITS`; None without such a column."""
    if Columns.SPLIT not in frame.columns:
        return None
    text = to_text(frame[Columns.SPLIT], name).str.lower()
    codes = pd.Index(SPLITS).get_indexer(text)
    wrong = np.flatnonzero(codes < 0)
    if wrong.size:
        raise DataError(
            f"{name} row {frame.index[wrong[0]]} has the split '{shown(text.iloc[wrong[0]])}'; "
            f"the column must hold {', '.join(SPLITS[:-1])} or {SPLITS[-1]} in every row."
        )
    return codes.astype(np.int8)


def _report_disorder(rows: _Rows, name: str, report: ReportBuilder) -> None:
    """Report clicks that follow a later click of the same session or user."""
    by_owner = np.argsort(rows.owner, kind="stable")
    same = np.diff(rows.owner[by_owner]) == 0
    late = by_owner[1:][same & (np.diff(rows.time[by_owner]) < 0)]
    examples = (f"{name} row {rows.number[i]}" for i in np.sort(late))
    report.error("click out of order", "the clicks are sorted by time", examples, len(late))


def _report_oddities(rows: _Rows, name: str, report: ReportBuilder, *, has_times: bool) -> None:
    """Report what may be intended: repeated rows, and times that only give an order."""
    twice = pd.DataFrame({"owner": rows.owner, "item": rows.item, "time": rows.time}).duplicated()
    report.note(
        "duplicate click (same session, item and second)",
        "kept; --merge-repeats merges consecutive ones",
        (f"{name} row {number}" for number in rows.number[twice]),
        int(twice.sum()),
    )
    if has_times and is_order(rows.time):
        report.note(
            "timestamp before 1973",
            "used as the order of the clicks, not as a date",
            (f"{name} row {n} ({t})" for n, t in zip(rows.number, rows.time, strict=True)),
            len(rows.time),
        )
