"""Reads the pages of the documentation: their code blocks and their commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
PARSE_ONLY = "parse-only"
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: path of the page, relative to the checkout.
        line: where the block begins, from 1.
        language: first word after the fence.
        flags: further words after the fence.
        text: what stands between the fences.
    """

    page: str
    line: int
    language: str
    flags: tuple[str, ...]
    text: str


def blocks(page: str) -> Iterator[Block]:
    """All fenced blocks of a page."""
    text = (ROOT / page).read_text("utf-8")
    for found in _FENCE.finditer(text):
        language, *flags = found["info"].split() or [""]
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, language, tuple(flags), found["text"])


def commands(page: str, *, run: bool = False) -> list[list[str]]:
    """The commands in the `bash` blocks of a page, as lists of words.

    Args:
        page: path of the page, relative to the checkout.
        run: leave out blocks that are only to be parsed.
    """
    found = []
    for block in blocks(page):
        if block.language != "bash" or (run and PARSE_ONLY in block.flags):
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
                if word != "&&":
                    words.append(word)
                elif words:
                    found.append(words)
                    words = []
    return found
