"""The command line that `tpad`, `eval` and `app` share: options, errors, logs and exit codes.

Exit codes: 0 success, 2 an error that the user can fix (one sentence on stderr), 130 Ctrl-C.
"""

import logging
import os
import sys
import traceback
from argparse import SUPPRESS, ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from platform import platform, python_version
from typing import Any

from tpad.environment import forget_blank_variables, variable
from tpad.errors import ConfigError, TpadError
from tpad.version import __version__

SUCCESS, ERROR, INTERRUPTED = 0, 2, 130
LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
PACKAGES = ("tpad", "eval", "app")  # what `--verbose` logs in detail

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: what the user types.
        module: has `add_options(parser)` and `run(args)`; imported when the command is used.
        help: what the command does, in a few words.
        distributed: whether a launcher may start it in several processes.
    """

    name: str
    module: str
    help: str
    distributed: bool = False


def new_parser(prog: str, description: str, **options: Any) -> ArgumentParser:
    """A program's parser, with `--version` and `--verbose`.

    Args:
        prog: how the program is called.
        description: what it does.
        options: further arguments of `ArgumentParser`.
    """
    parser = ArgumentParser(prog, description=description, **options)
    parser.add_argument("--version", action="version", version=f"tpad {__version__}")
    _add_verbose(parser, default=False)
    return parser


def add_commands(
    parser: ArgumentParser, commands: Iterable[Command], arguments: Sequence[str] | None = None
) -> None:
    """Add subcommands to a program's parser.

    Args:
        parser: of the program.
        commands: the subcommands, in the order of the help.
        arguments: the command line; only the commands named in it are imported and get their
            options, since some take seconds to import. None adds the options of all.
    """
    subparsers = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )
    for command in commands:
        subparser = subparsers.add_parser(
            command.name, help=command.help, description=_sentence(command.help)
        )
        _add_verbose(subparser, default=SUPPRESS)  # keeps what was given before the command
        if arguments is None or command.name in arguments:
            module = import_module(command.module)
            module.add_options(subparser)
            subparser.set_defaults(run=module.run, distributed=command.distributed)


def run_program(
    build_parser: Callable[[list[str]], ArgumentParser],
    arguments: Sequence[str] | None = None,
    *,
    log_level: int = logging.WARNING,
    interrupted: str = "interrupted; run the same command again to continue",
) -> int:
    """Parse the command line and run what it asks for.

    Args:
        build_parser: makes the parser, given the command line. The parsed options name the
            function to call as `run`.
        arguments: the command line; None takes that of the process.
        log_level: of messages that are shown without `--verbose`.
        interrupted: what to print after Ctrl-C.

    Returns:
        The exit code.
    """
    forget_blank_variables()  # before any library that reads them is imported
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in given
    try:
        parser = build_parser(given)
        options = parser.parse_args(given)
        verbose = options.verbose
        _set_up_logging(logging.DEBUG if verbose else log_level)
        log.debug("tpad %s, Python %s, %s", __version__, python_version(), platform())
        _check_processes(parser.prog, options)
        options.run(options)
        sys.stdout.flush()
    except TpadError as error:
        if verbose:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return SUCCESS


def with_default_command(arguments: list[str], default: str) -> list[str]:
    """Put the default command before options that are given without one."""
    first = next((argument for argument in arguments if argument != "--verbose"), "")
    if first.startswith("-") and first not in ("-h", "--help", "--version"):
        return [default, *arguments]
    return arguments


def add_data_files(group: _ArgumentGroup) -> None:
    """Add the options that name the files of a dataset; see `tpad.Dataset.load`."""
    group.add_argument(
        "--interactions",
        type=Path,
        help="interaction table (CSV or Parquet), or text with a line `user item item …` per user",
    )
    group.add_argument(
        "--items",
        type=Path,
        help="item table (CSV or Parquet; default: the items that are clicked, without content)",
    )
    group.add_argument(
        "--test-interactions",
        type=Path,
        help="table of the test sessions; --interactions then has the other sessions",
    )


def require(extra: str, *modules: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        extra: name of the extra.
        modules: names of modules that it installs.

    Raises:
        ConfigError: one of them is missing.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ConfigError(f'{missing[0]} is not installed; run pip install "tpad[{extra}]".')


def _add_verbose(parser: ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--verbose",
        action="store_true",
        default=default,
        help="log in detail, and show the traceback of an error",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _set_up_logging(level: int) -> None:
    """Log to stderr; `--verbose` shows debug messages of our packages and information of others."""
    logging.basicConfig(format=LOG_FORMAT, level=max(level, logging.INFO))
    if level < logging.INFO:
        for name in PACKAGES:
            logging.getLogger(name).setLevel(level)


def _check_processes(prog: str, options: Namespace) -> None:
    """Refuse a launcher of several processes for a command that runs in one."""
    if variable("WORLD_SIZE", "1") != "1" and not getattr(options, "distributed", False):
        command = " ".join([prog, *filter(None, [getattr(options, "command", "")])])
        raise ConfigError(f"`{command}` runs in one process; start it without a launcher.")
