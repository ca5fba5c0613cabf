"""`python -m tpad settings [NAME]`: the settings of a training, and what each is for."""

import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tpad.errors import ConfigError

if TYPE_CHECKING:
    from tpad.training.stage import StageSpec

WIDTH = 100


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="NAME",
        help="only these settings, for example distillation, distillation.epochs or epochs",
    )
    parser.add_argument(
        "--preset",
        choices=("demo", "smoke", "shop"),
        default="shop",
        help="preset whose values are printed (default: %(default)s)",
    )


def run(args: Namespace) -> None:
    """Run the command.

    Raises:
        ConfigError: there is no such setting.
    """
    from tpad.settings import explain
    from tpad.training.config import preset
    from tpad.training.pipeline import STAGES

    every = list(explain(preset(args.preset)))
    found = [one for one in every if _matches(one.path, args.name)]
    if not found:
        groups = ", ".join(dict.fromkeys(one.path.partition(".")[0] for one in every))
        raise ConfigError(f"There is no setting {args.name!r}; there are: {groups}.")
    for one in found:
        print(f"{one.path} = {one.default!r}   ({one.kind})")
        print(textwrap.indent(textwrap.fill(" ".join(one.text.split()), WIDTH - 4), "    "))
        if one.path == args.name:
            print(f"    Stages that depend on it: {', '.join(dependent_stages(one.path, STAGES))}.")


def _matches(path: str, name: str) -> bool:
    """Whether a name stands for a setting: its path, the beginning of the path, or its last part."""
    return not name or path == name or path.startswith(f"{name}.") or path.endswith(f".{name}")


def dependent_stages(path: str, specs: "Sequence[StageSpec]") -> list[str]:
    """The stages that a setting reruns: those that name it, and all that need these."""
    from tpad.training.config import DERIVED

    found: list[str] = []
    for spec in specs:
        named = [DERIVED.get(one, one) for one in spec.settings]
        own = any(path == one or path.startswith(f"{one}.") for one in named)
        if own or any(name in found for name in spec.needs):
            found.append(spec.name)
    return [*found, "recommenders"]
