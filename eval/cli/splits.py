"""`python -m eval splits`: make, store and list splits."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from eval.cli.sources import add_database, add_source, database_of, load_source, store_split
from eval.database.store import Store
from eval.reports.writing import write_text
from eval.splits.files import save_split
from eval.splits.split import DEFAULTS
from tpad import ConfigError
from tpad.io.csv_files import csv_text


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    kinds = "\n".join(
        f"  {kind}{':' if params else ''}"
        + ",".join(f"{k}={'…' if v is None else v}" for k, v in params.items())
        for kind, params in DEFAULTS.items()
    )
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description = (
        "With a source and --split, make the split and store it item by item. Without, list the "
        f"stored splits.\n\nKinds, with their parameters and defaults (all have a seed):\n{kinds}"
    )
    add_source(parser)
    add_database(parser)
    parser.add_argument(
        "--items-of", type=int, metavar="NUMBER", help="print the items of this stored split"
    )
    parser.add_argument("--out", type=Path, help="write the items (item_id, role) as CSV")
    parser.add_argument(
        "--folder", type=Path, help="write the split as tables and pictures to train on"
    )


def run(options: Namespace) -> None:
    """Run the command."""
    named = options.bundle or options.world or options.interactions
    if named and options.split is None:
        raise ConfigError("Name the split to make with --split, for example cold_items:seed=1.")
    if options.split and not named:
        raise ConfigError("Name the source to split: --bundle, --world, or --interactions.")
    if options.folder and not named:
        raise ConfigError("--folder needs a source and --split; name both.")
    source = load_source(options, evaluates=False) if named else None
    with Store(database_of(options)) as store:
        number = options.items_of
        if source is not None and source.split is not None:
            number = store_split(store, source)
            counts = ", ".join(f"{count:,} {name}" for name, count in source.split.info.items())
            print(f"Split {number}: {source.split.name} ({counts})")
            if options.folder:
                print(f"Folder: {save_split(source.split, options.folder)}")
        if number is not None and (options.out or source is None):
            text = csv_text(store.split_items(number))
            if options.out:
                write_text(options.out, text)
                print(f"Items: {options.out}")
            else:
                print(text, end="")
        elif number is None:
            for one in store.splits():
                counts = ", ".join(f"{count:,} {role}" for role, count in one.counts.items())
                print(f"{one.id}\t{one.dataset}\t{one.name}\t{counts}")
