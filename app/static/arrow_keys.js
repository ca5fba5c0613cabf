// The arrow keys lead to the previous and the next case, unless the visitor is typing.
document.addEventListener('keydown', (event) => {
  if (!element.isConnected || element.offsetParent === null) return;
  if (event.target.closest('input, textarea, [role="listbox"], [role="tablist"]')) return;
  const act = {ArrowLeft: 'back', ArrowRight: 'on'}[event.key];
  const button = act && element.querySelector(`[data-act="${act}"]`);
  if (button && !button.disabled) { event.preventDefault(); button.click(); }
});
