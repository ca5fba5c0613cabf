// Keyboard fixes for the whole page.
() => {
  const MENU = '.secondary-wrap input[role="combobox"]';
  const isOpen = (input) => input.getAttribute('aria-expanded') === 'true';
  let keyboard = false;  // the last input came from the keyboard
  let chosen = null;  // the menu in which Enter was pressed

  window.addEventListener('pointerdown', () => { keyboard = false; }, true);
  window.addEventListener('keydown', (event) => {
    keyboard = true;
    chosen = null;
    if (event.key === 'Tab') groupRadios();
    if (event.target.matches?.(MENU)) menuKey(event, event.target);
    else if (event.target.matches?.('fieldset input[type="radio"]')) radioKey(event, event.target);
  }, true);

  // A drop-down menu opens on a key, not when the focus reaches it.
  window.addEventListener('focus', (event) => {
    if (keyboard && event.isTrusted && event.target.matches?.(MENU)) event.stopImmediatePropagation();
  }, true);
  const menuKey = (event, input) => {
    const arrow = event.key === 'ArrowDown' || event.key === 'ArrowUp';
    const press = event.key === 'Enter' || (event.key === ' ' && input.readOnly);
    if (arrow || press) event.preventDefault();  // or the page would scroll
    if (event.key === 'Tab') {
      event.stopPropagation();  // Gradio opens the menu on every key
      const list = input.closest('.block').querySelector('[role="listbox"]');
      if (list) list.tabIndex = -1;  // the list disappears, and the focus with it
    } else if (!isOpen(input) && (arrow || press || input.readOnly)) {
      event.stopPropagation();
      if (arrow || press) input.dispatchEvent(new FocusEvent('focus'));  // opens it
    } else if (event.key === ' ' && press) {
      event.stopPropagation();
      input.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
    } else if (event.key === 'Enter') {
      chosen = input;
    }
  };
  // Gradio takes the focus away from a menu after a choice.
  document.addEventListener('focusout', (event) => {
    const input = event.target;
    if (input !== chosen || event.relatedTarget) return;
    chosen = null;
    setTimeout(() => input.focus({preventScroll: true}));
  });
  // In a busy browser a menu may open after it was left: then it is closed again.
  document.addEventListener('focusout', (event) => {
    const input = event.target;
    const block = input.closest?.('.secondary-wrap')?.closest('.block');
    const close = () => {
      if (block.contains(document.activeElement) || !block.querySelector('[role=option]')) return;
      input.dispatchEvent(new FocusEvent('blur'));
    };
    if (block) for (const wait of [50, 300, 1500]) setTimeout(close, wait);
  });

  // Gradio's radio buttons have neither a group nor arrow keys.
  const groupRadios = () => {
    for (const group of document.querySelectorAll('fieldset:has(input[type="radio"])')) {
      const label = group.querySelector('[data-testid="block-info"]');
      group.setAttribute('role', 'radiogroup');
      if (label) group.setAttribute('aria-label', label.textContent.trim());
      const radios = [...group.querySelectorAll('input[type="radio"]')];
      const stop = radios.find((radio) => radio.checked) || radios[0];
      for (const radio of radios) radio.tabIndex = radio === stop ? 0 : -1;
    }
  };
  const radioKey = (event, radio) => {
    const step = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    const radios = [...radio.closest('fieldset').querySelectorAll('input[type="radio"]')];
    const next = radios.at((radios.indexOf(radio) + step) % radios.length);
    next.focus();
    next.click();
  };

  // Gradio names the buttons that remove a choice by its number.
  const nameTokens = () => {
    for (const token of document.querySelectorAll('.token')) {
      const button = token.querySelector('.token-remove');
      if (button) button.title = `Remove ${token.textContent.trim()}`;
    }
  };
  const nameAll = () => { groupRadios(); nameTokens(); };
  new MutationObserver(nameAll).observe(document.body, {childList: true, subtree: true});
  nameAll();

  // Browsers leave an element where it is when a part of it is visible.
  document.addEventListener('focusin', (event) => {
    const target = event.target;
    if (!keyboard || !target.matches(':focus-visible')) return;
    const row = target.closest('.tp-row');
    if (row) {  // the strip itself stays where it is
      const cell = target.closest('.tp-cell').getBoundingClientRect();
      const {left, right} = row.getBoundingClientRect();
      row.scrollLeft += Math.max(0, cell.right - right) + Math.min(0, cell.left - left);
    } else if (!target.closest('#session, .tp-rating, dialog, [popover]')) {
      target.scrollIntoView({block: 'nearest', inline: 'nearest'});
    }
  });

  // The overflow menu of the tabs closes when it loses the focus.
  document.addEventListener('focusout', (event) => {
    const menu = event.target.closest('.overflow-menu');
    if (!menu || !event.relatedTarget || menu.contains(event.relatedTarget)) return;
    const button = menu.querySelector('button');
    const list = menu.querySelector('.overflow-dropdown');
    if (list && list.checkVisibility()) button.click();
  });
  // The tab that was chosen in it takes the focus.
  document.addEventListener('click', (event) => {
    if (!keyboard || !event.target.closest?.('.overflow-dropdown button')) return;
    setTimeout(() => document.querySelector('#tabs [role="tab"][aria-selected="true"]')?.focus(), 50);
  });
  document.addEventListener('keydown', (event) => {
    const menu = event.key === 'Escape' && event.target.closest('.overflow-menu');
    const list = menu && menu.querySelector('.overflow-dropdown');
    if (!list || !list.checkVisibility()) return;
    menu.querySelector('button').click();
    menu.querySelector('button').focus();
  });
}
