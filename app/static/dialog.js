// Opens a dialog as soon as it is drawn. It closes with ✕, Escape or a click beside it, and is then
// removed, so that the same dialog can open again.
watch('value', () => {
  const dialog = element.querySelector('dialog');
  if (!dialog || dialog.open) return;
  dialog.addEventListener('close', () => { props.value = ''; });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
  });
  dialog.showModal();
});
