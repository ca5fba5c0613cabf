// Writes the open case to the page's address.
watch('value', () => {
  const walker = element.querySelector('.tp-walker');
  if (walker) window.tpad?.put(JSON.parse(walker.dataset.address));
});
