"""Configuration of the documentation: `make docs` builds it with Sphinx and MyST."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

project = "TPAD"
author = "the TPAD contributors"
copyright = f"2026, {author}"
release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

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
napoleon_use_rtype = False

# Every reference must resolve, except to names of other libraries: the build uses no network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(np|numpy|pd|pandas|PIL|torch|collections|pathlib|typing)(\..*)?"),
    (r"py:class", r"(Path|Exception|bool|int|str|float|tuple|dict|list|optional)"),
]
