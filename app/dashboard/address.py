"""The dashboard's part of the page's address."""

from collections.abc import Mapping

from app.dashboard.tables import DEFAULT_METRIC, METRICS
from app.dashboard.view import ALL_SEEDS, LEADERBOARD, MEANS, RECOMMENDERS, SECTIONS, View
from app.shell.address_fields import one_of
from eval.metrics.averaging import CASE

KEYS = {
    "choice": "of",
    "part": "part",
    "kind": "kind",
    "metric": "metric",
    "seed": "seed",
    "models": "models",
    "stage": "stage",
    "extras": "extras",
    "mean": "mean",
}
"""Name of a filter -> its key in the query."""
DEFAULTS = {
    "choice": "",
    "part": "all",
    "kind": "",
    "metric": DEFAULT_METRIC,
    "seed": ALL_SEEDS,
    "models": "",
    "stage": RECOMMENDERS,
    "extras": "0",
    "mean": CASE,
}


def view_of(values: Mapping[str, str]) -> View:
    """The view that a query asks for; the dashboard replaces what it does not offer."""
    return View(
        section=one_of(list(SECTIONS), values.get("section", LEADERBOARD)),
        choice=values.get("of", ""),
        part=values.get("part", "all"),
        metric=one_of([DEFAULT_METRIC, *METRICS], values.get("metric", "")),
        seed=values.get("seed", ALL_SEEDS),
        extras=values.get("extras") == "1",
        kind=values.get("kind", ""),
        models=tuple(name for name in values.get("models", "").split(",") if name),
        stage=values.get("stage", RECOMMENDERS),
        run=values.get("run", ""),
        mean=one_of(list(MEANS), values.get("mean", CASE)),
    )
