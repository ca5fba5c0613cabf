"""The directives `settings-reference` and `preset-reference`: all settings, and what presets change.

Names, defaults and docstrings come from the settings classes.
"""

import dataclasses
import importlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


class SettingsReference(SphinxDirective):
    """A table for each part of a settings class, whose full name is the argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections, as nodes."""
        module, _, name = self.arguments[0].rpartition(".")
        settings = getattr(importlib.import_module(module), name)
        text = "\n\n".join(_section(path, part) for path, part in _parts(settings, ""))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class PresetReference(SphinxDirective):
    """A table of the settings that presets change; takes the function of presets and their names."""

    required_arguments = 2
    optional_arguments = 8

    def run(self) -> list[nodes.Node]:
        """The table, as nodes."""
        module, _, name = self.arguments[0].rpartition(".")
        preset, names = getattr(importlib.import_module(module), name), self.arguments[1:]
        made = {name: preset(name) for name in names}
        default = _values(type(made[names[0]])())
        values = {name: _values(settings) for name, settings in made.items()}
        head = ["setting", "default", *(f"`{name}`" for name in names)]
        lines = [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(names) + 1)]
        for path, usual in default.items():
            if any(each[path] != usual for each in values.values()):
                cells = [
                    "" if each[path] == usual else f"`{_value(each[path])}`"
                    for each in values.values()
                ]
                lines.append(f"| `{path}` | `{_value(usual)}` | {' | '.join(cells)} |")
        return self.parse_text_to_nodes("\n".join(lines))


def _values(instance: Any, path: str = "") -> dict[str, Any]:
    """Full name and value of every setting."""
    found: dict[str, Any] = {}
    for name, value in _defaults(instance).items():
        found |= (
            _values(value, f"{path}{name}.") if _is_settings(value) else {f"{path}{name}": value}
        )
    return found


def _parts(settings: type, path: str) -> Iterator[tuple[str, type]]:
    """Path and class of the settings themselves and of each part, depth first."""
    yield path, settings
    for name, default in _defaults(settings()).items():
        if _is_settings(default):
            yield from _parts(type(default), f"{path}{name}.")


def _is_settings(value: Any) -> bool:
    return dataclasses.is_dataclass(value)


def _defaults(instance: Any) -> dict[str, Any]:
    """Name and value of each setting."""
    return {one.name: getattr(instance, one.name) for one in dataclasses.fields(instance)}


def _section(path: str, settings: type) -> str:
    """Markdown of one part."""
    title = f"`{path.removesuffix('.')}`" if path else "General"
    lines = [f"## {title}", "", inspect.cleandoc(settings.__doc__ or ""), ""]
    lines += ["| setting | default | meaning |", "| --- | --- | --- |"]
    documented = _docstrings(settings)
    for name, default in _defaults(settings()).items():
        if not _is_settings(default):
            text = documented.get(name, "").replace("|", "\\|")
            lines.append(f"| `{path}{name}` | `{_value(default)}` | {text} |")
    return "\n".join(lines)


def _docstrings(settings: type) -> dict[str, str]:
    """What stands below each setting of a class and of its bases, on one line."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if base.__module__ == "builtins":
            continue
        texts = ModuleAnalyzer.for_module(base.__module__).find_attr_docs()
        for (owner, name), lines in texts.items():
            if owner == base.__qualname__:
                found[name] = " ".join(" ".join(lines).split())
    return found


def _value(value: Any) -> str:
    """A value as it is written after `--set NAME=`."""
    return value if isinstance(value, str) else json.dumps(value)


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds the directive."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("preset-reference", PresetReference)
    return {"parallel_read_safe": True}
