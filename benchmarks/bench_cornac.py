"""cornac's GRU4Rec on the split that ours is measured on, as an outside witness.

    pip install cornac
    python benchmarks/bench_cornac.py --data FOLDER

FOLDER as in `bench_baselines.py`, whose yoochoose split, cases and metrics are used. As there, the model
is fitted on the training sessions alone, and of three settings the one that is best on the validation
sessions is asked the test cases.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_baselines import yoochoose

from eval.baselines import ValidationCases
from eval.metrics.ranks import Ranks, case_values, target_ranks

SETTINGS: tuple[dict[str, Any], ...] = (
    {"loss": "cross-entropy", "learning_rate": 0.05, "batch_size": 64},
    {"loss": "cross-entropy", "learning_rate": 0.1, "batch_size": 64, "dropout_p_embed": 0.2},
    {"loss": "bpr-max", "learning_rate": 0.05, "batch_size": 64},
)


def fit(
    sessions: list[np.ndarray], n_items: int, epochs: int, seed: int, **settings: Any
) -> tuple[Any, np.ndarray]:
    """cornac's model, and the number that it gives each of our items (−1: none)."""
    from cornac.data import SequentialDataset
    from cornac.models import GRU4Rec

    clicks = [(s, int(i), t) for s, items in enumerate(sessions) for t, i in enumerate(items)]
    data = SequentialDataset.from_sit(clicks, seed=seed)
    theirs = np.full(n_items, -1)
    for item, number in data.iid_map.items():
        theirs[item] = number
    model = GRU4Rec(layers=[100], n_epochs=epochs, seed=seed, **settings)
    return model.fit(data), theirs


def ranks_of(
    model: Any, theirs: np.ndarray, prefixes: list[np.ndarray], targets: np.ndarray
) -> Ranks:
    """Ranks of the n targets; an item that the model does not know is never found."""
    known = theirs >= 0
    ranks = Ranks.empty(len(prefixes))
    for row, prefix in enumerate(prefixes):
        history = theirs[prefix]
        given = model.score(None, history[history >= 0].tolist())
        scores = np.full((1, len(theirs)), -np.inf)
        scores[0, known] = np.asarray(given)[theirs[known]]
        ranks[row : row + 1] = target_ranks(scores, targets[row : row + 1])
    return ranks


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--epochs", type=int, default=10, help="as ours (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    task = yoochoose(args.data)
    dataset, asked = task.dataset, task.cases
    print(task, flush=True)
    cases = ValidationCases.of(dataset, mask_seen=task.mask_seen)
    best: tuple[Any, np.ndarray] | None = None
    judged, chosen = -1.0, SETTINGS[0]
    for settings in SETTINGS:
        begin = time.perf_counter()
        fitted = fit(dataset.train.items, len(dataset), args.epochs, args.seed, **settings)
        seconds = time.perf_counter() - begin
        mrr = case_values(ranks_of(*fitted, cases.prefixes, cases.targets), "MRR", 20).mean()
        print(f"  {settings}: validation MRR@20 {mrr:.4f}, fit {seconds:.0f} s", flush=True)
        if mrr > judged:
            best, judged, chosen = fitted, mrr, settings
    assert best is not None
    begin = time.perf_counter()
    ranks = ranks_of(*best, asked.prefixes, asked.targets)
    values = " ".join(
        f"{m}@20 {case_values(ranks, m, 20).mean():.4f}" for m in ("P", "MRR", "NDCG")
    )
    print(
        f"yoochoose cornac gru4rec seed {args.seed} {chosen}: {values} ({len(ranks):,} cases, "
        f"scoring {time.perf_counter() - begin:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
