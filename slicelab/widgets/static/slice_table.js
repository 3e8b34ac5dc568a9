// Slices and candidates, one row each. Python sends `rows` and which keys are `picked`; this tells what was picked.
// Sorting and filtering are the reader's own and stay here. Text from data goes in by textContent and title only.

const COLUMNS = [
  { field: "name", title: "Slice", text: true },
  { field: "status", title: "Status", text: true },
  { field: "size", title: "Units" },
  { field: "failures", title: "Failures" },
  { field: "failure_rate", title: "Failure rate" },
  { field: "lift", title: "Lift over class", about: "failure rate over that of its class, or of the population it was searched in" },
  { field: "q_value", title: "q" },
  { field: "stability", title: "Stability" },
  { field: "confusion", title: "Mostly", text: true },
  { field: "rule", title: "Rule", text: true },
  { field: "description", title: "Description", text: true },
];
const AFTER_RATE = 1 + COLUMNS.findIndex((column) => column.field === "failure_rate");
const SETTLED = ["kept", "dismissed"]; // candidates of which a person has made up their mind
const OF_MODEL = "failures of ";

function shown(row, field) {
  const value = row[field];
  if (value === null || value === undefined) return "";
  if (field === "failure_rate" || field.startsWith(OF_MODEL)) return `${(100 * value).toFixed(1)} %`;
  if (field === "stability") return value.toFixed(2);
  if (field === "lift") return `${value.toFixed(1)}×`;
  if (field === "q_value") return value < 0.001 ? value.toExponential(0) : value.toFixed(3);
  if (field === "status") return row.version ? `${value} v${row.version}` : value;
  return typeof value === "number" ? value.toLocaleString("en") : value;
}

function comparedWith(row) {
  if (row.failure_rate === null || typeof row.base_rate !== "number") return "";
  return `${shown(row, "failure_rate")} here, ${(100 * row.base_rate).toFixed(1)} % in its class or population`;
}

// The rate as a bar and its interval as a line over it.
function drawRate(cell, row) {
  if (row.failure_rate === null) return;
  const meter = make("div", "slicelab-meter", cell);
  make("div", "slicelab-rate", meter).style.width = `${100 * row.failure_rate}%`;
  if (row.low !== null && row.high !== null) {
    const line = make("div", "slicelab-interval", meter);
    line.style.left = `${100 * row.low}%`;
    line.style.width = `${100 * (row.high - row.low)}%`;
    cell.title = `95 % interval ${(100 * row.low).toFixed(1)} to ${(100 * row.high).toFixed(1)} %`;
  }
  make("span", "", cell, shown(row, "failure_rate"));
}

function compare(a, b, field) {
  const [x, y] = [a[field], b[field]];
  if (x === y) return 0;
  if (x === null || x === undefined) return 1;
  if (y === null || y === undefined) return -1;
  return typeof x === "number" ? x - y : String(x).localeCompare(String(y));
}

function render({ model, el }) {
  const root = make("div", "slicelab slicelab-slices", el);
  let columns = COLUMNS;
  const head = make("div", "slicelab-head", root);
  const count = make("div", "slicelab-title", head);
  const filter = make("input", "slicelab-filter", head);
  filter.type = "search";
  filter.placeholder = "filter";
  filter.setAttribute("aria-label", "Filter the slices by text");
  const kind = make("select", "slicelab-kind", head);
  kind.setAttribute("aria-label", "Show slices of one status");
  for (const [value, words] of [["", "all but settled"], ["slice", "slices"], ["confirmed", "confirmed"],
    ["candidate", "candidates"], ["boundary", "boundary"], ["small", "small"], ["kept", "kept"],
    ["dismissed", "dismissed"]]) {
    make("option", "", kind, words).value = value;
  }
  const scroll = make("div", "slicelab-scroll", root);
  scroll.style.height = `${model.get("height")}px`;
  const table = make("table", "", scroll);
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", "Slices and candidate slices");
  table.setAttribute("aria-multiselectable", "true");
  const headRow = make("tr", "", make("thead", "", table));
  const body = make("tbody", "", table);
  let order = { field: null, down: false };
  let last = null; // the key that was clicked last, where a range starts
  let focused = null;

  function drawHead() {
    const [first] = model.get("rows");
    const models = Object.keys(first || {}).filter((field) => field.startsWith(OF_MODEL));
    columns = [...COLUMNS.slice(0, AFTER_RATE),
      ...models.map((field) => ({ field, title: `under ${field.slice(OF_MODEL.length)}` })), ...COLUMNS.slice(AFTER_RATE)];
    headRow.replaceChildren();
    for (const column of columns) {
      const th = make("th", column.text ? "" : "slicelab-number", headRow);
      th.scope = "col";
      const button = make("button", "", th, column.title);
      button.type = "button";
      if (column.about) button.title = column.about;
      if (column.field.startsWith(OF_MODEL)) button.title = `failure rate ${column.title}`;
      button.onclick = () => {
        const again = order.field === column.field;
        order = { field: column.field, down: again ? !order.down : !column.text };
        draw();
      };
    }
  }

  function visible() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = model.get("rows").filter((row) => {
      const text = `${row.name} ${row.description} ${row.status} ${row.confusion} ${row.rule}`.toLowerCase();
      const wanted = kind.value ? row.status === kind.value : !SETTLED.includes(row.status);
      return wanted && words.every((word) => text.includes(word));
    });
    if (!order.field) return rows;
    const sorted = [...rows].sort((a, b) => compare(a, b, order.field));
    if (!order.down) return sorted;
    const missing = sorted.filter((row) => row[order.field] === null);
    return [...sorted.filter((row) => row[order.field] !== null).reverse(), ...missing];
  }

  function draw() {
    const rows = visible();
    const picked = new Set(model.get("picked"));
    const all = model.get("rows").length;
    count.textContent = rows.length === all ? `Slices (${all})` : `Slices (${rows.length} of ${all})`;
    columns.forEach((column, i) => {
      const sort = order.field === column.field ? (order.down ? "descending" : "ascending") : "none";
      headRow.children[i].setAttribute("aria-sort", sort);
    });
    const start = rows.some((row) => row.key === focused) ? focused : rows.length ? rows[0].key : null;
    const hadFocus = body.contains(document.activeElement);
    body.replaceChildren(...rows.map((row) => drawRow(row, picked.has(row.key), row.key === start)));
    if (!rows.length) {
      const cell = make("td", "slicelab-empty", make("tr", "", body), all ? "nothing matches the filter" : "no slices yet: Discover slices, or lasso points on the map, name them, New slice");
      cell.colSpan = columns.length;
    }
    if (hadFocus) body.querySelector("tr[tabindex='0']")?.focus();
  }

  function drawRow(row, isPicked, hasTab) {
    const tr = make("tr", isPicked ? "slicelab-picked" : "");
    tr.dataset.key = row.key;
    tr.tabIndex = hasTab ? 0 : -1;
    tr.setAttribute("aria-selected", String(isPicked));
    for (const column of columns) {
      const cell = make("td", column.text ? `slicelab-${column.field}` : "slicelab-number");
      if (column.field === "failure_rate") drawRate(cell, row);
      else {
        make("div", "", cell, shown(row, column.field));
        if (column.text) cell.title = row[column.field] || "";
        if (column.field === "lift") cell.title = comparedWith(row);
      }
      tr.append(cell);
    }
    tr.onclick = (event) => pick(row.key, event);
    return tr;
  }

  function pick(key, event) {
    const before = model.get("picked");
    let keys = [key];
    if (event.shiftKey && last !== null) {
      const all = visible().map((row) => row.key);
      const [from, to] = [all.indexOf(last), all.indexOf(key)].sort((a, b) => a - b);
      keys = all.slice(Math.max(from, 0), to + 1);
    } else if (event.ctrlKey || event.metaKey) {
      keys = before.includes(key) ? before.filter((k) => k !== key) : [...before, key];
    } else if (before.length === 1 && before[0] === key) keys = [];
    if (!event.shiftKey) last = key;
    focused = key;
    model.send({ kind: "pick", keys });
  }

  function key(event) {
    const tr = event.target.closest?.("tbody tr[data-key]");
    if (!tr) return;
    const to = { ArrowDown: tr.nextElementSibling, ArrowUp: tr.previousElementSibling,
      Home: body.firstElementChild, End: body.lastElementChild }[event.key];
    if (to) {
      focused = to.dataset.key;
      tr.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    } else if (event.key === "Enter" || event.key === " ") pick(tr.dataset.key, event);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  }

  filter.addEventListener("input", draw);
  filter.addEventListener("keydown", (event) => event.stopPropagation());
  kind.addEventListener("change", draw);
  body.addEventListener("keydown", key);
  const redraw = () => { drawHead(); draw(); };
  model.on("change:rows", redraw);
  model.on("change:picked", draw);
  redraw();
  return () => {
    model.off("change:rows", redraw);
    model.off("change:picked", draw);
  };
}

export default dependable({ render });
