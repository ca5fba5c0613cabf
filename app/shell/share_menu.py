"""The menu “Share” of the session strip: link, save, open."""

from html import escape
from typing import Any

import gradio as gr

from app.recommend.tab import RecommendTab
from app.shell.actions import Shop, strip_html, with_facts
from app.shell.events import guarded, html
from app.shell.pictures import UPLOADS
from app.shell.sharing import MAX_FILE, Shared, left_out, link, read_file, save
from app.shell.state import VisitorSession
from tpad.errors import DataError

# The menu is a popover: the browser closes it by Escape and by a click elsewhere.
MENU = """
element.addEventListener('toggle', (event) => {
  const menu = event.target;
  const button = document.querySelector('[popovertarget="tp-share"]');
  if (event.newState !== 'open' || !button) return;
  const field = menu.querySelector('.tp-link input');
  if (field) field.value = new URL(menu.dataset.link, location.origin + location.pathname).href;
  const place = button.getBoundingClientRect();
  const left = Math.min(place.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8);
  menu.style.left = `${Math.max(8, left)}px`;
  menu.style.top = `${place.bottom + 6}px`;
}, true);
element.addEventListener('focusout', (event) => {
  const menu = element.querySelector('#tp-share');
  const to = event.relatedTarget;
  if (to && !menu.contains(to) && menu.matches(':popover-open')) menu.hidePopover();
});
element.addEventListener('click', async (event) => {
  if (event.target.closest('[data-act="save"]')) element.querySelector('#tp-share').hidePopover();
  if (event.target.closest('[data-pick]')) element.querySelector('input[type=file]').click();
  const copy = event.target.closest('[data-copy]');
  if (!copy) return;
  const field = element.querySelector('.tp-link input');
  field.select();
  let done = true;
  try { await navigator.clipboard.writeText(field.value); }
  catch { done = document.execCommand('copy'); }  // a page without https has no clipboard
  copy.textContent = done ? 'Copied ✓' : 'Press Ctrl+C';
  setTimeout(() => { copy.textContent = 'Copy'; }, 2500);
});
element.addEventListener('change', async (event) => {
  const file = event.target.files && event.target.files[0];
  if (!file) return;
  event.target.value = '';
  element.querySelector('#tp-share').hidePopover();
  trigger('picked', {text: file.size > LIMIT ? null : await file.text()});
});
""".replace("LIMIT", str(MAX_FILE))

DOWNLOAD = """
watch('value', () => {
  if (!props.value) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([props.value], {type: 'application/json'}));
  link.download = 'tpad-session.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  props.value = '';  // the same session can be saved again
});
"""


def menu(session: VisitorSession, model: str) -> str:
    """The menu's HTML, closed; the strip's button opens it."""
    query, own = link(session, model), left_out(session)
    # First, so that it stays the same element when the rest changes.
    rows = '<input type="file" accept=".json,application/json" hidden aria-label="A saved session">'
    if query:
        rows += (
            "<h3>A link to this session</h3>"
            '<div class="tp-link"><input type="text" readonly aria-label="Link to this session">'
            '<button type="button" class="tp-primary" data-copy aria-live="polite">Copy</button>'
            "</div>"
        )
    if own:
        what = "an item of your own" if own == 1 else f"{own} items of your own"
        rows += (
            f'<p class="tp-muted">A link cannot carry {what}: nothing that you upload is kept. '
            "A file can.</p>"
        )
    off = "" if len(session) else " disabled"
    rows += (
        f'<button type="button" class="tp-choice" data-act="save"{off}>Save as a file'
        '<span class="tp-muted">pictures and all</span></button>'
        '<button type="button" class="tp-choice" data-pick>Open a file'
        '<span class="tp-muted">that was saved here</span></button>'
    )
    return (
        f'<div popover id="tp-share" class="tp-menu" role="group" aria-label="Share this session" '
        f'data-link="{escape(query, quote=True)}">{rows}</div>'
    )


def build(
    shop: Shop,
    first: VisitorSession,
    session: gr.State,
    strip: gr.HTML,
    left: RecommendTab,
    in_turn: dict[str, Any],
) -> gr.HTML:
    """Put the menu on the page and wire it; another session needs another `menu` in it.

    Args:
        first: the session that a visitor meets.
        session, strip: the present one, and where it is shown.
        left: the settings of the recommendations.
        in_turn: options of all listeners that change a session.
    """
    share = html(menu(first, shop.models[0]), MENU, elem_id="share")
    saved = gr.HTML("", html_template="", js_on_load=DOWNLOAD, visible="hidden")

    @guarded(1)
    def from_file(event: gr.EventData) -> Shared:
        data = event._data if isinstance(event._data, dict) else {}
        if not isinstance(data.get("text"), str):
            raise DataError(
                f"A session's file has at most {MAX_FILE // 1_000_000} MB; this has more."
            )
        return read_file(shop, data["text"])

    @guarded(4)
    def open_read(present: VisitorSession, shared: Shared | None) -> Any:
        if shared is None:
            return tuple(gr.skip() for _ in range(4))
        opened = present.open(shared.table)
        return opened, strip_html(shop, opened), shared.model, None

    @guarded(1)
    def to_file(present: VisitorSession, model: str, k: int, exclude: bool) -> str:
        found = shop.recommender.recommend(present.values, int(k), exclude, model)
        settings = {"k": int(k), "exclude_seen": bool(exclude)}
        return save(shop, present, model, settings, with_facts(shop, found))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # Pictures of a file take long to read, and changes of sessions wait for each other: so it is read
    # beside them.
    read = gr.State(None)
    share.picked(from_file, None, read, **quiet, concurrency_limit=UPLOADS, concurrency_id="encode")
    read.change(open_read, [session, read], [session, strip, left.model, read], **quiet, **in_turn)
    share.save(to_file, [session, left.model, left.k, left.exclude_seen], saved, **quiet)
    return share
