"""From one part of the clicks to sessions: sorting, removing copies, cutting, filtering."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tpad.data.columns import Columns
from tpad.importers.source import CATEGORY, HISTORY, ITEM, OWNER, TIME
from tpad.importers.tally import Tally

DAY = 86_400  # seconds
NUMBER = "number"  # of a session within its part, while its clicks are filtered


def cut(
    clicks: pa.Table,
    rule: str,
    gap_minutes: float,
    min_session: int,
    is_ratings: bool,
    tally: Tally,
) -> pa.Table:
    """Cuts all clicks of some owners into sessions.

    Args:
        clicks: `CLICKS`, perhaps with split and history; ties in time keep this order.
        rule: `day`, `gap`, `user` or `given`, see `ImportSettings`. A session also ends where the
            split changes.
        gap_minutes: of the rule `gap`.
        min_session: shorter sessions are left out.
        is_ratings: a second row of the same owner, item and time is a copy and left out.
        tally: counts what is left out.

    Returns:
        session_id, item_id, timestamp (int64 Unix seconds), perhaps split, category and
        is_history, and `NUMBER`; sorted by session and time.
    """
    encoded = clicks[OWNER].combine_chunks().dictionary_encode()
    owner = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    owners = encoded.dictionary
    if Columns.SPLIT in clicks.column_names:
        owner, owners = _by_split(owner, owners, clicks[Columns.SPLIT])
    time = clicks[TIME].to_numpy()
    if is_ratings:
        repeated = _repeated(owner, clicks[ITEM], time)
        at = np.flatnonzero(repeated)
        tally.drop(
            "same user, item and time as a row before",
            (f"user '{owners[owner[i]]}', item '{clicks[ITEM][int(i)]}'" for i in at),
            len(at),
        )
        keep = np.flatnonzero(~repeated)
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
    at = np.flatnonzero(begins)
    names = owners.take(pa.array(owner[at]))
    if rule == "day":
        days = np.datetime_as_string((seconds[at] // DAY).astype("datetime64[D]"), unit="D")
        names = pc.binary_join_element_wise(names, pa.array(days.tolist(), pa.string()), "@")
    elif rule == "gap":
        first = np.maximum.accumulate(np.where(new_owner[at], np.arange(len(at)), 0))
        numbers = pa.array(np.arange(len(at)) - first + 1).cast(pa.string())
        names = pc.binary_join_element_wise(names, numbers, "#")

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
    return drop_short(pa.table(columns), min_session, tally)


def drop_short(clicks: pa.Table, min_session: int, tally: Tally) -> pa.Table:
    """Leaves out the sessions of fewer than `min_session` clicks.

    Args:
        clicks: as `cut` gives it, with `NUMBER`.
        min_session: fewest clicks of a session.
        tally: counts the clicks that are left out.
    """
    lengths = np.bincount(clicks[NUMBER].to_numpy())
    short = lengths[clicks[NUMBER].to_numpy()] < min_session
    tally.drop(
        f"click in a session of fewer than {min_session} clicks",
        (f"session '{clicks[Columns.SESSION_ID][int(i)]}'" for i in np.flatnonzero(short)),
        int(short.sum()),
    )
    return clicks.filter(pa.array(~short)) if short.any() else clicks


def drop_items(
    clicks: pa.Table, column: str, ids: pa.Array, reason: str, tally: Tally, keep: bool = True
) -> pa.Table:
    """Keeps only the clicks whose `column` is in `ids`, or without `keep` only the others."""
    left_out = pc.is_in(clicks[column], value_set=ids)
    if keep:
        left_out = pc.invert(left_out)
    lost = clicks[column].filter(left_out)
    examples = dict.fromkeys(lost.slice(0, 1000).to_pylist())  # each item once
    tally.drop(reason, (f"item '{item}'" for item in examples), len(lost))
    return clicks.filter(pc.invert(left_out)) if len(lost) else clicks


def _by_split(
    owner: np.ndarray, owners: pa.Array, splits: pa.ChunkedArray
) -> tuple[np.ndarray, pa.Array]:
    """Owners told apart by split; one that is in several splits gets the split's name as well."""
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


def _repeated(owner: np.ndarray, items: pa.ChunkedArray, time: np.ndarray) -> np.ndarray:
    """(n,) bool, True for a row whose owner, item and time a row before it has, too."""
    encoded = items.combine_chunks().dictionary_encode()
    item = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.lexsort((item, time, owner))  # stable: the first of the same stays
    same = np.ones(len(order), dtype=bool)
    for values in (owner, item, time):
        same &= np.diff(values[order], prepend=values[order][:1]) == 0
    same[:1] = False
    repeated = np.zeros(len(order), dtype=bool)
    repeated[order[same]] = True
    return repeated
