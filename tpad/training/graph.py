"""The graph of stages: which stages run, in what order, and the cache key of each result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.workspace import Workspace, digest


@dataclass(frozen=True)
class PlannedStage:
    """A stage that a run would execute or load.

    Attributes:
        name: name of the stage.
        state: "cached", "interrupted" (it would resume) or "to run".
        needs: names of the stages whose results it reads, without those that are disabled.
    """

    name: str
    state: str
    needs: tuple[str, ...]


class Graph:
    """The stages of a run with given settings.

    Args:
        specs: the stages; each comes after the stages that it needs.
        config: all settings.
        inputs: name -> fingerprint of everything else that stages depend on, such as the dataset.
    """

    def __init__(self, specs: Sequence[StageSpec], config: Any, inputs: Mapping[str, str]) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.config, self.inputs = config, inputs
        self._keys: dict[str, str] = {}

    def wanted(self, name: str) -> bool:
        """Whether the settings enable a stage."""
        return self.specs[name].wanted(self.config)

    def key(self, name: str) -> str:
        """Cache key of a stage: a digest of everything that its result depends on."""
        if name not in self._keys:
            spec = self.specs[name]
            self._keys[name] = digest(
                name,
                {path: _plain(attrgetter(path)(self.config)) for path in spec.settings},
                {one: self.inputs[one] for one in spec.inputs},
                {one: self.key(one) if self.wanted(one) else None for one in spec.needs},
            )
        return self._keys[name]

    def order(self, targets: Iterable[str] | None = None) -> list[StageSpec]:
        """The enabled stages that the targets need, targets included; all enabled stages by default."""
        if targets is None:
            return [spec for name, spec in self.specs.items() if self.wanted(name)]
        needed, waiting = set(), list(targets)
        while waiting:
            name = waiting.pop()
            if name not in needed and self.wanted(name):
                needed.add(name)
                waiting += self.specs[name].needs
        return [spec for name, spec in self.specs.items() if name in needed]

    def run(
        self, context: Context, workspace: Workspace, targets: Iterable[str] | None = None
    ) -> None:
        """Run the stages in order, or load their cached results; the context receives the results."""
        order = self.order(targets)
        context.results |= {name: None for name in self.specs if not self.wanted(name)}
        for spec in order:
            config = attrgetter(spec.config)(self.config) if spec.config else self.config
            stage = workspace.stage(spec.name, self.key(spec.name), spec.title or spec.name)
            context.results[spec.name] = spec.run(config, context, stage)

    def plan(
        self, workspace: Workspace, targets: Iterable[str] | None = None
    ) -> list[PlannedStage]:
        """What `run` would do; nothing is computed or written."""
        plan = []
        for spec in self.order(targets):
            state = workspace.state(spec.name, self.key(spec.name))
            needs = tuple(name for name in spec.needs if self.wanted(name))
            plan.append(PlannedStage(spec.name, state, needs))
        return plan


def _plain(value: Any) -> Any:
    """Settings as plain JSON values."""
    return value.as_json() if hasattr(value, "as_json") else value
