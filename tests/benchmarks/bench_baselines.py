"""Baselines beside published figures, on data that is not part of the project.

    python tests/benchmarks/bench_baselines.py --data FOLDER --dataset beauty --models markov sasrec
    python tests/benchmarks/bench_baselines.py --data FOLDER --dataset yoochoose

FOLDER holds `amazon-beauty/sequences.txt` (user item item …, in time order, as S3-Rec releases it)
or `yoochoose-100k/yoochoose-clicks-100k_{train_full,test}.txt` (the sample of session-rec). Settings
are fixed here, from the papers and the declared search; nothing is tuned on the test part.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from eval.baselines import BASELINES
from eval.metrics import Ranks, case_values, target_ranks
from tpad import Dataset, EpochReport, Sessions

NEURAL = ("gru4rec", "narm", "srgnn", "sasrec")
# 1,024 of 12,101 items as negatives and few epochs, so that a slow core is done in minutes.
BEAUTY_NEURAL = {
    "width": 64,
    "max_length": 50,
    "dropout": 0.3,
    "negatives": 1024,
    "epochs": 16,
    "learning_rate": 2e-3,
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    # After 16 epochs validation sessions still prefer more of SASRec, but no more of GRU4Rec.
    "beauty": {name: BEAUTY_NEURAL for name in NEURAL} | {"sasrec": BEAUTY_NEURAL | {"epochs": 28}},
    "yoochoose": {
        # As session-rec's own example configuration for this sample has it.
        "vsknn": {"k": 500, "sample_size": 5000, "weighting": "quadratic", "idf_weighting": 5},
        # Shoppers come back to items: a third of the test targets. Few epochs for slow cores.
        **{name: {"mask_seen": False, "epochs": 10} for name in NEURAL},
    },
}
PUBLISHED = {
    # Counting the clicks of all parts, the test items among them, gives .0152/.0068 to the digit.
    ("beauty", "popularity"): "S3-Rec release: HR@10 .0152, NDCG@10 .0068, test clicks counted too",
    ("beauty", "gru4rec"): "S3-Rec release: HR@10 .0283, NDCG@10 .0137",
    ("beauty", "sasrec"): "S3-Rec release: HR@10 .0605, NDCG@10 .0318",
    ("beauty", "markov"): "counted on the training part: HR@10 .0600, NDCG@10 .0413",
}


def beauty(folder: Path) -> tuple[Dataset, list[np.ndarray], np.ndarray]:
    """Leave-one-out: the last item tests, the one before validates, training has the rest."""
    lines = (folder / "amazon-beauty" / "sequences.txt").read_text().splitlines()
    names = [line.split()[1:] for line in lines]
    ids, rows = np.unique(np.concatenate(names), return_inverse=True)
    users = np.split(rows.astype(np.int32), np.cumsum([len(name) for name in names])[:-1])
    train, validation = [user[:-2] for user in users], [user[:-1] for user in users]
    dataset = _dataset(ids, train, validation, history=[len(items) for items in train])
    return dataset, [user[:-1] for user in users], np.array([user[-1] for user in users])


def yoochoose(folder: Path) -> tuple[Dataset, list[np.ndarray], np.ndarray]:
    """The given split; the last tenth of the training sessions validates."""
    parts = [
        pd.read_csv(folder / "yoochoose-100k" / f"yoochoose-clicks-100k_{name}.txt", sep="\t")
        for name in ("train_full", "test")
    ]
    ids = np.unique(parts[0]["ItemId"])
    sessions = []
    for part in parts:
        part = part.sort_values(["SessionId", "Time"], kind="stable")
        part = part.assign(row=np.searchsorted(ids, part["ItemId"]).astype(np.int32))
        groups = part.groupby("SessionId", sort=False)
        starts = groups["Time"].last().argsort(kind="stable")
        items = [group.to_numpy() for _, group in groups["row"]]
        sessions.append([items[i] for i in starts])
    train, test = sessions
    cut = len(train) * 9 // 10
    cases = [(s[:end], s[end]) for s in test for end in range(1, len(s))]
    dataset = _dataset(ids, train[:cut], train[cut:])
    return dataset, [prefix for prefix, _ in cases], np.array([target for _, target in cases])


def _dataset(
    ids: np.ndarray,
    train: list[np.ndarray],
    validation: list[np.ndarray],
    history: list[int] | None = None,
) -> Dataset:
    items = pd.DataFrame({"item_id": ids.astype(str)})
    for column in ("title", "description", "category", "image"):
        items[column] = ""
    items["price"] = np.nan
    parts = [_sessions(train, "train"), _sessions(validation, "validation"), _sessions([], "test")]
    if history is not None:
        parts[1] = replace(parts[1], history=np.array(history))
    return Dataset(items, Path("."), *parts)


def _sessions(items: list[np.ndarray], name: str) -> Sessions:
    ids = np.array([f"{name} {row}" for row in range(len(items))], dtype=object)
    return Sessions(ids, items, np.arange(len(items), dtype=np.int64))


def _fitting(dataset: Dataset, data: str, name: str) -> Dataset:
    """What a model is fitted on: what needs no validation learns from it too, as in session-rec."""
    if data == "beauty" or name not in ("popularity", "item_knn", "vsknn"):
        return dataset
    train = _sessions([*dataset.train.items, *dataset.validation.items], "train")
    return replace(dataset, train=train)


def measure(
    name: str, dataset: Dataset, prefixes: list[np.ndarray], targets: np.ndarray, args: Any
) -> None:
    """Fits and prints one model."""

    def progress(report: EpochReport) -> None:
        print(f"  {name} {report} {time.perf_counter() - begin:.0f} s", flush=True)

    settings = dict(SETTINGS[args.dataset].get(name, {}))
    if args.epochs and "epochs" in settings:
        settings["epochs"] = args.epochs
    begin = time.perf_counter()
    model = BASELINES[name].make(args.seed, settings, progress)
    model.fit(_fitting(dataset, args.dataset, name))
    fitted = time.perf_counter()
    ranks = Ranks.empty(len(prefixes))
    for start in range(0, len(prefixes), 512):
        scores = np.array(model.scores(prefixes[start : start + 512]))
        if args.dataset == "beauty":
            for row, prefix in enumerate(prefixes[start : start + 512]):
                scores[row, prefix] = -np.inf
        ranks[start : start + 512] = target_ranks(scores, targets[start : start + 512])
    scored = time.perf_counter()
    k = 10 if args.dataset == "beauty" else 20
    values = " ".join(
        f"{metric}@{k} {case_values(ranks, metric, k).mean():.4f}"
        for metric in ("P", "MRR", "NDCG")
    )
    print(
        f"{args.dataset} {name} seed {args.seed} {settings}: {values} ({len(ranks):,} cases, fit "
        f"{fitted - begin:.0f} s, scoring {scored - fitted:.0f} s)"
        f" {PUBLISHED.get((args.dataset, name), '')}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--dataset", choices=("beauty", "yoochoose"), required=True)
    parser.add_argument("--models", nargs="+", default=list(BASELINES), choices=list(BASELINES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="another budget for the neural models")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        dataset, prefixes, targets = {"beauty": beauty, "yoochoose": yoochoose}[args.dataset](
            args.data
        )
    except OSError as error:
        print(f"{error.filename} cannot be read; give the folder with --data.", file=sys.stderr)
        return 2
    for name in args.models:
        measure(name, dataset, prefixes, targets, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
