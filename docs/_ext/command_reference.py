"""The directive `command-reference`: all options of a program, from its argument parsers."""

import argparse
import re
from typing import Any

from command_lines import parser_of, subcommands
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandReference(SphinxDirective):
    """Lists every command of a program, with its arguments.

    The argument is the program, perhaps followed by a command that has a parser of its own.
    """

    required_arguments = 1
    optional_arguments = 3

    def run(self) -> list[nodes.Node]:
        """The sections, as nodes."""
        program, *command = self.arguments
        parser = parser_of(program, *command)
        # A program may give options only to the command that is used, so each is asked for by name.
        pages = [
            page(subcommands(parser_of(program, name))[name], name) for name in subcommands(parser)
        ]
        text = "\n\n".join(pages or [page(parser)])
        return self.parse_text_to_nodes(text, allow_section_headings=True)


SHARED = {"--help", "--verbose", "--version"}  # options of every command


def page(parser: argparse.ArgumentParser, name: str = "") -> str:
    """Markdown that describes one command."""
    lines = [f"### `{parser.prog}`", ""] if name else []
    if parser.description:
        lines += [_prose(parser.description), ""]
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS and not SHARED.intersection(action.option_strings)
        ]
        if not actions:
            continue
        heading = (group.title or "").capitalize()
        lines += [f"**{heading}**", "", "| option | meaning |", "| --- | --- |"]
        lines += [f"| {_signature(action)} | {_help(action, parser)} |" for action in actions]
        lines.append("")
    if parser.epilog:
        if "\n" in parser.epilog:
            lines += ["```text", parser.epilog.strip(), "```", ""]
        else:
            lines += [_prose(parser.epilog), ""]
    return "\n".join(lines)


def _signature(action: argparse.Action) -> str:
    """How an option is written, in code."""
    value = ""
    if action.nargs != 0:
        choices = action.choices
        value = str(action.metavar or "") if not isinstance(action.metavar, tuple) else "…"
        if not value:
            value = "{" + ",".join(map(str, choices)) + "}" if choices else action.dest.upper()
    name = ", ".join(action.option_strings) or value
    text = f"{name} {value}".strip() if action.option_strings else name
    if action.nargs in ("+", "*"):
        text += " …"
    required = " (required)" if action.required and action.option_strings else ""
    return f"`{_cell(text)}`{required}"


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help text of an option, with its placeholders filled in."""
    values: dict[str, Any] = {**vars(action), "prog": parser.prog}
    values["choices"] = ", ".join(map(str, action.choices)) if action.choices else ""
    return _cell(_prose((action.help or "") % values if action.help else ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _prose(text: str) -> str:
    """Help text as Markdown: option names in code, nothing else is markup."""
    text = re.sub(r"(?<![`\w-])(--[a-z0-9][\w-]*)(?![`\w])", r"`\1`", text)
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part[:1] == "`" else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds the directive."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
