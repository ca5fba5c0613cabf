"""Values written as text: JSON, or Python's notation of plain values, which is never run."""

import ast
import json
import warnings
from typing import Any

LONGEST = 1 << 18  # characters of Python's notation; the reader needs hundreds of bytes for each


def read_literal(text: str) -> Any:
    """The value of a text in JSON or in Python's notation: lists, dicts, texts, numbers, None.

    Raises:
        ValueError: it is neither, nested too deeply, or Python's notation of more than `LONGEST`
            characters.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return read_python(text)


def read_python(text: str) -> Any:
    """The value of a text in Python's notation; see `read_literal`."""
    if len(text) > LONGEST:
        raise ValueError("too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes that stand for themselves
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("no plain value") from error
