"""The menu “Share” of the session strip: copy a link, save a file, open a file."""

from typing import Any

import gradio as gr

from app.shell.actions import strip_html
from app.shell.events import guarded, html, skip_all
from app.shell.exploration import share_of
from app.shell.ranking_settings import RankingSettings
from app.shell.session import VisitorSession
from app.shell.sharing import MAX_FILE, TOO_LARGE, Shared, left_out, link, read_file, save
from app.shell.shop import Shop, with_item_facts
from app.shell.static_files import script
from app.shell.templates import render
from tpad.errors import DataError


def menu(session: VisitorSession, model: str) -> str:
    """The menu's HTML, closed; the strip's button opens it."""
    return render(
        "shell/share_menu.html",
        link=link(session, model),
        left_out=left_out(session),
        can_save=len(session) > 0,
    )


def build(
    shop: Shop,
    first: VisitorSession,
    session: gr.State,
    strip: gr.HTML,
    settings: RankingSettings,
    in_turn: dict[str, Any],
) -> gr.HTML:
    """Put the menu on the page and wire it. It has to be drawn again when the session changes.

    Args:
        shop: the open bundle.
        first: the session of a fresh page.
        session, strip: the present session, and where it is shown.
        settings: of the recommendations.
        in_turn: options of all listeners that change a session.
    """
    code = script("share_menu.js", LIMIT=MAX_FILE)
    share = html(menu(first, shop.models[0]), code, elem_id="share")
    saved = gr.HTML("", html_template="", js_on_load=script("download.js"), visible="hidden")

    @guarded(1)
    def from_file(event: gr.EventData) -> Shared:
        data = event._data if isinstance(event._data, dict) else {}
        if not isinstance(data.get("text"), str):
            raise DataError(TOO_LARGE)
        return read_file(shop, data["text"])

    @guarded(4)
    def open_file(present: VisitorSession, shared: Shared | None) -> Any:
        if shared is None:
            return skip_all(4)
        opened = present.open(shared.snapshot)
        return opened, strip_html(shop, opened), shared.model, None

    @guarded(1)
    def to_file(present: VisitorSession, model: str, k: int, exclude: bool, new_items: str) -> str:
        share = share_of(shop, model, new_items)
        found = shop.recommender.recommend(present.values, int(k), exclude, model, share)
        options = {"k": int(k), "exclude_seen": bool(exclude), "exploration": share}
        return save(shop, present, model, options, with_item_facts(shop, found))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # The pictures of a file take long to read, and changes of sessions wait for each other: so the
    # file is read outside that queue.
    read = gr.State(None)
    share.picked(from_file, None, read, **quiet, concurrency_limit=None)
    outputs = [session, strip, settings.model, read]
    read.change(open_file, [session, read], outputs, **quiet, **in_turn)
    share.save(to_file, [session, *settings.all], saved, **quiet)
    return share
