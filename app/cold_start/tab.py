"""The tab “Cold-start cases”: a person looks through test cases and rates the recommendations."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.cold_start import display
from app.cold_start.browser import KEYS, CaseBrowser
from app.cold_start.layout import Layout, lay_out
from app.cold_start.position import Position
from app.cold_start.visitor import Visitor, visitor_from
from app.shell.actions import uploaded
from app.shell.address_fields import AddressPart, AddressRequest
from app.shell.events import clicked_button, guarded, html, skip_all
from app.shell.names import model_title
from app.shell.no_results import no_results
from app.shell.shop import Shop
from eval.database.records import Verdict
from tpad.errors import ImageError

NAME = "cold-start"
Kept = tuple[Verdict, ...]
_MAIN_SLICES = ("all", "warm", "cold")
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class ColdStartTab:
    """What others listen to or set.

    Attributes:
        case: (fingerprint of the cases, number of the case) to open next; None without results.
        request: the `AddressRequest` to follow next; None without results.
    """

    case: gr.State | None = None
    request: gr.State | None = None

    def address_part(self) -> AddressPart:
        """What the tab keeps in the page's address."""
        outputs = {} if self.request is None else {self.request: lambda request: request}
        return AddressPart(keys=("case", *KEYS.values()), outputs=outputs)


def build(shop: Shop, tab: gr.Tab) -> ColdStartTab:
    """Lay out the tab; it is filled when it is opened."""
    if shop.results is None:
        html(no_results(shop))
        return ColdStartTab()
    browser, layout = CaseBrowser(shop), lay_out()
    _wire_opening(browser, layout, tab)
    _wire_settings(browser, layout)
    _wire_clicks(browser, layout)
    _wire_verdicts(browser, layout)
    _wire_upload(browser, layout)
    return ColdStartTab(layout.case, layout.request)


def _everything(layout: Layout) -> list[Any]:
    """The outputs that `_draw` fills."""
    return [
        layout.position,
        layout.page,
        layout.empty,
        *layout.settings.all,
        *layout.body.all,
    ]


def _draw(browser: CaseBrowser, position: Position, me: Visitor) -> tuple[Any, ...]:
    """The whole tab: menus and body."""
    evaluation = browser.results.evaluation(position.key)
    sets = browser.case_sets()
    own = browser.own_models(evaluation)
    others = browser.other_models(evaluation, position.first)
    words = display.rule_words(position)
    parts = [(f"{p} targets" if p in _MAIN_SLICES else p, p) for p in evaluation.masks]
    return (
        position,
        gr.update(visible=True),
        gr.update(visible=False),
        gr.update(
            choices=[(one.title, one.key) for one in sets],
            value=position.key,
            visible=len(sets) > 1,
        ),
        gr.update(choices=parts, value=position.part),
        gr.update(choices=[(text, name) for name, text in words.items()], value=position.rule),
        gr.update(choices=[(f"rate {model_title(m)}", m) for m in own], value=position.first),
        gr.update(
            choices=[(f"compare with {model_title(m)}", m) for m in others], value=position.second
        ),
        *display.body(browser, position, me, len(browser.numbers(position, me))),
    )


def _wire_opening(browser: CaseBrowser, layout: Layout, tab: gr.Tab) -> None:
    """Fill the tab when it is opened, by an address, or by a case of the dashboard."""
    outputs = _everything(layout)

    @guarded(len(outputs))
    def open_tab(
        present: Position, kept: Kept, browser_id: Any, request: AddressRequest, event: gr.EventData
    ) -> tuple[Any, ...]:
        me = visitor_from(browser_id, kept)
        is_shown = request.tab == NAME
        if getattr(event.target, "_id", None) == layout.request._id and not is_shown:
            return skip_all(len(outputs))
        if request.number > present.address and (is_shown or not present.key):
            found = browser.from_address(request.values, me)
            if found is not None:
                return _draw(browser, replace(found, address=request.number), me)
        if not present.key:
            present = browser.start()
            if not present.key:
                empty = gr.update(value=no_results(browser.shop), visible=True)
                return present, gr.update(visible=False), empty, *skip_all(len(outputs) - 3)
            present = browser.open(present, 0, me)
        return _draw(browser, present, me)

    @guarded(len(outputs))
    def open_case(case: Any, present: Position, kept: Kept, browser_id: Any) -> tuple[Any, ...]:
        if not case:
            return skip_all(len(outputs))
        position = browser.at_case(str(case[0]), int(case[1]))
        position = replace(position, address=present.address)
        return _draw(browser, position, visitor_from(browser_id, kept))

    who = [layout.kept, layout.visitor]
    gr.on(
        [tab.select, layout.request.change],
        open_tab,
        [layout.position, *who, layout.request],
        outputs,
        **_QUIET,
    )
    layout.case.change(open_case, [layout.case, layout.position, *who], outputs, **_QUIET)


def _wire_settings(browser: CaseBrowser, layout: Layout) -> None:
    outputs, menus = _everything(layout), layout.settings.all

    @guarded(len(outputs))
    def choose(
        present: Position,
        kept: Kept,
        browser_id: Any,
        key: str,
        part: str,
        rule: str,
        first: str,
        second: str,
    ) -> tuple[Any, ...]:
        me = visitor_from(browser_id, kept)
        chosen = replace(present, key=key, part=part, rule=rule, first=first, second=second)
        return _draw(browser, browser.open(browser.valid(chosen), 0, me), me)

    gr.on(
        [menu.input for menu in menus],
        choose,
        [layout.position, layout.kept, layout.visitor, *menus],
        outputs,
        **_QUIET,
    )


def _wire_clicks(browser: CaseBrowser, layout: Layout) -> None:
    """Buttons of the toolbar, and those that remove items and put them back."""
    body = layout.body

    @guarded(1 + len(body.all))
    def click(
        present: Position, kept: Kept, browser_id: Any, event: gr.EventData
    ) -> tuple[Any, ...]:
        act, target = clicked_button(event)
        if act in ("hide", "unhide"):
            row = int(target) if target.isdecimal() else -1
            n_items = len(browser.shop.catalogue.items)
            changed = present.hide(row, n_items) if act == "hide" else present.unhide(row)
            drawn = display.lists(browser, changed), display.upload_ranks(browser, changed)
            return changed, *skip_all(3), *drawn, gr.skip()
        me = visitor_from(browser_id, kept)
        count = len(browser.numbers(present, me))
        index = {
            "back": present.index - 1,
            "on": present.index + 1,
            "any": random.randrange(max(count, 1)),
        }
        moved = browser.open(present, index.get(act, present.index), me)
        return moved, *display.body(browser, moved, me, count)

    gr.on(
        [body.toolbar.click, body.lists.click, body.upload_ranks.click],
        click,
        [layout.position, layout.kept, layout.visitor],
        [layout.position, *body.all],
        **_QUIET,
    )


def _wire_verdicts(browser: CaseBrowser, layout: Layout) -> None:
    body, form = layout.body, layout.form

    def rate_as(verdict: str) -> Callable:
        @guarded(4 + len(body.all))
        def rate(
            present: Position, kept: Kept, browser_id: Any, note: str, name: str
        ) -> tuple[Any, ...]:
            me = visitor_from(browser_id, kept).with_id
            before = browser.numbers(present, me)
            me = browser.rating.add_verdict(present, verdict, note, name, me)
            # With the rule "not rated by you yet", the case is no longer selected.
            stays = len(browser.numbers(present, me)) == len(before)
            moved = browser.open(present, present.index + stays, me)
            drawn = display.body(browser, moved, me, len(browser.numbers(moved, me)))
            return moved, me.kept, me.id, "", *drawn

        return rate

    state = [layout.position, layout.kept, layout.visitor]
    for verdict, button in form.buttons.items():
        button.click(
            rate_as(verdict),
            [*state, form.note, form.name],
            [*state, form.note, *body.all],
            **_QUIET,
        )


def _wire_upload(browser: CaseBrowser, layout: Layout) -> None:
    """A picture of the visitor's own is added to the catalogue of the open case."""
    upload, body = layout.upload, layout.body

    @guarded(6)
    def add_picture(present: Position, path: str | None, title: str, price: str) -> tuple[Any, ...]:
        try:
            changed = present.add(uploaded(browser.shop, path, title, price))
        except ImageError as error:  # clear the picture, so that another can take its place
            gr.Warning(str(error), duration=8)
            return *skip_all(3), None, *skip_all(2)
        drawn = display.lists(browser, changed), display.upload_ranks(browser, changed)
        return changed, *drawn, None, "", ""

    fields = [upload.picture, upload.title, upload.price]
    upload.button.click(
        add_picture,
        [layout.position, *fields],
        [layout.position, body.lists, body.upload_ranks, *fields],
        show_progress="minimal",
        show_progress_on=upload.picture,
        api_visibility="private",
        concurrency_limit=None,  # visitors take turns, see `app.shell.turns`
    )
