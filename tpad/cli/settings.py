"""`python -m tpad settings [NAME]`: the settings of a training, and what each is for."""

import argparse
import textwrap

from tpad.errors import ConfigError

WIDTH = 100


def add_settings_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the command."""
    parser = subparsers.add_parser("settings", help="list and explain the settings of a training")
    parser.add_argument(
        "name", nargs="?", default="", help="only these: distillation, distillation.epochs, rank"
    )
    parser.add_argument(
        "--preset",
        choices=("demo", "smoke", "shop"),
        default="shop",
        help="preset whose values are shown (shop)",
    )
    parser.set_defaults(run=run_settings)


def run_settings(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tpad.settings import explain
    from tpad.training.config import preset
    from tpad.training.pipeline import STAGES

    every = list(explain(preset(args.preset)))
    found = [one for one in every if _asked(one.path, args.name)]
    if not found:
        groups = ", ".join(dict.fromkeys(one.path.partition(".")[0] for one in every))
        raise ConfigError(f"There is no setting {args.name!r}; there are: {groups}.")
    for one in found:
        print(f"{one.path} = {one.default!r}   ({one.kind})")
        print(textwrap.indent(textwrap.fill(" ".join(one.text.split()), WIDTH - 4), "    "))
        if one.path == args.name:
            print(f"    Stages that depend on it: {', '.join(_stages(one.path, STAGES))}.")


def _asked(path: str, name: str) -> bool:
    """Whether a setting is meant by a name: its path, the beginning of it, or its last part."""
    return not name or path == name or path.startswith(f"{name}.") or path.endswith(f".{name}")


def _stages(path: str, specs: tuple) -> list[str]:
    """The stages that a setting reruns: those that name it, and all that need these."""
    from tpad.training.config import DERIVED

    found: list[str] = []
    for spec in specs:
        named = [DERIVED.get(one, one) for one in spec.settings]
        own = any(path == one or path.startswith(f"{one}.") for one in named)
        if own or any(name in found for name in spec.needs):
            found.append(spec.name)
    return [*found, "recommenders"]
