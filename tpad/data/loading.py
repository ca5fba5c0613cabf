"""Reads the files of a dataset, makes its sessions, and splits them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.clicks import read_clicks
from tpad.data.columns import Columns
from tpad.data.interactions import (
    Interactions,
    clicked_items,
    read_interactions,
    with_clicked_items,
)
from tpad.data.items import read_items
from tpad.data.report import LoadReport, ReportBuilder
from tpad.data.sessions import SPLITS, Clicks, Sessions
from tpad.data.splits import (
    FEWEST_TO_LEAVE_ONE_OUT,
    HELD_OUT_CLICK,
    REMOVED,
    TOO_SHORT,
    assert_no_leak,
    hold_out_items,
    remove_held_out,
    split_by_time,
    split_leave_one_out,
    without_clicks,
)
from tpad.errors import ConfigError, DataError, check_seed, shown

TIME, LEAVE_ONE_OUT = "time", "leave_one_out"
LOADED_SPLITS = (TIME, LEAVE_ONE_OUT)
"""How `Dataset.load` can split interactions that have no column `split`."""
Parts = tuple[Sessions, Sessions, Sessions]


@dataclass(frozen=True)
class LoadOptions:
    """How the files of a dataset are read; see the arguments of `Dataset.load`."""

    session_gap_minutes: float = 30
    strict: bool = False
    split: str | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    cold_fraction: float = 0.0
    min_session: int = 2
    merge_repeats: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.min_session, int | np.integer) or self.min_session < 2:
            raise ConfigError(
                f"min_session must be a whole number of at least 2, not {self.min_session}."
            )
        if not self.session_gap_minutes > 0:
            raise ConfigError(
                f"session_gap_minutes must be above 0, not {self.session_gap_minutes}."
            )
        if self.split is not None and self.split not in LOADED_SPLITS:
            raise ConfigError(
                f"split must be one of {', '.join(LOADED_SPLITS)}, not {self.split!r}."
            )
        check_seed(self.seed)


def load_files(
    items: Path | None, interactions: Path, test_interactions: Path | None, options: LoadOptions
) -> tuple[pd.DataFrame, Parts, LoadReport]:
    """Read the files of a dataset: see `Dataset.load`.

    Returns:
        The item table; training, validation and test sessions; what was skipped or repaired.
    """
    builder = ReportBuilder(options.strict)
    table = None if items is None else read_items(items, builder)
    before = len(builder)
    sources = [
        read_interactions(path, builder)
        for path in (interactions, test_interactions)
        if path is not None
    ]
    split = _split_of(sources, options)
    if table is None:
        table = clicked_items(sources, builder)
    elif sources[0].is_sequences:
        table = with_clicked_items(table, sources[0], builder)
    _require_several(table, (items or interactions).name, builder)
    held_out = hold_out_items(len(table), options.cold_fraction, options.seed)

    clicks = [
        read_clicks(
            source,
            table[Columns.ITEM_ID],
            builder,
            session_gap_minutes=options.session_gap_minutes,
            min_session=options.min_session,
            merge_repeats=options.merge_repeats,
            whole_users=split == LEAVE_ONE_OUT,
        )
        for source in sources
    ]
    name, found = sources[0].name, builder.evidence(before)
    if split == LEAVE_ONE_OUT:
        parts = _left_out(clicks[0], held_out, builder, name, found)
    else:
        parts = _by_column_or_time(clicks, held_out, options, builder, name, found)
    if not (parts[0].lengths > 1).any():
        found = builder.evidence(before)  # now with what was held out
        raise DataError(
            f"{name} has no training session of {options.min_session} clicks or more"
            f"{f' ({found})' if found else ''}; give more interactions."
        )
    assert_no_leak(*parts, held_out=held_out)
    return table, parts, builder.build()


def _split_of(sources: list[Interactions], options: LoadOptions) -> str:
    """The split of the options, or that which the files need.

    Raises:
        DataError: the files cannot be split like this.
        ConfigError: test interactions do not go with the split.
    """
    first = sources[0]
    split = options.split or (LEAVE_ONE_OUT if first.is_sequences else TIME)
    untimed = [one.name for one in sources if one.is_sequences]
    if split == TIME and untimed:
        raise DataError(
            f"{untimed[0]} has sequences without times, which cannot be split by time; use the split "
            f"{LEAVE_ONE_OUT}."
        )
    if split == LEAVE_ONE_OUT and len(sources) > 1:
        raise ConfigError(
            f"The split {LEAVE_ONE_OUT} makes its test cases of {first.name}; leave out the test "
            "interactions."
        )
    if split == TIME and len(sources) == 1:
        return split
    for source in sources:
        for column in (Columns.SPLIT, Columns.IS_HISTORY):
            if column in source.frame.columns:
                other = "test interactions" if len(sources) > 1 else f"the split {LEAVE_ONE_OUT}"
                raise DataError(
                    f"{source.name} has a column '{column}', which does not go with {other}; remove "
                    "one of the two."
                )
    return split


def _require_several(table: pd.DataFrame, name: str, report: ReportBuilder) -> None:
    if len(table) < 2:
        found = report.evidence()
        what = (
            f"a single item, '{shown(table[Columns.ITEM_ID].iloc[0])}'" if len(table) else "no item"
        )
        raise DataError(f"{name} has {what}{f' ({found})' if found else ''}; give at least two.")


def _by_column_or_time(
    clicks: list[Clicks],
    held_out: np.ndarray,
    options: LoadOptions,
    report: ReportBuilder,
    name: str,
    found: str,
) -> Parts:
    """The sessions by their column `split`; without one, the latest test and those before validate.

    With the clicks of a second file, these test, and the latest of the first file validate.
    """
    joined, *test = clicks
    if test:
        joined = _with_test(joined, test[0], options.validation_fraction, found)
    elif joined.split is None:
        fractions = options.validation_fraction, options.test_fraction
        joined = replace(joined, split=split_by_time(joined.starts, *fractions, found))
    joined = remove_held_out(joined, held_out, options.min_session, report, name)
    return parts_of(joined)


def _with_test(train: Clicks, test: Clicks, validation_fraction: float, found: str) -> Clicks:
    """Join the clicks of two files; a name that both have is extended in the second."""
    codes = split_by_time(train.starts, validation_fraction, 0.0, found)
    names = set(train.ids.tolist())
    renamed = [f"{name}@{SPLITS[2]}" if name in names else name for name in test.ids.tolist()]
    return Clicks(
        np.concatenate([train.session, test.session + len(train.ids)]),
        np.concatenate([train.item, test.item]),
        np.concatenate([train.time, test.time]),
        np.array([*train.ids.tolist(), *renamed], dtype=object),
        np.concatenate([codes, np.full(len(test.ids), SPLITS.index("test"), np.int8)]),
    )


def _left_out(
    clicks: Clicks, held_out: np.ndarray, report: ReportBuilder, name: str, found: str
) -> Parts:
    """The last click of each user is for test, the one before for validation.

    Held-out items are removed from training and validation; test sessions do not change.
    """
    users = clicks.sessions()
    short = users.lengths < FEWEST_TO_LEAVE_ONE_OUT
    if short.all():
        raise DataError(
            f"{name} has no user with {FEWEST_TO_LEAVE_ONE_OUT} clicks or more"
            f"{f' ({found})' if found else ''}; give more interactions."
        )
    report.note(
        f"user with fewer than {FEWEST_TO_LEAVE_ONE_OUT} clicks",
        "used for training only",
        (f"{name} user '{shown(user)}'" for user in users.ids[short]),
        int(short.sum()),
    )
    *both, test = split_leave_one_out(users)
    train, validation = (without_clicks(part, held_out[part.clicks]) for part in both)
    removed = held_out[both[0].clicks].sum() + held_out[both[1].prefixes().targets].sum()
    report.note(HELD_OUT_CLICK, REMOVED, (), int(removed))
    report.note(
        TOO_SHORT, "the session is skipped", (), sum(map(len, both)) - len(train) - len(validation)
    )
    return train, validation, test


def parts_of(clicks: Clicks) -> Parts:
    """The sessions of train, validation and test; the clicks have a split."""
    assert clicks.split is not None
    of_click = clicks.split[clicks.session]  # (n_clicks,)
    train, validation, test = (
        clicks.select(of_click == code).sessions() for code in range(len(SPLITS))
    )
    return train, validation, test
