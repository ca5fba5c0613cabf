"""The command line: `python -m tpad world|import|images|pretrain|train|ablate|probe|recommend|…`."""

import argparse
import sys

from tpad.environment import forget_blank_variables, variable
from tpad.errors import ConfigError, TpadError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code (0 done, 2 refused, 130 interrupted)."""
    from tpad.cli import commands

    forget_blank_variables()  # before any library that reads them is imported
    parser = argparse.ArgumentParser(prog="python -m tpad", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    commands.add_all(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        if variable("WORLD_SIZE", "1") != "1" and not hasattr(parsed, "together"):
            raise ConfigError(
                f"`tpad {parsed.command}` runs in one process; start it without a launcher."
            )
        parsed.run(parsed)
    except TpadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
