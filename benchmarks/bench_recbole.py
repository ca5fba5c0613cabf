"""Our judge and our session recommender beside RecBole's, in one run on one machine.

    python -m venv recbole && recbole/bin/pip install --no-deps recbole==1.2.1
    recbole/bin/pip install torch==2.13.0 numpy==1.26.4 pandas==2.2.3 scipy==1.13.1 scikit-learn pyyaml tqdm \\
        colorlog tabulate plotly colorama thop tensorboard texttable psutil
    python benchmarks/bench_recbole.py --recbole recbole/bin/python

RecBole 1.2.1 pins packages that no longer install (ray, colorlog), so it gets an environment of its
own, without them; its two parts that are timed run in a process of that environment. Both sides read
the same files and take the same number of threads.

*Judge*: the same scores (cases × items, float32, random), P, MRR and NDCG at 5, 10 and 20; the scores
themselves are made before the clock runs. *Training*: the same sessions, two transformer layers of 64,
full softmax, one epoch; ours is the session recommender over random features of 64 numbers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # the other environment reads this file, too
    from rows import Row

KS = (5, 10, 20)
WIDTH, LAYERS, HEADS, MAX_LENGTH = 64, 2, 2, 20
BATCH = 256  # cases judged at once, by both
ROUNDS = 5  # medians of so many
SEED = 0
NUMBERS = ("cases", "items", "sessions", "catalogue", "threads")  # options that both sides read


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--recbole", default="", help="python of an environment with RecBole")
    result.add_argument("--cases", type=int, default=4096, help="judged (%(default)s)")
    result.add_argument("--items", type=int, default=20_000, help="judged (%(default)s)")
    result.add_argument("--sessions", type=int, default=4_000, help="trained on (%(default)s)")
    result.add_argument("--catalogue", type=int, default=5_000, help="trained on (%(default)s)")
    result.add_argument("--threads", type=int, default=0, help="of torch; its own choice if 0")
    result.add_argument("--theirs", type=Path, help=argparse.SUPPRESS)
    return result


def score_batches(cases: int, items: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores (b, items) and targets (b,) of both sides; the target tends to score high."""
    rng, found = np.random.default_rng(SEED), []
    for start in range(0, cases, BATCH):
        count = min(BATCH, cases - start)
        scores = rng.standard_normal((count, items), dtype=np.float32)
        targets = rng.integers(1, items, count)  # RecBole's item 0 is padding
        scores[np.arange(count), targets] += rng.exponential(2.0, count).astype(np.float32)
        scores[:, 0] = -np.inf
        found.append((scores, targets))
    return found


def sessions_of(n: int, items: int) -> list[np.ndarray]:
    """Sessions of three to eight items, which follow each other by a noisy rule."""
    rng = np.random.default_rng(SEED + 1)
    found = []
    for _ in range(n):
        steps = rng.integers(1, 50, rng.integers(2, 8))
        found.append(np.concatenate([[0], np.cumsum(steps)]) * 7 % items)
    return found


def timed(judge: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Median seconds, and what comes of it."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        found = judge()
        times.append(time.perf_counter() - begin)
    return float(np.median(times)), found


# --- ours ------------------------------------------------------------------------------------


def judge_ours(cases: int, items: int) -> tuple[float, dict[str, float]]:
    """Seconds, and the metrics."""
    from eval.metrics.ranks import Ranks, case_values, target_ranks

    batches = score_batches(cases, items)
    names = {"hit": "P", "mrr": "MRR", "ndcg": "NDCG"}

    def judge() -> dict[str, float]:
        ranks = Ranks.empty(cases)
        done = 0
        for scores, targets in batches:
            ranks[done : done + len(targets)] = target_ranks(scores, targets)
            done += len(targets)
        return {
            f"{name}@{k}": float(case_values(ranks, own, k).mean())
            for name, own in names.items()
            for k in KS
        }

    return timed(judge)


def train_ours(n: int, items: int) -> float:
    """Seconds of an epoch after the first."""
    from tpad.data.sessions import Sessions
    from tpad.model.session.network import SessionModelConfig
    from tpad.training.fitting import fit_session_model

    walks = sessions_of(n, items)
    starts = np.arange(len(walks), dtype=np.int64)
    train = Sessions(np.array([str(i) for i in starts]), walks, starts)
    features = np.random.default_rng(SEED).standard_normal((items, WIDTH)).astype(np.float32)
    warm = np.zeros(items, bool)
    warm[np.concatenate(walks)] = True
    nobody = Sessions(train.ids[:0], [], starts[:0])
    config = SessionModelConfig(
        width=WIDTH,
        hidden=2 * WIDTH,
        layers=LAYERS,
        heads=HEADS,
        max_length=MAX_LENGTH,
        epochs=ROUNDS + 1,
        patience=ROUNDS + 1,
        mask_seen=False,
    )
    ends = []
    fit_session_model(
        features, train, nobody, warm, config, progress=lambda _: ends.append(time.perf_counter())
    )
    return float(np.median(np.diff(ends)))


# --- theirs, in a process of the other environment ---------------------------------------------


def recbole_config(**settings: Any) -> Any:
    """RecBole's own, quiet."""
    from recbole.config import Config

    # What it reads of the command line is ours.
    sys.argv = sys.argv[:1]
    return Config(
        model="SASRec",
        config_dict={
            "metrics": ["Hit", "MRR", "NDCG"],
            "topk": list(KS),
            "valid_metric": "MRR@20",
            "show_progress": False,
            "use_gpu": False,
            "reproducibility": False,
            "train_neg_sample_args": None,
            "loss_type": "CE",
            "state": "ERROR",
            "dataset": "walks",
            **settings,
        },
    )


def judge_theirs(cases: int, items: int) -> tuple[float, dict[str, float]]:
    """Seconds, and the metrics."""
    import torch
    from recbole.evaluator import Collector, Evaluator

    config = recbole_config()
    collector, evaluator = Collector(config), Evaluator(config)
    batches = [
        (torch.from_numpy(scores), torch.from_numpy(targets))
        for scores, targets in score_batches(cases, items)
    ]

    def judge() -> dict[str, float]:
        for scores, targets in batches:
            rows = torch.arange(len(targets))
            collector.eval_batch_collect(scores, None, rows, targets)
        found = evaluator.evaluate(collector.get_data_struct())
        return {name: float(value) for name, value in found.items()}

    return timed(judge)


def train_theirs(n: int, items: int, folder: Path) -> float:
    """Seconds of an epoch after the first."""
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer

    lines = ["session_id:token\titem_id:token\ttimestamp:float"]
    for number, walk in enumerate(sessions_of(n, items)):
        lines += [f"{number}\t{item}\t{place}" for place, item in enumerate(walk.tolist())]
    (folder / "walks").mkdir()
    (folder / "walks" / "walks.inter").write_text("\n".join(lines) + "\n", "utf-8")
    config = recbole_config(
        data_path=str(folder),
        checkpoint_dir=str(folder),
        USER_ID_FIELD="session_id",
        ITEM_ID_FIELD="item_id",
        TIME_FIELD="timestamp",
        load_col={"inter": ["session_id", "item_id", "timestamp"]},
        MAX_ITEM_LIST_LENGTH=MAX_LENGTH,
        hidden_size=WIDTH,
        inner_size=2 * WIDTH,
        n_layers=LAYERS,
        n_heads=HEADS,
        train_batch_size=1024,
        eval_args={
            "split": {"RS": [1.0, 0.0, 0.0]},
            "order": "TO",
            "group_by": None,
            "mode": "full",
        },
    )
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model = SASRec(config, train.dataset).to(config["device"])
    trainer = Trainer(config, model)
    ends = []
    for epoch in range(ROUNDS + 1):
        trainer._train_epoch(train, epoch)
        ends.append(time.perf_counter())
    return float(np.median(np.diff(ends)))


def answer(options: argparse.Namespace) -> None:
    """What the process of the other environment does."""
    with tempfile.TemporaryDirectory() as folder:
        judged = judge_theirs(options.cases, options.items)
        trained = train_theirs(options.sessions, options.catalogue, Path(folder))
    options.theirs.write_text(json.dumps([*judged, trained]), "utf-8")


def rows(options: argparse.Namespace) -> "Iterator[Row]":
    """Both figures, and how far the metrics differ."""
    from rows import Row

    sizes = (options.cases, options.items)
    shop = (options.sessions, options.catalogue)
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / "theirs.json"
        numbers = {name: getattr(options, name) for name in NUMBERS} | {"theirs": theirs}
        told = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
        subprocess.run(
            [options.recbole, __file__, *told],
            check=True,
            cwd=folder,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        judged, metrics, trained = json.loads(theirs.read_text("utf-8"))
    seconds, own = judge_ours(*sizes)
    worst = max(abs(own[name] - metrics[name]) for name in own)
    epoch = train_ours(*shop)
    for what, mine, other in (
        (
            f"judging {sizes[0]:,} cases against {sizes[1]:,} items, beside RecBole",
            seconds,
            judged,
        ),
        (f"training an epoch of {shop[0]:,} sessions, likewise", epoch, trained),
    ):
        yield Row(what, f"{mine:.2f} s", f"{other:.2f} s", other / mine)
    yield Row("largest difference of a metric (RecBole rounds to 1e-4)", f"{worst:.0e}")


def main() -> int:
    options = parser().parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    if options.theirs:  # this is the other environment
        answer(options)
        return 0
    if not options.recbole:
        print("Name the python of an environment with RecBole: --recbole PATH", file=sys.stderr)
        return 2
    from rows import table

    print(table(rows(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
