"""The command line of eval: `python -m eval COMMAND`."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from eval.cli.commands import COMMANDS, DEFAULT
from tpad.cli.shared import add_commands, new_parser, require, run_program, with_default_command


def build_parser(arguments: Sequence[str] | None = None) -> ArgumentParser:
    """The parser; without arguments, with the options of every command.

    Raises:
        ConfigError: packages of the extra `eval` are not installed.
    """
    require("eval", "sqlalchemy", "alembic", "plotly")
    parser = new_parser(
        "python -m eval",
        "Evaluate TPAD and baselines on test sessions, and store the rank of every case. Options "
        f"without a command are those of `{DEFAULT}`.",
    )
    add_commands(parser, COMMANDS, arguments)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_program(
        build_parser,
        with_default_command(given, DEFAULT),
        interrupted="interrupted; finished runs are kept, run the same command again to continue",
    )


if __name__ == "__main__":
    sys.exit(main())
