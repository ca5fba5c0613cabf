"""Amazon Reviews 2014, 2018 and 2023: one review or item record per line.

As in the data of the MMSBR authors, a session is all clicks of a user on one day, the category of an
item is the deepest one of its list, and a price range becomes its mean. 2023 reviews name the item by
`parent_asin`, as the item records do. The records of 2014 are Python literals (parsed, never executed)
or strict JSON. Records were scraped from web pages: HTML, scripts and style sheets in titles and
categories are removed and counted.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from tpad.data.addresses import first_address
from tpad.data.literals import read_python
from tpad.errors import DataError
from tpad.importers.counts import RowError
from tpad.importers.lines import LineReader, Note, Parse, first_line
from tpad.importers.markup import has_markup, plain_text, plain_texts
from tpad.importers.settings import ImportSettings
from tpad.importers.source import CLICKS, ITEM_FIELDS, Source, click_maker, to_price

_SCHEMA = pa.schema([*ITEM_FIELDS, ("brand", pa.string()), ("image_url", pa.string())])


def open_2018(files: list[Path], settings: ImportSettings) -> Source:
    """Reviews (`reviewerID`, `asin`, `unixReviewTime`, `overall`) and records (`asin`, `title`).

    2014 and 2018 have the same reviews. Records have `category`, a list, and `imageURLHighRes` or
    `imageURL`, lists, in 2018; `categories`, a list of lists, and `imUrl` in 2014.
    """
    click = click_maker(settings)

    def review(text: str, note: Note) -> tuple:
        row = _record(text)
        return click(
            _id(row, "reviewerID"), _id(row, "asin"), row.get("unixReviewTime"), row.get("overall")
        )

    def record(text: str, note: Note) -> tuple:
        row = _record(text)
        pictures = map(_address, map(row.get, ("imageURLHighRes", "imageURL", "imUrl")))
        return (
            _item(row, "asin"),
            _plain(row, "title", note),
            _described(row, ("description",), note),
            _category(row.get("category") or row.get("categories"), row.get("main_cat"), note),
            to_price(row.get("price"), note),
            _plain(row, "brand", note),
            next(filter(None, pictures), ""),
        )

    return _open(files, "reviewerID", "asin", review, record, ("user_id", "amazon-2023"))


def open_2023(files: list[Path], settings: ImportSettings) -> Source:
    """Reviews (`user_id`, `parent_asin`, `timestamp` in ms, `rating`) and records."""
    click = click_maker(settings, "ms")

    def review(text: str, note: Note) -> tuple:
        row = _record(text)
        item = _id(row, "parent_asin") or _id(row, "asin")
        return click(_id(row, "user_id"), item, row.get("timestamp"), row.get("rating"))

    def record(text: str, note: Note) -> tuple:
        row = _record(text)
        return (
            _item(row, "parent_asin"),
            _plain(row, "title", note),
            _described(row, ("description", "features"), note),
            _category(row.get("categories"), row.get("main_category"), note),
            to_price(row.get("price"), note),
            _plain(row, "store", note, "brand"),
            _address(row.get("images")),
        )

    return _open(files, "user_id", "parent_asin", review, record, ("reviewerID", "amazon-2018"))


def _open(
    files: list[Path], user: str, item: str, review: Parse, record: Parse, other: tuple[str, str]
) -> Source:
    source = Source([], default_sessions="day", is_ratings=True)
    for file in files:
        keys = _keys(file)
        if user in keys:
            source.clicks.append(LineReader(file, CLICKS, review))
        elif other[0] in keys:
            raise DataError(f"{file.name} has '{other[0]}'; use the format {other[1]}.")
        elif item in keys:
            source.items.append(LineReader(file, _SCHEMA, record))
        else:
            raise DataError(
                f"{file.name} begins with neither a review ('{user}') nor an item record "
                f"('{item}'); choose the format that fits."
            )
    return source


def _keys(file: Path) -> set[str]:
    """Keys of the first record."""
    try:
        return set(_record(first_line(file)))
    except RowError as error:
        raise DataError(
            f"{file.name} does not begin with a JSON object on one line; give a file of JSON lines."
        ) from error


def _record(text: str) -> dict[str, Any]:
    """Parse the record of a line, in JSON or as a Python literal (2014)."""
    is_python = text.startswith("{'")
    try:
        row = read_python(text) if is_python else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError(
            "broken record in Python's notation" if is_python else "broken JSON"
        ) from error
    if not isinstance(row, dict):
        raise RowError("broken JSON")
    return row


def _id(row: dict[str, Any], key: str) -> str:
    """An id; "" if it is missing."""
    value = row.get(key)
    if isinstance(value, list | dict):
        raise RowError(f"{key} is a list; write one row for each item", str(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _clean(value) if isinstance(value, str) else ""


def _item(row: dict[str, Any], key: str) -> str:
    item = _id(row, key)
    if not item:
        raise RowError("missing item_id")
    return item


def _texts(value: Any) -> list[str]:
    """The non-empty texts of a text or of a (nested) list of texts."""
    if isinstance(value, str):
        value = [value]
    elif not isinstance(value, list):
        return []
    texts = []
    for part in value:
        if isinstance(part, str):
            texts.append(_clean(part))
        elif isinstance(part, list):
            texts += _texts(part)
    return list(filter(None, texts))


def _clean(text: str) -> str:
    """Remove surrounding spaces, and halves of surrogate pairs, which JSON may contain."""
    text = text.strip()
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _plain(row: dict[str, Any], key: str, note: Note, field: str = "") -> str:
    value = row.get(key)
    text = _clean(value) if isinstance(value, str) else " ".join(_texts(value))
    return plain_text(text, field or key, note)


def _described(row: dict[str, Any], keys: tuple[str, ...], note: Note) -> str:
    """Join the texts of several fields."""
    texts = [text for key in keys for text in _texts(row.get(key))]
    return " ".join(filter(None, plain_texts(texts, "description", note)))


def _category(path: Any, main: Any, note: Note) -> str:
    """The last category of a list, or else the main category.

    Of a list of lists, the first is used. An entry that is only an HTML tag ends the list: remarks of
    the web page follow it.
    """
    while isinstance(path, list) and path and isinstance(path[0], list):
        path = path[0]
    entries = _texts(path)
    deepest = ""
    for entry, plain in zip(entries, plain_texts(entries, "category", note), strict=True):
        if not plain and deepest and has_markup(entry):
            break
        deepest = plain or deepest
    return deepest or plain_text(" ".join(_texts(main)), "category", note)


def _address(value: Any) -> str:
    return _clean(first_address(value)) if isinstance(value, (str, list, dict)) else ""
