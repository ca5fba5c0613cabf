"""The parts of a report that Markdown and HTML share, as titled tables of text, for either to set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from eval.metrics.averaging import CASE, MEANS, concentration
from eval.metrics.slices import KINDS, kind_of
from eval.protocol import SLICES
from eval.reports.tables import MARK, shares, wide
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
"""Figures of calibration that are shown for warm and cold targets too."""
SURE = 0.05
"""Corrected p-value below which a difference is marked."""
LISTS = {
    "coverage": ("coverage", ".3f"),
    "gini": ("Gini", ".3f"),
    "popularity": ("popularity", ".1f"),
    "novelty": ("novelty (bits)", ".2f"),
    "diversity": ("diversity", ".3f"),
}


@dataclass(frozen=True, eq=False)
class Section:
    """A table with what is said of it.

    Attributes:
        title: heading; empty where the table goes on under the last one.
        table: of str; the index, which has a name, is the first column. A cell that ends in
            `eval.reports.tables.MARK` holds the best figure of its column.
        note: what is to be known to read it; may be empty.
        left: columns of words rather than of numbers.
    """

    title: str
    table: pd.DataFrame
    note: str = ""
    left: tuple[str, ...] = ()


def main_slices(frame: pd.DataFrame) -> list[str]:
    """Slices by what the target is (all, warm, cold, …), which are shown in full."""
    return [part for part in frame.slice.unique() if kind_of(part) is None]


def at_a_glance(frame: pd.DataFrame) -> list[Section]:
    """The headline metrics of the main slices, and the shares of the oracle's if there is one.

    Args:
        frame: as `eval.reports.tables.results_frame` gives it.
    """
    found = []
    for title, note, form in (
        ("At a glance", "", wide),
        ("", "Share of what the oracle reaches, in brackets its 95 % interval:", shares),
    ):
        table = _main_slices_beside(frame, form)
        if not table.empty:
            found.append(Section(title, table, note))
    return found


def by_other_mean(
    frame: pd.DataFrame, subject: str, found: Sequence[SliceComparison], sessions: np.ndarray
) -> list[Section]:
    """The headline metrics averaged over what the rest of the report is not averaged over.

    Args:
        frame: of `eval.reports.tables.results_frame`, with the other mean.
        subject: name of the model.
        found: the subject against the best baseline of each main slice, by the other mean.
        sessions: (n_cases,) the session of each case.
    """
    own = str(frame.averaged_over.iat[0])
    most, of, share = concentration(sessions)
    weights = (
        f"a session weighs as much as it has cases, and {100 * share:.0f} % of the cases come from "
        f"{most:,} of the {of:,} sessions"
    )
    note = (
        f"Here {weights}; in the other tables every session weighs the same."
        if own == MEANS[CASE]
        else f"Here every session weighs the same; in the other tables {weights}."
    )
    table = _main_slices_beside(frame, partial(wide, with_intervals=True))
    sections = [Section(f"Averaged over {own}", table, f"{note} In brackets 95 % intervals.")]
    if found:
        tested = f"{subject} against the best baseline by these means. {_tested(found, 'table')}"
        sections.append(Section("", _contest_table(found), tested, ("metric",)))
    return sections


def _main_slices_beside(frame: pd.DataFrame, form: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """The headline metrics of the main slices beside each other, a row a model."""
    parts = {part: form(frame, part, HEADLINES) for part in main_slices(frame)}
    table = pd.concat(
        [
            one.rename(columns=lambda name, part=part: f"{part} {name}")
            for part, one in parts.items()
        ],
        axis=1,
    )
    return table.rename_axis("model")


def contests(
    subject: str, found: Sequence[SliceComparison], *, finer: bool = False
) -> list[Section]:
    """The subject against the best baseline of each slice, main or finer ones; none if there are none.

    Args:
        subject: name of the model.
        found: by all slices; p-values are corrected for all of these.
        finer: choose the finer slices.
    """
    some = [one for one in found if (kind_of(one.slice) is not None) == finer]
    if not some:
        return []
    note = _tested(found, "kind in this report, those of finer slices included")
    title = f"{subject} against the best baseline" + (", finer slices" if finer else "")
    note = "Tested as in the table of the main slices." if finer else note
    return [Section(title, _contest_table(some), note, ("metric",))]


def _tested(found: Sequence[SliceComparison], where: str) -> str:
    """How contests were tested, and with which others they were corrected."""
    return (
        "Paired permutation test over sessions, two-sided, on means over seeds; Holm: corrected "
        f"for all {len(found)} tests of this {where}."
    )


def _contest_table(found: Sequence[SliceComparison]) -> pd.DataFrame:
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
        for one in found
    ]
    heads = ["slice", "metric", "ours", "best baseline", "difference", "interval", "p", "Holm"]
    return pd.DataFrame(rows, columns=heads).set_index("slice")


def ablations(found: Sequence[SliceComparison]) -> list[Section]:
    """What is lost without each part of the method; none if no ablation was run.

    Args:
        found: of `eval.runs.slice_comparison.compare_with_ablations`, on the main slices.
    """
    rows: dict[str, dict[str, str]] = {}
    for one in found:
        surely = one.comparison.p_corrected is not None and one.comparison.p_corrected < SURE
        cell = f"{one.comparison.second - one.comparison.first:+.3f}{' †' if surely else ''}"
        rows.setdefault(one.other, {})[f"{one.slice} {one.metric}@{one.k}"] = cell
    if not rows:
        return []
    note = (
        "Each ablation less the whole method, means over seeds. †: p below "
        f"{SURE:g}, by a paired permutation test over sessions, two-sided, corrected by Holm's method "
        f"for all {len(found)} tests of this table."
    )
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("ablation")
    return [Section("What each part of the method adds", table, note)]


def by_finer_slices(frame: pd.DataFrame) -> list[Section]:
    """Each kind of finer slices: a table a headline metric, a row a model, a column a slice."""
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
            note = f"{metric}@{k}, in brackets the number of cases:"
            found.append(Section(title, table, note))
            title = ""
    return found


def _means(texts: pd.Series) -> pd.Series:
    """Without the deviations, for which there is no room."""
    return texts.map(
        lambda text: text.split(" ± ")[0].removesuffix(MARK) + MARK * text.endswith(MARK)
    )


def lists(results: Sequence[Result]) -> list[Section]:
    """Figures of the lists shown, on all cases; none if no model has any."""
    note = (
        "Lists of 20: share of the catalogue shown, inequality of exposure, mean training clicks, "
        "self-information, and mean cosine distance of the items' TF-IDF texts."
    )
    return _further("What is shown", note, results, LISTS)


def calibration(results: Sequence[Result]) -> list[Section]:
    """Figures of calibration, by slice where they are stored; none if no model has any."""
    note = (
        "Expected calibration error of the first item, Brier score, mean log-likelihood of the "
        "target where it is possible, and the share of targets that are not; scores are divided by "
        "a temperature fitted on validation sessions unless they are log-probabilities. Columns of "
        "warm or cold targets tell how likely a model found those that came; as it cannot know which "
        "of the two comes, even true probabilities look wrong there, and only the columns of all "
        "targets tell whether they are right."
    )
    return _further("How far scores can be trusted", note, results, CALIBRATION)


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
    """What was run: seeds, settings, times."""
    rows = [
        (
            result.name,
            " ".join(map(str, result.seeds)),
            _settled(result.tuned),
            *(
                "–" if result.imported else f"{seconds:.1f}"
                for seconds in (result.fit_seconds, result.score_seconds)
            ),
            _note(result),
        )
        for result in results
    ]
    heads = ["model", "seeds", "settled on validation", "fit (s)", "scoring (s)", "note"]
    table = pd.DataFrame(rows, columns=heads).set_index("model")
    return [Section("Runs", table, "", ("seeds", "settled on validation", "note"))]


def _note(result: Result) -> str:
    if result.imported:
        of = result.imported
        return f"lists of up to {of['longest_list']} items, imported from {of['file']}"
    return ROLE_NOTE.get(result.role, "")


def _settled(tuned: dict | None) -> str:
    if not tuned:
        return "–"
    if "pca" in tuned:
        return f"PCA {tuned['pca'] or 'all'}, cold offset {tuned['cold_offset']:+.2f}"
    return ", ".join(f"{name} {value}" for name, value in tuned["settings"].items())
