"""The specification of a training stage: its name, its dependencies, and the function that runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tpad.training.context import Context
from tpad.training.workspace import Stage


def _always(config: Any) -> bool:
    return True


@dataclass(frozen=True)
class StageSpec:
    """One stage of the graph. Its cache key follows from these values alone.

    Attributes:
        name: name of the stage and of its folder.
        run: computes the result and stores it in the stage's folder, or loads a stored result. The
            arguments are the stage's own settings, the context with the results of earlier stages, and
            the folder.
        config: path of the stage's own settings; "" for all settings.
        settings: paths of all settings that the result depends on, including the stage's own.
        needs: names of the stages whose results it reads.
        inputs: names of other things that it depends on, such as "dataset".
        wanted: whether the settings enable the stage; the result of a disabled stage is None.
        title: name in logs and progress bars; by default `name`.
    """

    name: str
    run: Callable[[Any, Context, Stage], Any]
    config: str = ""
    settings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    wanted: Callable[[Any], bool] = _always
    title: str = ""
