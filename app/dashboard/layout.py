"""The components of the dashboard, and the values of its filters."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from app.dashboard import tables
from app.dashboard.families import MAX_MODELS
from app.dashboard.latest_request import LatestRequest
from app.dashboard.plot_style import plot_json
from app.dashboard.view import (
    ALL_SEEDS,
    LEADERBOARD,
    MEANS,
    RECOMMENDERS,
    SECTIONS,
    Options,
    Section,
    View,
)
from app.dashboard.views import skeleton
from app.shell.address_fields import AddressRequest
from app.shell.events import html
from app.shell.menu import Menu
from app.shell.static_files import script
from eval.metrics.averaging import CASE

FILTER_NAMES = ("choice", "part", "kind", "metric", "seed", "models", "stage", "extras", "mean")
"""The filters in the order of all lists of them."""


@dataclass(frozen=True)
class Filters:
    """The controls above a section, named as in `View`."""

    choice: gr.Dropdown
    part: gr.Dropdown
    kind: gr.Dropdown
    metric: gr.Dropdown
    seed: gr.Dropdown
    models: gr.Dropdown
    stage: gr.Dropdown
    extras: gr.Checkbox
    mean: gr.Dropdown

    @property
    def all(self) -> list[Any]:
        """The controls in the order of `FILTER_NAMES`."""
        return [getattr(self, name) for name in FILTER_NAMES]


@dataclass(frozen=True)
class Layout:
    """All components of the dashboard.

    Attributes:
        section, filters: what is looked at.
        top, plot, bottom: the drawn section.
        case: (fingerprint of the cases, number of the case) that the visitor opens.
        place: the open run, and the number of runs in the list.
        request: the `AddressRequest` to follow next.
        stamp: changes when the database does.
        latest: the visitor's latest request.
        timer: looks at the database again.
    """

    section: gr.Radio
    filters: Filters
    top: gr.HTML
    plot: gr.Plot
    bottom: gr.HTML
    case: gr.State
    place: gr.State
    request: gr.State
    stamp: gr.State
    latest: gr.State
    timer: gr.Timer

    @property
    def outputs(self) -> list[Any]:
        """What a drawn section sets."""
        return [*self.filters.all, self.top, self.plot, self.bottom]


def lay_out(seconds: float) -> Layout:
    """All components, before anything is drawn.

    Args:
        seconds: between two looks at the database.
    """
    section = gr.Radio(
        [(title, name) for name, title in SECTIONS.items()],
        value=LEADERBOARD,
        label="Section",
        show_label=False,
        container=False,
        elem_id="dashboard-section",
        elem_classes="tp-pills tb-sections",
    )
    filters = _filters()
    code = script("sort_tables.js", "run_address.js")
    top = html(str(skeleton()), code, elem_id="dashboard-top")
    plot = gr.Plot(
        show_label=False,
        container=False,
        visible=False,
        elem_id="dashboard-plot",
        elem_classes="tb-plot",
    )
    bottom = html("", script("sort_tables.js"), elem_id="dashboard-bottom")
    return Layout(
        section,
        filters,
        top,
        plot,
        bottom,
        case=gr.State(None),
        place=gr.State(("", View.shown)),
        request=gr.State(AddressRequest()),
        stamp=gr.State(""),
        latest=gr.State(LatestRequest()),
        timer=gr.Timer(seconds, active=False),
    )


def _filters() -> Filters:
    def menu(name: str, label: str, width: int, scale: int, **options: Any) -> gr.Dropdown:
        return Menu(
            label=label,
            show_label=False,
            container=False,
            visible=name in View().filters,
            min_width=width,
            scale=scale,
            elem_id=f"dashboard-{name}",
            filterable=False,
            **options,
        )

    means = [(words, mean) for mean, words in MEANS.items()]
    metrics: dict[str, Any] = {"choices": tables.METRICS, "value": tables.DEFAULT_METRIC}
    seeds: dict[str, Any] = {"choices": [("All seeds", ALL_SEEDS)], "value": ALL_SEEDS}
    models: dict[str, Any] = {"multiselect": True, "max_choices": MAX_MODELS}
    stages: dict[str, Any] = {
        "choices": [("Session recommenders", RECOMMENDERS)],
        "value": RECOMMENDERS,
    }
    with gr.Row(elem_classes="tb-filters"):
        return Filters(
            choice=menu("choice", "Test cases", 260, 4),
            part=menu("part", "Slice", 240, 3),
            kind=menu("kind", "Kind of slices", 220, 2),
            metric=menu("metric", "Metric", 120, 1, **metrics),
            mean=menu("mean", "Averaged over", 205, 1, choices=means, value=CASE),
            seed=menu("seed", "Seeds", 120, 1, **seeds),
            models=menu("models", "Models", 300, 4, **models),
            stage=menu("stage", "Training stage", 240, 1, **stages),
            extras=gr.Checkbox(
                label="ablations and references",
                container=False,
                elem_classes="tp-check",
                elem_id="dashboard-extras",
            ),
        )


def selected_view(section: str, place: tuple[str, int], values: tuple) -> View:
    """What the controls select.

    Args:
        section: as selected.
        place: the open run, and the number of runs in the list.
        values: of the filters, in the order of `FILTER_NAMES`.
    """
    choice, part, kind, metric, seed, models, stage, extras, mean = values
    run, shown = place
    return View(
        section=section if section in SECTIONS else LEADERBOARD,
        choice=choice or "",
        part=part or "all",
        metric=metric if metric in tables.METRICS else tables.DEFAULT_METRIC,
        seed=seed or ALL_SEEDS,
        extras=bool(extras),
        kind=kind or "",
        models=tuple(models or ()),
        stage=stage or RECOMMENDERS,
        run=run,
        shown=shown,
        mean=mean if mean in MEANS else CASE,
    )


def filters_shown(view: View) -> tuple:
    """Updates that show the filters that apply and hide the others."""
    return tuple(gr.update(visible=name in view.filters) for name in FILTER_NAMES)


def filters_with(options: Options) -> tuple:
    """Updates that set the options of the filters; one with a single option is hidden."""
    view = options.view

    def menu(name: str, choices: list, value: Any, least: int = 2) -> Any:
        if name not in view.filters or not choices:
            return gr.update(visible=False)
        return gr.update(choices=choices, value=value, visible=len(choices) >= least)

    return (
        menu("choice", options.choices, view.choice or None, 1),
        menu("part", options.parts, view.part),
        menu("kind", options.kinds, view.kind or None, 1),
        gr.update(value=view.metric, visible="metric" in view.filters),
        menu("seed", options.seeds, view.seed),
        menu("models", options.models, list(view.models), 1),
        menu("stage", options.stages, view.stage),
        gr.update(value=view.extras, visible="extras" in view.filters),
        gr.update(value=view.mean, visible="mean" in view.filters),
    )


def section_updates(section: Section) -> tuple:
    """Updates of top, plot and bottom."""
    if section.figure is None:
        plot = gr.update(value=None, visible=False)
    else:
        content = PlotData(type="plotly", plot=plot_json(section.figure, section.name))
        plot = gr.update(value=content, visible=True)
    return str(section.top), plot, str(section.bottom)
