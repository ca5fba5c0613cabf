"""`python -m eval export`: the cases, or stored ranks, figures or frontiers, as CSV."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval.cli.choosing import add_selection, selection
from eval.cli.sources import (
    add_database,
    add_separator,
    add_source,
    cases_of,
    database_of,
    load_source,
)
from eval.database.frontier_rows import CURVES
from eval.database.reader import Reader
from eval.database.records import RunInfo
from eval.database.store import Store
from eval.models.ranked_lists import cases_frame
from eval.reports.unclicked import HOW_TO_GET_IT
from eval.reports.writing import write_text
from tpad import DataError
from tpad.io.csv_files import csv_text

WHAT = ("cases", "ranks", "figures", "frontiers")


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Write one of four tables. cases: what an outside model has to rank (needs a source). ranks: "
        "the rank of each case by each stored run, with its ties. figures: each stored figure with "
        "its interval. frontiers: P@20 of warm and of cold targets as unclicked items are moved up."
    )
    parser.add_argument("what", choices=WHAT, help="the table to write")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    add_source(parser)
    parser.add_argument(
        "--keep-history", action="store_true", help="keep the session's items as candidates"
    )
    parser.add_argument("--targets", action="store_true", help="with cases: also write the targets")
    add_separator(parser)
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
            frame = _TABLES[options.what](store, runs)
    write_text(options.out, csv_text(frame))
    print(f"{len(frame):,} rows: {options.out}")


def _figures(store: Reader, runs: Sequence[RunInfo]) -> pd.DataFrame:
    return store.figures([run.id for run in runs])


def _ranks(store: Reader, runs: Sequence[RunInfo]) -> pd.DataFrame:
    """One row per case, with two columns per run."""
    frame = store.side_by_side(runs[0].id, runs[0].id).drop(columns=["first", "second"])
    ranks = store.rank_matrix([run.id for run in runs])
    for place, run in enumerate(runs):
        frame[f"{run.model}/{run.seed}"] = ranks[place].expected
        frame[f"{run.model}/{run.seed} ties"] = ranks[place].ties
    return frame


def _frontiers(store: Reader, runs: Sequence[RunInfo]) -> pd.DataFrame:
    """One row per point; runs without a frontier are left out."""
    found = store.frontiers([run.id for run in runs])
    rows = [
        (run.model, run.seed, place, *point)
        for run in runs
        if run.id in found
        for place, point in enumerate(
            zip(*(getattr(found[run.id], name) for name in CURVES), strict=True)
        )
    ]
    if not rows:
        raise DataError(f"None of these runs has a frontier. {HOW_TO_GET_IT}")
    return pd.DataFrame(rows, columns=["model", "seed", "point", *CURVES])


_TABLES = {"figures": _figures, "ranks": _ranks, "frontiers": _frontiers}
