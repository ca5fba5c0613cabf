"""What each section of the dashboard draws, from what the visitor has chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TypeVar

import pandas as pd
import plotly.graph_objects as go

from app import board, board_figures, board_views
from app.actions import Shop
from app.board_quality import CATEGORY_NEIGHBOURS, NEXT_NEIGHBOURS, Quality
from app.board_runs import draw_run, draw_runs
from app.names import model_title
from app.results import Choice, Outcome, Results
from eval.metrics import parse_metric
from eval.names import SUBJECT
from eval.protocol import SLICES
from eval.results import HEADLINES
from eval.rivals import Contest
from eval.slices import KINDS

LEADERBOARD, WARM_COLD, BY_SLICE, ABLATIONS, TRAINING, EMBEDDINGS, COST, RUNS = (
    "leaderboard", "warm-cold", "slices", "ablations", "training", "embeddings", "cost", "runs",
)  # fmt: skip
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
    LEADERBOARD: ("choice", "part", "metric", "seed", "extras"),
    WARM_COLD: ("choice", "metric", "seed", "extras"),
    BY_SLICE: ("choice", "kind", "metric", "seed", "models"),
    ABLATIONS: ("choice", "part"),
    TRAINING: ("stage",),
    EMBEDDINGS: (),
    COST: ("choice", "part", "metric", "seed", "extras"),
    RUNS: (),
}
"""Filters that a section has."""
OF_BUNDLE = (TRAINING, EMBEDDINGS)
"""Sections about the bundle rather than the database."""
TRAINING_LOG = "training.jsonl"
ALL_SEEDS = "all"
RECOMMENDERS = "recommenders"
"""The stage that stands for the session recommenders over each embedding set."""


Value = TypeVar("Value")


@dataclass(frozen=True)
class View:
    """What a visitor has chosen; `choice` is the key of a set of cases, `run` the id of a run."""

    section: str = LEADERBOARD
    choice: str = ""
    part: str = "all"
    metric: str = board.DEFAULT_METRIC
    seed: str = ALL_SEEDS
    extras: bool = False
    kind: str = ""
    models: tuple[str, ...] = ()
    stage: str = RECOMMENDERS
    run: str = ""
    shown: int = 50

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the filters that apply."""
        return ("part",) if self.section == RUNS and self.run else FILTERS[self.section]


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
            log = board.read_stages(self.bundle.path / TRAINING_LOG)
            stages += [(f"Stage {stage}", stage) for stage in dict.fromkeys(log.stage)]
        view = replace(view, stage=_offered(view.stage, stages))
        if view.section in OF_BUNDLE or not view.choice:
            return Offer(view, _titled(choices), [], [], [], [], stages), None
        outcome = self.results.outcome(view.choice)
        parts = board.part_choices(outcome, main=view.section == ABLATIONS)
        if view.section == ABLATIONS:
            parts = [(words, part) for words, part in parts if part in SLICES]
        seeds = [("All seeds", ALL_SEEDS)]
        seeds += [(f"Seed {seed}", str(seed)) for seed in outcome.seeds]
        kinds = board.kinds_of(outcome)
        models = [(model_title(name), name) for name in outcome.by_name]
        named = tuple(name for name in view.models if name in outcome.by_name)
        view = replace(
            view,
            part=_offered(view.part, parts),
            seed=_offered(view.seed, seeds),
            kind=_offered(view.kind, kinds) if kinds else "",
            models=named[: board.HANDFUL] or tuple(board.handful(outcome)),
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
        elif view.section == RUNS:
            yield Drawn(draw_runs(self.results, view.shown))
        elif view.section == TRAINING:
            yield self._training(view)
        elif view.section == EMBEDDINGS:
            yield from self._embeddings()
        elif outcome is None:
            yield Drawn(_no_runs())
        else:
            yield from self._of_results(view, outcome)

    def _choices(self, view: View) -> list[Choice]:
        choices = self.results.choices()
        if view.section == RUNS and view.run:
            cases = self.results.run(view.run).cases
            choices = [choice for choice in choices if choice.key == cases]
        return choices

    def _of_results(self, view: View, outcome: Outcome) -> Iterator[Drawn | None]:
        if view.section == ABLATIONS:
            yield from _ablations(view, outcome)
            return
        if view.seed != ALL_SEEDS:
            outcome = outcome.only(int(view.seed))
        if view.section == LEADERBOARD:
            yield from _leaderboard(view, outcome)
        elif view.section == WARM_COLD:
            yield _warm_cold(view, outcome)
        elif view.section == BY_SLICE:
            yield _by_slice(view, outcome)
        else:
            yield _cost(view, outcome)

    def _training(self, view: View) -> Drawn:
        if view.stage != RECOMMENDERS:
            log = board.read_stages(self.bundle.path / TRAINING_LOG)
            own = log[log.stage == view.stage]
            heads = {"epoch": "Epoch", "quantity": "What", "value": "Value"}
            return Drawn(
                board_views.head(
                    f"Stage {view.stage}", "What the training wrote after each epoch."
                ),
                board_figures.stage_curves(log, view.stage),
                board_views.data_table(own, heads, "training-stage", "Numbers of each epoch"),
                "training-stage",
            )
        curves = board.epochs(self.bundle.recommenders, self.shop.titles)
        if curves.empty:
            return Drawn(
                board_views.nothing("Nothing was recorded.", "The bundle tells no epochs.")
            )
        note = (
            "One session recommender is trained over each embedding set, with the same settings. "
            "It keeps the epoch with the best MRR@20 on validation sessions."
        )
        heads = {"title": "Embedding set", "epoch": "Epoch", "validation": "MRR@20 on validation",
                 "loss": "Training loss (nats)"}  # fmt: skip
        return Drawn(
            board_views.head("Training of the recommenders", note),
            board_figures.curves(curves),
            board_views.data_table(curves, heads, "training", "Training, epoch by epoch"),
            "training",
        )

    def _embeddings(self) -> Iterator[Drawn]:
        sets = self.bundle.sets
        for done, name in enumerate(sets):
            if not self.quality.has(name):
                text = f"Measuring {self.shop.titles.get(name, name)}"
                yield Drawn(board_views.progress(text, done, len(sets)))
                self.quality.measure(name)
        table = self.quality.table()
        note = (
            f"Of the embeddings alone, before any recommender: how many of an item’s "
            f"{CATEGORY_NEIGHBOURS} nearest neighbours (by cosine) are of its category; how often "
            f"the next item of a test session is among the {NEXT_NEIGHBOURS} nearest of the present "
            "one; and the effective rank, the number of directions in which the vectors spread."
        )
        heads = {"title": "Embedding set", "dimensions": "Dimensions",
                 "effective_rank": "Effective rank", "same_category": "Same category",
                 "next_warm": "Next is near, warm", "next_cold": "Next is near, cold"}  # fmt: skip
        yield Drawn(
            board_views.head("Quality of the embedding sets", note),
            board_figures.quality(table),
            board_views.data_table(table, heads, "embeddings", "Measures of each embedding set"),
            "embeddings",
        )


def _leaderboard(view: View, outcome: Outcome) -> Iterator[Drawn | None]:
    metric, k = parse_metric(view.metric)
    rows = board.leaderboard(outcome, view.part, metric, k, extras=view.extras)
    runs = {name: own[0].id for name, own in outcome.selection.runs.items()}
    subject = SUBJECT if SUBJECT in outcome.by_name else ""
    rivals = [name for name in rows.model if name != subject] if subject else []

    def drawn(marks: pd.DataFrame | None, done: int) -> Drawn:
        said = ""
        if subject:
            said = board_views.mark_note(len(rivals), testing=done if marks is None else None)
        whole = rows if marks is None else rows.merge(
            marks.add_prefix("against_tpad_"), "left", left_on="model", right_index=True
        ).drop(columns="against_tpad_model")  # fmt: skip
        title = f"{board.part_title(view.part)}: {int(rows.cases.iat[0]):,} cases"
        top = (
            board_views.head(title, "", board_views.csv_link(whole, "leaderboard"))
            + board_views.leaderboard(rows, metric, k, marks=marks, subject=subject, runs=runs)
            + f'<p class="tb-note" role="status">{said}</p>'
        )
        shares = rows[(rows.family != board.ORACLE) & rows.of_oracle.notna()]
        if shares.empty:
            return Drawn(top)
        shares = shares.rename(columns=lambda name: name.replace("of_oracle", "share"))
        shares = shares[["model", "title", "family", "share", "share_low", "share_high"]]
        heads = {"title": "Model", "share": "Share", "share_low": "From", "share_high": "To"}
        return Drawn(
            top + board_views.head(
                "Share of what the oracle reaches",
                "The oracle knows the law by which the shop’s sessions are made. Lines are 95 % "
                "intervals."),
            board_figures.bars(shares, f"{view.metric} as a share of the oracle’s"),
            board_views.data_table(shares, heads, "oracle-share", "Shares of the oracle's figure"),
            "oracle-share",
        )  # fmt: skip

    if not rivals:
        yield drawn(board.differences([]), 0)
        return
    yield drawn(None, 0)
    for done, rival in enumerate(rivals, 1):
        outcome.against([rival], view.part, metric, k)
        yield drawn(None, done) if done % 6 == 0 else None
    yield drawn(board.differences(outcome.against(rivals, view.part, metric, k)), len(rivals))


def _warm_cold(view: View, outcome: Outcome) -> Drawn:
    metric, k = parse_metric(view.metric)
    table = board.warm_cold(outcome, metric, k, extras=view.extras)
    if table.empty:
        return Drawn(board_views.nothing(
            "One kind of targets only.", "These cases do not hold both warm and cold targets."
        ))  # fmt: skip
    counts = {part: int(outcome.masks[part].sum()) for part in ("warm", "cold")}
    note = (
        f"A model to the right finds items that were clicked in training ({counts['warm']:,} cases), "
        f"one at the top finds items that nobody clicked yet ({counts['cold']:,} cases). "
        "Lines are 95 % intervals."
    )
    heads = {"title": "Model", "family": "Kind", "warm": "Warm", "warm_low": "From",
             "warm_high": "To", "cold": "Cold", "cold_low": "From ", "cold_high": "To "}  # fmt: skip
    return Drawn(
        board_views.head("Warm against cold", note),
        board_figures.scatter(table, "warm", "cold", x_title=f"{view.metric} on warm targets",
                              y_title=f"{view.metric} on cold targets"),
        board_views.data_table(table, heads, "warm-cold", f"{view.metric} on warm and cold targets"),
        "warm-cold",
    )  # fmt: skip


def _by_slice(view: View, outcome: Outcome) -> Drawn:
    if not view.kind:
        return Drawn(board_views.nothing(
            "No finer slices.", "The database holds no slices that divide these cases."
        ))  # fmt: skip
    metric, k = parse_metric(view.metric)
    names = [name for name in view.models if name in outcome.by_name]
    table, small = board.by_slices(outcome, view.kind, metric, k, names)
    if table.empty:
        return Drawn(board_views.nothing("Too few cases.", "Each of these slices is too small."))
    words = KINDS[view.kind]
    units = {"length": " (items)", "frequency": " (clicks)"}.get(view.kind, "")
    note = "Lines are 95 % intervals."
    if small:
        note += f" Left out as too small: {escape(', '.join(small))}."
    heads = {"bin": words.capitalize(), "title": "Model", "cases": "Cases", "mean": view.metric,
             "low": "From", "high": "To"}  # fmt: skip
    return Drawn(
        board_views.head(f"{view.metric} by {words}", note),
        board_figures.grouped(table, names, x_title=words + units, y_title=view.metric,
                              ordered=view.kind in ("length", "frequency")),
        board_views.data_table(table, heads, f"by-{view.kind}", f"{view.metric} by {words}"),
        f"by-{view.kind}",
    )  # fmt: skip


def _ablations(view: View, outcome: Outcome) -> Iterator[Drawn]:
    whole, names = board.ablations(outcome)
    if not names or whole not in outcome.by_name:
        yield Drawn(board_views.nothing(
            "No ablation has been run on these cases.",
            "Train them by <code>python -m tpad ablate</code>, and evaluate them beside the method.",
        ))  # fmt: skip
        return
    found: list[Contest] = []
    count = len(names) * len(HEADLINES)
    for metric, k in HEADLINES:
        for name in names:
            found.append(outcome.against([name], view.part, metric, k, whole)[0])
            if len(found) < count:
                text = "Testing each ablation against the whole method"
                yield Drawn(board_views.progress(text, len(found), count))
    table = board.ablation_table(board.together(found))
    figures = ", ".join(
        f"{metric}@{k} {table[table.metric == metric].whole.iat[0]:.3f}" for metric, k in HEADLINES
    )
    note = (
        f"Each ablation less the whole method ({figures}), {board.part_title(view.part).lower()}, "
        "means over seeds with 95 % intervals; left of zero, leaving the part out costs. Filled "
        f"points differ with p below {board.SURE:g}: paired permutation test over sessions, "
        f"corrected by Holm’s method for the {count} tests of this plot."
    )
    heads = {"title": "Ablation", "metric": "Metric", "difference": "Difference", "low": "From",
             "high": "To", "p_corrected": "p (Holm)"}  # fmt: skip
    yield Drawn(
        board_views.head("What each part of the method adds", note),
        board_figures.forest(table),
        board_views.data_table(table, heads, "ablations", "Ablations against the whole method"),
        "ablations",
    )


def _cost(view: View, outcome: Outcome) -> Drawn:
    metric, k = parse_metric(view.metric)
    table = board.costs(outcome, view.part, metric, k, extras=view.extras)
    table = table.rename(columns={"mean": "quality", "low": "quality_low", "high": "quality_high"})
    note = (
        "Seconds of fitting, the search for settings included, mean over runs; embeddings are not "
        f"part of it. Less than {board.SHORTEST:g} s is drawn at {board.SHORTEST:g} s."
    )
    heads = {"title": "Model", "family": "Kind", "fit_seconds": "Fitting (s)",
             "score_seconds": "Ranking all cases (s)", "quality": view.metric,
             "quality_low": "From", "quality_high": "To"}  # fmt: skip
    return Drawn(
        board_views.head("Cost against quality", note),
        board_figures.scatter(table, "fit_seconds", "quality", x_title="fitting (seconds)",
                              y_title=f"{view.metric}, {board.part_title(view.part).lower()}",
                              log=True),
        board_views.data_table(table, heads, "cost", "Seconds and quality of each model"),
        "cost",
    )  # fmt: skip


def _no_runs() -> str:
    return board_views.nothing(
        "No finished run yet.",
        "Runs appear here by themselves as soon as they are done: "
        "<code>python -m eval run --bundle … --database …</code>",
    )


def _titled(choices: Sequence[Choice]) -> list[tuple[str, str]]:
    return [(choice.title, choice.key) for choice in choices]


def _offered(value: Value, offered: Sequence[tuple[str, Value]]) -> Value:
    values = [one for _, one in offered]
    return value if value in values else values[0]
