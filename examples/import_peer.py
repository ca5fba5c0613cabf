"""Compares two models of other libraries with ours, on a small demo shop.

    python examples/import_peer.py --folder peer-example

The models are tiny examples that are independent of TPAD: they read the clicks and the exported cases, and
save their ranked lists in the formats of session-rec and RecBole. Each command is printed before it is run.
"""

import argparse
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd

from eval.__main__ import main as run_eval
from tpad.__main__ import main as run_tpad

LENGTH = 50
"""Items in each list; more than the 20 that are evaluated, as items of the session are removed."""
SMALL = ["--items", "60", "--train", "400", "--validation", "40", "--test", "100"]

Lists = list[list[tuple[str, float]]]
"""(item, score) of each case, the best first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example and returns the exit code of the first command that failed, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("peer-example"), help="(%(default)s)")
    folder = parser.parse_args(arguments).folder
    shop, cases, database = folder / "shop", folder / "cases.csv", folder / "results.db"
    follows, together = folder / "follows.csv", folder / "together.tsv"
    source = ["--world", str(shop), "--database", str(database)]
    ours = ["--models", "popularity", "markov", "oracle", "--seeds", "0"]

    def rank_cases() -> int:
        table = pd.read_csv(cases, dtype=str)
        model = Clicks(pd.read_csv(shop / "interactions.csv", dtype=str))
        save_as_session_rec(follows, table, [model.follows(p.split(",")) for p in table["prefix"]])
        save_as_recbole(together, table, [model.together(p.split(",")) for p in table["prefix"]])
        return 0

    folder.mkdir(parents=True, exist_ok=True)
    steps = [] if shop.exists() else [tpad("world", *SMALL, "--out", str(shop))]
    steps += [
        evaluate("run", *source, *ours, "--report", str(folder / "ours.md")),
        evaluate("export", "cases", "--world", str(shop), "--out", str(cases)),
        ("# the other models rank the items of each case", rank_cases),
        evaluate("import", str(follows), "--model", "follows", *source),
        evaluate("import", str(together), "--model", "together", *source),
        evaluate("report", "--database", str(database), "--subject", "follows"),
    ]
    for line, act in steps:
        print(f"\n{line}", flush=True)
        if code := act():
            return code
    return 0


Step = tuple[str, Callable[[], int]]
"""The line to print, and the action."""


def evaluate(*words: str) -> Step:
    """A command of `python -m eval`."""
    return f"$ python -m eval {shlex.join(words)}", lambda: run_eval(words)


def tpad(*words: str) -> Step:
    """A command of `python -m tpad`."""
    return f"$ python -m tpad {shlex.join(words)}", lambda: run_tpad([*words])


class Clicks:
    """Counts of the training sessions.

    Args:
        table: columns session_id, item_id, timestamp and split, in the order of the clicks.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        table = table[table["split"] == "train"]
        self.popularity = Counter(table["item_id"])
        self.next: dict[str, Counter] = defaultdict(Counter)
        self.with_: dict[str, Counter] = defaultdict(Counter)
        for _, items in table.groupby("session_id", sort=False)["item_id"]:
            clicked = items.tolist()
            for before, after in pairwise(clicked):
                self.next[before][after] += 1
            for item in set(clicked):
                self.with_[item].update(set(clicked) - {item})

    def follows(self, prefix: Sequence[str]) -> list[tuple[str, float]]:
        """The items that most often followed the last item."""
        return self._best(self.next[prefix[-1]])

    def together(self, prefix: Sequence[str]) -> list[tuple[str, float]]:
        """The items that most often occurred in sessions with the items of this one."""
        return self._best(sum((self.with_[item] for item in prefix), Counter()))

    def _best(self, counts: Counter) -> list[tuple[str, float]]:
        most = 1 + max(self.popularity.values())
        # Items with equal counts are ordered by popularity.
        scores = {item: counts[item] + n / most for item, n in self.popularity.items()}
        return sorted(scores.items(), key=lambda pair: -pair[1])[:LENGTH]


def save_as_session_rec(path: Path, cases: pd.DataFrame, lists: Lists) -> None:
    """One row per case, in the format of session-rec's `Saver`."""
    pd.DataFrame(
        {
            "SessionId": cases["session_id"],
            "Position": cases["position"],
            "Recommendations": [",".join(item for item, _ in one) for one in lists],
            "Scores": [",".join(f"{score:.4f}" for _, score in one) for one in lists],
        }
    ).to_csv(path, sep=";", index=False)


def save_as_recbole(path: Path, cases: pd.DataFrame, lists: Lists) -> None:
    """One row per item: the output of RecBole's `full_sort_topk`, with tokens instead of its ids.

    RecBole predicts one case per session, the last. With every prefix, as here, the column `position`
    distinguishes the cases of a session.
    """
    rows = [
        (session, position, item, score)
        for session, position, one in zip(
            cases["session_id"], cases["position"], lists, strict=True
        )
        for item, score in one
    ]
    columns = ["session_id", "position", "item_id", "score"]
    pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)


if __name__ == "__main__":
    sys.exit(main())
