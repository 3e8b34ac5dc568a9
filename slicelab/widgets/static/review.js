// One returned answer at a time: the same picture with the old label, the returned one and the prediction.
// Python sends the states (`rows`); this asks for an answer with its picture ("want") and sends verdicts ("judge").
// Text from data goes in by textContent and title only.

const KEYS = { a: "accepted", r: "rejected", s: "needs_second_opinion" };
const OPEN = ["returned", "needs_second_opinion"];
const KEPT = 40;

function render({ model, el }) {
  const root = make("section", "slicelab slicelab-review", el);
  root.tabIndex = 0;
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab has its own meaning for single letters
  root.setAttribute("aria-label", "Review of returned labels. Keys: a accepts, r rejects, s asks for a second opinion, u takes the last verdict back.");
  const head = make("div", "slicelab-head", root);
  const title = make("div", "slicelab-title", head);
  const place = make("span", "slicelab-place", head);
  const panels = make("div", "slicelab-panels", root);
  const facts = make("dl", "slicelab-facts", root);
  const bar = make("div", "slicelab-bar", root);
  const buttons = {};
  const button = (parent, name, text, act) => {
    const node = make("button", `slicelab-button slicelab-${name}`, parent, text);
    node.type = "button";
    node.onclick = act;
    buttons[name] = node;
    return node;
  };
  button(bar, "back", "‹", () => go(-1)).setAttribute("aria-label", "Previous answer");
  button(bar, "accept", "Accept (a)", () => judge("accepted"));
  button(bar, "reject", "Reject (r)", () => judge("rejected"));
  button(bar, "second", "Second opinion (s)", () => judge("needs_second_opinion"));
  button(bar, "undo", "Undo (u)", undo);
  button(bar, "next", "›", () => go(1)).setAttribute("aria-label", "Next answer");
  const bulk = make("form", "slicelab-bulk", root);
  const rule = make("input", "", bulk);
  rule.type = "text";
  rule.placeholder = "for all where: new == prediction and confidence > 0.9";
  rule.setAttribute("aria-label", "Rule over the returned answers");
  const byRule = (verdict) => model.send({ kind: "judge_rule", rule: rule.value, verdict });
  bulk.onsubmit = (event) => event.preventDefault();
  button(bulk, "accept-all", "Accept all", () => byRule("accepted"));
  button(bulk, "reject-all", "Reject all", () => byRule("rejected"));
  button(bulk, "second-all", "Second opinion for all", () => byRule("needs_second_opinion"));
  const notice = make("div", "slicelab-said", root);
  notice.setAttribute("role", "status");

  let active = 0;
  let moveOn = false; // a verdict was given here: go to the next open one when it is saved
  const items = new Map(); // row -> answer with the object URL of its picture
  const asked = new Set();
  const rows = () => model.get("rows");

  function forget(row) {
    const old = items.get(row);
    if (old?.url) URL.revokeObjectURL(old.url);
    items.delete(row);
  }

  function want(row) {
    if (row < 0 || row >= rows().length || items.has(row) || asked.has(row)) return;
    asked.add(row);
    model.send({ kind: "want", row });
  }

  function receive(message, buffers) {
    if (message.kind === "show") show(message.row);
    if (message.kind !== "item") return;
    asked.delete(message.row);
    forget(message.row);
    const url = buffers[0]?.byteLength ? URL.createObjectURL(new Blob([buffers[0]], { type: "image/jpeg" })) : "";
    items.set(message.row, { ...message, url });
    if (items.size > KEPT) forget(items.keys().next().value);
    if (message.row === active) draw();
  }

  function drawPanel(panel, item) {
    const cell = make("figure", "", panels);
    const name = make("figcaption", "", cell);
    make("span", "slicelab-panel-title", name, panel.title);
    make("b", "", name, panel.text).title = panel.text;
    if (!item.url) return make("div", "slicelab-broken", cell, item.problem || "no picture");
    const frame = make("div", "slicelab-frame", cell);
    const img = make("img", "", frame);
    img.alt = `${panel.title}: ${panel.text}`;
    img.draggable = false;
    img.src = item.url;
    for (const [x, y, w, h, role, text] of panel.boxes) {
      const box = make("div", `slicelab-box slicelab-box-${role}`, frame);
      Object.assign(box.style, {
        left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * w}%`, height: `${100 * h}%`,
      });
      if (text) make("span", "slicelab-box-text", box, text);
    }
    return cell;
  }

  function draw() {
    title.textContent = model.get("title");
    const n = rows().length;
    active = Math.min(active, Math.max(n - 1, 0));
    const item = items.get(active);
    const state = n ? rows()[active][0] : "";
    place.textContent = n ? `${(active + 1).toLocaleString("en")} of ${n.toLocaleString("en")} · ${state.replaceAll("_", " ")}` : "";
    place.dataset.state = state;
    buttons.accept.disabled = !OPEN.includes(state) || !item?.accept;
    buttons.reject.disabled = !OPEN.includes(state);
    buttons.second.disabled = !["returned", "accepted"].includes(state);
    buttons.back.disabled = active === 0;
    buttons.next.disabled = active >= n - 1;
    panels.replaceChildren();
    facts.replaceChildren();
    if (item) {
      for (const panel of item.panels) drawPanel(panel, item);
      for (const [term, value] of item.facts) {
        make("dt", "", facts, term);
        make("dd", "", facts, value);
      }
    } else if (n) make("div", "slicelab-waiting", panels, "…");
    else make("div", "slicelab-empty", panels, "Nothing came back yet.");
    want(active);
    want(active + 1);
  }

  function go(by) {
    const to = active + by;
    if (to < 0 || to >= rows().length) return;
    active = to;
    draw();
  }

  function show(row) {
    active = row;
    draw();
  }

  function undo() {
    moveOn = false;
    model.send({ kind: "undo" });
  }

  function judge(verdict) {
    const name = { accepted: "accept", rejected: "reject", needs_second_opinion: "second" }[verdict];
    if (buttons[name].disabled) return;
    moveOn = true;
    model.send({ kind: "judge", row: active, verdict });
  }

  // Python answers a verdict with new states; what changed is asked for again.
  function changed() {
    for (const row of [...items.keys()]) if (row !== active) forget(row);
    const state = rows()[active]?.[0];
    if (moveOn) {
      moveOn = false;
      const open = (row) => OPEN[0] === rows()[row][0];
      const after = [...rows().keys()].filter((row) => row > active && open(row));
      const before = [...rows().keys()].filter((row) => row < active && open(row));
      const next = after[0] ?? before[0];
      if (next !== undefined) active = next;
    }
    if (state !== undefined) forget(active);
    draw();
  }

  function said() {
    notice.textContent = model.get("notice");
    notice.className = `slicelab-said slicelab-said-${model.get("kind")}`;
    if (model.get("kind") === "error") moveOn = false;
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === rule) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) go(by);
    else if (event.key === "u") {
      if (!event.repeat) undo();
    } else if (Object.hasOwn(KEYS, event.key)) {
      if (!event.repeat) judge(KEYS[event.key]);
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  }

  root.addEventListener("keydown", key);
  model.on("change:rows", changed);
  model.on("change:title", draw);
  model.on("change:notice", said);
  model.on("change:kind", said);
  model.on("msg:custom", receive);
  draw();
  said();
  return () => {
    model.off("change:rows", changed);
    model.off("change:title", draw);
    model.off("change:notice", said);
    model.off("change:kind", said);
    model.off("msg:custom", receive);
    for (const row of [...items.keys()]) forget(row);
  };
}

export default dependable({ render });
