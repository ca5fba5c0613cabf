"""Writes reports as Markdown, HTML, CSV or LaTeX, by the suffix of the file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.database.records import CaseTable
from eval.metrics.averaging import CASE
from eval.metrics.slices import informative
from eval.models.naming import SUBJECT
from eval.protocol import TestCases
from eval.reports.charts import page
from eval.reports.report import about, first_and_last, how_to_read, markdown, report_title
from eval.reports.tables import latex, results_frame
from eval.runs.results import HEADLINES, Result
from tpad import ConfigError, DataError
from tpad.io.csv_files import csv_text
from tpad.io.files import replacing

SUFFIXES = (".md", ".html", ".csv", ".tex")


def check_report(path: Path) -> None:
    """Checks, before any work is done, that a report can be written.

    Raises:
        ConfigError: the suffix is not one of `SUFFIXES`.
        DataError: its folder does not exist.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if not path.resolve().parent.is_dir():
        raise DataError(f"The folder of {path} does not exist; name another file.")


def write_report(
    path: Path | None,
    results: Sequence[Result],
    cases: TestCases | CaseTable,
    masks: Mapping[str, np.ndarray],
    *,
    title: str,
    notes: Sequence[str] = (),
    subject: str = SUBJECT,
    mean: str = CASE,
) -> None:
    """Writes a report, or prints it as Markdown.

    Args:
        path: of the file, whose suffix decides the format; None to print.
        results, cases, masks, title, notes, subject, mean: see `eval.reports.report.markdown`.
    """
    if path is None or path.suffix != ".csv":
        masks = informative(masks)
    if path is None or path.suffix == ".md":
        text = markdown(results, cases, masks, title=title, notes=notes, subject=subject, mean=mean)
    else:
        frame = results_frame(results, cases.session, masks, mean)
        if path.suffix == ".csv":
            text = csv_text(frame)
        elif path.suffix == ".tex":
            text = latex(frame, HEADLINES, report_title(title, mean))
        else:
            first, last = first_and_last(frame, results, cases, masks, subject, mean)
            text = page(
                frame,
                title=report_title(title, mean),
                notes=[about(cases, masks), how_to_read(mean), *notes],
                first=first,
                last=last,
            )
    if path is None:
        print(text)
    else:
        write_text(path, text)
        print(f"Report: {path}")


def write_text(path: Path, text: str) -> None:
    """Writes a file, all or nothing."""
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}).") from error
