// Appends the next page of the gallery when its button comes near the window or is pressed. Cards that
// are already there are not sent or drawn again.
let loading = false;
const observer = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) append();
}, {rootMargin: '0px 0px 900px 0px'});
const watchEnd = () => {
  observer.disconnect();
  const button = element.querySelector('.tp-more');
  if (button) observer.observe(button);
};
const append = async () => {
  const button = element.querySelector('.tp-more');
  if (!button || loading) return;
  const asked = button.dataset.next, focused = document.activeElement === button;
  loading = true;
  let found = null;
  try { found = await server.next_page(asked); } catch { observer.disconnect(); }
  loading = false;
  if (button.isConnected && button.dataset.next === asked && found !== null) {
    const part = document.createElement('template');
    part.innerHTML = found;
    const cards = [...part.content.querySelectorAll('li')];
    element.querySelector('.tp-catalogue').append(...cards);
    button.remove();
    element.append(...part.content.querySelectorAll('.tp-more'));
    if (focused && cards.length) cards[0].querySelector('button').focus({preventScroll: true});
  }
  if (found !== null) watchEnd();
};
element.addEventListener('click', (event) => {
  if (event.target.closest('.tp-more')) append();
});
watch('value', () => {
  const found = element.querySelector('[data-found]')?.dataset.found;
  say(found ? `${found} product${found === '1' ? '' : 's'} found` : 'Nothing found');
  watchEnd();
});
watchEnd();
