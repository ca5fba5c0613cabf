"""What a visitor of the dashboard has chosen, what can be chosen, and what is drawn of it."""

from dataclasses import dataclass

import plotly.graph_objects as go

from app.dashboard.tables import DEFAULT_METRIC
from eval.metrics.averaging import CASE, SESSION

LEADERBOARD, WARM_COLD, BY_SLICE, ABLATIONS, TRAINING, EMBEDDINGS, COST, RUNS = (
    "leaderboard",
    "warm-cold",
    "slices",
    "ablations",
    "training",
    "embeddings",
    "cost",
    "runs",
)
SECTIONS = {
    LEADERBOARD: "Leaderboard",
    WARM_COLD: "Warm and cold",
    BY_SLICE: "By slice",
    ABLATIONS: "Ablations",
    TRAINING: "Training",
    EMBEDDINGS: "Embeddings",
    COST: "Cost",
    RUNS: "Runs",
}
FILTERS = {
    LEADERBOARD: ("choice", "part", "metric", "mean", "seed", "extras"),
    WARM_COLD: ("choice", "metric", "mean", "seed", "extras"),
    BY_SLICE: ("choice", "kind", "metric", "mean", "seed", "models"),
    ABLATIONS: ("choice", "part", "mean"),
    TRAINING: ("stage",),
    EMBEDDINGS: (),
    COST: ("choice", "part", "metric", "mean", "seed", "extras"),
    RUNS: (),
}
"""Filters that a section has."""
OF_BUNDLE = (TRAINING, EMBEDDINGS)
"""Sections about the bundle rather than the database."""
ALL_SEEDS = "all"
MEANS = {CASE: "Mean over cases", SESSION: "Mean over sessions"}
"""What figures can be averaged over, in words."""
RECOMMENDERS = "recommenders"
"""The stage that stands for the session recommenders over each embedding set."""


@dataclass(frozen=True)
class View:
    """What a visitor has chosen; `choice` is the key of a set of cases, `run` the id of a run."""

    section: str = LEADERBOARD
    choice: str = ""
    part: str = "all"
    metric: str = DEFAULT_METRIC
    seed: str = ALL_SEEDS
    extras: bool = False
    kind: str = ""
    models: tuple[str, ...] = ()
    stage: str = RECOMMENDERS
    run: str = ""
    shown: int = 50
    mean: str = CASE

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the filters that apply."""
        return ("part",) if self.section == RUNS and self.run else FILTERS[self.section]

    @property
    def essence(self) -> tuple:
        """All that what is drawn depends on: filters that do not apply are no part of it."""
        own = [getattr(self, name) for name in self.filters]
        return self.section, *own, *((self.run, self.shown) if self.section == RUNS else ())


@dataclass(frozen=True)
class Drawn:
    """A section: HTML above, a plot if there is one, HTML below; `name` is of its downloads."""

    top: str
    figure: go.Figure | None = None
    bottom: str = ""
    name: str = ""


@dataclass(frozen=True)
class Offer:
    """What the filters offer, each as (words, value).

    Attributes:
        view: the choices made, those that are not offered replaced by ones that are.
    """

    view: View
    choices: list[tuple[str, str]]
    parts: list[tuple[str, str]]
    seeds: list[tuple[str, str]]
    kinds: list[tuple[str, str]]
    models: list[tuple[str, str]]
    stages: list[tuple[str, str]]
