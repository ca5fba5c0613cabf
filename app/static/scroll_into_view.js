// Scrolls to what was just drawn.
watch('value', () => {
  const answer = element.firstElementChild;
  if (answer && answer.childElementCount) answer.scrollIntoView({block: 'nearest'});
});
