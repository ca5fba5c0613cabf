"""The dashboard's sections about the results: one function each, from a view to HTML and a plot."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from app.dashboard import plots, tables, views
from app.dashboard.families import ORACLE
from app.dashboard.leaderboard_view import leaderboard, mark_note
from app.dashboard.slices import part_title
from app.dashboard.view import Section, View
from app.shell.evaluation import Evaluation
from app.shell.views import csv_link
from eval.metrics.averaging import SESSION
from eval.metrics.ranks import parse_metric
from eval.metrics.slices import KINDS
from eval.runs.results import HEADLINES
from eval.runs.slice_comparison import SliceComparison


def draw_leaderboard(view: View, evaluation: Evaluation) -> Iterator[Section | None]:
    """The models, best first, and their share of the oracle's figure.

    The table is drawn before its tests are computed. None means that nothing new is to be drawn.
    """
    metric, k = parse_metric(view.metric)
    rows = tables.leaderboard(evaluation, view.part, metric, k, extras=view.extras)
    subject = evaluation.subject if evaluation.subject in evaluation.by_name else ""
    others = [name for name in rows.model if name != subject] if subject else []
    plot = _oracle_shares(rows, view.metric)

    def drawn(marks: pd.DataFrame | None, done: int) -> Section:
        top = _leaderboard_table(view, evaluation, rows, marks, subject)
        text = mark_note(len(others), done=done if marks is None else None) if subject else ""
        top += views.note(text)
        if plot is None:
            return Section(top)
        return replace(plot, top=top + plot.top)

    missing = [name for name in others if not evaluation.is_compared(name, view.part, metric, k)]
    if missing:
        yield drawn(None, len(others) - len(missing))
    for done, other in enumerate(missing, len(others) - len(missing) + 1):
        evaluation.against([other], view.part, metric, k)
        yield drawn(None, done) if done % 6 == 0 else None
    yield drawn(tables.differences(evaluation.against(others, view.part, metric, k)), len(others))


def _leaderboard_table(
    view: View,
    evaluation: Evaluation,
    rows: pd.DataFrame,
    marks: pd.DataFrame | None,
    subject: str,
) -> Markup:
    metric, k = parse_metric(view.metric)
    runs = {name: own[0].id for name, own in evaluation.selection.runs.items()}
    download = rows
    if marks is not None:
        tests = marks.drop(columns="model").add_prefix("against_tpad_")
        download = rows.merge(tests, "left", left_on="model", right_index=True)
    title = f"{part_title(view.part)}: {int(rows.cases.iat[0]):,} cases"
    if evaluation.mean == SESSION:
        title += f", mean over {int(rows.sessions.iat[0]):,} sessions"
    return views.head(title, "", csv_link(download, "leaderboard")) + leaderboard(
        rows, metric, k, marks=marks, subject=subject, runs=runs
    )


def _oracle_shares(rows: pd.DataFrame, metric: str) -> Section | None:
    """The share of the oracle's figure that each model reaches; None without an oracle."""
    shares = rows[(rows.family != ORACLE) & rows.of_oracle.notna()]
    if shares.empty:
        return None
    shares = shares.rename(columns=lambda name: name.replace("of_oracle", "share"))
    shares = shares[["model", "title", "family", "share", "share_low", "share_high"]]
    heads = {"title": "Model", "share": "Share", "share_low": "From", "share_high": "To"}
    note = (
        "The oracle knows the rules by which the shop’s sessions are generated. Error bars are 95 % "
        "intervals."
    )
    return Section(
        views.head("Share of the oracle’s result", note),
        plots.bars(shares, f"{metric} as a share of the oracle’s"),
        views.data_table(shares, heads, "oracle-share", "Shares of the oracle's figure"),
        "oracle-share",
    )


def draw_warm_cold(view: View, evaluation: Evaluation) -> Section:
    """Every model by its results on warm and on cold targets."""
    metric, k = parse_metric(view.metric)
    table = tables.warm_cold(evaluation, metric, k, extras=view.extras)
    if table.empty:
        return Section(
            views.nothing(
                "One kind of target only.", "These cases do not have both warm and cold targets."
            )
        )
    counts = {part: int(evaluation.masks[part].sum()) for part in ("warm", "cold")}
    note = (
        f"Models on the right find items that were clicked in training ({counts['warm']:,} cases), "
        f"models at the top find items that nobody has clicked yet ({counts['cold']:,} cases). "
        "Error bars are 95 % intervals."
    )
    heads = {
        "title": "Model",
        "family": "Kind",
        "warm": "Warm",
        "warm_low": "From",
        "warm_high": "To",
        "cold": "Cold",
        "cold_low": "From ",
        "cold_high": "To ",
    }
    return Section(
        views.head("Warm against cold", note),
        plots.scatter(
            table,
            "warm",
            "cold",
            x_title=f"{view.metric} on warm targets",
            y_title=f"{view.metric} on cold targets",
        ),
        views.data_table(table, heads, "warm-cold", f"{view.metric} on warm and cold targets"),
        "warm-cold",
    )


def draw_by_slice(view: View, evaluation: Evaluation) -> Section:
    """Some models on the slices of a kind."""
    if not view.kind:
        return Section(
            views.nothing("No finer slices.", "The database has no slices that divide these cases.")
        )
    metric, k = parse_metric(view.metric)
    names = [name for name in view.models if name in evaluation.by_name]
    table, small = tables.by_slices(evaluation, view.kind, metric, k, names)
    if table.empty:
        return Section(views.nothing("Too few cases.", "Each of these slices is too small."))
    words = KINDS[view.kind]
    units = {"length": " (items)", "frequency": " (clicks)"}.get(view.kind, "")
    note = "Error bars are 95 % intervals."
    if small:
        note += f" Left out because they are too small: {', '.join(small)}."
    heads = {
        "bin": words.capitalize(),
        "title": "Model",
        "cases": "Cases",
        "mean": view.metric,
        "low": "From",
        "high": "To",
    }
    return Section(
        views.head(f"{view.metric} by {words}", note),
        plots.grouped(
            table,
            names,
            x_title=words + units,
            y_title=view.metric,
            ordered=view.kind in ("length", "frequency"),
        ),
        views.data_table(table, heads, f"by-{view.kind}", f"{view.metric} by {words}"),
        f"by-{view.kind}",
    )


def draw_ablations(view: View, evaluation: Evaluation) -> Iterator[Section]:
    """What each part of the method contributes; the progress while it is tested."""
    whole, names = tables.ablations(evaluation)
    if not names or whole not in evaluation.by_name:
        yield Section(
            views.nothing(
                "No ablation has been run on these cases.",
                "Train them with “python -m tpad ablate”, and evaluate them together with the method.",
            )
        )
        return
    found: list[SliceComparison] = []
    count = len(names) * len(HEADLINES)
    for metric, k in HEADLINES:
        for name in names:
            if not evaluation.is_compared(name, view.part, metric, k, whole):
                text = "Testing each ablation against the whole method"
                yield Section(views.progress(text, len(found), count))
            found.append(evaluation.against([name], view.part, metric, k, whole)[0])
    table = tables.ablation_table(tables.corrected_together(found))
    figures = ", ".join(
        f"{metric}@{k} {table[table.metric == metric].whole.iat[0]:.3f}" for metric, k in HEADLINES
    )
    note = (
        f"Each ablation minus the whole method ({figures}), {part_title(view.part).lower()}, "
        "means over seeds with 95 % intervals; left of zero, leaving the part out hurts. Filled "
        f"points differ with p below {tables.SIGNIFICANCE:g}: paired permutation test over sessions, "
        f"corrected by Holm’s method for the {count} tests of this plot."
    )
    heads = {
        "title": "Ablation",
        "metric": "Metric",
        "difference": "Difference",
        "low": "From",
        "high": "To",
        "p_corrected": "p (Holm)",
    }
    yield Section(
        views.head("What each part of the method contributes", note),
        plots.forest(table),
        views.data_table(table, heads, "ablations", "Ablations against the whole method"),
        "ablations",
    )


def draw_cost(view: View, evaluation: Evaluation) -> Section:
    """Every model by its fitting time and its quality."""
    metric, k = parse_metric(view.metric)
    table = tables.costs(evaluation, view.part, metric, k, extras=view.extras)
    table = table.rename(columns={"mean": "quality", "low": "quality_low", "high": "quality_high"})
    note = (
        "Seconds of fitting, including the search for settings, mean over runs; embeddings are not "
        f"included. Times below {tables.MIN_SECONDS:g} s are drawn at {tables.MIN_SECONDS:g} s."
    )
    heads = {
        "title": "Model",
        "family": "Kind",
        "fit_seconds": "Fitting (s)",
        "score_seconds": "Ranking all cases (s)",
        "quality": view.metric,
        "quality_low": "From",
        "quality_high": "To",
    }
    return Section(
        views.head("Cost against quality", note),
        plots.scatter(
            table,
            "fit_seconds",
            "quality",
            x_title="fitting (seconds)",
            y_title=f"{view.metric}, {part_title(view.part).lower()}",
            log=True,
        ),
        views.data_table(table, heads, "cost", "Seconds and quality of each model"),
        "cost",
    )
