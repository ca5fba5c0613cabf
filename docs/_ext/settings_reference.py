"""The directives `settings-reference` and `preset-reference`: all settings, and what presets change.

Names, defaults, types and texts come from `tpad.settings.explain`.
"""

import importlib
import inspect
import json
from itertools import groupby
from operator import attrgetter
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tpad.settings import Setting, explain


class SettingsReference(SphinxDirective):
    """A table for each group of settings; takes the full name of the settings class."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections, as nodes."""
        settings = _named(self.arguments[0])()
        groups = groupby(explain(settings), lambda one: one.path.rpartition(".")[0])
        text = "\n\n".join(_section(settings, name, list(group)) for name, group in groups)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class PresetReference(SphinxDirective):
    """A table of what presets change; takes the full name of their function, and their names."""

    required_arguments = 2
    optional_arguments = 8

    def run(self) -> list[nodes.Node]:
        """The table, as nodes."""
        preset, names = _named(self.arguments[0]), self.arguments[1:]
        defaults = type(preset(names[0]))()
        columns = [explain(settings) for settings in (defaults, *map(preset, names))]
        head = ["setting", "default", *(f"`{name}`" for name in names)]
        lines = [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(names) + 1)]
        for default, *changed in zip(*columns, strict=True):
            cells = ["" if one.default == default.default else _value(one) for one in changed]
            if any(cells):
                lines.append(f"| `{default.path}` | {_value(default)} | {' | '.join(cells)} |")
        return self.parse_text_to_nodes("\n".join(lines))


def _named(full_name: str) -> Any:
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _section(settings: Any, name: str, group: list[Setting]) -> str:
    """Markdown of one group, such as `transfer`."""
    owner = attrgetter(name)(settings) if name else settings
    title = f"`{name}`" if name else "General"
    lines = [f"## {title}", "", inspect.cleandoc(type(owner).__doc__ or ""), ""]
    lines += ["| setting | default | type | meaning |", "| --- | --- | --- | --- |"]
    for one in group:
        text = " ".join(one.text.split()).replace("|", "\\|")
        lines.append(f"| `{one.path}` | {_value(one)} | {one.kind} | {text} |")
    return "\n".join(lines)


def _value(setting: Setting) -> str:
    """A value as it is written after `--set NAME=`."""
    value = setting.default
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds the directives."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("preset-reference", PresetReference)
    return {"parallel_read_safe": True}
