"""The directive `database-reference`: tables and columns of the results database."""

import importlib
import inspect
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sqlalchemy.orm import DeclarativeBase, Mapper

COMMENT = re.compile(r"\s*(?P<name>\w+): Mapped\[.*?#\s*(?P<text>.+)$")
LONE = re.compile(r"\s*#\s*(?P<text>.+)$")


class DatabaseReference(SphinxDirective):
    """A table for each table below a declarative base, whose full name is the argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections, as nodes."""
        module, _, name = self.arguments[0].rpartition(".")
        base: type[DeclarativeBase] = getattr(importlib.import_module(module), name)
        mappers = sorted(base.registry.mappers, key=_line)
        text = "\n\n".join(_section(mapper) for mapper in mappers)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _line(mapper: Mapper) -> int:
    return inspect.getsourcelines(mapper.class_)[1]


def _section(mapper: Mapper) -> str:
    """Markdown of one table."""
    table, notes = mapper.local_table, _comments(mapper.class_)
    about = inspect.cleandoc(mapper.class_.__doc__ or "")
    lines = [f"## `{table.name}`", "", about, ""]
    lines += ["| column | type | note |", "| --- | --- | --- |"]
    for column in table.columns:
        facts = ["primary key"] if column.primary_key else []
        facts += [f"refers to `{key.target_fullname}`" for key in column.foreign_keys]
        facts += ["may be empty"] if column.nullable else []
        facts += ["unique"] if column.unique else []
        facts += [notes[column.name].rstrip(".")] if column.name in notes else []
        kind = getattr(column.type, "impl", column.type)
        name = type(kind).__name__.lower()
        lines.append(
            f"| `{column.name}` | {name} | {'; '.join(facts).replace('|', chr(92) + '|')} |"
        )
    return "\n".join(lines)


def _comments(owner: type) -> dict[str, str]:
    """The comment beside or above each column in the source of its class."""
    found: dict[str, str] = {}
    above = ""
    for line in inspect.getsource(owner).splitlines():
        lone = LONE.match(line)
        beside = COMMENT.match(line)
        if beside:
            found[beside["name"]] = beside["text"]
        elif above and ": Mapped[" in line:
            found[line.split(":")[0].strip()] = above
        above = f"{above} {lone['text']}".strip() if lone else ""
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds the directive."""
    app.add_directive("database-reference", DatabaseReference)
    return {"parallel_read_safe": True}
