// One click listener per block of HTML, so that replaced cards need none of their own. When a button
// disappears in a redraw, the focus moves to the one that takes its place.
const buttons = (act) => [...element.querySelectorAll(`[data-act="${act}"]`)];
const say = (words) => {
  const status = document.getElementById('tp-status');
  if (status) status.textContent = words;
};
let pressed = null;
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button || button.disabled) return;
  const act = button.dataset.act, id = button.dataset.id || '';
  if (act === 'theme') { document.body.classList.toggle('dark'); return; }
  if (act === 'more') return;  // handled by gallery.js
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
  // The focus follows an element that is moved, even if the pressed button is still there.
  const moves = pressed && ['left', 'right'].includes(pressed.act) && element.contains(at);
  const next = pressed && (lost || moves) && successor(pressed);
  if (next) next.focus({preventScroll: pressed.pointer});
  // Two quick presses have two answers: the second may be the one that removes the button.
  if (next || (pressed && Date.now() - pressed.at > 5000)) pressed = null;
});
