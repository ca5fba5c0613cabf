"""The sections of the dashboard about the results: one function each, from a view to what is drawn."""

from collections.abc import Iterator
from html import escape

import pandas as pd

from app.dashboard import plots, tables, views
from app.dashboard.view import Drawn, View
from app.shell.results import Outcome
from eval.metrics.averaging import SESSION
from eval.metrics.ranks import parse_metric
from eval.metrics.slices import KINDS
from eval.models.naming import SUBJECT
from eval.runs.results import HEADLINES
from eval.runs.slice_comparison import SliceComparison


def draw_leaderboard(view: View, outcome: Outcome) -> Iterator[Drawn | None]:
    """The models, the best first, and how near they come to the oracle.

    The table is there before its tests are made; None is nothing new.
    """
    metric, k = parse_metric(view.metric)
    rows = tables.leaderboard(outcome, view.part, metric, k, extras=view.extras)
    runs = {name: own[0].id for name, own in outcome.selection.runs.items()}
    subject = SUBJECT if SUBJECT in outcome.by_name else ""
    rivals = [name for name in rows.model if name != subject] if subject else []

    def drawn(marks: pd.DataFrame | None, done: int) -> Drawn:
        said = ""
        if subject:
            said = views.mark_note(len(rivals), testing=done if marks is None else None)
        whole = (
            rows
            if marks is None
            else rows.merge(
                marks.add_prefix("against_tpad_"), "left", left_on="model", right_index=True
            ).drop(columns="against_tpad_model")
        )
        title = f"{tables.part_title(view.part)}: {int(rows.cases.iat[0]):,} cases"
        if outcome.mean == SESSION:
            title += f", mean over {int(rows.sessions.iat[0]):,} sessions"
        top = (
            views.head(title, "", views.csv_link(whole, "leaderboard"))
            + views.leaderboard(rows, metric, k, marks=marks, subject=subject, runs=runs)
            + f'<p class="tb-note" role="status">{said}</p>'
        )
        shares = rows[(rows.family != tables.ORACLE) & rows.of_oracle.notna()]
        if shares.empty:
            return Drawn(top)
        shares = shares.rename(columns=lambda name: name.replace("of_oracle", "share"))
        shares = shares[["model", "title", "family", "share", "share_low", "share_high"]]
        heads = {"title": "Model", "share": "Share", "share_low": "From", "share_high": "To"}
        return Drawn(
            top
            + views.head(
                "Share of what the oracle reaches",
                "The oracle knows the law by which the shop’s sessions are made. Lines are 95 % "
                "intervals.",
            ),
            plots.bars(shares, f"{view.metric} as a share of the oracle’s"),
            views.data_table(shares, heads, "oracle-share", "Shares of the oracle's figure"),
            "oracle-share",
        )

    missing = [name for name in rivals if not outcome.tested(name, view.part, metric, k)]
    if missing:
        yield drawn(None, len(rivals) - len(missing))
    for done, rival in enumerate(missing, len(rivals) - len(missing) + 1):
        outcome.against([rival], view.part, metric, k)
        yield drawn(None, done) if done % 6 == 0 else None
    yield drawn(tables.differences(outcome.against(rivals, view.part, metric, k)), len(rivals))


def draw_warm_cold(view: View, outcome: Outcome) -> Drawn:
    """Every model by its figures on warm and on cold targets."""
    metric, k = parse_metric(view.metric)
    table = tables.warm_cold(outcome, metric, k, extras=view.extras)
    if table.empty:
        return Drawn(
            views.nothing(
                "One kind of targets only.", "These cases do not hold both warm and cold targets."
            )
        )
    counts = {part: int(outcome.masks[part].sum()) for part in ("warm", "cold")}
    note = (
        f"A model to the right finds items that were clicked in training ({counts['warm']:,} cases), "
        f"one at the top finds items that nobody clicked yet ({counts['cold']:,} cases). "
        "Lines are 95 % intervals."
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
    return Drawn(
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


def draw_by_slice(view: View, outcome: Outcome) -> Drawn:
    """Some models on the slices of a kind."""
    if not view.kind:
        return Drawn(
            views.nothing(
                "No finer slices.", "The database holds no slices that divide these cases."
            )
        )
    metric, k = parse_metric(view.metric)
    names = [name for name in view.models if name in outcome.by_name]
    table, small = tables.by_slices(outcome, view.kind, metric, k, names)
    if table.empty:
        return Drawn(views.nothing("Too few cases.", "Each of these slices is too small."))
    words = KINDS[view.kind]
    units = {"length": " (items)", "frequency": " (clicks)"}.get(view.kind, "")
    note = "Lines are 95 % intervals."
    if small:
        note += f" Left out as too small: {escape(', '.join(small))}."
    heads = {
        "bin": words.capitalize(),
        "title": "Model",
        "cases": "Cases",
        "mean": view.metric,
        "low": "From",
        "high": "To",
    }
    return Drawn(
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


def draw_ablations(view: View, outcome: Outcome) -> Iterator[Drawn]:
    """What each part of the method adds; progress while it is tested."""
    whole, names = tables.ablations(outcome)
    if not names or whole not in outcome.by_name:
        yield Drawn(
            views.nothing(
                "No ablation has been run on these cases.",
                "Train them by <code>python -m tpad ablate</code>, and evaluate them beside the method.",
            )
        )
        return
    found: list[SliceComparison] = []
    count = len(names) * len(HEADLINES)
    for metric, k in HEADLINES:
        for name in names:
            if not outcome.tested(name, view.part, metric, k, whole):
                text = "Testing each ablation against the whole method"
                yield Drawn(views.progress(text, len(found), count))
            found.append(outcome.against([name], view.part, metric, k, whole)[0])
    table = tables.ablation_table(tables.together(found))
    figures = ", ".join(
        f"{metric}@{k} {table[table.metric == metric].whole.iat[0]:.3f}" for metric, k in HEADLINES
    )
    note = (
        f"Each ablation less the whole method ({figures}), {tables.part_title(view.part).lower()}, "
        "means over seeds with 95 % intervals; left of zero, leaving the part out costs. Filled "
        f"points differ with p below {tables.SURE:g}: paired permutation test over sessions, "
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
    yield Drawn(
        views.head("What each part of the method adds", note),
        plots.forest(table),
        views.data_table(table, heads, "ablations", "Ablations against the whole method"),
        "ablations",
    )


def draw_cost(view: View, outcome: Outcome) -> Drawn:
    """Every model by the time of its fitting and its quality."""
    metric, k = parse_metric(view.metric)
    table = tables.costs(outcome, view.part, metric, k, extras=view.extras)
    table = table.rename(columns={"mean": "quality", "low": "quality_low", "high": "quality_high"})
    note = (
        "Seconds of fitting, the search for settings included, mean over runs; embeddings are not "
        f"part of it. Less than {tables.SHORTEST:g} s is drawn at {tables.SHORTEST:g} s."
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
    return Drawn(
        views.head("Cost against quality", note),
        plots.scatter(
            table,
            "fit_seconds",
            "quality",
            x_title="fitting (seconds)",
            y_title=f"{view.metric}, {tables.part_title(view.part).lower()}",
            log=True,
        ),
        views.data_table(table, heads, "cost", "Seconds and quality of each model"),
        "cost",
    )
