"""The dashboard's HTML that all sections share: headings, tables, empty states.

All functions return safe HTML (`Markup`); plain texts that are passed to them are escaped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from app.shell.templates import fragment, macros
from app.shell.views import csv_link


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        head: its heading.
        cell: from a row (a named tuple of the table) to its text or HTML.
        value: from a row to the value it is sorted by; None if the column cannot be sorted.
        note: tooltip of the heading.
        style: CSS classes of heading and cells: "n" for numbers, "w" for words; `dashboard.css` has more.
        down: whether the largest value comes first.
    """

    head: str
    cell: Callable[[Any], str]
    value: Callable[[Any], Any] | None = None
    note: str = ""
    style: str = "n"
    down: bool = True


def table(
    rows: pd.DataFrame,
    columns: Sequence[Column],
    name: str,
    *,
    caption: str,
    sorted_by: str = "",
    kind: Callable[[Any], str] = lambda row: "",
) -> Markup:
    """A table that the page sorts by a click on a heading.

    Args:
        rows: the table.
        columns: of it.
        name: tells the page's tables apart; the page remembers by it how each was sorted.
        caption: for screen readers.
        sorted_by: heading of the column that the rows are already sorted by.
        kind: CSS class of a row.
    """
    lines = []
    for row in rows.itertuples():
        cells = [
            (
                column.style,
                None if column.value is None else _sort_key(column.value(row)),
                column.cell(row),
            )
            for column in columns
        ]
        lines.append((kind(row), cells))
    return fragment(
        "dashboard/table.html",
        name=name,
        caption=caption,
        columns=columns,
        sorted_by=sorted_by,
        lines=lines,
    )


def head(title: str, note: str = "", link: str = "") -> Markup:
    """The heading of a plot or a table, with a note and a link."""
    return macros("dashboard/parts.html").head(title, note, link)


def note(text: str) -> Markup:
    """A note below a table, announced by screen readers when it changes."""
    return macros("dashboard/parts.html").note(text)


def data_table(frame: pd.DataFrame, heads: dict[str, str], name: str, caption: str) -> Markup:
    """The data of a plot as a folded table, with its CSV file.

    Args:
        frame: the data; the file has all columns.
        heads: column -> heading, of the columns that are shown.
        name: of the file.
        caption: for screen readers.
    """
    columns = [_plain_column(frame, column, words) for column, words in heads.items()]
    content = table(frame.reset_index(drop=True), columns, name, caption=caption)
    return macros("dashboard/parts.html").data(content, csv_link(frame, name))


def skeleton(text: str = "Reading the results …") -> Markup:
    """What stands there until something is drawn."""
    return macros("dashboard/parts.html").skeleton(text)


def progress(text: str, done: int, count: int) -> Markup:
    """The progress of a long computation."""
    return macros("dashboard/parts.html").progress(text, done, count)


def nothing(title: str, text: str) -> Markup:
    """A section that has nothing to show."""
    return macros("macros.html").nothing(title, text)


def cell_of(row: Any, name: str, rows: pd.DataFrame) -> float:
    """A number of a row by its column's name, which may not be a Python identifier."""
    return float(row[list(rows.columns).index(name) + 1])  # itertuples begins with the index


def _plain_column(frame: pd.DataFrame, name: str, words: str) -> Column:
    place = list(frame.columns).index(name) + 1  # itertuples begins with the index
    if pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool:
        form = ",d" if pd.api.types.is_integer_dtype(frame[name]) else ".4f"
        return Column(
            words,
            lambda r: "–" if pd.isna(r[place]) else format(r[place], form),
            lambda r: r[place],
        )
    return Column(words, lambda r: str(r[place]), lambda r: str(r[place]), "", "w", False)


def _sort_key(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:.9g}"
