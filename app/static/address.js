// Keeps what the page shows in its address, so that reload, back and forward restore it.
//
// `shown` has what differs from a fresh page, by the keys of the query (KEYS). TABS maps the label of a
// tab to its name. A change of the session, the tab, the dashboard's section or run is a new step for
// "back"; any other change belongs to the current step. The visitor's own pictures are not in the
// address: their keys are in the state of the step, which is not part of a link.
const STEPS = ['tab', 'section', 'run'];
const MAX_QUERY = 3500;  // characters; a longer session is only in the state of the step
const shown = {};
let settling = true;

const strip = () => {
  const found = document.querySelector('#session .tp-strip');
  return found ? found.dataset : {};
};
const fresh = {...strip()};
const encoded = (text) => encodeURIComponent(text).replace(/%2C/g, ',').replace(/%3A/g, ':');

const write = (step) => {
  const others = [...new URLSearchParams(location.search)].filter(([key]) => !KEYS.includes(key));
  const own = KEYS.filter((key) => shown[key] !== undefined).map((key) => [key, shown[key]]);
  const line = (pairs) => pairs.map(([key, text]) => `${encoded(key)}=${encoded(text)}`).join('&');
  let query = line([...others, ...own]);
  if (query.length > MAX_QUERY)
    query = line([...others, ...own.filter(([key]) => key !== 'session')]);
  const url = location.pathname + (query ? `?${query}` : '') + location.hash;
  const {all = '', source = ''} = strip();
  const state = {...history.state, tpad: {all: shown.session === undefined ? '' : all, source}};
  history[step ? 'pushState' : 'replaceState'](state, '', url);
};

const put = (values, usual = {}) => {
  if (settling) return;
  let changed = false, step = false;
  for (const [key, value] of Object.entries(values)) {
    const text = Array.isArray(value) ? value.join(',') : value === true ? '1'
      : value === false ? '0' : value === null || value === undefined ? '' : String(value);
    const now = text === (usual[key] ?? '') ? undefined : text;
    if (shown[key] === now) continue;
    if (now === undefined) delete shown[key]; else shown[key] = now;
    changed = true;
    step = step || STEPS.includes(key);
  }
  if (changed) write(step);
};

let last = fresh.all;
const session = (quiet) => {
  if (settling) return;
  const {session: ids = '', next = '', revealed = '', all = ''} = strip();
  const before = JSON.stringify([shown.session, shown.next, shown.revealed, last]);
  delete shown.session; delete shown.next; delete shown.revealed;
  if (all !== fresh.all || next !== fresh.next) {
    shown.session = ids;  // an empty one too
    if (next) shown.next = next;
  }
  if (revealed) shown.revealed = revealed;
  last = all;
  if (before !== JSON.stringify([shown.session, shown.next, shown.revealed, last])) write(!quiet);
};

const restore = () => {
  const query = new URLSearchParams(location.search);
  for (const key of KEYS) {
    if (query.has(key)) shown[key] = query.get(key); else delete shown[key];
  }
  const {all = '', source = ''} = history.state?.tpad || {};
  settling = true;
  setTimeout(settled, 10000, ++restores);
  trigger('moved', {query: {...shown}, all, source});
};
let restores = 0;
const settled = (number) => {
  if (number !== restores) return;
  settling = false;
  session(true);
};

// Gradio also reports a tab that was already left, so the open tab is read from the page.
const tab = async () => {
  await new Promise((then) => setTimeout(then, 50));
  const open = document.querySelector('#tabs [role="tab"][aria-selected="true"]');
  const name = TABS[open ? open.textContent.trim() : ''] || Object.values(TABS)[0];
  const earlier = document.body.dataset.tab;
  document.body.dataset.tab = name;
  // A button of the tab that was left had the focus.
  const lost = document.activeElement === document.body && !settling;
  if (open && lost && earlier && earlier !== name) open.focus({preventScroll: true});
  put({tab: name}, {tab: Object.values(TABS)[0]});
  return name;
};

// A busy browser may mark the new tab only after Gradio has reported it.
const marks = {subtree: true, attributes: true, attributeFilter: ['aria-selected']};
new MutationObserver(tab).observe(document.querySelector('#tabs') || document.body, marks);

window.tpad = {put, session, tab};
window.addEventListener('popstate', restore);
watch('value', () => setTimeout(settled, 250, restores));
if (KEYS.some((key) => new URLSearchParams(location.search).has(key)) || history.state?.tpad?.all) {
  setTimeout(restore);
} else {
  settling = false;
}
