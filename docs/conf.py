"""Configuration of the documentation: `make docs` builds it with Sphinx and MyST."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

from tpad.version import __version__

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

project = "TPAD"
author = "the TPAD contributors"
copyright = f"2026, {author}"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "command_reference",
    "database_reference",
    "settings_reference",
    "stage_reference",
]
exclude_patterns = ["_build", "_ext"]

html_theme = "furo"
html_title = f"TPAD {release}"
html_static_path: list[str] = []

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# Docstrings use single backticks for code, as Markdown does.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False

# Every reference must resolve, except to names of other libraries: the build uses no network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(np|numpy|pd|pandas|PIL|torch|collections|pathlib|typing)(\..*)?"),
    (r"py:class", r"(Path|Exception|bool|int|str|float|tuple|dict|list|optional)"),
]


def adapt_docstring(
    app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]
) -> None:
    """Translate two habits of our docstrings that Sphinx does not know.

    A letter may follow code, as in `NewItem`s, and one entry of "Attributes" may name several.
    """
    several = re.compile(r"( +)((?:\w+, )+\w+)(: .*)")
    attributes, result = False, []
    for line in lines:
        line = re.sub(r"(`[^`\s][^`]*`)(?=\w)", r"\1\\ ", line)
        if line.endswith(":") and not line.startswith(" "):
            attributes = line == "Attributes:"
        entry = several.fullmatch(line) if attributes else None
        names = entry[2].split(", ") if entry else []
        result += [f"{entry[1]}{each}{entry[3]}" for each in names] if entry else [line]
    lines[:] = result


def setup(app: Sphinx) -> None:
    """Connects the hook, before that of napoleon."""
    app.connect("autodoc-process-docstring", adapt_docstring, priority=100)
