// Writes the open case to the page's address, and announces it.
watch('value', () => {
  const walker = element.querySelector('.tp-walker');
  if (walker) say(`Case ${walker.querySelector('b').textContent} of ${walker.dataset.count}`);
  if (walker) window.tpad?.put(JSON.parse(walker.dataset.address));
});
