// Units as points, drawn by plotly; what is selected, and the lasso, are drawn above it (overlay.js). Python sends
// places, layers and the selection as bytes; this tells what was lassoed ("select"), clicked ("pick"), hovered over
// ("hover"), and what is in sight ("range").
// Of more than `limit` points in sight the density is drawn. Text from data is escaped for plotly in Python; the
// words beside the mouse go in by textContent.

const NOT_DRAWN = 255;
const BINS = 220;
const SVG_LIMIT = 3000; // up to so many points SVG is drawn, which spends none of the browser's few WebGL contexts
const HOVER_AFTER = 90; // ms
const PICTURE = 128;
const DENSE_MARKS = 20000; // of more selected units a sample is marked on the density
const DENSE_MARK = { symbol: "circle", size: 4, colour: "#D55E00", opacity: 0.8 };

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

// Asked once per page: to make a context is slow, and a browser has few of them.
const hasWebgl = () => (globalThis.slicelabWebgl ??= makesWebgl());

function makesWebgl() {
  try {
    const context = document.createElement("canvas").getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  } catch {
    return false;
  }
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
  bounds() {
    let [low, high] = [Infinity, -Infinity];
    for (const value of this.values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? [low, high] : [0, 1];
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
  const overlay = new Overlay(root, () => ({ box: plot.querySelector(".nsewdrag").getBoundingClientRect(), range: sight }));
  const webgl = points.count > SVG_LIMIT && hasWebgl();
  const full = points.extent();
  let Plotly = null;
  let closed = false;
  let traces = []; // rows of each drawn trace
  let way = "replace";
  let hovered = -1;
  let dense = false; // the density is drawn, not the points
  let stale = false; // something changed while plotly was on its way
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

  function makeTraces() {
    const layers = model.get("layers");
    let rows = points.split(layers.length, sight, model.get("limit"));
    dense = rows === null;
    if (dense) rows = layers.map(() => new Int32Array());
    const type = webgl ? "scattergl" : "scatter";
    const named = new Set();
    traces = rows;
    const drawn = rows.map((part, i) => {
      const legend = !named.has(layers[i].name);
      named.add(layers[i].name);
      return { type, mode: "markers", x: points.at(part, 0), y: points.at(part, 1), name: layers[i].name,
        legendgroup: layers[i].name, showlegend: legend, hoverinfo: "none", marker: marker(layers[i], part) };
    });
    words.textContent = dense ? `${points.count.toLocaleString("en")} units: their density; zoom in for points` : "";
    if (model.get("absent")) words.textContent += ` ${model.get("absent").toLocaleString("en")} units have no place`;
    if (!dense) return drawn;
    const step = [(sight[1] - sight[0]) / BINS, (sight[3] - sight[2]) / BINS];
    return [...drawn, { type: "heatmap", z: points.density(sight), x0: sight[0] + step[0] / 2, dx: step[0], y0: sight[2] + step[1] / 2,
      dy: step[1], colorscale: SCALE, showscale: false, hoverinfo: "skip", zsmooth: false }];
  }

  function makeOutlines() {
    const shapes = [], annotations = [];
    for (const each of model.get("outlines")) {
      if (each.xs.length) {
        const corners = each.xs.map((x, i) => `${x},${each.ys[i]}`);
        shapes.push({ type: "path", path: `M${corners.join("L")}Z`, line: { color: "#767676", width: 1.2, dash: "dot" } });
      }
      annotations.push({ text: each.name, x: each.x, y: each.y, showarrow: false, bgcolor: "rgba(40,40,40,0.8)",
        font: { size: 11, color: "#ffffff" } });
    }
    return { shapes, annotations };
  }

  function makeLayout() {
    const axis = { showticklabels: false, showgrid: false, zeroline: false, ticks: "", showline: true, mirror: true,
      linecolor: "rgba(128,128,128,0.35)" };
    return { dragmode: plot.layout?.dragmode ?? false, meta: overlay.tool, hovermode: "closest", autosize: true,
      margin: { l: 1, r: 1, t: 1, b: 4 }, xaxis: { ...axis, range: sight.slice(0, 2) },
      yaxis: { ...axis, range: sight.slice(2) }, font: { size: 12, color: "#767676" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      legend: { orientation: "h", y: -0.01, yanchor: "top", x: 0, itemsizing: "constant" },
      coloraxis: { colorscale: SCALE, colorbar: { title: { text: model.get("scale") }, thickness: 10 } },
      ...makeOutlines(), modebar: { bgcolor: "rgba(0,0,0,0)", color: "#8C8C8C", activecolor: "#0072B2" }, uirevision: "map" };
  }

  const toolButton = (tool, title, icon) => ({ name: tool, title, icon, attr: "meta", val: tool, click: () => use(tool) });
  const configure = (Plotly) => ({ displaylogo: false, responsive: false, doubleClick: false, doubleClickDelay: 350,
    plotGlPixelRatio: Math.max(1, window.devicePixelRatio || 1), // plotly's own is 2 at least: four times the pixels
    modeBarButtons: [
      [toolButton("lasso", "Lasso", Plotly.Icons.lasso), toolButton("box", "Box", Plotly.Icons.selectbox), "zoom2d", "pan2d"],
      ["zoomIn2d", "zoomOut2d", "resetScale2d"],
    ] });

  function use(tool) {
    overlay.tool = tool;
    Plotly.relayout(plot, { dragmode: false, meta: tool });
  }

  function draw() {
    if (!Plotly || closed) return;
    const colour = model.get("colour");
    // Without a configuration: plotly takes one with buttons for a new one, and starts from nothing.
    Plotly.react(plot, makeTraces(), makeLayout()).then(() => { root.dataset.colour = colour; });
  }

  // Rows that are selected, or null.
  const chosen = () => (model.get("dimmed") ? new Int32Array(aligned(model.get("selected"))) : null);

  function highlight(rows = chosen()) {
    if (!Plotly || closed) return;
    root.classList.toggle("slicelab-dimmed", rows !== null && !dense);
    if (rows === null) overlay.clear();
    const step = dense && rows ? Math.ceil(rows.length / DENSE_MARKS) : 1;
    const some = step > 1 ? rows.filter((_, i) => i % step === 0) : rows;
    const layers = dense ? model.get("layers").map((layer) => ({ ...layer, ...DENSE_MARK })) : model.get("layers");
    const visible = shown();
    if (some !== null) overlay.paint(points, layers, some, (code) => visible[code]);
    root.dataset.highlighted = rows === null ? "" : rows.length;
  }

  // Which layers are drawn: a click on the legend hides one.
  const shown = () => model.get("layers").map((_, i) => dense || (plot._fullData[i]?.visible ?? true) === true);

  function tell(rows) {
    model.send({ kind: "select", way }, undefined, [rows.buffer]);
  }

  function selected(xs, ys) {
    const visible = shown();
    const rows = inside(points.places, xs, ys, (i) => points.codes[i] !== NOT_DRAWN && visible[points.codes[i]]);
    if (way === "replace" && rows.length) highlight(rows); // the kernel will say the same
    tell(rows);
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
    if (change.dragmode && overlay.tool) {
      overlay.tool = null;
      Plotly.relayout(plot, { meta: null });
    }
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

  // A double click gives the selection up; while zooming or panning it shows all again.
  function doubleClicked() {
    way = "replace";
    if (overlay.tool) tell(new Int32Array());
    else Plotly.relayout(plot, { "xaxis.range": full.slice(0, 2), "yaxis.range": full.slice(2) });
  }
  const modifier = (event) => { way = event.shiftKey ? "add" : event.altKey ? "subtract" : "replace"; };
  plot.addEventListener("pointerdown", modifier, true);
  plot.addEventListener("mousedown", modifier, true);

  const later = {};
  const soon = (name, act) => {
    stale = true;
    later[name] ??= requestAnimationFrame(() => { later[name] = null; act(); });
  };
  const changed = () => soon("change", recoloured);
  const outlined = () => soon("outlines", () => { if (Plotly && !closed) Plotly.relayout(plot, makeOutlines()); });
  const highlighted = () => soon("highlight", highlight); // once for all that comes with a selection
  const resized = new ResizeObserver(() => { if (Plotly && plot.offsetWidth) Plotly.Plots.resize(plot); });
  const events = { "change:codes": changed, "change:values": changed, "change:colour": changed,
    "change:layers": changed, "change:selected": highlighted, "change:dimmed": highlighted, "change:outlines": outlined,
    "msg:custom": receive };
  for (const [name, act] of Object.entries(events)) model.on(name, act);

  library(model).then(async (found) => {
    if (closed) return;
    wait.remove();
    stale = false;
    await found.newPlot(plot, makeTraces(), makeLayout(), configure(found));
    Plotly = found;
    overlay.join(plot);
    overlay.listen(plot, selected);
    plot.on("plotly_afterplot", () => highlight());
    plot.on("plotly_relayouting", () => overlay.clear());
    plot.on("plotly_doubleclick", doubleClicked);
    plot.on("plotly_click", clicked);
    plot.on("plotly_hover", hover);
    plot.on("plotly_unhover", unhover);
    plot.on("plotly_relayout", moved);
    resized.observe(plot);
    const still = `.slicelab-still-${model.get("address")}`; // is for pages that can't draw this
    make("style", "", root, `${still}, .jp-OutputArea-child:has(${still}) { display: none; }`);
    root.dataset.colour = model.get("colour");
    if (stale) recoloured();
    else highlight();
  }).catch((error) => {
    wait.textContent = `plotly can't be started: ${error}; run the cell again`;
  });

  return () => {
    closed = true;
    resized.disconnect();
    clearTimeout(timer);
    clearTimeout(saying);
    overlay.end();
    for (const [name, act] of Object.entries(events)) model.off(name, act);
    if (url) URL.revokeObjectURL(url);
    if (Plotly) Plotly.purge(plot);
  };
}

export default dependable({ render });
