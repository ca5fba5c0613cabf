"""Finds the argument parsers of `python -m tpad`, `python -m eval` and `python -m app`.

A program's parser is caught at the moment it parses, so this works however the program builds it.
The tests of the documentation check command lines in the same way.
"""

import argparse
import importlib
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

PROGRAMS = ("tpad", "eval", "app")


class _Caught(BaseException):
    """Ends a program when it is about to parse, or has parsed, its command line."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def check(program: str, arguments: list[str]) -> None:
    """Parse a command line as a program would, and run nothing.

    Args:
        program: one of `PROGRAMS`.
        arguments: the command line after the program's name.

    Raises:
        SystemExit: the command line is invalid, or asks for help.
    """
    original = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        original(self, args, namespace)
        raise _Caught(self)

    _catch(program, arguments, parse_args)


def parser_of(program: str, *command: str) -> argparse.ArgumentParser:
    """The parser of a program, or of one of its commands that has a parser of its own.

    Args:
        program: one of `PROGRAMS`.
        command: the words that lead to the command, such as "deploy".
    """

    def parse_args(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        raise _Caught(self)

    return _catch(program, [*command, "--help"], parse_args)


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by name; empty for a parser without commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _catch(
    program: str, arguments: list[str], parse_args: Callable[..., Any]
) -> argparse.ArgumentParser:
    """Starts a program with another way to parse, and returns the parser that it used."""
    main = importlib.import_module(f"{program}.__main__").main
    with patch.object(argparse.ArgumentParser, "parse_args", parse_args):
        try:
            main(arguments)
        except _Caught as caught:
            return caught.parser
    raise RuntimeError(f"python -m {program} {' '.join(arguments)} parsed no command line.")
