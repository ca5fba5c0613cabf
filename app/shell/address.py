"""The page's address: written by the browser (`static/address.js`), read here.

The browser writes down what the page shows, and sends it when a page is opened with an address or
when “back” and “forward” lead to another one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.shell.actions import strip_html
from app.shell.address_fields import (
    SESSION_KEYS,
    AddressPart,
    AddressRequest,
    keep_in_address,
    one_of,
    read_message,
)
from app.shell.events import guarded, html
from app.shell.session import Snapshot, VisitorSession
from app.shell.sharing import read_address
from app.shell.shop import Shop
from app.shell.static_files import script
from tpad.errors import TpadError


@dataclass(frozen=True)
class PageParts:
    """The components of the page that an address sets.

    Attributes:
        session, strip: the visitor's session, and where it is shown.
        tabs, active: the tabs, and the name of the open one.
        tab_names: label of each tab -> its name, the default first.
    """

    session: gr.State
    strip: gr.HTML
    tabs: gr.Tabs
    active: gr.State
    tab_names: Mapping[str, str]


def build(
    shop: Shop,
    first: Snapshot,
    page: PageParts,
    parts: Sequence[AddressPart],
    in_turn: Mapping[str, Any],
) -> gr.State:
    """Wire the address.

    Args:
        shop: the open bundle.
        first: the session of a fresh page.
        page: the components that all addresses set.
        parts: of the tabs.
        in_turn: options of all listeners that change a session.

    Returns:
        A state that changes whenever an address was opened, to redraw what depends on it.
    """
    fields = [field for part in parts for field in part.fields]
    makers = {control: make for part in parts for control, make in part.outputs.items()}
    keys = [*SESSION_KEYS, "tab", *(field.key for field in fields)]
    keys += [key for part in parts for key in part.keys]
    names = list(page.tab_names.values())
    restored = gr.State(0)
    code = script("address.js", KEYS=keys, TABS=page.tab_names)
    bar = html("0", code, elem_id="address", visible="hidden")
    outputs = [page.session, page.strip, page.tabs, page.active]
    outputs += [*(field.control for field in fields), *makers, restored, bar]

    @guarded(len(outputs))
    def moved(present: VisitorSession, count: int, event: gr.EventData) -> tuple[Any, ...]:
        values, everything, source = read_message(event._data)
        opened = _open_session(shop, first, present, values, everything, source)
        tab = one_of(names, values.get("tab", ""))
        request = AddressRequest(count + 1, values, tab)
        return (
            opened,
            strip_html(shop, opened),
            gr.Tabs(selected=tab),
            tab,
            *(field.read(values.get(field.key, field.default), values) for field in fields),
            *(make(request) for make in makers.values()),
            request.number,
            str(request.number),
        )

    bar.moved(
        moved,
        [page.session, restored],
        outputs,
        show_progress="hidden",
        api_visibility="private",
        **in_turn,
    )
    for field in fields:
        keep_in_address(field.control.change, field.control, field.key, field.default)
    return restored


def _open_session(
    shop: Shop,
    first: Snapshot,
    present: VisitorSession,
    values: Mapping[str, str],
    everything: str,
    source: str,
) -> VisitorSession:
    """The session of an address; the present one, with a warning, if the address does not fit."""
    try:
        found, gone = read_address(shop, values, everything, source)
    except TpadError as error:
        gr.Warning(str(error), duration=8)
        return present
    snapshot = first if found is None else found
    if values.get("revealed") == "1" and snapshot.target:
        snapshot = replace(snapshot, revealed=True)
    if gone:
        message = "Your own pictures are kept for a limited time; add them again."
        gr.Warning(message, duration=8)
    return reopened(present, snapshot)


def reopened(present: VisitorSession, snapshot: Snapshot) -> VisitorSession:
    """The session with this snapshot; the browser's “back” is the same as an undo."""
    if snapshot == present.now:
        return present
    if present.past and present.past[-1] == snapshot:
        return present.undo()
    return present.open(snapshot)
