"""`python -m eval`: the judge. `run` measures; the other commands ask the database."""

import argparse
import os
import sys
from collections.abc import Sequence

from eval.cli import card, compare, exchange, report, run, splits
from tpad import TpadError

INTERRUPTED = 130  # the shell's code for Ctrl-C
COMMANDS = (run, compare, report, card, splits, exchange)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m eval",
        description="Holds TPAD against baselines on test sessions, and keeps every rank. "
        "Without a command, the options are those of `run`.",
    )
    commands = result.add_subparsers(dest="command", required=True, metavar="command")
    for module in COMMANDS:
        module.add_parser(commands)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0].startswith("-") and given[0] not in ("-h", "--help"):
        given.insert(0, "run")
    options = parser().parse_args(given)
    try:
        options.act(options)
        return 0
    except BrokenPipeError:  # whoever reads, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except TpadError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; finished runs are kept, the same command continues.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
