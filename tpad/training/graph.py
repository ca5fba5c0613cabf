"""The graph of stages: which of them run, in which order, and under which key each result is kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from tpad.training.context import Context
from tpad.training.stage import StageSpec
from tpad.training.workspace import Workspace, digest


@dataclass(frozen=True)
class Planned:
    """A stage of a run to come.

    Attributes:
        name: of the stage.
        state: "cached", "interrupted" (goes on where it was) or "to run".
        needs: names of the stages that it reads, those that are left out excepted.
    """

    name: str
    state: str
    needs: tuple[str, ...]


class Graph:
    """Stages under some settings.

    Args:
        specs: the stages, each after those that it needs.
        config: all settings.
        inputs: name -> fingerprint of what stages depend on beside settings and other stages.
    """

    def __init__(self, specs: Sequence[StageSpec], config: Any, inputs: Mapping[str, str]) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.config, self.inputs = config, inputs

    def wanted(self, name: str) -> bool:
        """Whether the settings ask for a stage."""
        return self.specs[name].wanted(self.config)

    def key(self, name: str) -> str:
        """Identifies everything that a stage's result depends on."""
        spec = self.specs[name]
        return digest(
            name,
            {path: _plain(attrgetter(path)(self.config)) for path in spec.settings},
            {one: self.inputs[one] for one in spec.inputs},
            {one: self.key(one) if self.wanted(one) else None for one in spec.needs},
        )

    def order(self, targets: Iterable[str] | None = None) -> list[StageSpec]:
        """The wanted stages that some targets need, themselves included; all by default."""
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
        """Runs the stages in order, or loads what they have kept; their results go into the context."""
        order = self.order(targets)
        context.results |= {name: None for name in self.specs if not self.wanted(name)}
        for spec in order:
            config = attrgetter(spec.config)(self.config) if spec.config else self.config
            stage = workspace.stage(spec.name, self.key(spec.name), spec.title or spec.name)
            context.results[spec.name] = spec.run(config, context, stage)

    def plan(self, workspace: Workspace, targets: Iterable[str] | None = None) -> list[Planned]:
        """What `run` would do; nothing is computed or written."""
        plan = []
        for spec in self.order(targets):
            state = workspace.state(spec.name, self.key(spec.name))
            needs = tuple(name for name in spec.needs if self.wanted(name))
            plan.append(Planned(spec.name, state, needs))
        return plan


def _plain(value: Any) -> Any:
    """Settings as plain values."""
    return value.as_json() if hasattr(value, "as_json") else value
