// A grid of pictures, of which only those in sight exist in the page, and a closer look at one of them.
// Python sends which rows to show (`rows`); this asks for the pictures it needs ("want") and tells which one was
// clicked ("pick"). Text from data goes in by textContent and title only.

const SMALL = 128;
const LARGE = 512;
const FULL = 2048;
const BATCH = 16;
const KEPT = 1500;
const PATIENCE = 15000;
const GAP = 8;
const CAPTION = 36;

// Pictures that have arrived, oldest forgotten first; each is an object URL that must be given back.
class Pictures {
  constructor() {
    this.kept = new Map();
  }
  get(size, row) {
    return this.kept.get(`${size}:${row}`);
  }
  put(size, facts, buffer) {
    const key = `${size}:${facts.row}`;
    this.drop(key);
    const url = buffer.byteLength ? URL.createObjectURL(new Blob([buffer], { type: "image/jpeg" })) : "";
    this.kept.set(key, { ...facts, url });
    if (this.kept.size > KEPT) this.drop(this.kept.keys().next().value);
  }
  drop(key) {
    const old = this.kept.get(key);
    if (old && old.url) URL.revokeObjectURL(old.url);
    this.kept.delete(key);
  }
  clear() {
    for (const key of [...this.kept.keys()]) this.drop(key);
  }
}

// The picture with its boxes, as large as fits into side x side.
function drawPicture(parent, picture, side, width = side) {
  parent.replaceChildren();
  if (!picture || !picture.url) {
    const grey = make("div", "slicelab-broken", parent, picture ? picture.problem || "no picture" : "");
    grey.style.width = `${width}px`;
    grey.style.height = `${side}px`;
    if (!picture) grey.classList.add("slicelab-waiting");
    return;
  }
  const frame = make("div", "slicelab-frame", parent);
  const img = make("img", "", frame);
  img.alt = picture.text;
  img.draggable = false;
  img.onload = () => {
    const scale = Math.min(width / img.naturalWidth, side / img.naturalHeight);
    frame.style.width = `${Math.round(img.naturalWidth * scale)}px`;
    frame.style.height = `${Math.round(img.naturalHeight * scale)}px`;
  };
  img.onerror = () => {
    parent.replaceChildren();
    make("div", "slicelab-broken", parent, "this picture can't be shown").style.height = `${side}px`;
  };
  img.src = picture.url;
  for (const [x, y, w, h, role, text] of picture.boxes) {
    const box = make("div", `slicelab-box slicelab-box-${role}`, frame);
    Object.assign(box.style, {
      left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * w}%`, height: `${100 * h}%`,
    });
    if (text) make("span", "slicelab-box-text", box, text);
  }
}

function render({ model, el }) {
  const pictures = new Pictures();
  const root = make("div", "slicelab slicelab-gallery", el);
  const head = make("div", "slicelab-head", root);
  const title = make("div", "slicelab-title", head);
  title.setAttribute("role", "status");
  const sort = make("select", "slicelab-sort", head);
  sort.setAttribute("aria-label", "Order of the pictures");
  for (const order of model.get("orders")) make("option", "", sort, order).value = order;
  sort.onchange = () => model.send({ kind: "sort", order: sort.value });
  const choose = make("div", "slicelab-choose", root);
  choose.hidden = true;
  const grid = make("div", "slicelab-grid", root);
  grid.tabIndex = 0;
  grid.setAttribute("role", "listbox");
  grid.setAttribute("aria-label", "Pictures of the units, failures first");
  const space = make("div", "slicelab-space", grid);
  const detail = make("div", "slicelab-detail", root);
  detail.hidden = true;
  detail.tabIndex = -1;
  detail.setAttribute("role", "group");
  detail.setAttribute("aria-label", "One picture, large");
  const name = `slicelab-${Math.random().toString(36).slice(2)}`;

  let rows = new Int32Array();
  let active = -1; // position in `rows`
  let waitingSince = 0;
  let frameAsked = false;
  let full = false; // the picture that is open is shown in full size
  const marked = new Set(); // rows
  const near = new Map(); // row -> rows of its neighbours that are handled right
  const drawn = new Map(); // position -> tile in the page
  let [wide, high] = [0, 0]; // of the grid: to ask the page in between has it lay everything out again
  const measure = () => { [wide, high] = [grid.clientWidth, grid.clientHeight]; };
  const columns = () => Math.max(1, Math.floor((wide - GAP) / (model.get("tile") + GAP)));
  const side = () => Math.max(48, Math.floor((wide - GAP) / columns()) - GAP); // tiles fill the width
  const lineHeight = () => side() + CAPTION + GAP;

  function readRows() {
    const view = model.get("rows");
    rows = new Int32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    active = -1;
    marked.clear();
    drawn.clear();
    grid.scrollTop = 0;
    closeDetail();
    drawMarks();
    draw();
  }

  function inSight() {
    const first = Math.max(0, Math.floor(grid.scrollTop / lineHeight()) - 1) * columns();
    const last = (Math.ceil((grid.scrollTop + high) / lineHeight()) + 1) * columns();
    return [first, Math.min(rows.length, last)];
  }

  function draw() {
    const [first, last] = inSight();
    const height = `${Math.ceil(rows.length / columns()) * lineHeight() + GAP}px`;
    if (space.style.height !== height) space.style.height = height;
    const look = `${columns()} ${side()}`;
    const tiles = [];
    for (let i = first; i < last; i++) {
      const old = drawn.get(i);
      const state = `${look} ${pictures.get(SMALL, rows[i]) ? 1 : 0} ${i === active} ${marked.has(rows[i])}`;
      const tile = old && old.state === state ? old.tile : drawTile(i);
      drawn.set(i, { tile, state });
      tiles.push(tile);
    }
    for (const i of drawn.keys()) if (i < first || i >= last) drawn.delete(i);
    // Only what changed is touched: while scrolling most tiles stay.
    const kept = new Set(tiles);
    for (const child of [...space.children]) if (!kept.has(child)) child.remove();
    for (const tile of tiles) if (tile.parentNode !== space) space.append(tile);
    if (active >= first && active < last) grid.setAttribute("aria-activedescendant", `${name}-${active}`);
    else grid.removeAttribute("aria-activedescendant");
    if (!rows.length) make("div", "slicelab-empty", space, "no pictures to show");
    ask(first, last);
  }

  function drawLater() {
    if (frameAsked) return;
    frameAsked = true;
    requestAnimationFrame(() => {
      frameAsked = false;
      draw();
    });
  }

  function drawTile(i) {
    const picture = pictures.get(SMALL, rows[i]);
    const tile = make("div", "slicelab-tile");
    tile.id = `${name}-${i}`;
    tile.dataset.row = rows[i];
    tile.setAttribute("role", "option");
    tile.setAttribute("aria-setsize", rows.length);
    tile.setAttribute("aria-posinset", i + 1);
    tile.setAttribute("aria-selected", String(i === active));
    tile.setAttribute("aria-checked", String(marked.has(rows[i])));
    tile.style.left = `${GAP + (i % columns()) * (side() + GAP)}px`;
    tile.style.top = `${GAP + Math.floor(i / columns()) * lineHeight()}px`;
    tile.style.width = `${side()}px`;
    const holder = make("div", "slicelab-picture", tile);
    holder.style.height = `${side()}px`;
    drawPicture(holder, picture, side());
    if (picture) {
      tile.title = `${picture.text}\n${picture.outcome}${picture.sure ? " · " + picture.sure : ""}\n${picture.unit}`;
      const caption = make("div", "slicelab-caption", tile, picture.text);
      if (picture.failure) caption.classList.add("slicelab-failure");
      make("div", "slicelab-outcome", tile, `${picture.failure ? "✕ " : ""}${picture.outcome} ${picture.sure}`);
    }
    tile.onclick = (event) => (event.ctrlKey || event.metaKey ? mark(i) : open(i));
    return tile;
  }

  // One question at a time, always for what is in sight now: scrolling past pictures costs nothing.
  function ask(first, last) {
    if (waitingSince && Date.now() - waitingSince < PATIENCE) return;
    const shown = active >= 0 && !detail.hidden ? rows[active] : -1;
    if (shown >= 0 && !pictures.get(LARGE, shown)) return want([shown], LARGE);
    if (shown >= 0 && full && !pictures.get(FULL, shown)) return want([shown], FULL);
    const missingOf = (some) => [...some].filter((row) => !pictures.get(SMALL, row));
    const beside = shown >= 0 ? missingOf(near.get(shown) || []) : [];
    if (beside.length) return want(beside, SMALL);
    if (first === undefined) [first, last] = inSight();
    const missing = missingOf(rows.subarray(first, last));
    // Nothing missing in sight: the next screen, ahead of scrolling.
    const ahead = missing.length ? missing : missingOf(rows.subarray(last, Math.min(rows.length, 2 * last - first)));
    if (ahead.length) want(ahead.slice(0, BATCH), SMALL);
  }

  function want(asked, size) {
    waitingSince = Date.now();
    model.send({ kind: "want", rows: asked, size });
  }

  function receive(message, buffers) {
    if (message.kind === "near") {
      near.set(message.row, message.rows);
      if (active >= 0 && rows[active] === message.row) drawDetail();
      return ask();
    }
    if (message.kind !== "tiles") return;
    waitingSince = 0;
    message.tiles.forEach((facts, i) => pictures.put(message.size, facts, buffers[i]));
    const beside = active >= 0 ? near.get(rows[active]) : null;
    if (message.size !== SMALL || beside?.includes(message.tiles[0].row)) drawDetail();
    draw();
  }

  function open(i) {
    active = i;
    full = false;
    detail.hidden = false;
    askNear();
    drawDetail();
    draw();
    detail.focus({ preventScroll: true }); // so that the arrow keys and Escape work from here
    model.send({ kind: "pick", row: rows[i] });
  }

  function askNear() {
    if (model.get("compares") && !near.has(rows[active])) model.send({ kind: "near", row: rows[active] });
  }

  function mark(i) {
    const row = rows[i];
    if (!marked.delete(row)) marked.add(row);
    drawMarks();
    draw();
  }

  function drawMarks() {
    choose.hidden = !marked.size;
    choose.replaceChildren();
    if (!marked.size) return;
    const button = (text, act) => {
      const node = make("button", "slicelab-button", choose, text);
      node.type = "button";
      node.onclick = act;
    };
    make("span", "slicelab-count", choose, `${marked.size.toLocaleString("en")} marked`);
    button("Select them", () => model.send({ kind: "choose", way: "replace", rows: [...marked] }));
    button("Take them out", () => model.send({ kind: "choose", way: "subtract", rows: [...marked] }));
    button("Clear marks", () => { marked.clear(); drawMarks(); draw(); });
  }

  function closeDetail() {
    detail.hidden = true;
    detail.replaceChildren();
  }

  function drawDetail() {
    if (detail.hidden || active < 0) return;
    const picture = (full && pictures.get(FULL, rows[active])) || pictures.get(LARGE, rows[active])
      || pictures.get(SMALL, rows[active]);
    const hadFocus = detail.contains(document.activeElement);
    detail.replaceChildren();
    if (hadFocus) detail.focus({ preventScroll: true }); // a button that was clicked is gone now
    const bar = make("div", "slicelab-bar", detail);
    const button = (text, label, act) => {
      const node = make("button", "slicelab-button", bar, text);
      node.type = "button";
      node.setAttribute("aria-label", label);
      node.onclick = act;
    };
    button("‹", "Previous picture", () => step(-1));
    button("›", "Next picture", () => step(1));
    make("span", "slicelab-count", bar, `${(active + 1).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`);
    button(full ? "fit" : "1:1", full ? "Fit the picture" : "Show the picture in full size", () => {
      full = !full;
      drawDetail();
      ask();
    });
    button("✕", "Close the picture", () => { closeDetail(); grid.focus(); });
    const holder = make("div", "slicelab-picture slicelab-large", detail);
    const beside = near.get(rows[active]) || [];
    if (full) drawPicture(holder, picture, FULL, FULL);
    else drawPicture(holder, picture, Math.max(120, root.clientHeight - (beside.length ? 300 : 190)), root.clientWidth - 24);
    holder.classList.toggle("slicelab-full", full);
    if (!picture) return;
    if (beside.length && !full) {
      make("div", "slicelab-near-title", detail, "The nearest ones of this label that are handled right");
      const strip = make("div", "slicelab-near", detail);
      for (const row of beside) {
        const other = pictures.get(SMALL, row);
        const cell = make("div", "slicelab-picture", strip);
        drawPicture(cell, other, 72);
        if (other) cell.title = `${other.text}\n${other.unit}`;
      }
    }
    const list = make("dl", "slicelab-facts", detail);
    for (const [term, value] of picture.facts) {
      make("dt", "", list, term);
      make("dd", "", list, value);
    }
  }

  function step(by) {
    const to = Math.min(Math.max(active + by, 0), rows.length - 1);
    if (!rows.length || to === active) return;
    const line = Math.floor(to / columns()) * lineHeight();
    if (line < grid.scrollTop) grid.scrollTop = line;
    const bottom = line + lineHeight() - high;
    if (bottom > grid.scrollTop) grid.scrollTop = bottom;
    if (detail.hidden) {
      active = to;
      draw();
    } else open(to);
  }

  function key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
    if (by) step(by);
    else if (event.key === "x" && active >= 0) mark(active);
    else if (event.key === "Enter" && active >= 0 && event.target === grid) open(active);
    else if (event.key === "Escape" && !detail.hidden) { closeDetail(); grid.focus(); }
    else return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for these keys
  }

  // Another part of the explorer asks for a closer look.
  function picked() {
    const row = model.get("picked");
    const i = rows.indexOf(row);
    if (row < 0 || i < 0 || (i === active && !detail.hidden)) return;
    active = i;
    full = false;
    detail.hidden = false;
    askNear();
    drawDetail();
    draw();
  }

  const showTitle = () => { title.textContent = model.get("title"); };
  const showOrder = () => { sort.value = model.get("order"); };
  const resized = new ResizeObserver(() => { measure(); draw(); drawDetail(); });
  root.style.height = `${model.get("height")}px`;
  grid.addEventListener("scroll", drawLater);
  root.addEventListener("keydown", key);
  model.on("change:rows", readRows);
  model.on("change:title", showTitle);
  model.on("change:order", showOrder);
  model.on("change:picked", picked);
  model.on("msg:custom", receive);
  showTitle();
  showOrder();
  measure();
  readRows();
  resized.observe(grid);
  return () => {
    resized.disconnect();
    model.off("change:rows", readRows);
    model.off("change:title", showTitle);
    model.off("change:order", showOrder);
    model.off("change:picked", picked);
    model.off("msg:custom", receive);
    pictures.clear();
  };
}

export default dependable({ render });
