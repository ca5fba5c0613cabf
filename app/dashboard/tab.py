"""The dashboard: what the results database holds, from the leaderboard down to a single run."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.dashboard import views
from app.dashboard.address import DEFAULTS, KEYS, view_of
from app.dashboard.latest_request import LatestRequest
from app.dashboard.layout import (
    Layout,
    filters_shown,
    filters_with,
    lay_out,
    section_updates,
    selected_view,
)
from app.dashboard.sections import Sections
from app.dashboard.view import LEADERBOARD, RUNS, Section, View
from app.shell.address_fields import AddressPart, AddressRequest, keep_in_address
from app.shell.events import clicked_button, guarded, html, skip_all
from app.shell.no_results import no_results
from app.shell.results import Results
from app.shell.shop import Shop
from tpad.errors import DataError, TpadError

log = logging.getLogger("app")
NAME = "dashboard"
LOOK_AGAIN = 5  # seconds between two looks at the database
MORE = 100  # runs that are added to the list at a time
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Dashboard:
    """What others listen to or set; everything is None without results.

    Attributes:
        case: (fingerprint of the cases, number of the case) that the visitor opens.
        section, place: what is looked at, and which run.
        request: the `AddressRequest` to follow next.
    """

    case: gr.State | None = None
    section: gr.Radio | None = None
    place: gr.State | None = None
    request: gr.State | None = None

    def address_part(self) -> AddressPart:
        """What the dashboard keeps in the page's address."""
        keys = ("section", "run", *KEYS.values())
        if self.request is None:
            return AddressPart(keys=keys)
        outputs: dict[Any, Callable[[AddressRequest], Any]] = {
            self.request: lambda request: request,
            self.section: lambda request: view_of(request.values).section,
            self.place: lambda request: (view_of(request.values).run, View.shown),
        }
        return AddressPart(keys=keys, outputs=outputs)


def build(shop: Shop, tab: gr.Tab) -> Dashboard:
    """Lay out the tab; it is filled when it is opened."""
    if shop.results is None:
        html(no_results(shop), elem_id="dashboard-empty")
        return Dashboard()
    layout = lay_out(LOOK_AGAIN)
    _wire_drawing(Sections(shop, shop.results), layout, tab)
    _wire_clicks(shop.results, layout)
    _wire_timer(shop.results, layout, tab)
    for name, default in DEFAULTS.items():
        control = getattr(layout.filters, name)
        keep_in_address(control.input, control, KEYS[name], default)
    keep_in_address(layout.section.change, layout.section, "section", LEADERBOARD)
    return Dashboard(layout.case, layout.section, layout.place, layout.request)


def _wire_drawing(sections: Sections, layout: Layout, tab: gr.Tab) -> None:
    """Draw the section when the tab is opened or anything it depends on changes."""
    controls = layout.filters.all
    not_a_control = {one._id for one in (tab, layout.stamp, layout.place, layout.request)}
    by_address = {layout.request._id, layout.place._id}

    def show(
        latest: LatestRequest,
        request: AddressRequest,
        place: tuple[str, int],
        name: str,
        event: gr.EventData,
        *values: Any,
    ) -> Iterator[tuple]:
        nothing = skip_all(len(layout.outputs))
        trigger = getattr(event.target, "_id", None)
        view = selected_view(name, place, values)
        # Controls that an unfinished answer is about to set still have their old values: unless the
        # visitor has moved one, the view of the latest request counts.
        if trigger in not_a_control and latest.view is not None:
            view = replace(latest.view, section=name, run=place[0], shown=place[1])
        if request.number > latest.address:
            if trigger in by_address and request.tab != NAME:
                yield nothing  # another tab is open; this one follows the address when it is opened
                return
            view = view_of(request.values)
            latest.follow(request.number, view)
        yield from _draw(sections, latest, view, nothing)

    gr.on(
        [
            tab.select,
            layout.section.input,
            layout.stamp.change,
            layout.place.change,
            layout.request.change,
            *(control.input for control in controls),
        ],
        show,
        [layout.latest, layout.request, layout.place, layout.section, *controls],
        layout.outputs,
        trigger_mode="multiple",
        concurrency_limit=4,
        concurrency_id="dashboard",
        **_QUIET,
    )


def _draw(sections: Sections, latest: LatestRequest, view: View, nothing: tuple) -> Iterator[tuple]:
    """The outputs of a view, step by step, until it is drawn or the visitor requests another one.

    Args:
        sections: draws the view.
        latest: the visitor's latest request, which changes while this one is drawn.
        view: what is requested.
        nothing: leaves all outputs unchanged. A generator repeats its last answer at the end, so it
            is also the last one of a request that has been replaced.
    """
    same = nothing[:-3]
    number = 0
    try:
        stamp, before = sections.results.stamp(), latest.stamp_and_view
        if latest.covers(stamp, view):  # drawn already, or being drawn
            yield nothing
            return
        number = latest.start(stamp, view)
        moved = before is None or _place_of(before[1]) != _place_of(view)
        if moved:
            yield (*filters_shown(view), *section_updates(Section(views.skeleton())))
        options, evaluation = sections.options(view)
        if latest.number == number:
            latest.drawn = options.view
        changed = moved or before is None or before[0] != stamp
        changed = changed or options.view.essence != view.essence
        changed = changed or before is None or before[1].choice != view.choice
        filters = filters_with(options) if changed else same
        for section in sections.draw(options.view, evaluation):
            if latest.number != number:
                yield nothing
                return
            if section is not None:
                yield (*filters, *section_updates(section))
                filters = same
    except Exception as error:
        failure = _failure(error)
        if latest.number != number:
            yield nothing
            return
        latest.stamp_and_view = None
        yield (*same, *section_updates(failure))


def _failure(error: Exception) -> Section:
    """What is shown in place of a section that cannot be drawn."""
    if isinstance(error, TpadError):
        return Section(views.nothing("This cannot be shown.", str(error)))
    log.error("The dashboard failed", exc_info=error)
    return Section(views.nothing("Something went wrong.", "See the server’s log."))


def _place_of(view: View) -> tuple[str, str]:
    """The section and open run; a change of either is a new page to the visitor."""
    return view.section, view.run if view.section == RUNS else ""


def _wire_clicks(results: Results, layout: Layout) -> None:
    """Buttons in a section open a run, a case, the list of runs, or more of it."""

    @guarded(4)
    def clicked(place: tuple[str, int], event: gr.EventData) -> tuple[Any, Any, Any, Any]:
        run, shown = place
        act, target = clicked_button(event)
        same = gr.skip()
        match act:
            case "run" if target:
                return (target, shown), RUNS, same, same
            case "runs":
                return ("", shown), same, same, same
            case "longer":
                return (run, shown + MORE), same, same, same
            case "case" if target.isdecimal():
                found = results.run(run)
                if int(target) >= found.n_cases:
                    raise DataError("There is no such case; reload the page.")
                return same, same, (found.cases, int(target)), gr.Timer(active=False)
        return same, same, same, same

    gr.on(
        [layout.top.click, layout.bottom.click],
        clicked,
        layout.place,
        [layout.place, layout.section, layout.case, layout.timer],
        **_QUIET,
    )


def _wire_timer(results: Results, layout: Layout, tab: gr.Tab) -> None:
    """Look at the database again while the tab is open."""

    @guarded(1)
    def look(known: str) -> Any:
        stamp = results.stamp()
        return gr.skip() if stamp == known else stamp

    def opened() -> tuple[None, gr.Timer]:
        return None, gr.Timer(active=True)  # None: the same case can be opened again

    def left(event: gr.SelectData) -> Any:
        return gr.skip() if event.value == tab.label else gr.Timer(active=False)

    layout.timer.tick(look, layout.stamp, layout.stamp, **_QUIET)
    tab.select(opened, None, [layout.case, layout.timer], **_QUIET)
    if isinstance(tab.parent, gr.Tabs):
        tab.parent.select(left, None, layout.timer, **_QUIET)
