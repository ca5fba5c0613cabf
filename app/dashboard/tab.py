"""The dashboard: what the results database holds, from the leaderboard down to a single run."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from app.dashboard import tables, views
from app.dashboard.plots import plot_json
from app.dashboard.sections import Board
from app.dashboard.view import (
    ALL_SEEDS,
    LEADERBOARD,
    MEANS,
    RECOMMENDERS,
    RUNS,
    SECTIONS,
    Drawn,
    Offer,
    View,
)
from app.shell.actions import Shop
from app.shell.address_parts import BOARD_KEYS, BOARD_USUAL, Wanted, board_view, keep_in_address
from app.shell.events import guarded, html, told
from app.shell.menu import Menu
from app.shell.no_results import no_results
from eval.metrics.averaging import CASE
from tpad.errors import DataError, TpadError

log = logging.getLogger("app")
LOOK_AGAIN = 5  # seconds between two looks at the database
MORE = 100  # runs that are added to the list at a time

NAMES = ("choice", "part", "kind", "metric", "seed", "models", "stage", "extras", "mean")
"""The filters in the order in which they are listed everywhere here."""

# Headings sort their table; how it was sorted outlives a redrawing.
SORT = """
const sorts = {};
const cell = (row, place) => row.children[place].dataset.v;
const order = (table) => {
  const sort = sorts[table.dataset.name];
  if (!sort) return;
  const rows = [...table.tBodies[0].rows];
  const numbers = rows.every((row) => !cell(row, sort.place) || !isNaN(cell(row, sort.place)));
  const compare = (a, b) => {
    const [x, y] = [cell(a, sort.place), cell(b, sort.place)];
    if (!x || !y) return (x ? 0 : 1) - (y ? 0 : 1);
    const less = numbers ? x - y : x.localeCompare(y);
    return sort.down ? -less : less;
  };
  table.tBodies[0].append(...rows.sort(compare));
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if (head.hasAttribute('aria-sort')) head.setAttribute('aria-sort',
      place !== sort.place ? 'none' : sort.down ? 'descending' : 'ascending');
  });
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-sort]');
  if (!button) return;
  const table = button.closest('table'), head = button.closest('th');
  const now = head.getAttribute('aria-sort');
  sorts[table.dataset.name] = {
    place: Number(button.dataset.sort),
    down: now === 'none' ? button.dataset.down === '1' : now === 'ascending',
  };
  order(table);
});
watch('value', () => element.querySelectorAll('.tb-table').forEach(
  (table) => table.dataset.name && order(table)));
"""

RUN = """
watch('value', () => {
  if (element.querySelector('.tb-skeleton')) return;
  const run = element.querySelector('.tb-run');
  window.tpad?.put({run: run ? run.dataset.run : ''});
});
"""


@dataclass(frozen=True)
class Dashboard:
    """What others listen to.

    Attributes:
        case: (fingerprint of the cases, number of the case) that the visitor wants to see; None
            without results.
        section, place: what is looked at, and which run; None without results.
        wanted: a `Wanted`, what the page's address asks for; None without results.
    """

    case: gr.State | None
    section: gr.Radio | None = None
    place: gr.State | None = None
    wanted: gr.State | None = None


@dataclass
class Turn:
    """What a visitor has asked for last; what was asked for before need not be finished.

    Attributes:
        asked: the database's stamp and the view; None if that could not be drawn.
        settled: the same view, what is not offered in it replaced.
        number: how often something else was asked for.
        address: number of the last address of the page that was followed.
    """

    asked: tuple[str, View] | None = None
    settled: View | None = None
    number: int = 0
    address: int = 0

    def view(self, by_hand: bool, section: str, at: tuple[str, int], chosen: tuple) -> View:
        """What is to be drawn: as the controls say where one was moved by hand, else as it was.

        Controls that were set by an answer still under way say what is past.
        """
        last = self.settled or (self.asked[1] if self.asked else None)
        if by_hand or last is None:
            return _view(section, at, chosen)
        return replace(last, section=section, run=at[0], shown=at[1])

    def take(self, asked: tuple[str, View]) -> int:
        self.asked, self.settled = asked, None
        self.number += 1
        return self.number

    def has(self, stamp: str, view: View) -> bool:
        """Whether this has been asked for already."""
        if self.asked is None or self.asked[0] != stamp:
            return False
        known = [self.asked[1]] + ([] if self.settled is None else [self.settled])
        return view.essence in [one.essence for one in known]


@dataclass(frozen=True)
class Filters:
    """The controls above a section, called as in `NAMES`."""

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
        return [getattr(self, name) for name in NAMES]


def build(shop: Shop, tab: gr.Tab) -> Dashboard:
    """Lay out the tab; it is filled when it is opened."""
    if shop.results is None:
        html(no_results(shop), elem_id="board-empty")
        return Dashboard(None)
    results, data = shop.results, Board(shop, shop.results)
    section = gr.Radio(
        [(title, name) for name, title in SECTIONS.items()],
        value=LEADERBOARD,
        label="What to look at",
        show_label=False,
        container=False,
        elem_id="board-section",
        elem_classes="tp-pills tb-sections",
    )
    filters = _filters()
    top = html(views.skeleton(), SORT + RUN, elem_id="board-top")
    plot = gr.Plot(
        show_label=False,
        container=False,
        visible=False,
        elem_id="board-plot",
        elem_classes="tb-plot",
    )
    bottom = html("", SORT, elem_id="board-bottom")

    case = gr.State(None)
    place = gr.State(("", View.shown))  # the run that is open, and how many are listed
    wanted = gr.State(Wanted())
    pulse = gr.State("")  # changes when the database does
    turn = gr.State(Turn())
    timer = gr.Timer(LOOK_AGAIN, active=False)
    outputs = [*filters.all, top, plot, bottom]

    by_itself = {one._id for one in (tab, pulse, place, wanted)}  # what no control has triggered

    def show(
        mine: Turn, asked: Wanted, at: tuple[str, int], name: str, event: gr.EventData, *chosen: Any
    ) -> Iterator[tuple]:
        nothing = tuple(gr.skip() for _ in outputs)
        trigger = getattr(event.target, "_id", None)
        view = mine.view(trigger not in by_itself, name, at, chosen)
        if asked.number > mine.address:
            if trigger in (wanted._id, place._id) and not asked.now:
                yield nothing  # another tab is shown; the address is followed when this one is
                return
            mine.address, mine.asked = asked.number, None  # the filters are set anew
            view = board_view(asked.values or {})
        same = nothing[: len(filters.all)]
        number = 0
        try:
            stamp, before = results.stamp(), mine.asked
            if mine.has(stamp, view):  # it is there, or on its way
                yield nothing
                return
            number = mine.take((stamp, view))
            moved = before is None or _where(before[1]) != _where(view)
            if moved:
                yield (*_shown(view), views.skeleton(), *_plot(None), "")
            offer, outcome = data.offer(view)
            if mine.number == number:
                mine.settled = offer.view
            fresh = moved or before is None or before[0] != stamp
            fresh = fresh or offer.view.essence != view.essence
            fresh = fresh or before is None or before[1].choice != view.choice
            controls = _offered(offer) if fresh else same
            for one in data.draw(offer.view, outcome):
                if mine.number != number:
                    yield nothing  # the last that is said is said again at the end
                    return
                if one is not None:
                    yield (*controls, *_drawn(one))
                    controls = same
        except Exception as error:
            title, words = "That did not work.", "The server’s log says why."
            if isinstance(error, TpadError):
                title, words = "That cannot be shown.", escape(str(error))
            else:
                log.exception("The dashboard failed")
            if mine.number != number:
                yield nothing
                return
            mine.asked = None
            yield (*same, views.nothing(title, words), *_plot(None), "")

    gr.on(
        [
            tab.select,
            section.input,
            pulse.change,
            place.change,
            wanted.change,
            *(control.input for control in filters.all),
        ],
        show,
        [turn, wanted, place, section, *filters.all],
        outputs,
        show_progress="hidden",
        trigger_mode="multiple",
        concurrency_limit=4,
        concurrency_id="board",
        api_visibility="private",
    )

    @guarded(4)
    def clicked(at: tuple[str, int], event: gr.EventData) -> tuple[Any, Any, Any, Any]:
        run, shown = at
        act, target = told(event)
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
        [top.click, bottom.click],
        clicked,
        place,
        [place, section, case, timer],
        show_progress="hidden",
        api_visibility="private",
    )

    @guarded(1)
    def look(known: str) -> Any:
        stamp = results.stamp()
        return gr.skip() if stamp == known else stamp

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    timer.tick(look, pulse, pulse, **quiet)
    # A case that was opened before can be opened again.
    tab.select(lambda: (None, gr.Timer(active=True)), None, [case, timer], **quiet)

    def left(event: gr.SelectData) -> Any:
        return gr.skip() if event.value == tab.label else gr.Timer(active=False)

    if isinstance(tab.parent, gr.Tabs):
        tab.parent.select(left, None, timer, **quiet)
    for name, usual in BOARD_USUAL.items():
        control = getattr(filters, name)
        keep_in_address(control.input, control, BOARD_KEYS[name], usual)
    keep_in_address(section.change, section, "section", LEADERBOARD)
    return Dashboard(case, section, place, wanted)


def _filters() -> Filters:
    def menu(name: str, label: str, width: int, **options: Any) -> gr.Dropdown:
        return Menu(
            label=label,
            show_label=False,
            container=False,
            visible=name in View().filters,
            min_width=width,
            elem_id=f"board-{name}",
            filterable=False,
            **options,
        )

    with gr.Row(elem_classes="tb-filters"):
        return Filters(
            choice=menu("choice", "What was evaluated", 260, scale=4),
            part=menu("part", "Which cases", 240, scale=3),
            kind=menu("kind", "Sliced by what", 220, scale=2),
            metric=menu(
                "metric",
                "Metric",
                120,
                scale=1,
                choices=tables.METRICS,
                value=tables.DEFAULT_METRIC,
            ),
            mean=menu(
                "mean",
                "What figures are averaged over",
                180,
                scale=1,
                choices=[(words, mean) for mean, words in MEANS.items()],
                value=CASE,
            ),
            seed=menu(
                "seed", "Seeds", 120, scale=1, choices=[("All seeds", ALL_SEEDS)], value=ALL_SEEDS
            ),
            models=menu(
                "models", "Models", 300, scale=4, multiselect=True, max_choices=tables.HANDFUL
            ),
            stage=menu(
                "stage",
                "Which training",
                240,
                scale=1,
                choices=[("Session recommenders", RECOMMENDERS)],
                value=RECOMMENDERS,
            ),
            extras=gr.Checkbox(
                label="ablations and references",
                container=False,
                elem_classes="tp-check",
                elem_id="board-extras",
            ),
        )


def _view(section: str, at: tuple[str, int], chosen: tuple) -> View:
    """What the controls say, in the order of `NAMES`."""
    choice, part, kind, metric, seed, models, stage, extras, mean = chosen
    run, shown = at
    return View(
        section if section in SECTIONS else LEADERBOARD,
        choice or "",
        part or "all",
        metric if metric in tables.METRICS else tables.DEFAULT_METRIC,
        seed or ALL_SEEDS,
        bool(extras),
        kind or "",
        tuple(models or ()),
        stage or RECOMMENDERS,
        run,
        shown,
        mean if mean in MEANS else CASE,
    )


def _where(view: View) -> tuple:
    """What a visitor takes for a place of its own."""
    return view.section, view.run if view.section == RUNS else ""


def _shown(view: View) -> tuple:
    """The filters that apply, others hidden."""
    return tuple(gr.update(visible=name in view.filters) for name in NAMES)


def _offered(offer: Offer) -> tuple:
    """The filters with what they offer; one that offers a single thing is no choice."""
    view = offer.view

    def menu(name: str, choices: list, value: Any, least: int = 2) -> Any:
        if name not in view.filters or not choices:
            return gr.update(visible=False)
        return gr.update(choices=choices, value=value, visible=len(choices) >= least)

    return (
        menu("choice", offer.choices, view.choice or None, 1),
        menu("part", offer.parts, view.part),
        menu("kind", offer.kinds, view.kind or None, 1),
        gr.update(value=view.metric, visible="metric" in view.filters),
        menu("seed", offer.seeds, view.seed),
        menu("models", offer.models, list(view.models), 1),
        menu("stage", offer.stages, view.stage),
        gr.update(value=view.extras, visible="extras" in view.filters),
        gr.update(value=view.mean, visible="mean" in view.filters),
    )


def _drawn(one: Drawn) -> tuple:
    return one.top, *_plot(one), one.bottom


def _plot(one: Drawn | None) -> tuple:
    if one is None or one.figure is None:
        return (gr.update(value=None, visible=False),)
    content = PlotData(type="plotly", plot=plot_json(one.figure, one.name))
    return (gr.update(value=content, visible=True),)
