// The menu is a popover: the browser closes it with Escape and with a click elsewhere.
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
  if (done) copy.focus();
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
