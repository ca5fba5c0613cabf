"""Texts for the page: cleaned titles, prices, plurals."""

import math
import re

import pandas as pd

# Characters that change the direction of the following text or that cannot be displayed: embeddings,
# overrides and isolates, control characters, lone surrogates and the byte order mark. Direction
# marks and joiners, which Arabic, Hindi and emoji need, are kept.
_UNSHOWN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def readable(text: str) -> str:
    """One line without characters that would reverse or hide the text around it."""
    return " ".join(_UNSHOWN.sub("", text).split())


def readable_column(values: pd.Series) -> pd.Series:
    """`readable` for each text of a column; "" for missing values."""
    texts = values.astype(object).where(values.notna(), "")
    return texts.map(lambda text: readable(str(text))).astype(str)


def price_text(price: float | None) -> str:
    """A price; "" if unknown."""
    return "" if price is None or math.isnan(price) else f"{price:,.2f}"


def plural(count: int, word: str) -> str:
    """A count with its word: "1 item", "2 items"."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def plot_text(text: str, length: int = 60) -> str:
    """A title for a plot: shortened, without plotly's markup."""
    text = text.replace("<", "‹").replace(">", "›").replace("%{", "% {")
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
