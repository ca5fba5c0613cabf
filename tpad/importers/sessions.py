"""Forms sessions from one part of the clicks: sorts them, removes duplicates, and filters."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tpad.data.columns import Columns
from tpad.importers.counts import RowCounts
from tpad.importers.source import CATEGORY, HISTORY, ITEM, OWNER, TIME

DAY = 86_400  # seconds
NUMBER = "number"  # column with the number of a session within its part


def form_sessions(
    clicks: pa.Table,
    rule: str,
    gap_minutes: float,
    min_session: int,
    is_ratings: bool,
    counts: RowCounts,
) -> pa.Table:
    """Form sessions from all clicks of some owners.

    Args:
        clicks: `CLICKS`, possibly with split and history; clicks of the same time keep their order.
        rule: `day`, `gap`, `user` or `given`, see `ImportSettings`. A session also ends where the
            split changes.
        gap_minutes: of the rule `gap`.
        min_session: shorter sessions are dropped.
        is_ratings: rows that repeat owner, item and time are duplicates and dropped.
        counts: counts the dropped rows.

    Returns:
        session_id, item_id, timestamp (int64 Unix seconds), possibly split, category and
        is_history, and `NUMBER`; sorted by session and time.
    """
    encoded = clicks[OWNER].combine_chunks().dictionary_encode()
    owner = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    owners = encoded.dictionary
    if Columns.SPLIT in clicks.column_names:
        owner, owners = _by_split(owner, owners, clicks[Columns.SPLIT])
    time = clicks[TIME].to_numpy()
    if is_ratings:
        keep = _first_ratings(clicks, owner, owners, time, counts)
        clicks, owner, time = clicks.take(pa.array(keep)), owner[keep], time[keep]
    order = np.lexsort((time, owner))  # stable
    clicks, owner = clicks.take(pa.array(order)), owner[order]
    seconds = time[order].astype(np.int64)  # a fraction is cut off, as the loader does

    new_owner = np.diff(owner, prepend=-1) != 0
    begins = new_owner.copy()
    if rule == "day":
        begins |= np.diff(seconds // DAY, prepend=-1) != 0
    elif rule == "gap":
        begins |= np.diff(seconds, prepend=seconds[:1]) >= gap_minutes * 60
    session = np.cumsum(begins) - 1
    names = _session_names(rule, owner, owners, seconds, begins, new_owner)
    columns = {
        NUMBER: pa.array(session),
        Columns.SESSION_ID: names.take(pa.array(session)),
        Columns.ITEM_ID: clicks[ITEM],
        Columns.TIMESTAMP: pa.array(seconds),
    }
    if Columns.SPLIT in clicks.column_names:
        columns[Columns.SPLIT] = clicks[Columns.SPLIT]
    if CATEGORY in clicks.column_names:
        columns[CATEGORY] = clicks[CATEGORY]
    if HISTORY in clicks.column_names:
        columns[Columns.IS_HISTORY] = clicks[HISTORY]
    return drop_short(pa.table(columns), min_session, counts)


def _session_names(
    rule: str,
    owner: np.ndarray,
    owners: pa.Array,
    seconds: np.ndarray,
    begins: np.ndarray,
    new_owner: np.ndarray,
) -> pa.Array:
    """Names of the sessions: the owner's, with the day or a number for these rules.

    Args:
        rule: see `form_sessions`.
        owner: (n,) number of the owner of each click; the clicks are sorted.
        owners: names of the owners.
        seconds: (n,) Unix seconds.
        begins: (n,) bool, the first click of each session.
        new_owner: (n,) bool, the first click of each owner.
    """
    at = np.flatnonzero(begins)
    names = owners.take(pa.array(owner[at]))
    if rule == "day":
        days = np.datetime_as_string((seconds[at] // DAY).astype("datetime64[D]"), unit="D")
        return pc.binary_join_element_wise(names, pa.array(days.tolist(), pa.string()), "@")
    if rule == "gap":
        first = np.maximum.accumulate(np.where(new_owner[at], np.arange(len(at)), 0))
        numbers = pa.array(np.arange(len(at)) - first + 1).cast(pa.string())
        return pc.binary_join_element_wise(names, numbers, "#")
    return names


def drop_short(clicks: pa.Table, min_session: int, counts: RowCounts) -> pa.Table:
    """Drop the sessions of fewer than `min_session` clicks.

    Args:
        clicks: as `form_sessions` returns them, with `NUMBER`.
        min_session: smallest number of clicks of a session.
        counts: counts the dropped clicks.
    """
    lengths = np.bincount(clicks[NUMBER].to_numpy())
    short = lengths[clicks[NUMBER].to_numpy()] < min_session
    counts.drop(
        f"click in a session of fewer than {min_session} clicks",
        (f"session '{clicks[Columns.SESSION_ID][int(i)]}'" for i in np.flatnonzero(short)),
        int(short.sum()),
    )
    return clicks.filter(pa.array(~short)) if short.any() else clicks


def drop_items(
    clicks: pa.Table, column: str, ids: pa.Array, reason: str, counts: RowCounts, keep: bool = True
) -> pa.Table:
    """Keep only the clicks whose `column` is in `ids`; with `keep=False`, drop these."""
    drop = pc.is_in(clicks[column], value_set=ids)
    if keep:
        drop = pc.invert(drop)
    lost = clicks[column].filter(drop)
    examples = dict.fromkeys(lost.slice(0, 1000).to_pylist())  # each item once
    counts.drop(reason, (f"item '{item}'" for item in examples), len(lost))
    return clicks.filter(pc.invert(drop)) if len(lost) else clicks


def _by_split(
    owner: np.ndarray, owners: pa.Array, splits: pa.ChunkedArray
) -> tuple[np.ndarray, pa.Array]:
    """Separate owners by split; for an owner in several splits, the name of the split is appended."""
    encoded = splits.combine_chunks().dictionary_encode()
    width = max(len(encoded.dictionary), 1)
    both = owner * width + encoded.indices.to_numpy(zero_copy_only=False)
    found, owner = np.unique(both, return_inverse=True)
    of, split = found // width, found % width
    shared = np.bincount(of, minlength=len(owners))[of] > 1
    names = owners.take(pa.array(of))
    if shared.any():
        longer = pc.binary_join_element_wise(names, encoded.dictionary.take(pa.array(split)), "@")
        names = pc.if_else(pa.array(shared), longer, names)
    return owner, names


def _first_ratings(
    clicks: pa.Table, owner: np.ndarray, owners: pa.Array, time: np.ndarray, counts: RowCounts
) -> np.ndarray:
    """Rows without those that repeat an earlier rating, which are counted as dropped."""
    repeated = _repeated(owner, clicks[ITEM], time)
    at = np.flatnonzero(repeated)
    counts.drop(
        "same user, item and time as a row before",
        (f"user '{owners[owner[i]]}', item '{clicks[ITEM][int(i)]}'" for i in at),
        len(at),
    )
    return np.flatnonzero(~repeated)


def _repeated(owner: np.ndarray, items: pa.ChunkedArray, time: np.ndarray) -> np.ndarray:
    """(n,) bool, whether an earlier row has the same owner, item and time."""
    encoded = items.combine_chunks().dictionary_encode()
    item = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.lexsort((item, time, owner))  # stable: the first of equal rows stays
    same = np.ones(len(order), dtype=bool)
    for values in (owner, item, time):
        same &= np.diff(values[order], prepend=values[order][:1]) == 0
    same[:1] = False
    repeated = np.zeros(len(order), dtype=bool)
    repeated[order[same]] = True
    return repeated
