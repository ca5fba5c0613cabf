"""`python -m tpad import`: convert published datasets to the tables that `tpad train` reads."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter, _ArgumentGroup
from pathlib import Path
from typing import Any

from tpad.errors import ConfigError
from tpad.importers.formats import FORMATS
from tpad.importers.settings import ITEM_CHOICES, ROLES, SPLITS, TIME_UNITS, ImportSettings

_FORMATS = "\n".join(f"  {name:<12} {form.about}" for name, form in FORMATS.items())


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description = (
        "Convert a published dataset. Writes items.parquet, interactions.parquet and import.json\n"
        "(what was read, kept and dropped, and why) to a new folder. Memory use does not grow\n"
        "with the files, except for pickles, which are loaded whole. An interrupted command\n"
        "continues where it stopped; intermediate files are in OUT.work until the end."
    )
    parser.epilog = f"formats:\n{_FORMATS}"
    parser.add_argument("format", metavar="FORMAT", choices=FORMATS, help="see below")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="interaction files and item files; the content tells which is which",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder to write to")
    _add_session_options(parser.add_argument_group("sessions"))
    _add_filters(parser.add_argument_group("filters"))
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--time-unit",
        choices=TIME_UNITS,
        help="unit of the timestamps (default: s; amazon-2023: ms)",
    )
    reading.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="for recbole and huggingface: name of the column with this role; may be repeated; roles: "
        f"{', '.join(ROLES)}",
    )


def _add_session_options(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--sessions",
        nargs="+",
        metavar="RULE",
        help="what a session is: the clicks of a user on one `day` (UTC), without a pause of "
        "`gap MINUTES` (30), or all clicks of a `user`; `given`: as in the file (default: depends "
        "on the format)",
    )
    group.add_argument(
        "--min-session",
        type=int,
        default=2,
        metavar="N",
        help="drop sessions of fewer clicks (default: %(default)s)",
    )
    group.add_argument(
        "--splits",
        nargs="+",
        default=(),
        metavar="SPLIT",
        help=f"the split of each interaction file, in order: {', '.join(SPLITS)} "
        "(default: `tpad train` splits by time)",
    )


def _add_filters(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--items",
        choices=ITEM_CHOICES,
        default="clicked",
        help="items to keep: those that were clicked, those that were also in an item file, or all, "
        "with items without a click (default: %(default)s)",
    )
    group.add_argument(
        "--images",
        metavar="FOLDER",
        help="folder of pictures named ITEM_ID.jpg (or png, webp, …), to copy beside the item table "
        "(default: no pictures; addresses stay in image_url)",
    )
    group.add_argument(
        "--min-clicks",
        type=int,
        default=1,
        metavar="N",
        help="drop items with fewer clicks (default: %(default)s, which keeps all)",
    )
    group.add_argument(
        "--min-rating",
        type=float,
        metavar="R",
        help="drop interactions with a lower rating (default: keep all)",
    )
    group.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="read only the first N rows of interactions (default: all)",
    )


def run(args: Namespace) -> None:
    """Run the command."""
    from tpad.importers.run import INTERACTIONS, ITEMS, import_tables

    rule, gap = _rule(args.sessions)
    names: list[Any] = [_column(text) for text in args.column]
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
        columns=tuple(names),
    )
    summary = import_tables(args.format, args.files, args.out, settings)
    for name in ("interactions", "items"):
        counts = summary[name]
        added = f", {counts['added']:,} added with only their id" if counts["added"] else ""
        print(f"{name}: {counts['read']:,} read, {counts['kept']:,} kept{added}")
        for findings in (counts["dropped"], counts["changed"]):
            for reason, found in findings.items():
                examples = f" (for example {found['examples'][0]})" if found["examples"] else ""
                print(f"{found['count']:>12,}  {reason}: {found['action']}{examples}")
    for note in summary["notes"]:
        print(note)
    print(
        f"wrote {summary['sessions']:,} sessions to {args.out}; train with `python -m tpad train "
        f"--items {args.out / ITEMS} --interactions {args.out / INTERACTIONS} --out BUNDLE`"
    )


def _rule(words: list[str] | None) -> tuple[Any, float]:
    """The rule of --sessions, and the minutes of its gap."""
    if not words:
        return None, 30.0
    if len(words) == 2 and words[0] == "gap":
        try:
            return "gap", float(words[1])
        except ValueError as error:
            raise ConfigError(f"--sessions gap takes minutes, not '{words[1]}'.") from error
    if len(words) > 1:
        raise ConfigError(
            f"--sessions takes day, gap MINUTES, user or given, not '{' '.join(words)}'; "
            "put the files before it."
        )
    return words[0], 30.0


def _column(text: str) -> tuple[str, str]:
    role, separator, name = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"--column takes ROLE=NAME, not '{text}'.")
    return role, name
