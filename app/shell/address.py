"""The page's address: what is shown, written into it by the browser and read here again.

`address.js` is the browser's side. It writes down what the page shows, and sends it when a page is
opened with an address or when “back” and “forward” go to another one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from app.cold_start.tab import ColdStartTab
from app.dashboard.tab import Dashboard
from app.dashboard.view import View
from app.shell.actions import Shop, strip_html
from app.shell.address_parts import (
    BOARD_KEYS,
    HAND_KEYS,
    SESSION_KEYS,
    Field,
    Wanted,
    board_view,
    keep_in_address,
    one_of,
    sent,
)
from app.shell.events import guarded, html
from app.shell.sharing import read_address
from app.shell.state import Table, VisitorSession
from tpad.errors import TpadError

_SCRIPT = (Path(__file__).parents[1] / "static" / "address.js").read_text("utf-8")


def build(
    shop: Shop,
    first: Table,
    session: gr.State,
    strip: gr.HTML,
    tabs: gr.Tabs,
    active: gr.State,
    tabs_by_label: Mapping[str, str],
    fields: Sequence[Field],
    by_hand: ColdStartTab,
    board: Dashboard,
    in_turn: Mapping[str, Any],
) -> gr.State:
    """Wire the address.

    Args:
        shop: what is open.
        first: the session of a fresh page.
        session, strip: the present one, and where it is shown.
        tabs, active: the tabs, and the name of the one that is open.
        tabs_by_label: what is read on each tab -> its name, the usual one first.
        fields: controls of which the browser writes down every change.
        by_hand, board: the tabs that fill themselves.
        in_turn: options of all listeners that change a session.

    Returns:
        A state that changes whenever an address was opened, to redraw what it is about.
    """
    keys = [*SESSION_KEYS, "tab", *(field.key for field in fields), "section", "run", "case"]
    keys += [*BOARD_KEYS.values(), *HAND_KEYS.values()]
    restored = gr.State(0)
    names = list(tabs_by_label.values())
    script = _SCRIPT.replace("NAMES", json.dumps(keys)).replace("LABELS", json.dumps(tabs_by_label))
    bar = html("0", script, elem_id="address", visible="hidden")
    # What is there only with results: state or control -> its value for an address.
    filled = {
        by_hand.wanted: lambda number, values, tab: Wanted(number, values, tab == "cold-start"),
        board.wanted: lambda number, values, tab: Wanted(number, values, tab == "dashboard"),
        board.section: lambda number, values, tab: board_view(values).section,
        board.place: lambda number, values, tab: (board_view(values).run, View.shown),
    }
    filled.pop(None, None)  # type: ignore[call-overload]
    outputs = [session, strip, tabs, active, *(field.control for field in fields), *filled]
    outputs += [restored, bar]

    @guarded(len(outputs))
    def moved(present: VisitorSession, count: int, event: gr.EventData) -> tuple[Any, ...]:
        values, everything, source = sent(event._data)
        count += 1
        opened = present
        try:
            found, gone = read_address(shop, values, everything, source)
            table = first if found is None else found
            if values.get("revealed") == "1" and table.target:
                table = replace(table, revealed=True)
            opened = reopened(present, table)
            if gone:
                words = "Your own pictures are kept here for a while only; add them again."
                gr.Warning(words, duration=8)
        except TpadError as error:
            gr.Warning(str(error), duration=8)
        tab = one_of(names, values.get("tab", ""))
        return (
            opened,
            strip_html(shop, opened),
            gr.Tabs(selected=tab),
            tab,
            *(field.read(values.get(field.key, field.usual), values) for field in fields),
            *(make(count, values, tab) for make in filled.values()),
            count,
            str(count),
        )

    bar.moved(
        moved,
        [session, restored],
        outputs,
        show_progress="hidden",
        api_visibility="private",
        **in_turn,
    )
    for field in fields:
        keep_in_address(field.control.change, field.control, field.key, field.usual)
    return restored


def reopened(present: VisitorSession, table: Table) -> VisitorSession:
    """The session with this table on it; “back” is one with undoing."""
    if table == present.table:
        return present
    if present.past and present.past[-1] == table:
        return present.undo()
    return present.open(table)
