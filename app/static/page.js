// What holds for the whole page.
() => {
  // A drop-down menu takes every key for a reason to open, also the one by which it is left.
  window.addEventListener('keydown', (event) => {
    if (event.key === 'Tab' && event.target.closest?.('.secondary-wrap')) event.stopPropagation();
  }, true);
  // It may also be drawn after it was left, where the browser is busy: then it is told so again.
  document.addEventListener('focusout', (event) => {
    const input = event.target;
    const block = input.closest?.('.secondary-wrap')?.closest('.block');
    const close = () => {
      if (block.contains(document.activeElement) || !block.querySelector('[role=option]')) return;
      input.dispatchEvent(new FocusEvent('blur'));
    };
    if (block) for (const wait of [50, 300, 1500]) setTimeout(close, wait);
  });
  // The menu of tabs that have no room closes when it is left.
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
