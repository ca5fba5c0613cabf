"""RecBole atomic files: tab-separated, with a header of `name:type` fields.

Types are token, token_seq, float and float_seq. Columns are found by their usual names or by
`--column`; further columns of an `.item` file are kept under their names. The untyped `.inter` files of
MMRec are read as well: `x_label` is the split of each row (0 train, 1 validation, 2 test).
"""

from pathlib import Path

import pyarrow as pa

from tpad.data.addresses import first_address
from tpad.data.columns import Columns
from tpad.errors import ConfigError, DataError
from tpad.importers.click_logs import WRONG_FIELDS
from tpad.importers.columns import (
    check_columns,
    check_unique,
    find_roles,
    further_columns,
    lists_refused,
    require_role,
)
from tpad.importers.counts import RowError
from tpad.importers.lines import LineReader, Note, Parse, first_line
from tpad.importers.markup import plain_text
from tpad.importers.settings import RATING, SPLITS, ImportSettings
from tpad.importers.source import (
    CLICKS,
    ITEM_FIELDS,
    Source,
    click_maker,
    refuse_list,
    to_price,
)

TYPES = ("token", "token_seq", "float", "float_seq")
ENDINGS = (".inter", ".item", ".user")
LABEL = "x_label"  # of MMRec
_LABELS = {str(number): split for number, split in enumerate(SPLITS)}
_MMREC = {"userID", "itemID", LABEL}
_WITH_SPLIT = CLICKS.append(pa.field(Columns.SPLIT, pa.string()))


def open_recbole(files: list[Path], settings: ImportSettings) -> Source:
    """Files whose names end in .inter, .item or .user, optionally followed by .gz."""
    by_ending: dict[str, list[Path]] = {ending: [] for ending in ENDINGS}
    for file in files:
        ending = Path(file.name.removesuffix(".gz")).suffix
        if ending not in by_ending:
            raise DataError(f"{file.name} must end in {', '.join(ENDINGS)}; rename it.")
        by_ending[ending].append(file)
    notes = [
        f"{file.name} is ignored: the tables contain nothing about users."
        for file in by_ending[".user"]
    ]
    headers = {file: _header(file) for file in (*by_ending[".inter"], *by_ending[".item"])}
    check_columns(settings, [list(header) for header in headers.values()])
    roles = {file: find_roles(list(headers[file]), settings) for file in by_ending[".inter"]}
    has_sessions = all(Columns.SESSION_ID in of for of in roles.values())
    has_users = all(Columns.USER_ID in of for of in roles.values())
    by_session = has_sessions and settings.sessions in (None, "given")
    owner = Columns.SESSION_ID if by_session else Columns.USER_ID
    labelled = _labelled([headers[file] for file in by_ending[".inter"]], settings)
    if labelled:
        notes.append(f"The split of each interaction is its {LABEL}.")
    clicks = [
        _clicks(file, headers[file], roles[file], owner, labelled, settings)
        for file in by_ending[".inter"]
    ]
    has_ratings = bool(roles) and all(RATING in of for of in roles.values())
    items = _items({file: headers[file] for file in by_ending[".item"]}, settings)
    return Source(
        list(clicks),
        list(items),
        has_users,
        has_sessions,
        "given" if has_sessions else "gap",
        has_ratings,
        tuple(notes),
    )


def _header(file: Path) -> dict[str, str]:
    """The type of each column."""
    first = first_line(file)
    fields = [field.strip() for field in first.split("\t")]
    if set(fields) >= _MMREC:
        check_unique(fields, file.name)
        return dict.fromkeys(fields, "token")
    columns: dict[str, str] = {}
    for field in fields:
        name, _, kind = field.partition(":")
        if not name or kind not in TYPES:
            raise DataError(
                f"{file.name} has the header field '{field[:40]}', not name:type with a type of "
                f"{', '.join(TYPES)}; separate the fields by tabs and type them."
            )
        columns[name] = kind
    check_unique([field.partition(":")[0] for field in fields], file.name)
    return columns


def _labelled(headers: list[dict[str, str]], settings: ImportSettings) -> bool:
    """Whether the `.inter` files have the split of each row."""
    labelled = [LABEL in header for header in headers]
    if not any(labelled):
        return False
    if settings.splits:
        raise ConfigError(f"The column {LABEL} has the split of each row; leave out --splits.")
    if not all(labelled):
        raise DataError(
            f"Some of the .inter files have a column {LABEL} and others do not; give files of "
            "one kind."
        )
    return True


def _clicks(
    file: Path,
    header: dict[str, str],
    roles: dict[str, str],
    owner: str,
    labelled: bool,
    settings: ImportSettings,
) -> LineReader:
    names = list(header)
    if "item_id_list" in names:
        raise DataError(
            f"{file.name} holds a list of items in each row, as RecBole's benchmark files do; "
            "give the .inter file of single interactions."
        )
    wanted = (owner, Columns.ITEM_ID, Columns.TIMESTAMP)
    needed = [require_role(roles, role, names, file.name) for role in wanted]
    for name in needed:
        if header[name].endswith("_seq"):
            raise lists_refused(file.name, name)
    owner_at, item_at, time_at = map(names.index, needed)
    rating_at = names.index(roles[RATING]) if RATING in roles else None
    click, count = click_maker(settings), len(names)

    def parse(text: str, note: Note) -> tuple:
        fields = text.split("\t")
        if len(fields) != count:
            raise RowError(WRONG_FIELDS)
        rating = None if rating_at is None else fields[rating_at]
        return click(fields[owner_at], fields[item_at], fields[time_at], rating)

    if not labelled:
        return LineReader(file, CLICKS, parse, has_header=True)
    label_at = names.index(LABEL)

    def parse_labelled(text: str, note: Note) -> tuple:
        row = parse(text, note)
        label = text.split("\t")[label_at].strip()
        split = _LABELS.get(label.removesuffix(".0"))
        if split is None:
            raise RowError(f"{LABEL} is not 0, 1 or 2", label)
        return *row, split

    return LineReader(file, _WITH_SPLIT, parse_labelled, has_header=True)


def _items(headers: dict[Path, dict[str, str]], settings: ImportSettings) -> list[LineReader]:
    """Readers with the same schema; columns that a file does not have are empty."""
    roles = {file: find_roles(list(header), settings) for file, header in headers.items()}
    extra = further_columns(
        (name, roles[file]) for file, header in headers.items() for name in header
    )
    schema = pa.schema([*ITEM_FIELDS, *extra])
    return [
        LineReader(
            file,
            schema,
            _item_parser(file, header, roles[file], schema.names),
            has_header=True,
        )
        for file, header in headers.items()
    ]


def _item_parser(
    file: Path, header: dict[str, str], roles: dict[str, str], wanted: list[str]
) -> Parse:
    names = list(header)
    item = require_role(roles, Columns.ITEM_ID, names, file.name)
    if header[item].endswith("_seq"):
        raise lists_refused(file.name, item)
    places = [
        names.index(roles.get(name, name)) if roles.get(name, name) in names else None
        for name in wanted
    ]
    id_at, price_at, count = wanted.index(Columns.ITEM_ID), wanted.index(Columns.PRICE), len(names)
    picture_at = wanted.index("image_url") if "image_url" in wanted else None
    texts_at = [at for at in range(len(wanted)) if at not in (id_at, price_at, picture_at)]

    def parse(text: str, note: Note) -> tuple:
        fields = text.split("\t")
        if len(fields) != count:
            raise RowError(WRONG_FIELDS)
        row: list = ["" if at is None else fields[at].strip() for at in places]
        if not row[id_at]:
            raise RowError("missing item_id")
        refuse_list(row[id_at])
        row[price_at] = to_price(row[price_at], note)
        for at in texts_at:
            row[at] = plain_text(row[at], wanted[at], note)
        if picture_at is not None:
            row[picture_at] = first_address(row[picture_at])
        return tuple(row)

    return parse
