"""The directive `stage-reference`: what each stage of training needs, from the graph of stages."""

import importlib
from collections.abc import Iterable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class StageReference(SphinxDirective):
    """A table of stages; the argument is the full name of a tuple of `StageSpec`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table, as nodes."""
        module, _, name = self.arguments[0].rpartition(".")
        lines = ["| stage | needs | settings | other inputs |", "| --- | --- | --- | --- |"]
        lines += [_row(stage) for stage in getattr(importlib.import_module(module), name)]
        return self.parse_text_to_nodes("\n".join(lines))


def _row(stage: Any) -> str:
    cells = (f"`{stage.name}`", *map(_names, (stage.needs, stage.settings, stage.inputs)))
    return f"| {' | '.join(cells)} |"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds the directive."""
    app.add_directive("stage-reference", StageReference)
    return {"parallel_read_safe": True}
