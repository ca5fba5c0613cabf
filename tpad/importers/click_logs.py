"""Click logs by session: the tab-separated files of session-rec, and the raw yoochoose file."""

from pathlib import Path

import pyarrow as pa

from tpad.errors import DataError
from tpad.importers.counts import RowError
from tpad.importers.lines import LineReader, Note, first_line
from tpad.importers.settings import ImportSettings
from tpad.importers.source import CATEGORY, CLICKS, Source, click_maker

SESSION, ITEM, TIME = "SessionId", "ItemId", "Time"
WRONG_FIELDS = "row with too many or too few fields"
_REAL_CATEGORIES = frozenset(map(str, range(1, 13)))  # "0" is missing, "S" an offer, else a brand


def open_session_rec(files: list[Path], settings: ImportSettings) -> Source:
    """Files whose header has SessionId, ItemId and Time, in any order, and possibly more columns."""
    return _given([_session_rec(file, settings) for file in files])


def open_yoochoose(files: list[Path], settings: ImportSettings) -> Source:
    """Files without a header: session, ISO time, item and, optionally, category."""
    click = click_maker(settings)

    def parse(text: str, note: Note) -> tuple:
        fields = text.split(",")
        if not 3 <= len(fields) <= 4:
            raise RowError(WRONG_FIELDS)
        session, time, item, *category = fields
        known = category and category[0] in _REAL_CATEGORIES
        return *click(session, item, time), category[0] if known else ""

    for file in files:
        first = first_line(file)
        if SESSION in first.replace(",", "\t").split("\t"):
            raise DataError(f"{file.name} has a header; use the format session-rec.")
        if not 3 <= len(first.split(",")) <= 4:
            raise DataError(
                f"{file.name} does not begin with session,time,item,category separated by commas "
                f"('{first[:60]}'); give the raw yoochoose-clicks file."
            )
    schema = CLICKS.append(pa.field(CATEGORY, pa.string()))
    return _given([LineReader(file, schema, parse) for file in files])


def _given(readers: list[LineReader]) -> Source:
    return Source(
        list(readers),
        has_users=False,
        has_sessions=True,
        default_sessions="given",
        notes=("The log has only the ids of items: they have neither title nor image.",),
    )


def _session_rec(file: Path, settings: ImportSettings) -> LineReader:
    header = first_line(file)
    names = header.split("\t")
    for name in (SESSION, ITEM, TIME):
        if name in names:
            continue
        if "\t" not in header and any(mark in header for mark in ",;"):
            raise DataError(
                f"{file.name} is not separated by tabs ('{header[:60]}'); use tabs, or the format "
                "huggingface, which reads commas and semicolons as well."
            )
        raise DataError(
            f"{file.name} has no column '{name}' (its first line is '{header[:60]}'); "
            "add or rename the column."
        )
    session, item, time, count = *map(names.index, (SESSION, ITEM, TIME)), len(names)
    click = click_maker(settings)

    def parse(text: str, note: Note) -> tuple:
        fields = text.split("\t")
        if len(fields) != count:
            raise RowError(WRONG_FIELDS)
        return click(fields[session], fields[item], fields[time])

    return LineReader(file, CLICKS, parse, has_header=True)
