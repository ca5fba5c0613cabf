// Keyboard fixes for the whole page.
() => {
  // A drop-down menu opens on every key, also on the one that leaves it.
  window.addEventListener('keydown', (event) => {
    if (event.key === 'Tab' && event.target.closest?.('.secondary-wrap')) event.stopPropagation();
  }, true);
  // In a busy browser it may open after it was left: then it is closed again.
  document.addEventListener('focusout', (event) => {
    const input = event.target;
    const block = input.closest?.('.secondary-wrap')?.closest('.block');
    const close = () => {
      if (block.contains(document.activeElement) || !block.querySelector('[role=option]')) return;
      input.dispatchEvent(new FocusEvent('blur'));
    };
    if (block) for (const wait of [50, 300, 1500]) setTimeout(close, wait);
  });
  // The overflow menu of the tabs closes when it loses the focus.
  document.addEventListener('focusout', (event) => {
    const menu = event.target.closest('.overflow-menu');
    if (!menu || !event.relatedTarget || menu.contains(event.relatedTarget)) return;
    const button = menu.querySelector('button');
    const list = menu.querySelector('.overflow-dropdown');
    if (list && list.checkVisibility()) button.click();
  });
  document.addEventListener('keydown', (event) => {
    const menu = event.key === 'Escape' && event.target.closest('.overflow-menu');
    const list = menu && menu.querySelector('.overflow-dropdown');
    if (!list || !list.checkVisibility()) return;
    menu.querySelector('button').click();
    menu.querySelector('button').focus();
  });
}
