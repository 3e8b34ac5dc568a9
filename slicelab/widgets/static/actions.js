// The fields and buttons of curation. Python says what each button waits for (`missing`); this tells what was typed and
// pressed, each as a message of its own, so that they arrive in the order in which they were made.

const text = (field, words) => ({ field, words });
const number = (field, width, limits) => ({ field, width, limits });
const choice = (field, width) => ({ field, width, choice: true });

const ROWS = [
  ["Name", text("name", "name of a slice"), "new"],
  ["or rule", text("rule", 'label == "knife" and confidence < 0.5'), "from_rule"],
  ["Selection", "add", "remove"],
  ["Slice", "rename", "merge", "delete"],
  ["", number("parts", 58, { min: 2, max: 20, step: 1 }), "split"],
  ["Note", text("note", "note of the chosen slice"), "write_note"],
  ["Discovery", "discover"],
  ["Candidate", text("why", "why it is none"), "confirm", "dismiss"],
  ["Test case", choice("metric"), choice("sense", 58), number("bar", 76, { min: 0, step: 0.01 })],
  ["in suite", text("suite", "name of a suite"), "promote"],
  ["Queue", choice("reason"), text("queue", "name of a queue"), "enqueue"],
  ["History", "undo", "redo"],
];
const HINTS = { discover: "Search for groups on which the model fails more than on others of their class" };
const LABELS = { name: "Name of a slice", rule: "Rule of a slice", note: "Note of the chosen slice",
  parts: "Number of parts", why: "Why the candidate is dismissed", metric: "Metric of the test case",
  sense: "At least or at most", bar: "Bar of the test case", suite: "Suite", reason: "Reason for the queue", queue: "Queue" };

function render({ model, el }) {
  const root = make("div", "slicelab slicelab-actions", el);
  const events = {};

  function write(field, value) {
    model.set(field, value); // for a view that is made later; it is never sent as state
    model.send({ kind: "write", field, value });
  }

  function makeField(row, { field, words, width, limits, choice: chosen }) {
    const input = make(chosen ? "select" : "input", "", row);
    input.setAttribute("aria-label", LABELS[field]);
    if (width) input.style.flex = `0 0 ${width}px`;
    if (chosen) for (const value of model.get("choices")[field]) make("option", "", input, value).value = value;
    else input.type = limits ? "number" : "text";
    if (words) input.placeholder = words;
    Object.assign(input, limits);
    const show = () => {
      if (String(model.get(field)) === input.value) return;
      if (input.getRootNode().activeElement === input && !chosen) write(field, input.value); // a person is typing there
      else input.value = model.get(field);
    };
    if (limits) {
      input.addEventListener("change", () => {
        const given = Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : model.get(field);
        const value = Math.min(Math.max(given, limits.min), limits.max ?? Infinity);
        input.value = limits.step === 1 ? Math.round(value) : value;
        write(field, input.valueAsNumber);
      });
    } else input.addEventListener(chosen ? "change" : "input", () => write(field, input.value));
    input.addEventListener("keydown", (event) => event.stopPropagation()); // letters are text here, not keys
    events[field] = show;
    show();
  }

  function makeButton(row, name) {
    const button = make("button", `slicelab-button slicelab-${name.replace("_", "-")}`, row, model.get("words")[name]);
    button.type = "button";
    button.onclick = () => model.send({ kind: "press", button: name });
    return [name, button];
  }

  const buttons = [];
  for (const [title, ...parts] of ROWS) {
    const row = make("div", "slicelab-line", root);
    make("span", "slicelab-label", row, title);
    for (const part of parts) {
      if (typeof part === "string") buttons.push(makeButton(row, part));
      else makeField(row, part);
    }
  }
  function allow() {
    const missing = model.get("missing");
    for (const [name, button] of buttons) {
      button.disabled = Boolean(missing[name]);
      button.title = missing[name] || HINTS[name] || "";
    }
  }
  events.missing = allow;
  allow();
  for (const [name, act] of Object.entries(events)) model.on(`change:${name}`, act);
  return () => {
    for (const [name, act] of Object.entries(events)) model.off(`change:${name}`, act);
  };
}

export default dependable({ render });
