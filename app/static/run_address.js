// Writes the open run to the page's address.
watch('value', () => {
  if (element.querySelector('.tb-skeleton')) return;
  const run = element.querySelector('.tb-run');
  window.tpad?.put({run: run ? run.dataset.run : ''});
});
