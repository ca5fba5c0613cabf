"""The sections of a report, as tables of text with titles, for Markdown and HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from eval.metrics.averaging import CASE, MEANS, concentration
from eval.metrics.slices import KINDS, kind_of
from eval.protocol import SLICES
from eval.reports.tables import MARK, headlines, one_per_session, shares, wide
from eval.runs.results import HEADLINES, ROLE_NOTE, Result
from eval.runs.slice_comparison import SliceComparison

CALIBRATION = {
    "ece": ("ECE", ".3f"),
    "brier": ("Brier", ".3f"),
    "log_likelihood": ("log-lik.", ".2f"),
    "impossible": ("impossible", ".3f"),
    "temperature": ("temperature", ".2f"),
}
BY_SLICE = ("ece", "brier", "log_likelihood")
"""Calibration metrics that are also shown for warm and cold targets."""
SIGNIFICANT = 0.05
"""A difference with a smaller corrected p-value is marked."""
LISTS = {
    "coverage": ("coverage", ".3f"),
    "gini": ("Gini", ".3f"),
    "popularity": ("popularity", ".1f"),
    "novelty": ("novelty (bits)", ".2f"),
    "diversity": ("diversity", ".3f"),
}


@dataclass(frozen=True, eq=False)
class Section:
    """A table with a title and a note.

    Attributes:
        title: heading; empty if the table continues the section before.
        table: of str; the index, which has a name, is the first column. A cell that ends in
            `eval.reports.tables.MARK` is the best of its column. If it is empty, only title and note
            are shown.
        note: how to read the table; may be empty.
        left: left-aligned columns of text.
    """

    title: str
    table: pd.DataFrame
    note: str = ""
    left: tuple[str, ...] = ()


def main_slices(frame: pd.DataFrame) -> list[str]:
    """Slices by kind of target (all, warm, cold, …), for which all metrics are shown."""
    return [part for part in frame.slice.unique() if kind_of(part) is None]


def at_a_glance(frame: pd.DataFrame) -> list[Section]:
    """The headline metrics of the main slices, and their shares of the oracle's if there is one.

    With one case per session they have four digits, as in published leave-one-out results.

    Args:
        frame: from `eval.reports.tables.results_frame`.
    """
    found = []
    for title, note, form in (
        ("At a glance", "", partial(wide, digits=4 if one_per_session(frame) else 3)),
        ("", "Share of the oracle's result, with its 95 % interval in brackets:", shares),
    ):
        table = _main_slices_beside(frame, form)
        if not table.empty:
            found.append(Section(title, table, note))
    return found


def by_other_mean(
    frame: pd.DataFrame, subject: str, comparisons: Sequence[SliceComparison], sessions: np.ndarray
) -> list[Section]:
    """The headline metrics by the mean that the rest of the report does not use.

    Args:
        frame: from `eval.reports.tables.results_frame`, with the other mean.
        subject: name of the model.
        comparisons: with the best baseline of each main slice, by the other mean.
        sessions: (n_cases,) the session of each case.
    """
    own = str(frame.averaged_over.iat[0])
    most, of, share = concentration(sessions)
    weights = (
        f"the weight of a session is its number of cases, and {100 * share:.0f} % of the cases come "
        f"from {most:,} of the {of:,} sessions"
    )
    note = (
        f"Here {weights}; in the other tables all sessions have the same weight."
        if own == MEANS[CASE]
        else f"Here all sessions have the same weight; in the other tables {weights}."
    )
    table = _main_slices_beside(frame, partial(wide, with_intervals=True))
    sections = [Section(f"Averaged over {own}", table, f"{note} 95 % intervals are in brackets.")]
    if comparisons:
        tested = f"{subject} compared with the best baseline by these means. {_tested(comparisons, 'table')}"
        sections.append(Section("", _comparison_table(comparisons), tested, ("metric",)))
    return sections


def _main_slices_beside(frame: pd.DataFrame, form: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """The headline metrics of the main slices side by side, one row per model."""
    parts = {part: form(frame, part, headlines(frame)) for part in main_slices(frame)}
    table = pd.concat(
        [
            one.rename(columns=lambda name, part=part: f"{part} {name}")
            for part, one in parts.items()
        ],
        axis=1,
    )
    return table.rename_axis("model")


def best_baselines(
    subject: str, comparisons: Sequence[SliceComparison], *, finer: bool = False
) -> list[Section]:
    """A model compared with the best baseline of each main slice, or of each finer slice.

    Args:
        subject: name of the model.
        comparisons: on all slices, over which p-values are corrected.
        finer: show the finer slices.
    """
    some = [one for one in comparisons if (kind_of(one.slice) is not None) == finer]
    if not some:
        return []
    note = _tested(comparisons, "kind in this report, finer slices included")
    title = f"{subject} compared with the best baseline" + (", finer slices" if finer else "")
    note = "Tested as for the main slices." if finer else note
    return [Section(title, _comparison_table(some), note, ("metric",))]


def _tested(comparisons: Sequence[SliceComparison], where: str) -> str:
    """How models were compared, and over which tests p-values are corrected."""
    return (
        "Two-sided paired permutation test over sessions, on means over seeds. Holm: p-value corrected "
        f"over all {len(comparisons)} tests of this {where}."
    )


def _comparison_table(comparisons: Sequence[SliceComparison]) -> pd.DataFrame:
    rows = [
        (
            one.slice,
            f"{one.metric}@{one.k}",
            f"{one.comparison.first:.3f}",
            f"{one.other} {one.comparison.second:.3f}",
            f"{one.comparison.difference:+.3f}",
            f"{one.comparison.low:+.3f} – {one.comparison.high:+.3f}",
            f"{one.comparison.p_value:.4f}",
            f"{one.comparison.p_corrected:.4f}",
        )
        for one in comparisons
    ]
    heads = ["slice", "metric", "ours", "best baseline", "difference", "interval", "p", "Holm"]
    return pd.DataFrame(rows, columns=heads).set_index("slice")


def ablations(comparisons: Sequence[SliceComparison]) -> list[Section]:
    """The difference of each ablation from the whole method; no section if there is none.

    Args:
        comparisons: from `eval.runs.slice_comparison.compare_with_ablations`, on the main slices.
    """
    rows: dict[str, dict[str, str]] = {}
    for one in comparisons:
        significant = (
            one.comparison.p_corrected is not None and one.comparison.p_corrected < SIGNIFICANT
        )
        cell = f"{one.comparison.second - one.comparison.first:+.3f}{' †' if significant else ''}"
        rows.setdefault(one.other, {})[f"{one.slice} {one.metric}@{one.k}"] = cell
    if not rows:
        return []
    note = (
        "Difference of each ablation from the whole method, means over seeds. †: p below "
        f"{SIGNIFICANT:g} by a two-sided paired permutation test over sessions, corrected by Holm's method "
        f"over all {len(comparisons)} tests of this table."
    )
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("ablation")
    return [Section("What each part of the method adds", table, note)]


def by_finer_slices(frame: pd.DataFrame) -> list[Section]:
    """One table per kind of finer slices and headline metric, with a row per model and a column per slice."""
    found = []
    counts = frame.groupby("slice", sort=False).cases.first()
    for kind, words in KINDS.items():
        parts = [part for part in counts.index if kind_of(part) == kind]
        title = f"By {words}"
        for metric, k in HEADLINES if parts else ():
            columns = {
                f"{part.removeprefix(kind + ' ')} ({counts[part]:,})": _means(
                    wide(frame, part, [(metric, k)]).iloc[:, 0]
                )
                for part in parts
            }
            table = pd.DataFrame(columns).rename_axis("model")
            note = f"{metric}@{k}, with the number of cases in brackets:"
            found.append(Section(title, table, note))
            title = ""
    return found


def _means(texts: pd.Series) -> pd.Series:
    """The cells without standard deviations."""
    return texts.map(
        lambda text: text.split(" ± ")[0].removesuffix(MARK) + MARK * text.endswith(MARK)
    )


def lists(results: Sequence[Result]) -> list[Section]:
    """Metrics of the lists on all cases; no section if no model has any."""
    note = (
        "Lists of 20 items: coverage (share of the items that are shown), Gini index of exposure, "
        "popularity (mean training clicks), novelty (self-information), and diversity (mean cosine "
        "distance of the TF-IDF texts of the items)."
    )
    return _further("Recommendation lists", note, results, LISTS)


def calibration(results: Sequence[Result]) -> list[Section]:
    """Calibration metrics, by slice if they are stored; no section if no model has any."""
    note = (
        "Expected calibration error (ECE) of the top-ranked item, Brier score, mean log-likelihood of "
        "targets that are possible, and share of targets that are impossible (probability 0). Scores "
        "are divided by a temperature fitted on validation sessions, unless they are log-probabilities. "
        "Only the columns of all targets measure calibration: a model cannot know whether the target is "
        "warm or cold, so even true probabilities look wrong on either slice."
    )
    return _further("Calibration", note, results, CALIBRATION)


def _further(
    title: str,
    note: str,
    results: Sequence[Result],
    names: dict[str, tuple[str, str]],
) -> list[Section]:
    columns = {}
    for name, (head, form) in names.items():
        for part in SLICES if name in BY_SLICE else ["all"]:
            cells = {
                result.name: format(result.further[part][name], form)
                for result in results
                if name in result.further.get(part, ())
            }
            if cells:
                of_part = "" if part == "all" else f" {part}"
                columns[head + of_part] = pd.Series(
                    [cells.get(result.name, "–") for result in results],
                    [result.name for result in results],
                )
    if not columns:
        return []
    return [Section(title, pd.DataFrame(columns).rename_axis("model"), note)]


def runs(results: Sequence[Result]) -> list[Section]:
    """Seeds, tuned settings and times of the runs."""
    rows = [
        (
            result.name,
            " ".join(map(str, result.seeds)),
            _tuned_settings(result.tuned),
            *(
                "–" if result.imported else f"{seconds:.1f}"
                for seconds in (result.fit_seconds, result.score_seconds)
            ),
            _note(result),
        )
        for result in results
    ]
    heads = ["model", "seeds", "tuned on validation", "fit (s)", "scoring (s)", "note"]
    table = pd.DataFrame(rows, columns=heads).set_index("model")
    return [Section("Runs", table, "", ("seeds", "tuned on validation", "note"))]


def _note(result: Result) -> str:
    if result.imported:
        of = result.imported
        return f"imported lists of up to {of['longest_list']} items from {of['file']}"
    return ROLE_NOTE.get(result.role, "")


def _tuned_settings(tuned: dict | None) -> str:
    if not tuned:
        return "–"
    if "weights" in tuned:
        weights, layers = tuned["weights"], tuned["network"]["layers"]
        return (
            f"{'content' if layers else 'ID'} network ×{weights['network']:g}, "
            f"memory ×{weights['memory']:g}, neighbours ×{weights['neighbours']:g}, cosine ×{weights['cosine']:g}, "
            f"offset {weights['offset']:+.2f}"
        )
    if "pca" in tuned:  # of the recommender of tpad 0.1.0
        return f"PCA {tuned['pca'] or 'all'}, cold offset {tuned['cold_offset']:+.2f}"
    return ", ".join(f"{name} {value}" for name, value in tuned["settings"].items())
