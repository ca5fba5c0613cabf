"""Writes reports as Markdown, HTML, CSV or LaTeX, by the suffix of the file."""

from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go

from eval.metrics.slices import informative
from eval.reports.charts import frontier_chart, page
from eval.reports.report import (
    ReportData,
    about,
    first_and_last,
    how_to_read,
    markdown,
    report_title,
)
from eval.reports.tables import headlines, latex
from eval.reports.unclicked import chosen_points, frontier_frame
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


def write_report(path: Path | None, data: ReportData) -> None:
    """Writes a report, or prints it as Markdown.

    Args:
        path: of the file, whose suffix decides the format; None to print.
        data: what the report is about.
    """
    if path is None or path.suffix != ".csv":
        data = replace(data, masks=informative(data.masks))
    if path is None or path.suffix == ".md":
        text = markdown(data)
    elif path.suffix == ".csv":
        text = csv_text(data.frame())
    elif path.suffix == ".tex":
        frame = data.frame()
        text = latex(frame, headlines(frame), report_title(data.title, data.mean))
    else:
        frame = data.frame()
        first, last = first_and_last(frame, data)
        text = page(
            frame,
            title=report_title(data.title, data.mean),
            notes=[about(data.cases, data.masks), how_to_read(data.mean), *data.notes],
            first=first,
            last=last,
            frontier=_frontier(data),
        )
    if path is None:
        print(text)
    else:
        write_text(path, text)
        print(f"Report: {path}")


def _frontier(data: ReportData) -> go.Figure | None:
    """The figure of the frontiers; None if no model has one."""
    curves = frontier_frame(data.results)
    if curves.empty:
        return None
    models = curves.model.unique().tolist()
    return frontier_chart(curves, chosen_points(data.results, data.masks, models))


def write_text(path: Path, text: str) -> None:
    """Writes a file, all or nothing."""
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}).") from error
