"""What a stage of training is: its name, what it needs, what its result depends on, how it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tpad.training.context import Context
from tpad.training.workspace import Stage


def _always(config: Any) -> bool:
    return True


@dataclass(frozen=True)
class StageSpec:
    """One stage of the graph. The key of its result follows from these values alone.

    Attributes:
        name: names the stage, its folder and its settings.
        run: computes the result and keeps it in the stage's folder, or loads what is kept there. It is
            given the stage's own settings, the context with the results of the stages before, and the
            folder.
        config: path of its own settings; "" for all settings.
        settings: paths of all settings that the result depends on, its own included.
        needs: names of the stages whose results it reads.
        inputs: names of what it depends on beside settings and stages, such as "dataset".
        wanted: whether the settings ask for the stage; a stage that is not wanted gives None.
        title: what a person reads; the name by default.
    """

    name: str
    run: Callable[[Any, Context, Stage], Any]
    config: str = ""
    settings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    wanted: Callable[[Any], bool] = _always
    title: str = ""
