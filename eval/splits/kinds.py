"""The kinds of splits: how each divides the sessions of a dataset, and which items it holds out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np

from tpad import Columns, ConfigError, DataError, Dataset
from tpad.data.sessions import Sessions
from tpad.data.splits import split_by_time, split_leave_one_out, without_clicks
from tpad.errors import shown

POPULARITY_STRATA = 10
PARTS = ("train", "validation", "test")

Cut = Callable[[Dataset, Mapping[str, Any], np.random.Generator], tuple[Dataset, np.ndarray]]
"""(dataset, parameters, random state) -> (dataset with new sessions, (n_items,) bool held-out items)."""


def given(
    dataset: Dataset, params: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """The dataset unchanged."""
    return dataset, np.zeros(len(dataset), dtype=bool)


def cold_items(
    dataset: Dataset, params: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """Drawn items lose their training and validation clicks, except `n` training clicks if given."""
    chosen = draw_items(dataset, params["draw"], params["fraction"], rng)
    return hold_out(dataset, chosen, params.get("n", 0), rng), chosen


def new_category(
    dataset: Dataset, params: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """All items of a category lose their training and validation clicks."""
    categories = _categories(dataset)
    names, name = sorted(set(categories.tolist()) - {""}), params["category"]
    if name is None:
        targets = set(categories[dataset.test.prefixes().targets].tolist())
        names = [name for name in names if name in targets]
        if not names:
            raise DataError("No target of a test session has a category; use more sessions.")
        name = names[int(rng.integers(len(names)))]
    elif name not in names:
        some = ", ".join(map(shown, names[:10])) + (", …" if len(names) > 10 else "")
        raise ConfigError(f"There is no category {shown(name)!r}; choose one of {some}.")
    chosen = categories == name
    return hold_out(dataset, chosen, 0, rng), chosen


def launch_date(
    dataset: Dataset, params: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """Sessions that start after a day are test sessions; items first clicked after it are held out."""
    day, end = params["day"], end_of_day(params["day"])
    sessions = joined(dataset)
    if sessions.times is None:
        raise DataError(
            "The clicks have no times, which launch_date needs; load them from a table with "
            "timestamps."
        )
    first_seen = np.full(len(dataset), np.iinfo(np.int64).max)
    np.minimum.at(first_seen, sessions.clicks, sessions.click_times)
    clicked = np.bincount(sessions.clicks, minlength=len(dataset)) > 0
    chosen = clicked & (first_seen >= end)
    if not chosen.any():
        last = datetime.fromtimestamp(int(first_seen[clicked].max()), UTC).date()
        raise ConfigError(
            f"No item is first clicked after {day} (the last one on {last}); choose an earlier day."
        )
    before = sessions.take(sessions.starts < end)
    # A session that continues after midnight is cut there, so later clicks are not trained on.
    before = without_clicks(before, before.click_times >= end)
    if not len(before):
        raise ConfigError(f"No session has two clicks before the end of {day}; choose a later day.")
    part = split_by_time(before.starts, params["validation_fraction"], 0.0)
    after = sessions.take(sessions.starts >= end)
    return (
        replace(
            dataset, train=before.take(part == 0), validation=before.take(part == 1), test=after
        ),
        chosen,
    )


def short_sessions(
    dataset: Dataset, params: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """Test sessions are cut after `length` clicks and the target."""
    short = dataset.test.where(dataset.test.places <= params["length"])
    return given(replace(dataset, test=short), params, rng)


def temporal(
    dataset: Dataset, params: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """The latest sessions are test sessions, those before them validation sessions."""
    sessions = joined(dataset)
    if len(sessions) > 1 and sessions.starts.min() == sessions.starts.max():
        raise DataError(
            "All sessions start at the same time, so they cannot be split by time; load them from "
            "a table with timestamps."
        )
    part = split_by_time(sessions.starts, params["validation_fraction"], params["test_fraction"])
    train, validation, test = (sessions.take(part == code) for code in range(len(PARTS)))
    return given(replace(dataset, train=train, validation=validation, test=test), params, rng)


def leave_one_out(
    dataset: Dataset, params: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """The last click of each sequence is the test target, the second last the validation target.

    See `tpad.data.splits.split_leave_one_out`. A dataset that was loaded with this split stays as it is.
    """
    if has_history(dataset) and all(str(name).endswith(":test") for name in dataset.test.ids):
        return given(dataset, params, rng)
    train, validation, test = split_leave_one_out(joined(dataset))
    cut = replace(dataset, train=train, validation=validation, test=test)
    return given(cut, params, rng)


CUTS: dict[str, Cut] = {
    "given": given,
    "cold_items": cold_items,
    "few_shot": cold_items,
    "new_category": new_category,
    "launch_date": launch_date,
    "short_sessions": short_sessions,
    "temporal": temporal,
    "leave_one_out": leave_one_out,
}


def draw_items(
    dataset: Dataset, draw: str, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws a share of the items with training clicks, in proportion from each stratum.

    Args:
        dataset: its items and their training clicks.
        draw: "random", "popularity" or "category".
        fraction: share, above 0 and below 1.
        rng: random state.

    Returns:
        (n_items,) bool; ⌊fraction · s⌋ or ⌈fraction · s⌉ items of a stratum of s items.

    Raises:
        ConfigError: the share is less than one item.
        DataError: `draw` is "category" and no item has one.
    """
    pool = np.flatnonzero(dataset.popularity > 0)
    count = round(fraction * len(pool))
    if count < 1:
        raise ConfigError(
            f"A fraction of {fraction} of {len(pool):,} clicked items is less than one item; choose a "
            "larger fraction."
        )
    strata = np.zeros(len(pool), dtype=np.int64)
    shuffled = rng.permutation(len(pool))  # ties are in random order
    if draw == "popularity":
        by_clicks = shuffled[np.argsort(dataset.popularity[pool][shuffled], kind="stable")]
        strata[by_clicks] = np.arange(len(pool)) * POPULARITY_STRATA // len(pool)
    elif draw == "category":
        strata = np.unique(_categories(dataset)[pool], return_inverse=True)[1]
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    # Systematic sampling (Cochran 1977, ch. 8): every (n / count)-th item from a random start.
    positions = (np.arange(count) + rng.random()) * len(pool) / count
    chosen = np.zeros(len(dataset), dtype=bool)
    chosen[pool[order[positions.astype(np.int64)]]] = True
    return chosen


def hold_out(
    dataset: Dataset, chosen: np.ndarray, at_most: int, rng: np.random.Generator
) -> Dataset:
    """Removes the chosen items from validation, and from training except for some clicks.

    Args:
        dataset: the dataset.
        chosen: (n_items,) bool.
        at_most: training clicks that each chosen item keeps, drawn at random.
        rng: random state.
    """
    clicks = dataset.train.clicks  # (n_clicks,)
    order = np.lexsort((rng.random(len(clicks)), clicks))
    first = np.searchsorted(clicks[order], clicks[order])
    surplus = np.zeros(len(clicks), dtype=bool)
    surplus[order] = np.arange(len(clicks)) - first >= at_most
    return replace(
        dataset,
        train=without_clicks(dataset.train, surplus & chosen[clicks]),
        validation=without_clicks(dataset.validation, chosen[dataset.validation.clicks]),
    )


def joined(dataset: Dataset) -> Sessions:
    """The sessions of all three parts, ordered by start.

    Raises:
        DataError: the dataset was split by `leave_one_out`.
    """
    if has_history(dataset):
        raise DataError(
            "The sequences of the dataset overlap, as it was split by leave_one_out; split the "
            "original dataset."
        )
    parts = [getattr(dataset, name) for name in PARTS]
    parts = [part for part in parts if len(part)]
    known = all(part.times is not None for part in parts)
    whole = Sessions(
        np.concatenate([np.zeros(0, object), *(part.ids for part in parts)]),
        [items for part in parts for items in part.items],
        np.concatenate([np.zeros(0, np.int64), *(part.starts for part in parts)]),
        [times for part in parts for times in part.times] if known else None,
    )
    return whole.take(np.argsort(whole.starts, kind="stable"))


def has_history(dataset: Dataset) -> bool:
    """Whether sessions begin with clicks of an earlier part, as those of `leave_one_out` do."""
    return any((getattr(dataset, name).first_targets > 1).any() for name in PARTS)


def end_of_day(day: str | None) -> int:
    """The Unix time at the end of a day (YYYY-MM-DD, UTC)."""
    try:
        start = datetime.combine(date.fromisoformat(day or ""), time(), UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"day must be the last day of training, as YYYY-MM-DD, not {day!r}."
        ) from None
    return int((start + timedelta(days=1)).timestamp())


def _categories(dataset: Dataset) -> np.ndarray:
    """The categories of the items, (n_items,) object.

    Raises:
        DataError: no item has one.
    """
    categories = dataset.items[Columns.CATEGORY].to_numpy(dtype=object)
    if not (categories != "").any():
        raise DataError(
            "No item has a category, which this split needs; fill the column "
            f"'{Columns.CATEGORY}' of the item table, or choose another split."
        )
    return categories
