"""RecBole atomic files: tab-separated, with a header of `name:type` fields.

Types are token, token_seq, float and float_seq. Columns with a role in the item table are found by
their usual names or by `--column`; further columns of a `.item` file are kept under their names.
"""

from pathlib import Path

import pyarrow as pa

from tpad.data.columns import Columns
from tpad.errors import DataError
from tpad.importers.click_logs import WRONG_FIELDS
from tpad.importers.columns import check_columns, find_roles, further_columns, require_role
from tpad.importers.lines import LineReader, Note, Parse, first_line
from tpad.importers.settings import RATING, ImportSettings
from tpad.importers.source import CLICKS, ITEM_FIELDS, Source, click_maker, to_price
from tpad.importers.tally import Fault

TYPES = ("token", "token_seq", "float", "float_seq")
ENDINGS = (".inter", ".item", ".user")


def open_recbole(files: list[Path], settings: ImportSettings) -> Source:
    """Files whose names end in .inter, .item or .user, perhaps with .gz behind it."""
    by_ending: dict[str, list[Path]] = {ending: [] for ending in ENDINGS}
    for file in files:
        ending = Path(file.name.removesuffix(".gz")).suffix
        if ending not in by_ending:
            raise DataError(f"{file.name} must end in {', '.join(ENDINGS)}; rename it.")
        by_ending[ending].append(file)
    notes = [
        f"{file.name} is left out: the tables hold nothing of users." for file in by_ending[".user"]
    ]
    headers = {file: _header(file) for file in (*by_ending[".inter"], *by_ending[".item"])}
    check_columns(settings, [list(header) for header in headers.values()])
    roles = {file: find_roles(list(headers[file]), settings) for file in by_ending[".inter"]}
    has_sessions = all(Columns.SESSION_ID in of for of in roles.values())
    has_users = all(Columns.USER_ID in of for of in roles.values())
    by_session = has_sessions and settings.sessions in (None, "given")
    owner = Columns.SESSION_ID if by_session else Columns.USER_ID
    clicks = [
        _clicks(file, list(headers[file]), roles[file], owner, settings)
        for file in by_ending[".inter"]
    ]
    has_ratings = bool(roles) and all(RATING in of for of in roles.values())
    items = _items({file: headers[file] for file in by_ending[".item"]}, settings)
    return Source(
        list(clicks), list(items), has_users, has_sessions, "given" if has_sessions else "gap",
        has_ratings, tuple(notes),
    )  # fmt: skip


def _header(file: Path) -> dict[str, str]:
    """The type of each column."""
    first = first_line(file)
    columns: dict[str, str] = {}
    for field in first.split("\t"):
        name, _, kind = field.strip().partition(":")
        if not name or kind not in TYPES:
            raise DataError(
                f"{file.name} has the header field '{field[:40]}', not name:type with a type of "
                f"{', '.join(TYPES)}; separate the fields by tabs and type them."
            )
        if name in columns:
            raise DataError(f"{file.name} has two columns '{name}'; rename one of them.")
        columns[name] = kind
    return columns


def _clicks(
    file: Path, names: list[str], roles: dict[str, str], owner: str, settings: ImportSettings
) -> LineReader:
    if "item_id_list" in names:
        raise DataError(
            f"{file.name} holds a list of items in each row, as RecBole's benchmark files do; "
            "give the .inter file of single interactions."
        )
    owner_at, item_at, time_at = (
        names.index(require_role(roles, role, names, file.name))
        for role in (owner, Columns.ITEM_ID, Columns.TIMESTAMP)
    )
    rating_at = names.index(roles[RATING]) if RATING in roles else None
    click, count = click_maker(settings), len(names)

    def parse(text: str, note: Note) -> tuple:
        fields = text.split("\t")
        if len(fields) != count:
            raise Fault(WRONG_FIELDS)
        rating = None if rating_at is None else fields[rating_at]
        return click(fields[owner_at], fields[item_at], fields[time_at], rating)

    return LineReader(file, CLICKS, parse, has_header=True)


def _items(headers: dict[Path, dict[str, str]], settings: ImportSettings) -> list[LineReader]:
    """Readers of one schema: what one file lacks is empty there."""
    roles = {file: find_roles(list(header), settings) for file, header in headers.items()}
    extra = further_columns(
        (name, roles[file]) for file, header in headers.items() for name in header
    )
    schema = pa.schema([*ITEM_FIELDS, *extra])
    return [
        LineReader(
            file, schema, _item_parser(file, list(header), roles[file], schema.names),
            has_header=True,
        )
        for file, header in headers.items()
    ]  # fmt: skip


def _item_parser(file: Path, names: list[str], roles: dict[str, str], wanted: list[str]) -> Parse:
    require_role(roles, Columns.ITEM_ID, names, file.name)
    places = [
        names.index(roles.get(name, name)) if roles.get(name, name) in names else None
        for name in wanted
    ]
    id_at, price_at, count = wanted.index(Columns.ITEM_ID), wanted.index(Columns.PRICE), len(names)

    def parse(text: str, note: Note) -> tuple:
        fields = text.split("\t")
        if len(fields) != count:
            raise Fault(WRONG_FIELDS)
        row: list = ["" if at is None else fields[at].strip() for at in places]
        if not row[id_at]:
            raise Fault("missing item_id")
        row[price_at] = to_price(row[price_at], note)
        return tuple(row)

    return parse
