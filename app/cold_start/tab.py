"""The tab where a person walks through test cases and says what they think of each."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.cold_start import views
from app.cold_start.cases import RULES, VERDICTS
from app.cold_start.checking import Checking, Visitor, Walk, visitor_from
from app.shell.actions import Shop, uploaded
from app.shell.address_parts import Wanted
from app.shell.events import IN_SIGHT, guarded, html, told
from app.shell.menu import Menu
from app.shell.names import model_title
from app.shell.no_results import no_results
from app.shell.picture_input import PictureInput
from app.shell.pictures import UPLOADS
from app.shell.state import FORGET_AFTER
from eval.database.records import Verdict
from tpad.errors import ImageError

Kept = tuple[Verdict, ...]


@dataclass(frozen=True)
class ColdStartTab:
    """What others listen to or set.

    Attributes:
        case: (fingerprint of the cases, number of the case) to be opened next; None without results.
        wanted: a `Wanted`, what the page's address asks for; None without results.
    """

    case: gr.State | None
    wanted: gr.State | None = None


def build(shop: Shop, tab: gr.Tab) -> ColdStartTab:
    """Lay out the tab; it is filled when it is opened."""
    if shop.results is None:
        html(no_results(shop))
        return ColdStartTab(None)
    checking = Checking(shop)
    case = gr.State(None)
    wanted = gr.State(Wanted())
    walk = gr.State(Walk(), time_to_live=FORGET_AFTER)
    kept = gr.State((), time_to_live=FORGET_AFTER)  # verdicts, where nothing can be stored
    # The browser keeps who it is, so that a visitor who comes back is no second one.
    visitor = gr.BrowserState("", storage_key="tpad-visitor", secret="tpad")
    empty = html("", elem_id="hand-empty", visible=False)
    with gr.Column(visible=False, elem_id="hand") as page:
        with gr.Row(elem_classes="tp-settings tp-hand-settings"):
            choice = _menu("Split", 3)
            part = _menu("Targets", 1)
            rule = _menu("Which cases", 3)
            first = _menu("Judged model", 2)
            second = _menu("Held against", 2)
        bar = html("", _KEYS + _CASE, elem_id="walker")
        shown = html("", elem_id="case")
        with gr.Row(equal_height=False, elem_classes="tp-hand-main"):
            with gr.Column(scale=6, min_width=320):
                lists = html("", elem_id="hand-lists")
                answers = html("", IN_SIGHT, elem_id="hand-answers")
                with (
                    gr.Accordion(
                        "What if your own picture were in the catalogue?",
                        open=False,
                        elem_id="what-if",
                    ),
                    gr.Row(),
                ):
                    picture = PictureInput(
                        type="filepath",
                        sources=["upload", "clipboard", "webcam"],
                        label="Picture",
                        height=180,
                        scale=2,
                        min_width=200,
                    )
                    with gr.Column(scale=2, min_width=180):
                        title = gr.Textbox(label="Title (optional)", max_length=200)
                        price = gr.Textbox(label="Price (optional)", max_length=20)
                        add = gr.Button(
                            "Add to the catalogue", variant="primary", elem_id="what-add"
                        )
            with gr.Column(scale=4, min_width=300):
                standings = html("", elem_id="standings")
        with gr.Row(elem_classes="tp-judge", elem_id="judge"):
            buttons = [
                gr.Button(title, size="md", min_width=110, scale=0, elem_id=f"judge-{name}")
                for name, title in VERDICTS.items()
            ]
            note = gr.Textbox(
                placeholder="Note (optional)",
                label="Note",
                show_label=False,
                container=False,
                max_length=500,
                scale=4,
                min_width=160,
                elem_id="judge-note",
            )
            who = gr.Textbox(
                placeholder="Your name (optional)",
                label="Your name",
                show_label=False,
                container=False,
                max_length=60,
                scale=1,
                min_width=150,
                elem_id="judge-who",
            )
        progress = html("", elem_id="hand-progress")

    menus = [choice, part, rule, first, second]
    body = [bar, shown, standings, lists, answers, progress]
    outputs = [walk, page, empty, *menus, *body]

    def draw(present: Walk, me: Visitor, count: int) -> tuple[str, ...]:
        """The HTML of `body`."""
        words = _rule_words(present)[present.rule]
        if present.number < 0:
            nothing = views.no_such_case(words)
            return "", nothing, "", "", "", checking.progress(present, me, 0)
        judged, others = checking.judged_here(present, me)
        return (
            views.walker(
                present.position, count, present.number, judged, others, checking.address(present)
            ),
            views.case_view(checking.case(present), shop.catalogue.items),
            checking.standings(present),
            checking.lists(present),
            checking.answers(present),
            checking.progress(present, me, count),
        )

    def whole(present: Walk, me: Visitor) -> tuple[Any, ...]:
        """Everything: menus and body."""
        count = len(checking.numbers(present, me))
        outcome = shop.results.outcome(present.key)  # type: ignore[union-attr]
        words = _rule_words(present)
        choices = checking.choices()
        return (
            present,
            gr.update(visible=True),
            gr.update(visible=False),
            gr.update(
                choices=[(one.title, one.key) for one in choices],
                value=present.key,
                visible=len(choices) > 1,
            ),
            gr.update(
                choices=[(f"{p} targets" if p in _MAIN else p, p) for p in outcome.masks],
                value=present.part,
            ),
            gr.update(choices=[(text, name) for name, text in words.items()], value=present.rule),
            gr.update(
                choices=[(f"judge {model_title(m)}", m) for m in checking.judged(outcome)],
                value=present.first,
            ),
            gr.update(
                choices=[
                    (f"against {model_title(m)}", m)
                    for m in checking.beside(outcome, present.first)
                ],
                value=present.second,
            ),
            *draw(present, me, count),
        )

    @guarded(len(outputs))
    def open_tab(
        present: Walk, own: Kept, browser: Any, asked: Wanted, event: gr.EventData
    ) -> tuple[Any, ...]:
        me = visitor_from(browser, own)
        by_address = getattr(event.target, "_id", None) == wanted._id
        if by_address and not asked.now:  # another tab is shown
            return tuple(gr.skip() for _ in outputs)
        if asked.number > present.address and (asked.now or not present.key):
            found = checking.asked(asked.values or {}, me)
            if found is not None:
                return whole(replace(found, address=asked.number), me)
        if not present.key:
            present = checking.start()
            if not present.key:
                text = no_results(shop)
                rest = [gr.skip()] * (len(outputs) - 3)
                return present, gr.update(visible=False), gr.update(value=text, visible=True), *rest
            present = checking.opened(present, 0, me)
        return whole(present, me)

    @guarded(len(outputs))
    def choose(
        present: Walk,
        own: Kept,
        browser: Any,
        key: str,
        slice_: str,
        how: str,
        one: str,
        other: str,
    ) -> tuple[Any, ...]:
        me = visitor_from(browser, own)
        asked = replace(present, key=key, part=slice_, rule=how, first=one, second=other)
        return whole(checking.opened(checking.settled(asked), 0, me), me)

    @guarded(len(outputs))
    def jump(target: Any, present: Walk, own: Kept, browser: Any) -> tuple[Any, ...]:
        if not target:
            return tuple(gr.skip() for _ in outputs)
        at = checking.at_case(str(target[0]), int(target[1]))
        return whole(replace(at, address=present.address), visitor_from(browser, own))

    @guarded(1 + len(body))
    def step(present: Walk, own: Kept, browser: Any, event: gr.EventData) -> tuple[Any, ...]:
        act, target = told(event)
        me = visitor_from(browser, own)
        numbers = checking.numbers(present, me)
        if act in ("hide", "unhide"):
            row = int(target) if target.isdecimal() else -1
            changed = (checking.hide if act == "hide" else checking.unhide)(present, row)
            drawn = checking.lists(changed), checking.answers(changed)
            return (changed, *(gr.skip(),) * 3, *drawn, gr.skip())
        places = {
            "back": present.position - 1,
            "on": present.position + 1,
            "any": random.randrange(max(len(numbers), 1)),
        }
        moved = checking.opened(present, places.get(act, present.position), me)
        return moved, *draw(moved, me, len(numbers))

    def judge_as(verdict: str) -> Callable:
        @guarded(4 + len(body))
        def judge(
            present: Walk, own: Kept, browser: Any, remark: str, name: str
        ) -> tuple[Any, ...]:
            me = visitor_from(browser, own).named
            before = checking.numbers(present, me)
            me = checking.judge(present, verdict, remark, name, me)
            # Where the rule is "not judged by you yet", the case has just left the walk.
            stays = len(checking.numbers(present, me)) == len(before)
            moved = checking.opened(present, present.position + stays, me)
            drawn = draw(moved, me, len(checking.numbers(moved, me)))
            return moved, me.kept, me.id, "", *drawn

        return judge

    @guarded(3 + 3)
    def put_in(present: Walk, path: str | None, text: str, cost: str) -> tuple[Any, ...]:
        try:
            changed = checking.add(present, uploaded(shop, path, text, cost))
        except ImageError as error:  # the picture goes away, so that another can take its place
            gr.Warning(str(error), duration=8)
            return gr.skip(), gr.skip(), gr.skip(), None, gr.skip(), gr.skip()
        return changed, checking.lists(changed), checking.answers(changed), None, "", ""

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    who_asks = [kept, visitor]
    gr.on([tab.select, wanted.change], open_tab, [walk, *who_asks, wanted], outputs, **quiet)
    gr.on([menu.input for menu in menus], choose, [walk, *who_asks, *menus], outputs, **quiet)
    case.change(jump, [case, walk, *who_asks], outputs, **quiet)
    gr.on([bar.click, lists.click, answers.click], step, [walk, *who_asks], [walk, *body], **quiet)
    for verdict, button in zip(VERDICTS, buttons, strict=True):
        button.click(
            judge_as(verdict),
            [walk, *who_asks, note, who],
            [walk, *who_asks, note, *body],
            **quiet,
        )
    add.click(
        put_in,
        [walk, picture, title, price],
        [walk, lists, answers, picture, title, price],
        show_progress="minimal",
        show_progress_on=picture,
        api_visibility="private",
        concurrency_limit=UPLOADS,
        concurrency_id="encode",
    )
    return ColdStartTab(case, wanted)


_MAIN = ("all", "warm", "cold")

# The arrow keys walk, unless something is being written.
_KEYS = """
document.addEventListener('keydown', (event) => {
  if (!element.isConnected || element.offsetParent === null) return;
  if (event.target.closest('input, textarea, [role="listbox"], [role="tablist"]')) return;
  const act = {ArrowLeft: 'back', ArrowRight: 'on'}[event.key];
  const button = act && element.querySelector(`[data-act="${act}"]`);
  if (button && !button.disabled) { event.preventDefault(); button.click(); }
});
"""


_CASE = """
watch('value', () => {
  const walker = element.querySelector('.tp-walker');
  if (walker) window.tpad?.put(JSON.parse(walker.dataset.address));
});
"""


def _rule_words(walk: Walk) -> dict[str, str]:
    """The rules in words, with the models' names."""
    first, second = model_title(walk.first), model_title(walk.second)
    return {name: text.format(first=first, second=second) for name, text in RULES.items()}


def _menu(label: str, scale: int) -> gr.Dropdown:
    return Menu(
        [],
        label=label,
        show_label=False,
        container=False,
        filterable=False,
        scale=scale,
        min_width=130,
        elem_id=f"hand-{label.split()[0].lower()}",
    )
