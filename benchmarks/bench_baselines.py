"""Baselines beside published figures, on data that is not part of the project.

    python benchmarks/bench_baselines.py --data FOLDER --dataset beauty --keep beauty.jsonl
    python benchmarks/bench_baselines.py --data FOLDER --dataset yoochoose --only markov slist

FOLDER holds `amazon-beauty/{sequences.txt,items.tsv}` (user item item …, in time order, as S3-Rec
releases it, and titles), `yoochoose-100k/yoochoose-clicks-100k_{train_full,test}.txt` (the sample of session-rec) or
`movielens-posters/{items,interactions}.csv`.

All models of a table are treated alike: the same number of tries of the declared search
(`eval.baselines.SEARCH`) on the validation sessions, then a fit on the training sessions alone, or with
--refit on training and validation sessions. Nothing reads the test part but the last figures. With --keep each row is kept as soon as it is done; the same
command prints the rows that are there and goes on with the others.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.baselines import BASELINES, Baseline, content_baseline, ensemble_baseline, tune
from eval.metrics.ranking import candidate_scores
from eval.metrics.ranks import Ranks, case_values, target_ranks
from eval.models.features import random_features, text_features
from eval.models.naming import ENSEMBLES
from eval.protocol import SLICES, Protocol, TestCases
from tpad import ConfigError, Dataset, TpadError
from tpad.data.sessions import Sessions
from tpad.model.session.fitted import EpochReport
from tpad.training.fusion import FusionConfig, fit_tuned, tune_fused

METRICS = ("P", "MRR", "NDCG")
FUSED = "fused"
NEURAL = ("gru4rec", "narm", "srgnn", "sasrec")
# 1,024 of 12,101 items as negatives, so that a slow core is done in hours.
BEAUTY_BUDGET = {"width": 64, "max_length": 50, "negatives": 1024, "epochs": 28}
PUBLISHED = {
    # Counting the clicks of all parts, the test items among them, gives .0152/.0068 to the digit.
    ("beauty", "popularity"): "S3-Rec release: HR@10 .0152, NDCG@10 .0068, test clicks counted too",
    ("beauty", "gru4rec"): "S3-Rec release: HR@10 .0283, NDCG@10 .0137",
    ("beauty", "sasrec"): "S3-Rec release: HR@10 .0605, NDCG@10 .0318",
    ("beauty", "markov"): "counted on the training part: HR@10 .0600, NDCG@10 .0413",
}


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked of every model.

    Attributes:
        name: of the data.
        dataset: training, validation and test sessions.
        k: cut-off.
        mask_seen: whether the items of a prefix are no candidates.
        budget: settings that all neural models share and that are not searched.
        baselines: name -> model.
        features: (n_items, d), the embedding set of `fused`: TF-IDF of the text, or random vectors.
    """

    name: str
    dataset: Dataset
    k: int
    mask_seen: bool
    budget: dict[str, Any]
    baselines: dict[str, Baseline] = field(default_factory=lambda: dict(BASELINES))

    @cached_property
    def whole(self) -> Dataset:
        """The dataset with the validation clicks in its training sessions."""
        train, validation = self.dataset.train, self.dataset.validation
        if self.name != "beauty":  # there, the validation sessions contain the training sessions
            times = None
            if train.times is not None and validation.times is not None:
                times = train.times + validation.times
            both = Sessions(
                np.concatenate([train.ids, validation.ids]),
                train.items + validation.items,
                np.concatenate([train.starts, validation.starts]),
                times,
            )
            return replace(self.dataset, train=both)
        return replace(self.dataset, train=replace(validation, history=None))

    @cached_property
    def features(self) -> np.ndarray:
        if (self.dataset.items["title"] == "").all():
            return random_features(self.dataset, 0)
        return text_features(self.dataset)

    @cached_property
    def cases(self) -> TestCases:
        """Every prefix of the test sessions."""
        return TestCases.of(self.dataset, Protocol(mask_history=self.mask_seen))

    def __str__(self) -> str:
        train, validation = self.dataset.train, self.dataset.validation
        history = "masked" if self.mask_seen else "kept"
        return (
            f"{self.name}: every model is fitted on {len(train):,} training sessions "
            f"({train.lengths.sum():,} clicks) and chosen on {len(validation):,} validation sessions; "
            f"{len(self.cases):,} test cases, all {len(self.dataset):,} "
            f"items ranked, history {history}"
        )


def beauty(folder: Path) -> Task:
    """Leave-one-out: the last item tests, the one before validates, training has the rest."""
    files = [folder / "amazon-beauty" / name for name in ("items.tsv", "sequences.txt")]
    return Task("beauty", Dataset.load(*files), 10, True, BEAUTY_BUDGET)


def yoochoose(folder: Path) -> Task:
    """The given split; the last tenth of the training sessions validates."""
    train, test = (
        folder / "yoochoose-100k" / f"yoochoose-clicks-100k_{name}.txt"
        for name in ("train_full", "test")
    )
    dataset = Dataset.load(None, train, test_interactions=test)
    # Shoppers come back to items: a third of the test targets. Few epochs for slow cores.
    return Task("yoochoose", dataset, 20, False, {"epochs": 10})


def movies(folder: Path) -> Task:
    """The project's own split, a tenth of the items cold, and baselines that use TF-IDF of the titles."""
    tables = [folder / "movielens-posters" / name for name in ("items.csv", "interactions.csv")]
    dataset = Dataset.load(*tables, cold_fraction=0.1, seed=0)
    text = text_features(dataset)
    near = {"tfidf_neighbours": content_baseline(text, "Neighbours in TF-IDF")}
    near |= {name: ensemble_baseline(part, lambda: text) for name, part in ENSEMBLES.items()}
    return Task("movies", dataset, 20, True, {"epochs": 20}, BASELINES | near)


TASKS = {"beauty": beauty, "yoochoose": yoochoose, "movies": movies}


def measure(name: str, task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Searches, fits and asks one model: a row as plain values."""

    def progress(report: EpochReport) -> None:
        seconds = time.perf_counter() - begin
        print(f"  {name} {report} {seconds:.0f} s", file=sys.stderr, flush=True)

    begin = time.perf_counter()
    if name == FUSED:
        return measure_fused(task, options, progress)
    baseline = task.baselines[name]
    budget = dict(task.budget) if name in NEURAL else {}
    if budget and options.epochs:
        budget["epochs"] = options.epochs
    found = tune(
        baseline,
        task.dataset,
        options.seed,
        options.tries,
        settings=budget,
        mask_seen=task.mask_seen,
        progress=progress,
    )
    searched = time.perf_counter()
    fitted_on = task.whole if options.refit else task.dataset
    model = baseline.make(options.seed, found.settings, progress).fit(fitted_on)
    fitted = time.perf_counter()
    values = values_of(model, task)
    scored = time.perf_counter()
    return {
        "settings": found.settings,
        "values": values,
        "tried": [[settings, value] for settings, value in found.tries],
        "seconds": [round(searched - begin), round(fitted - searched), round(scored - fitted)],
    }


def measure_fused(
    task: Task, options: argparse.Namespace, progress: Callable[[EpochReport], None]
) -> dict[str, Any]:
    """Tunes, fits and asks the fused recommender with its default settings."""
    begin, dataset = time.perf_counter(), task.dataset
    config = FusionConfig(mask_seen=task.mask_seen, seed=options.seed)
    sessions = dataset.train, dataset.validation, ~dataset.cold
    say = partial(print, file=sys.stderr, flush=True)
    tuning = tune_fused(task.features, *sessions, config, progress=progress, say=say)
    tuned = time.perf_counter()
    if options.refit:
        sessions = task.whole.train, dataset.validation, ~task.whole.cold
    model = fit_tuned(task.features, *sessions, tuning, progress=progress)
    fitted = time.perf_counter()
    values = values_of(model, task)
    scored = time.perf_counter()
    return {
        "settings": {
            "layers": tuning.network.layers,
            "memory": asdict(tuning.memory),
            "weights": asdict(tuning.weights),
        },
        "values": values,
        "tried": [],
        "seconds": [round(tuned - begin), round(fitted - tuned), round(scored - fitted)],
    }


def values_of(model: Any, task: Task) -> dict[str, float]:
    """Metrics of a fitted model on the test cases."""
    cases = task.cases
    ranks = Ranks.empty(len(cases))
    for start, scores in candidate_scores(
        model, cases.prefixes, len(task.dataset), mask_seen=task.mask_seen
    ):
        part = slice(start, start + len(scores))
        ranks[part] = target_ranks(scores, cases.targets[part])
    return {
        f"{part} {metric}@{task.k}": float(
            case_values(ranks[cases.slice(part)], metric, task.k).mean()
        )
        for part in (SLICES if task.name == "movies" else SLICES[:1])
        for metric in METRICS
    }


def rows_of(task: Task, options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """The row of each model, kept ones first read and new ones kept."""
    kept = {}
    if options.keep and options.keep.exists():
        lines = options.keep.read_text().splitlines()
        kept = {json.dumps(row["key"]): row for row in map(json.loads, lines)}
    for name in options.only or (*task.baselines, FUSED):
        key = [task.name, name, options.seed, options.tries, options.epochs, options.refit]
        row = kept.get(json.dumps(key))
        if row is None:
            try:
                row = {"key": key, **measure(name, task, options)}
            except TpadError as error:
                print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
                continue
            if options.keep:
                with options.keep.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        yield name, row


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--dataset", choices=TASKS, required=True)
    parser.add_argument("--only", nargs="+", help="only these models")
    parser.add_argument("--tries", type=int, default=3, help="settings tried of each (%(default)s)")
    parser.add_argument("--keep", type=Path, help="file (JSON lines) that keeps finished rows")
    parser.add_argument("--refit", action="store_true", help="fit on the validation sessions too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="another budget for the neural models")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        task = TASKS[options.dataset](options.data)
        for name in options.only or ():
            if name not in (*task.baselines, FUSED):
                known = ", ".join((*task.baselines, FUSED))
                raise ConfigError(f"There is no model {name!r} here; choose from {known}.")
    except OSError as error:
        print(f"{error.filename} cannot be read; give the folder with --data.", file=sys.stderr)
        return 2
    except TpadError as error:
        print(error, file=sys.stderr)
        return 2
    if options.refit:
        print("The chosen models are fitted on training and validation sessions.")
    print(f"{task}; at most {options.tries} settings tried of each, seed {options.seed}\n")
    head = None
    for name, row in rows_of(task, options):
        if head is None:
            head = ["model", *row["values"], "settings", "search, fit, scoring (s)", "published"]
            print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
        cells = [name, *(f"{value:.4f}" for value in row["values"].values())]
        cells += [", ".join(f"{k} {v}" for k, v in row["settings"].items())]
        cells += [", ".join(map(str, row["seconds"])), PUBLISHED.get((task.name, name), "")]
        print("| " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
