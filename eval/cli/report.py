"""`python -m eval report`: the table of stored runs, as Markdown, HTML, CSV or LaTeX."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from eval.cli.choosing import add_mean, add_selection, add_subject, selection
from eval.cli.sources import add_database, database_of
from eval.database.store import Store
from eval.models.naming import subject_of
from eval.reports.report import ReportData
from eval.reports.writing import SUFFIXES, check_report, write_report
from eval.runs.selection import results_of


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    add_database(parser)
    add_selection(parser)
    add_mean(parser)
    parser.add_argument("--models", nargs="+", help="report only these models (default: all)")
    add_subject(parser)
    parser.add_argument(
        "--out", type=Path, help=f"file to write; it must end in {' '.join(SUFFIXES)}"
    )


def run(options: Namespace) -> None:
    """Run the command."""
    if options.out:
        check_report(options.out)
    with Store(database_of(options), read_only=True) as store:
        chosen = selection(store, options, options.models)
        results = results_of(store, chosen)
    runs = [run for some in chosen.runs.values() for run in some]
    versions = sorted({f"{run.package_version}, commit {run.commit or 'unknown'}" for run in runs})
    data = ReportData(
        results,
        chosen.cases,
        chosen.masks(),
        chosen.title,
        notes=[f"Package version {version}." for version in versions],
        subject=options.subject or subject_of({one.name: one.role for one in results}),
        mean=options.mean,
    )
    write_report(options.out, data)
