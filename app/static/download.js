// Downloads the session as a file.
watch('value', () => {
  if (!props.value) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([props.value], {type: 'application/json'}));
  link.download = 'tpad-session.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  props.value = '';  // the same session can be saved again
});
