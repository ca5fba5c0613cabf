"""Lets two outside models stand in the judge's table, on a small demo shop.

    python examples/import_peer.py --folder peer-example

The models are tiny stand-ins that know nothing of TPAD: they read the shop's clicks and the exported
cases, and save their lists as session-rec and RecBole do. Each command is printed before it is run.
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
"""Items in each list: more than the judge's 20, as it takes out those of the session's own history."""
SMALL = ["--items", "60", "--train", "400", "--validation", "40", "--test", "100"]

Lists = list[list[tuple[str, float]]]
"""(item, score) of each case, the best first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example; the exit code is that of the first command that failed, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("peer-example"), help="(%(default)s)")
    folder = parser.parse_args(arguments).folder
    shop, cases, database = folder / "shop", folder / "cases.csv", folder / "results.db"
    follows, together = folder / "follows.csv", folder / "together.tsv"
    source = ["--world", str(shop), "--database", str(database)]
    ours = ["--models", "popularity", "markov", "oracle", "--seeds", "0"]

    def answer() -> int:
        asked = pd.read_csv(cases, dtype=str)
        model = Clicks(pd.read_csv(shop / "interactions.csv", dtype=str))
        save_as_session_rec(follows, asked, [model.follows(p.split(",")) for p in asked["prefix"]])
        save_as_recbole(together, asked, [model.together(p.split(",")) for p in asked["prefix"]])
        return 0

    folder.mkdir(parents=True, exist_ok=True)
    steps = [] if shop.exists() else [tpad("world", *SMALL, "--out", str(shop))]
    steps += [
        judge("run", *source, *ours, "--report", str(folder / "ours.md")),
        judge("export", "cases", "--world", str(shop), "--out", str(cases)),
        ("# the outside models answer the cases", answer),
        judge("import", str(follows), "--model", "follows", *source),
        judge("import", str(together), "--model", "together", *source),
        judge("report", "--database", str(database), "--subject", "follows"),
    ]
    for line, act in steps:
        print(f"\n{line}", flush=True)
        if code := act():
            return code
    return 0


Step = tuple[str, Callable[[], int]]
"""What is printed, and what is done."""


def judge(*words: str) -> Step:
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
        """What followed the last item most often."""
        return self._best(self.next[prefix[-1]])

    def together(self, prefix: Sequence[str]) -> list[tuple[str, float]]:
        """What was most often in one session with the items of this one."""
        return self._best(sum((self.with_[item] for item in prefix), Counter()))

    def _best(self, counts: Counter) -> list[tuple[str, float]]:
        most = 1 + max(self.popularity.values())
        # The more popular of two with the same count comes first.
        scores = {item: counts[item] + n / most for item, n in self.popularity.items()}
        return sorted(scores.items(), key=lambda pair: -pair[1])[:LENGTH]


def save_as_session_rec(path: Path, asked: pd.DataFrame, lists: Lists) -> None:
    """One row a case, as the frame of session-rec's `Saver` holds them."""
    pd.DataFrame(
        {
            "SessionId": asked["session_id"],
            "Position": asked["position"],
            "Recommendations": [",".join(item for item, _ in one) for one in lists],
            "Scores": [",".join(f"{score:.4f}" for _, score in one) for one in lists],
        }
    ).to_csv(path, sep=";", index=False)


def save_as_recbole(path: Path, asked: pd.DataFrame, lists: Lists) -> None:
    """One row an item: what RecBole's `full_sort_topk` gives, with tokens instead of its numbers.

    RecBole answers one case a session, the last. Where it is asked every prefix, as here, the column
    `position` tells them apart.
    """
    rows = [
        (session, position, item, score)
        for session, position, one in zip(
            asked["session_id"], asked["position"], lists, strict=True
        )
        for item, score in one
    ]
    columns = ["session_id", "position", "item_id", "score"]
    pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)


if __name__ == "__main__":
    sys.exit(main())
