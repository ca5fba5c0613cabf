"""Limit how much longer a tokenizer may make a text, before the tokenizer is built.

The steps of a `tokenizer.json` are applied one after the other, so that a file of a few hundred bytes
can turn one character into billions.
"""

import base64
import math
from collections.abc import Iterator
from typing import Any

from tpad.errors import ModelError

MAX_GROWTH = 1_000
"""Most characters that one character of a text may become; those of published tokenizers are below 100."""
MAX_STEPS = 64
"""Most steps of a tokenizer."""
SHORT = 16
"""Characters that may be put before a text without counting as growth."""


def check_tokenizer(content: dict[str, Any], subject: str) -> None:
    """Reject a tokenizer that makes texts far longer.

    Args:
        content: of a `tokenizer.json`.
        subject: names the file in an error message.

    Raises:
        ModelError: it has too many steps, steps that multiply the length of a text, or damaged ones.
    """
    for parts in (("normalizer", "pre_tokenizer"), ("decoder",)):
        steps = [step for part in parts for step in _steps(content.get(part))]
        try:
            growth = math.prod(map(_growth, steps))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{subject} is damaged; get it again.") from error
        if len(steps) > MAX_STEPS or growth > MAX_GROWTH:
            raise ModelError(
                f"{subject} makes texts more than {MAX_GROWTH:,} times longer, or has more than "
                f"{MAX_STEPS} steps ({', '.join(parts)}); use the tokenizer that the model was "
                "published with."
            )


def dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    """All dictionaries in a JSON value, at any depth."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """All steps within a part of a tokenizer, those of nested sequences included."""
    return (each for each in dictionaries(part) if isinstance(each.get("type"), str))


def _growth(step: dict[str, Any]) -> int:
    """How many characters a step may make of one."""
    kind = step["type"]
    if kind == "Replace":
        content, pattern = step["content"], step["pattern"]
        plain = pattern.get("String") if isinstance(pattern, dict) else pattern
        if not content or (plain and len(content) <= len(plain)):
            return 1
        return 1 + len(content)  # a regular expression may match between two characters
    if kind == "Prepend":
        return 1 if len(step["prepend"]) <= SHORT else 1 + len(step["prepend"])
    if kind == "Precompiled":
        return _longest_replacement(step["precompiled_charsmap"])
    return 2 if kind in ("ByteLevel", "Metaspace") else 1


def _longest_replacement(charsmap: str) -> int:
    """The longest text that a table of SentencePiece puts in place of a character."""
    table = base64.b64decode(charsmap or "")
    trie = int.from_bytes(table[:4], "little")
    return (
        max(
            (len(one) for one in table[4 + trie :].decode("utf-8", "replace").split("\0")),
            default=1,
        )
        or 1
    )
