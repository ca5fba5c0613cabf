"""Sessions, their clicks, and the prediction cases made of them."""

from dataclasses import dataclass, replace

import numpy as np

from tpad.data.columns import Columns

SPLITS = ("train", "validation", "test")
SESSION_COLUMNS = (Columns.SESSION_ID, Columns.ITEM_ID, Columns.TIMESTAMP, Columns.SPLIT)


@dataclass(frozen=True, eq=False)
class Cases:
    """Prediction cases "session prefix -> next item".

    Attributes:
        session: (n,) int64, position of the case's session in its `Sessions`.
        prefixes: n int32 arrays of item rows, the most recent last.
        targets: (n,) int32, row of the next item.
    """

    session: np.ndarray
    prefixes: list[np.ndarray]
    targets: np.ndarray

    def __repr__(self) -> str:
        return f"Cases({len(self):,})"

    def __len__(self) -> int:
        return len(self.prefixes)


@dataclass(frozen=True, eq=False)
class Sessions:
    """Sessions, ordered by their start.

    Attributes:
        ids: (n,) str object.
        items: n int32 arrays of item rows in time order, each of length >= 1.
        starts: (n,) int64, time of the first click in Unix seconds.
        times: n int64 arrays, the time of each click in Unix seconds; None if unknown.
        history: (n,) int64, number of first clicks that are known from an earlier split: they are
            input and never a target. None: only the first click is.
    """

    ids: np.ndarray
    items: list[np.ndarray]
    starts: np.ndarray
    times: list[np.ndarray] | None = None
    history: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Sessions({len(self):,}, with {self.lengths.sum():,} clicks)"

    def __len__(self) -> int:
        return len(self.items)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, number of clicks of each session."""
        return np.fromiter((len(items) for items in self.items), np.int64, len(self.items))

    @property
    def clicks(self) -> np.ndarray:
        """(n_clicks,) int32, the item rows of all sessions, concatenated."""
        return np.concatenate(self.items) if self.items else np.zeros(0, np.int32)

    @property
    def first_targets(self) -> np.ndarray:
        """(n,) int64, position of the first target in each session, at least 1."""
        if self.history is None:
            return np.ones(len(self), np.int64)
        return np.maximum(self.history, 1)

    @property
    def owners(self) -> np.ndarray:
        """(n_clicks,) int64, the session of each click of `clicks`."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    @property
    def places(self) -> np.ndarray:
        """(n_clicks,) int64, position of each click in its session, from 0."""
        lengths = self.lengths
        return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    @property
    def click_times(self) -> np.ndarray:
        """(n_clicks,) int64, Unix seconds; the start of the session if `times` is None."""
        if self.times is None:
            return self.starts[self.owners]
        return np.concatenate([*self.times, np.zeros(0, np.int64)])

    @property
    def is_history(self) -> np.ndarray:
        """(n_clicks,) bool, whether a click belongs to the `history` of its session."""
        if self.history is None:
            return np.zeros(self.lengths.sum(), dtype=bool)
        return self.places < self.history[self.owners]

    def windows(self, max_length: int) -> list[np.ndarray]:
        """Windows of at most `max_length` + 1 clicks; consecutive windows overlap by one click.

        So each target is in exactly one window, and not its first click. Sessions of one click have
        no window.
        """
        return [
            items[start : start + max_length + 1]
            for items, first in zip(self.items, self.first_targets.tolist(), strict=True)
            for start in range(first - 1, len(items) - 1, max_length)
        ]

    def prefixes(self, max_length: int | None = None) -> Cases:
        """Every prefix of every session, with the next item as target.

        Args:
            max_length: cut a prefix to its most recent items; None keeps all.

        Returns:
            One case for each click except the first (or the `history`) of a session.
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
        """The sessions with only the clicks where `keep` is True.

        Args:
            keep: (n_clicks,) bool, in the order of `clicks`.

        Returns:
            Ordered by start; sessions without any click are dropped.
        """
        history = None if self.history is None else self.is_history
        clicks = Clicks(self.owners, self.clicks, self.click_times, self.ids, None, history)
        left = clicks.select(keep).sessions()
        return left if self.times is not None else replace(left, times=None)


@dataclass(frozen=True, eq=False)
class Clicks:
    """Clicks as parallel arrays, sorted by session and then by time.

    Attributes:
        session: (n,) int64, number of the session, from 0, ascending.
        item: (n,) int32, item row.
        time: (n,) int64, Unix seconds.
        ids: (n_sessions,) str object, names of the sessions.
        split: (n_sessions,) int8, index into `SPLITS`; None if the table has no such column.
        history: (n,) bool, whether a click is known from an earlier split, and so no target; None if
            there are no such clicks.
    """

    session: np.ndarray
    item: np.ndarray
    time: np.ndarray
    ids: np.ndarray
    split: np.ndarray | None
    history: np.ndarray | None = None

    def select(self, keep: np.ndarray) -> "Clicks":
        """The clicks where the mask `keep` (n,) is True; sessions without any click are dropped."""
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
        """(n_sessions,) int64, number of clicks of each session."""
        return np.bincount(self.session, minlength=len(self.ids))

    @property
    def starts(self) -> np.ndarray:
        """(n_sessions,) int64, time of the first click of each session."""
        return self.time[np.cumsum(self.lengths) - self.lengths]

    def sessions(self) -> Sessions:
        """These clicks as `Sessions`, ordered by start (ties in the order of the table)."""
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
