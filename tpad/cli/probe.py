"""`python -m tpad probe`: which facts a linear probe reads from each feature set."""

from argparse import Namespace, _SubParsersAction
from pathlib import Path


def add_probe_parser(subparsers: _SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "probe", help="show which stage loses which fact about an item (linear probes, cold items)"
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    parser.set_defaults(run=run_probe)


def run_probe(args: Namespace) -> None:
    """Runs the command."""
    from tpad.bundle import Bundle
    from tpad.io.csv_files import csv_text
    from tpad.io.files import replacing
    from tpad.training.probes import probe_bundle

    table = probe_bundle(Bundle.load(args.bundle))
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))
    if args.csv:
        with replacing(args.csv) as part:
            part.write_text(csv_text(table, index=True), "utf-8")
