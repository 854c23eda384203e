// Coding by hand with the keyboard alone. What is shown comes from the kernel as one value, `view`;
// each key that decides sends one message, and nothing else happens before the next view is there.

const HELP = {
  labels: "1-9 label · 0 leave empty · ← back · → forward · s skip · n note · ↑ ↓ scroll · Esc leave",
  list: "1-9 on and off · Enter keep · 0 leave empty · ← back · → forward · s skip · n note · Esc leave",
  input: "Enter keep · Esc then: 0 leave empty, ← back, → forward, s skip, n note",
};
const SLOW_MS = 4000;
const FOCUS_MS = 2000;

function render({ model, el }) {
  const fields = model.get("fields");
  // JupyterLab looks at keys before this element does; where this attribute stands it does not.
  const root = make("div", {
    class: "pandas-genai-widget pandas-genai-coding tex2jax_ignore mathjax_ignore",
    tabindex: "0",
    role: "application",
    "aria-label": "Coding by hand",
    "data-lm-suppress-shortcuts": "true",
    onkeydown: onKey,
  });
  el.append(root);

  let view = model.get("view");
  let waiting = null; // a timer, while the kernel keeps a decision
  let typed = ""; // digits of a label's number, where there are ten labels or more
  let picked = []; // what is switched on in a list
  let draft = null; // what was typed and not allowed
  let noting = false;

  function send(message) {
    if (waiting !== null) return;
    waiting = setTimeout(() => {
      status.textContent = "Waiting for the kernel. What was kept before is safe.";
    }, SLOW_MS);
    root.setAttribute("aria-busy", "true");
    model.send({ at: view.at, ...message });
  }

  function set(value) {
    draft = typeof value === "string" ? value : null;
    send({ do: "set", field: fields[view.active].name, value });
  }

  let status = null;

  function onView() {
    const before = view;
    view = model.get("view");
    clearTimeout(waiting);
    waiting = null;
    typed = "";
    root.removeAttribute("aria-busy");
    const same = before.at === view.at && before.active === view.active;
    if (!view.error) {
      draft = null;
      noting = false;
    }
    if (!same || !view.error) picked = pickedNow();
    const top = same ? root.querySelector(".text")?.scrollTop : 0;
    const mine = root.contains(document.activeElement);
    draw();
    const text = root.querySelector(".text");
    if (text) text.scrollTop = top ?? 0;
    if (mine) focus();
  }

  function pickedNow() {
    const code = view.finished ? null : view.codes[fields[view.active].name];
    return Array.isArray(code) ? [...code] : [];
  }

  function focus() {
    (root.querySelector("input") ?? root).focus({ preventScroll: true });
  }

  function draw() {
    status = make("div", { class: "status", role: "status" }, view.error ?? "");
    const counts = `${view.done} of ${view.total} coded` + (view.skipped ? `, ${view.skipped} skipped` : "");
    const bar = make("progress", { max: view.total, value: view.done, "aria-label": counts });
    const head = make("div", { class: "head" }, bar, make("span", {}, counts));
    if (view.finished) {
      const left = view.total - view.done;
      const ask = left ? `${left} left: Enter goes through them.` : "All texts are coded.";
      root.replaceChildren(head, make("p", {}, `${ask} ← goes back.`), status);
      return;
    }
    const mark = { done: " · coded", skipped: " · skipped" }[view.state] ?? "";
    head.append(make("span", { class: "quiet" }, `text ${view.at + 1}${mark}`));
    const text = make("div", { class: "text", dir: "auto", "aria-live": "polite" }, view.text);
    const parts = fields.map((field, place) => drawField(field, place));
    root.replaceChildren(head, text, ...parts, drawNote(), status, make("div", { class: "quiet" }, help()));
  }

  function help() {
    const field = fields[view.active];
    if (noting || field.labels.length === 0) return HELP.input;
    return field.list ? HELP.list : HELP.labels;
  }

  function drawField(field, place) {
    const code = view.codes[field.name];
    const isCoded = field.name in view.codes;
    if (place !== view.active) {
      const shown = Array.isArray(code) ? code.join("; ") || "none" : (code ?? (isCoded ? "left empty" : "…"));
      const choice = { class: "field", onclick: () => send({ do: "choose", field: place }) };
      const name = make("b", { dir: "auto" }, field.name);
      return make("div", choice, name, make("span", { dir: "auto" }, shown));
    }
    const legend = make("legend", { dir: "auto" }, field.name);
    if (field.description) {
      legend.append(make("span", { class: "quiet", dir: "auto" }, ` ${field.description}`));
    }
    const box = make("fieldset", { class: "active" }, legend);
    if (field.labels.length) {
      const on = field.list ? picked : [code];
      field.labels.forEach((label, at) => {
        const number = make("kbd", {}, String(at + 1));
        const button = make(
          "button",
          { type: "button", "aria-pressed": String(on.includes(label)), onclick: () => choose(at) },
          number,
          make("span", { dir: "auto" }, label),
        );
        box.append(button);
      });
      if (isCoded && code === null) box.append(make("span", { class: "quiet" }, "left empty"));
    } else if (!noting) {
      box.append(input(field.kind, draft ?? code ?? "", field.name, (value) => set(value.trim() === "" ? null : value)));
    }
    return box;
  }

  function drawNote() {
    if (!noting && !view.note) return "";
    const box = make("fieldset", {}, make("legend", {}, "note"));
    if (noting) box.append(input("a remark", view.note, "note", (text) => send({ do: "note", text })));
    else box.append(make("span", { dir: "auto" }, view.note));
    return box;
  }

  function input(hint, value, name, keep) {
    const line = make("input", { type: "text", placeholder: hint, "aria-label": name, dir: "auto" });
    line.value = value;
    line.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      keep(line.value);
    });
    return line;
  }

  function choose(at) {
    const field = fields[view.active];
    const label = field.labels[at];
    if (waiting !== null || label === undefined) return;
    if (!field.list) return set(label);
    picked = picked.includes(label) ? picked.filter((one) => one !== label) : [...picked, label];
    picked = field.labels.filter((one) => picked.includes(one));
    redraw();
  }

  function redraw() {
    const top = root.querySelector(".text")?.scrollTop ?? 0;
    draw();
    const text = root.querySelector(".text");
    if (text) text.scrollTop = top;
    focus();
  }

  function digit(key) {
    const count = fields[view.active].labels.length;
    typed += key;
    const number = Number(typed);
    if (number < 1 || number > count) {
      status.textContent = `There is no label ${typed}.`;
      typed = "";
    } else if (number * 10 > count) {
      typed = "";
      choose(number - 1);
    } else {
      status.textContent = `${typed}_ (another digit, or Enter)`;
    }
  }

  function enter() {
    if (view.finished) return send({ do: "again" });
    const field = fields[view.active];
    if (typed) {
      const number = Number(typed);
      typed = "";
      choose(number - 1);
    } else if (field.labels.length && field.list) set(picked);
    else focus();
  }

  function onKey(event) {
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const writing = event.target.tagName === "INPUT";
    const key = keyOf(event);
    if (key === "Escape") {
      event.preventDefault();
      typed = "";
      if (noting) {
        noting = false;
        redraw();
        root.focus({ preventScroll: true });
      } else if (writing) root.focus({ preventScroll: true });
      else leaveRoot();
      return;
    }
    if (writing) return;
    if (event.target.tagName === "BUTTON" && (key === "Enter" || key === " ")) return;
    const actions = {
      ArrowLeft: () => send({ do: "back" }),
      ArrowRight: () => send({ do: "forward" }),
      ArrowUp: () => scroll(-60),
      ArrowDown: () => scroll(60),
      s: () => send({ do: "skip" }),
      n: note,
      Enter: enter,
    };
    const action = actions[key.length === 1 ? key.toLowerCase() : key];
    if (action) {
      event.preventDefault();
      if (waiting === null) action();
    } else if (/^[0-9]$/.test(key) && !view.finished) {
      event.preventDefault();
      if (waiting !== null) return;
      if (key === "0" && typed === "") set(null);
      else if (fields[view.active].labels.length) digit(key);
    }
  }

  function leaveRoot() {
    root.blur();
    root.closest(".jp-Cell")?.focus();
  }

  function note() {
    if (view.finished) return;
    noting = true;
    draw();
    focus();
  }

  function scroll(by) {
    root.querySelector(".text")?.scrollBy(0, by);
  }

  // A notebook that has run a cell turns to the next one, at once or a while later. Until then the
  // focus is taken back, unless somebody presses a key or clicks elsewhere.
  function takeFocus() {
    const began = performance.now();
    const look = () => {
      if (!root.contains(document.activeElement)) focus();
      if (performance.now() - began > FOCUS_MS) leave();
    };
    const timer = setInterval(look, 100);
    const elsewhere = (event) => {
      if (!root.contains(event.target)) leave();
    };
    const events = ["keydown", "pointerdown"];
    function leave() {
      clearInterval(timer);
      for (const name of events) document.removeEventListener(name, elsewhere, true);
    }
    for (const name of events) document.addEventListener(name, elsewhere, true);
  }

  picked = pickedNow();
  draw();
  model.on("change:view", onView);
  if (model.get("fresh")) {
    model.set("fresh", false);
    model.save_changes();
    takeFocus();
  }
  return () => {
    clearTimeout(waiting);
    model.off("change:view", onView);
  };
}

export default { render };
