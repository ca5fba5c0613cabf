"""The command line of tpad: `python -m tpad COMMAND`, installed as `tpad`."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from tpad.cli.commands import COMMANDS
from tpad.cli.shared import add_commands, new_parser, run_program


def build_parser(arguments: Sequence[str] | None = None) -> ArgumentParser:
    """The parser; without arguments, with the options of every command."""
    parser = new_parser(
        "python -m tpad", "Prepare data, train TPAD, and use what was trained (a bundle)."
    )
    add_commands(parser, COMMANDS, arguments)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    return run_program(build_parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
