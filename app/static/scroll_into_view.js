// What was just answered is brought into sight.
watch('value', () => {
  const answer = element.firstElementChild;
  if (answer && answer.childElementCount) answer.scrollIntoView({block: 'nearest'});
});
