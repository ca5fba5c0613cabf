"""The table of a benchmark that measures how time and memory grow."""

import argparse
import math
from collections.abc import Sequence

from clocks import add_clock_option


def add_growth_options(
    parser: argparse.ArgumentParser, factors: Sequence[float], seeded: str
) -> None:
    """Add the options of benchmarks of growth.

    Args:
        parser: the command line.
        factors: default sizes, as multiples of the smallest one.
        seeded: what the seed is for.
    """
    parser.add_argument(
        "--factors", type=float, nargs="+", default=factors, help="ascending (%(default)s)"
    )
    add_clock_option(parser, "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch and BLAS (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help=f"of the {seeded} (%(default)s)")


def exponent(values: Sequence[float], factors: Sequence[float], least: float) -> str:
    """Slope between the last two sizes; empty if there is one size, or a value is below `least`."""
    if len(values) < 2 or min(values[-2:]) < least:
        return ""
    return f"{math.log(values[-1] / values[-2]) / math.log(factors[-1] / factors[-2]):.2f}"


def seconds_text(seconds: float) -> str:
    """Seconds with three decimals below one, and one decimal otherwise."""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:,.1f}"


def print_table(
    factors: Sequence[float],
    sizes: Sequence[dict[str, int]],
    found: Sequence[dict[str, tuple[float, float]]],
    stages: dict[str, str],
    *,
    only_seconds: Sequence[str] = (),
) -> None:
    """Print seconds and MiB by stage and size.

    Args:
        factors: ascending.
        sizes: counts of each size, such as items.
        found: seconds and MiB of each stage, for each size.
        stages: name of each stage -> what it works on.
        only_seconds: stages without MiB.
    """
    times = [f"×{factor:g}" for factor in factors]
    heads = ["stage", "works on", *(f"{t} s" for t in times), "exponent"]
    heads += [*(f"{t} MiB" for t in times), "exponent"]
    print(f"| {' | '.join(heads)} |")
    print(f"| --- | --- |{' ---: |' * (len(heads) - 2)}")
    for name in sizes[0]:
        print(
            f"| *{name}* | | {' | '.join(f'{size[name]:,}' for size in sizes)} |"
            + " |" * (len(factors) + 2)
        )
    for name, what in stages.items():
        seconds, used = ([one[name][part] for one in found] for part in (0, 1))
        cells = [name, what, *map(seconds_text, seconds), exponent(seconds, factors, 0.001)]
        if name in only_seconds:
            cells += [""] * (len(factors) + 1)
        else:
            cells += [*(f"{mib:,.1f}" for mib in used), exponent(used, factors, 1.0)]
        print(f"| {' | '.join(cells)} |")
