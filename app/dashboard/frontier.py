"""The dashboard's section about unclicked items: the frontier, and how often and how well they are shown."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from app.dashboard import views
from app.dashboard.families import ORACLE, REFERENCE, family, shown_models
from app.dashboard.plot_style import apply_style
from app.dashboard.view import Section, View
from app.dashboard.views import Column
from app.shell.evaluation import Evaluation
from app.shell.figures import PALETTE, TRUTH
from app.shell.names import model_title
from app.shell.text import plot_text
from eval.models.naming import SUBJECT
from eval.reports.frontier_figure import frontier_figure
from eval.reports.unclicked import (
    chosen_points,
    frontier_frame,
    unclicked_frame,
    without_frontier,
)

READING = (
    "The further up and to the right a curve lies, the better its model serves known and new items at "
    "once. Along a curve, items that nobody has clicked yet are moved up the lists: from none of them "
    "(right) to nothing else (left). The marker is the model’s own choice; a model that knows items by "
    "their ids alone is a marker without a curve."
)
MISSING = (
    "The runs were evaluated by an earlier version, which did not store frontiers. Run “python -m eval run” again: "
    "each run then stores its frontier."
)


def draw_frontier(view: View, evaluation: Evaluation) -> Section:
    """What cold targets gain and warm targets lose as unclicked items are moved up, for some models."""
    if not {"warm", "cold"} <= set(evaluation.masks):
        return Section(
            views.nothing(
                "One kind of target only.", "These cases do not have both warm and cold targets."
            )
        )
    if not any(result.frontiers for result in evaluation.results):
        return Section(views.nothing("No frontier is stored with these runs.", MISSING))
    results = [evaluation.by_name[name] for name in view.models if name in evaluation.by_name]
    curves = frontier_frame(results)
    summary = _summary(evaluation)
    top = views.head("Frontier of warm and cold targets", READING)
    bottom = _table(summary) + views.note(_note(evaluation))
    if curves.empty:
        text = views.note("None of the chosen models has a frontier; choose others.")
        return Section(top + text, None, bottom)
    curves.insert(1, "title", curves.model.map(model_title))
    chosen = chosen_points(results, evaluation.masks, curves.model.unique().tolist())
    heads = {
        "title": "Model",
        "point": "Point",
        "warm": "P@20, warm",
        "cold": "P@20, cold",
        "share": "Share of new items",
    }
    bottom += views.data_table(curves, heads, "frontier", "Points of each frontier")
    return Section(top, _figure(curves, chosen), bottom, "frontier")


def _figure(curves: pd.DataFrame, chosen: pd.DataFrame) -> go.Figure:
    """The plot in the style of the dashboard; arguments as in `frontier_figure`."""
    curves = curves.assign(title=curves.title.map(plot_text))
    figure = frontier_figure(curves, chosen, TRUTH, PALETTE)
    apply_style(figure, 470, zoom=True)
    return figure


def _summary(evaluation: Evaluation) -> pd.DataFrame:
    """The metrics of unclicked items of each model, the largest area first."""
    names = shown_models(evaluation, extras=False)
    table = unclicked_frame([evaluation.by_name[name] for name in names])
    return table.assign(
        title=table.model.map(model_title),
        family=[family(name, evaluation.by_name[name].role) for name in table.model],
    ).sort_values("frontier_area", ascending=False, kind="stable", ignore_index=True)


def _table(summary: pd.DataFrame) -> Markup:
    columns = [
        Column("Model", lambda r: r.title, lambda r: r.title.lower(), style="w", down=False),
        _number(
            "Area",
            "frontier_area",
            "Share of the unit square below the curve; it does not depend on the model’s own choice",
            ".4f",
        ),
        _number("New in lists", "unclicked_share", "Share of new items in the lists of 20", ".1%"),
        _number("P@20, new only", "unclicked_P", "Of cold targets, if only new items are ranked"),
        _number(
            "MRR@20, new only", "unclicked_MRR", "Of cold targets, if only new items are ranked"
        ),
    ]
    return views.table(
        summary,
        columns,
        "unclicked",
        caption="How models treat items that nobody has clicked",
        sorted_by="Area",
        kind=_row_class,
    )


def _row_class(row: Any) -> str:
    if row.model == SUBJECT:
        return "tb-ours"
    return "tb-beyond" if row.family in (REFERENCE, ORACLE) else ""


def _number(head: str, name: str, note: str, form: str = ".3f") -> Column:
    def cell(row: Any) -> str:
        value = getattr(row, name)
        return "–" if pd.isna(value) else format(value, form)

    return Column(head, cell, lambda row: getattr(row, name), note)


def _note(evaluation: Evaluation) -> str:
    """What the table has, and which models have no frontier."""
    text = "Means over seeds. New items are those without clicks in training."
    imported = [one.name for one in evaluation.results if one.imported is not None]
    for names, why in (
        (without_frontier(evaluation.results), "evaluated by an earlier version; run it again"),
        (imported, "imported lists have no scores"),
    ):
        if names:
            text += f" No frontier of {_titles(names)}: {why}."
    return text


def _titles(names: Sequence[str]) -> str:
    return ", ".join(map(model_title, names))
