"""From nothing to a first recommendation: seconds and memory of each step, and what costs most.

    python benchmarks/bench_start.py [--bundle FOLDER]

Each round is a process of its own; the figure is the median. Memory is the peak of the process so far.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rows import Row, table

ROOT = Path(__file__).resolve().parents[1]
STEPS = {
    "import": "import tpad",
    "open the bundle": "shop = tpad.load(BUNDLE)",
    "first recommendation": "shop.recommend([shop.items['item_id'].iloc[0]], k=20)",
    "second recommendation": "shop.recommend([shop.items['item_id'].iloc[1]], k=20)",
    "first new item (loads the encoder)": "shop.encode([tpad.NewItem(title='red phone')])",
    "second new item": "shop.encode([tpad.NewItem(title='blue phone')])",
}
PROGRAM = """
import json, resource, sys, time
BUNDLE, steps = sys.argv[1], json.loads(sys.argv[2])
found, names = [], {}
for step in steps:
    begin = time.perf_counter()
    exec(step, names)
    found.append((time.perf_counter() - begin,
                  resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    names['BUNDLE'] = BUNDLE
print(json.dumps(found))
"""


def costly_imports(bundle: str, most: int = 6) -> list[tuple[str, float]]:
    """Packages whose import takes longest until the first new item is read, with seconds of their own
    and of what they alone bring."""
    program = f"BUNDLE = {bundle!r}\n" + "\n".join(STEPS.values())
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    own: dict[str, float] = {}
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            package = parts[2].strip().split(".")[0]
            own[package] = own.get(package, 0.0) + int(parts[0]) / 1e6
    return sorted(own.items(), key=lambda pair: -pair[1])[:most]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--bundle", default=str(ROOT / "assets" / "demo"))
    result.add_argument("--rounds", type=int, default=5)
    return result


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Seconds and memory of each step, and what costs most."""
    rounds = []
    for _ in range(options.rounds):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, options.bundle, json.dumps(list(STEPS.values()))],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    for step, *measured in zip(STEPS, *rounds, strict=True):
        seconds = statistics.median(one[0] for one in measured)
        memory = statistics.median(one[1] for one in measured)
        yield Row(f"start: {step}, peak {memory:,.0f} MB", f"{seconds:.3f} s")
    for name, seconds in costly_imports(options.bundle):
        yield Row(f"start: importing {name}, of all that", f"{seconds:.2f} s")


def main() -> int:
    print(table(rows(parser().parse_args())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
