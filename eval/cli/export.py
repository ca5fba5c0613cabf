"""`python -m eval export`: the cases, or stored ranks or figures, as CSV."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from eval.cli.choosing import add_selection, selection
from eval.cli.sources import add_database, add_source, cases_of, database_of, load_source
from eval.database.store import Store
from eval.models.ranked_lists import SEPARATOR, cases_frame
from eval.reports.writing import write_text
from tpad import DataError
from tpad.io.csv_files import csv_text

WHAT = ("cases", "ranks", "figures")


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Write one of three tables. cases: what an outside model has to rank (needs a source). ranks: "
        "the rank of each case by each stored run, with its ties. figures: each stored figure with "
        "its interval."
    )
    parser.add_argument("what", choices=WHAT, help="the table to write")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    add_source(parser)
    parser.add_argument(
        "--keep-history", action="store_true", help="keep the session's items as candidates"
    )
    parser.add_argument("--targets", action="store_true", help="with cases: also write the targets")
    parser.add_argument(
        "--separator", default=SEPARATOR, help="separator between item ids (default: %(default)s)"
    )
    add_database(parser)
    parser.add_argument("--models", nargs="+", help="export only these models (default: all)")
    add_selection(parser, beside_source=True)


def run(options: Namespace) -> None:
    """Run the command."""
    if not options.out.resolve().parent.is_dir():
        raise DataError(f"The folder of {options.out} does not exist; name another --out.")
    if options.what == "cases":
        source = load_source(options)
        cases = cases_of(options, source)
        frame = cases_frame(
            cases, source.dataset, separator=options.separator, targets=options.targets
        )
    else:
        with Store(database_of(options), read_only=True) as store:
            chosen = selection(store, options, options.models)
            runs = [run for some in chosen.runs.values() for run in some]
            if options.what == "figures":
                frame = store.figures([run.id for run in runs])
            else:
                first = chosen.runs[next(iter(chosen.runs))][0].id
                frame = store.side_by_side(first, first).drop(columns=["first", "second"])
                ranks = store.rank_matrix([run.id for run in runs])
                for place, run in enumerate(runs):
                    frame[f"{run.model}/{run.seed}"] = ranks[place].expected
                    frame[f"{run.model}/{run.seed} ties"] = ranks[place].ties
    write_text(options.out, csv_text(frame))
    print(f"{len(frame):,} rows: {options.out}")
