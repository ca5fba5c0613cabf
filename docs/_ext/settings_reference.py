"""The directive `settings-reference`: all settings, from the docstrings of a settings class."""

import dataclasses
import importlib
import inspect
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


def _parts(settings: type, path: str) -> Iterator[tuple[str, type]]:
    """Path and class of the settings themselves and of each part, depth first."""
    yield path, settings
    for name, default in _defaults(settings()).items():
        if _is_settings(default):
            yield from _parts(type(default), f"{path}{name}.")


def _is_settings(value: Any) -> bool:
    return dataclasses.is_dataclass(value) or hasattr(type(value), "model_fields")


def _defaults(instance: Any) -> dict[str, Any]:
    """Name and default of each setting: a dataclass or a pydantic model."""
    if dataclasses.is_dataclass(instance):
        return {one.name: getattr(instance, one.name) for one in dataclasses.fields(instance)}
    return {name: getattr(instance, name) for name in type(instance).model_fields}


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
    for name, field in getattr(settings, "model_fields", {}).items():
        if getattr(field, "description", None):
            found[name] = " ".join(field.description.split())
    return found


def _value(default: Any) -> str:
    return (
        "none" if default is None else str(list(default) if isinstance(default, tuple) else default)
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds the directive."""
    app.add_directive("settings-reference", SettingsReference)
    return {"parallel_read_safe": True}
