// Going through texts with the keyboard. The kernel keeps the rows; the page asks for one at a time,
// and while an answer is on its way it only remembers where the reader wants to be by now.

const HELP = "← → one row · Page Up, Page Down ten · Home, End · / search · f filter · ↑ ↓ scroll · Esc leave";

function render({ model, el }) {
  const quoted = model.get("quoted");
  const colors = model.get("colors");
  let view = model.get("view");
  let wanted = { at: view.at, filter: model.get("filters")[0][0], search: "" };
  let turn = 0; // of the last question that was sent
  let waiting = false;
  let later = false; // whether the reader has gone on meanwhile

  function color(field) {
    return colors[field % colors.length];
  }

  function marked(text, fields) {
    const [first, ...others] = fields.map(color);
    const mark = make("mark", { title: fields.map((field) => quoted[field]).join(", ") }, text);
    mark.style.background = `color-mix(in srgb, ${first} 38%, transparent)`;
    mark.style.boxShadow = others.map((one, at) => `0 ${2 * at + 2}px ${one}`).join(", ");
    return mark;
  }

  const search = make("input", {
    type: "search", placeholder: "search", "aria-label": "search in the texts", dir: "auto", oninput: onSearch,
  });
  const filter = make("select", { "aria-label": "which rows", onchange: onFilter });
  for (const [name, count] of model.get("filters")) {
    filter.append(make("option", { value: name }, `${name} (${count.toLocaleString("en")})`));
  }
  const back = make("button", { type: "button", "aria-label": "the row before", onclick: () => go(wanted.at - 1) }, "←");
  const on = make("button", { type: "button", "aria-label": "the next row", onclick: () => go(wanted.at + 1) }, "→");
  const place = make("span", { role: "status", "aria-live": "polite" });
  const legend = make("div", { class: "legend" }, ...quoted.map((name, field) => marked(name, [field])));
  const text = make("div", { class: "text" });
  const answers = make("div", { class: "answers" });
  // JupyterLab looks at keys before this element does; where this attribute stands it does not.
  const root = make(
    "div",
    {
      class: "pandas-genai-widget pandas-genai-browse tex2jax_ignore mathjax_ignore",
      tabindex: "0",
      role: "application",
      "aria-label": "Texts and answers",
      "data-lm-suppress-shortcuts": "true",
      onkeydown: onKey,
    },
    make("div", { class: "head" }, back, on, place, filter, search),
    ...(quoted.length ? [legend] : []),
    make("div", { class: "row" }, text, answers),
    make("div", { class: "quiet" }, HELP),
  );
  el.append(root);

  function go(at) {
    wanted.at = Math.max(0, Math.min(at, view.count - 1));
    ask();
  }

  function onSearch() {
    wanted = { ...wanted, search: search.value, at: 0 };
    ask();
  }

  function onFilter() {
    wanted = { ...wanted, filter: filter.value, at: 0 };
    ask();
    root.focus({ preventScroll: true });
  }

  function ask() {
    if (waiting) {
      later = true;
      return;
    }
    waiting = true;
    later = false;
    turn += 1;
    model.send({ ...wanted, turn });
  }

  function onView() {
    view = model.get("view");
    if (view.turn === turn) waiting = false;
    draw();
    if (later) ask();
    else wanted.at = view.at;
  }

  function draw() {
    const counted = (number) => number.toLocaleString("en");
    const of = view.count === view.total ? "" : ` (of all ${counted(view.total)})`;
    place.textContent = view.count ? `${counted(view.at + 1)} of ${counted(view.count)}${of}` : `no row${of}`;
    root.dataset.turn = String(view.turn);
    const row = view.row;
    text.replaceChildren();
    answers.replaceChildren();
    if (!row) return;
    text.append(make("div", { class: "quiet" }, row.label));
    for (const [name, segments] of row.parts) {
      if (name) text.append(make("div", { class: "quiet", dir: "auto" }, name));
      const pieces = segments.map(([piece, fields]) => (fields.length ? marked(piece, fields) : piece));
      text.append(make("div", { class: "part", dir: "auto" }, ...pieces));
    }
    for (const field of row.fields) answers.append(...drawField(field));
    text.scrollTop = 0;
  }

  function drawField(field) {
    const name = make("div", { class: "name", dir: "auto" }, field.name);
    if (field.color !== undefined) name.style.borderLeftColor = color(field.color);
    const value = make("div", { class: "value" });
    value.append(
      field.value === null ? make("span", { class: "quiet" }, "missing") : make("span", { dir: "auto" }, field.value),
    );
    for (const [key, who] of [["gold", "gold"], ["other", "the other run"]]) {
      if (!field[key]) continue;
      const [theirs, differs] = field[key];
      const shown = make("div", { class: differs ? "differs" : "quiet", dir: "auto" });
      shown.append(`${who}: ${theirs ?? "missing"}`);
      value.append(shown);
    }
    for (const [quote, how] of field.quotes ?? []) {
      value.append(make("div", { class: "quiet", dir: "auto" }, `${how}: ${quote || "no words"}`));
    }
    return [name, value];
  }

  function onKey(event) {
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      if (event.target === root) root.blur();
      else root.focus({ preventScroll: true });
      return;
    }
    if (event.target === search) {
      if (event.key === "Enter") {
        event.preventDefault();
        root.focus({ preventScroll: true });
      }
      return;
    }
    if (event.target === filter) return;
    const actions = {
      ArrowLeft: () => go(wanted.at - 1),
      ArrowRight: () => go(wanted.at + 1),
      PageUp: () => go(wanted.at - 10),
      PageDown: () => go(wanted.at + 10),
      Home: () => go(0),
      End: () => go(view.count - 1),
      ArrowUp: () => text.scrollBy(0, -60),
      ArrowDown: () => text.scrollBy(0, 60),
      "/": () => search.focus({ preventScroll: true }),
      f: () => filter.focus({ preventScroll: true }),
    };
    const key = keyOf(event);
    const action = actions[event.key === "/" ? "/" : key.length === 1 ? key.toLowerCase() : key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  draw();
  model.on("change:view", onView);
  return () => model.off("change:view", onView);
}

export default { render };
