"""What TPAD adds with few and with many training sessions, beside its parts and other embeddings.

    python benchmarks/learning_curves.py --items items.csv --interactions clicks.csv --cold-fraction 0.1 \\
        --mllm MODEL --sizes 500 2000 all --trainings 3 --out curves

For each size, so many training sessions are drawn, TPAD and its ablations are trained on them, and each embedding
set gets the same recommender with the same budget and tuning. Every training draws other sessions and has another
seed. All are evaluated on the same test sessions.

Results are in `OUT/results.db`, one dataset for each size and training, and the table is in `OUT/curves.csv`. A
figure is the mean over the trainings. `p` is that of a paired permutation test of TPAD against the model over the
test sessions, on the values of each case averaged over the trainings, corrected by Holm's method over the table.
`cold` are the items that were kept out. `cold alone` ranks all targets without a training click among such items only,
whatever the offset of the recommender. `frontier area` is the area below the frontier of P@20 of targets with and
without training clicks, over all offsets. Both are means without a test.
With a text-only base model, add `--set alignment.steps=200`: otherwise it learns no `k_tau`.
The same command continues an interrupted run.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from eval.cli.sources import Source, add_source, load_source
from eval.database.store import Store
from eval.metrics.ranks import case_values
from eval.metrics.significance import holm, paired_permutation_test
from eval.models.embeddings import load_ablations
from eval.models.entries import all_entries
from eval.models.naming import VARIANT
from eval.protocol import TestCases
from eval.runs.results import Result
from eval.runs.runner import run_models
from tpad.cli.job import parse_setting
from tpad.data.dataset import Dataset
from tpad.data.vectors import ItemVectors, load_vectors, parse_named_files
from tpad.errors import TpadError
from tpad.model.given_features import TFIDF
from tpad.model.parts import Parts
from tpad.training.ablations.sets import FULL, train_sets
from tpad.training.base import Base
from tpad.training.config import TrainingConfig, preset
from tpad.training.fusion import FusionConfig

RARE = 5
"""Most training clicks of a rarely clicked item."""
METRICS = (("P", 20), ("MRR", 20))
TPAD = VARIANT + FULL
BY_ITEMS = ("vision", "vision_tfidf", "knowledge")
"""Embedding sets of a bundle that do not depend on sessions."""


@dataclass(frozen=True)
class Curve:
    """The results of one size: name of the model -> result of each training, and the slice of each case.

    Attributes:
        size: number of training sessions.
        cases: the test cases.
        results: name -> one result for each training.
        slices: name -> (trainings, n_cases) bool.
    """

    size: int
    cases: TestCases
    results: Mapping[str, Sequence[Result]]
    slices: Mapping[str, np.ndarray]


def drawn(dataset: Dataset, size: int | None, seed: int) -> Dataset:
    """The dataset with `size` random training sessions, and as large a share of the validation sessions.

    With leave-one-out, these are the validation clicks of the same users.
    """
    train, validation = dataset.train, dataset.validation
    if size is None or size >= len(train):
        return dataset
    rng = np.random.default_rng([seed, 53])
    rows = np.sort(rng.permutation(len(train))[:size])
    same = np.isin(validation.ids, train.ids[rows])
    if not same.any():
        count = max(1, round(len(validation) * size / len(train)))
        same = np.isin(np.arange(len(validation)), rng.permutation(len(validation))[:count])
    return replace(
        dataset, train=train.take(rows), validation=validation.take(np.flatnonzero(same))
    )


@dataclass(frozen=True, eq=False)
class Training:
    """What is the same for all sizes.

    Attributes:
        base: the base model.
        config: settings.
        vectors: given vectors by name.
    """

    base: Base
    config: TrainingConfig
    vectors: Mapping[str, ItemVectors]


def training_of(options: argparse.Namespace, dataset: Dataset) -> Training:
    """The training that the command line asks for."""
    base = Base.find(options.mllm)
    files = parse_named_files(one for one in options.features if one != TFIDF)
    config = preset(options.preset)
    if not base.may_see:
        config = config.without_pictures()
    for setting in options.set:
        config = config.override(*parse_setting(setting))
    config = config.override("features", tuple(one.partition("=")[0] for one in options.features))
    ids = dataset.items["item_id"].tolist()
    vectors = {name: load_vectors(path, ids) for name, path in files.items()}
    return Training(base, config, vectors)


def run_size(
    options: argparse.Namespace, source: Source, training: Training, size: int | None
) -> Curve:
    """Train and evaluate all models with so many sessions; None for all of them."""
    dataset = source.dataset
    found: dict[str, list[Result]] = {}
    slices: dict[str, list[np.ndarray]] = {"all": [], "warm": [], "rare": [], "cold": []}
    name = "all" if size is None else str(size)
    with Store(options.out / "results.db") as store:
        for seed in range(options.trainings):
            shop = drawn(dataset, size, seed)
            folder = options.out / f"{name}-{seed}"
            train_sets(
                shop,
                training.base,
                training.config.override("seed", seed),
                folder / "sets",
                work=options.out / "work",
                only=options.only,
                vectors=training.vectors,
            )
            cases = TestCases.of(shop)
            extra = {**source.extra, **{one: source.embeddings[one] for one in options.sets}}
            results = evaluated(
                store, shop, f"{name} sessions, {seed}", folder / "sets", extra, source.parts
            )
            for one in results:
                found.setdefault(one.name, []).append(one)
            clicks = shop.popularity[cases.targets]
            held_out = dataset.cold[cases.targets]
            slices["all"].append(np.ones(len(clicks), bool))
            slices["warm"].append(~held_out)
            slices["rare"].append(~held_out & (clicks <= RARE))
            slices["cold"].append(held_out)
    return Curve(
        len(dataset.train) if size is None else size,
        cases,
        found,
        {one: np.stack(masks) for one, masks in slices.items()},
    )


def evaluated(
    store: Store,
    shop: Dataset,
    name: str,
    sets: Path,
    extra: Mapping[str, np.ndarray],
    parts: Mapping[str, Parts],
) -> list[Result]:
    """Tune, fit and evaluate the recommenders of all embedding sets.

    Args:
        store: where the runs are stored.
        shop: the dataset with the drawn sessions.
        name: of this dataset in the store.
        sets: folder of TPAD and its ablations.
        extra: further embedding sets, name -> (n_items, n).
        parts: of these sets.
    """
    ids = shop.items["item_id"].tolist()
    ablations, own = load_ablations(sets, ids, shop.fingerprint)
    parts = {**parts, **{VARIANT + one: sizes for one, sizes in own.items()}}
    entries = all_entries(shop, {}, FusionConfig(), extra=extra, ablations=ablations, parts=parts)
    wanted = {"tfidf", *extra, *(VARIANT + one for one in ablations)}
    return run_models(store, shop, name, [e for e in entries if e.name in wanted], [0], say=print)


def table(curves: Sequence[Curve]) -> pd.DataFrame:
    """A row for each size, slice and model: its metrics, and the test of TPAD against it."""
    rows = []
    for curve in curves:
        for part, masks in curve.slices.items():
            if not masks.any():
                continue
            values = {name: _values(results, masks) for name, results in curve.results.items()}
            weights = masks.any(0)  # cases that are in the slice in some training
            sessions = curve.cases.session[weights]
            for name, own in values.items():
                row: dict[str, object] = {"sessions": curve.size, "slice": part, "model": name}
                for metric, of_cases in zip(METRICS, own, strict=True):
                    title = "@".join(map(str, metric))
                    row[title] = of_cases.sum() / masks.sum(1).mean()
                    ours = values[TPAD][METRICS.index(metric)]
                    p = float("nan")
                    if name != TPAD:
                        p = paired_permutation_test(ours[weights], of_cases[weights], sessions)
                    row[f"p {title}"] = p
                rows.append(row)
        rows += _of_lists(curve)
    found = pd.DataFrame(rows)
    columns = [column for column in found if str(column).startswith("p ")]
    corrected = holm(found[columns].to_numpy().ravel())
    found[columns] = corrected.reshape(-1, len(columns))
    return found


def _of_lists(curve: Curve) -> list[dict[str, object]]:
    """Rows of cold items ranked among themselves, and of the area below the frontier."""
    rows = []
    for name, results in curve.results.items():

        def mean(part: str, metric: str, results: Sequence[Result] = results) -> float:
            return float(
                np.mean([one.further.get(part, {}).get(metric, np.nan) for one in results])
            )

        row = {"sessions": curve.size, "slice": "cold alone", "model": name}
        row |= {f"{one}@{k}": mean("cold", f"unclicked_{one}") for one, k in METRICS}
        rows.append(row | {"frontier area": mean("all", "frontier_area")})
    return [row for row in rows if not pd.isna(row["P@20"])]


def _values(results: Sequence[Result], masks: np.ndarray) -> list[np.ndarray]:
    """For each metric, the values of the cases, 0 outside of the slice, as means over trainings: (n,)."""
    return [
        np.mean(
            [
                case_values(one.ranks, *metric)[0] * mask
                for one, mask in zip(results, masks, strict=True)
            ],
            axis=0,
        )
        for metric in METRICS
    ]


def size_of(text: str) -> int | None:
    """A number of sessions; None for "all"."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of sessions nor all")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_source(parser, sets=True)
    parser.add_argument("--mllm", required=True, help="base model, as in `tpad train`")
    parser.add_argument(
        "--preset", choices=("shop", "demo"), default="shop", help="as in `tpad train`"
    )
    parser.add_argument("--features", action="append", default=[], help="as in `tpad train`")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="as in `tpad train`"
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        choices=BY_ITEMS,
        default=[],
        help="with --bundle: its embedding sets that do not depend on sessions",
    )
    parser.add_argument("--sizes", nargs="+", type=size_of, default=[500, 1000, 2000, 4000, None])
    parser.add_argument("--trainings", type=int, default=3, help="of the embeddings, for each size")
    parser.add_argument("--only", nargs="+", default=["no-tau"], help="ablations to train")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        source = load_source(options)
        missing = [one for one in options.sets if one not in source.embeddings]
        if missing:
            sys.exit(f"There is no embedding set {missing[0]!r}; --sets needs --bundle.")
        options.out.mkdir(parents=True, exist_ok=True)
        training, curves = training_of(options, source.dataset), []
        for size in options.sizes:
            curves.append(run_size(options, source, training, size))
            found = table(curves)
            found.to_csv(options.out / "curves.csv", index=False)
        print(found.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    except TpadError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
