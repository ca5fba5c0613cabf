"""Sessions: reading clicks, cutting them into sessions, and the prediction cases they yield."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.report import ReportBuilder
from tpad.data.tables import read_table, require_columns, to_text, to_unix_seconds
from tpad.errors import DataError

SPLITS = ("train", "validation", "test")
SESSION_COLUMNS = (Columns.SESSION_ID, Columns.ITEM_ID, Columns.TIMESTAMP, Columns.SPLIT)


@dataclass(frozen=True, eq=False)
class Cases:
    """Prediction cases "session prefix -> next item".

    Attributes:
        session: (n,) int64, row in the `Sessions` they come from.
        prefixes: n int32 arrays of item rows, the most recent last.
        targets: (n,) int32, row of the item that followed.
    """

    session: np.ndarray
    prefixes: list[np.ndarray]
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.prefixes)


@dataclass(frozen=True, eq=False)
class Sessions:
    """Sessions in order of their start.

    Attributes:
        ids: (n,) str object.
        items: n int32 arrays of item rows in time order, each of length >= 1.
        starts: (n,) int64, time of the first click in Unix seconds.
        times: n int64 arrays, the time of each click in Unix seconds; None if not known.
        history: (n,) int64, so many first clicks of a session are known from an earlier split: they
            are what is predicted from and never a target. None: a session's first click alone.
    """

    ids: np.ndarray
    items: list[np.ndarray]
    starts: np.ndarray
    times: list[np.ndarray] | None = None
    history: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, clicks of each session."""
        return np.fromiter((len(items) for items in self.items), np.int64, len(self.items))

    @property
    def clicks(self) -> np.ndarray:
        """(number of clicks,) int32, the item rows of all sessions, one after the other."""
        return np.concatenate(self.items) if self.items else np.zeros(0, np.int32)

    @property
    def first_targets(self) -> np.ndarray:
        """(n,) int64, place of each session's first click that is a target, at least 1."""
        if self.history is None:
            return np.ones(len(self), np.int64)
        return np.maximum(self.history, 1)

    @property
    def owners(self) -> np.ndarray:
        """(number of clicks,) int64, row of the session of each click of `clicks`."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    @property
    def places(self) -> np.ndarray:
        """(number of clicks,) int64, place of each click in its session, from 0 on."""
        lengths = self.lengths
        return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    @property
    def click_times(self) -> np.ndarray:
        """(number of clicks,) int64, Unix seconds; the session's start where `times` is None."""
        if self.times is None:
            return self.starts[self.owners]
        return np.concatenate([*self.times, np.zeros(0, np.int64)])

    @property
    def is_history(self) -> np.ndarray:
        """(number of clicks,) bool, whether a click lies within its session's `history`."""
        if self.history is None:
            return np.zeros(self.lengths.sum(), dtype=bool)
        return self.places < self.history[self.owners]

    def windows(self, max_length: int) -> list[np.ndarray]:
        """Pieces of at most `max_length` + 1 clicks, the last one of each the first of the next.

        So every target is in one piece, not as its first click; sessions of one click yield none.
        """
        return [
            items[start : start + max_length + 1]
            for items, first in zip(self.items, self.first_targets.tolist(), strict=True)
            for start in range(first - 1, len(items) - 1, max_length)
        ]

    def prefixes(self, max_length: int | None = None) -> Cases:
        """Every prefix of every session, to predict the item that follows it.

        Args:
            max_length: keep only so many of a prefix's most recent items; None keeps all.

        Returns:
            One case for each click but a session's first (or its `history`); sessions of one click
            yield none.
        """
        if max_length is not None and max_length < 1:
            raise ValueError(f"max_length must be at least 1, not {max_length}")
        lengths, firsts = self.lengths, self.first_targets
        session = np.repeat(np.arange(len(self), dtype=np.int64), np.maximum(lengths - firsts, 0))
        reach = max_length if max_length is not None else int(lengths.max(initial=1))
        begins = list(zip(self.items, firsts.tolist(), strict=True))
        prefixes = [
            items[max(0, end - reach) : end]
            for items, first in begins
            for end in range(first, len(items))
        ]
        targets = [items[first:] for items, first in begins]
        return Cases(
            session, prefixes, np.concatenate(targets) if targets else np.zeros(0, np.int32)
        )

    def take(self, rows: np.ndarray) -> "Sessions":
        """The sessions at `rows` (indices or a mask), in that order."""
        rows = np.arange(len(self))[rows]
        return Sessions(
            self.ids[rows],
            [self.items[row] for row in rows],
            self.starts[rows],
            None if self.times is None else [self.times[row] for row in rows],
            None if self.history is None else self.history[rows],
        )

    def where(self, keep: np.ndarray) -> "Sessions":
        """The clicks where `keep` is True, those before and after a removed one being neighbours.

        Args:
            keep: (number of clicks,) bool, in the order of `clicks`.

        Returns:
            Ordered by start; sessions left without any click vanish.
        """
        history = None if self.history is None else self.is_history
        clicks = Clicks(self.owners, self.clicks, self.click_times, self.ids, None, history)
        left = clicks.select(keep).sessions()
        return left if self.times is not None else replace(left, times=None)


@dataclass(frozen=True, eq=False)
class Clicks:
    """Clicks as parallel arrays, sorted by session and then by time.

    Attributes:
        session: (n,) int64, number of the session, from 0 on, never falling.
        item: (n,) int32, item row.
        time: (n,) int64, Unix seconds.
        ids: (n_sessions,) str object, the sessions' names.
        split: (n_sessions,) int8, index into `SPLITS`; None if the table has no such column.
        history: (n,) bool, whether a click is known from an earlier split and no target; None if
            none is.
    """

    session: np.ndarray
    item: np.ndarray
    time: np.ndarray
    ids: np.ndarray
    split: np.ndarray | None
    history: np.ndarray | None = None

    def select(self, keep: np.ndarray) -> "Clicks":
        """The clicks where the mask `keep` (n,) is True; sessions left without any vanish."""
        sessions, renumbered = np.unique(self.session[keep], return_inverse=True)
        return Clicks(
            renumbered.astype(np.int64),
            self.item[keep],
            self.time[keep],
            self.ids[sessions],
            None if self.split is None else self.split[sessions],
            None if self.history is None else self.history[keep],
        )

    @property
    def lengths(self) -> np.ndarray:
        """(n_sessions,) int64, clicks of each session."""
        return np.bincount(self.session, minlength=len(self.ids))

    def sessions(self) -> Sessions:
        """The same as `Sessions`, ordered by start (ties as in the table)."""
        ends = np.cumsum(self.lengths)
        begins = ends - self.lengths
        starts = self.time[begins]
        order = np.argsort(starts, kind="stable")
        bounds = list(zip(begins[order].tolist(), ends[order].tolist(), strict=True))
        return Sessions(
            self.ids[order],
            [self.item[begin:end] for begin, end in bounds],
            starts[order],
            [self.time[begin:end] for begin, end in bounds],
            None
            if self.history is None
            else np.bincount(self.session[self.history], minlength=len(self.ids))[order],
        )


def read_clicks(
    path: str | Path,
    item_ids: pd.Series,
    report: ReportBuilder,
    *,
    session_gap_minutes: float = 30,
    min_session: int = 2,
    merge_repeats: bool = False,
) -> Clicks:
    """Read an interaction table and cut it into sessions.

    With a `session_id` column each id is one session. Otherwise a session is a run of one user's
    clicks of which each follows the one before in less than the gap, named `user#1`, `user#2`, ….
    A user's session also ends where the `split` column changes. Clicks of the same second keep the
    table's order. Clicks on the same item in a row are kept unless `merge_repeats`.

    Args:
        path: CSV or Parquet with session_id or user_id, item_id, timestamp, and perhaps split and
            is_history.
        item_ids: (n_items,) str, the known items; a click's item row is its place in here.
        report: counts rows that are left out or mended.
        session_gap_minutes: minutes without a click that end a user's session.
        min_session: sessions with fewer clicks are left out: they hold nothing to predict.
        merge_repeats: keep only the first of several clicks in a row on the same item.

    Raises:
        DataError: a column is missing, a split is not valid, or no click remains.
    """
    name = Path(path).name
    frame = read_table(path, report)
    by_user = Columns.SESSION_ID not in frame.columns
    if by_user and Columns.USER_ID not in frame.columns:
        require_columns(frame, [Columns.SESSION_ID], name)
    require_columns(frame, [Columns.ITEM_ID, Columns.TIMESTAMP], name)
    owner_column = Columns.USER_ID if by_user else Columns.SESSION_ID
    owners, clicked = to_text(frame[owner_column]), to_text(frame[Columns.ITEM_ID])
    rows, item = frame.index.to_numpy(), pd.Index(item_ids).get_indexer(clicked)
    time, bad_time = to_unix_seconds(frame[Columns.TIMESTAMP], name)
    split = _split_codes(frame, name)
    history = None
    if Columns.IS_HISTORY in frame.columns:
        history = to_text(frame[Columns.IS_HISTORY]).str.lower().isin(("true", "1")).to_numpy(bool)
    keep = np.ones(len(frame), dtype=bool)

    def leave_out(reason: str, bad: np.ndarray, shown: pd.Series | None = None) -> None:
        bad = bad & keep
        at = np.flatnonzero(bad)
        examples = (
            f"{name} row {rows[i]}" + ("" if shown is None else f" ('{shown.iloc[i]}')") for i in at
        )
        report.error(reason, "the click is left out", examples, len(at))
        keep[at] = False

    leave_out(f"missing {owner_column}", (owners == "").to_numpy(dtype=bool))
    leave_out("missing item_id in a click", (clicked == "").to_numpy(dtype=bool))
    if keep.any() and (item[keep] < 0).all():
        raise DataError(
            f"{name} has no click on a known item (it has '{clicked[keep].iloc[0]}', "
            f"the item table '{item_ids.iloc[0]}'); check that both tables use the same item_id."
        )
    leave_out("unknown item in a click", item < 0, clicked)
    leave_out("unreadable timestamp", bad_time, frame[Columns.TIMESTAMP])
    if not keep.any():
        raise DataError(f"{name} has no usable click: {_reasons(report)}; correct the table.")

    rows, time, item = rows[keep], time[keep], item[keep].astype(np.int32)
    owner, owner_ids = pd.factorize(owners[keep])
    split = None if split is None else split[keep]
    history = None if history is None else history[keep]
    order = np.lexsort((time, owner))  # stable: ties keep the table's order
    _count_disorder(owner, time, rows, name, report)
    owner, time, item, rows = owner[order], time[order], item[order], rows[order]
    split = None if split is None else split[order]
    history = None if history is None else history[order]

    new_owner = np.diff(owner, prepend=-1) != 0
    begins = new_owner.copy()
    if by_user:
        begins |= np.diff(time, prepend=time[0]) >= session_gap_minutes * 60
        if split is not None:
            begins |= np.diff(split, prepend=split[0]) != 0
    session = np.cumsum(begins) - 1
    at = np.flatnonzero(begins)
    names = owner_ids.to_numpy(dtype=object)[owner[at]]
    if by_user:
        first = np.maximum.accumulate(np.where(new_owner[at], np.arange(len(at)), 0))
        numbers = np.arange(len(at)) - first + 1
        names = np.array([f"{user}#{n}" for user, n in zip(names, numbers, strict=True)], object)
    elif split is not None:
        mixed = np.flatnonzero(split != split[at][session])
        if mixed.size:
            raise DataError(
                f"{name} row {rows[mixed[0]]} puts session '{names[session[mixed[0]]]}' into a "
                "second split; give all clicks of a session the same split."
            )
    late = (
        np.flatnonzero(~begins[1:] & history[1:] & ~history[:-1]) if history is not None else at[:0]
    )
    if late.size:
        raise DataError(
            f"{name} row {rows[late[0] + 1]} is history, but a click before it in its session is "
            f"not; the column {Columns.IS_HISTORY} may be true for the first clicks only."
        )
    clicks = Clicks(session, item, time, names, None if split is None else split[at], history)
    if merge_repeats:
        repeats = (np.diff(item, prepend=-1) == 0) & ~begins
        report.note("repeated click in a row", "merged into one", (), int(repeats.sum()))
        clicks = clicks.select(~repeats)
    return drop_short(clicks, min_session, report, name, is_error=not by_user)


def drop_short(
    clicks: Clicks, min_session: int, report: ReportBuilder, name: str, is_error: bool
) -> Clicks:
    """Leave out the sessions of fewer than `min_session` clicks, and count them."""
    short = clicks.lengths < min_session
    record = report.error if is_error else report.note
    record(
        "session too short to predict from" if min_session > 2 else "single-click session",
        "the session is left out",
        (f"{name} session '{clicks.ids[i]}'" for i in np.flatnonzero(short)),
        int(short.sum()),
    )
    return clicks.select(~short[clicks.session]) if short.any() else clicks


def _split_codes(frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """(n,) int8 indices into `SPLITS`, or None without such a column."""
    if Columns.SPLIT not in frame.columns:
        return None
    text = to_text(frame[Columns.SPLIT]).str.lower()
    codes = pd.Index(SPLITS).get_indexer(text)
    wrong = np.flatnonzero(codes < 0)
    if wrong.size:
        raise DataError(
            f"{name} row {frame.index[wrong[0]]} has the split '{text.iloc[wrong[0]]}'; "
            f"the column must hold {', '.join(SPLITS[:-1])} or {SPLITS[-1]} in every row."
        )
    return codes.astype(np.int8)


def _count_disorder(
    owner: np.ndarray, time: np.ndarray, rows: np.ndarray, name: str, report: ReportBuilder
) -> None:
    """Count the clicks that the table has after a later click of the same owner."""
    by_owner = np.argsort(owner, kind="stable")
    same = np.diff(owner[by_owner]) == 0
    late = by_owner[1:][same & (np.diff(time[by_owner]) < 0)]
    examples = (f"{name} row {rows[i]}" for i in np.sort(late))
    report.error("click out of order", "the clicks are sorted by time", examples, len(late))


def _reasons(report: ReportBuilder) -> str:
    return ", ".join(f"{f.count:,} × {f.reason}" for f in report.build().findings)
