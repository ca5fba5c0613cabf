"""The dashboard's HTML: pure functions from the tables of `app.dashboard.tables` to strings."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from app.dashboard.tables import IDS, OURS, SURE
from app.shell.views import quoted
from tpad.io.csv_files import csv_text

ROLE_NOTES = {
    "reference": "knows the true attributes, which no real model can",
    "oracle": "knows the law of the shop: the best that can be reached",
    "tpad": "the method, or a part of it",
}


@dataclass(frozen=True)
class Column:
    """One column of a table that can be sorted.

    Attributes:
        head: its heading.
        cell: from a row (a named tuple of the table) to HTML.
        value: from a row to what it is sorted by; not sortable where None.
        note: what the heading says when it is pointed at.
        style: class of heading and cells: "n" of numbers, "w" of words, more as `board.css` has it.
        down: whether the largest comes first.
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
) -> str:
    """A table whose headings sort it, in the page itself.

    Args:
        rows: the table.
        columns: of it.
        name: tells the page's tables apart; the page remembers by it how each was sorted.
        caption: what it holds, for screen readers.
        sorted_by: heading of the column that it is sorted by already.
        kind: class of a row.
    """
    heads = []
    for place, column in enumerate(columns):
        note = f' title="{quoted(column.note)}"' if column.note else ""
        if column.value is None:
            heads.append(f'<th scope="col" class="{column.style}"{note}>{escape(column.head)}</th>')
            continue
        now = ("descending" if column.down else "ascending") if column.head == sorted_by else "none"
        heads.append(
            f'<th scope="col" class="{column.style}" aria-sort="{now}"{note}>'
            f'<button type="button" data-sort="{place}" data-down="{int(column.down)}">'
            f"{escape(column.head)}</button></th>"
        )
    lines = []
    for row in rows.itertuples():
        cells = []
        for place, column in enumerate(columns):
            value = (
                "" if column.value is None else f' data-v="{quoted(_sortable(column.value(row)))}"'
            )
            tag = 'th scope="row"' if place == 0 else "td"
            end = "th" if place == 0 else "td"
            cells.append(f'<{tag} class="{column.style}"{value}>{column.cell(row)}</{end}>')
        lines.append(f'<tr class="{kind(row)}">{"".join(cells)}</tr>')
    return (
        f'<div class="tb-wide" tabindex="0" role="region" aria-label="{quoted(caption)}">'
        f'<table class="tb-table" data-name="{quoted(name)}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def head(title: str, note: str = "", links: str = "") -> str:
    """What stands above a plot or a table. `note` and `links` are HTML."""
    below = f'<p class="tp-muted">{note}</p>' if note else ""
    return f'<div class="tb-head"><div><h2 class="tp-h2">{escape(title)}</h2>{below}</div>{links}</div>'


def csv_link(frame: pd.DataFrame, name: str) -> str:
    """A link that saves a table as a CSV file; the file is in the link itself."""
    content = b64encode(csv_text(frame).encode("utf-8")).decode("ascii")
    return (
        f'<a class="tb-csv" download="{quoted(name)}.csv" '
        f'href="data:text/csv;charset=utf-8;base64,{content}" aria-label="Save as CSV: {quoted(name)}">'
        "↓ CSV</a>"
    )


def data_table(frame: pd.DataFrame, heads: dict[str, str], name: str, caption: str) -> str:
    """The data of a plot as a table, folded away, with its CSV file.

    Args:
        frame: the data; all of it is in the file.
        heads: column -> heading, of those that are laid out.
        name: of the file.
        caption: what it holds.
    """
    columns = [_plain_column(frame, column, words) for column, words in heads.items()]
    return (
        f'<div class="tb-data"><details><summary>Data as a table</summary>'
        f"{table(frame.reset_index(drop=True), columns, name, caption=caption)}</details>"
        f"{csv_link(frame, name)}</div>"
    )


def leaderboard(
    rows: pd.DataFrame,
    metric: str,
    k: int,
    *,
    marks: pd.DataFrame | None,
    subject: str,
    runs: dict[str, str],
) -> str:
    """The models, the best first.

    Args:
        rows: as `app.dashboard.tables.leaderboard` gives it.
        metric, k: what the intervals, shares and differences are of.
        marks: as `app.dashboard.tables.differences` gives them; None while they are being computed.
        subject: name of the model that all are tested against; "" if it is not there.
        runs: model -> id of a run of it, to open.
    """
    chosen = f"{metric}@{k}"
    top = float(rows[f"{metric} high"].max()) or 1.0
    columns = [
        Column(
            "Model",
            lambda r: (
                f'<span class="tb-place">{r.place or "–"}</span>'
                f'<span class="tb-name"><button type="button" data-act="run" '
                f'data-id="{quoted(runs.get(r.model, ""))}" title="Open a run of {quoted(r.title)}">'
                f"{escape(r.title)}</button>{_chip(r.family, r.role)}</span>"
            ),
            lambda r: r.title.lower(),
            style="w",
            down=False,
        )
    ]
    for name in ("P", "MRR", "NDCG"):
        columns.append(_metric_column(rows, name, k, "n" if name == metric else "n tb-less"))
    columns.append(
        Column(
            "95 % interval",
            lambda r: _interval(
                _of(r, metric, rows),
                _of(r, f"{metric} low", rows),
                _of(r, f"{metric} high", rows),
                top,
                r.family == OURS,
            ),
            note=f"Of {chosen}: bootstrap over sessions, of the mean over seeds",
            style="w tb-iv-cell",
        )
    )
    if rows.of_oracle.notna().any():
        columns.append(
            Column(
                "Of the oracle",
                lambda r: "–" if pd.isna(r.of_oracle) else f"{r.of_oracle:.0%}",
                lambda r: r.of_oracle,
                f"{chosen} as a share of what the oracle reaches",
            )
        )
    if subject:
        columns.append(
            Column(
                "Against TPAD",
                lambda r: _mark(r.model, subject, marks),
                lambda r: _difference(r.model, marks),
                f"{chosen} less TPAD's",
            )
        )
    return table(
        rows,
        columns,
        "leaderboard",
        caption=f"Models by {chosen}",
        sorted_by=chosen,
        kind=lambda r: (
            "tb-ours"
            if r.model == subject
            else "tb-beyond"
            if r.role in ("reference", "oracle")
            else ""
        ),
    )


def mark_note(count: int, *, testing: int | None = None) -> str:
    """What the marks of significance mean.

    Args:
        count: how many tests are shown.
        testing: how many are done, while they are being made.
    """
    if testing is not None:
        return f"Testing each model against TPAD: {testing} of {count} …"
    return (
        f"† differs from TPAD with p below {SURE:g}: paired permutation test over sessions, "
        f"two-sided, on means over seeds, corrected by Holm’s method for the {count} tests of this "
        "table. ± is the deviation over seeds."
    )


def skeleton(text: str = "Reading the results …") -> str:
    """What stands there until something is drawn."""
    return (
        f'<div class="tb-skeleton" role="status"><p class="tp-muted">{escape(text)}</p>'
        f"{'<i></i>' * 6}</div>"
    )


def progress(text: str, done: int, count: int) -> str:
    """A long computation on its way."""
    return (
        f'<div class="tb-progress" role="status"><p>{escape(text)} '
        f'<span class="tp-muted">{done} of {count}</span></p>'
        f'<span class="tp-bar"><span style="width:{done / max(count, 1):.0%}"></span></span></div>'
    )


def nothing(title: str, text: str) -> str:
    """A section that has nothing to show. `text` is HTML."""
    return f'<div class="tp-empty"><b>{escape(title)}</b><p>{text}</p></div>'


METRIC_NOTES = {
    "P": "Share of cases whose next item is among the first k",
    "MRR": "Mean of one over the place of the next item, 0 beyond k",
    "NDCG": "Mean of 1 / log2(place + 1) of the next item, 0 beyond k",
}


def _metric_column(rows: pd.DataFrame, name: str, k: int, style: str) -> Column:
    def mean(row: Any) -> float:
        return _of(row, name, rows)

    def cell(row: Any) -> str:
        return _mean(mean(row), _of(row, f"{name} deviation", rows))

    return Column(f"{name}@{k}", cell, mean, METRIC_NOTES[name], style)


def _plain_column(frame: pd.DataFrame, name: str, words: str) -> Column:
    place = list(frame.columns).index(name) + 1  # itertuples begins with the index
    if pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool:
        whole = pd.api.types.is_integer_dtype(frame[name])
        form = ",d" if whole else ".4f"
        return Column(
            words,
            lambda r: "–" if pd.isna(r[place]) else format(r[place], form),
            lambda r: r[place],
        )
    return Column(words, lambda r: escape(str(r[place])), lambda r: str(r[place]), "", "w", False)


def _of(row: Any, name: str, rows: pd.DataFrame) -> float:
    """A cell by its column's name, which need not be a word of Python's."""
    return float(row[list(rows.columns).index(name) + 1])


def _mean(mean: float, deviation: float) -> str:
    spread = "" if pd.isna(deviation) else f' <span class="tb-dev">± {deviation:.3f}</span>'
    return f"{mean:.3f}{spread}"


def _interval(mean: float, low: float, high: float, top: float, ours: bool) -> str:
    at, start, end = (100 * value / top for value in (mean, low, high))
    words = f"{low:.3f} – {high:.3f}"
    return (
        f'<span class="tb-iv{" tb-iv-ours" if ours else ""}" title="{words}">'
        f'<i style="left:{start:.2f}%;width:{max(end - start, 0.4):.2f}%"></i>'
        f'<b style="left:{at:.2f}%"></b></span>'
        f'<span class="tb-iv-words">{words}</span>'
    )


def _chip(family: str, role: str) -> str:
    kind = {IDS: "id", OURS: "ours"}.get(family, role)
    words = family.removeprefix("baseline, ")
    note = family if words != family else ROLE_NOTES.get(role, role)
    return f'<span class="tb-chip tb-{quoted(kind)}" title="{quoted(note)}">{escape(words)}</span>'


def _difference(model: str, marks: pd.DataFrame | None) -> float:
    if marks is None or model not in marks.index:
        return float("nan")
    return float(marks.difference[model])


def _mark(model: str, subject: str, marks: pd.DataFrame | None) -> str:
    if model == subject:
        return "–"
    if marks is None:
        return '<span class="tp-muted">…</span>'
    if model not in marks.index:
        return "–"
    row = marks.loc[model]
    sign = '<span class="tb-sure">†</span>' if row.sure else '<span class="tb-sure"></span>'
    words = f"{row.low:+.3f} – {row.high:+.3f}; p = {row.p:.4f}, corrected {row.p_corrected:.4f}"
    spoken = '<span class="tb-spoken"> significant</span>' if row.sure else ""
    difference = f"{row.difference:+.3f}".replace("-", "−")
    return f'<span title="{words}">{difference}{sign}{spoken}</span>'


def _sortable(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:.9g}"
