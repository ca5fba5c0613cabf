"""Results as a Markdown page: who won and how sure that is, then everything that was measured."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eval import sections
from eval.database.records import CaseTable
from eval.metrics import metric_names
from eval.names import SUBJECT
from eval.protocol import SLICES, TestCases
from eval.results import HEADLINES, Result
from eval.rivals import against_best, against_variants
from eval.sections import Section
from eval.slices import kind_of
from eval.tables import MARK, intervals, results_frame, shares, wide

HOW_TO_READ = (
    "Mean ± standard deviation over seeds; intervals: 95 %, bootstrap over sessions, of the mean over "
    "seeds; ties get their expected rank; an item a model cannot score is not found. The best of each "
    "column is bold, not counting models that know more than a model can (see Runs)."
)


def about(cases: TestCases | CaseTable, masks: Mapping[str, np.ndarray]) -> str:
    """One sentence: what was asked, of how many sessions, on which targets."""
    counts = ", ".join(
        f"{int(mask.sum()):,} {name}"
        for name, mask in masks.items()
        if kind_of(name) is None and name != "all" and mask.any()
    )
    return (
        f"{len(cases):,} cases from {len(np.unique(cases.session)):,} test sessions"
        + (f" (targets: {counts})" if counts else "")
        + f"; {cases.protocol}; {cases.left_out:,} cases left out since the session already holds "
        "the next item."
    )


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
    frame = results_frame(results, cases.session, masks)
    first, last = first_and_last(frame, results, cases, masks, subject)
    parts = [*first, *(_in_full(frame, part) for part in sections.main_slices(frame)), *last]
    lines = [f"# Results on {title}", "", about(cases, masks), "", HOW_TO_READ, "", *notes]
    for part in parts:
        lines += ["", *_set(part)]
    return "\n".join([*lines, ""])


def first_and_last(
    frame: pd.DataFrame,
    results: Sequence[Result],
    cases: TestCases | CaseTable,
    masks: Mapping[str, np.ndarray],
    subject: str,
) -> tuple[list[Section], list[Section]]:
    """The sections with which every report begins, and those with which it ends.

    Args:
        frame: of `eval.tables.results_frame`; the rest as for `markdown`.
    """
    found = against_best(results, cases.session, masks, subject)
    main = {part: masks[part] for part in sections.main_slices(frame)}
    first = [
        *sections.at_a_glance(frame),
        *sections.contests(subject, found),
        *sections.ablations(against_variants(results, cases.session, main)),
    ]
    last = [
        *sections.by_finer_slices(frame),
        *sections.contests(subject, found, finer=True),
        *sections.lists(results),
        *sections.calibration(results),
        *sections.runs(results),
    ]
    return first, last


def _in_full(frame: pd.DataFrame, part: str) -> Section:
    """Every metric of one slice, with the intervals and shares of the headlines."""
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


def _set(section: Section) -> list[str]:
    table = section.table
    heads = [str(table.index.name), *map(str, table.columns)]
    left = {heads[0], *section.left}
    rows = [heads, ["---" if head in left else "---:" for head in heads]]
    rows += [[str(row[0]), *map(_cell, row[1:])] for row in table.itertuples(name=None)]
    lines = [f"## {section.title}", ""] if section.title else []
    lines += [section.note, ""] if section.note else []
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def _cell(text: str) -> str:
    """Bold for the best, without its deviation."""
    if not text.endswith(MARK):
        return text
    mean, plus_minus, deviation = text.removesuffix(MARK).partition(" ± ")
    return f"**{mean}**{plus_minus}{deviation}"
