// Writes the open case to the page's address, and announces it.
watch('value', () => {
  const toolbar = element.querySelector('.tp-case-toolbar');
  if (toolbar) {
    say(`Case ${toolbar.querySelector('b').textContent} of ${toolbar.dataset.count}`);
    window.tpad?.put(JSON.parse(toolbar.dataset.address));
  }
});
