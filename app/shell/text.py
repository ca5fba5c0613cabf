"""Text of a shop as it may stand on a page."""

import re

import pandas as pd

# Characters that turn the direction of what follows them, or that no page can show: embeddings,
# overrides and isolates, control characters, half a surrogate pair, and the byte order mark. The
# plain marks of direction and the joiners that Arabic, Hindi and emoji need stay.
_UNSHOWN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def readable(text: str) -> str:
    """One line without characters that would turn or hide what stands around it."""
    return " ".join(_UNSHOWN.sub("", text).split())


def readable_column(values: pd.Series) -> pd.Series:
    """The same for each text of a column; "" where there is none."""
    texts = values.astype(object).where(values.notna(), "")
    return texts.map(lambda text: readable(str(text))).astype(str)
