"""What benchmarks take seconds from."""

import argparse
import time
from collections.abc import Callable

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""By the name of `--clock`: cpu counts a process's own time, for a machine that others use."""


def add_clock_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--clock` to a command line."""
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default=default,
        help="cpu counts the time of the process, for a machine that others use (%(default)s)",
    )
