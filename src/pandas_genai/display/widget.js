// What the scripts of all widgets begin with.

function make(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// The number and letter keys mean the same on every keyboard: on a French one the digits need Shift,
// on a Greek one S is no s.
function keyOf(event) {
  const digit = /^Digit([0-9])$/.exec(event.code);
  if (digit) return digit[1];
  const letter = /^Key([A-Z])$/.exec(event.code);
  return letter && !/^[a-z]$/i.test(event.key) && event.key.length === 1 ? letter[1] : event.key;
}

