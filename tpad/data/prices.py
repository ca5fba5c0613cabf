"""Parses prices as shops write them, by the same rule for every file.

| written | read as |
| --- | --- |
| `12.99`, `$12.99`, `12,99 €`, `USD 12.99`, `12,-` | 12.99; 12 |
| `1,299.00`, `1.299,00`, `1 299,00`, `1'299.00` | 1299 |
| `1,299` | 1299: a single comma before three digits groups thousands |
| `1.299` | 1.299: a plain number |
| `1.299 €` | 1299: with a currency, a point before three digits groups thousands |
| `$10.00 - $20.00` | 15, the mean of the range |
| `from 12`, `ab 12` | 12, the lowest price |
| nothing, NaN, `None`, `N/A`, `-`, `—` | missing |
| anything else, negative numbers included | unreadable |
"""

import html
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

MAX_LENGTH = 80  # characters of a price
HIGHEST = 1e12  # anything above is a mistake
RANGE, LOWEST = "range", "lowest"

_CURRENCY = (
    r"(?:(?:US|CA|AU|NZ|HK|A|C|R|S)?[$£¤¥₠-⃀]"
    r"|(?:AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|INR|JPY|KRW|MXN|NOK|NZD|PLN|RUB|SEK|SGD|TRY|USD|ZAR)\b"
    r"|Rs\.?|kr\.?|zł|Kč|Ft|TL)"
)
_NUMBER = r"(?:[0-9][0-9.,'’ ]*|[.,][0-9]+)"
_ONE = rf"(?:{_CURRENCY} ?)?{_NUMBER}(?: ?{_CURRENCY})?"
_PRICE = re.compile(
    rf"(?P<low>from|ab|starting at)? ?(?P<first>{_ONE})(?: ?(?:[-−–—~]|to|bis) ?(?P<last>{_ONE}))?",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?|\.[0-9]+")
_DOLLARS = re.compile(r"[$€£]([0-9]{1,9}(?:\.[0-9]{2})?)")  # the most common form
_INSIDE = re.compile(_NUMBER)
_NO_CENTS = re.compile(r"(?<=[0-9])[.,][-–—](?! ?[0-9])")  # 12,-
_GROUPS = re.compile(r"[1-9][0-9]{0,2}(?:([.,'’ ])[0-9]{3})(?:\1[0-9]{3})*")
_MISSING = frozenset(("", "none", "null", "nan", "n/a", "na", "-", "–", "—", "−"))


@dataclass(frozen=True)
class Price:
    """A parsed price.

    Attributes:
        amount: in the currency of the text, at least 0.
        kind: "" for a single price, `RANGE` (the amount is the mean) or `LOWEST` ("from …").
    """

    amount: float
    kind: str = ""


def parse_price(value: Any) -> Price | None:
    """Parse a price; None if it is missing.

    Args:
        value: a number, or text in one of the forms of the table above.

    Raises:
        ValueError: the value is not a price of at least 0.
    """
    if value is None:
        return None
    if isinstance(value, (Real, Decimal)) and not isinstance(value, bool):
        amount = float(value)
        return None if math.isnan(amount) else Price(_checked(amount))
    if not isinstance(value, str):
        raise ValueError("not a price")
    text = value.strip()
    if simple := _DOLLARS.fullmatch(text):
        return Price(float(simple[1]))
    if _PLAIN.fullmatch(text) and len(text) <= MAX_LENGTH:
        return Price(_checked(float(text)))
    if text.lower() in _MISSING:
        return None
    return _parse_text(text)


def _parse_text(text: str) -> Price:
    if len(text) > MAX_LENGTH:
        raise ValueError("not a price")
    text = " ".join(html.unescape(text).split())  # no-break and thin spaces become plain ones
    found = _PRICE.fullmatch(_NO_CENTS.sub("", text))
    if not found:
        raise ValueError("not a price")
    first = _amount(found["first"])
    if found["last"]:
        return Price(_checked((first + _amount(found["last"])) / 2), RANGE)
    return Price(first, LOWEST if found["low"] else "")


def _amount(text: str) -> float:
    """The number in the text of one price, which may contain a currency."""
    written = _INSIDE.search(text)
    number = written.group().strip() if written else ""
    if _GROUPS.fullmatch(number):
        is_plain = number == text.strip() and number.count(".") == 1
        if not is_plain:
            return _checked(float(_digits(number)))
    mark = max(number.rfind("."), number.rfind(","))
    if mark < 0:
        return _checked(float(_whole(number)))
    whole, decimals = number[:mark], number[mark + 1 :]
    if not decimals.isdigit() or number[mark] in whole:
        raise ValueError("not a price")
    return _checked(float(f"{_whole(whole or '0')}.{decimals}"))


def _whole(number: str) -> str:
    """The digits of a whole number, possibly with grouped thousands."""
    if not number.isdigit() and not _GROUPS.fullmatch(number):
        raise ValueError("not a price")
    return _digits(number)


def _digits(number: str) -> str:
    return re.sub(r"[^0-9]", "", number)


def _checked(amount: float) -> float:
    if not 0 <= amount < HIGHEST:
        raise ValueError("not a price")
    return amount
