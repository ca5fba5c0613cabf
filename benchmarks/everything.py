"""The figures of the page "Speed" of the documentation, in one table.

    python benchmarks/everything.py
    python benchmarks/everything.py --recbole recbole/bin/python --quick

Each benchmark runs in a process of its own, one after the other, with its own settings (see its file,
which takes others); medians of several rounds, both sides in the same run. RecBole needs an
environment of its own, see `bench_recbole.py`; without it those lines are left out, and this is said.
"""

import argparse
import importlib
import sys

from own_process import in_process
from rows import Row, table

# Module -> arguments, and those of a quick run.
BENCHMARKS: dict[str, tuple[list[str], list[str]]] = {
    "bench_mllm": ([], ["--items", "64", "--sessions", "32", "--rounds", "2"]),
    "bench_recbole": ([], ["--cases", "512", "--sessions", "500"]),
    "bench_recommend": ([], ["--items", "1200", "20000", "--sessions", "50"]),
    "bench_start": ([], ["--rounds", "1"]),
    "bench_growth": ([], ["--factors", "1", "2"]),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    result.add_argument("--recbole", default="", help="python of an environment with RecBole")
    result.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    return result


def rows_of(module: str, arguments: list[str]) -> list[Row]:
    """Runs one benchmark."""
    benchmark = importlib.import_module(module)
    return list(benchmark.rows(benchmark.parser().parse_args(arguments)))


def main() -> int:
    options = parser().parse_args()
    found: list[Row] = []
    for module, (full, quick) in BENCHMARKS.items():
        arguments = list(quick if options.quick else full)
        if module == "bench_recbole":
            if not options.recbole:
                print(f"{module}: left out, as --recbole names no environment", file=sys.stderr)
                continue
            arguments += ["--recbole", options.recbole]
        print(f"{module} …", file=sys.stderr, flush=True)
        found += in_process(rows_of, module, arguments)
        print(table(found), end="\n\n", file=sys.stderr, flush=True)
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
