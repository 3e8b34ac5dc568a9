// Units as points, drawn by plotly. Python sends places, layers and the selection as bytes; this tells what was
// lassoed ("select"), clicked ("pick"), hovered over ("hover"), and what is in sight ("range").
// Of more than `limit` points in sight the density is drawn. Text from data is escaped for plotly in Python; the
// words beside the mouse go in by textContent.

const NOT_DRAWN = 255;
const BINS = 220;
const HOVER_AFTER = 90; // ms
const HIGHLIGHT_AFTER = 50; // ms
const PICTURE = 128;

const aligned = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);

async function library(model) {
  const other = await model.widget_manager.get_model(model.get("library").replace("IPY_MODEL_", ""));
  globalThis[other.get("name")] ??= run(other.get("source"));
  return globalThis[other.get("name")];
}

// plotly's file is no module, and sets a global that may be another plotly's: it is run inside one, and put back.
async function run(source) {
  const head = "const module = { exports: {} }, before = globalThis.Plotly;\n";
  const tail = "\nif (before) globalThis.Plotly = before; else delete globalThis.Plotly;\nexport default module.exports;";
  const url = URL.createObjectURL(new Blob([head, source, tail], { type: "text/javascript" }));
  const found = await import(url);
  URL.revokeObjectURL(url);
  return found.default;
}

function hasWebgl() {
  try {
    const context = document.createElement("canvas").getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  } catch {
    return false;
  }
}

// Which of the places lie inside a polygon (even-odd), of those that `wanted` says.
export function inside(places, xs, ys, wanted) {
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const found = [];
  for (let i = 0; 2 * i < places.length; i++) {
    const x = places[2 * i], y = places[2 * i + 1];
    if (!(x >= left && x <= right && y >= low && y <= high) || !wanted(i)) continue;
    let odd = false;
    for (let a = 0, b = xs.length - 1; a < xs.length; b = a++) {
      if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) odd = !odd;
    }
    if (odd) found.push(i);
  }
  return Int32Array.from(found);
}

class Points {
  constructor(model) {
    this.model = model;
    this.places = new Float32Array(aligned(model.get("places")));
    this.count = this.places.length / 2;
    this.readColour();
  }
  readColour() {
    this.codes = new Uint8Array(aligned(this.model.get("codes")));
    const values = this.model.get("values");
    this.values = values.byteLength ? new Float32Array(aligned(values)) : null;
  }
  extent() {
    const box = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.count; i++) {
      const x = this.places[2 * i], y = this.places[2 * i + 1];
      if (!(x === x && y === y)) continue;
      if (x < box[0]) box[0] = x;
      if (x > box[1]) box[1] = x;
      if (y < box[2]) box[2] = y;
      if (y > box[3]) box[3] = y;
    }
    if (!(box[0] <= box[1])) return [0, 1, 0, 1];
    const [w, h] = [box[1] - box[0] || 1, box[3] - box[2] || 1];
    return [box[0] - 0.04 * w, box[1] + 0.04 * w, box[2] - 0.04 * h, box[3] + 0.04 * h];
  }
  // Rows of each layer; of those in `box` only, or null where there are more than `limit` of them.
  split(layers, box, limit) {
    const within = (i) => this.places[2 * i] >= box[0] && this.places[2 * i] <= box[1]
      && this.places[2 * i + 1] >= box[2] && this.places[2 * i + 1] <= box[3];
    const all = this.count <= limit;
    const counts = new Int32Array(layers + 1);
    let total = 0;
    for (let i = 0; i < this.count; i++) {
      const code = this.codes[i];
      if (code === NOT_DRAWN || (!all && !within(i))) continue;
      counts[code]++;
      if (++total > limit && !all) return null;
    }
    const rows = Array.from({ length: layers }, (_, layer) => new Int32Array(counts[layer]));
    const at = new Int32Array(layers);
    for (let i = 0; i < this.count; i++) {
      const code = this.codes[i];
      if (code === NOT_DRAWN || (!all && !within(i))) continue;
      rows[code][at[code]++] = i;
    }
    return rows;
  }
  at(rows, axis) {
    const found = new Float32Array(rows.length);
    for (let i = 0; i < rows.length; i++) found[i] = this.places[2 * rows[i] + axis];
    return found;
  }
  density(box) {
    const counts = new Float32Array(BINS * BINS);
    const [sx, sy] = [BINS / (box[1] - box[0]), BINS / (box[3] - box[2])];
    for (let i = 0; i < this.count; i++) {
      const x = Math.floor((this.places[2 * i] - box[0]) * sx), y = Math.floor((this.places[2 * i + 1] - box[2]) * sy);
      if (x >= 0 && x < BINS && y >= 0 && y < BINS && this.codes[i] !== NOT_DRAWN) counts[y * BINS + x]++;
    }
    return Array.from({ length: BINS }, (_, y) => Array.from(counts.subarray(y * BINS, (y + 1) * BINS),
      (n) => (n ? Math.log10(n + 1) : null)));
  }
}

function render({ model, el }) {
  const root = make("div", "slicelab slicelab-map", el);
  const bar = make("div", "slicelab-map-bar", root);
  const label = make("label", "", bar, "Colour by ");
  const select = make("select", "", label);
  const words = make("span", "slicelab-map-words", bar);
  const plot = make("div", "slicelab-plot", root);
  plot.style.height = `${model.get("height")}px`;
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", "Map of the units, coloured by outcome or by the column chosen above");
  const tip = make("div", "slicelab-tip", root);
  tip.hidden = true;
  const wait = make("div", "slicelab-map-wait", plot, "drawing …");

  const points = new Points(model);
  const webgl = hasWebgl();
  const full = points.extent();
  let Plotly = null;
  let closed = false;
  let traces = []; // rows of each drawn trace
  let way = "replace";
  let hovered = -1;
  let drawings = 0;
  let timer = null;
  let url = "";
  let sight = model.get("range").length ? model.get("range") : full;

  for (const name of model.get("colours")) make("option", "", select, name).value = name;
  select.value = model.get("colour");
  select.onchange = () => model.send({ kind: "colour", colour: select.value });

  function marker(layer, rows) {
    const own = { symbol: layer.symbol, size: layer.size, opacity: layer.opacity, line: { width: 0 } };
    if (!points.values) return { ...own, color: layer.colour };
    const colour = new Float32Array(rows.length);
    for (let i = 0; i < rows.length; i++) colour[i] = points.values[rows[i]];
    return { ...own, color: colour, coloraxis: "coloraxis" };
  }

  function chosen() {
    if (!model.get("dimmed")) return null;
    const mask = new Uint8Array(points.count);
    for (const row of new Int32Array(aligned(model.get("selected")))) mask[row] = 1;
    return mask;
  }

  function picked(rows, mask) {
    if (!mask) return null;
    const found = [];
    for (let i = 0; i < rows.length; i++) if (mask[rows[i]]) found.push(i);
    return found;
  }

  function makeTraces() {
    const layers = model.get("layers");
    let rows = points.split(layers.length, sight, model.get("limit"));
    const dense = rows === null;
    if (dense) rows = layers.map(() => new Int32Array());
    const mask = chosen();
    const type = webgl && points.count > 3000 ? "scattergl" : "scatter";
    const named = new Set();
    traces = rows;
    const drawn = rows.map((part, i) => {
      const legend = !named.has(layers[i].name);
      named.add(layers[i].name);
      return { type, mode: "markers", x: points.at(part, 0), y: points.at(part, 1), name: layers[i].name,
        legendgroup: layers[i].name, showlegend: legend, hoverinfo: "none", marker: marker(layers[i], part),
        selectedpoints: picked(part, mask), selected: { marker: { opacity: 1 } },
        unselected: { marker: { opacity: 0.12 } } };
    });
    words.textContent = dense ? `${points.count.toLocaleString("en")} units: their density; zoom in for points` : "";
    if (model.get("absent")) words.textContent += ` ${model.get("absent").toLocaleString("en")} units have no place`;
    if (!dense) return drawn;
    // Among very many points those that are selected are drawn all the same (a sample of them).
    const shown = mask ? model.get("selected") : new DataView(new ArrayBuffer(0));
    const some = new Int32Array(aligned(shown)).filter((_, i, all) => i % Math.ceil(all.length / 20000) === 0);
    const step = [(sight[1] - sight[0]) / BINS, (sight[3] - sight[2]) / BINS];
    traces = [...rows, some];
    return [...drawn, { type, mode: "markers", x: points.at(some, 0), y: points.at(some, 1), hoverinfo: "none",
      name: "selected", marker: { size: 4, color: "#D55E00" } },
    { type: "heatmap", z: points.density(sight), x0: sight[0] + step[0] / 2, dx: step[0], y0: sight[2] + step[1] / 2,
      dy: step[1], colorscale: "Cividis", showscale: false, hoverinfo: "skip", zsmooth: false }];
  }

  function makeLayout() {
    const axis = { showticklabels: false, showgrid: false, zeroline: false, ticks: "", showline: true, mirror: true,
      linecolor: "rgba(128,128,128,0.35)" };
    const shapes = [], annotations = [];
    for (const each of model.get("outlines")) {
      if (each.xs.length) {
        const corners = each.xs.map((x, i) => `${x},${each.ys[i]}`);
        shapes.push({ type: "path", path: `M${corners.join("L")}Z`, line: { color: "#767676", width: 1.2, dash: "dot" } });
      }
      annotations.push({ text: each.name, x: each.x, y: each.y, showarrow: false, bgcolor: "rgba(40,40,40,0.8)",
        font: { size: 11, color: "#ffffff" } });
    }
    return { dragmode: plot.layout?.dragmode || "lasso", hovermode: "closest", autosize: true,
      margin: { l: 1, r: 1, t: 1, b: 4 }, xaxis: { ...axis, range: sight.slice(0, 2) },
      yaxis: { ...axis, range: sight.slice(2) }, font: { size: 12, color: "#767676" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      legend: { orientation: "h", y: -0.01, yanchor: "top", x: 0, itemsizing: "constant" },
      coloraxis: { colorscale: "Cividis", colorbar: { title: { text: model.get("scale") }, thickness: 10 } },
      newselection: { line: { color: "#767676", dash: "dot", width: 1.5 } }, selections: [], shapes, annotations,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#8C8C8C", activecolor: "#0072B2" }, uirevision: "map",
      // plotly keeps the outline of a lasso as the person's own otherwise, and a drag inside it moves it, never zooms.
      selectionrevision: ++drawings };
  }

  const CONFIG = { displaylogo: false, responsive: false, doubleClick: "reset", doubleClickDelay: 350,
    modeBarButtonsToRemove: ["toImage", "autoScale2d"] };

  function draw() {
    if (!Plotly || closed) return;
    const colour = model.get("colour");
    Plotly.react(plot, makeTraces(), makeLayout(), CONFIG).then(() => { root.dataset.colour = colour; });
  }

  function highlight() {
    if (!Plotly || closed) return;
    if (plot.data.some((trace) => trace.type === "heatmap")) return draw();
    const mask = chosen();
    Plotly.update(plot, { selectedpoints: traces.map((rows) => picked(rows, mask)) }, { selections: [] });
  }

  function tell(rows) {
    model.send({ kind: "select", way }, undefined, [rows.buffer]);
  }

  function selected(event) {
    const outline = event?.lassoPoints || event?.range;
    if (!outline) return; // plotly's word after an outline was taken away
    let { x, y } = outline;
    if (!event.lassoPoints) [x, y] = [[x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]]];
    const dense = plot.data.some((trace) => trace.type === "heatmap");
    const hidden = new Set(plot._fullData.flatMap((trace, i) => (trace.visible === true ? [] : [i])));
    tell(inside(points.places, x, y, (i) => points.codes[i] !== NOT_DRAWN && (dense || !hidden.has(points.codes[i]))));
  }

  const rowOf = (event) => {
    const point = event.points?.find((each) => traces[each.curveNumber]);
    return point ? traces[point.curveNumber][point.pointNumber] : undefined;
  };

  function clicked(event) {
    const row = rowOf(event);
    if (row === undefined) return;
    if (way === "replace") model.send({ kind: "pick", row });
    else tell(Int32Array.of(row));
  }

  function hover(event) {
    const row = rowOf(event);
    if (row === undefined) return;
    hovered = row;
    clearTimeout(timer);
    timer = setTimeout(() => model.send({ kind: "hover", row }), HOVER_AFTER);
    const box = root.getBoundingClientRect();
    const { clientX = box.left, clientY = box.top } = event.event || {};
    const right = clientX - box.left > box.width / 2;
    tip.style.left = right ? "auto" : `${clientX - box.left + 14}px`;
    tip.style.right = right ? `${box.right - clientX + 14}px` : "auto";
    tip.style.top = `${Math.max(0, Math.min(clientY - box.top - 20, box.height - PICTURE - 70))}px`;
  }

  function unhover() {
    hovered = -1;
    clearTimeout(timer);
    tip.hidden = true;
  }

  function receive(message, buffers) {
    if (message.kind !== "hovered" || message.row !== hovered) return;
    tip.replaceChildren();
    if (url) URL.revokeObjectURL(url);
    url = "";
    if (buffers.length) {
      url = URL.createObjectURL(new Blob([buffers[0]], { type: "image/jpeg" }));
      const img = make("img", "", tip);
      img.alt = message.lines[0];
      img.src = url;
    }
    for (const line of message.lines) make("div", "", tip, line);
    tip.hidden = false;
  }

  let saying = null;
  function moved(change) {
    if (!Object.keys(change).some((key) => /^[xy]axis/.test(key))) return;
    const { xaxis, yaxis } = plot._fullLayout;
    sight = [...xaxis.range, ...yaxis.range].map(Number);
    if (points.count > model.get("limit")) draw();
    clearTimeout(saying);
    saying = setTimeout(() => model.send({ kind: "range", range: sight }), 250);
  }

  function recoloured() {
    points.readColour();
    select.value = model.get("colour");
    draw();
  }

  // plotly's double click gives the selection up, wherever it happens.
  const deselected = () => { way = "replace"; tell(new Int32Array()); };
  const modifier = (event) => { way = event.shiftKey ? "add" : event.altKey ? "subtract" : "replace"; };
  plot.addEventListener("pointerdown", modifier, true);
  plot.addEventListener("mousedown", modifier, true);

  const later = { change: null, highlight: null };
  const changed = () => { later.change ??= requestAnimationFrame(() => { later.change = null; recoloured(); }); };
  // Once for all that comes with a selection, and after it: the figures and pictures needn't wait for the map.
  const highlighted = () => {
    later.highlight ??= setTimeout(() => { later.highlight = null; highlight(); }, HIGHLIGHT_AFTER);
  };
  const resized = new ResizeObserver(() => { if (Plotly && plot.offsetWidth) Plotly.Plots.resize(plot); });
  const events = { "change:codes": changed, "change:values": changed, "change:colour": changed,
    "change:layers": changed, "change:selected": highlighted, "change:dimmed": highlighted, "change:outlines": draw,
    "msg:custom": receive };
  for (const [name, act] of Object.entries(events)) model.on(name, act);

  library(model).then(async (found) => {
    if (closed) return;
    wait.remove();
    await found.newPlot(plot, makeTraces(), makeLayout(), CONFIG);
    Plotly = found;
    plot.on("plotly_selected", selected);
    plot.on("plotly_deselect", deselected);
    plot.on("plotly_doubleclick", () => { sight = full; });
    plot.on("plotly_click", clicked);
    plot.on("plotly_hover", hover);
    plot.on("plotly_unhover", unhover);
    plot.on("plotly_relayout", moved);
    resized.observe(plot);
    const still = `.slicelab-still-${model.get("address")}`; // is for pages that can't draw this
    make("style", "", root, `${still}, .jp-OutputArea-child:has(${still}) { display: none; }`);
    draw(); // what changed while plotly was on its way
  }).catch((error) => {
    wait.textContent = `plotly can't be started: ${error}; run the cell again`;
  });

  return () => {
    closed = true;
    resized.disconnect();
    clearTimeout(timer);
    clearTimeout(saying);
    clearTimeout(later.highlight);
    for (const [name, act] of Object.entries(events)) model.off(name, act);
    if (url) URL.revokeObjectURL(url);
    if (Plotly) Plotly.purge(plot);
  };
}

export default dependable({ render });
