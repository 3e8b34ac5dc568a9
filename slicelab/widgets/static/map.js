// Units as points on a canvas (painting.js), in a frame of plotly's: its axes and tools, legend, colour scale, outlines
// and names. Python sends places, layers and the selection as bytes; this tells what was lassoed ("select"), clicked
// ("pick"), hovered over ("hover"), and what is in sight ("range").
// Of more than `limit` points in sight the density is drawn. Text from data is escaped for plotly in Python; the
// words beside the mouse go in by textContent.

const HOVER_AFTER = 90; // ms
const NEAR = 9; // px from the mouse to a point that it means
const PICTURE = 128;
const DENSE_MARKS = 20000; // of more selected units a sample is marked on the density
const DENSE_MARK = { symbol: "circle", size: 4, colour: "#D55E00", opacity: 0.8 };
const LEGEND = 26; // px below the plot, until plotly says how many

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

// A trace per layer, for the legend and the colour scale; its points are on the canvas.
function legendTraces(points) {
  const named = new Set();
  return points.layers.map(({ name, symbol, size, opacity, colour }) => {
    const first = !named.has(name);
    named.add(name);
    const hue = colour ? { color: colour } : { color: [points.bounds[0]], coloraxis: "coloraxis" };
    return { type: "scatter", mode: "markers", x: [null], y: [null], name, legendgroup: name, showlegend: first,
      hoverinfo: "skip", marker: { symbol, size, opacity, line: { width: 0 }, ...hue } };
  });
}

function outlines(model) {
  const shapes = [], annotations = [];
  for (const each of model.get("outlines")) {
    if (each.xs.length) {
      const corners = each.xs.map((x, i) => `${x},${each.ys[i]}`);
      shapes.push({ type: "path", path: `M${corners.join("L")}Z`, line: { color: "#767676", width: 1.2, dash: "dot" } });
    }
    // Above the outline: on a small one the name would hide the very points.
    const y = Math.max(each.y, ...each.ys);
    annotations.push({ text: each.name, x: each.x, y, yanchor: "bottom", showarrow: false, font: { size: 11, color: "#ffffff" },
      bgcolor: "rgba(40,40,40,0.8)" });
  }
  return { shapes, annotations };
}

function layoutOf(model, points, sight, tools) {
  const axis = { showticklabels: false, showgrid: false, zeroline: false, ticks: "", showline: true, mirror: true,
    linecolor: "rgba(128,128,128,0.35)" };
  const [cmin, cmax] = points.bounds;
  return { ...tools, hovermode: false, autosize: true, margin: { l: 1, r: 1, t: 1, b: 4 },
    xaxis: { ...axis, range: sight.slice(0, 2) }, yaxis: { ...axis, range: sight.slice(2) },
    font: { size: 12, color: "#767676" }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    legend: { orientation: "h", y: -0.01, yanchor: "top", x: 0, itemsizing: "constant" },
    coloraxis: { colorscale: SCALE, cmin, cmax, colorbar: { title: { text: model.get("scale") }, thickness: 10 } },
    ...outlines(model), modebar: { bgcolor: "rgba(0,0,0,0)", color: "#8C8C8C", activecolor: "#0072B2" },
    uirevision: "map" };
}

function render({ model, el }) {
  const root = make("div", "slicelab slicelab-map", el);
  const bar = make("div", "slicelab-map-bar", root);
  const label = make("label", "", bar, "Colour by ");
  const select = make("select", "", label);
  const words = make("span", "slicelab-map-words", bar, "drawing …");
  const field = new Painting(make("canvas", "slicelab-canvas slicelab-field", root));
  const marks = new Painting(make("canvas", "slicelab-canvas", root));
  const plot = make("div", "slicelab-plot", root);
  plot.style.height = `${model.get("height")}px`;
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", "Map of the units, coloured by outcome or by the column chosen above");
  const tip = make("div", "slicelab-tip", root);
  tip.hidden = true;

  const points = new Points(model);
  const hand = new Hand(make("canvas", "slicelab-canvas", root), frame, { outlined, clicked, over, away: unhover });
  hand.end();
  let Plotly = null;
  let closed = false;
  let way = "replace";
  let hovered = -1;
  let dense = false; // the density is drawn, not the points
  let stale = false; // something changed while plotly was on its way
  let painted = ""; // what the canvas shows
  let timer = null;
  let url = "";
  let saying = null;
  let sight = model.get("range").length ? model.get("range") : points.full;

  for (const name of model.get("colours")) make("option", "", select, name).value = name;
  select.value = model.get("colour");
  select.onchange = () => model.send({ kind: "colour", colour: select.value });

  function frame() {
    const inner = plot.querySelector(".nsewdrag");
    if (inner) return { box: inner.getBoundingClientRect(), range: sight };
    const { left, top, width, height } = plot.getBoundingClientRect();
    return { box: { left: left + 1, top: top + 1, width: width - 2, height: height - 1 - LEGEND }, range: sight };
  }

  const configure = (Plotly) => {
    const own = (tool, title, icon) => ({ name: tool, title, icon, attr: "meta", val: tool, click: () => use(tool) });
    return { displaylogo: false, responsive: false, doubleClick: false, doubleClickDelay: 350, modeBarButtons: [
      [own("lasso", "Lasso", Plotly.Icons.lasso), own("box", "Box", Plotly.Icons.selectbox), "zoom2d", "pan2d"],
      ["zoomIn2d", "zoomOut2d", "resetScale2d"],
    ] };
  };
  const tools = () => ({ dragmode: plot.layout?.dragmode ?? false, meta: hand.tool });

  function use(tool) {
    hand.tool = tool;
    Plotly.relayout(plot, { dragmode: false, meta: tool });
  }

  // Which layers are drawn: a click on the legend hides one.
  function visible() {
    const shown = points.layers.map((_, i) => (plot._fullData?.[i]?.visible ?? true) === true);
    return (layer) => shown[layer];
  }

  // Rows that are selected, or null.
  const chosen = () => (model.get("dimmed") ? new Int32Array(aligned(model.get("selected"))) : null);

  function paint() {
    if (closed || !plot.offsetWidth) return;
    const shown = visible(), { left, top } = root.getBoundingClientRect(), { box } = frame();
    const now = [box.left - left, box.top - top, box.width, box.height, window.devicePixelRatio, ...sight,
      ...points.layers.map((_, i) => shown(i)), points.version].join();
    if (now === painted) return;
    painted = now;
    dense = points.exceed(model.get("limit"), sight);
    if (dense) field.density(points, frame());
    root.dataset.painted = dense ? "density" : field.points(points, points.layers, points.order, shown, frame());
    highlight();
    const said = Plotly ? [] : ["drawing …"];
    if (dense) said.push(`${points.count.toLocaleString("en")} units: their density; zoom in for points`);
    if (model.get("absent")) said.push(`${model.get("absent").toLocaleString("en")} units have no place`);
    words.textContent = said.join(" ");
    if (Plotly) root.dataset.colour = model.get("colour");
  }

  function highlight(rows = chosen()) {
    if (closed || !plot.offsetWidth) return;
    root.classList.toggle("slicelab-dimmed", rows !== null && !dense);
    if (rows === null) marks.clear();
    else {
      const step = dense ? Math.ceil(rows.length / DENSE_MARKS) : 1;
      const some = step > 1 ? rows.filter((_, i) => i % step === 0) : rows;
      const layers = dense ? points.layers.map((layer) => ({ ...layer, ...DENSE_MARK })) : points.layers;
      marks.points(points, layers, points.sorted(some), visible(), frame());
    }
    root.dataset.highlighted = rows === null ? "" : rows.length;
  }

  function draw() {
    stale = !Plotly;
    if (!Plotly || closed) return;
    // Without a configuration: plotly takes one with buttons for a new one, and starts from nothing.
    Plotly.react(plot, legendTraces(points), layoutOf(model, points, sight, tools()));
  }

  function tell(rows) {
    model.send({ kind: "select", way }, undefined, [rows.buffer]);
  }

  function drawn() {
    const shown = visible();
    return (row) => points.codes[row] !== NOT_DRAWN && shown(points.codes[row]);
  }

  function outlined(xs, ys) {
    const rows = points.inside(xs, ys, drawn());
    if (way === "replace" && rows.length) highlight(rows); // the kernel will say the same
    tell(rows);
  }

  const rowAt = ({ x, y, rx, ry }) => (dense ? -1 : points.nearest(x, y, NEAR * rx, NEAR * ry, drawn()));

  function clicked(place) {
    const row = rowAt(place);
    if (row < 0) return;
    if (way === "replace") model.send({ kind: "pick", row });
    else tell(Int32Array.of(row));
  }

  function over(place, event) {
    const row = rowAt(place);
    if (row < 0) return unhover();
    if (row !== hovered) {
      unhover();
      hovered = row;
      timer = setTimeout(() => model.send({ kind: "hover", row }), HOVER_AFTER);
    }
    const box = root.getBoundingClientRect();
    const right = event.clientX - box.left > box.width / 2;
    tip.style.left = right ? "auto" : `${event.clientX - box.left + 14}px`;
    tip.style.right = right ? `${box.right - event.clientX + 14}px` : "auto";
    tip.style.top = `${Math.max(0, Math.min(event.clientY - box.top - 20, box.height - PICTURE - 70))}px`;
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

  // While it is dragged, and after every change of plotly's.
  function followed() {
    const { xaxis, yaxis } = plot._fullLayout;
    sight = [...xaxis.range, ...yaxis.range].map(Number);
    paint();
  }

  function moved(change) {
    if (change.dragmode && hand.tool) {
      hand.tool = null;
      Plotly.relayout(plot, { meta: null });
    }
    if (!Object.keys(change).some((key) => /^[xy]axis/.test(key))) return;
    clearTimeout(saying);
    saying = setTimeout(() => model.send({ kind: "range", range: sight }), 250);
  }

  function show(range) {
    if (Plotly) Plotly.relayout(plot, { "xaxis.range": range.slice(0, 2), "yaxis.range": range.slice(2) });
    else sight = range;
  }

  function recoloured() {
    points.readLayers();
    select.value = model.get("colour");
    draw();
  }

  // Places in another layout: what was in sight has no meaning there.
  function replaced() {
    points.readPlaces();
    sight = points.full;
    if (Plotly) show(sight);
    draw();
    if (stale) paint();
  }

  // A double click gives the selection up; while zooming or panning it shows all again.
  function doubleClicked() {
    way = "replace";
    if (hand.tool) tell(new Int32Array());
    else show(points.full);
  }
  const modifier = (event) => { way = event.shiftKey ? "add" : event.altKey ? "subtract" : "replace"; };
  plot.addEventListener("pointerdown", modifier, true);

  const later = {};
  const soon = (act) => () => {
    later[act.name] ??= requestAnimationFrame(() => { later[act.name] = null; act(); });
  };
  const followSoon = soon(followed);
  function outlinedAnew() {
    stale ||= !Plotly;
    if (Plotly && !closed) Plotly.relayout(plot, outlines(model));
  }
  const highlightSoon = soon(function highlightAnew() { highlight(); }); // once for all that comes with a selection
  const recolour = soon(recoloured);
  const resized = new ResizeObserver(() => {
    if (Plotly && plot.offsetWidth) Plotly.Plots.resize(plot);
    else paint();
  });
  const events = { "change:places": soon(replaced), "change:codes": recolour, "change:values": recolour,
    "change:colour": recolour, "change:layers": recolour, "change:selected": highlightSoon,
    "change:dimmed": highlightSoon, "change:outlines": soon(outlinedAnew), "msg:custom": receive };
  for (const [name, act] of Object.entries(events)) model.on(name, act);
  resized.observe(plot);

  library(model).then(async (found) => {
    if (closed) return;
    await found.newPlot(plot, legendTraces(points), layoutOf(model, points, sight, tools()), configure(found));
    Plotly = found;
    hand.listen(plot);
    plot.on("plotly_afterplot", followed);
    plot.on("plotly_relayouting", followSoon);
    plot.on("plotly_doubleclick", doubleClicked);
    plot.on("plotly_relayout", moved);
    const still = `.slicelab-still-${model.get("address")}`; // is for pages that can't draw this
    make("style", "", root, `${still}, .jp-OutputArea-child:has(${still}) { display: none; }`);
    if (stale) draw();
    else followed();
  }).catch((error) => {
    words.textContent = `plotly can't be started: ${error}; run the cell again`;
  });

  return () => {
    closed = true;
    resized.disconnect();
    clearTimeout(timer);
    clearTimeout(saying);
    hand.end();
    for (const [name, act] of Object.entries(events)) model.off(name, act);
    if (url) URL.revokeObjectURL(url);
    if (Plotly) Plotly.purge(plot);
  };
}

export default dependable({ render });
