// Sorts a table by a click on a heading, and again after it is redrawn.
const sorts = {};
const cell = (row, place) => row.children[place].dataset.v;
const order = (table) => {
  const sort = sorts[table.dataset.name];
  if (!sort) return;
  const rows = [...table.tBodies[0].rows];
  const numbers = rows.every((row) => !cell(row, sort.place) || !isNaN(cell(row, sort.place)));
  const compare = (a, b) => {
    const [x, y] = [cell(a, sort.place), cell(b, sort.place)];
    if (!x || !y) return (x ? 0 : 1) - (y ? 0 : 1);
    const less = numbers ? x - y : x.localeCompare(y);
    return sort.down ? -less : less;
  };
  table.tBodies[0].append(...rows.sort(compare));
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if (head.hasAttribute('aria-sort')) head.setAttribute('aria-sort',
      place !== sort.place ? 'none' : sort.down ? 'descending' : 'ascending');
  });
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-sort]');
  if (!button) return;
  const table = button.closest('table'), head = button.closest('th');
  const now = head.getAttribute('aria-sort');
  sorts[table.dataset.name] = {
    place: Number(button.dataset.sort),
    down: now === 'none' ? button.dataset.down === '1' : now === 'ascending',
  };
  order(table);
});
watch('value', () => element.querySelectorAll('.tb-table').forEach(
  (table) => table.dataset.name && order(table)));
