// Highlights the same item in every list.
const light = (event, on) => {
  const line = event.target.closest('.tp-line');
  if (!line) return;
  for (const other of element.querySelectorAll('.tp-line'))
    other.classList.toggle('tp-lit', on && other.dataset.id === line.dataset.id);
};
element.addEventListener('pointerover', (event) => light(event, true));
element.addEventListener('pointerout', (event) => light(event, false));
element.addEventListener('focusin', (event) => light(event, true));
element.addEventListener('focusout', (event) => light(event, false));
