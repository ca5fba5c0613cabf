"""The report in Markdown: first the comparison with the best baseline, then all metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.database.records import CaseTable
from eval.metrics.averaging import CASE, MEANS, SESSION
from eval.metrics.ranks import metric_names
from eval.metrics.slices import kind_of
from eval.models.naming import SUBJECT
from eval.protocol import SLICES, TestCases
from eval.reports import sections
from eval.reports.sections import Section
from eval.reports.tables import MARK, intervals, results_frame, shares, wide
from eval.reports.unclicked import unclicked
from eval.runs.results import HEADLINES, Result
from eval.runs.slice_comparison import compare_with_ablations, compare_with_best_baseline


@dataclass(frozen=True, eq=False)
class ReportData:
    """What a report is about.

    Attributes:
        results: in the order of the tables.
        cases: the cases.
        masks: slice -> (n_cases,) bool, in the order of the report.
        title: name of the dataset.
        notes: lines on how the results were obtained (command, versions).
        subject: name of the model that is compared with the best baseline.
        mean: whether metrics are averaged over "case" or "session".
    """

    results: Sequence[Result]
    cases: TestCases | CaseTable
    masks: Mapping[str, np.ndarray]
    title: str
    notes: Sequence[str] = ()
    subject: str = SUBJECT
    mean: str = CASE

    def frame(self) -> pd.DataFrame:
        """The metrics of the results, see `eval.reports.tables.results_frame`."""
        return results_frame(self.results, self.cases.session, self.masks, self.mean)


def how_to_read(mean: str = CASE) -> str:
    """What applies to all tables.

    Args:
        mean: whether metrics are averaged over "case" or "session".
    """
    first = {
        CASE: "Metrics are means over cases",
        SESSION: "Metrics of ranks are means over sessions, of the mean of each session over its cases",
    }[mean]
    return (
        f"{first}, given as mean ± standard deviation over seeds. Intervals are 95 % bootstrap "
        "intervals over sessions, of the mean over seeds. Items with equal scores are in random order, "
        "and metrics are expectations over this order. An item that a model cannot score is not found. "
        "The best value of each column is bold, except for models that use information no real model "
        "has (see Runs)."
    )


def report_title(title: str, mean: str = CASE) -> str:
    """The title of a report on a dataset."""
    return f"Results on {title}" + ("" if mean == CASE else f", means over {MEANS[mean]}")


def about(cases: TestCases | CaseTable, masks: Mapping[str, np.ndarray]) -> str:
    """One sentence on the cases: their number, sessions, targets and protocol."""
    counts = ", ".join(
        f"{int(mask.sum()):,} {name}"
        for name, mask in masks.items()
        if kind_of(name) is None and name != "all" and mask.any()
    )
    return (
        f"{len(cases):,} cases from {len(np.unique(cases.session)):,} test sessions"
        + (f" (targets: {counts})" if counts else "")
        + f"; {cases.protocol}; {cases.left_out:,} cases left out because the session already "
        "contains the next item."
    )


def markdown(data: ReportData) -> str:
    """The whole report."""
    frame = data.frame()
    first, last = first_and_last(frame, data)
    parts = [*first, *(_in_full(frame, part) for part in sections.main_slices(frame)), *last]
    lines = [f"# {report_title(data.title, data.mean)}", "", about(data.cases, data.masks), ""]
    lines += [how_to_read(data.mean), "", *data.notes]
    for part in parts:
        lines += ["", section_text(part)]
    return "\n".join([*lines, ""])


def first_and_last(frame: pd.DataFrame, data: ReportData) -> tuple[list[Section], list[Section]]:
    """The sections before and after those of the slices; `frame` is `data.frame()`."""
    results, cases, subject, mean = data.results, data.cases, data.subject, data.mean
    comparisons = compare_with_best_baseline(results, cases.session, data.masks, subject, mean)
    main = {part: data.masks[part] for part in sections.main_slices(frame)}
    first = [
        *sections.at_a_glance(frame),
        *sections.best_baselines(subject, comparisons),
        *by_other_mean(results, cases, main, subject, mean),
        *unclicked(results, data.masks),
        *sections.ablations(compare_with_ablations(results, cases.session, main, mean)),
    ]
    last = [
        *sections.by_finer_slices(frame),
        *sections.best_baselines(subject, comparisons, finer=True),
        *sections.lists(results),
        *sections.calibration(results),
        *sections.runs(results),
    ]
    return first, last


def by_other_mean(
    results: Sequence[Result],
    cases: TestCases | CaseTable,
    main: Mapping[str, np.ndarray],
    subject: str = SUBJECT,
    mean: str = CASE,
) -> list[Section]:
    """The headline metrics of the main slices, averaged over sessions if the report is over cases, and
    vice versa.

    Args:
        results, cases, subject: see `ReportData`.
        main: the main slices, name -> (n_cases,) bool.
        mean: of the report.

    Returns:
        No section if every session has one case, as both means are then equal.
    """
    if not results or len(np.unique(cases.session)) == len(cases):
        return []
    other = SESSION if mean == CASE else CASE
    frame = results_frame(results, cases.session, main, other)
    found = compare_with_best_baseline(results, cases.session, main, subject, other)
    return sections.by_other_mean(frame, subject, found, cases.session)


def _in_full(frame: pd.DataFrame, part: str) -> Section:
    """All metrics of one slice, with intervals and shares of the oracle for the headline metrics."""
    table = pd.concat(
        [
            wide(frame, part, metric_names()),
            intervals(frame, part, HEADLINES).add_suffix(" interval"),
            shares(frame, part, HEADLINES).add_suffix(" of oracle"),
        ],
        axis=1,
    )
    heading = f"{part} targets" if part in SLICES else part
    return Section(heading[0].upper() + heading[1:], table.rename_axis("model"))


def section_text(section: Section, *, level: int = 2) -> str:
    """A section as Markdown, with its title as a heading of a level."""
    table = section.table
    heads = [str(table.index.name), *map(str, table.columns)]
    left = {heads[0], *section.left}
    rows = [heads, ["---" if head in left else "---:" for head in heads]]
    rows += [[str(row[0]), *map(_cell, row[1:])] for row in table.itertuples(name=None)]
    lines = [f"{'#' * level} {section.title}", ""] if section.title else []
    lines += [section.note, ""] if section.note else []
    if table.empty:
        return "\n".join(lines[:-1])
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _cell(text: str) -> str:
    """The cell, with the mean in bold if it is the best."""
    if not text.endswith(MARK):
        return text
    mean, plus_minus, deviation = text.removesuffix(MARK).partition(" ± ")
    return f"**{mean}**{plus_minus}{deviation}"
