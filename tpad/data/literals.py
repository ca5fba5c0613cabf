"""Parses values written as text, in JSON or as Python literals; nothing is executed."""

import ast
import json
import warnings
from typing import Any

MAX_LENGTH = 1 << 18  # characters of a Python literal; parsing takes hundreds of bytes for each


def read_literal(text: str) -> Any:
    """Parse JSON or a Python literal of lists, dicts, text, numbers and None.

    Raises:
        ValueError: it is neither, is nested too deeply, or is a Python literal of more than
            `MAX_LENGTH` characters.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return read_python(text)


def read_python(text: str) -> Any:
    """Parse a Python literal; see `read_literal`."""
    if len(text) > MAX_LENGTH:
        raise ValueError("too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escape sequences
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("not a literal") from error
