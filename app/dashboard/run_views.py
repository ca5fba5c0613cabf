"""HTML of the dashboard's runs: the list, and one run with its worst cases."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from app.dashboard.views import Column, head, table
from app.shell.names import model_title
from app.shell.templates import fragment, macros
from app.shell.views import csv_link
from eval.database.records import RunInfo

SHOWN_METRICS = (("P", 20), ("MRR", 20), ("NDCG", 20))


@dataclass(frozen=True)
class CaseItem:
    """An item of a case; without a title if the bundle has other data."""

    row: int
    title: str = ""
    picture: str = ""

    @property
    def words(self) -> str:
        """The title, or a substitute for it."""
        return self.title or f"item {self.row}"


@dataclass(frozen=True)
class RunCase:
    """A case of a run.

    Attributes:
        number: of the case, from 0.
        session: its last items, most recent last; empty if the bundle has other data.
        length: number of items in the session.
        target: the true next item.
        cold: whether nobody clicked the target in training.
        ranks: (whose, rank), this run's first; inf if the target was not found.
    """

    number: int
    session: tuple[CaseItem, ...]
    length: int
    target: CaseItem
    cold: bool
    ranks: tuple[tuple[str, float], ...]


def run_list(rows: pd.DataFrame, shown: int) -> Markup:
    """Runs, newest first.

    Args:
        rows: as `app.dashboard.run_tables.run_table` returns it.
        shown: number of runs that are shown.
    """
    cells = macros("dashboard/cells.html")
    columns = [
        Column(
            "Model",
            lambda r: cells.run(r.run, r.title),
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
        Column("Duration", lambda r: duration(r.seconds), lambda r: r.seconds),
        Column(
            "Commit",
            lambda r: cells.commit(r.commit[:8]),
            lambda r: r.commit,
            style="w tb-less",
            down=False,
        ),
    ]
    if rows.on.nunique() > 1:
        columns.insert(1, Column("Evaluated on", lambda r: r.on, lambda r: r.on, "", "w", False))
    running = int((rows.status == "running").sum())
    note = f"{len(rows):,} runs" + (f", {running} of them running" if running else "")
    return (
        head(
            "Runs",
            f"{note}. Open a run to see its configuration and its worst cases.",
            csv_link(rows, "runs"),
        )
        + table(
            rows.iloc[:shown],
            columns,
            "runs",
            caption="Runs, newest first",
            sorted_by="Started (UTC)",
        )
        + (cells.more(len(rows)) if len(rows) > shown else Markup())
    )


def run_page(
    run: RunInfo,
    figures: pd.DataFrame,
    siblings: Sequence[RunInfo],
    cases: str,
) -> Markup:
    """One run: its facts, metrics, configuration and worst cases.

    Args:
        run: the run.
        figures: its metrics, as `Store.figures` returns them.
        siblings: runs of the same model on the same cases, this one among them.
        cases: HTML of its worst cases.
    """
    took = None if run.ended is None else (run.ended - run.started).total_seconds()
    facts = {
        "Evaluated on": run.dataset + (f", split {run.split}" if run.split else ""),
        "Test cases": f"{run.protocol} ({run.n_cases:,} cases)",
        "Started": f"{run.started:%Y-%m-%d %H:%M} UTC",
        "Duration": duration(took),
        "Fitting": duration(run.fit_seconds),
        "Ranking": duration(run.score_seconds),
        "Version": f"{run.package_version}, commit {run.commit[:8]}",
    }
    config = json.dumps(run.config, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    return fragment(
        "dashboard/run.html",
        run=run,
        head=head(f"{model_title(run.model)}, seed {run.seed}", status(run.status)),
        siblings=siblings,
        metrics=[f"{name}@{k}" for name, k in SHOWN_METRICS],
        parts=_metric_rows(figures),
        csv="" if figures.empty else csv_link(figures, "figures"),
        facts=facts,
        config=config,
        cases=cases,
    )


def worst(cases: Sequence[RunCase], part: str, *, opens: bool) -> Markup:
    """The worst cases of a run as cards.

    Args:
        cases: the worst first.
        part: the slice, in words.
        opens: whether a case can be opened, because the bundle has its data.
    """
    if not cases:
        return Markup()
    note = f"{part}: the cases with the largest rank of the true next item."
    if not opens:
        note += " The bundle has other data, so items are shown by their row number."
    return fragment(
        "dashboard/worst_cases.html",
        head=head("Worst cases", note, csv_link(_case_table(cases), "worst-cases")),
        cases=cases,
        opens=opens,
        rank_text=rank_text,
    )


def status(word: str) -> Markup:
    """The status of a run as a sign and a word."""
    sign = {"done": "✓", "running": "●", "failed": "✕", "interrupted": "■"}.get(word, "")
    return macros("dashboard/cells.html").status(word, sign)


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


def rank_text(rank: float) -> str:
    """A rank, which may be a mean of ranks."""
    return "not found" if np.isinf(rank) else f"{rank:,.1f}".removesuffix(".0")


def _metric_rows(figures: pd.DataFrame) -> list[tuple[str, list[Any]]]:
    """Each slice with its value of every shown metric; None for a value that is missing."""
    own = figures[figures.low.notna()]
    rows = []
    for part in own.slice.unique():
        cells = []
        for name, k in SHOWN_METRICS:
            found = own[(own.slice == part) & (own.name == name) & (own.k == k)]
            cells.append(None if found.empty else found.iloc[0].to_dict())
        rows.append((part, cells))
    return rows


def _case_table(cases: Sequence[RunCase]) -> pd.DataFrame:
    rows = [
        (c.number, c.length, c.target.row, c.target.title, c.cold, *(rank for _, rank in c.ranks))
        for c in cases
    ]
    ranks = [f"rank, {whose}" for whose, _ in cases[0].ranks]
    columns = ["case", "session_length", "target_row", "target", "cold", *ranks]
    return pd.DataFrame(rows, columns=columns)
