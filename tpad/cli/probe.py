"""`python -m tpad probe`: which facts a linear probe reads from each embedding set."""

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder of a bundle")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as CSV")


def run(args: Namespace) -> None:
    """Run the command."""
    from tpad.bundle import Bundle
    from tpad.io.csv_files import csv_text
    from tpad.io.files import replacing
    from tpad.training.probes import probe_bundle

    table = probe_bundle(Bundle.load(args.bundle))
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))
    if args.csv:
        with replacing(args.csv) as part:
            part.write_text(csv_text(table, index=True), "utf-8")
