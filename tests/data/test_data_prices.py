"""Prices in the forms in which shops write them."""

from decimal import Decimal

import pytest

from tpad.data.prices import LOWEST, RANGE, Price, parse_price


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        (12, 12.0),
        (12.5, 12.5),
        (Decimal("3.5"), 3.5),
        ("12.99", 12.99),
        ("12.", 12.0),
        (".99", 0.99),
        ("1e3", 1000.0),
        (" $12.99 ", 12.99),
        ("12,99 €", 12.99),
        ("€12,99", 12.99),
        ("12,99\u00a0€", 12.99),
        ("US$ 5", 5.0),
        ("USD 12.99", 12.99),
        ("12.99usd", 12.99),
        ("Rs. 500", 500.0),
        ("&pound;12.99", 12.99),
        ("12,- €", 12.0),
        ("CHF 1'299.–", 1299.0),
        ("1,299.00", 1299.0),
        ("1.299,00", 1299.0),
        ("1 299,00", 1299.0),
        ("1\u202f299,00 €", 1299.0),
        ("1,299", 1299.0),
        ("0,299", 0.299),
        ("1.299", 1.299),
        ("1.299 €", 1299.0),
        ("1.299.000", 1299000.0),
        ("$1,299.50", 1299.5),
    ],
)
def test_single_prices(written, amount):
    assert parse_price(written) == Price(amount)


@pytest.mark.parametrize(
    ("written", "amount", "kind"),
    [
        ("$10.00 - $20.00", 15.0, RANGE),
        ("10-20", 15.0, RANGE),
        ("5 €–7 €", 6.0, RANGE),
        ("10,5 bis 12,5 €", 11.5, RANGE),
        ("1.5 - 2.5", 2.0, RANGE),
        ("from 12", 12.0, LOWEST),
        ("From $12.99", 12.99, LOWEST),
        ("ab 12 €", 12.0, LOWEST),
    ],
)
def test_ranges_and_lowest_prices(written, amount, kind):
    assert parse_price(written) == Price(amount, kind)


@pytest.mark.parametrize("written", [None, "", " ", "—", "-", "None", "N/A", "nan", float("nan")])
def test_missing_prices(written):
    assert parse_price(written) is None


@pytest.mark.parametrize(
    "written",
    [
        -5,
        "-5",
        True,
        float("inf"),
        "inf",
        "1e30",
        "free",
        "iPhone 12",
        ".a-box {",
        "12 34",
        "1,2,3",
        "1.2.3",
        "1.23,4.5",
        "$",
        "10 - ",
        "9" * 100,
        "12 each",
        [1],
        "1,23,45",
    ],
)
def test_invalid_prices(written):
    with pytest.raises(ValueError, match="not a price"):
        parse_price(written)
