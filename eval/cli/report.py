"""`python -m eval report`: the table of a database, in four formats."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path

from eval.cli.choosing import add_mean, add_selection, selection
from eval.cli.sources import add_database, database_of
from eval.database.store import Store
from eval.models.naming import SUBJECT
from eval.reports.writing import SUFFIXES, check_report, write_report
from eval.runs.selection import results_of


def add_parser(commands: _SubParsersAction) -> None:
    """Adds the command."""
    parser = commands.add_parser("report", help="print or write the table of stored runs")
    add_database(parser)
    add_selection(parser)
    add_mean(parser)
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--subject", default=SUBJECT, help="model to test (%(default)s)")
    parser.add_argument("--out", type=Path, help=f"file that ends in {' '.join(SUFFIXES)}")
    parser.set_defaults(act=act)


def act(options: Namespace) -> None:
    """Runs the command."""
    if options.out:
        check_report(options.out)
    store = Store(database_of(options), read_only=True)
    try:
        chosen = selection(store, options, options.models)
        results = results_of(store, chosen)
    finally:
        store.close()
    runs = [run for some in chosen.runs.values() for run in some]
    versions = sorted({f"{run.package_version}, commit {run.commit or 'unknown'}" for run in runs})
    write_report(
        options.out,
        results,
        chosen.cases,
        chosen.masks(),
        title=chosen.title,
        notes=[f"Package version {version}." for version in versions],
        subject=options.subject,
        mean=options.mean,
    )
