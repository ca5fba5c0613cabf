"""Results as a Markdown page: what was measured, how sure it is, and who won."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eval.database.records import CaseTable
from eval.metrics import metric_names
from eval.models import SUBJECT
from eval.protocol import SLICES, TestCases
from eval.results import HEADLINES, ROLE_NOTE, Result
from eval.rivals import Contest, against_best
from eval.tables import results_frame


def markdown(
    results: Sequence[Result],
    cases: TestCases | CaseTable,
    masks: Mapping[str, np.ndarray],
    *,
    title: str,
    notes: Sequence[str] = (),
    subject: str = SUBJECT,
) -> str:
    """The whole report.

    Args:
        results: in the order of the tables.
        cases: what was asked.
        masks: slice -> (n_cases,) bool, in the order of the report.
        title: name of the dataset.
        notes: lines that say how it was made (command, versions).
        subject: name of the model that is tested against the best baseline.
    """
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    counts = ", ".join(f"{int(mask.sum()):,} {name}" for name, mask in masks.items())
    sessions = len(np.unique(cases.session))
    lines = [f"# Results on {title}", ""]
    lines += [
        f"{len(cases):,} cases from {sessions:,} test sessions ({counts}); {cases.protocol}; "
        f"{cases.left_out} cases left out since the session already holds the next item. "
        "Mean ± standard deviation over seeds; intervals: 95 %, bootstrap over sessions, of the "
        "mean over seeds; ties get their expected rank; an item a model cannot score is not found. "
        "Best of each column in bold, models that know what no model can apart.",
        "",
        *notes,
    ]
    frame = results_frame(results, cases.session, masks)
    for name in masks:
        heading = f"{name} targets" if name in SLICES else name
        lines += ["", f"## {heading[0].upper()}{heading[1:]}", "", *_table(frame, name)]
    contests = against_best(results, cases.session, masks, subject)
    if contests:
        lines += ["", f"## {subject} against the best baseline", "", *_contests(contests)]
    if any(result.further for result in results):
        lines += ["", "## What is shown, and how far scores can be trusted", "", *_further(results)]
    lines += ["", "## Runs", "", *_runs(results), ""]
    return "\n".join(lines)


def _table(frame: pd.DataFrame, part: str) -> list[str]:
    some = frame[frame.slice == part]
    best = some[~some.role.isin(list(ROLE_NOTE))].groupby(["metric", "k"])["mean"].max()
    with_oracle = some.of_oracle.notna().any()
    heads = ["model", *(f"{metric}@{k}" for metric, k in metric_names())]
    heads += [f"{metric}@{k} interval" for metric, k in HEADLINES]
    if with_oracle:
        heads += [f"{metric}@{k} of oracle" for metric, k in HEADLINES]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for model, own in some.groupby("model", sort=False):
        by_metric = {(row.metric, row.k): row for row in own.itertuples()}
        cells = [str(model)]
        for name in metric_names():
            row = by_metric[name]
            text = f"{row.mean:.3f}"
            if row.role not in ROLE_NOTE and row.mean == best[name] > 0:
                text = f"**{text}**"
            cells.append(text if np.isnan(row.deviation) else f"{text} ± {row.deviation:.3f}")
        headlines = [by_metric[name] for name in HEADLINES]
        cells += [f"{row.low:.3f}–{row.high:.3f}" for row in headlines]
        if with_oracle:
            cells += [_share(row.of_oracle) for row in headlines]
        rows.append(cells)
    return ["| " + " | ".join(row) + " |" for row in rows]


def _contests(contests: Sequence[Contest]) -> list[str]:
    lines = [
        "| slice | metric | ours | best baseline | difference | interval | p | Holm |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in contests:
        found = one.found
        lines.append(
            f"| {one.slice} | {one.metric}@{one.k} | {found.first:.3f} | "
            f"{one.rival} {found.second:.3f} | {found.difference:+.3f} | "
            f"{found.low:+.3f} – {found.high:+.3f} | {found.p_value:.4f} | "
            f"{found.p_corrected:.4f} |"
        )
    note = "Paired permutation test over sessions, two-sided, on means over seeds; Holm: corrected "
    return [*lines, "", note + "for all rows of this table."]


FURTHER = {
    "coverage": ("coverage", ".3f"),
    "gini": ("Gini", ".3f"),
    "popularity": ("popularity", ".1f"),
    "novelty": ("novelty (bits)", ".2f"),
    "diversity": ("diversity", ".3f"),
    "ece": ("ECE", ".3f"),
    "brier": ("Brier", ".3f"),
    "log_likelihood": ("log-likelihood", ".2f"),
    "impossible": ("impossible", ".3f"),
    "temperature": ("temperature", ".2f"),
}


def _further(results: Sequence[Result]) -> list[str]:
    lines = [
        "Lists of 20: share of the catalogue shown, inequality of exposure, mean training clicks, "
        "self-information, and mean cosine distance of the items' TF-IDF texts. Calibration: expected "
        "calibration error of the first item, Brier score, mean log-likelihood of the target where it "
        "is possible and the share where it is not; scores are divided by a temperature fitted on "
        "validation sessions unless they are log-probabilities.",
        "",
        "| model | " + " | ".join(title for title, _ in FURTHER.values()) + " |",
        "| --- |" + " ---: |" * len(FURTHER),
    ]
    for result in results:
        cells = [
            format(result.further[name], form) if name in result.further else "–"
            for name, (_, form) in FURTHER.items()
        ]
        lines.append(f"| {result.name} | {' | '.join(cells)} |")
    return lines


def _runs(results: Sequence[Result]) -> list[str]:
    lines = ["| model | seeds | settled on validation | fit (s) | scoring (s) | note |"]
    lines.append("| --- | --- | --- | ---: | ---: | --- |")
    for result in results:
        seeds = " ".join(map(str, result.seeds))
        lines.append(
            f"| {result.name} | {seeds} | {_settled(result.tuned)} | {result.fit_seconds:.1f} | "
            f"{result.score_seconds:.1f} | {ROLE_NOTE.get(result.role, '')} |"
        )
    return lines


def _settled(tuned: dict | None) -> str:
    if not tuned:
        return "–"
    if "pca" in tuned:
        return f"PCA {tuned['pca'] or 'all'}, cold offset {tuned['cold_offset']:+.2f}"
    return ", ".join(f"{name} {value}" for name, value in tuned["settings"].items())


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"
