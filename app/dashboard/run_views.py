"""The HTML of the dashboard's runs: the list of them, and one run with its worst cases."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from app.dashboard.views import Column, csv_link, head, table
from app.shell.names import model_title
from app.shell.views import picture, quoted
from eval.database.records import RunInfo

LONGEST = 6  # items of a session that are shown of a case
SHOWN_METRICS = (("P", 20), ("MRR", 20), ("NDCG", 20))


@dataclass(frozen=True)
class Item:
    """An item of a case; without a title where the bundle has other data."""

    row: int
    title: str = ""
    picture: str = ""

    @property
    def words(self) -> str:
        return self.title or f"item {self.row}"


@dataclass(frozen=True)
class Case:
    """A case of a run.

    Attributes:
        number: of the case, from 0.
        session: its items, the most recent last; empty where the bundle has other data.
        length: how many items they are.
        target: the true next item.
        cold: whether nobody clicked it in training.
        ranks: (whose, rank), this run's first; inf is not found.
    """

    number: int
    session: tuple[Item, ...]
    length: int
    target: Item
    cold: bool
    ranks: tuple[tuple[str, float], ...]


def run_list(rows: pd.DataFrame, shown: int) -> str:
    """Runs, the newest first.

    Args:
        rows: as `app.dashboard.tables.run_table` gives it.
        shown: so many are laid out.
    """
    several = rows.on.nunique() > 1
    columns = [
        Column(
            "Model",
            lambda r: (
                f'<span class="tb-name"><button type="button" data-act="run" data-id="{quoted(r.run)}" '
                f'title="Open this run">{escape(r.title)}</button></span>'
            ),
            lambda r: r.title.lower(),
            style="w",
            down=False,
        ),
        Column("Seed", lambda r: str(r.seed), lambda r: r.seed, down=False),
        Column("Status", lambda r: status(r.status), lambda r: r.status, "", "w", False),
        Column(
            "Started (UTC)",
            lambda r: f"{r.started:%Y-%m-%d %H:%M}",
            lambda r: r.started.timestamp(),
        ),
        Column("Took", lambda r: duration(r.seconds), lambda r: r.seconds),
        Column(
            "Commit",
            lambda r: f"<code>{escape(r.commit[:8])}</code>",
            lambda r: r.commit,
            style="w tb-less",
            down=False,
        ),
    ]
    if several:
        columns.insert(
            1, Column("Evaluated on", lambda r: escape(r.on), lambda r: r.on, "", "w", False)
        )
    more = ""
    if len(rows) > shown:
        more = (
            f'<button type="button" class="tp-more" data-act="longer">Show more '
            f'<span class="tp-muted">of {len(rows):,}</span></button>'
        )
    going = int((rows.status == "running").sum())
    note = f"{len(rows):,} runs" + (f", {going} of them going on" if going else "")
    saved = csv_link(rows, "runs")
    return (
        head("Runs", f"{note}. A run opens with its configuration and its worst cases.", saved)
        + table(
            rows.iloc[:shown],
            columns,
            "runs",
            caption="Runs, the newest first",
            sorted_by="Started (UTC)",
        )
        + more
    )


def run_page(
    run: RunInfo,
    figures: pd.DataFrame,
    siblings: Sequence[RunInfo],
    cases: str,
) -> str:
    """One run: what it is, its figures, its configuration, its worst cases.

    Args:
        run: the run.
        figures: of it, as `Store.figures` gives them.
        siblings: runs of the same model on the same cases, this one among them.
        cases: HTML of its worst cases.
    """
    took = None if run.ended is None else (run.ended - run.started).total_seconds()
    facts = {
        "Evaluated on": run.dataset + (f", split {run.split}" if run.split else ""),
        "Asked": f"{run.protocol} ({run.n_cases:,} cases)",
        "Started": f"{run.started:%Y-%m-%d %H:%M} UTC",
        "Took": duration(took),
        "Fitting": duration(run.fit_seconds),
        "Ranking": duration(run.score_seconds),
        "Version": f"{run.package_version}, commit {run.commit[:8]}",
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    others = "".join(
        f'<button type="button" data-act="run" data-id="{quoted(one.id)}"'
        f"{' aria-current=true' if one.id == run.id else ''}>seed {one.seed}</button>"
        for one in siblings
    )
    config = json.dumps(run.config, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    return (
        f'<div class="tb-run" data-run="{quoted(run.id)}"><p class="tb-back"><button type="button" data-act="runs">← All runs'
        "</button></p>"
        + head(f"{model_title(run.model)}, seed {run.seed}", status(run.status))
        + f'<div class="tb-seeds" role="group" aria-label="Other seeds">{others}</div>'
        f'<div class="tb-two"><section><h3>Figures</h3>{_figures(figures)}'
        f'<dl class="tb-facts">{listed}</dl></section>'
        f'<section><h3>Configuration</h3><pre class="tb-json" tabindex="0">{escape(config)}</pre>'
        f"</section></div>{cases}</div>"
    )


def worst(cases: Sequence[Case], part: str, *, opens: bool) -> str:
    """The worst cases of a run as cards.

    Args:
        cases: the worst first.
        part: the slice, in words.
        opens: whether a case can be opened, as the bundle has its data.
    """
    if not cases:
        return ""
    note = f"{escape(part)}: where the true next item came last."
    if not opens:
        note += " The bundle holds other data, so items are told by their row."
    table = pd.DataFrame(
        [
            (
                c.number,
                c.length,
                c.target.row,
                c.target.title,
                c.cold,
                *(rank for _, rank in c.ranks),
            )
            for c in cases
        ],
        columns=[
            "case",
            "session_length",
            "target_row",
            "target",
            "cold",
            *(f"rank, {whose}" for whose, _ in cases[0].ranks),
        ],
    )
    cards = "".join(_card(case, opens) for case in cases)
    return head("Worst cases", note, csv_link(table, "worst-cases")) + (
        f'<ol class="tb-cases">{cards}</ol>'
    )


def status(word: str) -> str:
    """How a run stands, by sign and word."""
    sign = {"done": "✓", "running": "●", "failed": "✕", "interrupted": "■"}.get(word, "")
    return f'<span class="tb-status tb-{quoted(word)}"><span aria-hidden="true">{sign}</span> {escape(word)}</span>'


def duration(seconds: float | None) -> str:
    """Seconds for people: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"; "–" if unknown."""
    if seconds is None or np.isnan(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _figures(figures: pd.DataFrame) -> str:
    if figures.empty:
        return '<p class="tp-muted">There are none before the run is done.</p>'
    own = figures[figures.low.notna()]
    rows = []
    for part in own.slice.unique():
        cells = []
        for name, k in SHOWN_METRICS:
            some = own[(own.slice == part) & (own.name == name) & (own.k == k)]
            if some.empty:
                cells.append("<td>–</td>")
                continue
            one = some.iloc[0]
            cells.append(
                f'<td class="n">{one.value:.3f} <span class="tb-dev">{one.low:.3f} – {one.high:.3f}'
                "</span></td>"
            )
        rows.append(f'<tr><th scope="row" class="w">{escape(part)}</th>{"".join(cells)}</tr>')
    heads = "".join(f'<th scope="col" class="n">{name}@{k}</th>' for name, k in SHOWN_METRICS)
    return (
        '<div class="tb-wide"><table class="tb-table tb-small"><caption>Figures of the run with 95 % '
        f'intervals</caption><thead><tr><th scope="col" class="w">Targets</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{csv_link(figures, 'figures')}"
    )


def _card(case: Case, opens: bool) -> str:
    hidden = case.length - len(case.session)
    before = f'<span class="tb-earlier">+{hidden}</span>' if hidden and case.session else ""
    if not case.session:
        before = f'<span class="tb-earlier">{case.length} items</span>'
    pictures = "".join(_thumb(item) for item in case.session)
    cold = '<span class="tp-badge tp-badge-cold">cold</span>' if case.cold else ""
    ranks = "".join(
        f'<span class="{"tb-own" if place == 0 else ""}">{escape(whose)} <b>{_rank(rank)}</b></span>'
        for place, (whose, rank) in enumerate(case.ranks)
    )
    button = ""
    if opens:
        button = (
            f'<button type="button" data-act="case" data-id="{case.number}" '
            f'aria-label="Open case {case.number} in Cold start by hand">Open</button>'
        )
    return (
        f'<li class="tb-case"><div class="tb-way">{before}{pictures}'
        f'<span class="tb-arrow" aria-hidden="true">→</span>'
        f'<span class="tb-next" title="{quoted(case.target.words)}">{_thumb(case.target)}{cold}</span></div>'
        f'<p class="tb-words">{escape(case.target.words)}</p>'
        f'<div class="tb-foot"><span class="tb-ranks">{ranks}</span>{button}</div></li>'
    )


def _thumb(item: Item) -> str:
    if not item.title:
        return f'<span class="tb-thumb"><span class="tb-number">{item.row}</span></span>'
    return f'<span class="tb-thumb" title="{quoted(item.title)}">{picture(item.picture, item.title)}</span>'


def _rank(rank: float) -> str:
    return "not found" if np.isinf(rank) else f"{rank:,.1f}".removesuffix(".0")
