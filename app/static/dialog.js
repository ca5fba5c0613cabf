// A dialog opens as soon as it is there, closes by ✕, Escape or a click beside it, and is then gone,
// so that the same answer can open again.
watch('value', () => {
  const dialog = element.querySelector('dialog');
  if (!dialog || dialog.open) return;
  dialog.addEventListener('close', () => { props.value = ''; });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
  });
  dialog.showModal();
});
