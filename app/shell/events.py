"""How cards and buttons in our HTML reach Python, and how errors reach the visitor."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from tpad.errors import TpadError

log = logging.getLogger("app")

# One listener for each block of HTML, so that replaced cards need none of their own. A button that
# goes away with what is redrawn leaves the focus to the one that takes its place.
DELEGATE = """
const buttons = (act) => [...element.querySelectorAll(`[data-act="${act}"]`)];
const say = (words) => {
  const status = document.getElementById('tp-said');
  if (status) status.textContent = words;
};
let pressed = null;
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button || button.disabled) return;
  const act = button.dataset.act, id = button.dataset.id || '';
  if (act === 'theme') { document.body.classList.toggle('dark'); return; }
  if (act === 'more') return;  // the gallery's own
  if (act === 'skip') {
    const places = id.split(', ').flatMap((one) => [...document.querySelectorAll(one)]);
    const place = places.find((one) => one.checkVisibility());
    if (place) { place.tabIndex = -1; place.focus(); }
    return;
  }
  const full = act === 'add' && document.querySelector('.tp-full');
  if (full) {
    say(''); say(full.textContent);
    full.getAnimations().forEach((one) => one.cancel());
    full.animate([{opacity: 0.2}, {opacity: 1}], 500);
    return;
  }
  pressed = {act, id, place: buttons(act).indexOf(button), pointer: event.detail > 0,
    at: Date.now()};
  const own = ['why', 'save'];
  trigger(own.includes(act) ? act : 'click', {act: act, id: id});
});
const successor = ({act, id, place}) => {
  const step = {left: -1, right: 1}[act] || 0;
  const wanted = step ? String(Number(id) + step) : id;
  const cell = buttons(act).find((one) => one.dataset.id === wanted);
  const enabled = buttons(act).filter((one) => !one.disabled);
  const near = cell && cell.disabled && cell.parentElement.querySelector('button:not(:disabled)');
  return (cell && !cell.disabled && cell) || near
    || (act === 'reveal' && element.querySelector('.tp-target'))
    || enabled[Math.min(place, enabled.length - 1)]
    || element.querySelector('button:not(:disabled)')
    || (!element.querySelector('.tb-skeleton') && before());
};
const before = () => [...document.querySelectorAll('button:not(:disabled)')].filter((one) =>
  one.checkVisibility()
  && element.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_PRECEDING).pop();
watch('value', () => {
  const at = document.activeElement;
  const lost = !at || at === document.body || at.disabled;
  // What is moved takes the focus with it, also where the button that was pressed stays.
  const moves = pressed && ['left', 'right'].includes(pressed.act) && element.contains(at);
  const next = pressed && (lost || moves) && successor(pressed);
  if (next) next.focus({preventScroll: pressed.pointer});
  // Two quick presses bring two answers: the second may be the one that takes the button away.
  if (next || (pressed && Date.now() - pressed.at > 5000)) pressed = null;
});
"""


# A longer session ends in the item that was added last: bring it into sight. What has changed is
# said to those who do not see it.
FOLLOW = """
const titles = () => [...element.querySelectorAll('.tp-cell:not(.tp-target)')].map((c) => c.title);
const size = (count) => count ? `${count} item${count > 1 ? 's' : ''}` : 'empty';
let earlier = titles();
watch('value', () => {
  const row = element.querySelector('.tp-row'), now = titles();
  const gone = earlier.filter((title) => !now.includes(title));
  const full = element.querySelector('.tp-full'), open = element.querySelector('.tp-target img');
  let words = '';
  if (now.length === earlier.length + 1 && !gone.length) words = `Added ${now[now.length - 1]}. `;
  else if (now.length === earlier.length - 1 && gone.length === 1) words = `Removed ${gone[0]}. `;
  else if (now.length === earlier.length && !gone.length && now.join() !== earlier.join())
    words = 'Moved. ';
  else if (now.join() === earlier.join()) words = open ? `Clicked next: ${open.alt}. ` : '';
  words += `Session: ${full ? full.textContent : size(now.length)}`;
  if (row && now.length > earlier.length) row.scrollLeft = row.scrollWidth;
  earlier = now;
  say(words);
  window.tpad?.session();
});
"""

# The next page of the gallery is appended when its button comes near the window, or is pressed.
# Cards that are there already are neither sent nor drawn again.
ENDLESS = """
let loading = false;
const observer = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) append();
}, {rootMargin: '0px 0px 900px 0px'});
const watchEnd = () => {
  observer.disconnect();
  const button = element.querySelector('.tp-more');
  if (button) observer.observe(button);
};
const append = async () => {
  const button = element.querySelector('.tp-more');
  if (!button || loading) return;
  const asked = button.dataset.next, focused = document.activeElement === button;
  loading = true;
  let found = null;
  try { found = await server.next_page(asked); } catch { observer.disconnect(); }
  loading = false;
  if (button.isConnected && button.dataset.next === asked && found !== null) {
    const part = document.createElement('template');
    part.innerHTML = found;
    const cards = [...part.content.querySelectorAll('li')];
    element.querySelector('.tp-catalogue').append(...cards);
    button.remove();
    element.append(...part.content.querySelectorAll('.tp-more'));
    if (focused && cards.length) cards[0].querySelector('button').focus({preventScroll: true});
  }
  if (found !== null) watchEnd();
};
element.addEventListener('click', (event) => {
  if (event.target.closest('.tp-more')) append();
});
watch('value', watchEnd);
watchEnd();
"""

# A dialog opens as soon as it is there, closes by ✕, Escape or a click beside it, and is then gone,
# so that the same answer can open again.
DIALOG = """
watch('value', () => {
  const dialog = element.querySelector('dialog');
  if (!dialog || dialog.open) return;
  dialog.addEventListener('close', () => { props.value = ''; });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
  });
  dialog.showModal();
});
"""

# What was just answered is brought into sight.
IN_SIGHT = """
watch('value', () => {
  const answer = element.firstElementChild;
  if (answer && answer.childElementCount) answer.scrollIntoView({block: 'nearest'});
});
"""

# The same item lights up in every list.
LIGHT_UP = """
const light = (event, on) => {
  const line = event.target.closest('.tp-line');
  if (!line) return;
  for (const other of element.querySelectorAll('.tp-line'))
    other.classList.toggle('tp-lit', on && other.dataset.id === line.dataset.id);
};
element.addEventListener('pointerover', (event) => light(event, true));
element.addEventListener('pointerout', (event) => light(event, false));
element.addEventListener('focusin', (event) => light(event, true));
element.addEventListener('focusout', (event) => light(event, false));
"""


def html(value: str, script: str = "", **options: Any) -> gr.HTML:
    """A block of our own HTML whose `data-act` buttons trigger `click` (or `why`, `save`).

    Args:
        script: JavaScript to run beside, when the block is shown.
        options: further arguments of `gr.HTML`.
    """
    return gr.HTML(
        value,
        js_on_load=DELEGATE + script,
        apply_default_css=False,
        container=False,
        **options,
    )


def told(event: gr.EventData) -> tuple[str, str]:
    """The `act` and `id` of a click; whatever a page sends, both are short strings."""
    data = event._data if isinstance(event._data, dict) else {}
    return str(data.get("act", ""))[:40], str(data.get("id", ""))[:400]


def guarded(outputs: int) -> Callable[[Callable], Callable]:
    """Turns an error of the handler into one sentence on the page, and leaves the page as it is.

    Args:
        outputs: how many outputs the handler has.
    """

    def wrap(handler: Callable) -> Callable:
        @functools.wraps(handler)
        def safe(*args: Any) -> Any:
            try:
                return handler(*args)
            except TpadError as error:
                gr.Warning(str(error), duration=8)
            except Exception:
                log.exception("%s failed", handler.__name__)
                gr.Warning("That did not work; the server's log says why.", duration=8)
            return gr.skip() if outputs == 1 else tuple(gr.skip() for _ in range(outputs))

        return safe

    return wrap
