// Writes the open case to the page's address.
watch('value', () => {
  const toolbar = element.querySelector('.tp-case-toolbar');
  if (toolbar) window.tpad?.put(JSON.parse(toolbar.dataset.address));
});
