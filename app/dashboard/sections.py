"""The sections of the dashboard: what can be chosen in each, and what it draws."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from app.dashboard import plots, tables, views
from app.dashboard.quality import CATEGORY_NEIGHBOURS, NEXT_NEIGHBOURS, Quality
from app.dashboard.results import (
    draw_ablations,
    draw_by_slice,
    draw_cost,
    draw_leaderboard,
    draw_warm_cold,
)
from app.dashboard.runs import draw_run, draw_runs
from app.dashboard.view import (
    ABLATIONS,
    ALL_SEEDS,
    BY_SLICE,
    EMBEDDINGS,
    LEADERBOARD,
    OF_BUNDLE,
    RECOMMENDERS,
    RUNS,
    TRAINING,
    WARM_COLD,
    Drawn,
    Offer,
    View,
)
from app.shell.actions import Shop
from app.shell.names import model_title
from app.shell.no_results import no_results
from app.shell.results import Choice, Outcome, Results
from eval.protocol import SLICES

TRAINING_LOG = "training.jsonl"
Value = TypeVar("Value")


class Board:
    """The dashboard's data.

    Args:
        shop: what the app shows.
        results: its database.
    """

    def __init__(self, shop: Shop, results: Results) -> None:
        self.shop, self.results = shop, results
        self.bundle = shop.recommender.bundle
        self.quality = Quality(self.bundle, shop.titles)

    def offer(self, view: View) -> tuple[Offer, Outcome | None]:
        """What can be chosen, and the results that `view` is about; None if there are none.

        Raises:
            DataError: the database cannot be read.
        """
        choices = self._choices(view)
        keys = [choice.key for choice in choices]
        view = replace(view, choice=view.choice if view.choice in keys else (keys or [""])[0])
        stages = [("Session recommenders", RECOMMENDERS)]
        if view.section == TRAINING:
            log = tables.read_stages(self.bundle.path / TRAINING_LOG)
            stages += [(f"Stage {stage}", stage) for stage in dict.fromkeys(log.stage)]
        view = replace(view, stage=_offered(view.stage, stages))
        if view.section in OF_BUNDLE or not view.choice:
            return Offer(view, _titled(choices), [], [], [], [], stages), None
        outcome = self.results.outcome(view.choice)
        parts = tables.part_choices(outcome, main=view.section == ABLATIONS)
        if view.section == ABLATIONS:
            parts = [(words, part) for words, part in parts if part in SLICES]
        seeds = [("All seeds", ALL_SEEDS)]
        seeds += [(f"Seed {seed}", str(seed)) for seed in outcome.seeds]
        kinds = tables.kinds_of(outcome)
        models = [(model_title(name), name) for name in outcome.by_name]
        named = tuple(name for name in view.models if name in outcome.by_name)
        view = replace(
            view,
            part=_offered(view.part, parts),
            seed=_offered(view.seed, seeds),
            kind=_offered(view.kind, kinds) if kinds else "",
            models=named[: tables.HANDFUL] or tuple(tables.handful(outcome)),
        )
        return Offer(view, _titled(choices), parts, seeds, kinds, models, stages), outcome

    def draw(self, view: View, outcome: Outcome | None) -> Iterator[Drawn | None]:
        """The section, at first perhaps without what takes long.

        None is nothing new: it is where a visitor who has gone on need not be waited for.

        Args:
            view: as `offer` gives it.
            outcome: the results that it is about.

        Raises:
            TpadError: something cannot be read.
        """
        if view.section == RUNS and view.run:
            yield Drawn(draw_run(self.shop, self.results, outcome, view.run, view.part))
        elif view.section == RUNS and not self.results.runs():
            yield Drawn(no_results(self.shop))
        elif view.section == RUNS:
            yield Drawn(draw_runs(self.results, view.shown))
        elif view.section == TRAINING:
            yield self._training(view)
        elif view.section == EMBEDDINGS:
            yield from self._embeddings()
        elif outcome is None:
            yield Drawn(no_results(self.shop))
        else:
            yield from self._of_results(view, outcome)

    def _choices(self, view: View) -> list[Choice]:
        choices = self.results.choices()
        if view.section == RUNS and view.run:
            cases = self.results.run(view.run).cases
            choices = [choice for choice in choices if choice.key == cases]
        return choices

    def _of_results(self, view: View, outcome: Outcome) -> Iterator[Drawn | None]:
        outcome = outcome.averaged_over(view.mean)
        if view.section == ABLATIONS:
            yield from draw_ablations(view, outcome)
            return
        if view.seed != ALL_SEEDS:
            outcome = outcome.only(int(view.seed))
        if view.section == LEADERBOARD:
            yield from draw_leaderboard(view, outcome)
        elif view.section == WARM_COLD:
            yield draw_warm_cold(view, outcome)
        elif view.section == BY_SLICE:
            yield draw_by_slice(view, outcome)
        else:
            yield draw_cost(view, outcome)

    def _training(self, view: View) -> Drawn:
        if view.stage != RECOMMENDERS:
            log = tables.read_stages(self.bundle.path / TRAINING_LOG)
            own = log[log.stage == view.stage]
            heads = {"epoch": "Epoch", "quantity": "What", "value": "Value"}
            return Drawn(
                views.head(f"Stage {view.stage}", "What the training wrote after each epoch."),
                plots.stage_curves(log, view.stage),
                views.data_table(own, heads, "training-stage", "Numbers of each epoch"),
                "training-stage",
            )
        curves = tables.epochs(self.bundle.recommenders, self.shop.titles)
        if curves.empty:
            return Drawn(views.nothing("Nothing was recorded.", "The bundle tells no epochs."))
        note = (
            "One session recommender is trained over each embedding set, with the same settings. "
            "It keeps the epoch with the best MRR@20 on validation sessions."
        )
        heads = {
            "title": "Embedding set",
            "epoch": "Epoch",
            "validation": "MRR@20 on validation",
            "loss": "Training loss (nats)",
        }
        return Drawn(
            views.head("Training of the recommenders", note),
            plots.curves(curves),
            views.data_table(curves, heads, "training", "Training, epoch by epoch"),
            "training",
        )

    def _embeddings(self) -> Iterator[Drawn]:
        sets = self.bundle.sets
        for done, name in enumerate(sets):
            if not self.quality.has(name):
                text = f"Measuring {self.shop.titles.get(name, name)}"
                yield Drawn(views.progress(text, done, len(sets)))
                self.quality.measure(name)
        table = self.quality.table()
        note = (
            f"Of the embeddings alone, before any recommender: how many of an item’s "
            f"{CATEGORY_NEIGHBOURS} nearest neighbours (by cosine) are of its category; how often "
            f"the next item of a test session is among the {NEXT_NEIGHBOURS} nearest of the present "
            "one; and the effective rank, the number of directions in which the vectors spread."
        )
        heads = {
            "title": "Embedding set",
            "dimensions": "Dimensions",
            "effective_rank": "Effective rank",
            "same_category": "Same category",
            "next_warm": "Next is near, warm",
            "next_cold": "Next is near, cold",
        }
        yield Drawn(
            views.head("Quality of the embedding sets", note),
            plots.quality(table),
            views.data_table(table, heads, "embeddings", "Measures of each embedding set"),
            "embeddings",
        )


def _titled(choices: Sequence[Choice]) -> list[tuple[str, str]]:
    return [(choice.title, choice.key) for choice in choices]


def _offered(value: Value, offered: Sequence[tuple[str, Value]]) -> Value:
    values = [one for _, one in offered]
    return value if value in values else values[0]
