"""`python -m tpad recommend BUNDLE --session …`: recommend the next items of a session."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tpad.errors import ConfigError, DataError, shown

if TYPE_CHECKING:
    import pandas as pd

    from tpad.recommender import Element, Recommender

FORMATS = ("table", "json", "csv")
TITLE_WIDTH = 60  # characters of a title in a table
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = "Recommend the next items of a session of item ids and pictures."
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or hub id of a bundle")
    parser.add_argument(
        "--session",
        nargs="+",
        required=True,
        metavar="ELEMENT",
        help="item ids and picture files, in the order of the session",
    )
    parser.add_argument(
        "--title",
        nargs="+",
        default=[],
        metavar="TITLE",
        help="titles of the pictures, in the same order",
    )
    parser.add_argument("-k", type=int, default=20, help="number of items (default: %(default)s)")
    parser.add_argument(
        "--model", help="embedding set to use (default: the main set of the bundle)"
    )
    parser.add_argument(
        "--include-seen", action="store_true", help="also recommend items of the session"
    )
    parser.add_argument(
        "--exploration",
        type=float,
        metavar="SHARE",
        help="wanted share of new items in the lists, from 0 (never) to 1 (default: the best one for "
        "clicked and new items together)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="output format (default: %(default)s)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the hub id")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")


def run(args: Namespace) -> None:
    """Run the command.

    Raises:
        TpadError: the bundle, an id, a picture or a setting cannot be used.
    """
    from tpad.recommender import load

    recommender = load(args.bundle, args.revision, device=args.device)
    session = _session(recommender, args.session, args.title)
    found = recommender.recommend(
        session,
        k=args.k,
        exclude_seen=not args.include_seen,
        model=args.model,
        exploration=args.exploration,
    )
    table = _with_titles(found, recommender)
    print(_formatted(table, args.format), end="")


def _session(recommender: "Recommender", elements: list[str], titles: list[str]) -> list["Element"]:
    """The elements of a session: known item ids first, then existing files as pictures."""
    from tpad.data.images import load_image
    from tpad.items import NewItem

    ids = set(recommender.items["item_id"])
    session: list[Element] = []
    left = list(titles)
    for element in elements:
        if element in ids:
            session.append(element)
        elif Path(element).is_file():
            session.append(NewItem(load_image(element), left.pop(0) if left else ""))
        elif element.lower().endswith(_PICTURE_SUFFIXES):
            raise DataError(
                f"There is neither a picture nor an item '{shown(element)}'; check the path."
            )
        else:
            session.append(element)  # the recommender's error names similar ids
    if left:
        raise ConfigError(
            f"There are more titles than pictures in the session; leave out '{shown(left[0])}'."
        )
    return session


def _with_titles(found: "pd.DataFrame", recommender: "Recommender") -> "pd.DataFrame":
    items = recommender.items.set_index("item_id").loc[found["item_id"]]
    table = found[["rank", "item_id", "score", "is_cold"]].copy()
    for column in ("title", "category"):
        table[column] = items[column].to_numpy()
    return table


def _formatted(table: "pd.DataFrame", form: str) -> str:
    if form == "json":
        return table.to_json(orient="records", indent=1, force_ascii=False) + "\n"
    if form == "csv":
        from tpad.io.csv_files import csv_text

        return csv_text(table)
    if table.empty:
        return "The shop has no item that is not in the session.\n"
    shown = table.assign(
        score=table["score"].map("{:.3f}".format),
        is_cold=table["is_cold"].map({True: "cold", False: ""}),
        title=table["title"].map(_short),
    ).rename(columns={"is_cold": ""})
    return _aligned([list(map(str, shown.columns)), *shown.astype(str).to_numpy().tolist()])


def _aligned(rows: list[list[str]]) -> str:
    """Format rows of cells as lines; the numbers (rank and score) are aligned to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if i in (0, 2) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _short(title: str) -> str:
    return title if len(title) <= TITLE_WIDTH else title[: TITLE_WIDTH - 1] + "…"
