// What lies over plotly's drawing of the map: the outline that is being drawn by hand, and the selected points. A
// selection changes these two canvases only; plotly draws nothing anew.

const STILL = 4; // px: a shorter drag is a click
const SHADES = 48;
const NEUTRAL = "#8C8C8C";
// Cividis: J. Nunez, C. Anderton, R. Renslow, "Optimizing colormaps with consideration for color vision deficiency" (2018).
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55",
  "#fee838"];
const SCALE = CIVIDIS.map((colour, i) => [i / (CIVIDIS.length - 1), colour]);

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

function shade(share) {
  const at = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1), low = Math.min(Math.floor(at), CIVIDIS.length - 2);
  const part = (colour, from) => parseInt(colour.slice(from, from + 2), 16);
  const mixed = [1, 3, 5].map((from) =>
    Math.round(part(CIVIDIS[low], from) * (low + 1 - at) + part(CIVIDIS[low + 1], from) * (at - low)));
  return `rgb(${mixed.join()})`;
}

// One of plotly's symbols, `size` px across, as a picture that is stamped at each place.
function stamp(symbol, size, colour, opacity, ratio) {
  const side = Math.ceil((size + 4) * ratio);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const to = canvas.getContext("2d"), r = size / 2;
  to.scale(ratio, ratio);
  to.translate(side / ratio / 2, side / ratio / 2);
  to.fillStyle = colour;
  to.globalAlpha = opacity;
  const corners = {
    square: [[-r, -r], [r, -r], [r, r], [-r, r]],
    diamond: [[0, -1.3 * r], [1.3 * r, 0], [0, 1.3 * r], [-1.3 * r, 0]],
    "triangle-up": [[0, -1.15 * r], [r, 0.6 * r], [-r, 0.6 * r]],
  }[symbol];
  if (symbol === "x" || symbol === "cross") {
    if (symbol === "x") to.rotate(Math.PI / 4);
    const [long, wide] = [1.2 * r, 0.4 * r];
    to.fillRect(-long, -wide, 2 * long, 2 * wide);
    to.fillRect(-wide, -long, 2 * wide, long - wide);
    to.fillRect(-wide, wide, 2 * wide, long - wide);
  } else if (corners) {
    to.beginPath();
    corners.forEach(([x, y]) => to.lineTo(x, y));
    to.fill();
  } else {
    to.beginPath();
    to.arc(0, 0, r, 0, 2 * Math.PI);
    to.fill();
  }
  return canvas;
}

class Overlay {
  // `frame()` gives the rectangle of the plot's inside in the page, and the data's range in it.
  // A canvas with nothing on it is hidden: each one in the page makes every frame dearer.
  constructor(parent, frame) {
    this.frame = frame;
    this.marks = make("canvas", "slicelab-overlay");
    this.outline = make("canvas", "slicelab-overlay", parent);
    this.marks.hidden = this.outline.hidden = true;
    this.tool = "lasso"; // "lasso", "box", or null: a drag is plotly's
    this.path = null;
  }

  // Selected points lie above plotly's points and below its words.
  join(plot) {
    [...plot.querySelectorAll(".main-svg")].at(-1).before(this.marks);
  }

  fit(canvas) {
    canvas.hidden = false;
    const { box, range } = this.frame();
    const home = canvas.parentNode.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    Object.assign(canvas.style, { left: `${box.left - home.left}px`, top: `${box.top - home.top}px`,
      width: `${box.width}px`, height: `${box.height}px` });
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const to = canvas.getContext("2d");
    to.clearRect(0, 0, width, height);
    return { to, ratio, width, height, range };
  }

  // Draw `rows`, lowest layer first; returns how many are in sight.
  paint(points, layers, rows, shown) {
    const { to, ratio, width, height, range } = this.fit(this.marks);
    const [sx, sy] = [width / (range[1] - range[0]), height / (range[3] - range[2])];
    const parts = layers.map(() => []);
    for (const row of rows) if (shown(points.codes[row])) parts[points.codes[row]].push(row);
    const [low, high] = points.values ? points.bounds() : [0, 1];
    let painted = 0;
    layers.forEach((layer, number) => {
      const stamps = new Map();
      const of = (colour) => {
        if (!stamps.has(colour)) stamps.set(colour, stamp(layer.symbol, layer.size, colour, layer.opacity, ratio));
        return stamps.get(colour);
      };
      for (const row of parts[number]) {
        const x = (points.places[2 * row] - range[0]) * sx, y = height - (points.places[2 * row + 1] - range[2]) * sy;
        if (!(x >= 0 && x <= width && y >= 0 && y <= height)) continue;
        const value = points.values ? points.values[row] : NaN;
        const step = Math.round(((value - low) / (high - low || 1)) * SHADES) / SHADES;
        const picture = of(layer.colour || (step === step ? shade(step) : NEUTRAL));
        to.drawImage(picture, x - picture.width / 2, y - picture.height / 2);
        painted++;
      }
    });
    return painted;
  }

  clear() {
    this.marks.hidden = true;
  }

  // Take drags that begin inside the plot while a tool is on; `done(xs, ys)` gets the outline in the data's units.
  listen(plot, done) {
    const within = (event) => {
      const { left, top, width, height } = this.frame().box;
      return [Math.min(Math.max(event.clientX - left, 0), width), Math.min(Math.max(event.clientY - top, 0), height)];
    };
    const moved = (event) => {
      if (!this.path) return;
      if (this.tool === "box") this.path.splice(1, this.path.length, within(event));
      else this.path.push(within(event));
      this.trace();
    };
    const dropped = (event) => {
      const path = this.path;
      this.end();
      if (!path || event.type !== "pointerup") return;
      const shape = this.corners(path);
      const spread = (axis) => Math.max(...shape.map((p) => p[axis])) - Math.min(...shape.map((p) => p[axis]));
      if (Math.max(spread(0), spread(1)) < STILL) return;
      const { box, range } = this.frame();
      done(shape.map(([x]) => range[0] + (x / box.width) * (range[1] - range[0])),
        shape.map(([, y]) => range[3] - (y / box.height) * (range[3] - range[2])));
    };
    const escape = (event) => { if (event.key === "Escape") this.end(); };
    this.watched = { pointermove: moved, pointerup: dropped, pointercancel: dropped, keydown: escape };
    plot.addEventListener("pointerdown", (event) => {
      if (!this.tool || event.button !== 0 || !event.target.closest?.(".nsewdrag")) return;
      this.path = [within(event)];
      for (const [name, act] of Object.entries(this.watched)) window.addEventListener(name, act, true);
    }, true);
  }

  corners(path) {
    if (this.tool !== "box") return path;
    const [[x, y], [right, bottom]] = [path[0], path[path.length - 1]];
    return [[x, y], [right, y], [right, bottom], [x, bottom]];
  }

  trace() {
    const { to, ratio } = this.fit(this.outline);
    to.scale(ratio, ratio);
    to.beginPath();
    for (const [x, y] of this.corners(this.path)) to.lineTo(x, y);
    to.closePath();
    to.fillStyle = "rgba(128, 128, 128, 0.12)";
    to.fill();
    to.setLineDash([4, 3]);
    to.lineWidth = 1.5;
    to.strokeStyle = "#767676";
    to.stroke();
    to.setTransform(1, 0, 0, 1, 0, 0);
  }

  end() {
    this.outline.hidden = true;
    this.path = null;
    for (const [name, act] of Object.entries(this.watched || {})) window.removeEventListener(name, act, true);
  }
}
