"""The sections of the dashboard: what can be selected in each, and what it draws."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from app.dashboard import training_plots, views
from app.dashboard.families import MAX_MODELS, suggested_models
from app.dashboard.frontier import draw_frontier
from app.dashboard.quality import CATEGORY_NEIGHBOURS, NEXT_NEIGHBOURS, Quality
from app.dashboard.result_sections import (
    draw_ablations,
    draw_by_slice,
    draw_cost,
    draw_leaderboard,
    draw_warm_cold,
)
from app.dashboard.run_sections import draw_run, draw_runs
from app.dashboard.slices import kind_choices, part_choices
from app.dashboard.training_log import epochs, read_stages
from app.dashboard.view import (
    ABLATIONS,
    ALL_SEEDS,
    BY_SLICE,
    EMBEDDINGS,
    FRONTIER,
    LEADERBOARD,
    OF_BUNDLE,
    RECOMMENDERS,
    RUNS,
    TRAINING,
    WARM_COLD,
    Options,
    Section,
    View,
)
from app.shell.evaluation import Evaluation
from app.shell.names import model_title
from app.shell.no_results import no_results
from app.shell.results import CaseSet, Results
from app.shell.shop import Shop
from eval.protocol import SLICES

TRAINING_LOG = "training.jsonl"
Value = TypeVar("Value")


class Sections:
    """Draws the sections of the dashboard.

    Args:
        shop: the open bundle.
        results: its database.
    """

    def __init__(self, shop: Shop, results: Results) -> None:
        self.shop, self.results = shop, results
        self.bundle = shop.recommender.bundle
        self.quality = Quality(self.bundle, shop.titles)

    def options(self, view: View) -> tuple[Options, Evaluation | None]:
        """The options of the filters, and the evaluation that `view` is about, if there is one.

        Raises:
            DataError: the database cannot be read.
        """
        sets = self._case_sets(view)
        keys = [one.key for one in sets]
        view = replace(view, choice=view.choice if view.choice in keys else (keys or [""])[0])
        stages = [("Session recommenders", RECOMMENDERS)]
        if view.section == TRAINING:
            log = read_stages(self.bundle.path / TRAINING_LOG)
            stages += [(f"Stage {stage}", stage) for stage in dict.fromkeys(log.stage)]
        view = replace(view, stage=_valid(view.stage, stages))
        if view.section in OF_BUNDLE or not view.choice:
            return Options(view, _titled(sets), [], [], [], [], stages), None
        evaluation = self.results.evaluation(view.choice)
        parts = part_choices(evaluation, main=view.section == ABLATIONS)
        if view.section == ABLATIONS:
            parts = [(words, part) for words, part in parts if part in SLICES]
        seeds = [("All seeds", ALL_SEEDS)]
        seeds += [(f"Seed {seed}", str(seed)) for seed in evaluation.seeds]
        kinds = kind_choices(evaluation)
        models = [(model_title(name), name) for name in evaluation.by_name]
        named = tuple(name for name in view.models if name in evaluation.by_name)
        view = replace(
            view,
            part=_valid(view.part, parts),
            seed=_valid(view.seed, seeds),
            kind=_valid(view.kind, kinds) if kinds else "",
            models=named[:MAX_MODELS] or tuple(suggested_models(evaluation)),
        )
        return Options(view, _titled(sets), parts, seeds, kinds, models, stages), evaluation

    def draw(self, view: View, evaluation: Evaluation | None) -> Iterator[Section | None]:
        """The section; first, perhaps, without the parts that take long.

        None means that nothing new is to be drawn: the caller can stop there.

        Args:
            view: as `options` returns it.
            evaluation: the runs that it is about.

        Raises:
            TpadError: something cannot be read.
        """
        if view.section == RUNS and view.run:
            yield Section(draw_run(self.shop, self.results, evaluation, view.run, view.part))
        elif view.section == RUNS and not self.results.runs():
            yield Section(no_results(self.shop))
        elif view.section == RUNS:
            yield Section(draw_runs(self.results, view.shown))
        elif view.section == TRAINING:
            yield self._training(view)
        elif view.section == EMBEDDINGS:
            yield from self._embeddings()
        elif evaluation is None:
            yield Section(no_results(self.shop))
        else:
            yield from self._of_results(view, evaluation)

    def _case_sets(self, view: View) -> list[CaseSet]:
        found = self.results.case_sets()
        if view.section == RUNS and view.run:
            cases = self.results.run(view.run).cases
            found = [one for one in found if one.key == cases]
        return found

    def _of_results(self, view: View, evaluation: Evaluation) -> Iterator[Section | None]:
        if view.section == FRONTIER:
            yield draw_frontier(view, evaluation)
            return
        evaluation = evaluation.averaged_over(view.mean)
        if view.section == ABLATIONS:
            yield from draw_ablations(view, evaluation)
            return
        if view.seed != ALL_SEEDS:
            evaluation = evaluation.of_seed(int(view.seed))
        if view.section == LEADERBOARD:
            yield from draw_leaderboard(view, evaluation)
        elif view.section == WARM_COLD:
            yield draw_warm_cold(view, evaluation)
        elif view.section == BY_SLICE:
            yield draw_by_slice(view, evaluation)
        else:
            yield draw_cost(view, evaluation)

    def _training(self, view: View) -> Section:
        if view.stage != RECOMMENDERS:
            return self._stage(view.stage)
        curves = epochs(self.bundle.recommenders, self.shop.titles)
        if curves.empty:
            return Section(views.nothing("Nothing was recorded.", "The bundle has no epochs."))
        note = (
            "One session recommender is trained on each embedding set, with the same settings. "
            "The epoch with the best MRR@20 on validation sessions is kept."
        )
        heads = {
            "title": "Embedding set",
            "epoch": "Epoch",
            "validation": "MRR@20 on validation",
            "loss": "Training loss (nats)",
        }
        return Section(
            views.head("Training of the recommenders", note),
            training_plots.curves(curves),
            views.data_table(curves, heads, "training", "Training, epoch by epoch"),
            "training",
        )

    def _stage(self, stage: str) -> Section:
        log = read_stages(self.bundle.path / TRAINING_LOG)
        heads = {"epoch": "Epoch", "quantity": "Quantity", "value": "Value"}
        own = log[log.stage == stage]
        return Section(
            views.head(f"Stage {stage}", "What the training logged after each epoch."),
            training_plots.stage_curves(log, stage),
            views.data_table(own, heads, "training-stage", "Values of each epoch"),
            "training-stage",
        )

    def _embeddings(self) -> Iterator[Section]:
        sets = self.bundle.sets
        for done, name in enumerate(sets):
            if not self.quality.has(name):
                text = f"Measuring {self.shop.titles.get(name, name)}"
                yield Section(views.progress(text, done, len(sets)))
                self.quality.measure(name)
        table = self.quality.table()
        note = (
            "Quality of the embeddings alone, without a recommender: the share of an item’s "
            f"{CATEGORY_NEIGHBOURS} nearest neighbours (by cosine) in its category; how often the "
            f"next item of a test session is among the {NEXT_NEIGHBOURS} nearest of the current "
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
        yield Section(
            views.head("Quality of the embedding sets", note),
            training_plots.quality(table),
            views.data_table(table, heads, "embeddings", "Measures of each embedding set"),
            "embeddings",
        )


def _titled(sets: Sequence[CaseSet]) -> list[tuple[str, str]]:
    return [(one.title, one.key) for one in sets]


def _valid(value: Value, options: Sequence[tuple[str, Value]]) -> Value:
    values = [one for _, one in options]
    return value if value in values else values[0]
