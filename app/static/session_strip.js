// Scrolls to the item that was added last, and announces changes to screen readers.
const titles = () => [...element.querySelectorAll('.tp-cell:not(.tp-target)')]
  .map((cell) => cell.title.replace(/\.$/, ''));
const size = (count) => count ? `${count} item${count > 1 ? 's' : ''}` : 'empty';
const sentence = (words) => `${words.replace(/\.$/, '')}. `;  // a title may end with a full stop
let earlier = titles();
watch('value', () => {
  const row = element.querySelector('.tp-row'), now = titles();
  const gone = earlier.filter((title) => !now.includes(title));
  const full = element.querySelector('.tp-full'), open = element.querySelector('.tp-target img');
  let words = '';
  if (now.length === earlier.length + 1 && !gone.length) words = sentence(`Added ${now[now.length - 1]}`);
  else if (now.length === earlier.length - 1 && gone.length === 1) words = sentence(`Removed ${gone[0]}`);
  else if (now.length === earlier.length && !gone.length && now.join() !== earlier.join())
    words = 'Moved. ';
  else if (now.join() === earlier.join()) words = open ? sentence(`Clicked next: ${open.alt}`) : '';
  words += `Session: ${full ? full.textContent : size(now.length)}`;
  if (row && now.length > earlier.length) row.scrollLeft = row.scrollWidth;
  earlier = now;
  say(words);
  window.tpad?.session();
});
