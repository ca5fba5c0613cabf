"""`python -m tpad import`: published datasets as the tables that `tpad train` reads."""

from argparse import Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from pathlib import Path

from tpad.errors import ConfigError
from tpad.importers.formats import FORMATS
from tpad.importers.settings import ITEM_CHOICES, ROLES, SPLITS, TIME_UNITS, ImportSettings

_FORMATS = "\n".join(f"  {name:<12} {form.about}" for name, form in FORMATS.items())


def add_import_parser(subparsers: _SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "import",
        help="turn a published dataset into an item table and a click table",
        description="Writes items.parquet, interactions.parquet and import.json (what was read, "
        "kept,\ndropped and why) into a new folder. Memory does not grow with the files (a pickle\n"
        "is held whole). After a kill, the same command goes on; OUT.work holds what is half\ndone, "
        "and is removed at the end.",
        epilog=f"formats:\n{_FORMATS}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("format", metavar="FORMAT", choices=FORMATS, help="see below")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="of interactions and of items; which is which is told from the content",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must be new")
    sessions = parser.add_argument_group("sessions")
    sessions.add_argument(
        "--sessions",
        nargs="+",
        metavar="RULE",
        help="a user's `day` (UTC), `gap MINUTES` (a pause so long ends one; 30), "
        "all clicks of a `user`, or `given` by the file (default: the format's)",
    )
    sessions.add_argument(
        "--min-session",
        type=int,
        default=2,
        metavar="N",
        help="leave out sessions of fewer clicks (%(default)s)",
    )
    sessions.add_argument(
        "--splits",
        nargs="+",
        default=(),
        metavar="SPLIT",
        help=f"the split of each interaction file, in order: {', '.join(SPLITS)} "
        "(default: `tpad train` splits by time)",
    )
    kept = parser.add_argument_group("what is kept")
    kept.add_argument(
        "--items",
        choices=ITEM_CHOICES,
        default="clicked",
        help="items that get a row: those clicked; only those clicked that an item "
        "file knows; all, so that items without a click are there too (%(default)s)",
    )
    kept.add_argument(
        "--images",
        metavar="FOLDER",
        help="folder of pictures named ITEM_ID.jpg (or png, webp, …): they come beside "
        "the item table (default: no pictures; addresses stay in image_url)",
    )
    kept.add_argument(
        "--min-clicks",
        type=int,
        default=1,
        metavar="N",
        help="leave out items with fewer clicks (%(default)s: rare items are kept)",
    )
    kept.add_argument(
        "--min-rating",
        type=float,
        metavar="R",
        help="leave out interactions rated lower (default: any rating counts)",
    )
    kept.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="read only the first N rows of interactions (default: all)",
    )
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--time-unit", choices=TIME_UNITS, help="of the timestamps (default: s, for amazon-2023 ms)"
    )
    reading.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="for recbole and huggingface, which column is what; may be repeated; "
        f"roles: {', '.join(ROLES)}",
    )
    parser.set_defaults(run=run_import)


def run_import(args: Namespace) -> None:
    """Runs the command."""
    from tpad.importers.run import INTERACTIONS, ITEMS, import_tables

    rule, gap = _rule(args.sessions)
    settings = ImportSettings(
        sessions=rule,
        gap_minutes=gap,
        min_clicks=args.min_clicks,
        min_session=args.min_session,
        min_rating=args.min_rating,
        items=args.items,
        limit=args.limit,
        time_unit=args.time_unit,
        images=args.images,
        splits=tuple(args.splits),
        columns=tuple(_column(text) for text in args.column),
    )
    summary = import_tables(args.format, args.files, args.out, settings)
    for name in ("interactions", "items"):
        counts = summary[name]
        added = f", {counts['added']:,} added with their id only" if counts["added"] else ""
        print(f"{name}: {counts['read']:,} read, {counts['kept']:,} kept{added}")
        for findings in (counts["dropped"], counts["changed"]):
            for reason, found in findings.items():
                examples = f" (for instance {found['examples'][0]})" if found["examples"] else ""
                print(f"{found['count']:>12,}  {reason}: {found['action']}{examples}")
    for note in summary["notes"]:
        print(note)
    print(
        f"wrote {summary['sessions']:,} sessions to {args.out}; train with `python -m tpad train "
        f"--items {args.out / ITEMS} --interactions {args.out / INTERACTIONS} --out BUNDLE`"
    )


def _rule(words: list[str] | None) -> tuple[str | None, float]:
    """The rule for sessions, and the minutes of a gap."""
    if not words:
        return None, 30.0
    if len(words) == 2 and words[0] == "gap":
        try:
            return "gap", float(words[1])
        except ValueError as error:
            raise ConfigError(f"--sessions gap wants minutes, not '{words[1]}'.") from error
    if len(words) > 1:
        raise ConfigError(
            f"--sessions takes day, gap MINUTES, user or given, not '{' '.join(words)}'; "
            "give the files before it."
        )
    return words[0], 30.0


def _column(text: str) -> tuple[str, str]:
    role, separator, name = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"--column wants ROLE=NAME, not '{text}'.")
    return role, name
