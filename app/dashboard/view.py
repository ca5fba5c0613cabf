"""What a visitor of the dashboard looks at, the options, and the drawn section."""

from dataclasses import dataclass

import plotly.graph_objects as go

from app.dashboard.tables import DEFAULT_METRIC
from eval.metrics.averaging import CASE, SESSION

LEADERBOARD, WARM_COLD, FRONTIER, BY_SLICE, ABLATIONS, TRAINING, EMBEDDINGS, COST, RUNS = (
    "leaderboard",
    "warm-cold",
    "frontier",
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
    FRONTIER: "Frontier",
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
    FRONTIER: ("choice", "models"),
    BY_SLICE: ("choice", "kind", "metric", "mean", "seed", "models"),
    ABLATIONS: ("choice", "part", "mean"),
    TRAINING: ("stage",),
    EMBEDDINGS: (),
    COST: ("choice", "part", "metric", "mean", "seed", "extras"),
    RUNS: (),
}
"""Filters of each section."""
OF_BUNDLE = (TRAINING, EMBEDDINGS)
"""Sections about the bundle, not about the database."""
ALL_SEEDS = "all"
MEANS = {CASE: "Mean over cases", SESSION: "Mean over sessions"}
"""What metrics can be averaged over, in words."""
RECOMMENDERS = "recommenders"
"""Stands for the session recommenders among the training stages."""


@dataclass(frozen=True)
class View:
    """What a visitor looks at; `choice` is the key of a set of cases, `run` the id of a run."""

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
        """What the drawn section depends on; filters that do not apply are left out."""
        own = [getattr(self, name) for name in self.filters]
        return self.section, *own, *((self.run, self.shown) if self.section == RUNS else ())


@dataclass(frozen=True)
class Section:
    """A drawn section: HTML above, a plot if there is one, HTML below; `name` is for its downloads."""

    top: str
    figure: go.Figure | None = None
    bottom: str = ""
    name: str = ""


@dataclass(frozen=True)
class Options:
    """The options of each filter, as (words, value).

    Attributes:
        view: what is selected; values that are not offered are replaced by defaults.
    """

    view: View
    choices: list[tuple[str, str]]
    parts: list[tuple[str, str]]
    seeds: list[tuple[str, str]]
    kinds: list[tuple[str, str]]
    models: list[tuple[str, str]]
    stages: list[tuple[str, str]]
