"""Runs for a results database: made-up ranks of known quality, written as an evaluation writes them."""

import numpy as np
import pandas as pd

from eval.database import OpenRun, Store
from eval.metrics.slices import slices
from eval.protocol import TestCases
from tpad import Dataset

VERSION = ("0.1.0", "0123456789abcdef")
MODELS = (
    ("popularity", "baseline", 1.0, (0,)),
    ("vision", "baseline", 2.0, (0, 1)),
    ("tpad", "tpad", 4.0, (0, 1)),
    ("tpad-no-alignment", "tpad", 2.5, (0, 1)),
    ("attributes", "reference", 5.0, (0, 1)),
    ("oracle", "oracle", 9.0, (0,)),
)
"""Name, role, quality (the greater, the smaller the ranks) and seeds."""


def fill(store: Store, dataset: Dataset, name: str = "fake") -> None:
    """Writes runs of all `MODELS`, and the slices of their cases."""
    cases = TestCases.of(dataset)
    store.add_slices(dataset, name, cases, slices(cases, dataset))
    for model, role, quality, seeds in MODELS:
        for seed in seeds:
            add_run(store, dataset, model, role, quality, seed, name)


def add_run(
    store: Store,
    dataset: Dataset,
    model: str,
    role: str,
    quality: float,
    seed: int = 0,
    name: str = "fake",
) -> str:
    """Writes one run; a model by popularity finds no cold item. Returns its id."""
    with begin(store, dataset, model, role, seed, name) as run:
        run.finish(made_up_ranks(dataset, model, quality, seed), 10.0 * quality, 0.5)
    return run.id


def begin(
    store: Store,
    dataset: Dataset,
    model: str,
    role: str,
    seed: int = 0,
    name: str = "fake",
    **settings,
):
    """A run in progress with further settings, to be used in a `with`."""
    config = {"settings": {"width": 8, "quote": "<b>\"&'", **settings}, "tuned": None}
    cases = TestCases.of(dataset)
    return store.run(dataset, name, cases, (model, role), seed, config, f"{model}{seed}", VERSION)


def finish(run: OpenRun, dataset: Dataset, model: str, quality: float) -> None:
    """Gives a run in progress its results."""
    run.finish(made_up_ranks(dataset, model, quality, 0), 1.0, 0.1)


def made_up_ranks(dataset: Dataset, model: str, quality: float, seed: int) -> np.ndarray:
    """(n_cases,) float32 from 1."""
    cases = TestCases.of(dataset)
    rng = np.random.default_rng([seed, *model.encode()])
    ranks = np.ceil(rng.random(len(cases)) ** quality * len(dataset)).clip(1).astype(np.float32)
    if model == "popularity":
        ranks[cases.cold] = np.inf
    return ranks


def leaderboard_rows(**changes) -> pd.DataFrame:
    """A leaderboard of four models, with columns replaced by `changes`."""
    from app.dashboard.families import family
    from app.shell.names import model_title

    models = [("oracle", "oracle"), ("tpad", "tpad"), ("vsknn", "baseline"), ("vision", "baseline")]
    table = pd.DataFrame(models, columns=["model", "role"])
    table["title"] = table.model.map(model_title)
    table["family"] = [family(*pair) for pair in models]
    table["place"] = [0, 1, 2, 3]
    for name in ("P", "MRR", "NDCG"):
        table[name] = [0.5, 0.4, 0.3, 0.2]
        table[f"{name} deviation"] = [np.nan, 0.01, np.nan, 0.02]
        table[f"{name} low"], table[f"{name} high"] = table[name] - 0.05, table[name] + 0.05
    table["of_oracle"] = [1.0, 0.8, 0.6, 0.4]
    return table.assign(**changes)
