"""Renders the app's HTML from the Jinja2 templates in `app/templates`."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

from app.shell.text import plural, price_text


class DropLineBreaks(Extension):
    """Drops line breaks next to tags and blocks, where the browser would show them as spaces."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """The template without line breaks between `>` or `}` and `<` or `{`."""
        return re.sub(r"(?<=[>}])\s*\n\s*(?=[<{])", "", source)


ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    extensions=[DropLineBreaks],
)
ENVIRONMENT.filters |= {"number": format, "plural": plural, "price": price_text}


def render(template: str, **values: Any) -> str:
    """A template as HTML; texts are escaped."""
    return ENVIRONMENT.get_template(template).render(**values)


def fragment(template: str, **values: Any) -> Markup:
    """The same, to be put into another template as it is."""
    return Markup(render(template, **values))


def macros(template: str) -> Any:
    """The macros of a template, to be called as its attributes; each returns safe HTML."""
    return ENVIRONMENT.get_template(template).module
