"""Amazon Reviews 2018 and 2023: JSON lines of reviews and of item records.

Sessions are a user's day, as the MMSBR authors build them; so is an item's category the deepest one
of its list, and a price range its mean. 2023 reviews name the item by `parent_asin`, as the item
records do.
"""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from tpad.errors import DataError
from tpad.importers.lines import LineReader, Note, Parse, first_line
from tpad.importers.settings import ImportSettings
from tpad.importers.source import CLICKS, ITEM_FIELDS, Source, click_maker
from tpad.importers.tally import Fault

_SCHEMA = pa.schema([*ITEM_FIELDS, ("brand", pa.string()), ("image_url", pa.string())])
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_PRICE = re.compile(rf"\$?\s*{_NUMBER.pattern}(?:\s*[-−–]\s*\$?\s*{_NUMBER.pattern})?")
_SCRIPT = "getTime"  # what the titles of the badly read pages of 2018 have in common


def open_2018(files: list[Path], settings: ImportSettings) -> Source:
    """Reviews (`reviewerID`, `asin`, `unixReviewTime`, `overall`) and records (`asin`, `title`)."""
    click = click_maker(settings)

    def review(text: str, note: Note) -> tuple:
        row = _record(text)
        return click(
            _id(row, "reviewerID"), _id(row, "asin"), row.get("unixReviewTime"), row.get("overall")
        )

    def record(text: str, note: Note) -> tuple:
        row = _record(text)
        title = _text(row.get("title"))
        if _SCRIPT in title:
            note("title is a script of the page", "the title counts as missing")
            title = ""
        categories = row.get("category")
        images = row.get("imageURLHighRes") or row.get("imageURL") or []
        return (
            _item(row, "asin"), title, _text(row.get("description")),
            _deepest(categories) or _text(row.get("main_cat")), _price(row.get("price"), note),
            _text(row.get("brand")), _first(images),
        )  # fmt: skip

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
        told = [_text(row.get("description")), _text(row.get("features"))]
        images = row.get("images")
        first = images[0] if isinstance(images, list) and images else {}
        urls = first if isinstance(first, dict) else {}
        return (
            _item(row, "parent_asin"), _text(row.get("title")), " ".join(filter(None, told)),
            _deepest(row.get("categories")) or _text(row.get("main_category")),
            _price(row.get("price"), note), _text(row.get("store")),
            _text(urls.get("hi_res") or urls.get("large") or urls.get("thumb")),
        )  # fmt: skip

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
    """The keys of the first record."""
    line = first_line(file)
    try:
        first = json.loads(line)
    except ValueError as error:
        old = " (Python's notation is the layout of 2014)" if line.startswith("{'") else ""
        raise DataError(
            f"{file.name} does not begin with a JSON object on one line{old}; give a file of JSON "
            "lines."
        ) from error
    return set(first) if isinstance(first, dict) else set()


def _record(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("broken JSON") from error
    if not isinstance(row, dict):
        raise Fault("broken JSON")
    return row


def _id(row: dict[str, Any], key: str) -> str:
    """An id; "" if it is missing or no text."""
    value = row.get(key)
    return _clean(value) if isinstance(value, str) else ""


def _item(row: dict[str, Any], key: str) -> str:
    item = _id(row, key)
    if not item:
        raise Fault("missing item_id")
    return item


def _text(value: Any) -> str:
    """Text of a text, or of a list of texts."""
    if isinstance(value, list):
        return " ".join(filter(None, map(_text, value)))
    return _clean(value) if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Without spaces around it, and without halves of surrogate pairs, which JSON may escape."""
    text = text.strip()
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _first(values: Any) -> str:
    return _text(values[0]) if isinstance(values, list) and values else _text(values)


def _deepest(categories: Any) -> str:
    """The last category of a list; one of a list of lists belongs to the first path."""
    while isinstance(categories, list) and categories:
        nested = isinstance(categories[0], list)
        categories = categories[0] if nested else categories[-1]
    return _text(categories)


def _price(value: Any, note: Note) -> float | None:
    """A price in the shop's currency; of a range its mean."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    text = _text(value)
    if not text or text in ("None", "—"):
        return None
    if not _PRICE.fullmatch(text):
        note("price is no number", "the price counts as missing")
        return None
    numbers = [float(found.replace(",", "")) for found in _NUMBER.findall(text)]
    if len(numbers) > 1:
        note("price is a range", "its mean is taken")
    return sum(numbers) / len(numbers)
